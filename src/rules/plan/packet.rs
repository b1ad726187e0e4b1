//! Questions about one packet: headers, sizes, flags.

use crate::rules::events::PacketEvent;

/// A number compared with a field; all integer keywords share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberTest {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    /// Both ends excluded.
    Between(u64, u64),
    /// What [`NumberTest::Between`] is not.
    Outside(u64, u64),
}

impl NumberTest {
    #[must_use]
    pub fn accepts(self, value: u64) -> bool {
        match self {
            NumberTest::Equal(wanted) => value == wanted,
            NumberTest::NotEqual(other) => value != other,
            NumberTest::Less(limit) => value < limit,
            NumberTest::LessOrEqual(limit) => value <= limit,
            NumberTest::Greater(limit) => value > limit,
            NumberTest::GreaterOrEqual(limit) => value >= limit,
            NumberTest::Between(low, high) => low < value && value < high,
            NumberTest::Outside(low, high) => value <= low || value >= high,
        }
    }

    /// Whether a value that is accepted stays so when it grows.
    #[must_use]
    pub fn is_lower_bound(self) -> bool {
        matches!(self, NumberTest::Greater(_) | NumberTest::GreaterOrEqual(_))
    }
}

/// How bits of `flags` and `fragbits` are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitsMode {
    /// Exactly these.
    Exact,
    /// `+`: these, and any others.
    AtLeast,
    /// `*`: any of these.
    AnyOf,
    /// `!`: not all of these; with no bits named, any.
    NotAll,
}

/// `flags` and `fragbits`: bits under a mask of those that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitsTest {
    pub mode: BitsMode,
    pub bits: u8,
    /// Bits that are looked at.
    pub mask: u8,
}

impl BitsTest {
    #[must_use]
    pub fn accepts(self, value: u8) -> bool {
        let value = value & self.mask;
        match self.mode {
            BitsMode::Exact => value == self.bits,
            BitsMode::AtLeast => value & self.bits == self.bits,
            BitsMode::AnyOf => value & self.bits != 0,
            BitsMode::NotAll if self.bits == 0 => value != 0,
            BitsMode::NotAll => value & self.bits != self.bits,
        }
    }
}

/// A question about headers or sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketTest {
    PayloadSize(NumberTest),
    TcpFlags(BitsTest),
    TcpSeq(u32),
    TcpAck(u32),
    TcpWindow {
        window: u16,
        negated: bool,
    },
    TcpMss(NumberTest),
    IcmpType(NumberTest),
    IcmpCode(NumberTest),
    IcmpId(u16),
    IcmpSeq(u16),
    IgmpType(NumberTest),
    Ttl(NumberTest),
    Tos {
        tos: u8,
        negated: bool,
    },
    IpId(u32),
    IpOption(IpOption),
    FragBits(BitsTest),
    FragOffset(NumberTest),
    IpProto(IpProtoTest),
    SameIp,
    IpVersion(u8),
    VlanId {
        test: NumberTest,
        layers: VlanLayers,
    },
    VlanCount(NumberTest),
    /// Whether it is one part of a larger packet.
    Fragment(bool),
    Reputation {
        side: ReputationSide,
        category: u8,
        test: ReputationTest,
    },
    /// A SunRPC call in one packet: program, and version and procedure where they are asked for.
    Rpc {
        program: u32,
        version: Option<u32>,
        procedure: Option<u32>,
    },
    Event(PacketEvent),
    /// Whether a checksum is right; of packets that have it.
    Checksum {
        of: ChecksumOf,
        valid: bool,
    },
}

/// Which of a packet's VLAN tags `vlan.id` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanLayers {
    Any,
    All,
    /// From 0, the outermost; below 0 counted from the innermost.
    At(i8),
}

/// Whose address `iprep` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReputationSide {
    Any,
    Source,
    Destination,
    Both,
}

/// `iprep`: an address without a score fails all but [`ReputationTest::IsNotSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReputationTest {
    IsSet,
    IsNotSet,
    Score(NumberTest),
}

/// Which checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumOf {
    Ipv4,
    Tcpv4,
    Tcpv6,
    Udpv4,
    Udpv6,
    Icmpv4,
    Icmpv6,
    Igmp,
}

/// A question about the connection so far, this packet included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowMeasure {
    /// Seconds since the first packet.
    Age(NumberTest),
    Packets(Sides, NumberTest),
    /// Bytes of IP packets.
    Bytes(Sides, NumberTest),
    /// Bytes of the TCP stream, the SYN counted as one.
    StreamSize(Sides, NumberTest),
}

/// Whose counters a [`FlowMeasure`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// What the client has sent.
    ToServer,
    ToClient,
    Both,
    Either,
}

/// `ip_proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpProtoTest {
    Equal(u8),
    NotEqual(u8),
    Less(u8),
    Greater(u8),
}

impl IpProtoTest {
    #[must_use]
    pub fn accepts(self, protocol: u8) -> bool {
        match self {
            IpProtoTest::Equal(wanted) => protocol == wanted,
            IpProtoTest::NotEqual(other) => protocol != other,
            IpProtoTest::Less(limit) => protocol < limit,
            IpProtoTest::Greater(limit) => protocol > limit,
        }
    }
}

/// `ipopts`: an IPv4 option by its number, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpOption {
    Any,
    Number(u8),
}
