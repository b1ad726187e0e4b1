//! As the queue target of rules that others wrote, with their tools, their ways to spread, and Suricata's modes.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nfq::{Queue, Verdict};

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::Gate;
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, SERVERS, Topology};
use crate::toolbox::traffic::{
    ask, ask_in_vain, http_get, http_get_in_vain, serve_http, tcp_connect, tcp_connect_in_vain,
};
use crate::toolbox::{SLOW, queues, wait_until};

const ECHO: u16 = 7;
const RULES: &str = r#"
drop tcp any any -> any 80 (msg:"E2E"; flow:to_server,established; content:"/attack"; sid:1000001; rev:1;)
drop tcp any any -> any 7 (msg:"E2E echo"; flow:to_server,established; content:"attack"; sid:1000002; rev:1;)
pass tcp any any -> any 7 (msg:"E2E pass"; flow:to_server,established; content:"bypass"; bypass; sid:1000003; rev:1;)
"#;

/// A rule of iptables through both of its kernels' ways, and spread by address or by CPU: attacks end, the rest passes.
pub const IPTABLES: Scenario =
    Scenario { name: "dropin::iptables", needs: &[Need::Queue], seconds_max: 90, run: iptables };

fn iptables() {
    for (variant, spread) in [
        ("nft", "--queue-balance 0:3"),
        ("nft", "--queue-balance 0:3 --queue-cpu-fanout"),
        ("legacy", "--queue-balance 0:3"),
        ("legacy", "--queue-balance 0:3 --queue-cpu-fanout"),
    ] {
        let net = Topology::new();
        if variant == "legacy"
            && !net.gateway.command("iptables-legacy").arg("-L").output().expect("ip").status.success()
        {
            eprintln!("no ip_tables in this kernel: iptables-legacy is left out");
            continue;
        }
        serve_http(&net.server, 80);
        for family in ["iptables", "ip6tables"] {
            let tool = format!("{family}-{variant}");
            net.gateway.sh(&format!("{tool} -A FORWARD -m conntrack --ctstate INVALID -j DROP"));
            net.gateway.sh(&format!("{tool} -A FORWARD -j NFQUEUE {spread} --queue-bypass"));
        }
        guards(&net, Gate::new(&net.gateway, RULES).with_queues(0, 4), &format!("{variant} {spread}"));
    }
}

/// What ufw makes of `deny routed` with `allow 80` (its own chains and order), and of Docker for a published port: the
/// queue rule goes where their documentation wants an administrator's rules, and both keep working.
pub const FIREWALLS: Scenario =
    Scenario { name: "dropin::firewalls", needs: &[Need::Queue], seconds_max: 90, run: firewalls };

fn firewalls() {
    for (name, rules, queue_rule) in [
        ("ufw", include_str!("rulesets/ufw.rules"), "-I ufw-before-forward 1 -j NFQUEUE --queue-num 0 --queue-bypass"),
        ("docker", include_str!("rulesets/docker.rules"), "-I DOCKER-USER 1 -j NFQUEUE --queue-num 0 --queue-bypass"),
    ] {
        let net = Topology::new();
        serve_http(&net.server, 80);
        serve_http(&net.server, 81);
        restore(&net.gateway, rules);
        net.gateway.sh(&format!("iptables {queue_rule}"));
        let mut gate = Gate::new(&net.gateway, RULES).with_queues(0, 1).with("--no-install");
        gate.start();
        assert_eq!(http_get(&net.client, SERVER4, 80, "/").expect(name).status, 200);
        http_get_in_vain(&net.client, SERVER4, 80, "/attack").expect_err(name);
        gate.wait_for_alerts(1_000_001, 1);
        // An accepted packet goes on behind the whole base chain of iptables: the queue rule's place is a decision.
        assert_eq!(http_get(&net.client, SERVER4, 81, "/").expect(name).status, 200, "{name}: our accept is theirs");
        gate.stop();
    }
    // With our own table behind their filter, what they deny stays denied.
    for (name, rules) in
        [("ufw", include_str!("rulesets/ufw.rules")), ("docker", include_str!("rulesets/docker.rules"))]
    {
        let net = Topology::new();
        serve_http(&net.server, 80);
        serve_http(&net.server, 81);
        restore(&net.gateway, rules);
        let gate = Gate::started(&net.gateway, RULES);
        assert_eq!(http_get(&net.client, SERVER4, 80, "/").expect(name).status, 200);
        http_get_in_vain(&net.client, SERVER4, 80, "/attack").expect_err(name);
        tcp_connect_in_vain(&net.client, SERVER4, 81).expect_err("denied by the firewall");
        gate.wait_for_alerts(1_000_001, 1);
    }
}

/// Behind firewalld, with a table of our own: what it denies stays denied, and its reloads, which make its table anew, take
/// nothing from us.
pub const FIREWALLD: Scenario =
    Scenario { name: "dropin::firewalld", needs: &[Need::Queue], seconds_max: 60, run: firewalld };

