//! A hundred thousand HTTP connections that are open at the same time, in a capture that is replayed: what they hold is
//! bounded, and nothing is left of them in the end.
//!
//! It takes a minute without optimisation, so it is asked for: `cargo test --release --test many_flows -- --ignored`.

// A test says what it expects by panicking, and what it measured, also in helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use etherparse::PacketBuilder;
use tidegate::control::replay::{self, DestroyedEntry, ReplayOptions, ReplaySink};
use tidegate::packet::app::{APP_MEMCAP_BYTES_DEFAULT, AppConfig};
use tidegate::packet::conntrack::FateMask;
use tidegate::packet::detect::SharedDetectState;
use tidegate::packet::event::Events;
use tidegate::packet::flow::shards::FlowShards;
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::packet::path::{Path, World};
use tidegate::packet::pool::MemoryPool;
use tidegate::packet::stream::{STREAM_MEMCAP_BYTES_DEFAULT, StreamConfig};
use tidegate::packet::tell::Copies;
use tidegate::packet::verdict::{Action, Policy};
use tidegate::rules::ruleset::RuleSet;
use tidegate::rules::{self, Context, Options, Source, Vars};

const FLOW_COUNT: u32 = 100_000;
/// Of a connection that waits for its next request, and of one that waits for an answer.
const IDLE_BYTES_MAX: i64 = 1024;
const ASKING_BYTES_MAX: i64 = 2048;
/// Scratch memory of one thread.
const LEFT_BYTES_MAX: i64 = 1 << 20;
const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello";

/// Opens all connections, asks on each, answers on each. With `close`, ends them all.
fn write_capture(path: &std::path::Path, close: bool) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0]).unwrap();
    let (asked, answered) = (1001 + REQUEST.len() as u32, 9001 + ANSWER.len() as u32);
    let mut packet = Vec::new();
    let mut put = |nth: u32, from_client: bool, flags: &str, seq: u32, ack: u32, payload: &[u8]| {
        let [_, a, b, c] = nth.to_be_bytes();
        let (client, server) = ([10, a, b, c], [192, 0, 2, 1]);
        let ((src, sport), (dst, dport)) =
            if from_client { ((client, 40_000), (server, 80)) } else { ((server, 80), (client, 40_000)) };
        let mut builder = PacketBuilder::ipv4(src, dst, 64).tcp(sport, dport, seq, 65_000);
        for flag in flags.bytes() {
            builder = match flag {
                b'S' => builder.syn(),
                b'F' => builder.fin(),
                _ => builder.ack(ack),
            };
        }
        packet.clear();
        builder.write(&mut packet, payload).unwrap();
        let length = (packet.len() as u32).to_le_bytes();
        for field in [1_700_000_000u32.to_le_bytes(), 0u32.to_le_bytes(), length, length] {
            out.write_all(&field).unwrap();
        }
        out.write_all(&packet).unwrap();
    };
    for nth in 0..FLOW_COUNT {
        put(nth, true, "S", 1000, 0, b"");
        put(nth, false, "SA", 9000, 1001, b"");
        put(nth, true, "A", 1001, 9001, b"");
    }
    (0..FLOW_COUNT).for_each(|nth| put(nth, true, "A", 1001, 9001, REQUEST));
    (0..FLOW_COUNT).for_each(|nth| put(nth, false, "A", 9001, asked, ANSWER));
    (0..FLOW_COUNT).for_each(|nth| put(nth, true, "A", asked, answered, b""));
    if close {
        for nth in 0..FLOW_COUNT {
            put(nth, true, "FA", asked, answered, b"");
            put(nth, false, "FA", answered, asked + 1, b"");
            put(nth, true, "A", asked + 1, answered + 1, b"");
        }
    }
}

