//! Traffic that harms nobody: nothing of it is to be dropped, so whatever is lost is a fault.

pub mod dns;
pub mod echo;
pub mod flood;
pub mod http;
pub mod mix;
pub mod probe;
pub mod raw;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bed::{Bed, Counted};
use super::figures::Percentiles;

/// What runs before the count begins.
const WARM_UP: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// iperf3, so many streams from client to server.
    Bulk { streams: u16 },
    /// One connection that is full in both directions.
    Both,
    /// Requests for a page of so many bytes, on 32 connections or each on its own.
    Http { each: bool, bytes: usize },
    /// Datagrams of so many bytes, header included, from 64 ports, as many as one processor can send. What counts is how
    /// many the contender could serve in a second of its own processor time: the sender takes what it can get of the rest.
    Udp { bytes: usize },
    /// Queries, each from a port of its own, 32 under way.
    Dns,
    /// Captured traffic of all kinds, addresses changed, without its pauses; counts as `Udp` does.
    Mix,
    /// Round trips one at a time, 500 a second.
    Latency,
}

#[derive(Clone, Copy, Debug)]
pub struct Named {
    pub name: &'static str,
    /// What `value` counts.
    pub unit: &'static str,
    pub load: Load,
}

pub const ALL: &[Named] = &[
    named("tcp-1", "Gbit/s", Load::Bulk { streams: 1 }),
    named("tcp-2", "Gbit/s", Load::Bulk { streams: 2 }),
    named("tcp-16", "Gbit/s", Load::Bulk { streams: 16 }),
    named("tcp-both", "Gbit/s", Load::Both),
    named("http-keep", "requests/s", Load::Http { each: false, bytes: 1024 }),
    named("http-each", "requests/s", Load::Http { each: true, bytes: 1024 }),
    named("http-100k", "requests/s", Load::Http { each: false, bytes: 100 << 10 }),
    named("udp-64", "packets/cpu s", Load::Udp { bytes: 64 }),
    named("udp-512", "packets/cpu s", Load::Udp { bytes: 512 }),
    named("dns", "queries/s", Load::Dns),
    named("mix", "packets/cpu s", Load::Mix),
    named("latency", "p50 us", Load::Latency),
];

const fn named(name: &'static str, unit: &'static str, load: Load) -> Named {
    Named { name, unit, load }
}

/// What one run of a load has shown.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub value: f64,
    pub counted: Counted,
    pub latency: Option<Percentiles>,
}

impl Load {
    pub fn run(self, bed: &Bed, seconds: f64) -> Result<Outcome, String> {
        match self {
            Load::Bulk { streams } => bulk(bed, streams, seconds),
            Load::Both => {
                let echo = echo::Echo::start(bed).map_err(|error| format!("echo: {error}"))?;
                let mut outcome = count_while(bed, seconds, || echo.echoed());
                echo.finish()?;
                // There and back again.
                outcome.value *= 16e-9;
                Ok(outcome)
            }
            Load::Http { each, bytes } => {
                let client = http::Client::start(&bed.client, each, bytes);
                let outcome = count_while(bed, seconds, || client.answered());
                client.finish()?;
                Ok(outcome)
            }
            Load::Udp { bytes } => udp(bed, bytes, seconds),
            Load::Dns => {
                let client = dns::Load::start(bed);
                let outcome = count_while(bed, seconds, || client.answered());
                client.finish()?;
                Ok(outcome)
            }
            Load::Mix => {
                let mix = mix::Mix::start(bed)?;
                let outcome = count_while(bed, seconds, || 0);
                mix.finish()?;
                Ok(per_cpu_second(bed, outcome, seconds))
            }
            Load::Latency => {
                let before = bed.counted();
                let latency = probe::run(bed, seconds)?;
                let counted = bed.counted().since(&before);
                Ok(Outcome { value: latency.p50, counted, latency: Some(latency) })
            }
        }
    }
}

/// What a counter of something that is already under way makes in a second.
fn count_while(bed: &Bed, seconds: f64, count: impl Fn() -> u64) -> Outcome {
    sleep(WARM_UP);
    let (before, first, started) = (bed.counted(), count(), Instant::now());
    sleep(Duration::from_secs_f64(seconds));
    let (last, took) = (count(), started.elapsed().as_secs_f64());
    Outcome { value: (last - first) as f64 / took, counted: bed.counted().since(&before), latency: None }
}

fn udp(bed: &Bed, bytes: usize, seconds: f64) -> Result<Outcome, String> {
    let flood = flood::Flood::start(bed, flood::Shape { what: flood::What::Noise(bytes), flows: 64, per_second: None });
    let outcome = count_while(bed, seconds, || 0);
    flood.finish()?;
    Ok(per_cpu_second(bed, outcome, seconds))
}

fn per_cpu_second(bed: &Bed, mut outcome: Outcome, seconds: f64) -> Outcome {
    // A packet that was let pass unseen is nobody's work.
    let counted = &outcome.counted;
    outcome.value = match bed.server_process {
        Some(_) => counted.seen() as f64 / (counted.cpu.user + counted.cpu.system),
        None => counted.delivered as f64 / seconds,
    };
    outcome
}

fn bulk(bed: &Bed, streams: u16, seconds: f64) -> Result<Outcome, String> {
    let before = bed.counted();
    let mut command = bed.client.command("iperf3");
    command.args(["--client", "10.77.2.2", "--json", "--omit", "0", "--time", &format!("{seconds:.0}")]);
    command.args(["--parallel", &streams.to_string()]);
    let output = command.output().map_err(|error| format!("iperf3: {error}"))?;
    let said: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("iperf3: {error}"))?;
    let bits = said["end"]["sum_received"]["bits_per_second"].as_f64();
    let bits = bits.ok_or_else(|| format!("iperf3: {}", said["error"]))?;
    Ok(Outcome { value: bits / 1e9, counted: bed.counted().since(&before), latency: None })
}
