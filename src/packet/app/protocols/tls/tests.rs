use proptest::prelude::*;

use super::samples::*;
use super::*;
use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::keyword::buffers::Buffer;

const PORT: u16 = 443;
const CLIENT: Toward = Toward::Server;
const SERVER: Toward = Toward::Client;

fn conversation(turns: &[Chunk]) -> Conversation {
    let mut conversation = Conversation::with(PORT);
    for (toward, bytes) in turns {
        conversation.stream(*toward, bytes);
    }
    conversation
}

#[test]
fn a_recording_tells_what_the_client_has_acknowledged() {
    let der = certificate();
    let hello = record(22, &server_hello(0x0303, &extension(16, b"\x00\x03\x02h2")));
    let rest = [record(22, &certificates(&[&der])), record(22, &message(14, &[]))].concat();
    let (first, all) = (hello.len() as u64, (hello.len() + rest.len()) as u64);
    let ticket = extension(35, &[]);
    for (acknowledged, version, subject) in [(0, "0", false), (first, "771", false), (all, "771", true)] {
        let mut seen = Conversation::with(PORT);
        seen.stream(CLIENT, &record(22, &client_hello(&ticket))).acknowledge(SERVER, 0);
        seen.stream(SERVER, &hello).stream(SERVER, &rest).acknowledge(SERVER, acknowledged);
        assert_eq!(seen.records(false).len(), usize::from(subject), "due once the client has all: {acknowledged}");
        let told = seen.records(true).pop().unwrap_or_else(|| {
            seen.app.record(0).map(|record| format!("{record:?}")).unwrap()
        });
        assert!(told.contains(&format!("version: {version},")), "{acknowledged}: {told}");
        assert_eq!(told.contains("CN=www.example.com"), subject, "{acknowledged}: {told}");
        assert_eq!(seen.buffers(0, Buffer::TLS_CERT_SUBJECT, SERVER).len(), 1, "rules have seen it all the same");
    }
}

#[test]
fn a_handshake_fills_the_buffers() {
    let mut seen = conversation(&handshake());
    let names = ["www.example.com", "example.com", "192.0.2.1"];
    let cases: [(Buffer, Toward, &[&str]); 14] = [
        (Buffer::TLS_SNI, CLIENT, &["www.example.com"]),
        (Buffer::TLS_ALPN, CLIENT, &["h2", "http/1.1"]),
        (Buffer::TLS_ALPN, SERVER, &["h2"]),
        (Buffer::TLS_CERT_SUBJECT, SERVER, &["C=US, O=Example, Inc., CN=www.example.com"]),
        (Buffer::TLS_CERT_SUBJECT, CLIENT, &[]),
        (Buffer::TLS_CERT_ISSUER, SERVER, &["C=US, O=Example, Inc., CN=www.example.com"]),
        (Buffer::TLS_CERT_SERIAL, SERVER, &["00:C0:FF:EE:01"]),
        (Buffer::TLS_CERT_FINGERPRINT, SERVER, &["9c:3f:f7:a4:7b:09:04:57:48:da:56:ad:85:ae:9c:81:43:85:c1:97"]),
        (Buffer::TLS_SUBJECTALTNAME, SERVER, &names),
        (Buffer::TLS_RANDOM_TIME, CLIENT, &["\\x00\\x01\\x02\\x03"]),
        (Buffer::JA3_STRING, CLIENT, &["771,4865-49195,0-10-11-13-16,29-23,0"]),
        (Buffer::JA3S_STRING, SERVER, &["771,49195,16"]),
        (Buffer::JA3_STRING, SERVER, &[]),
        (Buffer::JA4_HASH, CLIENT, &["t12d0205h2_777cda164f4b_876bcc86782c"]),
    ];
    for (buffer, toward, expected) in cases {
        assert_eq!(seen.buffers(0, buffer, toward), expected, "{} {toward:?}", buffer.info().name);
    }
    assert_eq!(seen.buffers(0, Buffer::TLS_CERTS, SERVER).len(), 2);
    assert_eq!(seen.buffers(0, Buffer::TLS_RANDOM_BYTES, SERVER).len(), 1);
    assert_eq!(seen.events(), [""; 0]);
    assert!(seen.app.is_encrypted() && !seen.app.is_opaque());
    assert_eq!(seen.records(false).len(), 1, "told once the certificate is there");
    assert_eq!(seen.records(true).len(), 0, "and once");
}

