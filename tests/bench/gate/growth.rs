//! Cost as work grows: how much processor time the gate takes for one packet of a flood, with more rules and with more
//! connections. And what an idle connection costs in memory.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::bed::Bed;
use super::contender::{Contender, Kind, Means};
use super::figures::median;
use super::load::flood::{Flood, Shape, What};
use super::report::Report;

const ROUNDS: usize = 5;
const RULES: [(&str, usize); 4] = [("0", 0), ("1k", 1_000), ("10k", 10_000), ("31k", usize::MAX)];
const FLOWS: [(&str, u32); 4] = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000)];
/// Room for all of them in the kernel's table, which all namespaces share the limit of.
const CONNTRACK_MAX: u64 = 2_000_000;
const CONNTRACK_LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const CONNTRACK_BUCKETS: &str = "/proc/sys/net/netfilter/nf_conntrack_buckets";
const BUCKETS: u64 = 1 << 19;
const FILL_MAX: Duration = Duration::from_secs(60);
const BYTES: usize = 512;

pub fn run(means: &Means, quick: bool, report: &mut Report) {
    let window = Duration::from_millis(if quick { 700 } else { 2000 });
    with_rules(means, window, report);
    let _limits = [Raised::to(CONNTRACK_LIMIT, CONNTRACK_MAX), Raised::to(CONNTRACK_BUCKETS, BUCKETS)];
    // The first and the last say what the target asks.
    let flows = if quick { vec![FLOWS[0], FLOWS[FLOWS.len() - 1]] } else { FLOWS.to_vec() };
    with_flows(means, window, &flows, report);
}

fn gate(rules: usize, settings: &'static str) -> Contender {
    Contender { name: "growth", kind: Kind::Tidegate { rules, settings }, queues: 1 }
}

fn with_rules(means: &Means, window: Duration, report: &mut Report) {
    let beds: Vec<_> =
        RULES.iter().zip(100..).map(|((_, rules), at)| Bed::make(&gate(*rules, ""), at, means)).collect();
    let mut ready = Vec::new();
    for ((name, _), bed) in RULES.iter().zip(beds) {
        match bed.and_then(|mut bed| bed.wait_ready().map(|()| bed)) {
            Ok(bed) => ready.push((*name, bed)),
            Err(wrong) => report.failed("growth", name, &wrong),
        }
    }
    let costs = costs_of(&ready, window, 64);
    for (name, cost) in &costs {
        report.fact("growth", &format!("{name} rules"), *cost, "us a packet");
    }
    tell_ratio(report, "31k rules to 1k", &costs, "31k", "1k");
}

fn with_flows(means: &Means, window: Duration, flows: &[(&'static str, u32)], report: &mut Report) {
    let settings = "flow.count-max=1500000 flow.sweep-interval=3600";
    let mut beds = Vec::new();
    for ((name, flows), at) in flows.iter().zip(200..) {
        let bed = Bed::make(&gate(usize::MAX, settings), at, means).and_then(|mut bed| {
            bed.wait_ready()?;
            let before = memory(&bed);
            fill(&bed, *flows)?;
            if *name == "1M" {
                report.fact("growth", "bytes a flow", (memory(&bed) - before) * 1048576.0 / f64::from(*flows), "B");
            }
            Ok(bed)
        });
        match bed {
            Ok(bed) => beds.push((*name, *flows, bed)),
            Err(wrong) => report.failed("growth", name, &wrong),
        }
    }
    let mut costs: Vec<(&str, Vec<f64>)> = beds.iter().map(|(name, ..)| (*name, Vec::new())).collect();
    for _ in 0..ROUNDS {
        for ((_, flows, bed), (_, costs)) in beds.iter().zip(&mut costs) {
            costs.extend(cost(bed, window, *flows));
        }
    }
    let costs: Vec<_> = costs.into_iter().map(|(name, costs)| (name, median(costs))).collect();
    for (name, cost) in &costs {
        report.fact("growth", &format!("{name} flows"), *cost, "us a packet");
    }
    tell_ratio(report, "1M flows to 1k", &costs, "1M", "1k");
}

fn costs_of<'n>(beds: &[(&'n str, Bed)], window: Duration, flows: u32) -> Vec<(&'n str, f64)> {
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); beds.len()];
    for _ in 0..ROUNDS {
        for ((_, bed), costs) in beds.iter().zip(&mut costs) {
            costs.extend(cost(bed, window, flows));
        }
    }
    beds.iter().zip(costs).map(|((name, _), costs)| (*name, median(costs))).collect()
}

fn tell_ratio(report: &mut Report, what: &str, costs: &[(&str, f64)], more: &str, less: &str) {
    let find = |wanted| costs.iter().find(|(name, _)| *name == wanted).map(|(_, cost)| *cost);
    if let (Some(more), Some(less)) = (find(more), find(less)) {
        report.fact("growth", what, more / less, "times");
    }
}

/// Sends two packets of each connection, slowly enough that one at least is seen.
fn fill(bed: &Bed, flows: u32) -> Result<(), String> {
    let flood = Flood::start(bed, Shape { what: What::Noise(BYTES), flows, per_second: Some(60_000.0) });
    let deadline = Instant::now() + FILL_MAX;
    while flood.sent() < u64::from(flows) * 2 && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
    flood.finish()?;
    sleep(Duration::from_millis(500));
    Ok(())
}

/// Microseconds of processor time of the gate for one packet that it has seen.
fn cost(bed: &Bed, window: Duration, flows: u32) -> Option<f64> {
    let flood = Flood::start(bed, Shape { what: What::Noise(BYTES), flows, per_second: None });
    sleep(Duration::from_millis(200));
    let before = bed.counted();
    sleep(window);
    let counted = bed.counted().since(&before);
    flood.finish().ok()?;
    let cpu = counted.cpu.user + counted.cpu.system;
    (counted.seen() > 0).then(|| cpu * 1e6 / counted.seen() as f64)
}

fn memory(bed: &Bed) -> f64 {
    bed.server_process.as_ref().map_or(0.0, |server| server.memory("VmRSS"))
}

/// A limit of the whole machine, put back at the end.
struct Raised {
    file: &'static str,
    before: Option<String>,
}

impl Raised {
    fn to(file: &'static str, wanted: u64) -> Raised {
        let before = fs::read_to_string(file).ok();
        let low = before.as_ref().and_then(|text| text.trim().parse::<u64>().ok()).is_some_and(|now| now < wanted);
        let raised = low && fs::write(file, wanted.to_string()).is_ok();
        Raised { file, before: before.filter(|_| raised) }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = fs::write(self.file, before.trim());
        }
    }
}
