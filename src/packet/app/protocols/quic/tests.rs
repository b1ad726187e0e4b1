use proptest::prelude::*;

use super::header::Version;
use super::keys::{From, Keys};
use crate::packet::app::EncryptionHandling;
use crate::packet::app::protocols::tls::samples;
use crate::packet::app::testing::Conversation;
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

const PORT: u16 = 443;
const FIRST_ID: &[u8] = b"firstid!";
const CLIENT_ID: &[u8] = b"client";
const SERVER_ID: &[u8] = b"server";
const NAME: &str = "www.example.com";

fn client_hello() -> Vec<u8> {
    samples::client_hello(&samples::usual_extensions())
}

/// A piece of a message as a CRYPTO frame; lengths in two bytes each.
fn crypto(message: &[u8], start: usize, end: usize) -> Vec<u8> {
    let number = |number: usize| (u16::try_from(number).unwrap() | 0x4000).to_be_bytes();
    [&[6][..], &number(start), &number(end - start), &message[start..end]].concat()
}

/// An Initial packet; its payload is filled up to the length that a sample needs.
fn initial(version: Version, from: From, key_id: &[u8], ids: [&[u8]; 2], frames: &[u8]) -> Vec<u8> {
    let payload = [frames, &[0; 24]].concat();
    let first = if version == Version::V2 { 0xd1 } else { 0xc1 };
    let mut header = [&[first][..], &version.0.to_be_bytes()].concat();
    for id in ids {
        header.push(u8::try_from(id.len()).unwrap());
        header.extend_from_slice(id);
    }
    header.push(0);
    let length = u16::try_from(2 + payload.len() + 16).unwrap() | 0x4000;
    header.extend_from_slice(&length.to_be_bytes());
    Keys::of(version, key_id).unwrap().seal(from, &header, 1, &payload)
}

fn from_client(frames: &[u8]) -> Vec<u8> {
    initial(Version::V1, From::Client, FIRST_ID, [FIRST_ID, CLIENT_ID], frames)
}

fn from_server(frames: &[u8]) -> Vec<u8> {
    initial(Version::V1, From::Server, FIRST_ID, [CLIENT_ID, SERVER_ID], frames)
}

fn whole(message: &[u8]) -> Vec<u8> {
    crypto(message, 0, message.len())
}

/// The server names of all transactions.
fn names(talk: &mut Conversation) -> Vec<String> {
    let count = talk.app.view().map_or(0, |view| view.count());
    (0..count).flat_map(|at| talk.buffers(at, Buffer::QUIC_SNI, Toward::Server)).collect()
}

#[test]
fn both_hellos_are_read_and_what_follows_is_not() {
    for version in [Version::V1, Version::V2, Version(0xff00_001d), Version(0xface_b002)] {
        let mut talk = Conversation::with(4444);
        let ids = [FIRST_ID, CLIENT_ID];
        talk.datagram(Toward::Server, &initial(version, From::Client, FIRST_ID, ids, &whole(&client_hello())));
        let hello = samples::server_hello(0x0303, &samples::extension(43, &[3, 4]));
        let answer = initial(version, From::Server, FIRST_ID, [CLIENT_ID, SERVER_ID], &whole(&hello));
        talk.datagram(Toward::Client, &answer);
        assert_eq!(talk.app.protocol(), Some(AppProto::Quic));
        assert_eq!(names(&mut talk), [NAME]);
        let ja4 = talk.buffers(0, Buffer::JA4_HASH, Toward::Server);
        assert!(ja4[0].starts_with("q12d0205h2_"), "{ja4:?}");
        assert_eq!(talk.buffers(0, Buffer::JA3_STRING, Toward::Server), ["771,4865-49195,0-10-11-13-16,29-23,0"]);
        assert_eq!(talk.buffers(1, Buffer::JA3S_STRING, Toward::Client), ["771,49195,43"]);
        let raw = version.0.to_be_bytes().escape_ascii().to_string();
        assert_eq!(talk.buffers(1, Buffer::QUIC_VERSION, Toward::Client), [raw]);
        talk.datagram(Toward::Client, &answer);
        assert!(talk.app.is_encrypted() && talk.events().is_empty());
        assert_eq!(talk.records(false).len(), 2);
    }
}

#[test]
fn what_cannot_be_opened_or_read_has_a_name() {
    let mut bent = from_client(&whole(&client_hello()));
    *bent.last_mut().unwrap() ^= 1;
    let cases = [
        (bent, vec!["quic.failed_decrypt"]),
        (from_client(&[6, 0, 0x40, 0x64]), vec!["quic.error_on_data"]),
        (from_client(&whole(&samples::message(3, b"..."))), vec!["quic.error_on_data"]),
        (from_client(&[6, 0x80, 0, 0xff, 0xff, 1, b'x']), vec!["quic.crypto_frag_too_long"]),
        (from_client(&[1, 2, 0, 0, 0, 0, 0x1c, 0xff]), vec![]),
    ];
    for (datagram, events) in cases {
        let mut talk = Conversation::with(PORT);
        talk.datagram(Toward::Server, &datagram);
        assert_eq!(talk.events(), events);
    }
}