fn firewalld() {
    const FIREWALLD_RULES: &str = include_str!("rulesets/firewalld.nft");
    let net = Topology::new();
    serve_http(&net.server, 80);
    serve_http(&net.server, 81);
    net.gateway.nft(FIREWALLD_RULES).expect("what firewalld has loaded");
    let gate = Gate::started(&net.gateway, RULES);
    for state in ["as it was found", "reloaded"] {
        assert_eq!(http_get(&net.client, SERVER4, 80, "/bytes/50000").expect(state).status, 200);
        http_get_in_vain(&net.client, SERVER4, 80, "/attack").expect_err(state);
        tcp_connect_in_vain(&net.client, SERVER4, 81).expect_err("denied by the firewall");
        net.gateway.nft(&format!("delete table inet firewalld\n{FIREWALLD_RULES}")).expect("a reload");
    }
    gate.wait_for_alerts(1_000_001, 2);
}

/// The kernel tracks connections only where some rule asks about them.
#[track_caller]
fn track(ns: &Netns) {
    ns.sh("iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP");
}

#[track_caller]
fn restore(ns: &Netns, rules: &str) {
    use std::io::Write;
    let mut child = ns.command("iptables-restore").stdin(Stdio::piped()).spawn().expect("iptables is installed");
    child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success(), "iptables-restore refuses:\n{rules}");
}

#[track_caller]
fn guards(net: &Topology, gate: Gate<'_>, how: &str) {
    let mut gate = gate.with("--no-install");
    gate.start();
    for server in SERVERS {
        for _ in 0..5 {
            assert_eq!(http_get(&net.client, server, 80, "/bytes/50000").expect(how).status, 200, "{how}");
        }
        http_get_in_vain(&net.client, server, 80, "/attack").expect_err(how);
    }
    gate.wait_for_alerts(1_000_001, 2);
    gate.stop();
    assert_eq!(http_get(&net.client, SERVER4, 80, "/attack").expect("all passes").status, 200, "{how}");
}

/// Suricata's `nfq.mode: repeat`: an accepted packet goes round with a mark, the other bits of its mark untouched, and the
/// rules behind the queue rule see it; `bypass-mark` marks what is cleared.
pub const REPEAT: Scenario = Scenario { name: "dropin::repeat", needs: &[Need::Queue], seconds_max: 60, run: repeat };

fn repeat() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    net.gateway
        .nft(
            "table ip marks { counter repeated { }; counter cleared { };
                chain early { type filter hook prerouting priority -310; meta mark set 0xab000000; };
                chain late { type filter hook postrouting priority 0;
                    meta mark 0xab000001 counter name repeated; meta mark & 0xffffff0f == 0xab000003 counter name cleared; }; }",
        )
        .expect("nft");
    track(&net.gateway);
    net.gateway.sh("iptables -A FORWARD -m mark ! --mark 1/1 -j NFQUEUE --queue-num 0 --queue-bypass");
    net.gateway.sh("iptables -A FORWARD -m mark --mark 1/1 -j ACCEPT");
    net.gateway.sh("iptables -P FORWARD DROP");
    let mut gate = Gate::new(&net.gateway, RULES).with_queues(0, 1).with(
        "--no-install --set nfq.mode=repeat --set nfq.repeat-mark=1 --set nfq.repeat-mask=1 --set nfq.bypass-mark=2 --set nfq.bypass-mask=2",
    );
    gate.start();
    let mut stream = tcp_connect(&net.client, SERVER4, ECHO).expect("what comes round is accepted by the second rule");
    ask(&mut stream, b"fine").expect("an echo");
    let repeated = marked(&net.gateway, "repeated");
    assert!(repeated >= 4, "{repeated} packets with the mark, and with the bits of others");
    let mut attack = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    ask_in_vain(&mut attack, b"attack").expect_err("dropped");
    gate.wait_for_alerts(1_000_002, 1);
}

/// `nfq.mode: route`: what we accept goes to another program's queue, and passes where nobody serves that.
pub const ROUTE: Scenario = Scenario { name: "dropin::route", needs: &[Need::Queue], seconds_max: 60, run: route };

fn route() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    track(&net.gateway);
    net.gateway.sh("iptables -A FORWARD -j NFQUEUE --queue-num 0 --queue-bypass");
    let mut gate = Gate::new(&net.gateway, RULES)
        .with_queues(0, 1)
        .with("--no-install --set nfq.mode=route --set nfq.route-queue=9");
    gate.start();
    let mut stream = tcp_connect(&net.client, SERVER4, ECHO).expect("nobody serves queue 9");
    ask(&mut stream, b"fine").expect("an echo");

    let mut other = net
        .gateway
        .run(|| {
            let mut queue = Queue::open()?;
            queue.bind(9)?;
            Ok::<_, std::io::Error>(queue)
        })
        .expect("a queue");
    thread::spawn(move || {
        while let Ok(mut packet) = other.recv() {
            packet.set_verdict(Verdict::Accept);
            if other.verdict(packet).is_err() {
                return;
            }
        }
    });
    ask(&mut stream, b"fine").expect("an echo through two programs");
    let seen = || queues(&net.gateway).iter().find(|row| row.number == 9).map_or(0, |row| row.id_sequence);
    assert!(seen() >= 2, "{:?}", queues(&net.gateway));
    let before = seen();
    ask_in_vain(&mut stream, b"attack").expect_err("dropped by us");
    thread::sleep(Duration::from_millis(200));
    assert!(seen() <= before + 2, "the attack does not reach the other program");
    gate.wait_for_alerts(1_000_002, 1);
}

#[track_caller]
fn marked(ns: &Netns, counter: &str) -> u64 {
    let mut count = 0;
    wait_until("a counter", SLOW, || {
        let listed = ns.sh(&format!("nft list counter ip marks {counter}"));
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        count = words.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        count > 0
    });
    count
}
