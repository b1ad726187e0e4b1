//! `tidegate flows`: the kernel's table of connections with what we know of each, and the way to end some of them.
//!
//! The table is the kernel's, so it is read from the kernel, with or without a gate: [`row`] puts an entry beside the
//! fate in its mark. A running gate is asked for what stands in no entry, part by part ([`known`]). [`filter`] chooses,
//! [`condemn`] writes the fate `drop` or `reject` into what was chosen.

pub mod condemn;
pub mod expected;
pub mod filter;
pub mod known;
pub mod row;
