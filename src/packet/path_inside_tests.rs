//! Packets inside packets: flows of their own, and verdicts that the outer packet gets.

use etherparse::PacketBuilder;

use super::tests::{Bench, rule_set};
use super::*;
use crate::packet::conntrack::{Conntrack, ConntrackId, CtInfo, CtStatus, Tuple};
use crate::packet::decode::Tcp;
use crate::packet::event::{Event, FlowEnd};
use crate::packet::verdict::Reason;

const RULES: &str = r#"
alert tcp any any -> any 80 (msg:"answered"; flow:established,to_server; content:"GET"; sid:1;)
drop tcp any any -> any 80 (msg:"attack"; flow:to_server; content:"attack"; sid:2;)
reject tcp any any -> any 80 (msg:"go away"; flow:to_server; content:"go away"; sid:3;)
alert udp any any -> any 4789 (msg:"outer"; content:"GET"; sid:4;)
"#;

/// Two hosts with VXLAN between them, and a client and a server in one of its networks.
struct Tunnelled {
    bench: Bench,
}

/// A segment of the inner connection from client port `port`, in `network`.
#[derive(Clone, Copy)]
struct Inner<'i> {
    network: u8,
    port: u16,
    from_client: bool,
    flags: u8,
    seq: u32,
    payload: &'i [u8],
}

const CLIENT: [u8; 4] = [10, 1, 0, 1];
const SERVER: [u8; 4] = [10, 1, 0, 2];

impl Inner<'_> {
    fn bytes(self) -> Vec<u8> {
        let (src, dst) = if self.from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let (sport, dport) = if self.from_client { (self.port, 80) } else { (80, self.port) };
        let mut tcp = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(src, dst, 64).tcp(sport, dport, self.seq, 65_000);
        if self.flags & Tcp::SYN != 0 {
            tcp = tcp.syn();
        }
        if self.flags & Tcp::RST != 0 {
            tcp = tcp.rst();
        }
        if self.flags & Tcp::ACK != 0 {
            tcp = tcp.ack(if self.from_client { 501 } else { 101 });
        }
        let mut frame = Vec::new();
        tcp.write(&mut frame, self.payload).unwrap();
        let mut datagram = vec![8, 0, 0, 0, 0, 0, self.network, 0];
        datagram.extend(frame);
        let (src, dst) =
            if self.from_client { ([192, 0, 2, 1], [192, 0, 2, 2]) } else { ([192, 0, 2, 2], [192, 0, 2, 1]) };
        let mut packet = Vec::new();
        PacketBuilder::ipv4(src, dst, 64).udp(self.outer_port(), 4789).write(&mut packet, &datagram).unwrap();
        packet
    }

    /// VXLAN makes it from what is inside, so that each direction has an outer connection of its own.
    fn outer_port(self) -> u16 {
        if self.from_client { 40_000 } else { 50_000 }
    }

    fn entry(self) -> Conntrack {
        let (src, dst) =
            if self.from_client { ([192, 0, 2, 1], [192, 0, 2, 2]) } else { ([192, 0, 2, 2], [192, 0, 2, 1]) };
        let orig =
            Tuple { src: src.into(), dst: dst.into(), protocol: 17, src_port: self.outer_port(), dst_port: 4789 };
        let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
        entry.id = ConntrackId(u32::from(self.outer_port()));
        entry.status = CtStatus(CtStatus::CONFIRMED);
        entry
    }
}

impl Tunnelled {
    fn new(policy: Policy) -> Tunnelled {
        let mut bench = Bench::new(policy);
        bench.rules = rule_set(RULES, 1);
        Tunnelled { bench }
    }

    fn judge(&mut self, inner: Inner<'_>) -> Verdict {
        self.bench.judge(&inner.bytes(), Some((&inner.entry(), CtInfo::New)))
    }

    /// A handshake, then what the client says.
    fn say(&mut self, network: u8, port: u16, payload: &[u8]) -> Verdict {
        let base = Inner { network, port, from_client: true, flags: Tcp::SYN, seq: 100, payload: b"" };
        let handshake = [
            base,
            Inner { from_client: false, flags: Tcp::SYN | Tcp::ACK, seq: 500, ..base },
            Inner { flags: Tcp::ACK, seq: 101, ..base },
        ];
        for inner in handshake {
            assert_eq!(self.judge(inner), Verdict::ACCEPT);
        }
        self.judge(Inner { flags: Tcp::ACK, seq: 101, payload, ..base })
    }

    fn later(&mut self, network: u8, port: u16, payload: &[u8]) -> Verdict {
        self.judge(Inner { network, port, from_client: true, flags: Tcp::ACK, seq: 140, payload })
    }

    /// Ends both outer connections; how many inner flows that ended.
    fn end(&mut self) -> usize {
        let mut events = Events::new();
        let base = Inner { network: 0, port: 0, from_client: true, flags: 0, seq: 0, payload: b"" };
        for outer in [base, Inner { from_client: false, ..base }] {
            let entry = outer.entry();
            let mut flow = self.bench.flows().remove(&entry.key()).unwrap();
            tell::flow_ended(&mut flow, &entry, Timestamp::default(), FlowEnd::Timeout, &mut events);
        }
        events.iter().filter(|event| matches!(event, Event::Flow(flow) if flow.carrier.is_some())).count()
    }
}

