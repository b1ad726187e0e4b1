//! Netlink: the wire format, and the one socket type that the queue and conntrack share.

pub mod batch;
pub mod socket;
pub mod wire;
