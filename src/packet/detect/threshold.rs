//! How often a rule speaks, counted across flows and workers.

use super::state::{Entry, SharedDetectState, after, port_key, threshold_key};
use super::{FlowView, Headers, Rule};
use crate::packet::ingress::Timestamp;
use crate::rules::meta::RuleAction;
use crate::rules::plan::{PortSide, RateFilter, Suppression, Threshold, ThresholdKind, Track};

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
pub(super) fn count(
    rule: &Rule,
    headers: &Headers<'_>,
    flow: Option<&mut FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> Said {
    let suppressed = rule.suppressions.iter().any(|suppression| keeps_back(suppression, headers));
    let condition = |threshold: &Threshold| matches!(threshold.kind, ThresholdKind::DetectionFilter { .. });
    // What is suppressed is not counted either, except where counting is the rule's own condition.
    if suppressed && !rule.threshold.as_ref().is_some_and(condition) {
        return Said::Quiet;
    }
    let Some(threshold) = &rule.threshold else { return Said::Alert };
    let full = if condition(threshold) { Said::Nothing } else { Said::Alert };
    let counter = Counter { rule, track: threshold.track, of_rate: false };
    let said = match threshold.kind {
        ThresholdKind::DetectionFilter { distinct: Some(side) } => {
            count_port(rule, threshold, port(side, headers), headers, shared, now)
        }
        _ => counter.update(headers, flow, shared, now, |entry| step(threshold, entry, now)),
    };
    let said = said.unwrap_or(full);
    if suppressed && said == Said::Alert { Said::Quiet } else { said }
}

fn port(side: PortSide, headers: &Headers<'_>) -> u16 {
    let (src, dst) = headers.ports();
    match side {
        PortSide::Source => src,
        PortSide::Destination => dst,
    }
}

/// Counts a port once an interval. Its own entry ends with that of the count, which tells the intervals apart.
fn count_port(
    rule: &Rule,
    threshold: &Threshold,
    port: u16,
    headers: &Headers<'_>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> Option<Said> {
    let key = threshold_key(rule.meta.gid, rule.meta.sid, threshold.track, false, headers);
    let until = shared.update(key, now, |entry| {
        if entry.is_over(now) {
            *entry = Entry { until: after(now, threshold.seconds), count: 0 };
        }
        entry.until
    })?;
    let is_new = shared.update(port_key(key, port)?, now, |seen| {
        let is_new = seen.until != until;
        *seen = Entry { until, count: 0 };
        is_new
    })?;
    shared.update(key, now, |entry| {
        entry.count = entry.count.saturating_add(u32::from(is_new));
        if entry.count > threshold.count { Said::Alert } else { Said::Nothing }
    })
}

/// The action that a match has by its rate, if that is another one than the rule's.
pub(super) fn action_by_rate(
    rule: &Rule,
    headers: &Headers<'_>,
    flow: Option<&mut FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> Option<RuleAction> {
    let rate = rule.rate?;
    let counter = Counter { rule, track: rate.track, of_rate: true };
    let exceeded = counter.update(headers, flow, shared, now, |entry| exceeds(&rate, entry, now)).unwrap_or(false);
    exceeded.then_some(rate.new_action)
}

/// Whether the new action holds. A count of [`HOLDS`] says that it does until the entry ends.
fn exceeds(rate: &RateFilter, entry: &mut Entry, now: Timestamp) -> bool {
    const HOLDS: u32 = u32::MAX;
    if entry.is_over(now) {
        *entry = Entry { until: after(now, rate.seconds), count: 0 };
    }
    if entry.count != HOLDS {
        entry.count = entry.count.saturating_add(1).min(HOLDS - 1);
        if entry.count <= rate.count {
            return false;
        }
        *entry = Entry { until: after(now, rate.timeout), count: HOLDS };
    }
    true
}

/// Where the matches of a rule are counted.
struct Counter<'r> {
    rule: &'r Rule,
    track: Track,
    of_rate: bool,
}

impl Counter<'_> {
    /// `None` if there is no room for a new entry, or no flow to count by.
    fn update<R>(
        &self,
        headers: &Headers<'_>,
        flow: Option<&mut FlowView<'_>>,
        shared: &SharedDetectState,
        now: Timestamp,
        change: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let (gid, sid) = (self.rule.meta.gid, self.rule.meta.sid);
        match self.track {
            Track::Flow => flow?.state.update_count((gid, sid, self.of_rate), change),
            track => shared.update(threshold_key(gid, sid, track, self.of_rate, headers), now, change),
        }
    }
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

fn step(threshold: &Threshold, entry: &mut Entry, now: Timestamp) -> Said {
    if entry.is_over(now) {
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
        ThresholdKind::DetectionFilter { .. } if entry.count > threshold.count => Said::Alert,
        ThresholdKind::DetectionFilter { .. } => Said::Nothing,
        ThresholdKind::Backoff { multiplier } if is_power(entry.count, threshold.count, multiplier) => Said::Alert,
        ThresholdKind::Backoff { .. } => Said::Quiet,
    }
}

/// Whether `number` is `first` times a power of `base`.
fn is_power(number: u32, first: u32, base: u32) -> bool {
    let Some(mut left) = number.checked_div(first).filter(|times| times.checked_mul(first) == Some(number)) else {
        return false;
    };
    while base > 1 && left > 1 && left.is_multiple_of(base) {
        left /= base;
    }
    left == 1
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, udp};
    use super::*;
    use crate::packet::decode::{Transport, Udp};

    #[test]
    fn each_kind_speaks_as_documented() {
        use Said::{Alert, Nothing, Quiet};
        // One event in 1.1 seconds; the interval is five seconds, so the sixth event begins a new one.
        let cases = [
            (ThresholdKind::Limit, [Alert, Alert, Quiet, Quiet, Quiet, Alert, Alert]),
            (ThresholdKind::Threshold, [Nothing, Alert, Nothing, Alert, Nothing, Nothing, Alert]),
            (ThresholdKind::Both, [Nothing, Alert, Quiet, Quiet, Quiet, Nothing, Alert]),
            (ThresholdKind::Backoff { multiplier: 2 }, [Quiet, Alert, Quiet, Alert, Quiet, Quiet, Alert]),
            (
                ThresholdKind::DetectionFilter { distinct: None },
                [Nothing, Nothing, Alert, Alert, Alert, Nothing, Nothing],
            ),
        ];
        for (kind, expected) in cases {
            let threshold = Threshold { kind, track: Track::Source, count: 2, seconds: 5 };
            let mut entry = Entry { until: Timestamp::default(), count: 0 };
            let start = 1_000_000_000;
            let said: Vec<Said> =
                (0..7).map(|n| step(&threshold, &mut entry, Timestamp::from_micros(start + n * 1_100_000))).collect();
            assert_eq!(said, expected, "{kind:?}");
        }
    }

    #[test]
    fn an_interval_has_its_last_moment() {
        let threshold = Threshold { kind: ThresholdKind::Limit, track: Track::Source, count: 1, seconds: 5 };
        let mut entry = Entry { until: Timestamp::default(), count: 0 };
        let said =
            [10_000_000, 15_000_000, 15_000_001].map(|at| step(&threshold, &mut entry, Timestamp::from_micros(at)));
        assert_eq!(said, [Said::Alert, Said::Quiet, Said::Alert]);
    }

    #[test]
    fn backoff_tells_ever_less() {
        let told = |count, multiplier| (1..=6_676).filter(|number| is_power(*number, count, multiplier)).count();
        assert_eq!([told(1, 2), told(3, 2), told(5, 5)], [13, 12, 5]);
    }

    #[test]
    fn a_rate_changes_the_action_for_a_while() {
        let rate = RateFilter { track: Track::Rule, count: 2, seconds: 10, new_action: RuleAction::Drop, timeout: 2 };
        let mut entry = Entry { until: Timestamp::default(), count: 0 };
        let start = 1_000_000_000;
        // A match a second: the third is too much, the action holds two seconds longer, and counting begins anew.
        let held: Vec<bool> =
            (0..9).map(|n| exceeds(&rate, &mut entry, Timestamp::from_micros(start + n * 1_000_000))).collect();
        assert_eq!(held, [false, false, true, true, true, false, false, true, true]);
    }

    #[test]
    fn a_detection_filter_may_count_ports_and_not_packets() {
        let mut bench = Bench::whole(
            "alert udp any any -> any any (detection_filter:track by_src, count 1, seconds 60, unique_on dst_port; sid:1;)",
        );
        let mut alerts = |dst_port| {
            let mut headers = udp(b"x");
            headers.transport = Transport::Udp(Udp { src_port: 40000, dst_port, len: 0, checksum: 0, header: &[] });
            !bench.outcome(&headers, None).0.is_empty()
        };
        assert_eq!([53, 53, 53, 54, 53, 55].map(&mut alerts), [false, false, false, true, true, true]);
    }
}
