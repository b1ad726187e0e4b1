//! `conntrack:` how we live with the kernel's table.

use super::report::Report;
use super::section::{Choice, Section};

/// The section `conntrack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// What to do about `nf_conntrack_events`, `_acct` and `_timestamp`.
    pub sysctl: Sysctl,
    /// Behind rules of others: have the kernel track connections, by a table of our own that no packet meets.
    pub ask: bool,
    /// Bridged packets that are queued to us in the bridge's own family, and met by the IP hooks as well.
    pub br_netfilter: BrNetfilter,
    /// Receive buffer of the event listener.
    pub event_buffer_bytes: usize,
}

impl Default for Conntrack {
    fn default() -> Self {
        Conntrack { sysctl: Sysctl::Set, ask: true, br_netfilter: BrNetfilter::Refuse, event_buffer_bytes: 32 << 20 }
    }
}

/// `set` turns on what flow events need; `keep` only tells what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sysctl {
    Set,
    Keep,
}

impl Choice for Sysctl {
    const WORDS: &'static [(&'static str, Sysctl)] = &[("set", Sysctl::Set), ("keep", Sysctl::Keep)];
}

/// `refuse` ends the start where both have bridged packets; `allow` only tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrNetfilter {
    Refuse,
    Allow,
}

impl Choice for BrNetfilter {
    const WORDS: &'static [(&'static str, BrNetfilter)] =
        &[("refuse", BrNetfilter::Refuse), ("allow", BrNetfilter::Allow)];
}

impl Conntrack {
    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Conntrack {
        let mut conntrack = Conntrack::default();
        section.read_choice("sysctl", &mut conntrack.sysctl, report);
        section.read_bool("ask", &mut conntrack.ask, report);
        section.read_choice("br-netfilter", &mut conntrack.br_netfilter, report);
        section.read_size("event-buffer", 64 << 10..=1 << 30, &mut conntrack.event_buffer_bytes, report);
        section.finish(report);
        conntrack
    }
}
