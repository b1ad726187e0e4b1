//! Fates: where they stand, what the kernel does with them, and what a reload makes of them.

use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, counter, tidegate_ok};
use crate::toolbox::load::{Heartbeats, Iperf, UdpLoad, serve_tcp_echo};
use crate::toolbox::topology::{SERVER4, SERVER6, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, http_get, serve_http, serve_udp_echo, tcp_connect, udp_ask};
use crate::toolbox::{SENT_AGAIN, SLOW, queues, wait_until};

const ECHO: u16 = 7;
const HTTP: u16 = 80;
const DATAGRAMS: u16 = 5353;
const RULES: &str = r#"
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000001; rev:1;)
reject tcp any any -> any 7 (msg:"E2E reject"; flow:to_server,established; content:"reject me"; sid:1000002; rev:1;)
pass tcp any any -> any 7 (msg:"E2E trusted"; flow:to_server,established; content:"trust me"; sid:1000003; rev:1;)
alert tcp any any -> any 7 (msg:"E2E by the keyword"; flow:to_server,established; content:"go round"; bypass; sid:1000004; rev:1;)
"#;

/// Fates in labels: dropped, reset, passed, killed by command and kept over a crash as with marks, and no mark is touched.
/// An entry that is older than the table has no room for them; its fate is enforced all the same.
pub const LABELS: Scenario = Scenario { name: "fates::labels", needs: &[Need::Queue], seconds_max: 60, run: labels };

fn labels() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    // Conntrack is on before we are.
    net.gateway
        .nft("table inet early { chain f { type filter hook forward priority 0; ct state established counter; }; }")
        .expect("conntrack");
    let mut old = connection(&net);
    let mut gate = Gate::new(&net.gateway, RULES).with("--set fate.store=label");
    gate.start();
    assert_eq!(gate.status()["stats"]["fates"]["store"], "label");
    let [mut condemned, mut rejected, mut trusted, mut killed] = std::array::from_fn(|_| connection(&net));

    ask_in_vain(&mut condemned, b"attack").expect_err("the attack is dropped");
    wait_until("nftables to drop the rest", SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > 0);
    let error = ask(&mut rejected, b"reject me").expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    ask(&mut trusted, b"trust me").expect("it passes");
    ask(&mut trusted, b"attack").expect("nobody looks any more");
    assert!(counter(&net.gateway, "fate_passed") > 0);
    let port = killed.local_addr().expect("it is bound").port().to_string();
    tidegate_ok(&net.gateway, &["flows", "kill", "--socket", &gate.path("command.socket"), "--port", &port]);
    ask_in_vain(&mut killed, b"fine").expect_err("killed");

    let fates = |gate: &Gate<'_>| -> Vec<(String, bool)> {
        let socket = gate.path("command.socket");
        let listed = tidegate_ok(&net.gateway, &["flows", "--json", "-p", "tcp", "--socket", &socket]);
        let rows = listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let fates = rows.map(|row| {
            assert_eq!(row["conntrack"]["mark"], 0, "the mark belongs to others: {row}");
            let fate = row["tidegate"]["fate"].as_str().unwrap_or_default().to_owned();
            (fate, row["tidegate"]["fate_in_kernel"] == true)
        });
        fates.collect()
    };
    let in_kernel = |fates: &[(String, bool)], fate: &str| fates.contains(&(fate.to_owned(), true));
    let told = fates(&gate);
    assert!(in_kernel(&told, "drop") && in_kernel(&told, "pass"), "{told:?}");

    ask_in_vain(&mut old, b"attack").expect_err("the attack is dropped");
    let failed = || gate.status()["stats"]["conntrack"]["fates_failed"].as_u64() > Some(0);
    wait_until("the fate to be written again, in vain", SLOW, failed);
    assert!(fates(&gate).contains(&("drop".to_owned(), false)), "the entry is older than the rule that makes room");

    gate.kill();
    let before = counter(&net.gateway, "fate_dropped");
    ask_in_vain(&mut condemned, b"fine").expect_err("condemned");
    wait_until("nftables to drop it with no gate", SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > before);
    gate.start();
    ask_in_vain(&mut condemned, b"fine").expect_err("condemned for ever");
    ask(&mut trusted, b"attack").expect("the rules are the same, and so is their generation");
    assert!(in_kernel(&fates(&gate), "pass"));
}

/// `auto` looks who else uses the mark, in rules and in living connections, goes to the labels, says so, and stays there.
pub const AUTO: Scenario = Scenario { name: "fates::auto", needs: &[Need::Queue], seconds_max: 60, run: auto };

