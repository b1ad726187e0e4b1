//! What the figures are to be: ratios of one run.

use std::fmt::Write as _;

use serde::Serialize;

use super::report::Report;

const GATE: &str = "tidegate, 31k rules";
const PEER: &str = "suricata, 31k rules";
const NULL: &str = "null, GSO, batches";

/// A ratio, what it has to be, and what it is; without a value it was not measured.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    pub what: &'static str,
    pub wanted: f64,
    /// More is better, or less is.
    pub at_least: bool,
    pub found: Option<f64>,
}

impl Target {
    fn is_met(&self) -> Option<bool> {
        let found = self.found?;
        Some(if self.at_least { found >= self.wanted } else { found <= self.wanted })
    }
}

pub fn judge(report: &Report) -> Vec<Target> {
    let ratio = |load, ours, theirs| Some(report.value(load, ours)? / report.value(load, theirs)?);
    let p99 = |contender| report.median_of("latency", contender, |run| run.latency.map_or(f64::NAN, |of| of.p99));
    let p999 = |contender| report.median_of("latency", contender, |run| run.latency.map_or(f64::NAN, |of| of.p999));
    let of = |upper: Option<f64>, lower: Option<f64>| Some(upper? / lower?);
    let memory = |contender| report.fact_of(contender, "memory, after all loads, at most");
    let growth = |what| report.fact_of("growth", what);
    let at_least = |what, wanted, found| Target { what, wanted, at_least: true, found };
    let at_most = |what, wanted, found| Target { what, wanted, at_least: false, found };
    vec![
        at_least("bulk TCP, to Suricata", 5.0, ratio("tcp-1", GATE, PEER)),
        at_least("bulk TCP, to the null loop", 0.8, ratio("tcp-1", GATE, NULL)),
        at_least("bulk TCP, depth only, to the null loop", 0.8, ratio("tcp-1", "tidegate, 31k, depth only", NULL)),
        at_least(
            "bulk TCP cleared beyond depth, to no queue",
            0.9,
            ratio("tcp-both", "tidegate, 31k, bypass", "no queue"),
        ),
        at_least("HTTP with a connection each, to Suricata", 2.0, ratio("http-each", GATE, PEER)),
        at_least("HTTP keep-alive, to Suricata", 2.5, ratio("http-keep", GATE, PEER)),
        at_least("UDP 64 B, to the null loop", 0.85, ratio("udp-64", GATE, NULL)),
        at_least("UDP 64 B, to Suricata", 1.5, ratio("udp-64", GATE, PEER)),
        at_most("latency p50, to the null loop", 1.3, ratio("latency", GATE, NULL)),
        at_most("latency p99, to the null loop", 1.5, of(p99(GATE), p99(NULL))),
        at_most("latency p50, to Suricata", 1.0, ratio("latency", GATE, PEER)),
        at_most("latency p99, to Suricata", 1.0, of(p99(GATE), p99(PEER))),
        at_most("latency p99.9, to Suricata", 1.0, of(p999(GATE), p999(PEER))),
        at_most("memory, to Suricata", 0.5, of(memory(GATE), memory(PEER))),
        at_most("memory of an idle flow, bytes", 512.0, growth("bytes a flow")),
        at_most("packets lost under twice the load", 0.0, report.fact_of("overload", "lost")),
        at_most("error of the ledger, packets", 0.0, report.fact_of("overload", "error of the ledger")),
        at_most("cost a packet, 31k rules to 1k", 1.3, growth("31k rules to 1k")),
        at_most("cost a packet, 1M flows to 1k", 1.5, growth("1M flows to 1k")),
    ]
}

pub fn table(targets: &[Target]) -> String {
    let mut text = format!("\n{:<46} {:>9} {:>9}\n", "target", "wanted", "found");
    for target in targets {
        let sign = if target.at_least { ">=" } else { "<=" };
        let found = target.found.map_or_else(|| "-".to_owned(), |found| format!("{found:.2}"));
        let verdict = match target.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let _ = writeln!(text, "{:<46} {sign} {:>6.2} {found:>9}  {verdict}", target.what, target.wanted);
    }
    text
}
