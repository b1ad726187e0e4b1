//! A rule ready to be evaluated: what its header allows, and its tests in groups that the engine runs cheapest first.
//!
//! These are plain data. `packet::detect` gives them their meaning.

use std::sync::Arc;

use super::app::{AppProto, AppProtoSet, AppTest};
use super::dataset::DataSet;
use super::events::PacketEvent;
use super::keyword::buffers::Buffer;
use super::meta::{RuleAction, RuleMeta};
use super::needle::Hint;
use super::vars::{AddressSet, PortSet};

/// One rule of a rule set.
#[derive(Clone, Debug)]
pub struct Rule {
    pub meta: Arc<RuleMeta>,
    pub header: Header,
    pub flow: FlowTest,
    pub packet: Box<[PacketTest]>,
    pub measures: Box<[FlowMeasure]>,
    /// Tests of what earlier rules or packets left behind.
    pub state: Box<[StateTest]>,
    pub buffers: Box<[BufferPlan]>,
    /// Some buffer is the payload: a packet without one cannot match.
    pub needs_payload: bool,
    /// What is asked of a transaction or of the flow's application protocol besides buffers.
    pub app: Box<[AppTest]>,
    /// It is about transactions: judged on each, once something new is there, and matches each at most once.
    pub on_transactions: bool,
    /// What a match leaves behind.
    pub effects: Box<[Effect]>,
    pub threshold: Option<Threshold>,
    pub rate: Option<RateFilter>,
    /// What the administrator does not want told; actions stand.
    pub suppressions: Box<[Suppression]>,
    /// Only addresses and protocol are asked: judged once per flow and direction, on the first packet.
    pub ip_only: bool,
    /// The hook `flow_start`: judged on the first packet of each direction.
    pub flow_start: bool,
    /// A match tells nobody. Its effects and its action stand.
    pub noalert: bool,
    /// A match clears the rest of the connection.
    pub bypass: bool,
    /// What a match records of the packets after it.
    pub tags: Box<[Tag]>,
    /// Which files a match stores.
    pub filestore: Option<FileStoring>,
}

/// `filestore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStoring {
    pub sides: SideSet,
    pub scope: StoreScope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreScope {
    /// The files that the rule is about.
    File,
    /// All of the transaction.
    Transaction,
    /// All of the flow from now on.
    Flow,
}

/// None, one or both of the sides that bytes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSet {
    pub to_server: bool,
    pub to_client: bool,
}

impl SideSet {
    pub const BOTH: SideSet = SideSet { to_server: true, to_client: true };

    #[must_use]
    pub fn of(toward: Toward) -> SideSet {
        SideSet { to_server: toward == Toward::Server, to_client: toward == Toward::Client }
    }

    #[must_use]
    pub fn has(self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.to_server,
            Toward::Client => self.to_client,
        }
    }

    #[must_use]
    pub fn or(self, other: SideSet) -> SideSet {
        SideSet { to_server: self.to_server || other.to_server, to_client: self.to_client || other.to_client }
    }
}

impl Rule {
    #[must_use]
    pub fn action(&self) -> RuleAction {
        self.meta.action
    }

    /// Whether a transaction of `protocol` can match: the header allows it, and it fills the buffers.
    #[must_use]
    pub fn may_concern(&self, protocol: AppProto) -> bool {
        let fills = |plan: &BufferPlan| !plan.buffer.is_app() || plan.buffer.info().protocols.contains(protocol);
        (self.header.app.is_empty() || self.header.app.contains(protocol)) && self.buffers.iter().all(fills)
    }

    /// Its contents are looked for in the joined bytes of a TCP stream, unless something it asks is about one packet.
    #[must_use]
    pub fn looks_at_stream(&self) -> bool {
        let tcp = matches!(
            self.header.protocol,
            HeaderProtocol::Tcp
                | HeaderProtocol::TcpStream
                | HeaderProtocol::Ip
                | HeaderProtocol::Ipv4
                | HeaderProtocol::Ipv6
        );
        tcp && self.packet.is_empty() && self.flow.stream != Some(false)
    }

