use proptest::prelude::*;

use super::*;
use crate::packet::app::{AppLimits, AppRecord, Hashes, Transaction};
use crate::packet::ingress::Timestamp;
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;

/// One connection, fed as a test says, with what was told so far.
struct Talk {
    parser: Http1,
    limits: AppLimits,
    last: Step,
}

impl Talk {
    fn new() -> Talk {
        Talk { parser: Http1::default(), limits: AppLimits::default(), last: Step::Failed }
    }

    fn say(&mut self, toward: Toward, bytes: &[u8]) -> &mut Talk {
        let limits = self.limits;
        let context = context(&limits);
        self.last = self.parser.parse(toward, bytes, &context);
        self
    }

    fn ask(&mut self, bytes: &[u8]) -> &mut Talk {
        self.say(Toward::Server, bytes)
    }

    fn answer(&mut self, bytes: &[u8]) -> &mut Talk {
        self.say(Toward::Client, bytes)
    }

    fn close(&mut self) -> &mut Talk {
        let limits = self.limits;
        self.parser.close(Toward::Server, &context(&limits));
        self.parser.close(Toward::Client, &context(&limits));
        self
    }

    fn tx(&self, at: usize) -> &HttpTx {
        &self.parser.list.iter().nth(at).expect("a transaction").data
    }

    fn count(&self) -> usize {
        self.parser.list.len()
    }

    fn text(&self, at: usize, name: &str, toward: Toward) -> Option<String> {
        let buffer = Buffer::named(name).expect("a buffer");
        self.tx(at).buffer(buffer, toward, 0).map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect())
    }

    fn request(&self, name: &str) -> Option<String> {
        self.text(0, name, Toward::Server)
    }

    fn response(&self, name: &str) -> Option<String> {
        self.text(0, name, Toward::Client)
    }

    /// All that can be seen of all transactions.
    fn everything(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, slot) in self.parser.list.iter().enumerate() {
            for (buffer, info) in Buffer::all() {
                for toward in [Toward::Server, Toward::Client] {
                    for bytes in (0..).map_while(|nth| slot.data.buffer(buffer, toward, nth)) {
                        lines.push(format!("{at} {} {toward:?} {}", info.name, bytes.escape_ascii()));
                    }
                }
            }
            lines.push(format!("{at} {:?} {:?}", slot.data.events(), slot.data.record()));
        }
        lines
    }
}

fn context(limits: &AppLimits) -> ParseContext<'_> {
    ParseContext {
        heard: &[],
        position: 0, now: Timestamp::default(),
        client: std::net::IpAddr::from([10, 0, 0, 1]),
        client_port: 40_000,
        server_port: 80,
        limits,
        wants_frames: false,
        wants_sides: false,
        marks: None,
        hashes: Hashes { md5: true, ..Hashes::default() },
    }
}

const GET: &[u8] =
    b"GET /a%20b?c HTTP/1.1\r\nHost: Example.COM:80\r\nUser-Agent: x\r\nCookie: k=v\r\nAccept: */*\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 Very OK\r\nServer: s\r\nSet-Cookie: a\r\nContent-Type: text/html; x\r\n\
    Content-Length: 5\r\nLocation: /z\r\n\r\nhello";