#[test]
fn both_directions_of_an_inner_connection_meet_though_their_carriers_differ() {
    let mut tunnelled = Tunnelled::new(Policy::default());
    assert_eq!(tunnelled.say(7, 4000, b"GET /"), Verdict::ACCEPT);
    assert_eq!(tunnelled.bench.told(), ["alert:4", "alert:1"], "of the outer packet, then of the inner one");
    assert_eq!(tunnelled.bench.flows().count(), 2);
    assert_eq!(tunnelled.bench.flows().tunnels().flow_count(), 1);
}

#[test]
fn a_drop_inside_takes_its_carrier_and_condemns_only_what_it_is_about() {
    let dropped = |reason| Verdict { action: Action::Drop(reason), fate: None };
    let mut tunnelled = Tunnelled::new(Policy { kernel_rejects: true, ..Policy::default() });
    assert_eq!(tunnelled.say(7, 4000, b"an attack"), dropped(Reason::Rules));
    assert_eq!(tunnelled.later(7, 4000, b"harmless"), dropped(Reason::FlowDrop), "condemned, with us");
    assert_eq!(tunnelled.say(7, 4001, b"harmless"), Verdict::ACCEPT, "another connection of the tunnel");
    assert_eq!(tunnelled.say(8, 4000, b"harmless"), Verdict::ACCEPT, "the same addresses in another network");
    assert_eq!(tunnelled.say(8, 4002, b"go away"), dropped(Reason::Rules), "nobody can answer it with a reset");
}

#[test]
fn with_the_last_carrier_everything_inside_is_gone() {
    let mut tunnelled = Tunnelled::new(Policy::default());
    for network in 1..=3 {
        let _ = tunnelled.say(network, 4000, b"hello");
    }
    assert_eq!(tunnelled.bench.flows().tunnels().flow_count(), 3);
    assert_eq!(tunnelled.end(), 3);
    assert_eq!(tunnelled.bench.flows().tunnels().flow_count(), 0);
}

#[test]
fn a_flood_of_inner_connections_stays_within_the_cap() {
    let mut tunnelled = Tunnelled::new(Policy::default());
    for port in 1..3000 {
        let syn = Inner { network: 1, port, from_client: true, flags: Tcp::SYN, seq: 1, payload: b"" };
        assert_eq!(tunnelled.judge(syn), Verdict::ACCEPT);
    }
    let count = tunnelled.bench.flows().tunnels().flow_count();
    assert!((500..=1000).contains(&count), "{count} of the 1000 that the bench allows");
    let _ = tunnelled.bench.told();
    let _ = tunnelled.say(1, 4000, b"GET /");
    let told = tunnelled.bench.told();
    let alerts: Vec<_> = told.iter().filter(|told| *told != "flow").collect();
    assert_eq!(alerts, ["alert:4", "alert:1"], "old connections without an answer make room");
}

/// Each of these costs its sender 106 bytes, and there are 16 million numbers.
#[test]
fn networks_in_which_nothing_lives_are_not_kept() {
    let mut tunnelled = Tunnelled::new(Policy::default());
    let reset = Inner { network: 0, port: 4000, from_client: true, flags: Tcp::RST, seq: 1, payload: b"" };
    for network in 0..=255 {
        let _ = tunnelled.judge(Inner { network, ..reset });
    }
    let networks = |tunnelled: &mut Tunnelled| {
        let key = reset.entry().key();
        let table = tunnelled.bench.flows().lock(&key);
        table.get(&key).and_then(|flow| flow.tunnel().map(|tunnel| tunnel.enter().len()))
    };
    assert_eq!(networks(&mut tunnelled), Some(0));
    let _ = tunnelled.judge(Inner { flags: Tcp::SYN, ..reset });
    assert_eq!(networks(&mut tunnelled), Some(1));
}

#[test]
fn tunnels_in_tunnels_are_followed_up_to_a_depth() {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(4000, 80, 1, 65_000).ack(1).write(&mut packet, b"an attack").unwrap();
    for depth in 1..=decode::LAYER_COUNT_MAX {
        let mut bench = Bench::new(Policy::default());
        bench.rules = rule_set(RULES, 1);
        let mut outer = Vec::new();
        let header = PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64);
        header.write(&mut outer, 4.into(), &packet).unwrap();
        packet = outer;
        let orig =
            Tuple { src: [192, 0, 2, 1].into(), dst: [192, 0, 2, 2].into(), protocol: 4, src_port: 0, dst_port: 0 };
        let entry = Conntrack::of_tuples(0, orig, orig.inverted());
        let action = bench.judge(&packet, Some((&entry, CtInfo::New))).action;
        assert_eq!(action != Action::Accept, depth < decode::LAYER_COUNT_MAX, "{depth} tunnels");
    }
}
