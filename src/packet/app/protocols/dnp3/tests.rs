use proptest::prelude::*;

use super::link::checksum;
use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

fn frame(control: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x05, 0x64, u8::try_from(data.len() + 5).unwrap(), control, 4, 0, 3, 0];
    bytes.extend(checksum(&bytes).to_le_bytes());
    for block in data.chunks(16) {
        bytes.extend(block);
        bytes.extend(checksum(block).to_le_bytes());
    }
    bytes
}

/// Reads classes 1 to 3 and 0; the answer has two analogue inputs of 32 bits.
fn turns() -> Vec<Chunk> {
    let read = b"\xc0\xc1\x01\x3c\x02\x06\x3c\x03\x06\x3c\x04\x06\x3c\x01\x06";
    let first = b"\x40\xe1\x81\x96\x00\x1e\x01\x00\x00\x01\x01\x00\x00";
    let second = b"\x81\x00\x00\x01\x00\x00\x00\x00";
    vec![
        (Toward::Server, frame(0xc4, read)),
        (Toward::Client, [frame(0x44, first), frame(0x44, second)].concat()),
    ]
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    assert_eq!(checksum(b"123456789"), 0xea82);
}

#[test]
fn messages_show_function_objects_indications_and_data() {
    let mut talk = Conversation::with(20_000);
    for (toward, bytes) in turns() {
        talk.stream(toward, &bytes);
    }
    assert_eq!(talk.app.protocol(), Some(AppProto::Dnp3));
    assert!(talk.events().is_empty(), "{:?}", talk.events());
    let data = talk.buffers(1, Buffer::DNP3_DATA, Toward::Client).concat();
    assert!(data.starts_with("\\xe1\\x81") && !data.contains("\\x40"), "{data}");
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(1, Toward::Client).unwrap();
    let function = AppTest::Number { field: Field::Dnp3Function, test: NumberTest::Equal(129) };
    let object = |group, variation| AppTest::Dnp3Object { group, variation };
    assert!(tx.data.accepts(&function, Toward::Client));
    assert!(tx.data.accepts(&object(30, 1), Toward::Client) && !tx.data.accepts(&object(30, 2), Toward::Client));
    assert!(tx.data.accepts(&AppTest::Dnp3Indications(0x8000), Toward::Client));
    assert!(!tx.data.accepts(&AppTest::Dnp3Indications(0x0100), Toward::Client));
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    assert!(tx.data.accepts(&object(60, 1), Toward::Server));
    let records = talk.records(false);
    assert!(records[1].contains("device_restart") && records[1].contains("complete: true"), "{records:?}");
}

#[test]
fn oddities_have_names() {
    let mut bad_link = frame(0xc4, b"\xc0\xc1\x01");
    bad_link[4] ^= 1;
    let mut bad_data = frame(0xc4, b"\xc0\xc1\x01");
    bad_data[11] ^= 1;
    let cases = [
        (bad_link, "dnp3.bad_link_crc"),
        (bad_data, "dnp3.bad_transport_crc"),
        (frame(0xc4, b"\xc0\xc1"), "dnp3.malformed"),
        ([frame(0xc4, b"\xc0\xc1\x01"), b"\x05\x64\x04\xc4\x04\0\x03\0\0\0".to_vec()].concat(), "dnp3.len_too_small"),
    ];
    for (bytes, event) in cases {
        let mut talk = Conversation::with(20_000);
        talk.stream(Toward::Server, &bytes);
        assert_eq!(talk.events(), [event]);
    }
}

#[test]
fn elsewhere_the_checksum_has_to_be_right() {
    let mut bytes = frame(0xc4, b"\xc0\xc1\x01");
    assert_eq!(Conversation::with(1).stream(Toward::Server, &bytes).app.protocol(), Some(AppProto::Dnp3));
    bytes[4] ^= 1;
    assert_eq!(Conversation::with(1).stream(Toward::Server, &bytes).app.protocol(), None);
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(20_000, &turns(), &cuts), whole(20_000, &turns()));
    }
}
