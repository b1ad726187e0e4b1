//! Other people's rules that meet ours: the same queue numbers, the same bits of the conntrack mark, the same conntrack
//! labels. What iptables' legacy back end holds is not seen from here, only that it holds something.

use super::error::NftError;
use super::expressions::{self, Queueing, RuleFacts};
use super::model::TABLE;
use super::transaction::{Control, NFPROTO_BRIDGE};
use super::{GateTable, Queues};
use crate::packet::conntrack::{Fate, Labels};
use std::fmt::{self, Display, Formatter};

const NFT_MSG_GETRULE: u16 = 7;
const NFPROTO_UNSPEC: u8 = 0;

/// A rule of another table, and what it shares with us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// `family table chain handle N`, as `nft -a list` names it.
    pub rule: String,
    /// It stands in a table of the bridge family.
    pub on_bridge: bool,
    pub kind: ConflictKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// Sends packets to these queues, of which some are ours. As it should be when we serve as its target.
    Queue(Queues),
    /// May change these of our mark bits: fates would come and go.
    MarkWritten(u32),
    /// Looks at these of our mark bits: our fates would mean something to it.
    MarkRead(u32),
    /// May set these of our labels.
    LabelsWritten(Labels),
    /// Looks at these of our labels.
    LabelsRead(Labels),
}

impl ConflictKind {
    /// About where fates stand, and not about queues.
    #[must_use]
    pub fn is_about_fates(self) -> bool {
        !matches!(self, ConflictKind::Queue(_))
    }
}

impl Display for Conflict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.rule)?;
        match self.kind {
            ConflictKind::Queue(queues) => write!(f, " sends to queue {queues}"),
            ConflictKind::MarkWritten(bits) => write!(f, " writes the bits {bits:#010x} of the conntrack mark"),
            ConflictKind::MarkRead(bits) => write!(f, " looks at the bits {bits:#010x} of the conntrack mark"),
            ConflictKind::LabelsWritten(labels) => write!(f, " sets the conntrack labels {}", list(labels)),
            ConflictKind::LabelsRead(labels) => write!(f, " looks at the conntrack labels {}", list(labels)),
        }
    }
}

fn list(labels: Labels) -> String {
    labels.numbers().map(|label| label.to_string()).collect::<Vec<_>>().join(", ")
}

/// The tables of iptables' legacy back end that are in use here, by family: what is in them cannot be seen from here.
#[must_use]
pub fn legacy_tables() -> Vec<String> {
    ["ip", "ip6"]
        .into_iter()
        .flat_map(|family| {
            let names = std::fs::read_to_string(format!("/proc/net/{family}_tables_names")).unwrap_or_default();
            names.lines().map(|name| format!("{family} {name}")).collect::<Vec<_>>()
        })
        .collect()
}

/// Rules of all other tables, of all families, that use a queue of `table`, or bits in which it keeps fates.
pub fn conflicts(table: &GateTable) -> Result<Vec<Conflict>, NftError> {
    let mut control = Control::open()?;
    let replies = control.query("read all rules", NFT_MSG_GETRULE, NFPROTO_UNSPEC, true, |_| {})?;
    Ok(replies
        .iter()
        .map(|reply| (reply.family, expressions::of_rule(reply.attributes())))
        .filter(|(family, rule)| !(*family == super::transaction::NFPROTO_INET && rule.table == TABLE))
        .flat_map(|(family, rule)| shared(table, family, &rule))
        .collect())
}

/// Rules of all tables that put connections into conntrack zones, as `nft -a list` names them.
pub fn zone_rules() -> Result<Vec<String>, NftError> {
    let replies = Control::open()?.query("read all rules", NFT_MSG_GETRULE, NFPROTO_UNSPEC, true, |_| {})?;
    let rules = replies.iter().map(|reply| (reply.family, expressions::of_rule(reply.attributes())));
    Ok(rules.filter(|(_, rule)| rule.sets_zone).map(|(family, rule)| name_of(family, &rule)).collect())
}

/// A rule of the bridge family that queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeQueueRule {
    /// `family table chain handle N`, as `nft -a list` names it.
    pub rule: String,
    /// `None`: they are computed, and not known.
    pub queues: Option<Queues>,
}

impl BridgeQueueRule {
    /// Whether it queues to some of these, as far as can be told.
    #[must_use]
    pub fn may_meet(&self, queues: Queues) -> bool {
        self.queues.is_none_or(|own| overlap(own, queues))
    }
}

/// Rules of the bridge family that queue, to whomever.
pub fn bridge_queue_rules() -> Result<Vec<BridgeQueueRule>, NftError> {
    let replies = Control::open()?.query("read all rules", NFT_MSG_GETRULE, NFPROTO_UNSPEC, true, |_| {})?;
    let of_bridges = replies.iter().filter(|reply| reply.family == NFPROTO_BRIDGE);
    let rules = of_bridges.map(|reply| expressions::of_rule(reply.attributes()));
    let queueing = rules.filter_map(|rule| {
        let queues = queues_of(rule.queueing()?);
        Some(BridgeQueueRule { rule: name_of(NFPROTO_BRIDGE, &rule), queues })
    });
    Ok(queueing.collect())
}

fn queues_of(queueing: Queueing) -> Option<Queues> {
    match queueing {
        Queueing::Range { queues, .. } => Some(queues),
        Queueing::Computed { queues } => queues,
    }
}

fn name_of(family: u8, rule: &RuleFacts) -> String {
    format!("{} {} {} handle {}", family_name(family), rule.table, rule.chain, rule.handle)
}

fn shared(table: &GateTable, family: u8, rule: &RuleFacts) -> Vec<Conflict> {
    let name = name_of(family, rule);
    let ours = table.fate.write(Fate::Inspect, 0);
    let mask = ours.mark.map_or(0, |(_, mask)| mask);
    let labels = ours.labels.map_or(Labels::default(), |(_, mask)| mask);
    let some = |labels: Labels| (!labels.is_empty()).then_some(labels);
    let queues = rule.queueing().and_then(queues_of);
    let kinds = [
        queues.filter(|queues| overlap(*queues, table.queues)).map(ConflictKind::Queue),
        (rule.mark_written & mask != 0).then_some(ConflictKind::MarkWritten(rule.mark_written & mask)),
        (rule.mark_read & mask != 0).then_some(ConflictKind::MarkRead(rule.mark_read & mask)),
        some(rule.labels_written & labels).map(ConflictKind::LabelsWritten),
        some(rule.labels_read & labels).map(ConflictKind::LabelsRead),
    ];
    kinds
        .into_iter()
        .flatten()
        .map(|kind| Conflict { rule: name.clone(), on_bridge: family == NFPROTO_BRIDGE, kind })
        .collect()
}

fn overlap(one: Queues, other: Queues) -> bool {
    one.first <= other.last() && other.first <= one.last()
}

/// nft's word for an `NFPROTO_*`.
pub fn family_name(family: u8) -> &'static str {
    match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_at_their_ends() {
        let ours = Queues { first: 10, count: 4 };
        for (first, count, meets) in [(0, 10, false), (0, 11, true), (13, 1, true), (14, 9, false), (11, 1, true)] {
            assert_eq!(overlap(Queues { first, count }, ours), meets, "{first} {count}");
            assert_eq!(overlap(ours, Queues { first, count }), meets, "{first} {count}");
        }
    }
}