    /// Whether Suricata would let `drop` and `pass` decide about the whole flow: rules of addresses alone, and those that
    /// look at the stream, at a transaction, or at what the flow speaks. The others decide about the packet that they
    /// matched.
    #[must_use]
    pub fn decides_flow(&self) -> bool {
        let about_packet = !self.packet.is_empty() || self.flow.stream == Some(false);
        let stream = self.looks_at_stream() && !self.buffers.is_empty();
        self.ip_only || self.on_transactions || stream || !self.header.app.is_empty() && !about_packet
    }
}

/// Protocol, addresses and ports.
#[derive(Clone, Debug)]
pub struct Header {
    pub protocol: HeaderProtocol,
    /// The application protocols of which the flow must speak one; empty: nothing is asked.
    pub app: AppProtoSet,
    pub src: Arc<AddressSet>,
    pub src_ports: Arc<PortSet>,
    pub dst: Arc<AddressSet>,
    pub dst_ports: Arc<PortSet>,
    /// `<>`: the packet may go either way.
    pub both_ways: bool,
}

/// The protocol word of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderProtocol {
    Ip,
    Ipv4,
    Ipv6,
    Tcp,
    /// TCP packets one by one, never the stream.
    TcpPkt,
    /// The TCP stream, never packets one by one.
    TcpStream,
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Igmp,
    Arp,
    /// Any packet that comes with its Ethernet header.
    Ether,
    /// Any packet whose headers were understood; the rule may only ask about headers.
    PktHdr,
}

/// Which way a packet goes, in the rule language's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Toward {
    Server,
    Client,
}

/// `flow:`. What is not asked is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTest {
    pub toward: Option<Toward>,
    pub established: Option<bool>,
    /// `only_stream` (true) or `no_stream` (false).
    pub stream: Option<bool>,
}

impl FlowTest {
    /// Whether a packet without a flow can pass.
    #[must_use]
    pub fn needs_flow(self) -> bool {
        self.toward.is_some() || self.established == Some(true)
    }
}

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

/// A name of the rule language's memory as a number that is the same in every rule set: bits survive a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u64);

impl NameId {
    /// FNV-1a, 64 bits. Names come from rules, not from traffic, so collisions cannot be provoked.
    #[must_use]
    pub fn of(name: &str) -> NameId {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        NameId(hash)
    }
}

/// Whose memory an `xbits` or `hostbits` name lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BitScope {
    Source,
    Destination,
    Pair,
}

/// A question about what was remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateTest {
    /// Any of these flowbits is set (or, for `isnotset`, any is not), as in Suricata.
    FlowBits {
        any_of: Box<[NameId]>,
        set: bool,
    },
    FlowInt {
        name: NameId,
        test: IntTest,
    },
    SharedBit {
        scope: BitScope,
        name: NameId,
        set: bool,
    },
}

/// `flowint` conditions. A variable that was never set fails all but [`IntTest::NotSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntTest {
    IsSet,
    NotSet,
    Compare(IntCompare, IntOperand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntCompare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOperand {
    Number(u32),
    Variable(NameId),
}

/// What a match leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    FlowBit {
        name: NameId,
        change: BitChange,
    },
    FlowInt {
        name: NameId,
        change: IntChange,
        operand: IntOperand,
    },
    /// `seconds` is how long a set bit lives.
    SharedBit {
        scope: BitScope,
        name: NameId,
        change: BitChange,
        seconds: u32,
    },
}

/// `tag`: packets after a match are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub scope: TagScope,
    pub until: TagEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagScope {
    Session,
    /// All packets of the match's source address.
    SourceHost,
    DestinationHost,
}

/// When a tag is worn out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagEnd {
    Packets(u32),
    Bytes(u32),
    Seconds(u32),
}

/// Suricata's limit for packets, and what is recorded if the rule says nothing.
pub const TAG_PACKET_COUNT_MAX: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitChange {
    Set,
    Unset,
    Toggle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntChange {
    Set,
    Add,
    Subtract,
}

/// `threshold` and `detection_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub kind: ThresholdKind,
    pub track: Track,
    pub count: u32,
    pub seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// The first `count` of each interval are told.
    Limit,
    /// Each `count`-th is told.
    Threshold,
    /// Once per interval, when `count` is reached.
    Both,
    /// A match only after more than `count` in the interval; if ports are named, only one of each number counts.
    DetectionFilter { distinct: Option<PortSide> },
    /// Told at `count` and at each `multiplier`-fold of the time before.
    Backoff { multiplier: u32 },
}

