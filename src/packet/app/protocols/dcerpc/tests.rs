use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppTest, DceInterface};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

/// 12345778-1234-abcd-ef00-0123456789ac as it is written, and as a little-endian sender sends it.
const UUID: [u8; 16] = [0x12, 0x34, 0x57, 0x78, 0x12, 0x34, 0xab, 0xcd, 0xef, 0, 1, 0x23, 0x45, 0x67, 0x89, 0xac];
const SENT: [u8; 16] = [0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0, 1, 0x23, 0x45, 0x67, 0x89, 0xac];

/// One little-endian fragment.
pub fn fragment(kind: u8, flags: u8, call_id: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap().to_le_bytes();
    let header = [5, 0, kind, flags, 0x10, 0, 0, 0, length[0], length[1], 0, 0, call_id, 0, 0, 0];
    [&header[..], body].concat()
}

pub fn bind(flags: u8, call_id: u8, context: u8, version: u8) -> Vec<u8> {
    let head = [0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1, 0, 0, 0, context, 0, 1, 0];
    fragment(11, flags, call_id, &[&head[..], &SENT, &[version, 0, 0, 0], &[0; 20]].concat())
}

pub fn bind_ack(call_id: u8, result: u8) -> Vec<u8> {
    let head = [0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 4, 0, b'1', b'3', b'5', 0, 0, 0];
    fragment(12, 3, call_id, &[&head[..], &[1, 0, 0, 0], &[result, 0, 0, 0], &[0; 20]].concat())
}

pub fn request(flags: u8, call_id: u8, context: u8, opnum: u8, stub: &[u8]) -> Vec<u8> {
    fragment(0, flags, call_id, &[&[0, 0, 0, 0, context, 0, opnum, 0], stub].concat())
}

pub fn response(flags: u8, call_id: u8, stub: &[u8]) -> Vec<u8> {
    fragment(2, flags, call_id, &[&[0; 8], stub].concat())
}

fn interface(version: Option<NumberTest>, any_frag: bool) -> AppTest {
    AppTest::DceInterface(DceInterface { uuid: UUID, version, any_frag })
}

fn accepts(conversation: &mut Conversation, at: usize, test: &AppTest) -> bool {
    let mut view = conversation.app.view().unwrap();
    view.transaction(at, Toward::Server).unwrap().1.data.accepts(test, Toward::Server)
}

fn talk(bind_flags: u8, result: u8) -> Conversation {
    let mut talk = Conversation::with(49_664);
    talk.stream(Toward::Server, &bind(bind_flags, 1, 7, 2));
    talk.stream(Toward::Client, &bind_ack(1, result));
    talk.stream(Toward::Server, &request(1, 2, 7, 15, b"one "));
    talk.stream(Toward::Server, &request(2, 2, 7, 15, b"two"));
    talk
}

#[test]
fn a_call_is_of_the_interface_that_its_context_was_bound_to() {
    let mut talk = talk(3, 0);
    assert_eq!(talk.buffers(1, Buffer::DCE_STUB_DATA, Toward::Server), ["one two"]);
    assert!(accepts(&mut talk, 1, &interface(None, false)));
    assert!(accepts(&mut talk, 1, &interface(Some(NumberTest::Greater(1)), false)));
    assert!(!accepts(&mut talk, 1, &interface(Some(NumberTest::Equal(1)), false)));
    assert!(!accepts(&mut talk, 0, &interface(None, false)), "a bind calls nothing");
    assert!(accepts(&mut talk, 1, &AppTest::DceOpnum(vec![1..=3, 15..=15])));
    assert!(!accepts(&mut talk, 1, &AppTest::DceOpnum(vec![1..=3])));
    talk.stream(Toward::Server, &request(3, 3, 8, 15, b"other context"));
    assert!(!accepts(&mut talk, 2, &interface(None, false)));
}

#[test]
fn what_the_server_refuses_is_not_called_and_first_fragments_matter() {
    assert!(!accepts(&mut talk(3, 2), 1, &interface(None, false)));
    assert!(!accepts(&mut talk(2, 0), 1, &interface(None, false)));
    assert!(accepts(&mut talk(2, 0), 1, &interface(None, true)));
}

#[test]
fn calls_are_told_once_both_halves_are_there() {
    let mut talk = talk(3, 0);
    assert_eq!(talk.records(false).len(), 1);
    talk.stream(Toward::Client, &response(1, 2, b"a"));
    assert_eq!(talk.records(false).len(), 0);
    talk.stream(Toward::Client, &response(2, 2, b"b"));
    let records = talk.records(false);
    assert_eq!(records.len(), 1);
    assert!(records[0].contains("fragments: Some(2), stub_bytes: 7"), "{records:?}");
}

#[test]
fn big_endian_senders_are_read_as_they_write() {
    let mut talk = Conversation::with(49_664);
    let mut call = request(3, 1, 0, 0, b"x");
    call[4] = 0;
    call[8..10].copy_from_slice(&25u16.to_be_bytes());
    call[20..24].copy_from_slice(&[0, 9, 0, 4]);
    talk.stream(Toward::Server, &call);
    assert!(accepts(&mut talk, 0, &AppTest::DceOpnum(vec![4..=4])));
    let mut view = talk.app.view().unwrap();
    assert!(!view.transaction(0, Toward::Server).unwrap().1.data.is_little_endian(Toward::Server));
}

#[test]
fn datagrams_name_their_interface_themselves() {
    let mut datagram = vec![4, 0, 0, 0, 0x10, 0, 0, 0];
    datagram.extend([0; 16]);
    datagram.extend(SENT);
    datagram.extend([0x1f; 16]);
    datagram.extend([0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 15, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0]);
    datagram.extend(b"stub and more");
    let mut talk = Conversation::with(135);
    talk.datagram(Toward::Server, &datagram);
    assert_eq!(talk.buffers(0, Buffer::DCE_STUB_DATA, Toward::Server), ["stub"]);
    assert!(accepts(&mut talk, 0, &interface(Some(NumberTest::Equal(2)), false)));
    assert!(accepts(&mut talk, 0, &AppTest::DceOpnum(vec![15..=15])));
}

#[test]
fn arguments_beyond_the_limit_are_counted_but_not_kept() {
    let mut talk = Conversation::with(49_664);
    talk.limits.body_bytes_max = 1000;
    talk.stream(Toward::Server, &request(1, 1, 0, 1, &[b'a'; 900]));
    talk.stream(Toward::Server, &request(2, 1, 0, 1, &[b'b'; 900]));
    assert_eq!(talk.buffers(0, Buffer::DCE_STUB_DATA, Toward::Server)[0].len(), 1000);
    assert!(talk.records(true)[0].contains("stub_bytes: 1800"));
}

proptest! {
    #[test]
    fn segmentation_changes_nothing(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        let turns: Vec<Chunk> = vec![
            (Toward::Server, bind(3, 1, 0, 1)),
            (Toward::Client, bind_ack(1, 0)),
            (Toward::Server, [request(1, 2, 0, 3, b"first"), request(2, 2, 0, 3, b"second")].concat()),
            (Toward::Client, response(3, 2, b"answer")),
        ];
        prop_assert_eq!(cut_up(49_664, &turns, &cuts), whole(49_664, &turns));
    }
}
