use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

const SERVER_INIT: &[u8] =
    b"\x05\x00\x03\x20\x20\x18\x00\x01\x00\xff\x00\xff\x00\xff\x10\x08\x00\0\0\0\x00\x00\x00\x05aneko";

/// A side, and what it says.
type Said<'s> = (Toward, &'s [u8]);

fn turns(minor: &str, rest: &[Said<'_>]) -> Vec<Chunk> {
    let version = format!("RFB 003.{minor}\n").into_bytes();
    let mut turns = vec![(Toward::Client, version.clone()), (Toward::Server, version)];
    turns.extend(rest.iter().map(|(toward, bytes)| (*toward, bytes.to_vec())));
    turns
}

fn vnc() -> Vec<Chunk> {
    use Toward::{Client, Server};
    turns(
        "008",
        &[
            (Client, b"\x01\x02"),
            (Server, b"\x02"),
            (Client, &[0x54; 16]),
            (Server, &[0xaa; 16]),
            (Client, &[0; 4]),
            (Server, b"\x01"),
            (Client, SERVER_INIT),
            (Server, b"\x02\x00\x00\x01\x00\x00\x00\x00"),
        ],
    )
}

fn talk(turns: &[Chunk]) -> Conversation {
    let mut talk = Conversation::with(5900);
    for (toward, bytes) in turns {
        talk.stream(*toward, bytes);
    }
    talk
}

#[test]
fn a_handshake_shows_its_type_result_and_desktop() {
    let mut talk = talk(&vnc());
    assert_eq!(talk.app.protocol(), Some(AppProto::Rfb));
    assert_eq!(talk.buffers(0, Buffer::RFB_NAME, Toward::Client), ["aneko"]);
    let mut view = talk.app.view().unwrap();
    for (field, number, side) in
        [(Field::RfbSecurityType, 2, Toward::Server), (Field::RfbSecurityResult, 0, Toward::Client)]
    {
        let test = AppTest::Number { field, test: NumberTest::Equal(number) };
        for toward in [Toward::Server, Toward::Client] {
            let (_, tx) = view.transaction(0, toward).unwrap();
            assert_eq!(tx.data.accepts(&test, toward), toward == side, "{field:?}");
        }
    }
    let record = talk.records(false).concat();
    for part in ["security_type: Some(2)", "5454", "aaaa", "OK", "screen_shared: Some(true)", "width: 1280"] {
        assert!(record.contains(part), "{part}: {record}");
    }
}

#[test]
fn each_version_has_its_way() {
    use Toward::{Client, Server};
    let none = |minor, rest: &[Said<'_>]| turns(minor, rest);
    let cases = [
        none("003", &[(Client, &[0, 0, 0, 1]), (Server, b"\0"), (Client, SERVER_INIT)]),
        none("007", &[(Client, b"\x01\x01"), (Server, b"\x01"), (Server, b"\0"), (Client, SERVER_INIT)]),
        none("008", &[(Client, b"\x01\x01"), (Server, b"\x01"), (Client, &[0; 4]), (Server, b"\0"), (Client, SERVER_INIT)]),
        none("008", &[(Client, b"\x01\x01"), (Server, b"\x01\0"), (Client, &[&[0; 4][..], SERVER_INIT].concat())]),
    ];
    for turns in cases {
        assert_eq!(talk(&turns).buffers(0, Buffer::RFB_NAME, Toward::Client), ["aneko"], "{turns:?}");
    }
}

#[test]
fn failures_are_told_with_their_reason() {
    use Toward::{Client, Server};
    let cases: [(&str, &[Said<'_>], &str); 4] = [
        ("008", &[(Client, b"\0\0\0\0\x03bad")], r#"server_security_failure_reason: Some("bad")"#),
        ("003", &[(Client, b"\0\0\0\0\0\0\0\x03bad")], r#"server_security_failure_reason: Some("bad")"#),
        ("007", &[(Client, b"\x01\x02"), (Server, b"\x02"), (Client, &[1; 16]), (Server, &[2; 16]), (Client, &[0, 0, 0, 2])],
            "TOOMANY"),
        ("008", &[(Client, b"\x01\x13"), (Server, b"\x13")], "security_type: Some(19)"),
    ];
    for (minor, rest, part) in cases {
        let record = talk(&turns(minor, rest)).records(false).concat();
        assert!(record.contains(part), "{part}: {record}");
    }
    assert_eq!(talk(&turns("008", &[(Client, b"\x01\x13"), (Server, b"\x13")])).events(), ["rfb.unimplemented_security_type"]);
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..40)) {
        prop_assert_eq!(cut_up(5900, &vnc(), &cuts), whole(5900, &vnc()));
    }
}
