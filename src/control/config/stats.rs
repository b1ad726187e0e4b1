//! `stats:` how often the counters are written.

/// The section `stats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    pub enabled: bool,
    pub interval_s: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Stats { enabled: true, interval_s: 8 }
    }
}
