//! The accept path allocates nothing, and what waits holds little: counted, not believed.

// A test says what it expects by panicking, and what it measured, also in helpers that clippy does not recognise as tests.
#![allow(clippy::expect_used, clippy::print_stdout)]

#[path = "bench/micro/judge.rs"]
#[allow(dead_code)] // the benches need more of it
mod judge;

use judge::{Judge, Packet};
use tidegate::packet::conntrack::CtInfo;

const SHIPPED: &str = include_str!("../rules/tidegate.rules");
const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello";

/// Held of a connection whose parser is that of HTTP, in bytes: between two requests, and while one waits for its answer.
const IDLE_BYTES_MAX: i64 = 1024;
const ASKING_BYTES_MAX: i64 = 2048;
/// Held of a flow that nobody parses: no more than one datagram was seen of it.
const BARE_BYTES_MAX: i64 = 512;

fn judge() -> Judge {
    Judge::with(SHIPPED, 6, 80)
}

/// Both directions send the same segments, and each acknowledges what the other has sent.
fn both_ways(payloads: &[&[u8]]) -> Vec<Packet> {
    let ways = [CtInfo::Established, CtInfo::EstablishedReply];
    let turns: Vec<_> = payloads.iter().flat_map(|payload| ways.map(|way| (way, *payload))).collect();
    judge::tcp(80, &turns)
}

#[test]
fn accepted_packets_of_a_known_flow_cost_no_allocation() {
    let packets = both_ways(&[REQUEST, &[0x16; 1400], b"", ANSWER]);
    let mut judge = judge();
    judge.judge(&packets);
    judge.judge(&packets);
    let told = judge.told;
    let counted = allocation_counter::measure(|| (2..1000).for_each(|_| judge.judge(&packets)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert_eq!((judge.refused, judge.told), (0, told));
}

#[test]
fn a_stream_that_flows_costs_no_allocation() {
    let packets = both_ways(&[&[0x16; 1400][..]; 600]);
    let (first, rest) = packets.split_at(200);
    let mut judge = judge();
    judge.judge(first);
    let counted = allocation_counter::measure(|| judge.judge(rest));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let streams = judge.stream_counters();
    assert_eq!((streams.sessions, streams.overlap, streams.reassembly_gap), (1, 0, 0));
    assert_eq!(judge.refused, 0);
}

/// What so many connections hold that stay open after `packets`, each.
fn held_by_each(judge: &mut Judge, packets: &[Packet]) -> i64 {
    const COUNT: u16 = 4000;
    let counted = allocation_counter::measure(|| {
        for port in 10_000..10_000 + COUNT {
            judge.turn_to(port);
            judge.judge(packets);
        }
    });
    assert_eq!((judge.flow_count(), judge.refused), (usize::from(COUNT), 0));
    counted.bytes_current / i64::from(COUNT)
}

#[test]
fn a_connection_that_waits_holds_little() {
    let turns = [(CtInfo::Established, REQUEST), (CtInfo::EstablishedReply, ANSWER), (CtInfo::Established, &b""[..])];
    let mut idle = judge();
    let each = held_by_each(&mut idle, &judge::tcp(80, &turns));
    println!("an idle HTTP connection holds {each} bytes");
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes each");
    assert_eq!(idle.stream_bytes(), 0, "between two requests a stream holds nothing");

    let each = held_by_each(&mut judge(), &judge::tcp(80, &turns[..1]));
    println!("one that waits for an answer holds {each} bytes");
    assert!(each <= ASKING_BYTES_MAX, "{each} bytes each");

    let each = held_by_each(&mut Judge::with(SHIPPED, 17, 9), &[judge::udp(9, b"x")]);
    println!("a flow of one datagram holds {each} bytes");
    assert!(each <= BARE_BYTES_MAX, "{each} bytes each");
}
