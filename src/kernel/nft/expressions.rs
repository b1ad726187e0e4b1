//! Rules as the kernel lists them, read as far as they concern us: where they queue to, and which bits of the
//! conntrack mark, or which conntrack labels, they write or look at.

use super::{QueueMode, Queues};
use crate::kernel::netlink::wire::{Attr, Attrs};
use crate::packet::conntrack::Labels;

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
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
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFT_CT_MARK: u32 = 3;
const NFT_CT_LABELS: u32 = 13;
const NFT_CT_ZONE: u32 = 17;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_DATA_VALUE: u16 = 1;

/// Those that call `nf_ct_netns_get` when a rule with them is loaded.
const ASKING_EXPRESSIONS: [&str; 7] = ["ct", "nat", "masq", "redir", "connlimit", "flow_offload", "synproxy"];
/// Matches and targets of iptables that do.
const ASKING_XTABLES: [&str; 16] = [
    "conntrack",
    "state",
    "connmark",
    "connlabel",
    "connbytes",
    "connlimit",
    "helper",
    "cluster",
    "CONNMARK",
    "CONNSECMARK",
    "SNAT",
    "DNAT",
    "MASQUERADE",
    "REDIRECT",
    "NETMAP",
    "SYNPROXY",
];
const ALL_LABELS: Labels = Labels([u8::MAX; 16]);

/// One rule, reduced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFacts {
    pub table: String,
    pub chain: String,
    pub handle: u64,
    /// The comment, where it has one.
    pub comment: Option<String>,
    queues: Vec<Queueing>,
    /// Bits of the conntrack mark that it may change.
    pub mark_written: u32,
    /// Bits of the conntrack mark that it looks at.
    pub mark_read: u32,
    /// Labels that it may set.
    pub labels_written: Labels,
    /// Labels that it looks at.
    pub labels_read: Labels,
    /// While it is loaded the kernel tracks connections of its family.
    pub asks_about_connections: bool,
    /// Puts connections into conntrack zones.
    pub sets_zone: bool,
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
    /// What register 1, in all likelihood, holds, after the mask if there is one: (mask, xor).
    loaded: Option<Key>,
    mask: Option<(Labels, Labels)>,
    /// What was put into a register as it stands in the rule.
    immediate: Option<Labels>,
}

/// The keys of `ct` that fates may stand in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Mark,
    Labels,
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
            NFTA_RULE_USERDATA => facts.comment = comment_of(attr.payload).map(str::to_owned),
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
    facts.asks_about_connections |= ASKING_EXPRESSIONS.contains(&name.as_str());
    match name.as_str() {
        "queue" => facts.queues.push(read_queue(walk, data)),
        "hash" => walk.spread = read_spread(data, NFTA_HASH_MODULUS, NFTA_HASH_OFFSET),
        "numgen" => walk.spread = read_spread(data, NFTA_NG_MODULUS, NFTA_NG_OFFSET),
        "target" | "match" => read_xtables(facts, data),
        "bitwise" if walk.loaded.is_some() => walk.mask = read_bitwise(data),
        "immediate" => walk.immediate = read_value(&data, NFTA_IMMEDIATE_DATA),
        "cmp" | "lookup" | "range" => note_read(facts, walk),
        // `meta mark set ct mark` hands our bits on.
        "meta" if data.clone().any(|attr| attr.kind == NFTA_META_SREG) => note_read(facts, walk),
        "ct" => read_ct(facts, walk, data),
        _ => {}
    }
}

