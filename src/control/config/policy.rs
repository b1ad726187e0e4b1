//! `policy:` what a packet meets that cannot be judged. Each drop has a name here; none is the default.

use super::report::Report;
use super::section::{Choice, Section};
pub use crate::packet::verdict::OnTrouble;

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
    /// A parser gave up (`app-layer.error-policy`).
    pub app_error: OnTrouble,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            invalid: OnTrouble::Pass,
            untracked: OnTrouble::Pass,
            decode_error: OnTrouble::Pass,
            flow_memcap: OnTrouble::Pass,
            app_error: OnTrouble::Pass,
        }
    }
}

/// Our two words, then Suricata's exception policies.
impl Choice for OnTrouble {
    const WORDS: &'static [(&'static str, OnTrouble)] = &[
        ("pass", OnTrouble::Pass),
        ("drop", OnTrouble::Drop),
        ("ignore", OnTrouble::Pass),
        ("pass-packet", OnTrouble::Pass),
        ("pass-flow", OnTrouble::PassFlow),
        ("bypass", OnTrouble::PassFlow),
        ("drop-packet", OnTrouble::Drop),
        ("drop-flow", OnTrouble::DropFlow),
        ("reject", OnTrouble::Reject),
    ];
}

/// Suricata's `exception-policy`: what its other policies are where they are not set. `auto` is our defaults, for
/// nothing is dropped here that nobody asked to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception(Option<OnTrouble>);

impl Choice for Exception {
    const WORDS: &'static [(&'static str, Exception)] = &[
        ("auto", Exception(None)),
        ("ignore", Exception(Some(OnTrouble::Pass))),
        ("pass-packet", Exception(Some(OnTrouble::Pass))),
        ("pass-flow", Exception(Some(OnTrouble::PassFlow))),
        ("bypass", Exception(Some(OnTrouble::PassFlow))),
        ("drop-packet", Exception(Some(OnTrouble::Drop))),
        ("drop-flow", Exception(Some(OnTrouble::DropFlow))),
        ("reject", Exception(Some(OnTrouble::Reject))),
    ];
}

impl Exception {
    pub(super) fn read(root: &mut Section<'_>, report: &mut Report) -> Exception {
        let mut exception = Exception(None);
        root.read_choice("exception-policy", &mut exception, report);
        exception
    }

    pub(super) fn or(self, default: OnTrouble) -> OnTrouble {
        self.0.unwrap_or(default)
    }
}

impl Policy {
    pub(super) fn read(mut section: Section<'_>, exception: Exception, report: &mut Report) -> Policy {
        let mut policy = Policy::default();
        policy.flow_memcap = exception.or(policy.flow_memcap);
        policy.app_error = exception.or(policy.app_error);
        section.read_choice("invalid", &mut policy.invalid, report);
        section.read_choice("untracked", &mut policy.untracked, report);
        section.read_choice("decode-error", &mut policy.decode_error, report);
        section.read_choice("flow-memcap", &mut policy.flow_memcap, report);
        section.finish(report);
        policy
    }
}
