//! What can be told of a rule without fetching it: most of the rules that the prefilter finds fall through here.
//!
//! A sieve is 32 bytes, a rule several hundred in many places of memory. It only ever says no where the rule's own
//! questions would; the rule is still judged whole.

use super::app::AppProto;
use super::common_sets::CommonSets;
use super::plan::{BitsMode, FlowTest, HeaderProtocol, NumberTest, PacketTest, Rule, Toward};

/// Facts of a packet that rules may refuse.
pub(super) const FACT_COUNT: usize = 9;

/// What a sieve is asked about, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFacts(u16);

impl PacketFacts {
    pub const NO_FLOW: PacketFacts = PacketFacts(1);
    pub const TO_SERVER: PacketFacts = PacketFacts(2);
    pub const TO_CLIENT: PacketFacts = PacketFacts(4);
    pub const ESTABLISHED: PacketFacts = PacketFacts(8);
    pub const NOT_ESTABLISHED: PacketFacts = PacketFacts(16);
    pub const NO_PAYLOAD: PacketFacts = PacketFacts(32);
    pub const IPV4: PacketFacts = PacketFacts(64);
    pub const IPV6: PacketFacts = PacketFacts(128);
    /// TCP acknowledges something.
    pub const ACKNOWLEDGES: PacketFacts = PacketFacts(256);

    #[must_use]
    pub fn with(self, other: PacketFacts) -> PacketFacts {
        PacketFacts(self.0 | other.0)
    }

    #[inline]
    pub(super) fn bits(self) -> u16 {
        self.0
    }
}

/// One packet, in the terms of sieves.
#[derive(Clone, Copy, Debug)]
pub struct Sifted {
    pub facts: PacketFacts,
    pub src_port: u16,
    pub dst_port: u16,
    /// Bytes of payload; what is more than fits counts as the most.
    pub payload_size: u16,
    /// 0 where it is not TCP.
    pub tcp_flags: u8,
    /// 0 where it is not TCP.
    pub tcp_window: u16,
    pub app: Option<AppProto>,
    /// The common sets of addresses that hold the source: a bit each ([`CommonSets::around`]).
    pub src_sets: u16,
    pub dst_sets: u16,
}

/// One rule, in the terms of sieves.
#[derive(Clone, Copy, Debug)]
pub struct Sieve {
    /// Facts of a packet that the rule cannot match.
    refused: u16,
    /// The ports lie between these, both included.
    src_ports: (u16, u16),
    dst_ports: (u16, u16),
    /// And so does the size of the payload.
    payload_sizes: (u16, u16),
    /// TCP flags that must have these values.
    flags_mask: u8,
    flags: u8,
    tcp_windows: (u16, u16),
    /// Numbers of the sets that must hold the addresses ([`CommonSets::number`]).
    src_set: u8,
    dst_set: u8,
    /// Protocols of which the flow must speak one; 0: nothing is asked.
    app: u64,
}

impl Sieve {
    #[must_use]
    pub fn new(rule: &Rule, common: &CommonSets) -> Sieve {
        let header = &rule.header;
        let (src_ports, dst_ports) = match header.both_ways {
            true => ((0, u16::MAX), (0, u16::MAX)),
            false => (header.src_ports.hull(), header.dst_ports.hull()),
        };
        let (src_set, dst_set) = match header.both_ways {
            true => (0, 0),
            false => (common.number(&header.src), common.number(&header.dst)),
        };
        let protocol = match header.protocol {
            HeaderProtocol::Ipv4 => PacketFacts::IPV6,
            HeaderProtocol::Ipv6 => PacketFacts::IPV4,
            _ => PacketFacts::default(),
        };
        let payload = if rule.needs_payload { PacketFacts::NO_PAYLOAD } else { PacketFacts::default() };
        let refused = flow(rule.flow).with(protocol).with(payload).with(acknowledgement(&rule.packet)).0;
        let app = header.app.iter().fold(0, |bits, protocol| bits | 1 << protocol as u8);
        let (flags_mask, flags) = tcp_flags(&rule.packet);
        Sieve {
            refused,
            src_ports,
            dst_ports,
            payload_sizes: payload_sizes(&rule.packet),
            flags_mask,
            flags,
            tcp_windows: tcp_windows(&rule.packet),
            src_set,
            dst_set,
            app,
        }
    }

    /// The facts that the rule refuses, a bit each.
    pub(super) fn refused(&self) -> u16 {
        self.refused
    }

    /// The numbers of the sets that must hold source and destination.
    pub(super) fn sets(&self) -> (u8, u8) {
        (self.src_set, self.dst_set)
    }

    /// False where the rule cannot match a packet with these TCP flags.
    #[inline]
    pub(super) fn lets_flags_through(&self, flags: u8) -> bool {
        flags & self.flags_mask == self.flags
    }

    /// False where the rule cannot match this packet.
    #[inline]
    #[must_use]
    pub fn lets_through(&self, packet: &Sifted) -> bool {
        let within = |(low, high): (u16, u16), port: u16| low <= port && port <= high;
        self.refused & packet.facts.0 == 0
            && within(self.dst_ports, packet.dst_port)
            && within(self.src_ports, packet.src_port)
            && packet.src_sets >> self.src_set & 1 != 0
            && packet.dst_sets >> self.dst_set & 1 != 0
            && within(self.payload_sizes, packet.payload_size)
            && self.lets_flags_through(packet.tcp_flags)
            && within(self.tcp_windows, packet.tcp_window)
            && (self.app == 0 || packet.app.is_some_and(|protocol| self.app & 1 << protocol as u8 != 0))
    }
}

