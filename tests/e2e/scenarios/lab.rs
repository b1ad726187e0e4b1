//! `tidegate lab`, what `make demo` shows: the whole program as a newcomer meets it.

use std::process::Command;

use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::binary;

/// Every row and every check of the lab is as it should be.
pub const LAB: Scenario = Scenario { name: "lab", needs: &[Need::Queue], seconds_max: 60, run: lab };

fn lab() {
    let output = Command::new(binary()).args(["lab", "--json"]).output().expect("the program runs");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let rows = |table: &str| report[table].as_array().expect("a table").clone();
    let (traffic, checks) = (rows("traffic"), rows("checks"));
    assert!(traffic.len() >= 20 && checks.len() >= 5, "the tables are complete: {report:#}");
    let wrong: Vec<_> = traffic.iter().chain(&checks).filter(|row| row["ok"] != true).collect();
    assert!(
        wrong.is_empty() && output.status.success(),
        "{:#} in mode {}",
        Value::from_iter(wrong.into_iter().cloned()),
        report["mode"]
    );
    println!("{} in {} s", report["mode"], report["seconds"]);
}
