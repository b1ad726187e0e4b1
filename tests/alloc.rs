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

fn tcp_connection() -> (Vec<Vec<u8>>, Conntrack) {
    let (client, server) = ([192, 168, 1, 10], [10, 0, 0, 1]);
    let payloads: [&[u8]; 4] = [
        b"GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\n\r\n",
        &[0x16; 1400],
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ];
    let packets = payloads.map(|payload| {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(client, server, 64).tcp(40_000, 80, 1, 65_000).ack(1).write(&mut bytes, payload).unwrap();
        bytes
    });
    let orig = Tuple { src: client.into(), dst: server.into(), protocol: 6, src_port: 40_000, dst_port: 80 };
    let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
    entry.id = ConntrackId(1);
    entry.status = CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY | CtStatus::ASSURED);
    entry.tcp =
        Some(TcpTrack { state: TcpState::Established, wscale_orig: 7, wscale_reply: 7, flags_orig: 0, flags_reply: 0 });
    (packets.to_vec(), entry)
}

#[test]
fn accepted_packets_of_a_known_flow_cost_no_allocation() {
    let rules = shipped_rules();
    let (flows, shared) = (FlowShards::new(1000), SharedDetectState::default());
    let world = World { rules: &rules, flows: &flows, shared: &shared };
    let mut path = Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default());
    let mut events = Events::new();
    let (packets, entry) = tcp_connection();
    let mut round = |clock: u64| {
        for bytes in &packets {
            for info in [CtInfo::Established, CtInfo::EstablishedReply] {
                let mut packet = Ingress::bare(bytes, 0x0800);
                packet.conntrack = Some(Tracked { entry: &entry, info });
                let verdict = path.inspect(world, &packet, Timestamp::from_micros(clock), &mut events);
                assert_eq!(verdict, Verdict::ACCEPT);
            }
        }
    };
    round(1);
    let counted = allocation_counter::measure(|| (2..1000).for_each(&mut round));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(events.is_empty());
}