/// The part of a sieve that says no most often, kept in the lists that name the rule: sieves lie all over the memory.
#[derive(Clone, Copy, Debug)]
pub struct Mention {
    pub rule: u32,
    refused: u16,
    dst_ports: (u16, u16),
    src_set: u8,
    dst_set: u8,
}

impl Mention {
    #[must_use]
    pub fn new(rule: u32, sieve: &Sieve) -> Mention {
        let Sieve { refused, dst_ports, src_set, dst_set, .. } = *sieve;
        Mention { rule, refused, dst_ports, src_set, dst_set }
    }

    /// As [`Sieve::lets_through`], which knows more.
    #[inline]
    #[must_use]
    pub fn lets_through(&self, packet: &Sifted) -> bool {
        let (low, high) = self.dst_ports;
        self.refused & packet.facts.0 == 0
            && low <= packet.dst_port
            && packet.dst_port <= high
            && packet.src_sets >> self.src_set & 1 != 0
            && packet.dst_sets >> self.dst_set & 1 != 0
    }
}

/// The sizes that `dsize` lets through, from the least to the most.
fn payload_sizes(tests: &[PacketTest]) -> (u16, u16) {
    let narrow = |size: u64| u16::try_from(size).unwrap_or(u16::MAX);
    let sizes = tests.iter().map(|test| match *test {
        PacketTest::PayloadSize(NumberTest::Equal(size)) => (size, size),
        PacketTest::PayloadSize(NumberTest::Less(size)) => (0, size.saturating_sub(1)),
        PacketTest::PayloadSize(NumberTest::LessOrEqual(size)) => (0, size),
        PacketTest::PayloadSize(NumberTest::Greater(size)) => (size.saturating_add(1), u64::MAX),
        PacketTest::PayloadSize(NumberTest::GreaterOrEqual(size)) => (size, u64::MAX),
        PacketTest::PayloadSize(NumberTest::Between(low, high)) => (low.saturating_add(1), high.saturating_sub(1)),
        _ => (0, u64::MAX),
    });
    let (low, high) = sizes.fold((0, u64::MAX), |all, one| (all.0.max(one.0), all.1.min(one.1)));
    (narrow(low), narrow(high))
}

/// Mask and values of the flags that `flags` insists on.
fn tcp_flags(tests: &[PacketTest]) -> (u8, u8) {
    let wanted = tests.iter().find_map(|test| match test {
        PacketTest::TcpFlags(test) => match test.mode {
            BitsMode::Exact => Some((test.mask, test.bits)),
            BitsMode::AtLeast => Some((test.bits & test.mask, test.bits)),
            BitsMode::AnyOf | BitsMode::NotAll => None,
        },
        _ => None,
    });
    // Bits that the mask hides can never be had: the rule itself says so.
    wanted.filter(|(mask, bits)| bits & !mask == 0).unwrap_or((0, 0))
}

/// The windows that `window` lets through.
fn tcp_windows(tests: &[PacketTest]) -> (u16, u16) {
    let wanted = tests.iter().find_map(|test| match *test {
        PacketTest::TcpWindow { window, negated: false } => Some((window, window)),
        _ => None,
    });
    wanted.unwrap_or((0, u16::MAX))
}

/// `ack:0` is asked by rules about scans: of most packets it says no.
fn acknowledgement(tests: &[PacketTest]) -> PacketFacts {
    match tests.iter().any(|test| matches!(test, PacketTest::TcpAck(0))) {
        true => PacketFacts::ACKNOWLEDGES,
        false => PacketFacts::default(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::plan::BitsTest;

    /// A sieve may let through what the rule refuses, and never the other way round.
    #[test]
    fn sizes_and_flags_refuse_only_what_the_tests_refuse() {
        use NumberTest::{Between, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual, Outside};
        for test in [Equal(3), NotEqual(3), Less(0), Less(3), LessOrEqual(3), Greater(3), GreaterOrEqual(3)]
            .into_iter()
            .chain([Between(2, 5), Between(3, 3), Outside(2, 5), Greater(u64::MAX), Equal(70_000)])
        {
            let (low, high) = payload_sizes(&[PacketTest::PayloadSize(test)]);
            for size in (0..8).chain([65_534, 65_535, 65_536, 70_000, 70_001]) {
                let narrow = u16::try_from(size).unwrap_or(u16::MAX);
                assert!(!test.accepts(size) || (low <= narrow && narrow <= high), "{test:?} of {size}");
            }
        }
        for mode in [BitsMode::Exact, BitsMode::AtLeast, BitsMode::AnyOf, BitsMode::NotAll] {
            for (bits, mask) in [(0x02, 0xff), (0x12, 0x3f), (0, 0xff), (0x02, 0x3c), (0x18, 0xff)] {
                let test = BitsTest { mode, bits, mask };
                let (wanted_mask, wanted) = tcp_flags(&[PacketTest::TcpFlags(test)]);
                for flags in 0..=u8::MAX {
                    assert!(!test.accepts(flags) || flags & wanted_mask == wanted, "{test:?} of {flags:#x}");
                }
            }
        }
    }
}
