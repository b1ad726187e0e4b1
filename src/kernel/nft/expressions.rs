//! Rules as the kernel lists them, read as far as they concern us: where they queue to, and which bits of the
//! conntrack mark they write or look at.

use super::{QueueMode, Queues};
use crate::kernel::netlink::wire::{Attr, Attrs};

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_QUEUE_NUM: u16 = 1;
const NFTA_QUEUE_TOTAL: u16 = 2;
const NFTA_TARGET_NAME: u16 = 1;
const NFTA_TARGET_INFO: u16 = 3;
const NFTA_HASH_MODULUS: u16 = 4;
const NFTA_HASH_OFFSET: u16 = 6;
const NFTA_NG_MODULUS: u16 = 2;
const NFTA_NG_OFFSET: u16 = 4;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_SREG: u16 = 4;
const NFTA_META_SREG: u16 = 3;
const NFT_CT_MARK: u32 = 3;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_DATA_VALUE: u16 = 1;

/// One rule, reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFacts {
    pub table: String,
    pub chain: String,
    pub handle: u64,
    queues: Vec<Queueing>,
    /// Bits of the conntrack mark that it may change.
    pub mark_written: u32,
    /// Bits of the conntrack mark that it looks at.
    pub mark_read: u32,
}

/// Where a rule queues to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queueing {
    /// The numbers stand in the expression.
    Range { mode: QueueMode, queues: Queues },
    /// A number computed by `hash` or `numgen` before it; `None` when by something else.
    Computed { queues: Option<Queues> },
}

impl RuleFacts {
    #[must_use]
    pub fn queueing(&self) -> Option<Queueing> {
        self.queues.first().copied()
    }
}

/// What was loaded or computed on the way, as far as it matters later in the rule.
#[derive(Default)]
struct Walk {
    spread: Option<Queues>,
    /// Register 1, in all likelihood, holds the conntrack mark, after the mask if there is one: (mask, xor).
    mark_loaded: bool,
    mask: Option<(u32, u32)>,
}

/// Reads the attributes of a NEWRULE message.
#[must_use]
pub fn of_rule(attributes: Attrs<'_>) -> RuleFacts {
    let mut facts = RuleFacts::default();
    let mut walk = Walk::default();
    for attr in attributes {
        match attr.kind {
            NFTA_RULE_TABLE => facts.table = string(attr),
            NFTA_RULE_CHAIN => facts.chain = string(attr),
            NFTA_RULE_HANDLE => facts.handle = attr.be64().unwrap_or(0),
            NFTA_RULE_EXPRESSIONS => {
                for expression in attr.nested() {
                    read_expression(&mut facts, &mut walk, expression.nested());
                }
            }
            _ => {}
        }
    }
    facts
}

fn read_expression(facts: &mut RuleFacts, walk: &mut Walk, attributes: Attrs<'_>) {
    let mut name = String::new();
    let mut data = Attrs::new(&[]);
    for attr in attributes {
        match attr.kind {
            NFTA_EXPR_NAME => name = string(attr),
            NFTA_EXPR_DATA => data = attr.nested(),
            _ => {}
        }
    }
    match name.as_str() {
        "queue" => facts.queues.push(read_queue(walk, data)),
        "hash" => walk.spread = read_spread(data, NFTA_HASH_MODULUS, NFTA_HASH_OFFSET),
        "numgen" => walk.spread = read_spread(data, NFTA_NG_MODULUS, NFTA_NG_OFFSET),
        "target" | "match" => read_xtables(facts, data),
        "bitwise" if walk.mark_loaded => walk.mask = read_bitwise(data),
        "cmp" | "lookup" | "range" => note_read(facts, walk),
        // `meta mark set ct mark` hands our bits on.
        "meta" if data.clone().any(|attr| attr.kind == NFTA_META_SREG) => note_read(facts, walk),
        "ct" => read_ct(facts, walk, data),
        _ => {}
    }
}