fn auto() {
    let net = Topology::new();
    let store = |gate: &Gate<'_>| gate.status()["stats"]["fates"]["store"].as_str().unwrap_or_default().to_owned();
    let mut gate = Gate::new(&net.gateway, RULES).with("--remove-on-exit");
    gate.start();
    assert_eq!(store(&gate), "mark");
    gate.stop();

    net.gateway
        .nft("table inet shaper { chain c { type filter hook forward priority 0; tcp dport 9999 ct mark set 0x02000001; }; }")
        .expect("a ruleset of somebody else");
    gate.start();
    assert_eq!(store(&gate), "label");
    assert!(gate.log().contains("inet shaper c handle"), "{}", gate.log());
    gate.kill();
    net.gateway.sh("nft delete table inet shaper");
    gate.start();
    assert_eq!(store(&gate), "label", "fates of living connections are there");
    gate.stop();

    net.gateway.sh("conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport 20000 --dport 9 -t 60 --mark 0x01000000");
    gate.start();
    assert_eq!(store(&gate), "label");
    assert!(gate.log().contains("1 connections that have them set"), "{}", gate.log());
    gate.stop();

    let mut gate = Gate::new(&net.gateway, RULES).with("--set fate.store=mark");
    gate.start();
    assert_eq!(store(&gate), "mark");
    assert!(gate.log().contains("and others use them, too"), "{}", gate.log());
}

/// After the verdict the queue gets what was in it and no more: nftables' counters stand still in front of it.
pub const LEAVE_THE_QUEUE: Scenario =
    Scenario { name: "fates::leave_the_queue", needs: &[Need::Queue], seconds_max: 60, run: leave_the_queue };

fn leave_the_queue() {
    const ROUNDS: u64 = 200;
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let gate = Gate::started(&net.gateway, RULES);
    let offered = || counter(&net.gateway, "offered");
    let [mut condemned, mut rejected, mut trusted] = std::array::from_fn(|_| connection(&net));

    // The answer to this, and what acknowledges it, may have been under way.
    ask(&mut trusted, b"trust me").expect("it passes");
    let (queued, passed) = (offered(), counter(&net.gateway, "fate_passed"));
    for _ in 0..ROUNDS {
        ask(&mut trusted, &[b'.'; 1000]).expect("it passes");
    }
    let late = offered() - queued;
    let passed = counter(&net.gateway, "fate_passed") - passed;
    eprintln!("passed: {late} packets queued after the verdict, {passed} in the kernel");
    assert!(late <= 2, "{late} packets of a cleared connection were queued");
    assert!(passed >= 2 * ROUNDS, "{passed} packets passed in the kernel");

    // A window full of segments is under way when the verdict falls.
    condemned.write_all(b"attack").expect("the socket takes it");
    wait_until("the first drop in the kernel", SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > 0);
    let queued = offered();
    condemned.write_all(&[b'.'; 10_000]).expect("the socket takes it");
    let dropped = counter(&net.gateway, "fate_dropped");
    wait_until("more drops in the kernel", 2 * SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > dropped + 1);
    assert_eq!(offered() - queued, 0, "packets of a condemned connection were queued");

    let error = ask(&mut rejected, b"reject me").expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    // The server hears of it with its next packet: its keepalive, or the retransmission of an answer.
    assert!(counter(&net.gateway, "fate_rejected") > 0);
    let stats = &gate.status()["stats"];
    assert_eq!(stats["fates"]["cleared"]["pass_rule"], 1, "{}", stats["fates"]);
    assert!(stats["conntrack"]["fates_written"].as_u64() >= Some(3), "{}", stats["conntrack"]);
}

/// Every way to be cleared has its name and its counter, and the account at the end is the kernel's: also of what went by
/// unseen, and of what a former run had cleared.
pub const CLEARED: Scenario = Scenario { name: "fates::cleared", needs: &[Need::Queue], seconds_max: 60, run: cleared };

