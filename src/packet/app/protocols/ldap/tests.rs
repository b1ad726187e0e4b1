use crate::packet::app::testing::{Conversation, cut_up};
use crate::packet::app::TxView;
use crate::rules::app::{AppProto, AppTest, Field, LdapResponses, LdapTest, WhichOf};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

/// Of `dc=x`, for `cn` and `mail`.
const SEARCH: &[u8] = b"\x30\x33\x02\x01\x02\x63\x2e\x04\x04dc=x\x0a\x01\x02\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\
    \x87\x0bobjectClass\x30\x0a\x04\x02cn\x04\x04mail";
/// `cn=a` with its `cn`.
const ENTRY: &[u8] = b"\x30\x18\x02\x01\x02\x64\x13\x04\x04cn=a\x30\x0b\x30\x09\x04\x02cn\x31\x03\x04\x01a";
/// No such object, `dc=x`.
const DONE: &[u8] = b"\x30\x12\x02\x01\x02\x65\x0d\x0a\x01\x20\x04\x04dc=x\x04\x02no";

fn searched() -> Conversation {
    let mut talk = Conversation::with(389);
    talk.stream(Toward::Server, SEARCH).stream(Toward::Client, &[ENTRY, DONE].concat());
    talk
}

fn holds(talk: &mut Conversation, test: &AppTest, toward: Toward) -> bool {
    let mut view = talk.app.view().unwrap();
    let Some((_, TxView { data, .. })) = view.transaction(0, toward) else { return false };
    data.accepts(test, toward)
}

#[test]
fn a_search_has_its_entries_and_its_end() {
    let mut talk = searched();
    assert_eq!(talk.app.protocol(), Some(AppProto::Ldap));
    assert_eq!(talk.buffers(0, Buffer::LDAP_REQUEST_DN, Toward::Server), ["dc=x"]);
    assert_eq!(talk.buffers(0, Buffer::LDAP_REQUEST_ATTRIBUTE_TYPE, Toward::Server), ["cn", "mail"]);
    assert_eq!(talk.buffers(0, Buffer::LDAP_RESPONSES_DN, Toward::Client), ["cn=a", "dc=x"]);
    assert_eq!(talk.buffers(0, Buffer::LDAP_RESPONSES_MESSAGE, Toward::Client), ["no"]);
    assert_eq!(talk.buffers(0, Buffer::LDAP_RESPONSES_ATTRIBUTE_TYPE, Toward::Client), ["cn"]);
    let operation = AppTest::Number { field: Field::LdapRequestOperation, test: NumberTest::Equal(3) };
    assert!(holds(&mut talk, &operation, Toward::Server));
    let count = AppTest::Number { field: Field::LdapResponseCount, test: NumberTest::Equal(2) };
    assert!(holds(&mut talk, &count, Toward::Client));
    for (asks, number, of, wanted) in [
        (LdapResponses::Operation, 4, WhichOf::At(0), true),
        (LdapResponses::Operation, 5, WhichOf::At(0), false),
        (LdapResponses::ResultCode, 32, WhichOf::At(1), true),
        (LdapResponses::ResultCode, 32, WhichOf::All, false),
        (LdapResponses::ResultCode, 32, WhichOf::Any, true),
    ] {
        let test = AppTest::Ldap(LdapTest { asks, test: NumberTest::Equal(number), of });
        assert_eq!(holds(&mut talk, &test, Toward::Client), wanted, "{asks:?} {number} {of:?}");
    }
    assert_eq!(talk.records(false).len(), 1, "it is over");
}

#[test]
fn an_answer_to_nothing_is_told() {
    let mut talk = Conversation::with(389);
    talk.stream(Toward::Client, DONE);
    assert_eq!(talk.events(), ["ldap.request_not_found"]);
}

#[test]
fn garbage_ends_it() {
    let mut talk = searched();
    talk.stream(Toward::Server, b"\x30\x03\x02\x01\x05\x99\x99");
    assert_eq!(talk.counters.parser_errors, 1);
    assert!(talk.events().contains(&"ldap.invalid_data"));
}

#[test]
fn a_long_message_is_skipped() {
    let mut talk = searched();
    talk.stream(Toward::Server, b"\x30\x83\x01\0\0\x02\x01\x05");
    for _ in 0..16 {
        talk.stream(Toward::Server, &[0; 4096]);
    }
    assert_eq!(talk.counters.parser_errors, 1, "three zeros are no message");
    let mut talk = searched();
    talk.stream(Toward::Server, &[&b"\x30\x83\x01\0\0"[..], &[0; 1 << 16], SEARCH].concat());
    assert_eq!(talk.counters.parser_errors, 0);
    assert_eq!(talk.app.view().unwrap().count(), 2);
}

#[test]
fn other_ports_are_not_asked() {
    let mut talk = Conversation::with(1234);
    talk.stream(Toward::Server, SEARCH);
    assert_eq!(talk.app.protocol(), None);
}

proptest::proptest! {
    #[test]
    fn segments_change_nothing(cuts in proptest::collection::vec(proptest::num::u8::ANY, 1..12)) {
        let turns = [(Toward::Server, SEARCH.to_vec()), (Toward::Client, [ENTRY, DONE].concat())];
        proptest::prop_assert_eq!(cut_up(389, &turns, &cuts), cut_up(389, &turns, &[255]));
    }
}

#[test]
fn rules_see_all_requests_of_one_piece() {
    let many = b"\x30\x05\x02\x01\x03\x42\0".repeat(9);
    assert_eq!(searched().judged_of_burst(Toward::Server, &many, false), 9);
    assert_eq!(Conversation::with(389).judged_of_burst(Toward::Server, &many, true), 9, "of one datagram, too");
}
