use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppTest, Field};
use crate::rules::plan::{NumberTest, Toward};

/// KRB-ERROR: preauthentication required, realm `R`, server `krbtgt/R`.
const ERROR: &[u8] = b"\x7e\x46\x30\x44\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\xa4\x11\x18\x0f20260101000000Z\
    \xa5\x03\x02\x01\x01\xa6\x03\x02\x01\x19\xa9\x03\x1b\x01R\xaa\x16\x30\x14\xa0\x03\x02\x01\x02\xa1\x0d\x30\x0b\
    \x1b\x06krbtgt\x1b\x01R";

#[test]
fn errors_are_told_with_their_code_and_names() {
    let mut talk = Conversation::with(88);
    talk.datagram(Toward::Client, ERROR);
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(0, Toward::Client).unwrap();
    let holds =
        |field, number| tx.data.accepts(&AppTest::Number { field, test: NumberTest::Equal(number) }, Toward::Client);
    assert!(holds(Field::KrbMessageType, 30) && holds(Field::KrbErrorCode, 25));
    let records = talk.records(false);
    assert!(records[0].contains("krbtgt/R") && records[0].contains("KDC_ERR_PREAUTH_REQUIRED"), "{records:?}");
}

#[test]
fn broken_messages_are_events_and_long_ones_end_the_parsing() {
    let mut talk = Conversation::with(88);
    talk.datagram(Toward::Server, b"\x6a\x05hello");
    assert_eq!(talk.events(), ["krb5.malformed_data"]);
    let mut talk = Conversation::with(88);
    talk.stream(Toward::Server, b"\0\xff\xff\xff\x6a\x82\x00\x00");
    assert_eq!(talk.counters.parser_errors, 1);
}

#[test]
fn segmentation_changes_nothing() {
    let framed = [&[0, 0, 0, ERROR.len() as u8], ERROR].concat();
    let turns: Vec<Chunk> = vec![(Toward::Client, framed.repeat(2))];
    for cuts in [[1u8, 1], [7, 200], [255, 3]] {
        assert_eq!(cut_up(88, &turns, &cuts), whole(88, &turns));
    }
}
