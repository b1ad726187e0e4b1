use proptest::prelude::*;

use super::address::Place;
use super::*;
use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::plan::NumberTest;

const PORT: u16 = 21;

fn client(text: &str) -> Chunk {
    (Toward::Server, text.as_bytes().to_vec())
}

fn server(text: &str) -> Chunk {
    (Toward::Client, text.as_bytes().to_vec())
}

fn talk(turns: &[Chunk]) -> Conversation {
    let mut conversation = Conversation::with(PORT);
    for (toward, bytes) in turns {
        conversation.stream(*toward, bytes);
    }
    conversation
}

fn session() -> Vec<Chunk> {
    vec![
        server("220-one\r\n two\r\n220 three\r\n"),
        client("USER anonymous\r\n"),
        server("331 word?\r\n"),
        client("PASS a@b c\r\n"),
        server("230 in\r\n"),
        client("PASV\r\n"),
        server("227 Entering Passive Mode (192,0,2,1,19,136).\r\n"),
        client("RETR a b.exe\r\n"),
        server("150 here\r\n226 done\r\n"),
    ]
}

#[test]
fn whatever_the_client_says_first_it_is_ftp() {
    for (greeting, port) in [("220 ready\r\n", 21), ("220 FTP ready\r\n", 4021), ("220 ready\r\n", 4021)] {
        for first in ["NOOP\r\n", "what\r\n", " USER a\r\n", "SYST\r\n"] {
            let mut told = Conversation::with(port);
            told.stream(Toward::Client, greeting.as_bytes()).stream(Toward::Server, first.as_bytes());
            told.stream(Toward::Client, b"200 x\r\n").stream(Toward::Server, b"USER evil\r\n");
            assert_eq!(told.app.protocol(), Some(AppProto::Ftp), "{greeting:?} {first:?}");
        }
    }
}

#[test]
fn addresses_are_read_in_each_form() {
    let at = |address: [u8; 4], port| Some(Place { address: Some(address.into()), port });
    let somewhere = |port| Some(Place { address: None, port });
    assert_eq!(address::port(b"10,0,0,1,19,136"), at([10, 0, 0, 1], 5000));
    assert_eq!(address::port(b"10,0,0,1,19"), None);
    assert_eq!(address::port(b"10,0,0,1,19,256"), None);
    assert_eq!(address::port(b"10,0,0,1,19,136,1"), None);
    assert_eq!(address::extended_port(b"|1|10.0.0.1|5000|"), at([10, 0, 0, 1], 5000));
    let six = Some(Place { address: Some("2001:db8::1".parse().unwrap()), port: 5000 });
    assert_eq!(address::extended_port(b"!2!2001:db8::1!5000!"), six);
    assert_eq!(address::extended_port(b"|1|10.0.0.1|70000|"), None);
    assert_eq!(address::passive(b"227 Entering (192,0,2,1,19,136)"), somewhere(5000));
    assert_eq!(address::passive(b"227 192,0,2,1,19,136."), somewhere(5000), "without parentheses");
    assert_eq!(address::passive(b"227 no"), None);
    assert_eq!(address::extended_passive(b"229 Entering (|||5000|)"), somewhere(5000));
    assert_eq!(address::extended_passive(b"229 ("), None);
}

#[test]
fn commands_meet_their_replies() {
    let mut told = talk(&session());
    assert_eq!(told.app.protocol(), Some(AppProto::Ftp));
    assert_eq!(told.buffers(0, Buffer::FTP_REPLY, Toward::Client), ["one", " two", "three"]);
    assert_eq!(told.buffers(1, Buffer::FTP_COMMAND, Toward::Server), ["USER"]);
    assert_eq!(told.buffers(2, Buffer::FTP_COMMAND_DATA, Toward::Server), ["a@b c"]);
    assert_eq!(told.buffers(4, Buffer::FTP_COMPLETION_CODE, Toward::Client), ["150", "226"]);
    assert_eq!(told.records(false).len(), 5, "greeting, USER, PASS, PASV, RETR");
    assert_eq!(told.events(), [""; 0]);
}

#[test]
fn transfers_are_announced_with_their_place() {
    let transfer = |command, name: &str| Transfer { command, file_name: name.as_bytes().to_vec() };
    let passive = Announcement { opener: Opener::Client, port: 5000, transfer: transfer("RETR", "a b.exe") };
    assert_eq!(talk(&session()).app.take_announced(), [passive]);

    let turns = [
        client("USER x\r\nPORT 10,0,0,1,19,137\r\nSTOR up\r\nRETR again\r\nEPSV\r\n"),
        server("331 x\r\n200 ok\r\n226 x\r\n550 x\r\n229 (|||5001|)\r\n"),
        client("retr two\r\n"),
    ];
    let active = Announcement { opener: Opener::Server, port: 5001, transfer: transfer("STOR", "up") };
    let extended = Announcement { opener: Opener::Client, port: 5001, transfer: transfer("RETR", "two") };
    assert_eq!(talk(&turns).app.take_announced(), [active, extended], "what was agreed on serves one transfer");
}

