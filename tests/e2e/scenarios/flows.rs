//! `tidegate flows`: the kernel's table with our fates, followed and ended from outside.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, binary, counter, tidegate, tidegate_ok};
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, SERVER6, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, serve_udp_echo, tcp_connect, udp_ask};
use crate::toolbox::{SENT_AGAIN, SLOW, wait_until};

const ECHO: u16 = 7;
const RULES: &str = r#"
alert tcp any any -> any 7 (msg:"E2E curious"; flow:to_server,established; content:"curious"; sid:1000001; rev:1;)
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000002; rev:1;)
"#;

/// Connections are listed with what the gate knows, and with what the kernel knows when the gate is gone.
pub const LISTED: Scenario = Scenario { name: "flows::listed", needs: &[Need::Queue], seconds_max: 40, run: listed };

fn listed() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    serve_udp_echo(&net.server, 5353);
    let mut gate = Gate::started(&net.gateway, RULES);
    let mut curious = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    let mut attacker = tcp_connect(&net.client, SERVER6, ECHO).expect("a connection");
    udp_ask(&net.client, SERVER4, 5353, b"echo").expect("an echo");
    ask(&mut curious, b"curious").expect("an alert lets pass");
    ask_in_vain(&mut attacker, b"attack").expect_err("the attack is dropped");
    gate.wait_for_alerts(1_000_002, 1);

    let all = flows(&gate, &net.gateway, &[]);
    assert!(all.len() >= 3, "{all:?}");
    let one = only(flows(&gate, &net.gateway, &["--port", &port(&curious)]));
    assert_eq!(one["conntrack"]["orig"]["src_port"].to_string(), port(&curious));
    assert_eq!(one["tidegate"]["fate"], "inspect");
    assert_eq!(one["tidegate"]["last_sid"], 1_000_001);
    assert_eq!(one["tidegate"]["generation"], gate.status()["generation"]);
    assert!(one["flow"]["bytes_toserver"].as_u64() > Some(0), "{one}");
    let dropped = only(flows(&gate, &net.gateway, &["--fate", "drop"]));
    assert_eq!(dropped["conntrack"]["orig"]["src_port"].to_string(), port(&attacker));
    assert_eq!(dropped["tidegate"]["fate_in_kernel"], true, "{dropped}");
    assert_eq!(flows(&gate, &net.gateway, &["-p", "udp", "--address", "10.77.0.0/16"]).len(), 1);
    assert_eq!(flows(&gate, &net.gateway, &["--address", "192.0.2.0/24"]).len(), 0);

    let socket = gate.path("command.socket");
    let lines = tidegate_ok(&net.gateway, &["flows", "--socket", &socket, "--port", "7"]);
    assert!(lines.lines().any(|line| line.contains("sid=1000001") && line.starts_with("tcp ")), "{lines}");
    assert!(lines.lines().any(|line| line.contains("fate=drop")), "{lines}");

    gate.kill();
    let output = tidegate(&net.gateway, &["flows", "--socket", &socket, "--fate", "drop"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.lines().count() == 1, "{out}{err}");
    assert!(err.contains("no gate answers"), "{err}");
}

/// What is killed ends at once in the kernel, what is not goes on; and all of it is seen by who follows.
pub const KILLED: Scenario = Scenario { name: "flows::killed", needs: &[Need::Queue], seconds_max: 60, run: killed };

