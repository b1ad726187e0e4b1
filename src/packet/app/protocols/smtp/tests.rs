use proptest::prelude::*;

use super::*;
use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::keyword::buffers::Buffer;

const PORT: u16 = 25;

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

/// Up to the reply to DATA.
fn opening() -> Vec<Chunk> {
    vec![
        server("220-mail.example\r\n220 ESMTP\r\n"),
        client("EHLO me.example\r\n"),
        server("250-PIPELINING\r\n250 HELP\r\n"),
        client("MAIL FROM:<a@example> SIZE=10\r\nrcpt to: <b@example>\r\nRCPT TO:<c@example>\r\nDATA\r\n"),
        server("250 a\r\n250 b\r\n250 c\r\n354 go\r\n"),
    ]
}

fn mail() -> Vec<Chunk> {
    let mut turns = opening();
    turns.push(client(
        "Subject: hi\r\nTo: b@example, c@example\r\nContent-Disposition: attachment; filename=\"n.txt\"\r\n\r\n..one\r\n.two\r\n.\r\nQUIT\r\n",
    ));
    turns.push(server("250 queued\r\n221 bye\r\n"));
    turns
}

#[test]
fn envelope_headers_and_files_are_buffers() {
    let mut told = talk(&mail());
    assert_eq!(told.app.protocol(), Some(AppProto::Smtp));
    let mut buffer = |buffer| told.buffers(0, buffer, Toward::Server);
    assert_eq!(buffer(Buffer::SMTP_HELO), ["me.example"]);
    assert_eq!(buffer(Buffer::SMTP_MAIL_FROM), ["<a@example>"]);
    assert_eq!(buffer(Buffer::SMTP_RCPT_TO), ["<b@example>", "<c@example>"]);
    assert_eq!(buffer(Buffer::EMAIL_SUBJECT), ["hi"]);
    assert_eq!(buffer(Buffer::FILE_NAME), ["n.txt"]);
    assert_eq!(buffer(Buffer::FILE_DATA), [".one\\r\\ntwo"], "dots are taken off");
    assert_eq!(told.events(), [""; 0]);
    let records = told.records(false);
    assert!(records.iter().any(|record| record.starts_with("0 Smtp")), "{records:?}");
}

#[test]
fn what_goes_wrong_has_a_name() {
    let hello = || vec![server("220 x\r\n"), client("EHLO a\r\n"), server("250 x\r\n")];
    let cases: [(&str, Vec<Chunk>, &[&str]); 9] = [
        ("no greeting", vec![client("EHLO a\r\n")], &["smtp.no_server_welcome_message"]),
        ("a second sender", vec![client("MAIL FROM:<a>\r\nMAIL FROM:<b>\r\n")], &["smtp.duplicate_fields"]),
        ("a reply to nothing", vec![server("250 x\r\n")], &["smtp.unable_to_match_reply_with_request"]),
        ("a reply that is none", vec![client("NOOP\r\n"), server("what\r\n")], &["smtp.invalid_reply"]),
        ("DATA refused", vec![client("DATA\r\n"), server("554 no\r\n")], &["smtp.data_command_rejected"]),
        ("TLS refused", vec![client("STARTTLS\r\n"), server("454 no\r\n")], &["smtp.tls_rejected"]),
        ("a command behind STARTTLS", vec![client("STARTTLS\r\nNOOP\r\n")], &["smtp.invalid_pipelined_sequence"]),
        ("BDAT of nothing", vec![client("BDAT x\r\n")], &["smtp.unparsable_content"]),
        (
            "more than BDAT said",
            vec![client("BDAT 2\r\nab\x01\x02\x03\x04\x05\r\n")],
            &["smtp.bdat_chunk_len_exceeded"],
        ),
    ];
    for (what, turns, events) in cases {
        let mut turns = turns;
        if what != "no greeting" {
            turns.splice(0..0, hello());
        }
        assert_eq!(talk(&turns).events(), events, "{what}");
    }
    let mut long = hello();
    long.push(client(&format!("NOOP {}\r\n", "x".repeat(5000))));
    assert_eq!(talk(&long).events(), ["smtp.max_command_line_len_exceeded", "smtp.truncated_line"]);
}

#[test]
fn chunks_make_a_mail_and_the_next_one_begins() {
    let mut turns = opening();
    turns.truncate(3);
    turns.push(client("MAIL FROM:<a>\r\nBDAT 12\r\nSubject: on"));
    turns.push(client("eBDAT 10 LAST\r\n\r\n\r\nDATA\r\nMAIL FROM:<b>\r\n"));
    let mut told = talk(&turns);
    assert_eq!(told.buffers(0, Buffer::EMAIL_SUBJECT, Toward::Server), ["one"]);
    assert_eq!(told.buffers(1, Buffer::SMTP_MAIL_FROM, Toward::Server), ["<b>"]);
    assert_eq!(told.events(), [""; 0]);
}

#[test]
fn a_reset_ends_the_transaction() {
    let mut turns = opening();
    turns.truncate(3);
    turns.extend([client("MAIL FROM:<a>\r\nRSET\r\n"), server("250 a\r\n250 reset\r\n"), client("MAIL FROM:<b>\r\n")]);
    let mut told = talk(&turns);
    assert_eq!(told.buffers(0, Buffer::SMTP_MAIL_FROM, Toward::Server), ["<a>"]);
    assert_eq!(told.buffers(1, Buffer::SMTP_MAIL_FROM, Toward::Server), ["<b>"]);
}

#[test]
fn tls_begins_when_the_server_says_so() {
    let turns = [
        server("220 x\r\n"),
        client("EHLO a\r\n"),
        server("250 STARTTLS\r\n"),
        client("STARTTLS\r\n"),
        server("220 go\r\n"),
    ];
    let told = talk(&turns);
    assert_eq!(told.app.before, Some(AppProto::Smtp));
}

