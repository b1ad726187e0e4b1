//! What came of a packet: which rules matched, and what the first of them in action order decides.

use std::sync::Arc;

use crate::packet::event::Variable;
use crate::rules::meta::{RuleAction, RuleMeta};
use crate::rules::ruleset::RuleSet;

/// A decision, and what it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    pub decision: Decision,
    /// It is about the whole connection ([`Rule::decides_flow`]), not about this packet alone.
    pub on_flow: bool,
    /// A `rate_filter` has made it so.
    pub by_rate: bool,
}

/// What the first deciding match says should happen, by `action-order`. What does happen is policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// No rule decides: alerts at most.
    #[default]
    None,
    /// Nothing is decided but that the rest of the connection need not be inspected.
    Bypass,
    Pass,
    Drop,
    /// [`RuleAction::Reject`], [`RuleAction::RejectDst`] or [`RuleAction::RejectBoth`].
    Reject(RuleAction),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) rule: u32,
    pub(super) alert: bool,
    pub(super) in_stream: bool,
    pub(super) transaction: Option<u64>,
    pub(super) by_rate: Option<RuleAction>,
}

/// What came of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) hits: &'a [Hit],
    /// What matches have captured in this packet.
    pub variables: &'a [Variable],
    pub decision: Decision,
    /// The packet follows a match that wants it recorded (`tag`).
    pub tagged: bool,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    pub rule: &'a Arc<RuleMeta>,
    /// False for `noalert`, and for matches that a threshold keeps quiet.
    pub alert: bool,
    /// Whether Suricata would let this match decide about the whole flow: as [`Rule::decides_flow`] says, and contents of a
    /// payload only where they stood in the stream.
    pub decides_flow: bool,
    /// The number of the transaction that it matched, if it is about transactions.
    pub transaction: Option<u64>,
    /// Its header names an application protocol.
    pub names_protocol: bool,
    /// It matched the joined bytes of a stream.
    pub in_stream: bool,
    /// The rule's own, unless a `rate_filter` has changed it.
    pub action: RuleAction,
    pub by_rate: bool,
}

impl<'a> Outcome<'a> {
    /// The matches in the order of judgement: by action, then priority.
    pub fn matches(&self) -> impl Iterator<Item = Match<'a>> + use<'a> {
        let rules = self.rules;
        self.hits.iter().filter_map(move |hit| rules.rule(hit.rule).map(|rule| (rule, hit))).map(|(rule, hit)| Match {
            rule: &rule.meta,
            alert: hit.alert,
            decides_flow: rule.decides_flow() && (hit.in_stream || !rule.needs_payload),
            transaction: hit.transaction,
            names_protocol: !rule.header.app.is_empty(),
            in_stream: hit.in_stream,
            action: hit.by_rate.unwrap_or(rule.action()),
            by_rate: hit.by_rate.is_some(),
        })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// Of the rules that judged.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.rules.generation()
    }

    /// Of the rules that judged, by their contents.
    #[must_use]
    pub fn rules_hash(&self) -> u64 {
        self.rules.hash()
    }

    #[must_use]
    pub fn ruling(&self) -> Ruling {
        let decider = self.decider();
        Ruling {
            decision: self.decision,
            on_flow: decider.is_some_and(|decider| decider.decides_flow),
            by_rate: decider.is_some_and(|decider| decider.by_rate),
        }
    }

    /// The match that made the decision.
    #[must_use]
    pub fn decider(&self) -> Option<Match<'a>> {
        self.matches().find(|found| match self.decision {
            Decision::None | Decision::Bypass => false,
            Decision::Pass => found.action == RuleAction::Pass,
            Decision::Drop => found.action == RuleAction::Drop,
            Decision::Reject(kind) => found.action == kind,
        })
    }
}

/// Alerts decide nothing; otherwise the first in action order stands.
pub(super) fn decide(before: Decision, action: RuleAction) -> Decision {
    match (before, action) {
        (Decision::None, RuleAction::Pass) => Decision::Pass,
        (Decision::None, RuleAction::Drop) => Decision::Drop,
        (Decision::None, RuleAction::Reject | RuleAction::RejectDst | RuleAction::RejectBoth) => {
            Decision::Reject(action)
        }
        _ => before,
    }
}
