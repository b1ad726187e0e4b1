//! The accept path allocates nothing: counted, not believed.

// A test says what it expects by panicking, also in the helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use etherparse::PacketBuilder;
use tidegate::packet::app::AppConfig;
use tidegate::packet::conntrack::{Conntrack, ConntrackId, CtInfo, CtStatus, FateMask, TcpState, TcpTrack, Tuple};
use tidegate::packet::detect::SharedDetectState;
use tidegate::packet::event::Events;
use tidegate::packet::flow::shards::FlowShards;
use tidegate::packet::ingress::{Ingress, Timestamp, Tracked};
use tidegate::packet::path::{Path, World};
use tidegate::packet::pool::MemoryPool;
use tidegate::packet::stream::{STREAM_MEMCAP_BYTES_DEFAULT, StreamConfig};
use tidegate::packet::tell::Copies;
use tidegate::packet::verdict::{Policy, Verdict};
use tidegate::rules::ruleset::RuleSet;
use tidegate::rules::{self, Context, Options, Source, Vars};

const SHIPPED: &str = include_str!("../rules/tidegate.rules");

fn shipped_rules() -> Arc<RuleSet> {
    let context = Context { vars: Vars::standard(), ..Context::default() };
    let compiled = rules::compile(&[Source::new("tidegate.rules", SHIPPED)], &context, &Options::default());
    assert!(compiled.loaded() > 5);
    compiled.set
}

const CLIENT: [u8; 4] = [192, 168, 1, 10];
const SERVER: [u8; 4] = [10, 0, 0, 1];

fn established() -> Conntrack {
    let orig = Tuple { src: CLIENT.into(), dst: SERVER.into(), protocol: 6, src_port: 40_000, dst_port: 80 };
    let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
    entry.id = ConntrackId(1);
    entry.status = CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY | CtStatus::ASSURED);
    entry.tcp =
        Some(TcpTrack { state: TcpState::Established, wscale_orig: 7, wscale_reply: 7, flags_orig: 0, flags_reply: 0 });
    entry
}

fn segment(seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(40_000, 80, seq, 65_000).ack(seq);
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// Both directions send the same segments, and each acknowledges what the other has sent.
struct Bench {
    rules: Arc<RuleSet>,
    flows: FlowShards,
    shared: SharedDetectState,
    path: Path,
    events: Events,
    entry: Conntrack,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            rules: shipped_rules(),
            flows: FlowShards::new(1000),
            shared: SharedDetectState::default(),
            path: Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default()),
            events: Events::new(),
            entry: established(),
        }
    }

    fn judge(&mut self, clock: u64, packets: &[Vec<u8>]) {
        let world = World { rules: &self.rules, flows: &self.flows, shared: &self.shared };
        for bytes in packets {
            for info in [CtInfo::Established, CtInfo::EstablishedReply] {
                let mut packet = Ingress::bare(bytes, 0x0800);
                packet.conntrack = Some(Tracked { entry: &self.entry, info });
                let now = Timestamp::from_micros(clock);
                let verdict = self.path.inspect(world, &packet, now, &mut self.events);
                assert_eq!(verdict, Verdict::ACCEPT);
            }
        }
    }
}

#[test]
fn accepted_packets_of_a_known_flow_cost_no_allocation() {
    let payloads: [&[u8]; 4] = [
        b"GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\n\r\n",
        &[0x16; 1400],
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ];
    let mut seq = 1;
    let packets = payloads.map(|payload| {
        let packet = segment(seq, payload);
        seq += payload.len() as u32;
        packet
    });
    let mut bench = Bench::new();
    bench.judge(1, &packets);
    bench.judge(1, &packets);
    bench.events.clear();
    let counted = allocation_counter::measure(|| (2..1000).for_each(|clock| bench.judge(clock, &packets)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(bench.events.is_empty());
}

#[test]
fn a_stream_that_flows_costs_no_allocation() {
    let packets: Vec<_> = (0..600).map(|nth| segment(1 + nth * 1400, &[0x16; 1400])).collect();
    let (first, rest) = packets.split_at(100);
    let mut bench = Bench::new();
    bench.judge(1, first);
    let counted = allocation_counter::measure(|| bench.judge(2, rest));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let streams = bench.path.stream_counters();
    assert_eq!((streams.sessions, streams.overlap, streams.reassembly_gap), (1, 0, 0));
}

/// A request and its answer, both acknowledged, on each of many connections that then stay open.
#[test]
fn an_idle_http_connection_costs_less_than_two_kilobytes() {
    const COUNT: u16 = 4000;
    let rules = shipped_rules();
    let shared = SharedDetectState::default();
    let pool = Arc::new(MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT));
    let path = Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default());
    let mut path = path.following(StreamConfig::default(), Arc::clone(&pool));
    let mut events = Events::new();
    let request = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello";
    let (asked, answered) = (1001 + request.len() as u32, 9001 + answer.len() as u32);
    let mut flows = None;
    let counted = allocation_counter::measure(|| {
        let flows = flows.insert(FlowShards::new(usize::from(COUNT) * 2));
        for port in 10_000..10_000 + COUNT {
            let mut entry = established();
            entry.id = ConntrackId(u32::from(port));
            entry.orig.src_port = port;
            entry.reply = entry.orig.inverted();
            let mut judge = |info, source: ([u8; 4], u16), target: ([u8; 4], u16), seq, ack, payload: &[u8]| {
                let mut bytes = Vec::new();
                let builder = PacketBuilder::ipv4(source.0, target.0, 64).tcp(source.1, target.1, seq, 65_000).ack(ack);
                builder.write(&mut bytes, payload).unwrap();
                let mut packet = Ingress::bare(&bytes, 0x0800);
                packet.conntrack = Some(Tracked { entry: &entry, info });
                let world = World { rules: &rules, flows, shared: &shared };
                let verdict = path.inspect(world, &packet, Timestamp::from_micros(1), &mut events);
                assert_eq!(verdict, Verdict::ACCEPT);
                events.clear();
            };
            let (client, server) = ((CLIENT, port), (SERVER, 80));
            judge(CtInfo::Established, client, server, 1001, 9001, request);
            judge(CtInfo::EstablishedReply, server, client, 9001, asked, answer);
            judge(CtInfo::Established, client, server, asked, answered, b"");
        }
    });
    let flows = flows.unwrap();
    assert_eq!(flows.count(), usize::from(COUNT));
    assert_eq!(pool.bytes(), 0, "between two requests a stream holds nothing");
    let each = counted.bytes_current / i64::from(COUNT);
    println!("an idle HTTP connection costs {each} bytes");
    assert!(each <= 2048, "{each} bytes each");
}