#[test]
fn the_buffers_of_a_request_are_suricatas() {
    let mut talk = Talk::new();
    talk.ask(GET);
    let cases = [
        ("http.uri", "/a b?c"),
        ("http.uri.raw", "/a%20b?c"),
        ("http.method", "GET"),
        ("http.host", "example.com"),
        ("http.host.raw", "Example.COM:80"),
        ("http.protocol", "HTTP/1.1"),
        ("http.request_line", "GET /a%20b?c HTTP/1.1"),
        ("http.user_agent", "x"),
        ("http.cookie", "k=v"),
        ("http.accept", "*/*"),
        ("http.header", "Host: Example.COM:80\r\nUser-Agent: x\r\nAccept: */*\r\n"),
        ("http.header.raw", "Host: Example.COM:80\r\nUser-Agent: x\r\nCookie: k=v\r\nAccept: */*\r\n\r\n"),
        ("http.header_names", "\r\nHost\r\nUser-Agent\r\nCookie\r\nAccept\r\n\r\n"),
        (
            "http.start",
            "GET /a%20b?c HTTP/1.1\r\nHost: Example.COM:80\r\nUser-Agent: x\r\nCookie: k=v\r\nAccept: */*\r\n\r\n",
        ),
        ("http.request_header", "Host: Example.COM:80"),
    ];
    for (name, value) in cases {
        assert_eq!(talk.request(name).as_deref(), Some(value), "{name}");
    }
    for name in ["http.request_body", "http.referer", "file.data", "file.name"] {
        assert_eq!(talk.request(name), None, "{name}");
    }
    assert!(talk.tx(0).is_done(Toward::Server) && !talk.tx(0).is_done(Toward::Client));
}

/// Rules about the first line need not wait for a head that may never end.
#[test]
fn a_request_line_is_seen_before_the_head_ends() {
    let mut talk = Talk::new();
    talk.ask(b"GET /a%20b HTTP/1.1\r\nHost: exam");
    let seen = |talk: &Talk, name: &str| talk.request(name);
    assert_eq!(seen(&talk, "http.uri").as_deref(), Some("/a b"));
    assert_eq!(seen(&talk, "http.method").as_deref(), Some("GET"));
    assert_eq!((seen(&talk, "http.host"), seen(&talk, "http.header")), (None, None));
    talk.ask(b"ple.com\r\n\r\n");
    assert_eq!(seen(&talk, "http.host").as_deref(), Some("example.com"));
    assert_eq!(talk.count(), 1);

    let mut cut_short = Talk::new();
    cut_short.ask(b"GET /a HTTP/1.1\r\nHost: a\r\n").answer(b"HTTP/1.1 400 Bad\r\n\r\n");
    assert_eq!((cut_short.count(), cut_short.request("http.host")), (1, None));
    assert_eq!(cut_short.response("http.stat_code").as_deref(), Some("400"));
}

#[test]
fn the_buffers_of_a_response_are_suricatas() {
    let mut talk = Talk::new();
    talk.ask(GET).answer(OK);
    let cases = [
        ("http.stat_code", "200"),
        ("http.stat_msg", "Very OK"),
        ("http.response_line", "HTTP/1.1 200 Very OK"),
        ("http.protocol", "HTTP/1.1"),
        ("http.server", "s"),
        ("http.cookie", "a"),
        ("http.location", "/z"),
        ("http.content_type", "text/html; x"),
        ("http.content_len", "5"),
        ("http.header", "Server: s\r\nContent-Type: text/html; x\r\nContent-Length: 5\r\nLocation: /z\r\n"),
        ("http.response_body", "hello"),
        ("file.data", "hello"),
        ("file.name", "/a b"),
    ];
    for (name, value) in cases {
        assert_eq!(talk.response(name).as_deref(), Some(value), "{name}");
    }
    assert!(talk.tx(0).is_done(Toward::Client));
    let Some(AppRecord::Http(record)) = talk.tx(0).record() else { panic!("no record") };
    assert_eq!((record.status, record.length, record.port), (Some(200), 5, Some(80)));
    assert_eq!(record.content_type.as_deref(), Some(&b"text/html"[..]));
    assert_eq!(talk.tx(0).events(), [""; 0]);
}

