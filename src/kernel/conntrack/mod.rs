//! Connection tracking over ctnetlink: what the kernel's table says, as [`crate::packet::conntrack`] has it.

pub mod attributes;
pub mod cta;