/// The data plane, with what it holds counted apart from the acted kernel around it.
struct Plane {
    path: Path,
    rules: Arc<RuleSet>,
    flows: FlowShards,
    shared: SharedDetectState,
    events: Events,
    records: u64,
    held: i64,
    most_held: i64,
    /// When the first connection ended.
    held_idle: Option<i64>,
}

impl Plane {
    fn new(streams: &Arc<MemoryPool>, transactions: &Arc<MemoryPool>) -> Plane {
        let context = Context { vars: Vars::standard(), ..Context::default() };
        let source = Source::new("tidegate.rules", include_str!("../rules/tidegate.rules"));
        let path = Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default());
        Plane {
            path: path.following(StreamConfig::default(), Arc::clone(streams)).remembering_in(Arc::clone(transactions)),
            rules: rules::compile(&[source], &context, &Options::default()).set,
            flows: FlowShards::new(2 * FLOW_COUNT as usize),
            shared: SharedDetectState::default(),
            events: Events::new(),
            records: 0,
            held: 0,
            most_held: 0,
            held_idle: None,
        }
    }

    fn account(&mut self, held: i64) {
        self.held += held;
        self.most_held = self.most_held.max(self.held);
    }
}

impl ReplaySink for Plane {
    fn packet(&mut self, packet: &Ingress<'_>, now: Timestamp) -> Action {
        let mut action = Action::Accept;
        let counted = allocation_counter::measure(|| {
            let world = World { rules: &self.rules, flows: &self.flows, shared: &self.shared };
            action = self.path.inspect(world, packet, now, &mut self.events).action;
            self.records += self.events.len() as u64;
            self.events.clear();
        });
        self.account(counted.bytes_current);
        action
    }

    fn destroyed(&mut self, destroyed: &DestroyedEntry) {
        self.held_idle.get_or_insert(self.held);
        let counted = allocation_counter::measure(|| drop(self.flows.remove(&destroyed.entry.key())));
        self.account(counted.bytes_current);
    }
}

fn replay(close: bool) -> Plane {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("many.pcap");
    write_capture(&capture, close);
    let (streams, transactions) =
        (Arc::new(MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT)), Arc::new(MemoryPool::new(APP_MEMCAP_BYTES_DEFAULT)));
    let mut plane = Plane::new(&streams, &transactions);
    let started = Instant::now();
    let summary = replay::feed(&capture, ReplayOptions::default(), &mut plane).unwrap();
    let each = |bytes: i64| bytes / i64::from(FLOW_COUNT);
    let (asking, idle) = (each(plane.most_held), each(plane.held_idle.unwrap()));
    let elapsed = started.elapsed();
    println!("{} packets in {elapsed:?}", summary.packets);
    println!("a flow: {asking} bytes at most, {idle} when the first one ends; left at last {} in all", plane.held);
    assert!(plane.records >= u64::from(FLOW_COUNT), "{} records", plane.records);
    assert!(asking <= ASKING_BYTES_MAX && idle <= IDLE_BYTES_MAX, "{asking} and {idle} bytes each");
    assert!(transactions.bytes() <= transactions.bytes_max() && streams.bytes() <= streams.bytes_max());
    assert_eq!((plane.flows.count(), streams.bytes(), transactions.bytes()), (0, 0, 0), "nothing is left");
    plane
}

#[test]
#[ignore = "a minute without optimisation"]
fn a_hundred_thousand_open_http_connections_stay_within_their_bounds() {
    for close in [false, true] {
        let plane = replay(close);
        // The empty tables keep their size; besides them nothing is left.
        let tables = allocation_counter::measure(|| drop(plane.flows)).bytes_current;
        // Addresses that rules count for some seconds.
        let counted = allocation_counter::measure(|| drop(plane.shared)).bytes_current;
        let left = plane.held + tables + counted;
        println!("{} bytes in empty tables, {} in thresholds, {left} elsewhere", -tables, -counted);
        assert!(left < LEFT_BYTES_MAX, "{left} bytes are left");
    }
}