#[test]
fn a_session_is_told_where_no_certificate_can_be_seen() {
    let ticket = [usual_extensions(), extension(35, &[])].concat();
    let versions = [usual_extensions(), extension(43, &[4, 0x2a, 0x2a, 3, 4])].concat();
    let hello = |extensions: &[u8]| (CLIENT, record(22, &client_hello(extensions)));
    let answer = |version, extensions: &[u8]| (SERVER, record(22, &server_hello(version, extensions)));
    let data = (CLIENT, record(23, &[0; 20]));
    let cases: [(&str, Vec<Chunk>, Option<&str>); 5] = [
        ("neither ticket nor certificate", vec![hello(&usual_extensions()), answer(0x0303, &[])], None),
        ("a ticket, and no answer", vec![hello(&ticket)], Some("version: 0, ")),
        ("a ticket", vec![hello(&ticket), answer(0x0301, &[]), data.clone()], Some("version: 769, ")),
        ("TLS 1.3", vec![hello(&versions), answer(0x0303, &extension(43, &[3, 4])), data], Some("version: 772, ")),
        ("an early draft", vec![hello(&usual_extensions()), answer(0x7f0e, &[])], Some("version: 32513, ")),
    ];
    for (what, turns, expected) in cases {
        let records = conversation(&turns).records(true);
        assert_eq!(records.len(), usize::from(expected.is_some()), "{what}");
        assert!(expected.is_none_or(|part| records[0].contains(part)), "{what}: {records:?}");
        assert_eq!(what == "a ticket", records.iter().any(|record| record.contains("session_resumed: true")), "{what}");
    }
}

#[test]
fn damage_is_named_and_what_was_read_stays() {
    let hello = |extensions: &[u8]| record(22, &client_hello(extensions));
    let name = server_name(b"a.example");
    let der = certificate();
    let cut = certificates(&[&der[..100]]);
    let cases: [(&str, Chunk, &[&str]); 10] = [
        ("two names", (CLIENT, hello(&[name.clone(), name.clone()].concat())), &["tls.multiple_sni_extensions"]),
        ("no host name", (CLIENT, hello(&extension(0, &[0, 3, 1, 0, 0]))), &["tls.invalid_sni_type"]),
        ("an empty name", (CLIENT, hello(&server_name(b""))), &["tls.invalid_sni_length"]),
        ("a name that is too long", (CLIENT, hello(&server_name(&[b'a'; 256]))), &["tls.invalid_sni_length"]),
        ("an extension that ends early", (CLIENT, hello(&name[..6])), &["tls.handshake_invalid_length"]),
        ("no record of TLS", (CLIENT, [hello(&name), vec![9; 5]].concat()), &["tls.invalid_record_type"]),
        ("an unknown message", (CLIENT, record(22, &message(99, b"x"))), &["tls.invalid_handshake_message"]),
        ("half a certificate", (SERVER, record(22, &cut)), &["tls.invalid_certificate"]),
        (
            "a list that ends early",
            (SERVER, record(22, &message(11, &behind24(&[0, 0, 9, 1])))),
            &["tls.invalid_certificate"],
        ),
        (
            "a heartbeat that claims what it has not",
            (CLIENT, [hello(&name), record(24, &[1, 0x40, 0])].concat()),
            &["tls.overflow_heartbeat_message"],
        ),
    ];
    for (what, turn, events) in cases {
        let mut seen = conversation(&[turn]);
        assert_eq!(seen.events(), events, "{what}");
        if what == "two names" {
            assert_eq!(seen.buffers(0, Buffer::TLS_SNI, CLIENT), ["a.example"]);
        }
    }
}

#[test]
fn a_flow_is_recognised_by_either_side() {
    let hello = record(22, &client_hello(&[]));
    let cases: [(&str, Chunk, bool); 7] = [
        ("a ClientHello", (CLIENT, hello.clone()), true),
        ("a ServerHello", (SERVER, record(22, &server_hello(0x0303, &[]))), true),
        ("an alert of the server", (SERVER, record(21, &[2, 40])), true),
        ("data of the client is not enough", (CLIENT, record(23, &[0; 40])), false),
        ("SSL 2", (CLIENT, [&[0x80, 9, 1, 0, 2][..], &[0; 6]].concat()), true),
        ("plain text", (CLIENT, b"GET / HTTP/1.1\r\n\r\n".to_vec()), false),
        ("another major version", (CLIENT, vec![22, 4, 1, 0, 1, 1]), false),
    ];
    for (what, turn, expected) in cases {
        let found = conversation(&[turn]).app.protocol() == Some(AppProto::Tls);
        assert_eq!(found, expected, "{what}");
    }
}

