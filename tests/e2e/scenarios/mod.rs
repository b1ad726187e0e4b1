//! The scenarios, grouped by what they show.

mod bed;
mod lab;
mod nft;

use crate::scenario::Scenario;

/// All of them, in the order in which they run.
pub const ALL: &[Scenario] = &[
    bed::FORWARDING,
    bed::QUEUE_CONNTRACK,
    bed::QUEUE_LISTING,
    bed::RULESET_DUMP,
    bed::LOAD,
    nft::BALANCE,
    nft::BALANCE_HOST,
    nft::FATES,
    nft::MISSING_MODULES,
    nft::SHIPPED_FILES,
    lab::LAB,
];
