use std::io::Write;

use proptest::prelude::*;

use super::frame::{PREFACE, flag, kind};
use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest, Field, Http2Test};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

const PORT: u16 = 8080;
const CLIENT: Toward = Toward::Server;
const SERVER: Toward = Toward::Client;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals that the table does not keep.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn headers(stream: u32, flags: u8, list: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flags, stream, &block(list))
}

const REQUEST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a%20b/../c.exe?x=1"),
    (":authority", "Example.COM:8080"),
    ("user-agent", " agent "),
    ("cookie", "a=1"),
    ("accept", "x"),
    ("cookie", "b=2"),
    ("accept", "y"),
];

fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A request with a body, and its compressed answer in two padded pieces.
fn exchange() -> [Chunk; 2] {
    let (first, second) = (gzipped(b"MZ this is it"), 7);
    let (first, second) = first.split_at(second);
    let padded = |piece: &[u8]| [&[3][..], piece, b"..."].concat();
    let asked = [
        PREFACE.to_vec(),
        frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0x20, 0, 0, 4, 0, 1, 0, 0]),
        headers(1, 0, REQUEST),
        frame(kind::DATA, flag::END_STREAM, 1, b"the body"),
    ];
    let answered = [
        frame(kind::SETTINGS, 0, 0, &[]),
        headers(1, 0, &[(":status", "103"), ("link", "x")]),
        headers(1, 0, &[(":status", "200"), ("content-encoding", "gzip"), ("server", "s"), ("set-cookie", "c")]),
        frame(kind::DATA, flag::PADDED, 1, &padded(first)),
        frame(kind::DATA, flag::PADDED | flag::END_STREAM, 1, &padded(second)),
    ];
    [(CLIENT, asked.concat()), (SERVER, answered.concat())]
}

fn talked(turns: &[Chunk]) -> Conversation {
    let mut talk = Conversation::with(PORT);
    for (toward, bytes) in turns {
        talk.stream(*toward, bytes);
    }
    talk
}

fn holds(talk: &mut Conversation, at: usize, toward: Toward, test: &AppTest) -> bool {
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(at, toward).unwrap();
    tx.data.accepts(test, toward)
}

#[test]
fn a_stream_shows_the_buffers_of_http() {
    let mut talk = talked(&exchange());
    assert_eq!(talk.app.protocol(), Some(AppProto::Http2));
    let cases = [
        (Buffer::HTTP_URI, CLIENT, "/c.exe?x=1"),
        (Buffer::HTTP_URI_RAW, CLIENT, "/a%20b/../c.exe?x=1"),
        (Buffer::HTTP_METHOD, CLIENT, "POST"),
        (Buffer::HTTP_HOST, CLIENT, "example.com"),
        (Buffer::HTTP_HOST_RAW, CLIENT, "Example.COM:8080"),
        (Buffer::HTTP_USER_AGENT, CLIENT, " agent "),
        (Buffer::HTTP_COOKIE, CLIENT, "a=1; b=2"),
        (Buffer::HTTP_ACCEPT, CLIENT, "x, y"),
        (Buffer::HTTP_PROTOCOL, CLIENT, "HTTP/2"),
        (Buffer::HTTP_REQUEST_LINE, CLIENT, "POST /a%20b/../c.exe?x=1 HTTP/2\\r\\n"),
        (Buffer::HTTP_REQUEST_BODY, CLIENT, "the body"),
        (Buffer::HTTP_STAT_CODE, SERVER, "200"),
        (Buffer::HTTP_RESPONSE_LINE, SERVER, "HTTP/2 200\\r\\n"),
        (Buffer::HTTP_SERVER, SERVER, "s"),
        (Buffer::HTTP_COOKIE, SERVER, "c"),
        (Buffer::FILE_DATA, SERVER, "MZ this is it"),
        (Buffer::HTTP_RESPONSE_BODY, SERVER, "MZ this is it"),
        (Buffer::FILE_NAME, SERVER, "/c.exe"),
    ];
    for (buffer, toward, expected) in cases {
        assert_eq!(talk.buffers(1, buffer, toward), [expected], "{}", buffer.info().name);
    }
    let lines = talk.buffers(1, Buffer::HTTP_HEADER, CLIENT);
    assert!(lines[0].contains("user-agent: agent\\r\\n") && !lines[0].contains("cookie"), "{lines:?}");
    assert_eq!(talk.buffers(1, Buffer::HTTP2_HEADER_NAME, CLIENT).len(), REQUEST.len());
    assert_eq!(talk.buffers(1, Buffer::HTTP2_HEADER, CLIENT)[0], "::method: POST");
    assert_eq!(talk.buffers(1, Buffer::HTTP_REQUEST_HEADER, CLIENT)[0], ":method: POST");
    assert!(talk.events().is_empty());
    let records = talk.records(false);
    assert!(records.iter().any(|record| record.starts_with("1 Http")), "{records:?}");
    assert_eq!(talk.app.view().unwrap().count(), 0);
}

