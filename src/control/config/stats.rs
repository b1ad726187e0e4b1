//! `stats:` how often the counters are written.

use super::report::Report;
use super::section::Section;

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

impl Stats {
    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Stats {
        let mut stats = Stats::default();
        section.read_bool("enabled", &mut stats.enabled, report);
        section.read_seconds("interval", 1..=86_400, &mut stats.interval_s, report);
        section.not_honoured(&["decoder-events", "decoder-events-prefix", "stream-events"], report);
        section.finish(report);
        stats
    }
}