/// Ways to say `EICAR` that a browser understands.
#[test]
fn a_body_is_found_in_every_disguise() {
    let gzip = deflated(b"EICAR", Some(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"));
    let named = deflated(b"EICAR", Some(b"\x1f\x8b\x08\x1a\0\0\0\0\0\x03name\0comment\0cc"));
    let raw = deflated(b"EICAR", None);
    let extra = [b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\x70\x17", &[b'x'; 6000][..], &raw].concat();
    let member = |bytes: &[u8]| [&deflated(bytes, Some(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"))[..], &[0; 8]].concat();
    let members = [member(b"EI"), member(b""), member(b"CAR")].concat();
    let behind_nothing = [member(b""), member(b"EICAR")].concat();
    let brotli = b"\x0b\x02\x80EICAR\x03".to_vec();
    let mut lzma = Vec::new();
    lzma_rs::lzma_compress(&mut &b"EICAR"[..], &mut lzma).unwrap();
    let with = |head: &str, body: &[u8]| [b"HTTP/1.1 200 ok\r\n", head.as_bytes(), b"\r\n\r\n", body].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("length", with("Content-Length: 5", b"EICAR")),
        ("until close", with("A: b", b"EICAR")),
        ("chunked", with("Transfer-Encoding: chunked", b"2\r\nEI\r\n3;x=y\r\nCAR\r\n0\r\n\r\n")),
        ("chunked with LF and blanks", with("Transfer-Encoding: xchunked", b"  2 \nEI\n\r\n3junk\nCAR\n0\n\n")),
        ("NUL in the coding", with("Transfer\0-Encoding: chu\0nked", b"5\r\nEICAR\r\n0\r\n\r\n")),
        ("folded coding", with("Transfer-Encoding:\r\n chunked", b"5\r\nEICAR\r\n0\r\n\r\n")),
        ("no chunks at all", with("Transfer-Encoding: chunked", b"EICAR")),
        ("gzip", with("Content-Encoding: gzip", &gzip)),
        ("gzip with a long header", with("Content-Encoding: x-gzip", &named)),
        ("gzip with a header that is not kept", with("Content-Encoding: gzip", &extra)),
        ("gzip in members", with("Content-Encoding: gzip", &members)),
        ("gzip behind nothing", with("Content-Encoding: gzip", &behind_nothing)),
        ("gzip and junk", with("Content-Encoding: gzip", &[&member(b"EICAR")[..], b"junk"].concat())),
        ("gzip that is deflate", with("Content-Encoding: gzip", &raw)),
        ("deflate that is gzip", with("Content-Encoding: deflate", &gzip)),
        ("deflate", with("Content-Encoding: deflate", &raw)),
        ("gzip that is nothing", with("Content-Encoding: gzip", b"EICAR")),
        (
            "gzip twice",
            with(
                "Content-Encoding: gzip\r\nContent-Encoding: gzip",
                &deflated(&gzip, Some(b"\x1f\x8b\x08\0\0\0\0\0\0\x03")),
            ),
        ),
        ("lzma", with("Content-Encoding: lzma", &lzma)),
        ("brotli", with("Content-Encoding: br", &brotli)),
        ("a line that ends in CR", b"HTTP/1.1 200 ok\rContent-Length: 5\r\n\r\nEICAR".to_vec()),
        ("lines that end in LF", b"HTTP/1.1 200 ok\nContent-Length: 5\n\nEICAR".to_vec()),
        ("a blank in front of the colon", with("Content-Encoding\x0b : gzip", &gzip)),
        ("no head", b"EICAR".to_vec()),
        ("junk in front", b"junk\r\nHTTP/1.0 200 ok\r\nContent-Length: 5\r\n\r\nEICAR".to_vec()),
        ("no status", b"HTTP/1.1\r\nContent-Length: 5\r\n\r\nEICAR".to_vec()),
        ("two lengths", with("Content-Length: 5\r\nContent-Length: 6", b"EICAR")),
        ("a longer body than announced", with("Content-Length: 1", b"EICAR")),
        ("304 with a body", b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nEICAR".to_vec()),
        ("continue first", [b"HTTP/1.1 100 Continue\r\n\r\n", with("Content-Length: 5", b"EICAR").as_slice()].concat()),
    ];
    for (name, bytes) in cases {
        for size in [bytes.len(), 1, 7] {
            if name == "junk in front" || (size < bytes.len() && name == "a longer body than announced") {
                continue;
            }
            let mut talk = Talk::new();
            talk.ask(b"GET /eicar HTTP/1.1\r\nHost: h\r\n\r\n");
            bytes.chunks(size).for_each(|piece| {
                talk.answer(piece);
            });
            talk.close();
            assert_eq!(talk.response("file.data").as_deref(), Some("EICAR"), "{name} in pieces of {size}");
            assert_eq!(talk.count(), 1, "{name}");
        }
    }
}

fn deflated(bytes: &[u8], gzip_header: Option<&[u8]>) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() + 100);
    compress.compress_vec(bytes, &mut out, flate2::FlushCompress::Finish).unwrap();
    [gzip_header.unwrap_or_default(), &out].concat()
}

#[test]
fn requests_are_told_apart() {
    let mut talk = Talk::new();
    talk.ask(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n\r\nHEAD /c HTTP/1.0\r\n\r\n");
    talk.answer(b"HTTP/1.1 200 ok\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n");
    talk.answer(b"HTTP/1.1 200 ok\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(talk.count(), 3);
    let uris: Vec<_> = (0..3).map(|at| talk.text(at, "http.uri", Toward::Server).unwrap()).collect();
    let codes: Vec<_> = (0..3).map(|at| talk.text(at, "http.stat_code", Toward::Client).unwrap()).collect();
    assert_eq!(
        (uris, codes),
        (vec!["/a".into(), "/b".into(), "/c".into()], vec!["200".into(), "404".into(), "200".into()])
    );
    assert_eq!(talk.request("http.request_body").as_deref(), Some("abc"));
    assert!((0..3).all(|at| talk.tx(at).is_done(Toward::Server) && talk.tx(at).is_done(Toward::Client)));
}

#[test]
fn oddities_have_suricatas_names() {
    let cases: [(&[u8], &str); 11] = [
        (b"GET / HTTP/1.1\r\n\r\n", events::MISSING_HOST_HEADER),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", events::HEADER_HOST_INVALID),
        (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", events::HOST_HEADER_AMBIGUOUS),
        (b"GET / HTTP/1.1\r\nHost: a:81\r\n\r\n", events::REQUEST_SERVER_PORT_TCP_PORT_MISMATCH),
        (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", events::URI_DELIM_NON_COMPLIANT),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", events::METHOD_DELIM_NON_COMPLIANT),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", events::REQUEST_LINE_LEADING_WHITESPACE),
        (b"GET / HTTP/1.1\r\nnothing\r\n\r\n", events::REQUEST_FIELD_MISSING_COLON),
        (b"GET / HTTP/1.1\r\n a: b\r\n\r\n", events::INVALID_REQUEST_FIELD_FOLDING),
        (b"GET / HTTP/1.1\r\nA: b\r\nA: c\r\n\r\n", events::REQUEST_HEADER_REPETITION),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", events::INVALID_REQUEST_CHUNK_LEN),
    ];
    for (bytes, event) in cases {
        let mut talk = Talk::new();
        talk.ask(bytes);
        assert!(talk.tx(0).events().contains(&event), "{event}: {:?}", talk.tx(0).events());
    }
}

#[test]
fn repeated_and_folded_headers_become_one_value() {
    let mut talk = Talk::new();
    talk.ask(b"GET / HTTP/1.1\r\nReferer: a\r\nHost: h\r\nReferer:b\r\nUser-Agent: x\r\n y\r\n\tz\r\n\r\n");
    assert_eq!(talk.request("http.referer").as_deref(), Some("a, b"));
    assert_eq!(talk.request("http.user_agent").as_deref(), Some("x y\tz"));
    assert_eq!(talk.request("http.header_names").as_deref(), Some("\r\nReferer\r\nHost\r\nUser-Agent\r\n\r\n"));
}

#[test]
fn a_response_without_a_request_is_a_transaction_all_the_same() {
    let mut talk = Talk::new();
    talk.answer(OK);
    assert_eq!(talk.request("http.uri"), None);
    assert_eq!(talk.response("http.stat_code").as_deref(), Some("200"));
    let Some(AppRecord::Http(record)) = talk.tx(0).record() else { panic!("no record") };
    assert_eq!(record.url.as_deref(), Some(&b"/libhtp::request_uri_not_seen"[..]));
    assert!(talk.tx(0).is_done(Toward::Server) && talk.tx(0).is_done(Toward::Client));
}

#[test]
fn after_connect_and_upgrade_it_is_another_protocol() {
    let mut talk = Talk::new();
    talk.ask(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    talk.answer(b"HTTP/1.1 200 ok\r\n\r\nrest");
    assert_eq!(talk.last, Step::Changed { consumed: 19, to: None });

    let mut refused = Talk::new();
    refused.ask(b"CONNECT h:443 HTTP/1.1\r\n\r\n").answer(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n");
    refused.ask(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(refused.text(1, "http.uri", Toward::Server).as_deref(), Some("/next"));

    let mut upgrade = Talk::new();
    upgrade.ask(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n");
    upgrade.answer(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x00");
    assert!(matches!(upgrade.last, Step::Changed { to: Some(AppProto::Websocket), .. }));
}

#[test]
fn a_hole_in_a_body_is_counted_and_one_in_a_head_is_survived() {
    let limits = AppLimits::default();
    let mut talk = Talk::new();
    talk.ask(GET).answer(b"HTTP/1.1 200 ok\r\nContent-Length: 10\r\n\r\nab");
    talk.parser.gap(Toward::Client, 6, &context(&limits));
    talk.answer(b"cd");
    assert_eq!(talk.response("file.data").as_deref(), Some("abcd"));
    assert!(talk.tx(0).is_done(Toward::Client));

    talk.ask(b"GET /lo");
    talk.parser.gap(Toward::Server, 100, &context(&limits));
    talk.ask(b"of a header\r\n\r\nGET /found HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(talk.text(1, "http.uri", Toward::Server).as_deref(), Some("/found"));
}

#[test]
fn files_of_a_form_are_files() {
    let mut talk = Talk::new();
    talk.ask(
        b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 86\r\n\r\n",
    );
    talk.ask(
        b"--B\r\nContent-Disposition: form-data; name=a; filename=\"evil.exe\"\r\n\r\nMZ\r\n--B--\r\n\r\n\r\n\r\n",
    );
    assert_eq!(talk.request("file.data").as_deref(), Some("MZ"));
    assert_eq!(talk.request("file.name").as_deref(), Some("evil.exe"));
    assert!(talk.request("http.request_body").is_some_and(|body| body.starts_with("--B\r\n")));
}

#[test]
fn a_bomb_is_stopped() {
    let mut limits = AppLimits::default();
    limits.http.coding_layer_count_max = 3;
    let header = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let zeros = deflated(&vec![0; 64 << 20], Some(header));
    let bomb = deflated(&zeros, Some(header));
    let mut talk = Talk::new();
    talk.limits = limits;
    talk.ask(GET).answer(b"HTTP/1.1 200 ok\r\nContent-Encoding: gzip, gzip\r\n\r\n").answer(&bomb);
    assert!(talk.tx(0).events().contains(&events::COMPRESSION_BOMB));
    assert!(talk.tx(0).heap_bytes() < 1 << 20);
}

#[test]
fn http_is_recognised_by_how_it_begins() {
    let limits = AppLimits::default();
    let cases: [(Toward, &[u8], Guess); 10] = [
        (Toward::Server, b"GET /", Guess::Yes),
        (Toward::Server, b"get\t/", Guess::Yes),
        (Toward::Server, b"PROP", Guess::More),
        (Toward::Server, b"GETS /", Guess::More),
        (Toward::Server, b"GETS /\n", Guess::No),
        (Toward::Server, b"HTTP/1.1 ", Guess::No),
        (Toward::Client, b"HTTP/1.1 200", Guess::Yes),
        (Toward::Client, b"http/1", Guess::More),
        (Toward::Client, b"HTTP/2", Guess::No),
        (Toward::Client, b"GET /", Guess::No),
    ];
    for (toward, bytes, guess) in cases {
        assert_eq!(recognise(toward, bytes, &context(&limits)), guess, "{bytes:?}");
    }
}

/// A whole conversation: what each side says.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let request = prop_oneof![
        Just(GET.to_vec()),
        Just(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody".to_vec()),
        Just(
            b"PUT /q HTTP/1.1\r\nHost: h\r\n folded\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".to_vec()
        ),
    ];
    let response = prop_oneof![
        Just(OK.to_vec()),
        Just(b"HTTP/1.1 404 no\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n".to_vec()),
        Just(b"HTTP/1.0 204 no\nA: b\n\n".to_vec()),
        Just(
            [
                b"HTTP/1.1 200 ok\r\nContent-Encoding: gzip\r\nContent-Length: 17\r\n\r\n",
                deflated(b"gzip!", Some(b"\x1f\x8b\x08\0\0\0\0\0\0\x03")).as_slice()
            ]
            .concat()
        ),
    ];
    prop::collection::vec((request, response), 1..5)
        .prop_map(|pairs| pairs.into_iter().unzip())
        .prop_map(|(requests, responses): (Vec<Vec<u8>>, Vec<Vec<u8>>)| (requests.concat(), responses.concat()))
}

fn cut(bytes: &[u8], places: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len())).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.push(bytes[from..place].to_vec());
        from = place;
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

proptest! {
    #[test]
    fn segments_change_nothing(
        (requests, responses) in conversation(),
        request_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        response_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut whole = Talk::new();
        whole.ask(&requests).answer(&responses).close();
        let mut cut_up = Talk::new();
        for piece in cut(&requests, &request_cuts) {
            cut_up.ask(&piece);
        }
        for piece in cut(&responses, &response_cuts) {
            cut_up.answer(&piece);
        }
        cut_up.close();
        prop_assert_eq!(whole.everything(), cut_up.everything());
    }

    #[test]
    fn hostile_bytes_stay_within_caps(
        pieces in prop::collection::vec((any::<bool>(), hostile()), 0..30),
        missing in 0_u64..3000,
    ) {
        let limits = AppLimits::default();
        let mut talk = Talk::new();
        for (at, (up, piece)) in pieces.iter().enumerate() {
            let toward = if *up { Toward::Server } else { Toward::Client };
            talk.say(toward, piece);
            if let Step::Taken { consumed, .. } | Step::Changed { consumed, .. } = talk.last {
                prop_assert!(consumed <= piece.len());
            }
            if at % 7 == 6 {
                talk.parser.gap(toward, missing, &context(&limits));
            }
        }
        talk.close();
        talk.everything();
        prop_assert!(talk.parser.heap_bytes() < 8 << 20);
    }
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET ",
        b"POST ",
        b"CONNECT ",
        b"HEAD ",
        b"/a?b ",
        b"HTTP/1.1",
        b"HTTP/0.9",
        b" 200 ok",
        b" 100 c",
        b" 101 s",
        b" 304 n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"A",
        b"Host: h",
        b"Content-Length: 3",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip, deflate, br",
        b"Content-Type: multipart/form-data; boundary=B",
        b"--B",
        b"--",
        b"filename=x",
        b"Content-Disposition: x; ",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        b"\x4b\x4c\x4a\x06\x00",
        b"3",
        b"0",
        b"ffffffff",
        b";",
        b"%u0041",
        b"%2f..",
        b"\xff",
    ];
    prop::collection::vec(prop::sample::select(words), 0..20).prop_map(|words| words.concat())
}

#[test]
fn a_request_is_known_by_its_form() {
    let guess = |bytes: &[u8]| recognise_request(behind_empty_lines(bytes));
    let long = [&b"FOO /"[..], &[b'a'; 1100]].concat();
    let cases: [(&[u8], Guess); 14] = [
        (b"FOO /attack HTTP/1.1\r\n", Guess::Yes),
        (b" FOO\t/attack\thttp/1.0 \r\nHost: a", Guess::Yes),
        (b"\r\n\n\r\nGET /", Guess::Yes),
        (&long, Guess::Yes),
        (b"FOO /attack HTTP", Guess::More),
        (b"FO", Guess::More),
        (b"", Guess::More),
        (b"\r\n\r\n", Guess::More),
        (b"FOO /attack\r\n", Guess::No),
        (b"FOO HTTP/1.1\r\n", Guess::No),
        (b"INVITE sip:a@b SIP/2.0\r\n", Guess::No),
        (b"FOO /attack HTTP/x\r\n", Guess::No),
        (b"<a> /attack HTTP/1.1\r\n", Guess::No),
        (b"\x16\x03\x01", Guess::No),
    ];
    for (bytes, wanted) in cases {
        assert_eq!(guess(bytes), wanted, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_request_with_an_unknown_method_is_no_body() {
    for cut in 0..40 {
        let mut talk = Talk::new();
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nFOO /attack HTTP/1.1\r\nHost: a\r\n\r\n";
        let (first, second) = bytes.split_at(bytes.len() - cut);
        talk.ask(first).ask(second);
        assert_eq!(talk.count(), 2, "cut {cut} bytes from the end");
        assert_eq!(talk.text(1, "http.uri", Toward::Server).as_deref(), Some("/attack"));
    }
}

#[test]
fn what_a_refused_connect_hides_is_read() {
    let connect = b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut talk = Talk::new();
    talk.ask(&[&connect[..], b"GET /attack HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    assert_eq!(talk.text(1, "http.uri", Toward::Server).as_deref(), Some("/attack"), "at once");

    // What does not look like a request waits for the answer, and is read with it.
    let mut talk = crate::packet::app::testing::Conversation::with(80);
    talk.stream(Toward::Server, &[&connect[..], b"GET"].concat());
    talk.stream(Toward::Client, b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
    talk.stream(Toward::Server, b" /attack HTTP/1.1\r\n\r\n");
    assert_eq!(talk.buffers(1, Buffer::HTTP_URI, Toward::Server), ["/attack"]);
}

#[test]
fn too_many_headers_are_passed_over() {
    let many: String = (0..1100).map(|nth| format!("x{nth}:\r\n")).collect();
    let ask = format!("POST / HTTP/1.1\r\n{many}Content-Length: 4\r\n\r\nGET GET /attack HTTP/1.1\r\n\r\n");
    for size in [usize::MAX, 1000, 7, 1] {
        let mut talk = Talk::new();
        ask.as_bytes().chunks(size.min(ask.len())).for_each(|part| _ = talk.ask(part));
        assert!(talk.tx(0).events().contains(&"http.request_too_many_headers"));
        assert_eq!(talk.text(1, "http.uri", Toward::Server).as_deref(), Some("/attack"), "pieces of {size}");
    }
}

#[test]
fn a_head_beyond_its_cap_is_passed_over() {
    let many = format!("x: {}\r\n", "y".repeat(20_000)).repeat(10);
    for (line, answer) in [("GET / HTTP/1.1", false), ("HTTP/1.1 200 OK", true)] {
        let text = format!("{line}\r\n{many}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n{line}\r\n\r\n");
        let toward = if answer { Toward::Client } else { Toward::Server };
        for size in [text.len(), 1000, 3] {
            let mut talk = Talk::new();
            text.as_bytes().chunks(size).for_each(|part| _ = talk.say(toward, part));
            assert_eq!(talk.count(), 2, "{line} in pieces of {size}");
            assert!(talk.parser.heap_bytes() < 1 << 20);
        }
    }
    let endless = [&b"GET /"[..], &b"a".repeat(200_000), b" HTTP/1.1\r\n\r\nGET /attack HTTP/1.1\r\n\r\n"].concat();
    let mut talk = Talk::new();
    endless.chunks(1000).for_each(|part| _ = talk.ask(part));
    let last = talk.count() - 1;
    assert_eq!(talk.text(last, "http.uri", Toward::Server).as_deref(), Some("/attack"));
}
