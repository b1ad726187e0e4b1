//! `conntrack:` how we live with the kernel's table.

/// The section `conntrack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// What to do about `nf_conntrack_events`, `_acct` and `_timestamp`.
    pub sysctl: Sysctl,
    /// Receive buffer of the event listener.
    pub event_buffer_bytes: usize,
}

impl Default for Conntrack {
    fn default() -> Self {
        Conntrack { sysctl: Sysctl::Set, event_buffer_bytes: 32 << 20 }
    }
}

/// `set` turns on what flow events need; `keep` only tells what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sysctl {
    Set,
    Keep,
}
