//! Questions about what is remembered between packets, and what a match changes there.

use std::sync::Arc;

use crate::rules::meta::RuleAction;
use crate::rules::vars::AddressSet;

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
