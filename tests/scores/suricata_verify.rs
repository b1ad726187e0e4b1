//! The tests of suricata-verify that need no other program: rules, a capture, and the events that must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::data::on_all_cores;
use crate::replay::{field, replay};
use crate::standard;

/// One line of `tests.jsonl`.
#[derive(Deserialize)]
struct Test {
    test: String,
    class: String,
    pcap: String,
    rules: Vec<String>,
    args: Option<Vec<String>>,
    set: Option<Map<String, Value>>,
    simulate_ips: bool,
    et_subset: bool,
    family: Option<String>,
    expect: Vec<Expectation>,
}

/// Exactly `count` events of this kind.
#[derive(Deserialize)]
struct Expectation {
    event: String,
    sid: Option<u64>,
    #[serde(default)]
    count: usize,
    #[serde(default)]
    extra: Option<Map<String, Value>>,
}

pub fn run(folder: &Path) -> Result<(), Failed> {
    let text = std::fs::read_to_string(folder.join("tests.jsonl"))?;
    let tests: Vec<Test> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let results = on_all_cores(&tests, |test| judge(folder, test));

    let mut families: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut passed = BTreeSet::new();
    for (test, result) in tests.iter().zip(&results) {
        for row in rows(test) {
            let [good, all] = families.entry(row).or_default();
            *good += usize::from(result.is_ok());
            *all += 1;
        }
        match result {
            Ok(()) => drop(passed.insert(test.test.clone())),
            Err(why) if std::env::var_os("TIDEGATE_SCORES_LIST").is_some() => println!("  {}: {why}", test.test),
            Err(_) => {}
        }
    }
    println!("suricata-verify                     passed");
    for (family, [good, all]) in &families {
        println!("{family:32} {good:4} of {all:4}");
    }
    standard::hold("suricata-verify.txt", &passed)
}

/// The rows of the table that a test counts in.
fn rows(test: &Test) -> Vec<String> {
    let family = test.family.as_deref().unwrap_or("other");
    let mut rows = vec![format!("family {family}")];
    if test.test.contains("evader") || family.contains("evader") {
        return rows;
    }
    rows.push(format!("class {}", test.class.chars().next().unwrap_or('?')));
    if test.et_subset {
        rows.push("class: ET keywords only".to_owned());
    }
    if test.simulate_ips {
        rows.push("class: IPS mode".to_owned());
    }
    rows
}

fn judge(folder: &Path, test: &Test) -> Result<(), String> {
    let home = folder.join(test.test.replace('/', "__"));
    let rules = tempfile::NamedTempFile::with_suffix(".rules").unwrap();
    let texts: Vec<u8> = test
        .rules
        .iter()
        .flat_map(|name| std::fs::read(home.join(name)).unwrap_or_default().into_iter().chain([b'\n']))
        .collect();
    std::fs::write(rules.path(), texts).unwrap();

    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut arguments = vec!["-r".to_owned(), path(&folder.join(&test.pcap)), "-S".to_owned(), path(rules.path())];
    if test.args.iter().flatten().any(|argument| argument.contains("-k none")) {
        arguments.extend(["-k", "none"].map(str::to_owned));
    }
    for (key, value) in test.set.iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        arguments.extend(["--set".to_owned(), format!("{key}={}", value.replace("${TEST_DIR}", &path(&home)))]);
    }
    if test.simulate_ips {
        arguments.push("--ips".to_owned());
    }
    let replayed = replay(&home, &arguments);
    for expectation in &test.expect {
        let count = replayed.events.iter().filter(|event| is_meant(expectation, event)).count();
        if count != expectation.count {
            let sid = expectation.sid.map_or("any".to_owned(), |sid| sid.to_string());
            let trouble = replayed.trouble.map_or(String::new(), |trouble| format!(" ({trouble})"));
            let Expectation { event, count: wanted, .. } = expectation;
            return Err(format!("{event} of sid {sid}: {count}, wanted {wanted}{trouble}"));
        }
    }
    Ok(())
}

fn is_meant(expectation: &Expectation, event: &Value) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    event["event_type"] == expectation.event.as_str()
        && expectation.sid.is_none_or(|sid| field(event, "alert.signature_id") == &Value::from(sid))
        && expectation.extra.iter().flatten().all(|(path, wanted)| text(field(event, path)) == text(wanted))
}
