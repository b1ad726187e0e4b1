//! A conntrack table of a million entries. Only when asked for: it raises the machine's limits for a minute.
//!
//! ```text
//! TIDEGATE_MILLION=1 TIDEGATE_BIN=target/release/tidegate cargo test --test e2e native::million -- --nocapture
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::Gate;
use crate::toolbox::topology::Topology;
use crate::toolbox::{queues, wait_until};

const RULES: &str = r#"alert ip any any -> any any (msg:"E2E never"; content:"nobody says this"; sid:1000001; rev:1;)"#;
const ENTRIES: u64 = 1_000_000;
const PORTS: u64 = 50_000;
/// Of its own time, with a table of that size there already: the machine may be busy with something else.
const START_MAX: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(180);
/// Datagrams between two looks at the queues. Fail-open is another scenario's matter.
const BURST: u64 = 2000;

/// Entries from before us are read at the start, inspected when they go on, and leave nothing behind.
pub const ENTRIES_BEFORE_US: Scenario =
    Scenario { name: "million::entries", needs: &[Need::Queue, Need::Asked], seconds_max: 500, run: entries };

fn entries() {
    let _limits = Limits::raised();
    let net = Topology::new();
    net.gateway
        .nft("table inet track { chain f { type filter hook forward priority 0; ct state new; }; }")
        .expect("ct");
    net.gateway.sysctl("net.netfilter.nf_conntrack_udp_timeout", "3000");
    net.gateway.sysctl("net.netfilter.nf_conntrack_acct", "1");
    net.gateway.ip("route add 10.99.0.0/16 via 10.77.2.2");
    // Nobody is to answer a million times.
    net.server
        .nft("table ip sink { chain p { type filter hook prerouting priority -300; udp dport > 0 drop; }; }")
        .expect("nft");

    let config = "--set flow.count-max=1200000 --set queue.length=60000 --set flow.sweep-interval=600";
    let mut gate = Gate::new(&net.gateway, RULES).with(config);
    gate.start();
    let empty = resident(&gate);
    gate.stop();

    let source = net.client.run(|| UdpSocket::bind("0.0.0.0:0")).expect("a free port");
    send_all(&source, || ());
    let tracked: u64 = net.gateway.sh("conntrack -C").trim().parse().expect("a count");
    assert!(tracked >= ENTRIES, "{tracked} entries");

    let begun = Instant::now();
    gate.start();
    let took = begun.elapsed();
    assert!(gate.log().contains("connections were there before us"), "{}", gate.log());
    let read = resident(&gate);
    let worked = processor_time(&gate);
    eprintln!(
        "start with {tracked} entries: {took:.2?}, {worked:.2?} of them at work; {} bytes an entry",
        read.saturating_sub(empty) / tracked
    );
    assert!(worked < START_MAX, "{worked:?}");

    let begun = Instant::now();
    send_all(&source, || {
        wait_until("the queues", PATIENCE, || queues(&net.gateway).iter().all(|row| row.waiting < 100));
    });
    wait_until("all connections to be flows", PATIENCE, || flows(&gate) == ENTRIES);
    let full = resident(&gate);
    eprintln!(
        "{ENTRIES} flows in {:.1?}: {} bytes a flow, {} MiB in all",
        begun.elapsed(),
        full.saturating_sub(read) / ENTRIES,
        full >> 20
    );
    let stats = gate.status()["stats"].clone();
    assert_eq!(stats["ips"]["blocked"], 0, "{stats}");
    assert_eq!(stats["ledger"]["judged"], ENTRIES, "{}", stats["ledger"]);

    let begun = Instant::now();
    net.gateway.sh("conntrack -F");
    // A sweep takes flows out of the table first, and then tells of each.
    wait_until("all flows to go and to be told", PATIENCE, || flows(&gate) == 0 && freed(&gate) >= ENTRIES);
    eprintln!("all gone in {:.1?}", begun.elapsed());
    // Where nothing happens, threads look for what the others have freed.
    let little = empty + (full - empty) / 3;
    wait_until("memory to be given back", Duration::from_secs(60), || resident(&gate) < little);
    let after = gate.status()["stats"].clone();
    eprintln!(
        "after {:.1?}: {} events, {} sweeps, {} MiB left of {}, {} before",
        begun.elapsed(),
        after["conntrack"]["events_destroy"],
        after["conntrack"]["sweeps"],
        resident(&gate) >> 20,
        full >> 20,
        empty >> 20
    );
    // The next million needs no more than the first.
    send_all(&source, || {
        wait_until("the queues", PATIENCE, || queues(&net.gateway).iter().all(|row| row.waiting < 100));
    });
    wait_until("all connections to be flows again", PATIENCE, || flows(&gate) == ENTRIES);
    let again = resident(&gate);
    eprintln!("{} MiB with a second million", again >> 20);
    assert!(again < full + full / 10, "{full} bytes before, {again} now");
    gate.stop();
}

/// One datagram of each connection.
fn send_all(source: &UdpSocket, mut after_burst: impl FnMut()) {
    for number in 0..ENTRIES {
        let address = Ipv4Addr::new(10, 99, 1, u8::try_from(number / PORTS).expect("a few hosts"));
        let port = u16::try_from(10_000 + number % PORTS).expect("a port");
        source.send_to(b"x", (IpAddr::V4(address), port)).expect("a route");
        if number % BURST == BURST - 1 {
            after_burst();
        }
    }
}

fn flows(gate: &Gate<'_>) -> u64 {
    gate.status()["flows"].as_u64().unwrap_or(u64::MAX)
}

/// Flows that an event or a sweep has ended. The kernel keeps events that we are too slow for; the sweep does not wait.
fn freed(gate: &Gate<'_>) -> u64 {
    let conntrack = &gate.status()["stats"]["conntrack"];
    ["events_destroy", "swept"].iter().filter_map(|name| conntrack[*name].as_u64()).sum()
}

/// Resident bytes of the gate.
fn resident(gate: &Gate<'_>) -> u64 {
    let told: Value = gate.status();
    let status = fs::read_to_string(format!("/proc/{}/status", told["pid"])).expect("the gate runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") << 10
}

/// What the gate has had of the processors.
fn processor_time(gate: &Gate<'_>) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", gate.status()["pid"])).expect("the gate runs");
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    // USER_HZ is 100 wherever this runs.
    Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().expect("a number") * 10).sum())
}

/// The table's limits, which are the machine's; put back on drop.
struct Limits([(&'static str, String); 2]);

impl Limits {
    fn raised() -> Limits {
        let files = ["/proc/sys/net/netfilter/nf_conntrack_max", "/proc/sys/net/netfilter/nf_conntrack_buckets"];
        Limits(files.map(|file| {
            let before = fs::read_to_string(file).expect("conntrack is loaded");
            fs::write(file, "1200000").expect("root of the machine's own network namespace");
            (file, before)
        }))
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for (file, before) in &self.0 {
            let _ = fs::write(file, before);
        }
    }
}
