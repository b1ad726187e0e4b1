//! The fail-open ledger against a referee: two counters of our own, in front of the gate and behind it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use rustix::process::Signal;
use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::Gate;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, Topology};
use crate::toolbox::{SLOW, queues, wait_until};
use crate::vm;

const SINK: u16 = 9;
const RULES: &str = r#"drop udp any any -> any 9 (msg:"E2E attack"; content:"attack"; sid:1000001; rev:1;)"#;
const ATTACKS: u64 = 100;
const REFEREE: &str = "table inet referee {
    counter in { }
    counter out { }
    chain front { type filter hook forward priority 19; counter name in; }
    chain back { type filter hook forward priority 22; counter name out; }
}";

/// A million packets, three overloads, two kills: each packet is accounted for, and in the right place.
pub const EXACT: Scenario = Scenario { name: "ledger::exact", needs: &[Need::Queue], seconds_max: 200, run: exact };

fn exact() {
    let scale = if vm::is_guest() { 200 } else { 1 };
    let net = Topology::new();
    net.gateway.nft(REFEREE).expect("two counters");
    let source = Source::new(&net);

    // A short queue: packets find it full. The kernel gives those no id.
    let mut gate = Gate::new(&net.gateway, RULES).with("--set queue.length=100");
    gate.start();
    source.send(20_000 / scale);
    stopped(&gate, || source.send(280_000 / scale));
    let first = settled(&gate);
    assert_eq!(first.kernel_drops, 0, "{first:?}");
    assert_eq!(first.judged, ids(&net.gateway), "{first:?}");
    assert_eq!(first.fail_open, passed(&net.gateway, "in") - ids(&net.gateway), "{first:?}");
    assert!(first.fail_open > 0 && (first.overrun, first.bypass) == (0, 0), "{first:?}");

    // Killed with packets in its queues: the kernel drops exactly those. Then nobody listens.
    gate.signal(Signal::STOP);
    source.send(1000);
    let flushed: u64 = queues(&net.gateway).iter().map(|row| u64::from(row.waiting)).sum();
    gate.kill();
    source.send(100_000 / scale);
    let mut gate = gate.with("--set queue.length=60000 --set queue.receive-buffer=256kb");
    gate.start();
    let second = settled(&gate);
    assert!(flushed > 0);
    assert_eq!(second.kernel_drops, flushed, "{second:?}");
    assert_eq!((second.fail_open, second.overrun), (first.fail_open, 0), "{second:?}");
    // It takes a moment to stop. What it then could not tell any more counts as if nobody had listened.
    let stopping = second.judged - first.judged;
    assert_eq!(second.bypass, 1000 - stopping - flushed + 100_000 / scale, "{second:?}");

    // A small receive buffer: ids are given, and the packets behind them never come.
    stopped(&gate, || source.send(200_000 / scale));
    let third = settled(&gate);
    assert_eq!(third.overrun, ids(&net.gateway) - (third.judged - second.judged), "{third:?}");
    assert_eq!((third.fail_open, third.bypass), (second.fail_open, second.bypass), "{third:?}");
    assert!(third.overrun > 0, "{third:?}");

    // Killed at full speed.
    let load = source.flood();
    source.wait_for(50_000 / scale);
    gate.kill();
    source.wait_for(50_000 / scale);
    gate.start();
    source.wait_for(50_000 / scale);
    load.stop();
    let fourth = settled(&gate);
    assert!(fourth.bypass > third.bypass && fourth.judged > third.judged, "{fourth:?}");

    let rest = (1_000_000 / scale).saturating_sub(passed(&net.gateway, "in"));
    stopped(&gate, || source.send(rest));
    settled(&gate);
    attack(&net);
    let blocked = || gate.status()["stats"]["ips"]["blocked"].as_u64();
    wait_until("the attacks to be dropped", SLOW, || blocked() == Some(ATTACKS));
    let last = settled(&gate);
    let (front, back) = (passed(&net.gateway, "in"), passed(&net.gateway, "out"));
    eprintln!("{front} in, {back} out, {ATTACKS} dropped by rule: {last:?}");
    assert!(front >= 1_000_000 / scale);
    assert_eq!(last.offered, front);
    assert_eq!(last.kernel_drops, front - back - ATTACKS);
    assert_eq!(last.judged + last.fail_open + last.overrun + last.bypass + last.failed, back + ATTACKS);

    wait_until("events to tell all of it", SLOW, || {
        let told = |event: &str| -> u64 {
            let events = gate.events("anomaly");
            let of_kind = events.iter().filter(|record| record["anomaly"]["event"] == event);
            of_kind.map(|record| record["tidegate"]["count"].as_u64().unwrap_or(0)).sum()
        };
        told("ledger.fail_open") == last.fail_open
            && told("ledger.overrun") == last.overrun
            && told("ledger.bypass") == last.bypass
            && told("ledger.kernel_drops") == last.kernel_drops
    });
    gate.stop();
}

