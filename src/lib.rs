//! # tidegate: an inline intrusion prevention system that stands on conntrack
//!
//! The conntrack entry *is* the flow. Direction, state, NAT, counters and lifetime come from the kernel; only what an
//! IPS alone knows hangs on the entry's identity, and is freed by the kernel's DESTROY event.
//!
//! ```text
//!  kernel/queue --Ingress--> packet/path: decode > flow > detect > verdict --Verdict--> kernel/queue
//!   receives a batch             |                                    |            answers the batch
//!                             Anomaly                               Events --> output (one writer thread)
//!  control: cli, config, daemon, worker, listener (ctnetlink DESTROY frees flows), reload, stats
//! ```
//!
//! Dependencies run one way: `control -> {kernel, output} -> packet -> rules`. [`packet`] and [`rules`] are pure: no
//! sockets, no files, no clock, no logging, no unsafe code. The same code runs behind NFQUEUE, in pcap replay, in unit
//! tests and under a fuzzer; only the feeder differs. `tests/tidy.rs` holds these arrows.

pub mod packet;

pub mod rules;

pub mod kernel;

pub mod output;

pub mod control;
