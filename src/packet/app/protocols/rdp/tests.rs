use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

fn tpkt(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap();
    [&[3, 0][..], &length.to_be_bytes(), body].concat()
}

fn connection(kind: u8, variable: &[u8]) -> Vec<u8> {
    tpkt(&[&[u8::try_from(variable.len() + 6).unwrap(), kind, 0, 0, 0x12, 0x34, 0][..], variable].concat())
}

fn connect_request() -> Vec<u8> {
    let mut core = b"\x04\0\x08\0\x00\x05\x20\x03\x01\xca\x03\xaa\x09\x04\0\0\x28\x0a\0\0".to_vec();
    core.extend("PC-7".encode_utf16().flat_map(u16::to_le_bytes));
    core.resize(20 + 32, 0);
    let block = |kind: u16, data: &[u8]| {
        [&kind.to_le_bytes()[..], &u16::try_from(data.len() + 4).unwrap().to_le_bytes(), data].concat()
    };
    let network = b"\x01\0\0\0rdpdr\0\0\0\0\0\x80\x80";
    let data = [b"\x7f\x65\x82\x01\x00Duca\x80\x60".to_vec(), block(0xc001, &core), block(0xc003, network)].concat();
    tpkt(&[&[2, 0xf0, 0x80][..], &data].concat())
}

fn turns() -> Vec<Chunk> {
    use Toward::{Client, Server};
    vec![
        (Server, connection(0xe0, b"Cookie: mstshash=A70067\r\n\x01\x01\x08\0\x03\0\0\0")),
        (Client, connection(0xd0, b"\x02\x09\x08\0\x00\0\0\0")),
        (Server, connect_request()),
        (Client, tpkt(b"\x02\xf0\x80\x7f\x66\x82")),
        (Server, b"\x16\x03\x01 and so on".to_vec()),
    ]
}

#[test]
fn the_beginning_is_told_message_by_message() {
    let mut talk = Conversation::with(3389);
    for (toward, bytes) in turns() {
        talk.stream(toward, &bytes);
    }
    assert_eq!(talk.app.protocol(), Some(AppProto::Rdp));
    let records = talk.records(false);
    let parts: [&[&str]; 4] = [
        &["initial_request", "A70067", "restricted_admin_mode_required"],
        &["initial_response", "extended_client_data", "\"rdp\""],
        &["connect_request", "v5_v8_1", "desktop_width: 1280", "2600", "PC-7", "rdpdr"],
        &["connect_response"],
    ];
    assert_eq!(records.len(), parts.len());
    for (record, parts) in records.iter().zip(parts) {
        assert!(parts.iter().all(|part| record.contains(part)), "{record}");
    }
}

#[test]
fn a_refusal_has_a_reason_and_other_ports_need_a_sign() {
    let mut talk = Conversation::with(3389);
    talk.stream(Toward::Client, &connection(0xd0, b"\x03\0\x08\0\x05\0\0\0"));
    assert!(talk.records(false).concat().contains("hybrid required by server"));
    let asked = connection(0xe0, b"\x01\0\x08\0\x03\0\0\0");
    assert_eq!(Conversation::with(4000).stream(Toward::Server, &asked).app.protocol(), Some(AppProto::Rdp));
    let plain = connection(0xe0, b"\xc0\x01\x0a");
    assert_eq!(Conversation::with(102).stream(Toward::Server, &plain).app.protocol(), None);
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(3389, &turns(), &cuts), whole(3389, &turns()));
    }
}
