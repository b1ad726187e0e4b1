//! Twice what the gate can carry, in queries that it has to parse and to log: nothing may be lost, others must not wait, and what
//! went by unseen must be told.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::bed::Bed;
use super::contender::Kind;
use super::load::flood::{Flood, Shape, What};
use super::load::probe;
use super::report::Report;

const FLOWS: u32 = 64;

pub fn run(beds: &[Bed], seconds: f64, report: &mut Report) {
    let loaded =
        |bed: &&Bed| bed.contender.name == "tidegate, 31k rules" && matches!(bed.contender.kind, Kind::Tidegate { .. });
    let Some(bed) = beds.iter().find(loaded) else { return };
    if let Err(wrong) = overload(bed, seconds, report) {
        report.failed(bed.contender.name, "overload", &wrong);
    }
}

fn overload(bed: &Bed, seconds: f64, report: &mut Report) -> Result<(), String> {
    let capacity = capacity(bed)?;
    report.fact("overload", "what the gate can carry", capacity, "packets/s");
    let before = (bed.counted(), ledger(bed)?);
    let flood = Flood::start(bed, Shape { what: What::Queries, flows: FLOWS, per_second: Some(capacity * 2.0) });
    sleep(Duration::from_millis(300));
    let latency = probe::run(bed, seconds)?;
    let sent = flood.finish()?;
    // What waits is still answered.
    sleep(Duration::from_secs(1));
    let (counted, after) = (bed.counted().since(&before.0), ledger(bed)?);
    let probes = counted.forwarded.saturating_sub(sent);
    // Of the probes the server's side sees the questions, half of what is forwarded.
    let arrived = counted.delivered.saturating_sub(probes / 2);
    report.fact("overload", "offered", sent as f64 / capacity / (seconds + 0.3), "times capacity");
    report.fact("overload", "lost", sent.saturating_sub(arrived) as f64, "packets");
    report.fact("overload", "passed uninspected", counted.unseen() as f64, "packets");
    // Every packet that was forwarded is in one of its columns.
    let told = after.told - before.1.told;
    report.fact("overload", "error of the ledger", (told - counted.forwarded as f64).abs(), "packets");
    report.fact("overload", "latency of others, p50", latency.p50, "us");
    report.fact("overload", "latency of others, p99", latency.p99, "us");
    report.fact("overload", "latency of others, at most", latency.most, "us");
    report.fact("overload", "probes lost", latency.lost as f64, "packets");
    Ok(())
}

/// Packets in a second of its processor time.
fn capacity(bed: &Bed) -> Result<f64, String> {
    let flood = Flood::start(bed, Shape { what: What::Queries, flows: FLOWS, per_second: None });
    sleep(Duration::from_millis(300));
    let before = bed.counted();
    sleep(Duration::from_secs(2));
    let counted = bed.counted().since(&before);
    flood.finish()?;
    sleep(Duration::from_secs(1));
    Ok(counted.seen() as f64 / 2.0)
}

struct Ledger {
    /// Judged, passed uninspected, dropped by the kernel, waiting: all together.
    told: f64,
}

/// What the gate itself says.
fn ledger(bed: &Bed) -> Result<Ledger, String> {
    let dir = &bed.server_process.as_ref().ok_or("no gate")?.dir;
    let mut command: Command = bed.gateway.command(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["status", "--json", "--socket"]).arg(dir.join("socket"));
    let output = command.output().map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("status: {error}"))?;
    let ledger = &said["stats"]["ledger"];
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let uninspected: f64 =
        ledger["uninspected"].as_object().into_iter().flatten().map(|(_, value)| number(value)).sum();
    let rest = ["judged", "kernel_drops", "waiting"].into_iter().map(|key| number(&ledger[key])).sum::<f64>();
    Ok(Ledger { told: uninspected + rest })
}
