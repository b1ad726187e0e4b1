//! All talk with Linux, and the only home of unsafe code.

pub mod conntrack;
pub mod interfaces;
pub mod memory;
pub mod namespace;
pub mod netlink;
pub mod nft;
pub mod privileges;
pub mod probe;
pub mod queue;
pub mod tally;
