//! `flow:` caps on what hangs on connections.

use super::policy::OnTrouble;
use super::report::Report;
use super::section::Section;

/// The section `flow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Flows known at once, over all queues. Beyond it `policy.flow-memcap` decides.
    pub count_max: usize,
    /// How often flows are compared with the kernel's table, for events may get lost.
    pub sweep_interval_s: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Flow { count_max: 524_288, sweep_interval_s: 60 }
    }
}

impl Flow {
    /// `memcap` is Suricata's place for what `policy.flow-memcap` says.
    pub(super) fn read(mut section: Section<'_>, memcap: &mut OnTrouble, report: &mut Report) -> Flow {
        let mut flow = Flow::default();
        section.read_number("count-max", 1..=100_000_000, &mut flow.count_max, report);
        section.read_seconds("sweep-interval", 1..=86_400, &mut flow.sweep_interval_s, report);
        section.read_choice("memcap-policy", memcap, report);
        section.not_honoured(&SURICATA, report);
        section.finish(report);
        flow
    }
}

/// Sizes of a flow table that we do not have: the kernel's is the one.
const SURICATA: [&str; 7] =
    ["memcap", "hash-size", "prealloc", "emergency-recovery", "prune-flows", "managers", "recyclers"];
