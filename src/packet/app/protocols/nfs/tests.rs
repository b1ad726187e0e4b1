use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::plan::{NumberTest, Toward};

fn opaque(bytes: &[u8]) -> Vec<u8> {
    let mut padded = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    padded.extend(bytes);
    padded.resize(padded.len().next_multiple_of(4), 0);
    padded
}

fn call(xid: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let head = [xid, 0, 2, 100_003, version, procedure, 0, 0, 0, 0];
    [head.iter().flat_map(|word| word.to_be_bytes()).collect(), arguments.to_vec()].concat()
}

fn reply(xid: u32, status: u32) -> Vec<u8> {
    [xid, 1, 0, 0, 0, 0, status].iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn record(bytes: &[u8]) -> Vec<u8> {
    [&(0x8000_0000 | u32::try_from(bytes.len()).unwrap()).to_be_bytes()[..], bytes].concat()
}

fn turns() -> Vec<Chunk> {
    use Toward::{Client, Server};
    let rename = [opaque(b"dir1"), opaque(b"old"), opaque(b"dir2"), opaque(b"new")].concat();
    let write = [opaque(b"handle"), vec![0xab; 100_000]].concat();
    vec![
        (Server, [record(&call(1, 3, 14, &rename)), record(&call(2, 3, 7, &write))].concat()),
        (Client, [record(&reply(1, 0)), record(&reply(2, 13))].concat()),
        (Server, record(&call(3, 3, 3, &[opaque(b"dir1"), opaque(b"file")].concat()))),
    ]
}

#[test]
fn calls_are_told_with_their_names_and_answers() {
    let mut talk = Conversation::with(2049);
    for (toward, bytes) in turns() {
        talk.stream(toward, &bytes);
    }
    assert_eq!(talk.app.protocol(), Some(AppProto::Nfs));
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(1, Toward::Server).unwrap();
    let number =
        |field, number| tx.data.accepts(&AppTest::Number { field, test: NumberTest::Equal(number) }, Toward::Server);
    assert!(number(Field::NfsVersion, 3) && number(Field::NfsProcedure, 7) && !number(Field::NfsProcedure, 14));
    let records = talk.records(true);
    let parts: [&[&str]; 3] = [
        &["RENAME", r#"from: "old", to: "new""#, "\"OK\"", "response"],
        &["WRITE", "ERR_ACCESS"],
        &["LOOKUP", "\"file\"", "request", "status: None"],
    ];
    assert_eq!(records.len(), 3);
    for (record, parts) in records.iter().zip(parts) {
        assert!(parts.iter().all(|part| record.contains(part)), "{record}");
    }
}

#[test]
fn each_version_is_read_over_either_transport() {
    let handle = [7; 32];
    let compound = [opaque(b""), vec![0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 24, 0, 0, 0, 15], opaque(b"x"), vec![0, 0, 0, 10]];
    let cases = [
        (call(9, 2, 4, &[handle.to_vec(), opaque(b"two")].concat()), "\"two\"", 4),
        (call(9, 4, 1, &compound.concat()), "\"x\"", 15),
    ];
    for (bytes, part, procedure) in cases {
        let mut talk = Conversation::with(2049);
        talk.datagram(Toward::Server, &bytes);
        let mut view = talk.app.view().unwrap();
        let (_, tx) = view.transaction(0, Toward::Server).unwrap();
        let test = AppTest::Number { field: Field::NfsProcedure, test: NumberTest::Equal(procedure) };
        assert!(tx.data.accepts(&test, Toward::Server));
        assert!(talk.records(true).concat().contains(part));
    }
    let portmap: Vec<u8> = [1, 0, 2, 100_000, 2, 3].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    assert_eq!(Conversation::with(111).datagram(Toward::Server, &portmap).app.protocol(), None);
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(2049, &turns(), &cuts), whole(2049, &turns()));
    }
}