/// A server answers any word, and goes on to the mail.
#[test]
fn whatever_the_client_says_first_it_is_smtp() {
    let greeting = server("220 mail.example ESMTP\r\n");
    let rest = "EHLO a\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nSubject: evil\r\n\r\nx\r\n.\r\n";
    for first in ["NOOP\r\n", "RSET\r\n", "VRFY root\r\n", " HELO a\r\n", "MAIL FROM:<a>\r\n", "what\r\n", "\r\n"] {
        for port in [25, 4025] {
            for greeted_first in [true, false] {
                let mut told = Conversation::with(port);
                let mut turns = vec![greeting.clone(), client(first), client(rest)];
                if !greeted_first {
                    turns = vec![client(first), client(rest), greeting.clone()];
                }
                turns.iter().for_each(|(toward, bytes)| {
                    told.stream(*toward, bytes);
                });
                assert_eq!(told.app.protocol(), Some(AppProto::Smtp), "{first:?} {port} {greeted_first}");
                let count = told.app.view().map_or(0, |view| view.count());
                let subjects = (0..count).flat_map(|at| told.buffers(at, Buffer::EMAIL_SUBJECT, Toward::Server));
                assert_eq!(subjects.collect::<Vec<_>>(), ["evil"], "{first:?} {port} {greeted_first}");
            }
        }
    }
}

fn subject_is_seen(turns: &[Chunk]) -> bool {
    let mut told = talk(turns);
    let count = told.app.view().map_or(0, |view| view.count());
    (0..count).any(|at| told.buffers(at, Buffer::EMAIL_SUBJECT, Toward::Server) == ["evil"])
}

#[test]
fn a_chunk_that_is_refused_hides_no_commands() {
    let turns = [
        &opening()[..3],
        &[
            client("BDAT 10000000\r\n"),
            server("502 what?\r\n"),
            client("\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"),
            server("500 what?\r\n250 a\r\n250 b\r\n354 go\r\n"),
            client("Subject: evil\r\n\r\nx\r\n.\r\n"),
        ],
    ]
    .concat();
    assert!(subject_is_seen(&turns));
}

#[test]
fn replies_that_may_answer_others_refuse_no_mail() {
    let flooded = [
        &opening()[..3],
        &[
            client(&"NOOP\r\n".repeat(260)),
            server(&"250 x\r\n".repeat(20)),
            client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"),
            server(&"250 x\r\n".repeat(242)),
            server("354 go\r\n"),
            client("Subject: evil\r\n\r\nx\r\n.\r\n"),
        ],
    ]
    .concat();
    assert!(subject_is_seen(&flooded), "more commands than are remembered");
    let pipelined = [
        &opening()[..3],
        &[
            client("DATA\r\nNOOP\r\nNOOP\r\nNOOP\r\n"),
            server("503 no\r\n"),
            client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"),
            server("250 x\r\n250 x\r\n250 x\r\n250 a\r\n250 b\r\n354 go\r\n"),
            client("Subject: evil\r\n\r\nx\r\n.\r\n"),
        ],
    ]
    .concat();
    assert!(subject_is_seen(&pipelined), "commands that we took for a mail");
}

#[test]
fn a_mail_goes_on_behind_a_gap() {
    let mut turns = opening();
    turns.push(client("Content-Disposition: attachment; filename=f\r\n\r\none\r\n"));
    let mut told = talk(&turns);
    told.gap(Toward::Server, 100);
    told.stream(Toward::Server, b"rest of a line\r\ntwo\r\n.\r\n");
    let records = told.everything();
    assert!(records.iter().any(|seen| seen.contains("file.data") && seen.contains("two")), "{records:?}");
    assert_eq!(told.app.protocol(), Some(AppProto::Smtp));
}

proptest! {
    /// Where chunks cut the lines makes no difference, boundaries included.
    #[test]
    fn any_chunks_give_the_same_mail(sizes in proptest::collection::vec(1_usize..40, 1..9)) {
        let text = "Content-Type: multipart/mixed; boundary=xyz\r\n\r\n--xyz\r\n\
            Content-Disposition: attachment; filename=f\r\n\r\nMZ\r\nmore\r\n--xyz--\r\n";
        let mut wire = "MAIL FROM:<a>\r\n".to_owned();
        let (mut rest, mut sizes) = (text, sizes.iter().cycle());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            wire += &format!("BDAT {}{}\r\n{chunk}", chunk.len(), if after.is_empty() { " LAST" } else { "" });
            rest = after;
        }
        let mut turns = opening()[..3].to_vec();
        turns.push(client(&wire));
        let mut told = talk(&turns);
        prop_assert_eq!(told.buffers(0, Buffer::FILE_DATA, Toward::Server), ["MZ\\r\\nmore"]);
        prop_assert_eq!(told.events(), [""; 0]);
    }

    #[test]
    fn any_segmentation_gives_the_same(cuts in proptest::collection::vec(any::<u8>(), 1..8)) {
        prop_assert_eq!(cut_up(PORT, &mail(), &cuts), whole(PORT, &mail()));
    }

    #[test]
    fn any_words_are_read_within_bounds(words in proptest::collection::vec("(DATA|BDAT [0-9]{1,20}( LAST)?|RSET|MAIL FROM:[a-z<>]{0,9}|STARTTLS|\\.|[ -~]{0,40})\r?\n", 0..40)) {
        let mut told = talk(&opening()[..3]);
        for line in &words {
            told.stream(Toward::Server, line.as_bytes());
        }
        prop_assert!(told.app.heap_bytes() < 1 << 20);
    }
}
