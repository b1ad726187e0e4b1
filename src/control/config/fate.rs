//! `fate:` where a connection's fate is written in its conntrack entry.

use crate::packet::conntrack::FateMask;

/// The section `fate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    pub store: FateStore,
    /// Our bits of the conntrack mark.
    pub mask: FateMask,
}

impl Default for Fate {
    fn default() -> Self {
        Fate { store: FateStore::Auto, mask: FateMask::default() }
    }
}

/// `auto` looks for other users of the same bits, then picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateStore {
    Auto,
    Label,
    Mark,
}
