use crate::packet::app::testing::Conversation;
use crate::rules::app::{AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

/// GetRequest of 1.3.6.1.2.1.1.5.0, version 2c, community `public`.
const GET: &[u8] = b"\x30\x29\x02\x01\x01\x04\x06public\xa0\x1c\x02\x04\x6e\x1a\x61\x00\x02\x01\x00\x02\x01\x00\
    \x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x05\x00\x05\x00";

#[test]
fn a_request_shows_its_version_community_and_variables() {
    let mut talk = Conversation::with(161);
    talk.datagram(Toward::Server, GET);
    assert_eq!(talk.buffers(0, Buffer::SNMP_COMMUNITY, Toward::Server), ["public"]);
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    let holds =
        |field, number| tx.data.accepts(&AppTest::Number { field, test: NumberTest::Equal(number) }, Toward::Server);
    assert!(holds(Field::SnmpVersion, 2) && !holds(Field::SnmpVersion, 1));
    assert!(holds(Field::SnmpPduType, 0));
    let records = talk.records(false);
    assert!(records[0].contains("get_request") && records[0].contains("1.3.6.1.2.1.1.5.0"), "{records:?}");
}

#[test]
fn what_cannot_be_read_is_an_event_and_other_ports_are_not_ours() {
    let mut talk = Conversation::with(161);
    talk.datagram(Toward::Server, b"\x30\x29\x02\x01\x01\x04\x06pub");
    assert_eq!(talk.events(), ["snmp.malformed_data"]);
    assert!(talk.records(true).is_empty());
    assert_eq!(Conversation::with(9999).datagram(Toward::Server, GET).app.protocol(), None);
}
