use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::industrial::CipTest;
use crate::rules::plan::{NumberTest, Toward};

fn message(command: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    [&command.to_le_bytes()[..], &length.to_le_bytes(), &[0; 20], body].concat()
}

fn rr_data(cip: &[u8]) -> Vec<u8> {
    let length = u16::try_from(cip.len()).unwrap().to_le_bytes();
    message(0x6f, &[&b"\0\0\0\0\x05\0\x02\0\0\0\0\0\xb2\0"[..], &length, cip].concat())
}

/// Two services in one: get attribute 1 of the identity, set attribute 3 of class 0xf6.
const MULTIPLE: &[u8] = b"\x0a\x02\x20\x02\x24\x01\x02\0\x06\0\x0e\0\x0e\x03\x20\x01\x24\x01\x30\x01\x10\x04\x21\0\xf6\0\x24\x01\x30\x03";

fn turns() -> Vec<Chunk> {
    vec![
        (Toward::Server, [message(0x65, b"\x01\0\0\0"), rr_data(MULTIPLE)].concat()),
        (Toward::Client, rr_data(b"\x8a\0\0\0\0\0")),
    ]
}

#[test]
fn rules_see_commands_and_services() {
    let mut talk = Conversation::with(44_818);
    for (toward, bytes) in turns() {
        talk.stream(toward, &bytes);
    }
    assert_eq!(talk.app.protocol(), Some(AppProto::Enip));
    let mut view = talk.app.view().unwrap();
    let command = |number| AppTest::Number { field: Field::EnipCommand, test: NumberTest::Equal(number) };
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    assert!(tx.data.accepts(&command(0x65), Toward::Server) && !tx.data.accepts(&command(0x6f), Toward::Server));
    let (_, tx) = view.transaction(1, Toward::Server).unwrap();
    let cases = [
        ((0x0a, None, None), true),
        ((0x0e, Some(1), Some((1, true))), true),
        ((0x10, Some(0xf6), Some((3, true))), true),
        ((0x10, Some(0xf6), Some((3, false))), false),
        ((0x10, Some(1), None), false),
        ((0x4b, None, None), false),
    ];
    for ((service, class, attribute), expected) in cases {
        let test = AppTest::Cip(CipTest { service, class, attribute });
        assert_eq!(tx.data.accepts(&test, Toward::Server), expected, "{test:?}");
    }
    let (_, tx) = view.transaction(2, Toward::Client).unwrap();
    assert!(tx.data.accepts(&AppTest::Cip(CipTest { service: 10, class: None, attribute: None }), Toward::Client));
}

#[test]
fn a_service_in_itself_ends() {
    let ring = b"\x0a\0\x02\0\x00\0\x00\0";
    let mut talk = Conversation::with(44_818);
    talk.datagram(Toward::Server, &rr_data(ring));
    assert_eq!(talk.app.view().unwrap().count(), 1);
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(44_818, &turns(), &cuts), whole(44_818, &turns()));
    }
}