#[test]
fn rules_may_ask_about_frames() {
    let frames = [
        PREFACE.to_vec(),
        frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]),
        frame(kind::HEADERS, flag::PRIORITY | flag::END_HEADERS, 1, &[&[0, 0, 0, 0, 7, 0x3f, 9][..], &block(REQUEST)].concat()),
        frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2, b'x']),
    ];
    let mut talk = talked(&[(CLIENT, frames.concat())]);
    let number = |field, number| AppTest::Number { field, test: NumberTest::Equal(number) };
    let error = |code, negated| AppTest::Http2(Http2Test::ErrorCode { code, negated });
    let setting = |number, test| AppTest::Http2(Http2Test::Setting { number, test });
    let cases = [
        (0, AppTest::Http2(Http2Test::FrameType(kind::SETTINGS)), true),
        (0, AppTest::Http2(Http2Test::FrameType(kind::GOAWAY)), false),
        (0, setting(4, None), true),
        (0, setting(4, Some(NumberTest::Greater(65_536))), false),
        (0, setting(4, Some(NumberTest::Equal(65_536))), true),
        (0, setting(3, None), false),
        (1, number(Field::Http2Window, 9), true),
        (1, number(Field::Http2Window, 8), false),
        (2, number(Field::Http2Priority, 7), true),
        (2, number(Field::Http2SizeUpdate, 40), true),
        (2, error(8, false), true),
        (2, error(8, true), false),
        (3, error(2, false), true),
        (3, error(0, true), true),
    ];
    for (at, test, expected) in cases {
        assert_eq!(holds(&mut talk, at, CLIENT, &test), expected, "{at} {test:?}");
        assert!(!holds(&mut talk, at, SERVER, &test));
    }
    assert_eq!(talk.records(false).len(), 3);
}

#[test]
fn what_is_odd_has_a_name() {
    let request = |list: &[(&str, &str)]| headers(1, 0, list);
    let cases: [(Vec<u8>, &[&str]); 14] = [
        (b"PRI * HTTP/2.0\r\nnot the preface".to_vec(), &["http2.invalid_client_magic"]),
        (frame(kind::DATA, 0, 0, b"x"), &["http2.data_stream_zero"]),
        (frame(kind::DATA, flag::PADDED, 1, &[9, 1]), &["http2.invalid_frame_data"]),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[1]), &["http2.invalid_frame_length"]),
        (frame(kind::SETTINGS, 0, 0, &[1, 2, 3, 4, 5, 6, 7]), &["http2.invalid_frame_length"]),
        (frame(kind::HEADERS, flag::END_HEADERS, 1, &[0xbe]), &["http2.invalid_header"]),
        (frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x40, 9]), &["http2.invalid_frame_data"]),
        (frame(kind::HEADERS, flag::END_HEADERS, 1, &[0xff; 7]), &["http2.header_integer_overflow"]),
        ([headers(3, 0, &[("a", "b")]), headers(1, 0, &[("a", "b")])].concat(), &["http2.stream_id_reuse"]),
        (request(&[(":authority", "a@b")]), &["http2.userinfo_in_uri"]),
        (request(&[(":authority", "a"), ("host", "b")]), &["http2.authority_host_mismatch"]),
        (frame(kind::PUSH_PROMISE, 0, 1, &[0; 70_000]), &["http2.long_frame_data"]),
        (frame(kind::SETTINGS, 0, 0, &[0; 600]), &["http2.too_many_frames"]),
        (
            [
                headers(1, 0, &[("content-encoding", "gzip")]),
                frame(kind::DATA, flag::END_STREAM, 1, b"\x1f\x8b\x08\0\0\0\0\0\0\x03no gzip at all, not at all"),
            ]
            .concat(),
            &["http2.failed_decompression"],
        ),
    ];
    for (bytes, events) in cases {
        let greeting = if bytes.starts_with(b"PRI") { &[][..] } else { &PREFACE[..] };
        let mut talk = talked(&[(CLIENT, [greeting, &bytes].concat())]);
        assert_eq!(talk.events(), events, "{}", bytes.escape_ascii());
    }
}

#[test]
fn blocks_go_on_in_other_frames_and_have_a_cap() {
    let list = block(REQUEST);
    let (one, two) = list.split_at(20);
    let split = [frame(kind::HEADERS, 0, 1, one), frame(kind::CONTINUATION, flag::END_HEADERS, 1, two)].concat();
    let mut talk = talked(&[(CLIENT, [&PREFACE[..], &split].concat())]);
    assert_eq!(talk.buffers(0, Buffer::HTTP_METHOD, CLIENT), ["POST"]);

    let endless = frame(kind::CONTINUATION, 0, 1, &vec![0x82; 16_000]);
    let mut talk = talked(&[(CLIENT, [&PREFACE[..], &frame(kind::HEADERS, 0, 1, &list)].concat())]);
    for _ in 0..100 {
        talk.stream(CLIENT, &endless);
    }
    assert_eq!(talk.buffers(0, Buffer::HTTP_METHOD, CLIENT), ["POST"]);
    assert!(talk.events().contains(&"http2.reassembly_limit_reached"));
    assert!(talk.app.heap_bytes() < 1 << 20, "{}", talk.app.heap_bytes());
}