/// The loaded mark, masked or not, is used.
fn note_read(facts: &mut RuleFacts, walk: &mut Walk) {
    if walk.mark_loaded {
        facts.mark_read |= walk.mask.map_or(u32::MAX, |(mask, _)| mask);
        walk.mark_loaded = false;
    }
}

fn read_queue(walk: &Walk, data: Attrs<'_>) -> Queueing {
    let mut first = None;
    let mut count = 1;
    for attr in data {
        match attr.kind {
            NFTA_QUEUE_NUM => first = attr.be16(),
            NFTA_QUEUE_TOTAL => count = attr.be16().unwrap_or(1),
            _ => {}
        }
    }
    match first {
        Some(first) => Queueing::Range { mode: QueueMode::NftQueue, queues: Queues { first, count } },
        None => Queueing::Computed { queues: walk.spread },
    }
}

fn read_spread(data: Attrs<'_>, modulus: u16, offset: u16) -> Option<Queues> {
    let value = |kind| data.clone().find(|attr| attr.kind == kind).and_then(|attr| attr.be32());
    let first = u16::try_from(value(offset).unwrap_or(0)).ok()?;
    Some(Queues { first, count: u16::try_from(value(modulus)?).ok()? })
}

fn read_ct(facts: &mut RuleFacts, walk: &mut Walk, data: Attrs<'_>) {
    let mut is_mark = false;
    let mut sets = false;
    for attr in data {
        match attr.kind {
            NFTA_CT_KEY => is_mark = attr.be32() == Some(NFT_CT_MARK),
            NFTA_CT_SREG => sets = true,
            _ => {}
        }
    }
    match (is_mark, sets) {
        // `ct mark set ct mark & KEEP | BITS` is a load, a bitwise and a store.
        (true, true) => {
            facts.mark_written |= match walk.mask {
                Some((keep, flip)) if walk.mark_loaded => !keep | flip,
                _ => u32::MAX,
            };
            walk.mark_loaded = false;
        }
        (true, false) => {
            walk.mark_loaded = true;
            walk.mask = None;
        }
        (false, _) => {}
    }
}

fn read_bitwise(data: Attrs<'_>) -> Option<(u32, u32)> {
    let value = |kind| {
        let attr = data.clone().find(|attr| attr.kind == kind)?;
        let value = attr.nested().find(|attr| attr.kind == NFTA_DATA_VALUE)?;
        <[u8; 4]>::try_from(value.payload).ok().map(u32::from_ne_bytes)
    };
    Some((value(NFTA_BITWISE_MASK)?, value(NFTA_BITWISE_XOR)?))
}

/// Targets and matches of iptables-nft: `NFQUEUE`, `CONNMARK` and `connmark`.
fn read_xtables(facts: &mut RuleFacts, data: Attrs<'_>) {
    let mut name = String::new();
    let mut info: &[u8] = &[];
    for attr in data {
        match attr.kind {
            NFTA_TARGET_NAME => name = string(attr),
            NFTA_TARGET_INFO => info = attr.payload,
            _ => {}
        }
    }
    match name.as_str() {
        "NFQUEUE" => facts.queues.extend(read_xt_nfqueue(info)),
        "CONNMARK" => read_xt_connmark(facts, info),
        // `struct xt_connmark_mtinfo1`: mark, mask.
        "connmark" => facts.mark_read |= word(info, 1).unwrap_or(u32::MAX),
        _ => {}
    }
}

/// `struct xt_NFQ_info` (queue), `_v1` (and total), `_v2`, `_v3` (and flags).
fn read_xt_nfqueue(info: &[u8]) -> Option<Queueing> {
    let (&[q0, q1], rest) = info.split_first_chunk()?;
    let first = u16::from_ne_bytes([q0, q1]);
    let count = rest.first_chunk().map_or(1, |bytes| u16::from_ne_bytes(*bytes)).max(1);
    Some(Queueing::Range { mode: QueueMode::XtTarget, queues: Queues { first, count } })
}

