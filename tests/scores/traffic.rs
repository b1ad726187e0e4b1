//! What Suricata 7.0.10 answered to a thousand captures, against what we answer: alerts by capture and sid, and records
//! of http, dns and tls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::Value;

use crate::data::on_all_cores;
use crate::replay::replay;
use crate::standard;

/// One line of `golden.jsonl`. The lists of records are cut at [`RECORDS_MAX`].
#[derive(Deserialize)]
struct Capture {
    pcap: String,
    name: String,
    alerts: BTreeMap<String, u64>,
    http: Vec<Value>,
    dns: Vec<Value>,
    tls: Vec<Value>,
}

const RECORDS_MAX: usize = 400;

#[derive(Default)]
struct Answer {
    alerts: BTreeMap<String, u64>,
    records: BTreeMap<&'static str, Vec<String>>,
    trouble: Option<String>,
}

/// How two collections compare.
#[derive(Clone, Copy, Default)]
struct Tally {
    both: usize,
    missed: usize,
    extra: usize,
}

impl Tally {
    fn row(self, name: &str) {
        let share = |of: usize| 100.0 * self.both as f64 / (self.both + of).max(1) as f64;
        let Tally { both, missed, extra } = self;
        let (recall, precision) = (share(missed), share(extra));
        println!(
            "{name:24} recall {recall:6.2} %  precision {precision:6.2} %  (same {both}, missed {missed}, extra {extra})"
        );
    }
}

pub fn run(folder: &Path) -> Result<(), Failed> {
    let rules = folder.join("../rules/reference.rules").canonicalize()?;
    let text = std::fs::read_to_string(folder.join("golden.jsonl"))?;
    let captures: Vec<Capture> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let answers = on_all_cores(&captures, |capture| ask(folder, &rules, capture));

    let (mut alerts, mut counts_equal) = (Tally::default(), 0);
    let mut records: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut passed = BTreeSet::new();
    for (capture, answer) in captures.iter().zip(&answers) {
        let place = format!("{} {}", capture.pcap, capture.name);
        if let Some(trouble) = &answer.trouble {
            return Err(format!("{place}: {trouble}").into());
        }
        let silent = capture.alerts.is_empty() && answer.alerts.is_empty();
        for sid in capture.alerts.keys().chain(answer.alerts.keys()).collect::<BTreeSet<_>>() {
            match (capture.alerts.get(sid), answer.alerts.get(sid)) {
                (Some(wanted), Some(got)) => {
                    alerts.both += 1;
                    counts_equal += usize::from(wanted == got);
                    passed.insert(format!("{} sid {sid}{}", capture.pcap, if wanted == got { " counted" } else { "" }));
                }
                (Some(_), None) => alerts.missed += 1,
                (None, _) => alerts.extra += 1,
            }
        }
        if silent {
            passed.insert(format!("{} silent", capture.pcap));
        }
        for (kind, wanted) in [("http", &capture.http), ("dns", &capture.dns), ("tls", &capture.tls)] {
            let wanted: Vec<String> = wanted.iter().map(|record| key(kind, record)).collect();
            let got = answer.records.get(kind).map_or(&[][..], Vec::as_slice);
            // A list that was cut says nothing of what was cut off.
            if wanted.len() < RECORDS_MAX {
                compare(records.entry(kind).or_default(), wanted, got);
            }
        }
    }
    println!("traffic ({} captures)", captures.len());
    alerts.row("alerts (capture, sid)");
    println!("{:24} {:.2} %", "counts equal", 100.0 * counts_equal as f64 / alerts.both.max(1) as f64);
    for (kind, tally) in &records {
        tally.row(kind);
    }
    standard::hold("traffic.txt", &passed)
}

fn ask(folder: &Path, rules: &Path, capture: &Capture) -> Answer {
    let mut arguments = vec!["-r".to_owned(), folder.join(&capture.pcap).to_string_lossy().into_owned()];
    arguments.extend(["-S".to_owned(), rules.to_string_lossy().into_owned()]);
    for word in ["-k", "none", "--set", "vars.address-groups.HOME_NET=any"] {
        arguments.push(word.to_owned());
    }
    arguments.extend(["--set", "vars.address-groups.EXTERNAL_NET=any"].map(str::to_owned));
    let replayed = replay(folder, &arguments);
    let mut answer = Answer { trouble: replayed.trouble, ..Answer::default() };
    for event in &replayed.events {
        match event["event_type"].as_str() {
            Some("alert") => *answer.alerts.entry(event["alert"]["signature_id"].to_string()).or_default() += 1,
            Some("http") => {
                let http = &event["http"];
                let record = [&http["http_method"], &http["hostname"], &http["url"], &http["status"]];
                answer.records.entry("http").or_default().push(format!("{record:?}"));
            }
            Some("dns") if event["dns"]["type"] == "query" || event["dns"]["type"] == "request" => {
                let dns = &event["dns"];
                let queries = dns["queries"].as_array().map_or(std::slice::from_ref(dns), Vec::as_slice);
                let names = queries.iter().map(|query| format!("{:?}", [&query["rrname"], &query["rrtype"]]));
                answer.records.entry("dns").or_default().extend(names);
            }
            Some("tls") => {
                let tls = &event["tls"];
                let record = [&tls["sni"], &tls["version"], &tls["subject"]];
                answer.records.entry("tls").or_default().push(format!("{record:?}"));
            }
            _ => {}
        }
    }
    answer
}

/// A reference record in the form of [`ask`]. JA3 (the third of a tls record) was off in the reference.
fn key(kind: &str, record: &Value) -> String {
    let fields: Vec<&Value> = record.as_array().into_iter().flatten().collect();
    match (kind, fields.as_slice()) {
        ("tls", [sni, version, _, subject]) => format!("{:?}", [sni, version, subject]),
        (_, fields) => format!("{fields:?}"),
    }
}

fn compare(tally: &mut Tally, wanted: Vec<String>, got: &[String]) {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for record in got {
        *left.entry(record).or_default() += 1;
    }
    let mut both = 0;
    for record in &wanted {
        if let Some(count) = left.get_mut(record.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            both += 1;
        }
    }
    tally.both += both;
    tally.missed += wanted.len() - both;
    tally.extra += got.len() - both;
}
