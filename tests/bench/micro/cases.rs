//! What is measured: each case is made once, with everything it needs, and then called again and again.

use std::fmt::Write as _;
use std::hint::black_box;

use tidegate::kernel::queue;
use tidegate::packet::conntrack::CtInfo;
use tidegate::packet::decode;
use tidegate::packet::ingress::Ingress;
use tidegate::rules::prefilter::{Length, Prefilter};

use super::judge::{Judge, tcp, udp};

pub type Case = Box<dyn FnMut()>;
type Make = fn() -> Case;

pub const CASES: [(&str, Make); 8] = [
    ("decode-tcp", decode_tcp),
    ("message-with-conntrack", message_with_conntrack),
    ("flow-attach", flow_attach),
    ("flow-new", flow_new),
    ("stream-append-64-segments", stream_append),
    ("http-request", http_request),
    ("prefilter-64-kilobytes", prefilter),
    ("evaluation-100-candidates", evaluation),
];

pub fn find(name: &str) -> Option<Case> {
    CASES.iter().find(|case| case.0 == name).map(|case| case.1())
}

const ASK: CtInfo = CtInfo::Established;
const ANSWER: CtInfo = CtInfo::EstablishedReply;
const PORT: u16 = 7000;

fn decode_tcp() -> Case {
    let packets = tcp(PORT, &[(ASK, &[0x41; 1400])]);
    Box::new(move || {
        let decoded = decode::decode_ingress(&Ingress::bare(black_box(&packets[0].1), 0x0800));
        black_box(decoded.headers.is_some());
    })
}

/// As the kernel writes it: packet header, interfaces, the connection's entry, the payload.
fn message_with_conntrack() -> Case {
    let be = |value: u32| value.to_be_bytes();
    let ip = |source: [u8; 4], target: [u8; 4]| [attr(1, &source), attr(2, &target)].concat();
    let ports = |source: u16, target: u16| {
        [attr(1, &[6]), attr(2, &source.to_be_bytes()), attr(3, &target.to_be_bytes())].concat()
    };
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let tuple = |ip: Vec<u8>, ports: Vec<u8>| [attr(1, &ip), attr(2, &ports)].concat();
    let entry = [
        attr(1, &tuple(ip(client, server), ports(40_000, 80))),
        attr(2, &tuple(ip(server, client), ports(80, 40_000))),
        attr(12, &be(77)),
        attr(3, &be(0x0e)),
        attr(7, &be(432_000)),
        attr(4, &attr(1, &[attr(1, &[3]), attr(2, &[7]), attr(3, &[7])].concat())),
        attr(8, &be(0)),
    ]
    .concat();
    let packet = tcp(80, &[(ASK, &[0x41; 200])]).remove(0).1;
    let attrs = [
        attr(1, &[0, 0, 0, 9, 8, 0, 2]),
        attr(5, &be(2)),
        attr(6, &be(3)),
        attr(11, &entry),
        attr(12, &be(0)),
        attr(14, &be(1)),
        attr(10, &packet),
    ]
    .concat();
    let mut datagram = u32::try_from(attrs.len() + 20).expect("a message").to_ne_bytes().to_vec();
    datagram.extend(0x0300u16.to_ne_bytes());
    datagram.extend([0; 10]);
    datagram.extend([2, 0, 0, 7]);
    datagram.extend(attrs);
    assert!(queue::parse(&datagram).is_some_and(|packet| packet.conntrack.is_some()), "a whole message");
    Box::new(move || {
        black_box(queue::parse(black_box(&datagram)));
    })
}

fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(payload.len() + 4).expect("an attribute").to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A datagram of a known flow, without rules: decoding, the flow's lock, its place in the table.
fn flow_attach() -> Case {
    let mut judge = Judge::with("", 17, PORT);
    let packets = [udp(PORT, &[0xaa; 64])];
    Box::new(move || judge.judge(&packets))
}

fn flow_new() -> Case {
    let mut judge = Judge::with("", 17, PORT);
    let packets = [udp(PORT, &[0xaa; 64])];
    Box::new(move || {
        judge.forget();
        judge.judge(&packets);
    })
}

/// A connection of 90 kilobytes in full segments, each acknowledged.
fn stream_append() -> Case {
    let turns: Vec<(CtInfo, &[u8])> = (0..64).flat_map(|_| [(ASK, &[0xaa; 1400][..]), (ANSWER, &[][..])]).collect();
    let packets = tcp(PORT, &turns);
    let mut judge = Judge::with("", 6, PORT);
    Box::new(move || {
        judge.forget();
        judge.judge(&packets);
    })
}

fn http_request() -> Case {
    let request = b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n";
    let mut answer =
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n\r\n".to_vec();
    answer.extend([b'x'; 1024]);
    let packets = tcp(80, &[(ASK, request), (ANSWER, &answer), (ASK, &[])]);
    let mut judge = Judge::with("", 6, 80);
    Box::new(move || {
        judge.forget();
        judge.judge(&packets);
    })
}

/// Two thousand literals over text that holds none of them.
fn prefilter() -> Case {
    let literals: Vec<(Vec<u8>, u32)> = (0..2000u32).map(|at| (word(at).into_bytes(), at)).collect();
    let (prefilter, _) = Prefilter::build(&literals, Length::Long);
    let text: Vec<u8> = b"The river runs out at night, and in the morning it comes back. ".repeat(1024);
    Box::new(move || {
        let mut found = 0u32;
        prefilter.scan(black_box(&text), |_| true, |_| found += 1);
        black_box(found);
    })
}

/// Letters only, and different enough.
fn word(number: u32) -> String {
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..5 + number as usize % 8).map(letter).collect()
}

/// Rules whose literal is there, and the rest of what they ask for is not.
fn evaluation() -> Case {
    let mut rules = String::new();
    let mut payload = Vec::new();
    for at in 0..100u32 {
        let word = word(at);
        let _ = writeln!(
            rules,
            "alert udp any any -> any {PORT} (msg:\"{at}\"; content:\"{word}\"; content:\"nowhere\"; distance:2; within:40; \
             pcre:\"/{word}[0-9]+nowhere/\"; sid:{};)",
            at + 1
        );
        payload.extend_from_slice(word.as_bytes());
        payload.push(b' ');
    }
    let mut judge = Judge::with(&rules, 17, PORT);
    let packets = [udp(PORT, &payload)];
    Box::new(move || judge.judge(&packets))
}