/// A server that bears junk reads on in plain text; the word of its client alone must hide nothing.
#[test]
fn nobody_says_alone_that_a_connection_is_encrypted() {
    let junk = (CLIENT, b"\x16\x03\x01\x00\x01\x0a\x17\x03\x03\xff\xff\x0a".to_vec());
    let own_answer = [
        record(22, &client_hello(&[])),
        record(22, &server_hello(0x0303, &[])),
        record(20, &[1]),
        record(23, &[0; 30]),
    ];
    let ssl2 = [&[0x80, 9, 1, 0, 2][..], &[0; 6], &[0x80, 1, 4], &[0x80, 1, 5], &[0x80, 1, 5]].concat();
    let data = record(23, &[0; 30]);
    let cases: [(&str, Vec<Chunk>, bool); 8] = [
        ("junk and a long record", vec![junk.clone()], false),
        ("and the server's plain answer", vec![junk.clone(), (SERVER, b"500 what?\r\n".to_vec())], false),
        ("both hellos of the client", vec![(CLIENT, own_answer.concat())], false),
        ("SSL 2, all of the client", vec![(CLIENT, ssl2)], false),
        ("the server's alert", vec![junk, (SERVER, record(21, &[2, 10])), (CLIENT, data.clone())], false),
        ("a handshake", handshake(), true),
        ("both in the middle", vec![(SERVER, data.clone()), (CLIENT, data.clone())], true),
        ("plain text afterwards", [handshake(), vec![(CLIENT, b"USER a\r\n".to_vec())]].concat(), false),
    ];
    for (what, turns, encrypted) in cases {
        for encryption in [EncryptionHandling::TrackOnly, EncryptionHandling::Bypass] {
            let mut seen = Conversation::with(PORT);
            seen.limits.tls.encryption = encryption;
            for (toward, bytes) in &turns {
                seen.stream(*toward, bytes);
            }
            let bypassed = encryption == EncryptionHandling::Bypass && what == "plain text afterwards";
            assert_eq!(seen.app.is_encrypted(), encrypted || bypassed, "{what} {encryption:?}");
        }
    }
}

#[test]
fn bypass_ends_at_the_first_encrypted_data() {
    let mut seen = Conversation::with(PORT);
    seen.limits.tls.encryption = EncryptionHandling::Bypass;
    for (toward, bytes) in &handshake() {
        assert!(!seen.app.is_opaque());
        seen.stream(*toward, bytes);
    }
    assert!(seen.app.is_opaque() && seen.app.is_encrypted());
    assert_eq!(seen.records(true).len(), 1);
}

#[test]
fn long_messages_and_gaps_do_not_hold_memory() {
    let mut seen = Conversation::with(PORT);
    let long = [vec![11, 0x7f, 0xff, 0xff], vec![0; 16_000]].concat();
    seen.stream(SERVER, &record(22, &server_hello(0x0303, &[])));
    for _ in 0..100 {
        seen.stream(SERVER, &record(22, &long));
    }
    assert!(seen.app.heap_bytes() < MESSAGE_BYTES_MAX, "{}", seen.app.heap_bytes());
    assert_eq!(seen.events(), ["tls.handshake_invalid_length"]);
}

proptest! {
    #[test]
    fn no_segmentation_changes_what_is_seen(cuts in prop::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(PORT, &handshake(), &cuts), whole(PORT, &handshake()));
    }

    #[test]
    fn any_records_are_read_alike_in_any_pieces(
        turns in prop::collection::vec((any::<bool>(), 20_u8..25, prop::collection::vec(any::<u8>(), 0..80)), 1..12),
        cuts in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let hello = (CLIENT, record(22, &client_hello(&usual_extensions())));
        let others = turns.into_iter().map(|(of_client, content, bytes)| {
            (if of_client { CLIENT } else { SERVER }, record(content, &bytes))
        });
        let turns: Vec<Chunk> = std::iter::once(hello).chain(others).collect();
        prop_assert_eq!(cut_up(PORT, &turns, &cuts), whole(PORT, &turns));
    }
}
