//! What can be told of a rule without fetching it: most of the rules that the prefilter finds fall through here.
//!
//! A sieve is 24 bytes, a rule several hundred in many places of memory. It only ever says no where the rule's own
//! questions would; the rule is still judged whole.

use super::app::AppProto;
use super::plan::{FlowTest, HeaderProtocol, Rule, Toward};

/// What a sieve is asked about, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFacts(u8);

impl PacketFacts {
    pub const NO_FLOW: PacketFacts = PacketFacts(1);
    pub const TO_SERVER: PacketFacts = PacketFacts(2);
    pub const TO_CLIENT: PacketFacts = PacketFacts(4);
    pub const ESTABLISHED: PacketFacts = PacketFacts(8);
    pub const NOT_ESTABLISHED: PacketFacts = PacketFacts(16);
    pub const NO_PAYLOAD: PacketFacts = PacketFacts(32);
    pub const IPV4: PacketFacts = PacketFacts(64);
    pub const IPV6: PacketFacts = PacketFacts(128);

    #[must_use]
    pub fn with(self, other: PacketFacts) -> PacketFacts {
        PacketFacts(self.0 | other.0)
    }
}

/// One packet, in the terms of sieves.
#[derive(Clone, Copy, Debug)]
pub struct Sifted {
    pub facts: PacketFacts,
    pub src_port: u16,
    pub dst_port: u16,
    pub app: Option<AppProto>,
}

/// One rule, in the terms of sieves.
#[derive(Clone, Copy, Debug)]
pub struct Sieve {
    /// Facts of a packet that the rule cannot match.
    refused: u8,
    /// The ports lie between these, both included.
    src_ports: (u16, u16),
    dst_ports: (u16, u16),
    /// Protocols of which the flow must speak one; 0: nothing is asked.
    app: u64,
}

impl Sieve {
    #[must_use]
    pub fn new(rule: &Rule) -> Sieve {
        let header = &rule.header;
        let (src_ports, dst_ports) = match header.both_ways {
            true => ((0, u16::MAX), (0, u16::MAX)),
            false => (header.src_ports.hull(), header.dst_ports.hull()),
        };
        let protocol = match header.protocol {
            HeaderProtocol::Ipv4 => PacketFacts::IPV6,
            HeaderProtocol::Ipv6 => PacketFacts::IPV4,
            _ => PacketFacts::default(),
        };
        let payload = if rule.needs_payload { PacketFacts::NO_PAYLOAD } else { PacketFacts::default() };
        let refused = flow(rule.flow).with(protocol).with(payload).0;
        let app = header.app.iter().fold(0, |bits, protocol| bits | 1 << protocol as u8);
        Sieve { refused, src_ports, dst_ports, app }
    }

    /// False where the rule cannot match this packet.
    #[inline]
    #[must_use]
    pub fn lets_through(&self, packet: &Sifted) -> bool {
        let within = |(low, high): (u16, u16), port: u16| low <= port && port <= high;
        self.refused & packet.facts.0 == 0
            && within(self.dst_ports, packet.dst_port)
            && within(self.src_ports, packet.src_port)
            && (self.app == 0 || packet.app.is_some_and(|protocol| self.app & 1 << protocol as u8 != 0))
    }
}

fn flow(test: FlowTest) -> PacketFacts {
    let toward = match test.toward {
        None => PacketFacts::default(),
        Some(Toward::Server) => PacketFacts::TO_CLIENT,
        Some(Toward::Client) => PacketFacts::TO_SERVER,
    };
    let established = match test.established {
        None => PacketFacts::default(),
        Some(true) => PacketFacts::NOT_ESTABLISHED,
        Some(false) => PacketFacts::ESTABLISHED,
    };
    let none = if test.needs_flow() { PacketFacts::NO_FLOW } else { PacketFacts::default() };
    toward.with(established).with(none)
}