/// What was loaded, masked or not, is used.
fn note_read(facts: &mut RuleFacts, walk: &mut Walk) {
    let read = walk.mask.map_or(ALL_LABELS, |(mask, _)| mask);
    match walk.loaded.take() {
        Some(Key::Mark) => facts.mark_read |= mark_of(&read),
        Some(Key::Labels) => facts.labels_read = facts.labels_read | read,
        None => {}
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
    let number = data.clone().find(|attr| attr.kind == NFTA_CT_KEY).and_then(|attr| attr.be32());
    let sets = data.clone().any(|attr| attr.kind == NFTA_CT_SREG);
    facts.sets_zone |= sets && number == Some(NFT_CT_ZONE);
    let key = match number {
        Some(NFT_CT_MARK) => Some(Key::Mark),
        Some(NFT_CT_LABELS) => Some(Key::Labels),
        _ => None,
    };
    match (key, sets) {
        // `ct mark set ct mark & KEEP | BITS` is a load, a bitwise and a store.
        (Some(Key::Mark), true) => {
            facts.mark_written |= match (walk.mask, walk.loaded.take()) {
                (Some((keep, flip)), Some(Key::Mark)) => !mark_of(&keep) | mark_of(&flip),
                _ => u32::MAX,
            };
        }
        // Setting labels adds to those that are there; `ct label set ct label` adds none.
        (Some(Key::Labels), true) => {
            let added = match (walk.loaded.take(), walk.mask) {
                (Some(Key::Labels), None) => Labels::default(),
                (None, _) => walk.immediate.unwrap_or(ALL_LABELS),
                _ => ALL_LABELS,
            };
            facts.labels_written = facts.labels_written | added;
        }
        (Some(key), false) => {
            walk.loaded = Some(key);
            walk.mask = None;
        }
        (None, _) => {}
    }
}

fn read_bitwise(data: Attrs<'_>) -> Option<(Labels, Labels)> {
    Some((read_value(&data, NFTA_BITWISE_MASK)?, read_value(&data, NFTA_BITWISE_XOR)?))
}

/// A value of 4 bytes (a mark, which then is the first of them) or of 16.
fn read_value(data: &Attrs<'_>, kind: u16) -> Option<Labels> {
    let attr = data.clone().find(|attr| attr.kind == kind)?;
    let value = attr.nested().find(|attr| attr.kind == NFTA_DATA_VALUE)?;
    if !matches!(value.payload.len(), 4 | 16) {
        return None;
    }
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().zip(value.payload) {
        *slot = *byte;
    }
    Some(Labels(bytes))
}

fn mark_of(value: &Labels) -> u32 {
    value.0.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The comment in libnftnl's user data: type, length, value; type 0 is the comment.
pub fn comment_of(data: &[u8]) -> Option<&str> {
    let mut rest = data;
    loop {
        let (&[kind, len], value) = rest.split_first_chunk()?;
        let (value, next) = value.split_at_checked(len.into())?;
        if kind == 0 {
            return std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0'));
        }
        rest = next;
    }
}

/// Targets and matches of iptables-nft: `NFQUEUE`, `CONNMARK`, `connmark` and `connlabel`.
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
    facts.asks_about_connections |= ASKING_XTABLES.contains(&name.as_str());
    match name.as_str() {
        "NFQUEUE" => facts.queues.extend(read_xt_nfqueue(info)),
        "CONNMARK" => read_xt_connmark(facts, info),
        // `struct xt_connmark_mtinfo1`: mark, mask.
        "connmark" => facts.mark_read |= word(info, 1).unwrap_or(u32::MAX),
        "connlabel" => read_xt_connlabel(facts, info),
        "CT" => facts.sets_zone |= sets_zone(info),
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

/// `struct xt_connlabel_mtinfo`: the label's number, options (2: set it).
fn read_xt_connlabel(facts: &mut RuleFacts, info: &[u8]) {
    let Some(&[n0, n1, o0, o1]) = info.first_chunk() else { return };
    let Ok(label) = u8::try_from(u16::from_ne_bytes([n0, n1])) else { return };
    let label = Labels::of(label);
    facts.labels_read = facts.labels_read | label;
    if u16::from_ne_bytes([o0, o1]) & 2 != 0 {
        facts.labels_written = facts.labels_written | label;
    }
}

/// `struct xt_ct_target_info`: flags (16: the zone is the packet's mark), zone.
fn sets_zone(info: &[u8]) -> bool {
    let Some(&[f0, f1, z0, z1]) = info.first_chunk() else { return false };
    u16::from_ne_bytes([z0, z1]) != 0 || u16::from_ne_bytes([f0, f1]) & 16 != 0
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

    type Owned<'a> = (&'static str, Vec<(u16, &'a [u8])>);
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

    #[test]
    fn the_comment_is_found_among_user_data() {
        let table: [(&[u8], Option<&str>); 6] = [
            (b"\x00\x05abcd\x00", Some("abcd")),
            (b"\x03\x02xx\x00\x03ab\x00", Some("ab")),
            (b"\x03\x02xx", None),
            (b"\x00\x09ab\x00", None),
            (b"\x00", None),
            (b"", None),
        ];
        for (data, comment) in table {
            assert_eq!(comment_of(data), comment, "{data:?}");
        }
    }

    #[test]
    fn marks_and_labels_are_told_apart_and_bit_by_bit() {
        let load = |key: &'static [u8]| ("ct", vec![(NFTA_CT_KEY, key), (1, &[0u8, 0, 0, 1][..])]);
        let store = |key: &'static [u8]| ("ct", vec![(NFTA_CT_KEY, key), (NFTA_CT_SREG, &[0u8, 0, 0, 1][..])]);
        let value = |bytes: &[u8]| {
            let mut builder = Builder::default();
            builder.attr(NFTA_DATA_VALUE, bytes);
            builder.as_bytes().to_vec()
        };
        let (mark, label) = (&[0, 0, 0, 3][..], &[0, 0, 0, 13][..]);
        let two = value(&Labels::of(17).0);
        let word = value(&0x0f00_0000u32.to_ne_bytes());
        let zero = value(&0u32.to_ne_bytes());
        let facts = |list: Vec<Owned<'_>>| {
            let list: Vec<Expression<'_>> = list.iter().map(|(name, attrs)| (*name, attrs.as_slice())).collect();
            rule(&list)
        };
        let none = Labels::default();
        let cases = [
            ("set", vec![("immediate", vec![(2, &two[..])]), store(label)], (0, 0, Labels::of(17), none)),
            ("set to itself", vec![load(label), store(label)], (0, 0, none, none)),
            ("test all", vec![load(label), ("cmp", vec![])], (0, 0, none, ALL_LABELS)),
            (
                "test one",
                vec![load(label), ("bitwise", vec![(4, &two[..]), (5, &two[..])]), ("cmp", vec![])],
                (0, 0, none, Labels::of(17)),
            ),
            (
                "mark kept in part",
                vec![load(mark), ("bitwise", vec![(4, &word[..]), (5, &zero[..])]), store(mark)],
                (!0x0f00_0000, 0, none, none),
            ),
            ("mark set", vec![("immediate", vec![(2, &word[..])]), store(mark)], (u32::MAX, 0, none, none)),
            (
                "connlabel",
                vec![("match", vec![(1, &b"connlabel\0"[..]), (3, &[17, 0, 2, 0][..])])],
                (0, 0, Labels::of(17), Labels::of(17)),
            ),
        ];
        for (name, list, expected) in cases {
            let facts = facts(list);
            let found = (facts.mark_written, facts.mark_read, facts.labels_written, facts.labels_read);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn what_asks_and_what_sets_zones_is_known_by_name() {
        let key = |number: &'static [u8]| (NFTA_CT_KEY, number);
        let zone: &[(u16, &[u8])] = &[key(&[0, 0, 0, 17]), (NFTA_CT_SREG, &[0, 0, 0, 1])];
        let cases: [(&str, &[Expression<'_>], (bool, bool)); 8] = [
            ("queue alone", &[("queue", &[(1, &[0, 5])])], (false, false)),
            ("ct state", &[("ct", &[key(&[0, 0, 0, 0])])], (true, false)),
            ("ct zone", &[("ct", &[key(&[0, 0, 0, 17])])], (true, false)),
            ("ct zone set", &[("ct", zone)], (true, true)),
            ("masquerade", &[("masq", &[])], (true, false)),
            ("-m conntrack", &[("match", &[(1, b"conntrack\0")])], (true, false)),
            ("-j CT --zone 3", &[("target", &[(1, b"CT\0"), (3, &[0, 0, 3, 0])])], (false, true)),
            ("-j CT --notrack", &[("target", &[(1, b"CT\0"), (3, &[1, 0, 0, 0])])], (false, false)),
        ];
        for (name, expressions, expected) in cases {
            let facts = rule(expressions);
            assert_eq!((facts.asks_about_connections, facts.sets_zone), expected, "{name}");
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
            name in prop::sample::select(vec!["queue", "target", "match", "ct", "bitwise", "hash", "numgen", "cmp", "meta", "immediate"]),
            kind in 0u16..8,
            payload in proptest::collection::vec(any::<u8>(), 0..24),
        ) {
            let facts = rule(&[("ct", &[(NFTA_CT_KEY, &[0, 0, 0, 3])]), (name, &[(kind, &payload), (1, b"CONNMARK\0")])]);
            prop_assert_eq!(facts.handle, 7);
            prop_assert!(facts.queueing().is_none() || name == "queue");
        }
    }
}