#[test]
fn replies_meet_their_commands_behind_some_that_gave_way() {
    for many in [255, 256, 257, 300, 600] {
        let mut told = talk(&[client("USER x\r\n"), server("331 x\r\n")]);
        told.records(false);
        told.stream(Toward::Server, "NOOP\r\n".repeat(many).as_bytes()).stream(Toward::Server, b"PASV\r\n");
        for _ in 0..many {
            told.stream(Toward::Client, b"200-yes\r\n 227 (1,1,1,1,1,1)\r\n200 ok\r\n");
            told.records(false);
        }
        told.stream(Toward::Client, b"227 Entering (192,0,2,1,19,136)\r\n");
        assert_eq!(told.buffers(0, Buffer::FTP_COMMAND, Toward::Client), ["PASV"], "{many}");
        assert_eq!(told.records(false).len(), 1, "{many}: nothing waits");
        told.stream(Toward::Server, b"RETR a\r\n").stream(Toward::Client, b"150 x\r\n226 x\r\n");
        assert_eq!(told.app.take_announced().iter().map(|what| what.port).collect::<Vec<_>>(), [5000], "{many}");
        assert_eq!(told.buffers(0, Buffer::FTP_COMPLETION_CODE, Toward::Client), ["150", "226"], "{many}");
    }
}

#[test]
fn the_reply_to_a_command_that_gave_way_announces_all_the_same() {
    let mut told = talk(&[client("USER x\r\n"), server("331 x\r\n"), client("PASV\r\n")]);
    told.stream(Toward::Server, "NOOP\r\n".repeat(300).as_bytes());
    told.stream(Toward::Client, b"227 Entering (192,0,2,1,19,136)\r\n").stream(Toward::Server, b"RETR a\r\n");
    assert_eq!(told.app.take_announced().len(), 1);
}

#[test]
fn rules_ask_for_the_channel() {
    let asks = |told: &mut Conversation, at: usize, test: AppTest| {
        let mut view = told.app.view().unwrap();
        view.transaction(at, Toward::Server).unwrap().1.data.accepts(&test, Toward::Server)
    };
    let mut told = talk(&[client("USER x\r\nPORT 10,0,0,1,19,136\r\nPORT 10,0,0,9,0,22\r\n"), server("331 x\r\n")]);
    assert!(!asks(&mut told, 1, AppTest::FtpBounce), "the client's own address");
    assert!(asks(&mut told, 2, AppTest::FtpBounce));
    assert!(asks(&mut told, 1, AppTest::FtpMode { passive: false }));
    let port = AppTest::Number { field: Field::FtpDynamicPort, test: NumberTest::Less(1024) };
    assert!(!asks(&mut told, 1, port.clone()));
    assert!(asks(&mut told, 2, port));
    assert!(asks(&mut told, 0, AppTest::FtpReplied { received: true }));
    assert!(asks(&mut told, 1, AppTest::FtpReplied { received: false }));
}

#[test]
fn long_lines_are_cut_and_told() {
    let long = "x".repeat(10_000);
    let mut told = talk(&[client(&format!("USER {long}\r\n")), server(&format!("331 {long}\r\n"))]);
    assert_eq!(told.events(), ["ftp.request_command_too_long", "ftp.response_command_too_long"]);
    assert_eq!(told.buffers(0, Buffer::FTP_COMMAND_DATA, Toward::Server)[0].len(), LINE_BYTES_MAX - 5);
    assert_eq!(told.records(false).len(), 1, "the rest of the line is no command");
}

#[test]
fn tls_begins_when_the_server_says_so() {
    let told = talk(&[client("AUTH TLS\r\n"), server("234 go\r\n")]);
    assert_eq!(told.app.before, Some(AppProto::Ftp));
}

proptest! {
    #[test]
    fn any_segmentation_gives_the_same(cuts in proptest::collection::vec(any::<u8>(), 1..8)) {
        prop_assert_eq!(cut_up(PORT, &session(), &cuts), whole(PORT, &session()));
    }

    #[test]
    fn any_replies_are_read_within_bounds(lines in proptest::collection::vec("(227|229|[0-9]{0,4})[ -]?[0-9,(|)]{0,30}\r\n", 0..60)) {
        let mut told = talk(&[client("PASV\r\nUSER x\r\n"), client("EPSV\r\n")]);
        for line in &lines {
            told.stream(Toward::Client, line.as_bytes());
        }
        prop_assert!(told.app.heap_bytes() < 1 << 20);
    }
}