fn killed() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let mut gate = Gate::started(&net.gateway, RULES);
    let socket = gate.path("command.socket");
    let kill = |filter: &[&str]| {
        let args: Vec<&str> = ["flows", "kill", "--socket", &socket].iter().chain(filter).copied().collect();
        tidegate(&net.gateway, &args)
    };
    let follower = Follower::start(&net.gateway, &gate);
    let mut others = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    let mut reset = tcp_connect(&net.client, SERVER6, ECHO).expect("a connection");
    let mut silent = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    for stream in [&mut others, &mut reset, &mut silent] {
        ask(stream, b"fine").expect("an echo");
    }
    let mut attacker = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    ask_in_vain(&mut attacker, b"attack").expect_err("the attack is dropped");
    follower.wait_for("[FATE]", &format!("sport={} ", port(&attacker)));

    let all = kill(&[]);
    assert!(!all.status.success(), "everything was killed for want of a filter");
    assert!(String::from_utf8_lossy(&all.stderr).contains("--all"));
    ask(&mut others, b"fine").expect("nothing has changed");

    expect_condemned(&kill(&["--port", &port(&silent), "-p", "tcp"]), 1);
    let before = counter(&net.gateway, "fate_dropped");
    ask_in_vain(&mut silent, b"fine").expect_err("condemned");
    wait_until("nftables to drop it", SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > before);
    expect_condemned(&kill(&["--port", &port(&silent)]), 0);

    expect_condemned(&kill(&["--reject", "--src", &address(&reset), "--port", &port(&reset)]), 1);
    let error = ask(&mut reset, b"fine").expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    ask(&mut others, b"fine").expect("others go on");

    for change in ["[NEW]", "[FATE]"] {
        follower.wait_for(change, &format!("sport={} ", port(&silent)));
    }
    net.gateway.sh(&format!("conntrack -D -p tcp --sport {}", port(&others)));
    follower.wait_for("[DESTROY]", &format!("sport={} ", port(&others)));
    ask(&mut others, b"fine").expect("its next packet makes a new entry");

    gate.kill();
    expect_condemned(&kill(&["--port", &port(&others)]), 1);
    ask_in_vain(&mut others, b"fine").expect_err("the kernel drops it with no gate running");
}

#[track_caller]
fn expect_condemned(output: &std::process::Output, count: usize) {
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(told.starts_with(&format!("{count} connection")), "{told}{error}");
}

fn flows(gate: &Gate<'_>, ns: &Netns, filter: &[&str]) -> Vec<Value> {
    let socket = gate.path("command.socket");
    let args: Vec<&str> = ["flows", "--json", "--socket", &socket].iter().chain(filter).copied().collect();
    let lines = tidegate_ok(ns, &args);
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[track_caller]
fn only(mut flows: Vec<Value>) -> Value {
    assert_eq!(flows.len(), 1, "{flows:?}");
    flows.remove(0)
}

/// The client's port: no two connections of a scenario share it.
fn port(stream: &TcpStream) -> String {
    stream.local_addr().expect("it is bound").port().to_string()
}

fn address(stream: &TcpStream) -> String {
    stream.local_addr().expect("it is bound").ip().to_string()
}

/// `tidegate flows -E`, writing to a file.
struct Follower {
    child: Child,
    path: String,
}

impl Follower {
    fn start(ns: &Netns, gate: &Gate<'_>) -> Follower {
        let path = gate.path("followed");
        let out = File::create(&path).expect("room for a file");
        let mut command = ns.command(&binary().to_string_lossy());
        command.args(["flows", "-E", "--socket", &gate.path("command.socket")]).stdout(out).stdin(Stdio::null());
        let follower = Follower { child: command.spawn().expect("the program can be started"), path };
        // It hears nothing of what was before it: a connection of a port that nobody serves shows when it listens.
        let mut attempt = 0;
        wait_until("the follower to listen", SLOW, || {
            attempt += 1;
            ns.sh(&format!(
                "conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport {} --dport 9 -t 60",
                20_000 + attempt
            ));
            std::thread::sleep(Duration::from_millis(200));
            follower.lines().contains("[NEW]")
        });
        follower
    }

    fn lines(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&self, change: &str, what: &str) {
        let seen = || self.lines().lines().any(|line| line.contains(change) && line.contains(what));
        wait_until(&format!("{change} {what}"), SLOW, seen);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- flows -E ---\n{}", self.lines());
        }
    }
}