/// One of a packet's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSide {
    Source,
    Destination,
}

/// `rate_filter` of `threshold.config`: beyond `count` matches in `seconds` the rule has another action for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateFilter {
    pub track: Track,
    pub count: u32,
    pub seconds: u32,
    pub new_action: RuleAction,
    /// Seconds that the new action holds.
    pub timeout: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    Source,
    Destination,
    Both,
    Rule,
    Flow,
}

/// `suppress` of `threshold.config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suppression {
    Always,
    Source(Arc<AddressSet>),
    Destination(Arc<AddressSet>),
    Either(Arc<AddressSet>),
}

/// All that is asked of one buffer: every chain must match, independently of the others.
#[derive(Clone, Debug)]
pub struct BufferPlan {
    pub buffer: Buffer,
    /// Done to the buffer in this order before the chains look at it.
    pub transforms: Box<[Transform]>,
    pub chains: Box<[Chain]>,
    pub absence: Absence,
}

/// What it means that a transaction has no such buffer, and will not have it (`absent`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// The rule does not match.
    #[default]
    Fails,
    /// As good as a buffer in which the contents are found.
    Counts,
    /// Just that is asked for.
    Required,
}

/// A change of a buffer.
#[derive(Clone, Debug)]
pub enum Transform {
    DotPrefix,
    StripWhitespace,
    CompressWhitespace,
    ToLowercase,
    ToUppercase,
    UrlDecode,
    /// From this byte on; what stands before is left alone.
    Xor {
        key: XorKey,
        from: u32,
    },
    /// The first group of the first match; without a match there is no buffer.
    Capture(Arc<pcre2::bytes::Regex>),
    Md5,
    Sha1,
    Sha256,
    /// Names of headers in lower case, values as they are.
    HeaderLowercase,
    /// Lines that begin with `:` are taken out.
    StripPseudoHeaders,
    FromBase64(FromBase64),
    /// gzip or zlib undone, up to so many bytes of output; what is broken further on is left out.
    Inflate {
        gzip: bool,
        bytes_max: u32,
    },
}

/// `from_base64`: which bytes of the buffer are decoded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromBase64 {
    pub offset: u32,
    pub bytes_max: u32,
    pub mode: Base64Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Mode {
    /// The first byte that is none ends it.
    Rfc4648,
    /// Bytes that are none are skipped.
    Rfc2045,
    /// With a byte that is none there is no buffer.
    Strict,
}

/// The key of [`Transform::Xor`], repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XorKey {
    Fixed(Box<[u8]>),
    /// So many bytes of the buffer itself.
    InBuffer {
        count: u8,
        at: u16,
    },
}

/// Tests that share a position: each is relative to where the one before it ended, or begins anew. A chain matches if
/// *some* choice of the places of its contents satisfies all of it.
#[derive(Clone, Debug)]
pub struct Chain {
    pub steps: Box<[Step]>,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub test: BufferTest,
    /// A later test depends on where this one matched, so other places are worth a try.
    pub anchors: bool,
}

#[derive(Clone, Debug)]
pub enum BufferTest {
    Content(Content),
    IsDataAt(IsDataAt),
    ByteTest(ByteTest),
    ByteJump(ByteJump),
    ByteExtract(ByteExtract),
    ByteMath(ByteMath),
    Pcre(Pcre),
    Size(NumberTest),
    Base64(Base64),
    Asn1(Asn1),
    DataSet {
        set: Arc<DataSet>,
        operation: DataOperation,
    },
    /// The reputation of a buffer that is in the set.
    DataReputation {
        set: Arc<DataSet>,
        test: NumberTest,
    },
}

/// `dataset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataOperation {
    IsIn,
    IsNotIn,
    /// Holds if the value is new.
    Add,
    /// Holds if the value was there.
    Remove,
}

