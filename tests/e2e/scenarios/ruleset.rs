//! Our table among others: what is installed, what is left alone, who feeds the queues.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nfq::{Queue, Verdict};

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, queueing_is_installed, tidegate, tidegate_ok};
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, SERVERS, Topology};
use crate::toolbox::traffic::{http_get, http_get_in_vain, serve_http, tcp_connect};
use crate::toolbox::{FOREIGN_RULESET, queues};

const RULES: &str =
    r#"drop tcp any any -> any 80 (msg:"E2E"; flow:to_server,established; content:"/attack"; sid:1000001; rev:1;)"#;

/// `install --print` is nft's language, and means exactly what `install` does.
pub const PRINT: Scenario = Scenario { name: "ruleset::print", needs: &[Need::NftQueue], seconds_max: 40, run: print };

fn print() {
    for hook in ["forward", "host", "prerouting"] {
        let printed = Netns::create("printed").expect("a namespace");
        let installed = Netns::create("installed").expect("a namespace");
        let text = tidegate_ok(&printed, &["install", "--hook", hook, "--print"]);
        let mut check = printed.command("nft").args(["-c", "-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
        check.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("nft reads");
        assert!(check.wait().expect("nft ends").success(), "nft -c refuses:\n{text}");
        assert_eq!(printed.sh("nft list ruleset"), "", "printing installs nothing");

        printed.nft(&text).expect("what was checked can be loaded");
        tidegate_ok(&installed, &["install", "--hook", hook]);
        assert_eq!(printed.sh("nft list ruleset"), installed.sh("nft list ruleset"), "hook {hook}");
        tidegate_ok(&installed, &["remove"]);
        assert_eq!(installed.sh("nft list ruleset"), "");
    }
}

/// A busy ruleset of somebody else stays as it is, byte by byte, whatever becomes of us.
pub const FOREIGN: Scenario =
    Scenario { name: "ruleset::foreign", needs: &[Need::Queue], seconds_max: 60, run: foreign };

fn foreign() {
    let net = Topology::new();
    serve_http(&net.server, 80);
    net.gateway.nft(FOREIGN_RULESET).expect("a ruleset that this kernel takes");
    net.gateway.sh("iptables -A FORWARD -p tcp --dport 6667 -j DROP");
    net.gateway.sh("ip6tables -t mangle -A POSTROUTING -p udp --dport 6667 -j MARK --set-mark 7");
    let before = net.gateway.sh("nft list ruleset");

    tidegate_ok(&net.gateway, &["install"]);
    assert_eq!(before, others(&net.gateway), "after install");
    tidegate_ok(&net.gateway, &["remove"]);
    assert_eq!(before, net.gateway.sh("nft list ruleset"), "after remove");

    let mut gate = Gate::started(&net.gateway, RULES);
    assert_eq!(before, others(&net.gateway), "while running");
    assert_eq!(http_get(&net.client, SERVER4, 80, "/").expect("benign passes").status, 200);
    gate.kill();
    assert_eq!(before, others(&net.gateway), "after kill -9");
    gate.start();
    gate.stop();
    assert_eq!(before, others(&net.gateway), "after a graceful stop");
    assert!(queueing_is_installed(&net.gateway), "a stop leaves the table, with bypass");
    assert_eq!(http_get(&net.client, SERVER4, 80, "/").expect("nobody listens, all passes").status, 200);

    let mut gate = gate.with("--remove-on-exit");
    gate.start();
    gate.stop();
    assert_eq!(before, net.gateway.sh("nft list ruleset"), "after --remove-on-exit");
}

/// The ruleset without our table.
fn others(ns: &Netns) -> String {
    let ruleset = ns.sh("nft list ruleset");
    let (head, rest) = ruleset.split_once("table inet tidegate {").expect("our table is there");
    let (_, tail) = rest.split_once("\n}\n").expect("our table ends");
    format!("{head}{tail}")
}

/// A second copy says so and stops, and the first goes on.
pub const SECOND_COPY: Scenario =
    Scenario { name: "ruleset::second_copy", needs: &[Need::Queue], seconds_max: 40, run: second_copy };

fn second_copy() {
    let net = Topology::new();
    serve_http(&net.server, 80);
    let gate = Gate::started(&net.gateway, RULES);
    let before = net.gateway.sh("nft list ruleset");
    let rows = queues(&net.gateway);

    // The same socket, and one of its own: it must notice the queues, too.
    let elsewhere = Gate::new(&net.gateway, RULES);
    for mut second in [gate.command(), elsewhere.command()] {
        let output = second.stderr(Stdio::piped()).output().expect("the program can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "a second copy started: {said}");
        assert!(said.to_lowercase().contains("another"), "it does not say what is wrong: {said}");
    }
    assert_eq!(before, net.gateway.sh("nft list ruleset"));
    assert_eq!(rows.len(), queues(&net.gateway).len());
    assert_eq!(http_get(&net.client, SERVER4, 80, "/").expect("the first copy works").status, 200);
    http_get_in_vain(&net.client, SERVER4, 80, "/attack").expect_err("the first copy inspects");
    gate.wait_for_alerts(1_000_001, 1);
}

/// As the queue target of rules that somebody else wrote, without a table of ours.
pub const DROP_IN: Scenario =
    Scenario { name: "ruleset::drop_in", needs: &[Need::Queue], seconds_max: 40, run: drop_in };

fn drop_in() {
    let net = Topology::new();
    serve_http(&net.server, 80);
    for iptables in ["iptables", "ip6tables"] {
        net.gateway.sh(&format!("{iptables} -A FORWARD -m conntrack --ctstate INVALID -j DROP"));
        net.gateway.sh(&format!("{iptables} -A FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass"));
    }
    let before = net.gateway.sh("nft list ruleset");
    let mut gate = Gate::new(&net.gateway, RULES).with_queues(0, 4).with("--no-install");
    gate.start();
    for server in SERVERS {
        assert_eq!(http_get(&net.client, server, 80, "/").expect("benign passes").status, 200);
        http_get_in_vain(&net.client, server, 80, "/attack").expect_err("the attack is dropped");
    }
    gate.wait_for_alerts(1_000_001, 2);
    // Rule counters move; the rules must not.
    let rules = |listed: String| {
        listed.split_whitespace().filter(|word| word.parse::<u64>().is_err()).collect::<Vec<_>>().join(" ")
    };
    let now = net.gateway.sh("nft list ruleset");
    let (theirs, _) = now.split_once("table inet tidegate_conntrack {").expect("the one table of ours comes last");
    assert_eq!(rules(before), rules(theirs.to_owned()));
    gate.stop();
    assert_eq!(http_get(&net.client, SERVER4, 80, "/attack").expect("nobody listens, all passes").status, 200);
    assert!(!tidegate(&net.gateway, &["status", "--socket", &gate.path("command.socket")]).status.success());
}

/// Of 200 connections between two hosts both directions of each meet in one queue, and all queues have work.
/// The `nfq` crate reads the queues in our place, so nothing of ours vouches for itself.
pub const SPREAD: Scenario =
    Scenario { name: "ruleset::spread", needs: &[Need::NftQueue, Need::QueueConntrack], seconds_max: 40, run: spread };

/// Which queues the two directions of a connection were seen in, by its conntrack id.
type Seen = BTreeMap<u32, [BTreeSet<u16>; 2]>;

fn spread() {
    const CONNECTIONS: usize = 200;
    let net = Topology::new();
    net.gateway
        .nft("table ip nat { chain postrouting { type nat hook postrouting priority srcnat; oifname wan masquerade; }; }")
        .expect("the kernel does NAT");
    for server in SERVERS {
        let seen = Arc::new(Mutex::new(Seen::new()));
        let first = if server == SERVER4 { 7400 } else { 7500 };
        for number in first..first + 4 {
            read_queue(&net.gateway, number, Arc::clone(&seen));
        }
        tidegate_ok(&net.gateway, &["install", "-q", &format!("{first}:{}", first + 3)]);

        let listener = net.server.run(|| TcpListener::bind((server, 80))).expect("a free port");
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = tcp_connect(&net.client, server, 80).expect("a connection");
            let (mut accepted, _) = listener.accept().expect("a connection");
            client.write_all(b"to server").expect("room");
            accepted.write_all(b"to client").expect("room");
            open.push((client, accepted));
        }
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(seen.len(), CONNECTIONS, "one conntrack id a connection");
        let split: Vec<_> = seen.values().filter(|[to, from]| to.len() != 1 || to != from).collect();
        assert!(split.is_empty(), "{} connections to {server} met several queues: {:?}", split.len(), split[0]);
        let mut per_queue = BTreeMap::<u16, usize>::new();
        for queue in seen.values().flat_map(|[to, _]| to) {
            *per_queue.entry(*queue).or_default() += 1;
        }
        eprintln!("{server}: connections per queue {per_queue:?}");
        assert_eq!(per_queue.len(), 4, "a queue without work: {per_queue:?}");
        assert!(per_queue.values().all(|count| *count >= CONNECTIONS / 8), "badly spread: {per_queue:?}");
    }
}

/// Accepts everything in a queue, noting what came where.
fn read_queue(ns: &Netns, number: u16, seen: Arc<Mutex<Seen>>) {
    let mut queue = ns
        .run(|| {
            let mut queue = Queue::open()?;
            queue.bind(number)?;
            queue.set_recv_conntrack(number, true)?;
            Ok::<_, std::io::Error>(queue)
        })
        .expect("a queue with conntrack");
    thread::spawn(move || {
        while let Ok(mut packet) = queue.recv() {
            if let Some(entry) = packet.get_conntrack() {
                // `IP_CT_IS_REPLY` and up: the answering side.
                let reply = matches!(
                    entry.get_state(),
                    nfq::conntrack::State::EstablishedReply | nfq::conntrack::State::RelatedReply
                );
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.entry(entry.get_id()).or_default()[usize::from(reply)].insert(number);
            }
            packet.set_verdict(Verdict::Accept);
            if queue.verdict(packet).is_err() {
                return;
            }
        }
    });
}
