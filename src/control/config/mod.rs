//! What the user wants, checked. A [`Config`] that exists is valid; what was typed is a tree that never leaves here.
//!
//! Key names are Suricata's where the thing is the same. [`Config::default`] is what a start without a file uses.

mod conntrack;
mod fate;
mod flow;
mod gate;
mod nfq;
mod outputs;
mod policy;
mod queue;
mod rules;
mod service;
mod stats;
mod vars;

pub use conntrack::{Conntrack, Sysctl};
pub use fate::{Fate, FateStore};
pub use flow::Flow;
pub use gate::{Gate, GateHook};
pub use nfq::{MarkMask, Nfq, NfqMode};
pub use outputs::Outputs;
pub use policy::{OnTrouble, Policy};
pub use queue::{Queue, QueueNumbers};
pub use rules::{ActionClass, Rules};
pub use service::{RunAs, Service, UnixCommand};
pub use stats::Stats;
pub use vars::Vars;

/// The whole configuration, one field a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub vars: Vars,
    pub rules: Rules,
    pub outputs: Outputs,
    pub stats: Stats,
    pub queue: Queue,
    pub nfq: Nfq,
    pub gate: Gate,
    pub fate: Fate,
    pub policy: Policy,
    pub flow: Flow,
    pub conntrack: Conntrack,
    pub service: Service,
}