fn cleared() {
    const UNSEEN_BYTES: u64 = 400_000;
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    serve_udp_echo(&net.server, DATAGRAMS);
    let mut gate = Gate::new(&net.gateway, RULES)
        .with("--set stream.reassembly.depth=100kb --set stream.bypass=yes --set fate.clear.elephant=300kb");
    gate.start();
    let mut trusted = connection(&net);
    let mut keyword = connection(&net);
    ask(&mut trusted, b"trust me").expect("it passes");
    ask(&mut keyword, b"go round").expect("it passes");
    // Both sides say more than the depth, and then much more that nobody looks at.
    let mut deep = connection(&net);
    for _ in 0..UNSEEN_BYTES / 1000 {
        ask(&mut deep, &[b'.'; 1000]).expect("an echo");
    }
    let datagrams = net.client.run(|| UdpSocket::bind("0.0.0.0:0")).expect("a free port");
    datagrams.connect((SERVER4, DATAGRAMS)).expect("a route");
    datagrams.set_read_timeout(Some(SLOW)).expect("a timeout above zero");
    for _ in 0..200 {
        datagrams.send(&[b'.'; 1000]).expect("a route");
        datagrams.recv(&mut [0; 2000]).expect("an echo");
    }
    let counted = |name: &str| gate.status()["stats"]["fates"]["cleared"][name].as_u64();
    for why in ["pass_rule", "bypass_rule", "stream_depth", "elephant"] {
        wait_until(why, SLOW, || counted(why) == Some(1));
    }

    net.gateway.sh("conntrack -F");
    let ended =
        |gate: &Gate<'_>, why: &str| gate.events("flow").into_iter().find(|flow| flow["tidegate"]["cleared_by"] == why);
    for why in ["pass_rule", "bypass_rule", "stream_depth", "elephant"] {
        wait_until(&format!("the account of {why}"), SLOW, || ended(&gate, why).is_some());
        let flow = ended(&gate, why).expect("it is there");
        assert_eq!((&flow["tidegate"]["fate"], &flow["flow"]["state"]), (&"pass".into(), &"bypassed".into()), "{flow}");
        assert_eq!(flow["tidegate"]["counted_by"], "kernel", "{flow}");
        assert_eq!(flow["conntrack"]["nat"], "none", "{flow}");
    }
    let depth = ended(&gate, "stream_depth").expect("it is there");
    assert!(depth["flow"]["bytes_toclient"].as_u64() >= Some(UNSEEN_BYTES), "unseen bytes count: {depth}");
    assert!(depth["flow"]["start"].is_string() && depth["flow"]["end"].is_string(), "{depth}");
    assert!(gate.status()["stats"]["flow_bypassed"]["closed"].as_u64() >= Some(4));

    // What a former run cleared never comes to this one, and is told of at its end.
    let mut former = connection(&net);
    ask(&mut former, b"trust me").expect("it passes");
    gate.kill();
    gate.start();
    ask(&mut former, b"attack").expect("still cleared");
    let port = former.local_addr().expect("it is bound").port();
    net.gateway.sh(&format!("conntrack -D -p tcp --sport {port}"));
    let told = || gate.events("flow").iter().any(|flow| flow["src_port"] == port && flow["tidegate"]["fate"] == "pass");
    wait_until("its account", SLOW, told);
}

/// Reload after reload under load, two hundred where the machine makes them in time: nothing is dropped, nothing breaks, and what older rules had cleared is looked at again.
pub const RELOAD_UNDER_LOAD: Scenario =
    Scenario { name: "fates::reload_under_load", needs: &[Need::Queue], seconds_max: 240, run: reload_under_load };

fn reload_under_load() {
    const RELOADS: u64 = 200;
    const RELOADS_MIN: u64 = 5;
    const TIME_MAX: Duration = Duration::from_secs(45);
    const STREAM_BYTES: u64 = 256 << 10;
    let rules = |number: u64| {
        format!(
            "{RULES}alert tcp any any -> any 5201 (msg:\"E2E cleared again\"; flow:to_server,established; bypass; noalert; \
             sid:1000005; rev:{};)\n",
            number + 1
        )
    };
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let gate = Gate::started(&net.gateway, &rules(0));
    let heartbeats = Heartbeats::start(&net.client, SERVER6, ECHO, 8);
    let datagrams = UdpLoad::start(&net.client, &net.server, SERVER4, 9, 8, 200);
    let mut streams = Iperf::start(&net.client, &net.server, SERVER4, 4);
    streams.wait_for_progress(STREAM_BYTES, SLOW);

    let generation = || gate.status()["generation"].as_u64().unwrap_or_default();
    let first = generation();
    let started = Instant::now();
    let mut number = 0;
    let mut reloads = 0;
    while reloads < RELOADS && (started.elapsed() < TIME_MAX || reloads < RELOADS_MIN) {
        // Signals that meet each other are one, so ten at a time.
        for _ in 0..10 {
            number += 1;
            fs::write(gate.path("new.rules"), rules(number)).expect("room for a file");
            fs::rename(gate.path("new.rules"), gate.path("test.rules")).expect("the same directory");
            gate.signal(Signal::USR2);
            std::thread::sleep(Duration::from_millis(120));
        }
        reloads = generation() - first;
    }
    eprintln!("{reloads} reloads in {:.1?}", started.elapsed());
    streams.wait_for_progress(STREAM_BYTES, SLOW);
    drop(streams);
    eprintln!("no stream broke");
    let longest = heartbeats.finish();
    let (sent, missing) = datagrams.finish(SLOW);
    assert_eq!(missing, 0, "of {sent} datagrams");
    let rows = queues(&net.gateway);
    assert!(rows.iter().all(|row| row.dropped == 0 && row.user_dropped == 0), "{rows:?}");

    let mut curious = connection(&net);
    ask(&mut curious, b"go round").expect("an alert lets pass");
    let alert = gate.wait_for_alerts(1_000_004, 1).remove(0);
    let status = gate.status();
    let fates = &status["stats"]["fates"];
    let reinspected = fates["reinspected"].as_u64().unwrap_or_default();
    eprintln!(
        "{reinspected} times a cleared stream was looked into again; {sent} datagrams; longest trip {longest:.1?}"
    );
    assert!(reinspected >= reloads, "{fates}");
    assert_eq!(alert["tidegate"]["generation"], status["generation"]);
    assert_eq!(alert["tidegate"]["ruleset"], fates["ruleset"], "{alert}");
    assert_eq!(fates["ruleset"].as_str().map(str::len), Some(16));
    let table = net.gateway.sh("nft list chain inet tidegate gate");
    assert!(table.contains(fates["ruleset"].as_str().unwrap_or("?")), "the table says whose it is:\n{table}");
}

