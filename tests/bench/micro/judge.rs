//! A data plane without a kernel: packets of one connection, judged over and over.

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
use tidegate::packet::stream::{STREAM_MEMCAP_BYTES_DEFAULT, StreamConfig, StreamCounters};
use tidegate::packet::tell::Copies;
use tidegate::packet::verdict::{Policy, Verdict};
use tidegate::rules::ruleset::RuleSet;
use tidegate::rules::{self, Context, Options, Source, Vars};

const CLIENT: [u8; 4] = [192, 168, 1, 10];
const SERVER: [u8; 4] = [10, 0, 0, 1];
const CLIENT_PORT: u16 = 40_000;

pub struct Judge {
    rules: Arc<RuleSet>,
    flows: FlowShards,
    shared: SharedDetectState,
    path: Path,
    events: Events,
    entry: Conntrack,
    clock: u64,
    streams: Arc<MemoryPool>,
    /// Packets so far that did not pass, and what was worth telling.
    pub refused: usize,
    pub told: usize,
}

/// A packet and the direction that it goes.
pub type Packet = (CtInfo, Vec<u8>);

impl Judge {
    pub fn with(rules: &str, protocol: u8, port: u16) -> Judge {
        let context = Context { vars: Vars::standard(), ..Context::default() };
        let compiled = rules::compile(&[Source::new("bench.rules", rules)], &context, &Options::default());
        assert_eq!(
            compiled.loaded(),
            rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count(),
            "every rule is loaded"
        );
        let tuple = Tuple { src: CLIENT.into(), dst: SERVER.into(), protocol, src_port: CLIENT_PORT, dst_port: port };
        let mut entry = Conntrack::of_tuples(0, tuple, tuple.inverted());
        entry.id = ConntrackId(1);
        entry.status = CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY | CtStatus::ASSURED);
        let state = TcpState::Established;
        let track = TcpTrack { state, wscale_orig: 7, wscale_reply: 7, flags_orig: 0, flags_reply: 0 };
        entry.tcp = (protocol == 6).then_some(track);
        let streams = Arc::new(MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT));
        let path = Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default());
        Judge {
            rules: compiled.set,
            flows: FlowShards::new(10_000),
            shared: SharedDetectState::default(),
            path: path.following(StreamConfig::default(), Arc::clone(&streams)),
            events: Events::new(),
            entry,
            clock: 1_000_000,
            streams,
            refused: 0,
            told: 0,
        }
    }

    pub fn judge(&mut self, packets: &[Packet]) {
        let world = World { rules: &self.rules, flows: &self.flows, shared: &self.shared };
        for (info, bytes) in packets {
            self.clock += 10;
            let mut packet = Ingress::bare(bytes, 0x0800);
            packet.conntrack = Some(Tracked { entry: &self.entry, info: *info });
            let verdict = self.path.inspect(world, &packet, Timestamp::from_micros(self.clock), &mut self.events);
            self.refused += usize::from(verdict != Verdict::ACCEPT);
        }
        self.told += self.events.len();
        self.events.clear();
    }

    /// What follows belongs to another connection, whose client has this port.
    pub fn turn_to(&mut self, client_port: u16) {
        self.entry.id = ConntrackId(u32::from(client_port));
        self.entry.orig.src_port = client_port;
        self.entry.reply = self.entry.orig.inverted();
    }

    pub fn flow_count(&self) -> usize {
        self.flows.count()
    }

    pub fn stream_counters(&self) -> &StreamCounters {
        self.path.stream_counters()
    }

    /// Held of all streams.
    pub fn stream_bytes(&self) -> u64 {
        self.streams.bytes()
    }

    /// The connection is over; the next packet is the first of another.
    pub fn forget(&mut self) {
        let key = self.entry.key();
        self.flows.lock(&key).remove(&key);
    }
}

/// Both sides' segments of a conversation, each acknowledging what came before.
pub fn tcp(port: u16, turns: &[(CtInfo, &[u8])]) -> Vec<Packet> {
    let (mut asked, mut answered) = (1u32, 1u32);
    let mut packets = Vec::new();
    for (info, payload) in turns {
        let mut bytes = Vec::new();
        let len = u32::try_from(payload.len()).expect("a segment");
        if *info == CtInfo::Established {
            let builder = PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(CLIENT_PORT, port, asked, 65_000).ack(answered);
            builder.write(&mut bytes, payload).expect("room");
            asked += len;
        } else {
            let builder = PacketBuilder::ipv4(SERVER, CLIENT, 64).tcp(port, CLIENT_PORT, answered, 65_000).ack(asked);
            builder.write(&mut bytes, payload).expect("room");
            answered += len;
        }
        packets.push((*info, bytes));
    }
    packets
}

pub fn udp(port: u16, payload: &[u8]) -> Packet {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(CLIENT, SERVER, 64).udp(CLIENT_PORT, port).write(&mut bytes, payload).expect("room");
    (CtInfo::Established, bytes)
}
