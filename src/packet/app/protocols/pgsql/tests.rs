use crate::packet::app::testing::{Conversation, cut_up};
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

const STARTUP: &[u8] = b"\0\0\0\x16\0\x03\0\0user\0me\0db\0x\0\0";
const HELLO: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

#[test]
fn a_query_has_its_rows_and_its_end() {
    let mut talk = Conversation::with(1234);
    talk.stream(Toward::Server, b"\0\0\0\x11\0\x03\0\0user\0me\0\0");
    assert_eq!(talk.app.protocol(), Some(AppProto::Pgsql), "known on any port");
    talk.stream(Toward::Client, &[message(b'R', &[0; 4]), message(b'Z', b"I")].concat());
    assert_eq!(talk.records(false).len(), 1);
    talk.stream(Toward::Server, &message(b'Q', b"select 1\0"));
    assert_eq!(talk.buffers(0, Buffer::PGSQL_QUERY, Toward::Server), ["select 1"]);
    let rows = [message(b'D', b"abc"), message(b'D', b"d"), message(b'C', b"SELECT 2\0"), message(b'Z', b"I")];
    talk.stream(Toward::Client, &rows.concat());
    let records = talk.records(false);
    assert_eq!(records.len(), 1);
    for part in ["data_rows: Some(2)", "data_size: Some(4)"] {
        assert!(records[0].contains(part), "{}", records[0]);
    }
}

#[test]
fn rules_see_all_requests_of_one_piece() {
    let mut talk = Conversation::with(5432);
    talk.stream(Toward::Server, STARTUP);
    assert_eq!(talk.judged_of_burst(Toward::Server, &message(b'Q', b"SELECT 1\0").repeat(9), false), 9);
}

#[test]
fn tls_follows_a_yes_and_nothing_else() {
    for (answer, next, protocol) in
        [(b"S", &b"\x16\x03\x01\0\x05\x01\0\0\x01\0"[..], AppProto::Tls), (b"N", STARTUP, AppProto::Pgsql)]
    {
        let mut talk = Conversation::with(5432);
        talk.stream(Toward::Server, HELLO).stream(Toward::Client, answer).stream(Toward::Server, next);
        assert_eq!(talk.app.protocol(), Some(protocol));
    }
}

#[test]
fn passwords_are_not_told() {
    let mut talk = Conversation::with(5432);
    talk.stream(Toward::Server, HELLO).stream(Toward::Client, b"N").stream(Toward::Server, STARTUP);
    talk.stream(Toward::Client, &message(b'R', &[0, 0, 0, 3])).stream(Toward::Server, &message(b'p', b"secret\0"));
    let records = talk.records(true).concat();
    assert!(records.contains("password_redacted: true"), "{records}");
    let as_bytes = format!("{:?}", b"secret");
    assert!(!records.contains("\"secret\"") && !records.contains(as_bytes.trim_matches(['[', ']'])), "{records}");
}

#[test]
fn what_is_too_long_is_cut() {
    let mut talk = Conversation::with(5432);
    talk.stream(Toward::Server, HELLO).stream(Toward::Client, b"N").stream(Toward::Server, STARTUP);
    talk.stream(Toward::Client, &[message(b'R', &[0; 4]), message(b'Z', b"I")].concat());
    talk.records(false);
    talk.stream(Toward::Server, &message(b'Q', &[b'q'; 100_000])).stream(Toward::Server, &message(b'X', b""));
    assert_eq!(talk.buffers(0, Buffer::PGSQL_QUERY, Toward::Server)[0].len(), super::MESSAGE_BYTES_MAX);
    assert_eq!(talk.app.view().unwrap().count(), 2, "what follows is found");
    assert_eq!(talk.counters.parser_errors, 0);
}

proptest::proptest! {
    #[test]
    fn segments_change_nothing(cuts in proptest::collection::vec(proptest::num::u8::ANY, 1..12)) {
        let turns = [
            (Toward::Server, HELLO.to_vec()),
            (Toward::Client, b"N".to_vec()),
            (Toward::Server, b"\0\0\0\x11\0\x03\0\0user\0me\0\0".to_vec()),
            (Toward::Client, [message(b'R', &[0; 4]), message(b'S', b"TimeZone\0UTC\0"), message(b'Z', b"I")].concat()),
            (Toward::Server, message(b'Q', b"select 1\0")),
            (Toward::Client, [message(b'D', b"abc"), message(b'E', b"SERROR\0\0"), message(b'Z', b"I")].concat()),
        ];
        proptest::prop_assert_eq!(cut_up(5432, &turns, &cuts), cut_up(5432, &turns, &[255]));
    }
}
