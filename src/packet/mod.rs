//! The data plane, pure: bytes and the kernel's facts in, a verdict and events out.

pub mod ingress;

pub mod decode;

pub mod conntrack;

pub mod detect;

pub mod verdict;

pub mod event;
