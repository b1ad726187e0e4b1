//! The scenarios, grouped by what they show.

mod bed;
mod block;
mod dropin;
mod evasion;
mod fates;
mod flows;
mod lab;
mod ledger;
mod life;
mod million;
mod networks;
mod nft;
mod oom;
mod policy;
mod related;
mod ruleset;
mod state;
mod tracking;
mod verdicts;

pub use oom::is_possible as memory_can_be_limited;

use crate::scenario::Scenario;

/// All of them, in the order in which they run.
pub const ALL: &[Scenario] = &[
    // First: sockets that others leave unanswered hold their namespaces, and so the modules of the rules in them.
    nft::MISSING_MODULES,
    bed::FORWARDING,
    bed::QUEUE_CONNTRACK,
    bed::QUEUE_LISTING,
    bed::RULESET_DUMP,
    bed::LOAD,
    nft::BALANCE,
    nft::BALANCE_HOST,
    nft::FATES,
    nft::SHIPPED_FILES,
    ruleset::PRINT,
    ruleset::SPREAD,
    ruleset::FOREIGN,
    ruleset::SECOND_COPY,
    ruleset::DROP_IN,
    dropin::IPTABLES,
    dropin::FIREWALLS,
    dropin::FIREWALLD,
    dropin::REPEAT,
    dropin::ROUTE,
    tracking::NOBODY_ELSE_ASKS,
    verdicts::ATTACK_AND_BENIGN,
    verdicts::REJECT_AND_CONDEMN,
    verdicts::NAT,
    verdicts::RELATED_ICMP,
    related::FTP_DATA,
    related::ICMP_ERROR,
    life::IDLE_MEMORY,
    life::KILL_UNDER_LOAD,
    life::STOPPED_FAILS_OPEN,
    life::TERM_UNDER_LOAD,
    life::FATE_SURVIVES,
    oom::KILLED,
    ledger::EXACT,
    block::BY_COMMAND,
    block::BY_RULE,
    networks::ZONES,
    networks::VRF,
    networks::BR_NETFILTER,
    networks::BRIDGE,
    policy::INVALID,
    policy::UNTRACKED,
    state::NOTHING_IS_LEFT,
    fates::LABELS,
    fates::AUTO,
    fates::LEAVE_THE_QUEUE,
    fates::CLEARED,
    fates::KEPT,
    fates::RELOAD_UNDER_LOAD,
    fates::FLOWTABLE,
    million::ENTRIES_BEFORE_US,
    flows::LISTED,
    flows::KILLED,
    lab::LAB,
    evasion::DISGUISED,
];