/// With a flowtable cleared connections meet no chain at all; a kernel that has none refuses by name.
pub const FLOWTABLE: Scenario =
    Scenario { name: "fates::flowtable", needs: &[Need::Queue], seconds_max: 60, run: flowtable };

fn flowtable() {
    const BODY: usize = 3_000_000;
    let net = Topology::new();
    serve_http(&net.server, HTTP);
    let rules = r#"alert tcp any any -> any 80 (msg:"E2E cleared"; flow:to_server,established; content:"GET"; bypass; noalert; sid:1000001; rev:1;)"#;
    let mut gate = Gate::new(&net.gateway, rules).with("--set fate.flowtable=yes");
    let has_it =
        net.gateway.nft("table inet t { flowtable f { hook ingress priority 0; devices = { lan }; }; }").is_ok();
    if !has_it {
        let output = gate.command().stderr(std::process::Stdio::piped()).output().expect("the program can be started");
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &gate.log();
        assert!(!output.status.success() && told.contains("fate.flowtable"), "{told}");
        assert!(net.gateway.sh("nft list tables").trim().is_empty(), "nothing of it remains");
        return;
    }
    net.gateway.sh("nft delete table inet t");
    gate.start();
    let before = counter(&net.gateway, "offered");
    for server in [SERVER4, SERVER6] {
        let reply = http_get(&net.client, server, HTTP, &format!("/bytes/{BODY}")).expect("a reply");
        assert_eq!(reply.body.len(), BODY);
    }
    let (queued, passed) = (counter(&net.gateway, "offered") - before, counter(&net.gateway, "fate_passed"));
    let offloaded = counter(&net.gateway, "fate_offloaded");
    eprintln!(
        "2 downloads of {BODY} bytes: {queued} packets queued, {passed} passed by rule, {offloaded} times offloaded"
    );
    assert!(offloaded >= 2, "{offloaded}");
    assert!(queued + passed < 100, "{queued} + {passed} packets met the chains");
    assert_eq!(gate.status()["stats"]["fates"]["offloaded"], offloaded);
    net.gateway.sh("conntrack -F");
    let moved = || {
        let flows = gate.events("flow");
        flows.iter().filter(|flow| flow["flow"]["bytes_toclient"].as_u64() >= Some(BODY as u64)).count()
    };
    wait_until("the kernel's account of both, what was offloaded included", SLOW, || moved() == 2);
}

/// An established connection to the echo server.
#[track_caller]
fn connection(net: &Topology) -> TcpStream {
    let mut stream = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    ask(&mut stream, b"fine").expect("an echo");
    stream
}

/// `pass` rules that do not reach the kernel: their connections come up, and pass, and are not looked at.
pub const KEPT: Scenario = Scenario { name: "fates::kept", needs: &[Need::Queue], seconds_max: 40, run: kept };

fn kept() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    serve_udp_echo(&net.server, DATAGRAMS);
    let mut gate = Gate::new(&net.gateway, RULES).with("--set fate.clear.pass=no");
    gate.start();
    let mut trusted = connection(&net);
    ask(&mut trusted, b"trust me").expect("it passes");
    let before = counter(&net.gateway, "offered");
    ask(&mut trusted, b"attack").expect("nobody looks any more");
    assert!(counter(&net.gateway, "offered") >= before + 2, "it comes up");
    assert_eq!(counter(&net.gateway, "fate_passed"), 0);
    udp_ask(&net.client, SERVER4, DATAGRAMS, b"others").expect("an echo");
    let fates = &gate.status()["stats"]["conntrack"];
    assert_eq!((&fates["fates_written"], &fates["fates_failed"]), (&0.into(), &0.into()), "{fates}");
}
