//! Questions about the bytes of a buffer.

use std::sync::Arc;

use super::{NumberTest, Pattern, Toward};
use crate::rules::dataset::DataSet;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::needle::Hint;

/// All that is asked of one buffer: every chain must match, independently of the others.
#[derive(Clone, Debug)]
pub struct BufferPlan {
    pub buffer: Buffer,
    /// Done to the buffer in this order before the chains look at it.
    pub transforms: Box<[Transform]>,
    pub chains: Box<[Chain]>,
    pub absence: Absence,
    /// What the chains answer depends on the bytes of this buffer alone: not on variables, data sets or what is absent.
    pub settled_by_bytes: bool,
    /// The side whose bytes are meant, where a rule about both sides says it.
    pub side: Option<Toward>,
}

/// What the tests of the payload are like where it is a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamShape {
    /// Some test is about a place in the payload, counted from its beginning.
    pub asks_for_places: bool,
    /// Some content is about a place, and none about the end: looking at a recording, it is told twice of what begins a
    /// stream.
    pub told_twice: bool,
    /// With its literal found, the rest of what the rule asks for may come later.
    pub may_wait: bool,
    pub reach: Reach,
}

/// How far in front of fresh bytes a match may begin that old bytes alone do not make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// It begins nowhere before this; `None`: anywhere.
    pub within: Option<usize>,
    /// From here on there is no room for one that ends before the fresh bytes.
    pub exactly: usize,
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
    /// All that the steps in front of the first boundless one ask for lies in so many bytes from where the first content
    /// begins; `None`: the chain does not begin with a content that may stand anywhere.
    pub extent: Option<u32>,
    /// The later a content is placed, the later all behind it: what comes nowhere behind one place comes nowhere behind a
    /// later one.
    pub ascends: bool,
    /// Which step is a content that stands at the end of the buffer.
    pub ending: Option<u8>,
}

impl Chain {
    /// The content that must stand at the end of the buffer.
    #[must_use]
    pub fn ending(&self) -> Option<&Content> {
        self.steps.get(usize::from(self.ending?))?.test.content()
    }
}

#[derive(Clone, Debug)]
pub struct Step {
    pub test: BufferTest,
    /// A later test depends on where this one matched, so other places are worth a try.
    pub anchors: bool,
    /// Of two contents: where the next one stands.
    pub neighbour: Option<Neighbour>,
    /// Of a content: fewer bytes than these stand behind it in the buffer.
    pub end_bytes: Option<u32>,
    /// It, or a step before it, may look anywhere in the buffer.
    pub boundless: bool,
}

/// The next content of a chain, where just one place is left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Bytes from the beginning of the one to that of the other.
    pub distance: u16,
    /// It is the rarer of the two, and found first.
    pub leads: bool,
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

    /// Whether the pattern is what `buffer` ends with.
    #[must_use]
    pub fn is_at_end_of(&self, buffer: &[u8]) -> bool {
        buffer.len().checked_sub(self.pattern.len()).is_some_and(|start| self.pattern.is_at(buffer, start))
    }

    /// Whether it may stand anywhere behind the match before it.
    #[must_use]
    pub fn is_anywhere_behind(&self) -> bool {
        !self.negated && self.distance.is_some() && self.within.is_none() && self.depth.is_none()
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
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match self {
            BufferTest::Content(content) => Some(content),
            _ => None,
        }
    }

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
