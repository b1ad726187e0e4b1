//! How often a rule speaks, counted across flows and workers.

use super::state::{Entry, SharedDetectState, after, threshold_key};
use super::{Headers, Rule};
use crate::packet::ingress::Timestamp;
use crate::rules::plan::{Suppression, Threshold, ThresholdKind};

/// What a match amounts to once its threshold was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Alert,
    /// The match stands and its action is taken; only the alert is left out.
    Quiet,
    /// As if the rule had not matched.
    Nothing,
}

/// Counts a match. Where the table is full the match is told: a threshold is there to spare the reader, not the attacker,
/// except for `detection_filter`, which is part of the rule's condition.
pub(super) fn count(rule: &Rule, headers: &Headers<'_>, shared: &SharedDetectState, now: Timestamp) -> Said {
    let suppressed = rule.suppressions.iter().any(|suppression| keeps_back(suppression, headers));
    let condition = |threshold: &Threshold| threshold.kind == ThresholdKind::DetectionFilter;
    // What is suppressed is not counted either, except where counting is the rule's own condition.
    if suppressed && !rule.threshold.as_ref().is_some_and(condition) {
        return Said::Quiet;
    }
    let said = rule.threshold.as_ref().map_or(Said::Alert, |threshold| counted(rule, threshold, headers, shared, now));
    if suppressed && said == Said::Alert { Said::Quiet } else { said }
}

fn keeps_back(suppression: &Suppression, headers: &Headers<'_>) -> bool {
    let ip = &headers.ip;
    match suppression {
        Suppression::Always => true,
        Suppression::Source(set) => set.contains(ip.src),
        Suppression::Destination(set) => set.contains(ip.dst),
        Suppression::Either(set) => set.contains(ip.src) || set.contains(ip.dst),
    }
}

fn counted(
    rule: &Rule,
    threshold: &Threshold,
    headers: &Headers<'_>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> Said {
    let key = threshold_key(rule.meta.gid, rule.meta.sid, threshold.track, headers);
    let full = match threshold.kind {
        ThresholdKind::DetectionFilter => Said::Nothing,
        _ => Said::Alert,
    };
    shared.update(key, now, |entry| step(threshold, entry, now)).unwrap_or(full)
}

fn step(threshold: &Threshold, entry: &mut Entry, now: Timestamp) -> Said {
    if now >= entry.until {
        *entry = Entry { until: after(now, threshold.seconds), count: 0 };
    }
    entry.count = entry.count.saturating_add(1);
    match threshold.kind {
        ThresholdKind::Limit if entry.count <= threshold.count => Said::Alert,
        ThresholdKind::Limit => Said::Quiet,
        ThresholdKind::Threshold if entry.count >= threshold.count => {
            entry.count = 0;
            Said::Alert
        }
        ThresholdKind::Threshold => Said::Nothing,
        ThresholdKind::Both if entry.count == threshold.count => Said::Alert,
        ThresholdKind::Both if entry.count > threshold.count => Said::Quiet,
        ThresholdKind::Both => Said::Nothing,
        ThresholdKind::DetectionFilter if entry.count > threshold.count => Said::Alert,
        ThresholdKind::DetectionFilter => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::plan::Track;

    #[test]
    fn each_kind_speaks_as_documented() {
        use Said::{Alert, Nothing, Quiet};
        // One event a second; the interval is five seconds, so the sixth event begins a new one.
        let cases = [
            (ThresholdKind::Limit, [Alert, Alert, Quiet, Quiet, Quiet, Alert, Alert]),
            (ThresholdKind::Threshold, [Nothing, Alert, Nothing, Alert, Nothing, Nothing, Alert]),
            (ThresholdKind::Both, [Nothing, Alert, Quiet, Quiet, Quiet, Nothing, Alert]),
            (ThresholdKind::DetectionFilter, [Nothing, Nothing, Alert, Alert, Alert, Nothing, Nothing]),
        ];
        for (kind, expected) in cases {
            let threshold = Threshold { kind, track: Track::Source, count: 2, seconds: 5 };
            let mut entry = Entry { until: Timestamp::default(), count: 0 };
            let start = 1_000_000_000;
            let said: Vec<Said> =
                (0..7).map(|n| step(&threshold, &mut entry, Timestamp::from_micros(start + n * 1_000_000))).collect();
            assert_eq!(said, expected, "{kind:?}");
        }
    }
}