/// `struct xt_connmark_tginfo1`: ctmark, ctmask, nfmask, mode (0 set, 1 save, 2 restore).
fn read_xt_connmark(facts: &mut RuleFacts, info: &[u8]) {
    let (Some(mark), Some(mask)) = (word(info, 0), word(info, 1)) else { return };
    match info.get(12) {
        Some(2) => facts.mark_read |= mask,
        _ => facts.mark_written |= mask | mark,
    }
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let rest = bytes.get(index.checked_mul(4)?..)?;
    rest.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn string(attr: Attr<'_>) -> String {
    String::from_utf8_lossy(attr.payload.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::wire::Builder;
    use proptest::prelude::*;

    /// A name and attributes.
    type Expression<'a> = (&'a str, &'a [(u16, &'a [u8])]);

    fn rule(expressions: &[Expression<'_>]) -> RuleFacts {
        let mut builder = Builder::default();
        builder.attr(NFTA_RULE_TABLE, b"t\0");
        builder.attr(NFTA_RULE_CHAIN, b"c\0");
        builder.attr_be64(NFTA_RULE_HANDLE, 7);
        let list = builder.begin_nested(NFTA_RULE_EXPRESSIONS);
        for (name, attributes) in expressions {
            let element = builder.begin_nested(1);
            builder.attr(NFTA_EXPR_NAME, format!("{name}\0").as_bytes());
            let data = builder.begin_nested(NFTA_EXPR_DATA);
            for (kind, payload) in *attributes {
                builder.attr(*kind, payload);
            }
            builder.end_nested(data);
            builder.end_nested(element);
        }
        builder.end_nested(list);
        of_rule(Attrs::new(builder.as_bytes()))
    }

    #[test]
    fn queues_are_read_from_all_that_queue() {
        let range = |mode, first, count| Some(Queueing::Range { mode, queues: Queues { first, count } });
        let v3 = [10u16, 4, 1, 0].map(u16::to_ne_bytes).concat();
        let v0 = 9u16.to_ne_bytes();
        let hash: &[(u16, &[u8])] = &[(NFTA_HASH_MODULUS, &[0, 0, 0, 4]), (NFTA_HASH_OFFSET, &[0, 0, 0, 100])];
        let by_register: Expression<'_> = ("queue", &[(3, &[0, 1]), (4, &[0, 0, 0, 1])]);
        let computed = Queueing::Computed { queues: Some(Queues { first: 100, count: 4 }) };
        let cases = [
            (rule(&[("queue", &[(1, &[0, 5]), (2, &[0, 3])])]), range(QueueMode::NftQueue, 5, 3)),
            (rule(&[("target", &[(1, b"NFQUEUE\0"), (3, &v3)])]), range(QueueMode::XtTarget, 10, 4)),
            (rule(&[("target", &[(1, b"NFQUEUE\0"), (3, &v0)])]), range(QueueMode::XtTarget, 9, 1)),
            (rule(&[("target", &[(1, b"NFQUEUE\0"), (3, &[1])])]), None),
            (rule(&[("hash", hash), by_register]), Some(computed)),
            (rule(&[by_register]), Some(Queueing::Computed { queues: None })),
            (rule(&[("counter", &[])]), None),
        ];
        for (facts, expected) in cases {
            assert_eq!(facts.queueing(), expected, "{facts:?}");
            assert_eq!((facts.table.as_str(), facts.chain.as_str(), facts.handle), ("t", "c", 7));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let facts = of_rule(Attrs::new(&bytes));
            // List, element, name and its text take 20 bytes.
            prop_assert!(facts.queueing().is_none() || bytes.len() >= 20);
        }

        #[test]
        fn no_expression_is_too_odd(
            name in prop::sample::select(vec!["queue", "target", "match", "ct", "bitwise", "hash", "numgen", "cmp", "meta"]),
            kind in 0u16..8,
            payload in proptest::collection::vec(any::<u8>(), 0..24),
        ) {
            let facts = rule(&[("ct", &[(NFTA_CT_KEY, &[0, 0, 0, 3])]), (name, &[(kind, &payload), (1, b"CONNMARK\0")])]);
            prop_assert_eq!(facts.handle, 7);
            prop_assert!(facts.queueing().is_none() || name == "queue");
        }
    }
}
