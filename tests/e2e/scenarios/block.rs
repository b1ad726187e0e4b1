//! Addresses that are kept out: by command, and because a rule asks for it.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, tidegate_ok};
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, SERVER6, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, tcp_connect, tcp_connect_in_vain};
use crate::toolbox::{SENT_AGAIN, SLOW, wait_until};

const ECHO: u16 = 7;
const RULES: &str = r#"
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; metadata:tidegate_block src 1h; sid:1000001; rev:1;)
alert tcp any any -> any 7 (msg:"E2E guess"; flow:to_server,established; content:"guess"; metadata:tidegate_block src; sid:1000002; rev:1;)
"#;
const RATE: &str =
    "rate_filter gen_id 1, sig_id 1000002, track by_src, count 3, seconds 60, new_action drop, timeout 60\n";

/// A block ends connections that exist and keeps out new ones, both families and directions, until it is taken back or
/// its time is over; with or without a running gate.
pub const BY_COMMAND: Scenario =
    Scenario { name: "block::by_command", needs: &[Need::Queue], seconds_max: 60, run: by_command };

fn by_command() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let mut gate = Gate::started(&net.gateway, RULES);
    let mut here4 = connect(&net, 3, SERVER4);
    let mut here6 = connect(&net, 3, SERVER6);
    let mut other = connect(&net, 4, SERVER4);

    block(&net.gateway, "add 10.77.1.3");
    block(&net.gateway, "add fd77:0:1::3 --for 1h");
    ask_in_vain(&mut here4, b"anything").expect_err("blocked");
    ask_in_vain(&mut here6, b"anything").expect_err("blocked");
    ask(&mut other, b"fine").expect("nobody else is");
    try_connect(&net, 3, SERVER4, tcp_connect_in_vain).expect_err("no new ones either");
    let listed = block(&net.gateway, "list");
    assert!(listed.contains("10.77.1.3  for good") && listed.contains("fd77:0:1::3  for another 3"), "{listed}");

    gate.kill();
    ask_in_vain(&mut here6, b"anything").expect_err("blocked, by the kernel alone");
    block(&net.gateway, "del 10.77.1.3");
    wait_until("what was sent in vain to be sent again", SENT_AGAIN, || {
        ask(&mut here4, b"").is_ok() && arrived(&mut here4)
    });
    gate.start();
    ask_in_vain(&mut here6, b"anything").expect_err("a start keeps blocks");

    // A server: neither side reaches the other.
    block(&net.gateway, "add 10.77.2.2 --for 10s");
    ask_in_vain(&mut other, b"anything").expect_err("blocked");
    wait_until("the block's time to be over", SLOW, || !block(&net.gateway, "list").contains("10.77.2.2"));
    connect(&net, 4, SERVER4);
}

/// Whether the echo of what was asked while it was blocked has come.
fn arrived(stream: &mut TcpStream) -> bool {
    use std::io::Read;
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout above zero");
    stream.read_exact(&mut [0; 8]).is_ok()
}

/// A rule that drops has its source blocked, also where `rate_filter` makes it drop; all its connections end.
pub const BY_RULE: Scenario = Scenario { name: "block::by_rule", needs: &[Need::Queue], seconds_max: 60, run: by_rule };

fn by_rule() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let gate = Gate::new(&net.gateway, RULES);
    fs::write(gate.path("threshold.config"), RATE).expect("room for a file");
    let thresholds = gate.path("threshold.config");
    let mut gate = gate.with(&format!("--set threshold-file={thresholds} --set gate.never-block=10.77.1.5"));
    gate.start();

    for server in [SERVER4, SERVER6] {
        let mut attacker = connect(&net, 3, server);
        let mut same_host = connect(&net, 3, server);
        let mut other = connect(&net, 4, server);
        ask_in_vain(&mut attacker, b"attack").expect_err("dropped");
        let host = attacker.local_addr().expect("it is bound").ip().to_string();
        wait_until("the block", SLOW, || block(&net.gateway, "list").contains(&host));
        ask_in_vain(&mut same_host, b"fine").expect_err("all of that host is blocked");
        ask(&mut other, b"fine").expect("others are not");
    }

    let mut guesser = connect(&net, 6, SERVER4);
    for _ in 0..2 {
        ask(&mut guesser, b"guess").expect("an alert blocks nobody");
    }
    assert!(!block(&net.gateway, "list").contains("10.77.1.6"));
    wait_until("too many guesses", SLOW, || ask_in_vain(&mut guesser, b"guess").is_err());
    wait_until("the block", SLOW, || block(&net.gateway, "list").contains("10.77.1.6  for another 5"));

    let mut spared = connect(&net, 5, SERVER4);
    let mut goes_on = connect(&net, 5, SERVER4);
    ask_in_vain(&mut spared, b"attack").expect_err("dropped");
    ask(&mut goes_on, b"fine").expect("its host may not be blocked");
    assert!(!block(&net.gateway, "list").contains("10.77.1.5"));
}

/// From `10.77.1.HOST` or `fd77:0:1::HOST`.
#[track_caller]
fn connect(net: &Topology, host: u8, server: IpAddr) -> TcpStream {
    let mut stream = try_connect(net, host, server, tcp_connect).expect("a connection");
    ask(&mut stream, b"fine").expect("an echo");
    stream
}

fn try_connect(
    net: &Topology,
    host: u8,
    server: IpAddr,
    connect: fn(&Netns, IpAddr, u16) -> std::io::Result<TcpStream>,
) -> std::io::Result<TcpStream> {
    let (address, prefix) = match server {
        IpAddr::V4(_) => (format!("10.77.1.{host}"), "10.77.2.2/32"),
        IpAddr::V6(_) => (format!("fd77:0:1::{host:x}"), "fd77:0:2::2/128"),
    };
    let (mask, dad, gateway) = if server.is_ipv4() { (24, "", "10.77.1.1") } else { (64, "nodad", "fd77:0:1::1") };
    net.client.ip(&format!(
        "address replace {address}/{mask} dev eth0 {dad}
         route replace {prefix} via {gateway} src {address}"
    ));
    connect(&net.client, server, ECHO)
}

#[track_caller]
fn block(gateway: &Netns, arguments: &str) -> String {
    let arguments: Vec<&str> = std::iter::once("block").chain(arguments.split_whitespace()).collect();
    tidegate_ok(gateway, &arguments)
}