/// Runs `work` while the gate is stopped.
fn stopped(gate: &Gate<'_>, work: impl FnOnce()) {
    gate.signal(Signal::STOP);
    work();
    gate.signal(Signal::CONT);
}

#[derive(Clone, Copy, Debug)]
struct Ledger {
    offered: u64,
    judged: u64,
    fail_open: u64,
    overrun: u64,
    bypass: u64,
    failed: u64,
    kernel_drops: u64,
}

/// The ledger once nothing is on its way any more; its sum must then be right.
#[track_caller]
fn settled(gate: &Gate<'_>) -> Ledger {
    let mut told = Value::Null;
    wait_until("nothing to be on its way", SLOW, || {
        told = gate.status()["stats"]["ledger"].clone();
        told["waiting"] == 0 && told["complete"] == true
    });
    let count = |pointer: &str| told.pointer(pointer).and_then(Value::as_u64).expect("a count");
    let ledger = Ledger {
        offered: count("/offered"),
        judged: count("/judged"),
        fail_open: count("/uninspected/fail_open"),
        overrun: count("/uninspected/overrun"),
        bypass: count("/uninspected/bypass"),
        failed: count("/uninspected/failed"),
        kernel_drops: count("/kernel_drops"),
    };
    let Ledger { offered, judged, fail_open, overrun, bypass, failed, kernel_drops } = ledger;
    assert_eq!(offered, judged + fail_open + overrun + bypass + failed + kernel_drops, "{told}");
    ledger
}

/// Ids that the kernel has given, over all queues.
fn ids(ns: &Netns) -> u64 {
    queues(ns).iter().map(|row| u64::from(row.id_sequence)).sum()
}

/// What the referee has counted.
#[track_caller]
fn passed(ns: &Netns, counter: &str) -> u64 {
    let listed = ns.sh(&format!("nft list counter inet referee {counter}"));
    let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no packets in: {listed}"))
}

/// Each from a port of its own, so that no fate spares the gate any of them;
/// in small steps, for none may find the queue full or the receive buffer without room.
fn attack(net: &Topology) {
    net.client.run(|| {
        for _ in 0..ATTACKS {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
            socket.send_to(b"attack", (SERVER4, SINK)).expect("a route");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
}

/// Datagrams over 64 connections. What a backlog loses on the way to the gateway never reaches the referee either.
struct Source<'n> {
    sockets: Arc<Vec<UdpSocket>>,
    sent: Arc<AtomicU64>,
    _sink: UdpSocket,
    gateway: &'n Netns,
}

impl<'n> Source<'n> {
    fn new(net: &'n Topology) -> Source<'n> {
        // Nobody reads; it is there so that nobody is told otherwise.
        let sink = net.server.run(|| UdpSocket::bind((SERVER4, SINK))).expect("a free port");
        let sockets = net.client.run(|| {
            let connect = |_| {
                let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
                socket.connect((SERVER4, SINK)).expect("a route");
                socket
            };
            (0..64).map(connect).collect()
        });
        Source { sockets: Arc::new(sockets), sent: Arc::default(), _sink: sink, gateway: &net.gateway }
    }

    /// Returns when the gateway has seen exactly `count` more.
    #[track_caller]
    fn send(&self, count: u64) {
        let goal = passed(self.gateway, "in") + count;
        loop {
            let missing = goal - passed(self.gateway, "in");
            if missing == 0 {
                break;
            }
            for number in 0..missing {
                self.sockets[number as usize % self.sockets.len()].send(b"benign").expect("a route");
            }
            // What a backlog holds yet is not missing.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Sends without a pause until told to stop.
    fn flood(&self) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let (sockets, sent, told) = (Arc::clone(&self.sockets), Arc::clone(&self.sent), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !told.load(Relaxed) {
                for socket in &*sockets {
                    socket.send(b"benign").expect("a route");
                }
                sent.fetch_add(sockets.len() as u64, Relaxed);
            }
        });
        Flood { stop, thread }
    }

    /// Waits until the flood has sent `count` more.
    #[track_caller]
    fn wait_for(&self, count: u64) {
        let before = self.sent.load(Relaxed);
        wait_until("the flood", SLOW, || self.sent.load(Relaxed) >= before + count);
    }
}

struct Flood {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Flood {
    fn stop(self) {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("the sender does not panic");
    }
}
