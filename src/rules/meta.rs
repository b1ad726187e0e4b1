//! What a rule says about itself: everything an event needs, nothing a match needs.

use super::block::BlockOrder;

/// The action of a rule, strongest last in no order: `action-order` ranks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    Alert,
    Pass,
    Drop,
    /// `reject` and `rejectsrc`: toward the packet's sender.
    Reject,
    /// `rejectdst`: toward the packet's receiver.
    RejectDst,
    RejectBoth,
}

impl RuleAction {
    #[must_use]
    pub fn is_blocking(self) -> bool {
        matches!(self, RuleAction::Drop | RuleAction::Reject | RuleAction::RejectDst | RuleAction::RejectBoth)
    }

    #[must_use]
    pub fn is_reject(self) -> bool {
        matches!(self, RuleAction::Reject | RuleAction::RejectDst | RuleAction::RejectBoth)
    }
}

/// Identity and prose of one rule, shared by every event that it causes.
#[derive(Clone, Debug)]
pub struct RuleMeta {
    pub action: RuleAction,
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub msg: String,
    /// The classtype's name as written, empty if none.
    pub classtype: String,
    /// The classtype's description from `classification.config`: EVE `alert.category`.
    pub category: String,
    /// EVE `alert.severity`; 1 is worst, 3 the default.
    pub priority: u8,
    /// `type,value` pairs as written, resolved by `reference.config` where it knows the type.
    pub references: Vec<String>,
    /// `metadata:` keys with their values, in order of appearance, keys not repeated.
    pub metadata: Vec<(String, Vec<String>)>,
    pub target: Option<AlertTarget>,
    /// Whom to block when the rule drops or rejects.
    pub block: Option<BlockOrder>,
    /// The rule as written, on one line.
    pub text: String,
}

/// `target:src_ip` or `target:dest_ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertTarget {
    Source,
    Destination,
}
