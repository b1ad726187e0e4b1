//! What should have happened against what did: the client's view, the server's view and eve.json must all agree.

use std::io;

use serde::Serialize;

use super::cases::{Case, Expect, Family, Traffic};
use super::client::Observed;
use super::eve::Event;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub sent: String,
    pub over: &'static str,
    pub should: String,
    pub happened: String,
    pub sid: Option<u32>,
    pub ok: bool,
}

/// A case and both ends' view of it.
#[derive(Debug)]
pub struct Trial<'c> {
    pub case: &'c Case,
    pub seen_by_client: io::Result<Observed>,
    /// Requests that reached the server; `None` where the kernel answers and nobody counts.
    pub arrived: Option<usize>,
}

impl Trial<'_> {
    /// Whether eve.json holds what this case must leave there: looked at until it does, for the writer lags behind.
    #[must_use]
    pub fn is_recorded(&self, events: &[Event]) -> bool {
        let Some(sid) = self.case.expect.sid() else { return true };
        self.has(events, "alert", Some(sid)) && self.has(events, "drop", None)
    }

    #[must_use]
    pub fn judge(&self, events: &[Event]) -> Row {
        let (happened, ok) = match &self.seen_by_client {
            Ok(observed) => (self.describe(observed, events), self.is_as_expected(observed, events)),
            Err(error) => (format!("cannot send: {error}"), false),
        };
        Row {
            sent: self.case.sent.to_owned(),
            over: over(self.case.family),
            should: should(self.case.expect),
            happened,
            sid: self.case.expect.sid(),
            ok,
        }
    }

    fn is_as_expected(&self, observed: &Observed, events: &[Event]) -> bool {
        let arrived_is = |count| self.arrived.is_none_or(|arrived| arrived == count);
        match self.case.expect {
            Expect::Pass => {
                observed.answered == observed.sent && arrived_is(observed.sent) && self.findings(events).is_empty()
            }
            Expect::Block { passing, .. } => {
                observed.answered == passing && arrived_is(passing) && self.is_recorded(events)
            }
            Expect::BlockInTheEnd { .. } => !observed.last_answered && self.is_recorded(events),
        }
    }

    fn describe(&self, observed: &Observed, events: &[Event]) -> String {
        let mut parts = vec![format!("{} of {} answered", observed.answered, observed.sent)];
        if observed.answered < observed.sent && observed.instead != "nothing" {
            parts.push(format!("then {}", observed.instead));
        }
        match self.arrived {
            Some(arrived) if arrived == observed.answered => {}
            Some(arrived) => parts.push(format!("{arrived} arrived")),
            None => {}
        }
        if self.case.expect == Expect::Pass && observed.answered == observed.sent {
            parts.push(format!("{:.1} ms", observed.took.as_secs_f64() * 1000.0));
        }
        parts.extend(self.findings(events));
        parts.join(", ")
    }

    /// Alerts and drops that concern this case, each kind once.
    fn findings(&self, events: &[Event]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for event in events.iter().filter(|event| self.concerns(event)) {
            let finding = match (event.event_type.as_str(), event.sid()) {
                ("alert", sid) if sid == self.case.expect.sid() => "alert".to_owned(),
                ("alert", sid) => format!("alert {}", sid.unwrap_or_default()),
                ("drop", _) => "drop".to_owned(),
                _ => continue,
            };
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        found.sort();
        found
    }

    fn has(&self, events: &[Event], event_type: &str, sid: Option<u32>) -> bool {
        events.iter().any(|event| event.is(event_type) && (sid.is_none() || event.sid() == sid) && self.concerns(event))
    }

    fn concerns(&self, event: &Event) -> bool {
        let locals = self.seen_by_client.as_ref().map(|observed| observed.locals.as_slice()).unwrap_or_default();
        locals.iter().any(|local| event.concerns(*local))
    }
}

/// The row as it stands before anything is sent.
#[must_use]
pub fn plan(case: &Case) -> Row {
    Row {
        sent: case.sent.to_owned(),
        over: over(case.family),
        should: should(case.expect),
        happened: String::new(),
        sid: case.expect.sid(),
        ok: false,
    }
}

/// Whether the server counts what arrives of such traffic.
#[must_use]
pub fn is_counted_by_server(traffic: Traffic) -> bool {
    !matches!(traffic, Traffic::Ping { .. } | Traffic::Scan { .. })
}

fn over(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn should(expect: Expect) -> String {
    match expect {
        Expect::Pass => "pass".to_owned(),
        Expect::Block { passing: 0, .. } => "be dropped".to_owned(),
        Expect::Block { passing, .. } => format!("be dropped after {passing}"),
        Expect::BlockInTheEnd { .. } => "be stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cases::{ATTACKS, BENIGN};
    use super::*;

    const ATTACKER: &str = "10.71.1.66:5000";

    fn observed(sent: usize, answered: usize) -> Observed {
        let locals = vec![ATTACKER.parse().unwrap()];
        let last_answered = answered == sent;
        Observed { locals, sent, answered, last_answered, instead: "nothing", took: Duration::from_millis(2) }
    }

    fn event(event_type: &str, src_port: u16, sid: u32) -> Event {
        let text = format!(
            r#"{{"event_type":"{event_type}","src_ip":"10.71.1.66","src_port":{src_port},
                "dest_ip":"10.71.2.80","dest_port":80,"alert":{{"signature_id":{sid}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn ok(case: &Case, observed: Observed, arrived: usize, events: &[Event]) -> bool {
        Trial { case, seen_by_client: Ok(observed), arrived: Some(arrived) }.judge(events).ok
    }

    #[test]
    fn benign_traffic_passes_whole_and_unmentioned() {
        let case = &BENIGN[0];
        assert!(ok(case, observed(1, 1), 1, &[]));
        assert!(!ok(case, observed(1, 0), 1, &[]), "no answer");
        assert!(!ok(case, observed(1, 1), 0, &[]), "answered by someone else");
        assert!(!ok(case, observed(1, 1), 1, &[event("alert", 5000, 1)]), "a false alarm");
        assert!(ok(case, observed(1, 1), 1, &[event("alert", 5001, 1)]), "another connection's alert");
    }

    #[test]
    fn an_attack_is_dropped_at_both_ends_and_recorded() {
        let case = &ATTACKS[0];
        let sid = case.expect.sid().unwrap();
        let recorded = [event("alert", 5000, sid), event("drop", 5000, sid)];
        assert!(ok(case, observed(1, 0), 0, &recorded));
        assert!(!ok(case, observed(1, 1), 1, &recorded), "answered");
        assert!(!ok(case, observed(1, 0), 1, &recorded), "the request arrived, only the answer was dropped");
        assert!(!ok(case, observed(1, 0), 0, &recorded[..1]), "no drop event");
        assert!(!ok(case, observed(1, 0), 0, &[event("alert", 5000, 1), recorded[1].clone()]), "another rule");
        assert!(!ok(case, observed(1, 0), 0, &[]), "dropped without a word");
    }

    #[test]
    fn what_cannot_be_sent_is_not_ok() {
        let trial = Trial { case: &BENIGN[0], seen_by_client: Err(io::ErrorKind::TimedOut.into()), arrived: Some(0) };
        assert!(!trial.judge(&[]).ok);
    }
}