/// `base64_decode`: decodes a part of the buffer; `base64_data` asks about what comes of it.
#[derive(Clone, Debug)]
pub struct Base64 {
    /// Bytes of the buffer that are decoded at most.
    pub bytes: u16,
    pub offset: u32,
    pub relative: bool,
    pub data: Box<[Chain]>,
}

/// `asn1`: any of the oddities that are asked for, in any of the BER objects that begin at the offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asn1 {
    /// A bit string that ignores more bits than it has.
    pub bitstring_overflow: bool,
    /// A real number in ASCII of more than 256 bytes.
    pub double_overflow: bool,
    /// An object longer than so many bytes.
    pub oversize_length: Option<u32>,
    pub offset: i64,
    pub relative: bool,
}

/// A regular expression with its limits compiled in.
#[derive(Clone, Debug)]
pub struct Pcre {
    pub regex: Arc<pcre2::bytes::Regex>,
    /// The subject begins where the match before ended.
    pub relative: bool,
    pub negated: bool,
    pub captures: Box<[Capture]>,
    /// Of expressions in rules without a content.
    pub hint: Hint,
}

/// A group of an expression whose text a match keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub group: usize,
    pub scope: VariableScope,
    pub name: Arc<str>,
}

/// What a captured variable belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableScope {
    Flow,
    Packet,
}

/// A number of the rule, or one that a `byte_extract` or `byte_math` of the same rule has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Number(i64),
    Variable(u8),
}

/// Byte variables of one rule.
pub const VARIABLE_COUNT_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub pattern: Pattern,
    pub negated: bool,
    pub offset: Option<Amount>,
    pub depth: Option<Amount>,
    pub distance: Option<Amount>,
    pub within: Option<Amount>,
    pub startswith: bool,
    pub endswith: bool,
    pub fast_pattern: FastPattern,
}

impl Content {
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// What the rule's author said about the prefilter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastPattern {
    #[default]
    Unsaid,
    Chosen,
    /// `fast_pattern:only`.
    Only,
    /// `fast_pattern:offset,length`.
    Chop {
        offset: u16,
        length: u16,
    },
}

/// Bytes to look for, with the rarest of them to look for first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Lower case if `nocase`.
    bytes: Box<[u8]>,
    nocase: bool,
    rare_at: u16,
}