#[test]
fn single_frames_do_not_push_streams_out() {
    let pings = frame(6, 0, 0, &[0; 8]).repeat(2000);
    let bytes = [&PREFACE[..], &headers(1, 0, REQUEST), &pings].concat();
    let mut talk = talked(&[(CLIENT, bytes)]);
    assert_eq!(talk.buffers(0, Buffer::HTTP_METHOD, CLIENT), ["POST"]);
    assert_eq!(talk.counters.transactions_evicted, 0);

    let mut talk = Conversation::with(PORT);
    talk.limits.transaction_count_max = 4;
    talk.stream(CLIENT, PREFACE);
    for stream in 0..8 {
        talk.stream(CLIENT, &headers(stream * 2 + 1, 0, REQUEST));
    }
    assert_eq!(talk.counters.transactions_evicted, 4);
    assert!(talk.events().contains(&"http2.too_many_streams"));
}

#[test]
fn http1_may_turn_into_it() {
    let mut talk = Conversation::with(PORT);
    talk.stream(CLIENT, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    let answer = [b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", &frame(kind::SETTINGS, 0, 0, &[])[..]].concat();
    talk.stream(SERVER, &answer);
    talk.stream(CLIENT, &[&PREFACE[..], &headers(3, flag::END_STREAM, REQUEST)].concat());
    assert_eq!((talk.app.protocol(), talk.app.before), (Some(AppProto::Http2), Some(AppProto::Http1)));
    talk.records(false);
    assert_eq!(talk.buffers(0, Buffer::HTTP_METHOD, CLIENT), ["POST"]);
}

#[test]
fn a_hole_in_a_body_is_survived_and_one_elsewhere_is_not() {
    let begin = [&PREFACE[..], &headers(1, 0, REQUEST), &frame(kind::DATA, flag::END_STREAM, 1, &[b'x'; 100])].concat();
    let cut = begin.len() - 60;
    let mut talk = talked(&[(CLIENT, begin[..cut].to_vec())]);
    talk.gap(CLIENT, 50).stream(CLIENT, &begin[cut + 50..]).stream(CLIENT, &headers(3, 0, REQUEST));
    assert_eq!(talk.buffers(1, Buffer::HTTP_METHOD, CLIENT), ["POST"]);
    talk.gap(CLIENT, 5);
    assert_eq!(talk.counters.parser_errors, 1);
}

/// A question for the address of `a.example`.
const QUESTION: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

#[test]
fn dns_is_heard_in_bodies_and_in_paths() {
    const DNS: &str = "application/dns-message";
    let encoded = "/dns-query?dns=AAEBAAABAAAAAAAAAWEHZXhhbXBsZQAAAQAB";
    let by_get = headers(1, flag::END_STREAM, &[(":method", "GET"), (":path", encoded), ("accept", DNS)]);
    let by_post = [
        headers(1, 0, &[(":method", "POST"), (":path", "/dns-query"), ("content-type", DNS)]),
        frame(kind::DATA, flag::END_STREAM, 1, QUESTION),
    ];
    for request in [by_get, by_post.concat()] {
        let mut talk = talked(&[(CLIENT, [&PREFACE[..], &request].concat())]);
        assert_eq!(talk.app.protocol(), Some(AppProto::Doh2));
        assert_eq!(talk.buffers(0, Buffer::DNS_QUERY, CLIENT), ["a.example"]);
        let is_address = AppTest::Number { field: Field::DnsRrtype, test: NumberTest::Equal(1) };
        assert!(holds(&mut talk, 0, CLIENT, &is_address));
        let answer = [headers(1, 0, &[(":status", "200"), ("content-type", DNS)]), frame(0, 0, 1, &[0; 65_536])];
        talk.stream(SERVER, &answer.concat());
        assert_eq!(talk.events(), ["http2.dns_response_too_long"]);
        let records = talk.records(true);
        let told = |kind: &str| records.iter().filter(|record| record.starts_with(kind)).count();
        assert_eq!((told("0 Dns"), told("0 Http")), (1, 1), "{records:?}");
    }
    let plain = headers(1, flag::END_STREAM, &[(":path", encoded), ("accept", "*/*")]);
    assert_eq!(talked(&[(CLIENT, [&PREFACE[..], &plain].concat())]).app.protocol(), Some(AppProto::Http2));
}

proptest! {
    #[test]
    fn no_segmentation_changes_what_is_seen(cuts in prop::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(PORT, &exchange(), &cuts), whole(PORT, &exchange()));
    }

    #[test]
    fn any_frames_keep_to_the_caps(
        frames in prop::collection::vec(
            (any::<bool>(), 0_u8..11, any::<u8>(), 0_u32..6, prop::collection::vec(any::<u8>(), 0..60)), 1..40,
        ),
    ) {
        let mut talk = Conversation::with(PORT);
        talk.stream(CLIENT, PREFACE);
        for (of_client, kind, flags, stream, payload) in frames {
            talk.stream(if of_client { CLIENT } else { SERVER }, &frame(kind, flags, stream, &payload));
        }
        prop_assert!(talk.app.heap_bytes() < 4 << 20);
        prop_assert_eq!(talk.counters.parser_errors, 0);
        talk.everything();
    }
}
