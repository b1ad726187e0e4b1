//! `policy:` what a packet meets that cannot be judged. Each drop has a name here; none is the default.

use super::report::Report;
use super::section::{Choice, Section};

/// The section `policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// conntrack called the packet INVALID.
    pub invalid: OnTrouble,
    /// The packet carries no conntrack entry at all.
    pub untracked: OnTrouble,
    pub decode_error: OnTrouble,
    /// A new flow met a full flow table.
    pub flow_memcap: OnTrouble,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            invalid: OnTrouble::Pass,
            untracked: OnTrouble::Pass,
            decode_error: OnTrouble::Pass,
            flow_memcap: OnTrouble::Pass,
        }
    }
}

/// `pass` still lets packet rules judge where there is something to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrouble {
    Pass,
    Drop,
}

impl Choice for OnTrouble {
    const WORDS: &'static [(&'static str, OnTrouble)] = &[("pass", OnTrouble::Pass), ("drop", OnTrouble::Drop)];
}

impl Policy {
    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Policy {
        let mut policy = Policy::default();
        section.read_choice("invalid", &mut policy.invalid, report);
        section.read_choice("untracked", &mut policy.untracked, report);
        section.read_choice("decode-error", &mut policy.decode_error, report);
        section.read_choice("flow-memcap", &mut policy.flow_memcap, report);
        section.finish(report);
        policy
    }
}