#[test]
fn a_retry_changes_the_keys() {
    let mut talk = Conversation::with(PORT);
    talk.datagram(Toward::Server, &from_client(&whole(&client_hello())));
    let retry = [&[0xf0, 0, 0, 0, 1, 6][..], CLIENT_ID, &[6], SERVER_ID, b"token and tag"].concat();
    talk.datagram(Toward::Client, &retry);
    let again = initial(Version::V1, From::Client, SERVER_ID, [SERVER_ID, CLIENT_ID], &whole(&client_hello()));
    talk.datagram(Toward::Server, &again);
    assert_eq!(names(&mut talk), [NAME, NAME]);
    assert!(talk.events().is_empty());
}

/// A second connection on the same addresses and ports must not hide behind the first, nor between its packets.
#[test]
fn connections_that_share_a_flow_are_all_heard() {
    let hello = client_hello();
    let other_hello = samples::client_hello(&samples::server_name(b"other.example"));
    let other = |frames: &[u8]| initial(Version::V1, From::Client, b"secondid", [b"secondid", b""], frames);
    let mut talk = Conversation::with(PORT);
    talk.datagram(Toward::Server, &from_client(&crypto(&hello, 0, 40)));
    talk.datagram(Toward::Server, &other(&crypto(&other_hello, 0, 50)));
    talk.datagram(Toward::Server, &from_client(&crypto(&hello, 40, hello.len())));
    talk.datagram(Toward::Server, &other(&crypto(&other_hello, 50, other_hello.len())));
    assert_eq!(names(&mut talk), [NAME, "other.example"]);
}

#[test]
fn other_traffic_is_not_taken_for_it() {
    let cases: [&[u8]; 5] = [
        b"",
        b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x2a\x01",
        b"\x40 short header",
        b"\xc0\x12\x34\x56\x78\x08firstid!\0\0\x40\x20",
        b"\x0dfirstid!X043\x01............",
    ];
    for datagram in cases {
        let mut talk = Conversation::with(PORT);
        talk.datagram(Toward::Server, datagram);
        assert_eq!(talk.app.protocol(), None, "{datagram:?}");
    }
    let mut like_rtp = from_client(&whole(&client_hello()));
    like_rtp[0] &= !0x40;
    assert_eq!(Conversation::with(9).datagram(Toward::Server, &like_rtp).app.protocol(), None);
    let sure = from_client(&whole(&client_hello()));
    assert_eq!(Conversation::with(9).datagram(Toward::Server, &sure).app.protocol(), Some(AppProto::Quic));
}

#[test]
fn the_rest_is_cleared_if_the_user_wants_it() {
    let mut talk = Conversation::with(PORT);
    talk.limits.tls.encryption = EncryptionHandling::Bypass;
    talk.datagram(Toward::Server, &from_client(&whole(&client_hello())));
    assert!(!talk.app.is_opaque());
    talk.datagram(Toward::Client, &from_server(&whole(&samples::server_hello(0x0303, &[]))));
    assert!(talk.app.is_opaque());
}

proptest! {
    /// However a hello is cut into frames and packets, and in which order they come.
    #[test]
    fn no_cut_and_no_order_hides_the_name(
        cuts in prop::collection::vec(0_usize..200, 0..12),
        order in prop::collection::vec(any::<u8>(), 16),
        per_packet in 1_usize..5,
    ) {
        let hello = client_hello();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(hello.len())).chain([0, hello.len()]).collect();
        cuts.sort_unstable();
        let mut pieces: Vec<Vec<u8>> = cuts.windows(2).map(|pair| crypto(&hello, pair[0], pair[1])).collect();
        let mut keyed: Vec<(u8, Vec<u8>)> = order.iter().copied().zip(pieces.drain(..)).collect();
        keyed.sort();
        let frames: Vec<Vec<u8>> = keyed.into_iter().map(|(_, frame)| frame).collect();
        let mut talk = Conversation::with(PORT);
        for packet in frames.chunks(per_packet) {
            talk.datagram(Toward::Server, &from_client(&packet.concat()));
        }
        prop_assert_eq!(names(&mut talk), [NAME]);
        prop_assert!(talk.events().is_empty());
    }

    #[test]
    fn no_bytes_hold_more_than_the_caps(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
    ) {
        let mut talk = Conversation::with(PORT);
        for payload in &payloads {
            talk.datagram(Toward::Server, &from_client(payload)).datagram(Toward::Client, &from_server(payload));
            talk.datagram(Toward::Server, payload);
        }
        prop_assert!(talk.app.heap_bytes() < 4 << 20);
        talk.records(true);
    }
}
