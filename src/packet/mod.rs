//! The data plane, pure: bytes and the kernel's facts in, a verdict and events out.

pub mod ingress;

pub mod decode;

pub mod conntrack;

pub mod fate;

pub mod tracking;

pub mod tunnel;

pub mod app;

pub mod detect;

pub mod flow;

pub mod stream;

mod followed;

pub mod verdict;

mod facts;

pub mod tell;

pub mod counters;
pub mod crowd;

pub mod path;
pub mod pool;

pub mod event;
