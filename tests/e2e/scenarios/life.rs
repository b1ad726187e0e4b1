//! Starting, stopping and dying under load: connections and fates outlive the program.

use std::io::ErrorKind;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, counter, queueing_is_installed};
use crate::toolbox::load::{Heartbeats, Iperf, UdpLoad, serve_tcp_echo};
use crate::toolbox::topology::{SERVER4, SERVER6, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, tcp_connect};
use crate::toolbox::{SENT_AGAIN, SLOW, queues, wait_until};

const ECHO: u16 = 7;
const RULES: &str = r#"
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000001; rev:1;)
alert tcp any any -> any 5201 (msg:"E2E never"; flow:to_server,established; content:"no iperf3 sends this"; sid:1000002; rev:1;)
"#;
/// What each stream must transfer to be called alive.
const STREAM_BYTES: u64 = 256 << 10;

/// With the shipped rules and four queues, before any traffic.
pub const IDLE_MEMORY: Scenario =
    Scenario { name: "life::idle_memory", needs: &[Need::Queue], seconds_max: 30, run: idle_memory };

fn idle_memory() {
    const RESIDENT_KIB_MAX: u64 = 30 << 10;
    let net = Topology::new();
    let gate = Gate::started(&net.gateway, include_str!("../../../rules/tidegate.rules"));
    let told = gate.status();
    assert_eq!(told["stats"]["queues"].as_array().map(Vec::len), Some(4), "{told}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", told["pid"])).expect("the gate runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    eprintln!("{kib} KiB resident with four queues and the shipped rules");
    assert!(kib < RESIDENT_KIB_MAX, "{kib} KiB");
}

/// `kill -9` during `iperf3` with 16 streams: none breaks; after the restart they are midstream, and inspected.
pub const KILL_UNDER_LOAD: Scenario =
    Scenario { name: "life::kill_under_load", needs: &[Need::Queue], seconds_max: 90, run: kill_under_load };

fn kill_under_load() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let mut gate = Gate::started(&net.gateway, RULES);
    let mut victim = tcp_connect(&net.client, SERVER6, ECHO).expect("a connection");
    ask(&mut victim, b"before").expect("an echo");
    let heartbeats = Heartbeats::start(&net.client, SERVER4, ECHO, 4);
    let mut streams = Iperf::start(&net.client, &net.server, SERVER4, 16);
    streams.wait_for_progress(STREAM_BYTES, SLOW);

    gate.kill();
    streams.wait_for_progress(STREAM_BYTES, SLOW);
    heartbeats.wait_for_rounds(2, SLOW);
    assert!(queueing_is_installed(&net.gateway), "the table outlives the program, and lets all pass");
    ask(&mut victim, b"while dead").expect("an echo");
    gate.start();
    streams.wait_for_progress(STREAM_BYTES, SLOW);
    heartbeats.wait_for_rounds(2, SLOW);

    let attack = ask_in_vain(&mut victim, b"attack").expect_err("a connection from before the crash is inspected");
    assert_eq!(attack.kind(), ErrorKind::WouldBlock, "{attack}");
    let alert = &gate.wait_for_alerts(1_000_001, 1)[0];
    let status = alert["conntrack"]["status"].to_string();
    assert!(status.contains("confirmed") && status.contains("seen_reply"), "known as an old connection: {alert}");

    let longest = heartbeats.finish();
    eprintln!("longest round trip {longest:.1?}");
}

/// A program that is stopped, not dead, fills its queues; the kernel then lets packets pass and drops none.
pub const STOPPED_FAILS_OPEN: Scenario =
    Scenario { name: "life::stopped_fails_open", needs: &[Need::Queue], seconds_max: 60, run: stopped_fails_open };

fn stopped_fails_open() {
    const LENGTH: u32 = 50;
    let net = Topology::new();
    let mut gate = Gate::new(&net.gateway, RULES).with(&format!("--set queue.length={LENGTH}"));
    gate.start();
    let load = UdpLoad::start(&net.client, &net.server, SERVER4, 9, 16, 1000);
    load.wait_for(200, SLOW);

    gate.signal(Signal::STOP);
    // First the queues fill, then everything passes.
    load.wait_for(2000, SLOW);
    let rows = queues(&net.gateway);
    assert!(rows.iter().any(|row| row.waiting >= LENGTH), "no queue is full: {rows:?}");
    gate.signal(Signal::CONT);

    load.wait_for(200, SLOW);
    let (sent, missing) = load.finish(SLOW);
    let rows = queues(&net.gateway);
    assert_eq!(missing, 0, "of {sent} datagrams; {rows:?}");
    assert!(rows.iter().all(|row| row.dropped == 0 && row.user_dropped == 0), "{rows:?}");
    wait_until("the ledger to tell of it", SLOW, || {
        let status = gate.status();
        status["stats"]["ledger"]["uninspected"]["fail_open"].as_u64().is_some_and(|count| count >= 1000)
    });
}

/// A graceful stop and a start under load lose not one packet.
pub const TERM_UNDER_LOAD: Scenario =
    Scenario { name: "life::term_under_load", needs: &[Need::Queue], seconds_max: 60, run: term_under_load };

fn term_under_load() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let mut gate = Gate::started(&net.gateway, RULES);
    let heartbeats = Heartbeats::start(&net.client, SERVER6, ECHO, 8);
    let load = UdpLoad::start(&net.client, &net.server, SERVER4, 9, 16, 1000);
    for _ in 0..3 {
        load.wait_for(300, SLOW);
        let served: u32 = queues(&net.gateway).iter().map(|row| row.id_sequence).sum();
        assert!(served > 300, "the load does not go through the queues");
        gate.stop();
        load.wait_for(300, SLOW);
        heartbeats.wait_for_rounds(2, SLOW);
        gate.start();
    }
    load.wait_for(300, SLOW);
    let longest = heartbeats.finish();
    let (sent, missing) = load.finish(SLOW);
    eprintln!("{sent} datagrams, longest round trip {longest:.1?}");
    assert_eq!(missing, 0, "of {sent} datagrams, over three stops and starts");
}

/// A condemned connection stays condemned: while the program is dead, and after it has come back.
pub const FATE_SURVIVES: Scenario =
    Scenario { name: "life::fate_survives", needs: &[Need::Queue], seconds_max: 180, run: fate_survives };

fn fate_survives() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let mut gate = Gate::started(&net.gateway, RULES);
    let mut condemned = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    let mut benign = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    ask(&mut condemned, b"fine").expect("an echo");
    ask(&mut benign, b"fine").expect("an echo");
    ask_in_vain(&mut condemned, b"attack").expect_err("the attack is dropped");
    gate.wait_for_alerts(1_000_001, 1);

    gate.kill();
    stays_condemned(&net, &mut condemned, "after kill -9");
    ask(&mut benign, b"attack").expect("nobody listens, all else passes");
    gate.start();
    stays_condemned(&net, &mut condemned, "after the restart");
    ask(&mut benign, b"fine").expect("an echo");
    gate.stop();
    stays_condemned(&net, &mut condemned, "after a graceful stop");
    ask(&mut benign, b"fine").expect("an echo");
    assert_eq!(gate.alerts(1_000_001).len(), 1, "nobody was asked again");
}

#[track_caller]
fn stays_condemned(net: &Topology, stream: &mut TcpStream, when: &str) {
    let before = counter(&net.gateway, "fate_dropped");
    ask_in_vain(stream, b"anything").expect_err("condemned");
    wait_until(&format!("nftables drops {when}"), SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > before);
}
