use crate::packet::app::testing::Conversation;
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

fn greeted() -> Conversation {
    let mut talk = Conversation::with(110);
    talk.stream(Toward::Client, b"+OK ready\r\n");
    talk
}

#[test]
fn commands_are_told_with_their_responses() {
    let mut talk = greeted();
    assert_eq!(talk.app.protocol(), Some(AppProto::Pop3));
    talk.stream(Toward::Server, b"user me\r\n").stream(Toward::Client, b"+OK\r\n");
    talk.stream(Toward::Server, b"PASS secret\r\n").stream(Toward::Client, b"-ERR no\r\n");
    talk.stream(Toward::Server, b"LIST\r\n").stream(Toward::Client, b"+OK 1\r\n1 120\r\n.\r\n");
    let records = talk.records(true);
    assert_eq!(records.len(), 4, "{records:?}");
    let has = |record: &str, text: &str| record.contains(&format!("{:?}", text.as_bytes()));
    assert!(has(&records[1], "USER") && has(&records[1], "me"), "{}", records[1]);
    assert!(has(&records[2], "PASS") && !has(&records[2], "secret"), "{}", records[2]);
    assert!(records[2].contains("success: false"), "{}", records[2]);
    assert!(has(&records[3], "LIST"), "{}", records[3]);
}

#[test]
fn a_mail_is_passed_over_up_to_its_dot() {
    let mut talk = greeted();
    talk.stream(Toward::Server, b"RETR 1\r\nQUIT\r\n");
    talk.stream(Toward::Client, b"+OK 20 octets\r\nSubject: a\r\n\r\n-ERR\r\n..\r\n").stream(Toward::Client, b".\r\n+OK bye\r\n");
    assert_eq!(talk.records(false).len(), 3);
}

#[test]
fn tls_begins_when_the_server_agrees() {
    let mut talk = greeted();
    talk.stream(Toward::Server, b"STLS\r\n").stream(Toward::Client, b"+OK go on\r\n");
    talk.stream(Toward::Server, b"\x16\x03\x01\0\x05\x01\0\0\x01\0");
    assert_eq!(talk.app.protocol(), Some(AppProto::Tls));
}

#[test]
fn long_lines_are_told_once() {
    let mut talk = greeted();
    talk.stream(Toward::Server, &[&b"NOOP "[..], &b"x".repeat(5000), b"\r\nQUIT\r\n"].concat());
    assert_eq!(talk.events(), ["pop3.command_too_long"]);
    assert_eq!(talk.app.view().unwrap().count(), 3);
}

#[test]
fn rules_see_all_commands_of_one_piece() {
    assert_eq!(greeted().judged_of_burst(Toward::Server, &b"NOOP\r\n".repeat(9), false), 9);
}