impl Pattern {
    #[must_use]
    pub fn new(bytes: &[u8], nocase: bool) -> Pattern {
        let bytes: Box<[u8]> = if nocase { bytes.to_ascii_lowercase().into() } else { bytes.into() };
        let rarest = bytes.iter().enumerate().max_by_key(|(_, byte)| rarity(**byte)).map_or(0, |(at, _)| at);
        Pattern { bytes, nocase, rare_at: u16::try_from(rarest).unwrap_or(0) }
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[must_use]
    pub fn nocase(&self) -> bool {
        self.nocase
    }

    /// Where the pattern first begins in `haystack`.
    #[must_use]
    pub fn find(&self, haystack: &[u8]) -> Option<usize> {
        let last_start = haystack.len().checked_sub(self.bytes.len())?;
        let rare_at = usize::from(self.rare_at);
        let rare = *self.bytes.get(rare_at)?;
        let mut start = 0;
        while start <= last_start {
            let window = haystack.get(start + rare_at..=last_start + rare_at)?;
            let found = if self.nocase && rare.is_ascii_alphabetic() {
                memchr::memchr2(rare, rare.to_ascii_uppercase(), window)
            } else {
                memchr::memchr(rare, window)
            };
            start += found?;
            if self.is_at(haystack, start) {
                return Some(start);
            }
            start += 1;
        }
        None
    }

    /// Whether the pattern begins at `start`.
    #[must_use]
    pub fn is_at(&self, haystack: &[u8], start: usize) -> bool {
        let Some(window) = haystack.get(start..).and_then(|rest| rest.get(..self.bytes.len())) else {
            return false;
        };
        if self.nocase { window.eq_ignore_ascii_case(&self.bytes) } else { window == &*self.bytes }
    }
}

/// How seldom a byte is met in traffic, roughly: 0 is everywhere.
#[must_use]
pub fn rarity(byte: u8) -> u8 {
    match byte {
        0 | b' ' => 1,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 2,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'f' | b'g' | b'w' | b'b' => 3,
        b'\r' | b'\n' | 0xff | b'/' | b'.' | b'-' | b'=' | b':' | b'0'..=b'9' => 4,
        b'y' | b'v' | b'k' | b'x' | b'j' | b'q' | b'z' | 1 => 5,
        b'A'..=b'Z' | b'"' | b';' | b',' | b'<' | b'>' | b'(' | b')' | b'&' | b'_' => 6,
        0x20..=0x7e => 7,
        _ => 8,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsDataAt {
    pub amount: Amount,
    pub relative: bool,
    pub negated: bool,
}

/// How a number is read from a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    pub count: Amount,
    pub form: NumberForm,
    pub bitmask: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberForm {
    BigEndian,
    LittleEndian,
    /// As the DCERPC call that the buffer is of says; elsewhere big-endian.
    Dce,
    /// Digits in this base.
    Text(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteTest {
    pub number: Number,
    pub negated: bool,
    pub operator: ByteOperator,
    pub value: Amount,
    pub offset: Amount,
    pub relative: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOperator {
    Less,
    Greater,
    Equal,
    LessOrEqual,
    GreaterOrEqual,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteJump {
    pub number: Number,
    pub offset: Amount,
    pub relative: bool,
    pub multiplier: u32,
    pub align: bool,
    pub from: JumpFrom,
    pub post_offset: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JumpFrom {
    Here,
    Beginning,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteExtract {
    pub number: Number,
    pub offset: i64,
    pub relative: bool,
    pub multiplier: u32,
    /// 0: none, else rounded up to a multiple of 2 or 4.
    pub align: u8,
    pub into: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteMath {
    pub number: Number,
    pub offset: i64,
    pub relative: bool,
    pub operator: MathOperator,
    pub value: Amount,
    pub into: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MathOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    ShiftLeft,
    ShiftRight,
}

impl BufferTest {
    /// Whether the result depends on where the test before it ended.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        match self {
            BufferTest::Content(content) => content.is_relative(),
            BufferTest::IsDataAt(test) => test.relative,
            BufferTest::Pcre(pcre) => pcre.relative,
            BufferTest::ByteTest(test) => test.relative,
            BufferTest::ByteJump(jump) => jump.relative,
            BufferTest::ByteExtract(extract) => extract.relative,
            BufferTest::ByteMath(math) => math.relative,
            BufferTest::Base64(decode) => decode.relative,
            BufferTest::Asn1(test) => test.relative,
            BufferTest::Size(_) | BufferTest::DataSet { .. } | BufferTest::DataReputation { .. } => false,
        }
    }

    /// Whether it gives the tests after it a new position.
    #[must_use]
    pub fn moves(&self) -> bool {
        match self {
            BufferTest::Content(content) => !content.negated,
            BufferTest::Pcre(pcre) => !pcre.negated,
            BufferTest::ByteJump(_) | BufferTest::ByteExtract(_) | BufferTest::ByteMath(_) => true,
            _ => false,
        }
    }

    /// Whether it reads or writes byte variables.
    #[must_use]
    pub fn uses_variables(&self) -> bool {
        let variable = |amount: Option<Amount>| matches!(amount, Some(Amount::Variable(_)));
        match self {
            BufferTest::Content(content) => {
                [content.offset, content.depth, content.distance, content.within].into_iter().any(variable)
            }
            BufferTest::IsDataAt(test) => variable(Some(test.amount)),
            BufferTest::ByteTest(test) => {
                [test.value, test.offset, test.number.count].map(Some).into_iter().any(variable)
            }
            BufferTest::ByteJump(jump) => variable(Some(jump.offset)) || variable(Some(jump.number.count)),
            BufferTest::ByteExtract(_) | BufferTest::ByteMath(_) => true,
            BufferTest::Base64(decode) => {
                decode.data.iter().flat_map(|chain| &chain.steps).any(|step| step.test.uses_variables())
            }
            BufferTest::Pcre(_)
            | BufferTest::Size(_)
            | BufferTest::Asn1(_)
            | BufferTest::DataSet { .. }
            | BufferTest::DataReputation { .. } => false,
        }
    }
}
