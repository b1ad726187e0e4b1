//! What conntrack refuses or never tracks passes, unless the user says otherwise; and then it has that name.

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::Gate;
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::topology::{SERVER4, SERVERS, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, serve_udp_echo, tcp_connect, udp_ask, udp_ask_in_vain};
use crate::toolbox::{SLOW, wait_until};

const ECHO: u16 = 7;
const UDP_ECHO: u16 = 5353;
const RULES: &str = r#"drop udp any any -> any 5353 (msg:"E2E attack"; content:"attack"; sid:1000001; rev:1;)"#;

/// Packets of a connection that conntrack knows nothing of any more, and will not pick up, and packets that somebody
/// exempted from it.
pub const INVALID: Scenario = Scenario {
    name: "policy::invalid",
    // Without the entry beside the packet nobody knows what conntrack thinks of it.
    needs: &[Need::Queue, Need::QueueConntrack],
    seconds_max: 60,
    run: invalid,
};

fn invalid() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    serve_udp_echo(&net.server, UDP_ECHO);
    net.gateway.nft("table inet raw { chain p { type filter hook prerouting priority -300; udp dport 5353 notrack; udp sport 5353 notrack; }; }").expect("nft");
    let mut gate = Gate::started(&net.gateway, RULES);
    net.gateway.sysctl("net.netfilter.nf_conntrack_tcp_loose", "0");
    let mut stream = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    ask(&mut stream, b"fine").expect("an echo");
    net.gateway.sh("conntrack -F");
    ask(&mut stream, b"fine").expect("INVALID passes by default");
    for server in SERVERS {
        udp_ask(&net.client, server, UDP_ECHO, b"fine").expect("exempted packets pass by default");
        udp_ask_in_vain(&net.client, server, UDP_ECHO, b"attack").expect_err("and rules look at them");
    }
    wait_until("a count", SLOW, || count(&gate, "/conntrack/invalid") >= 4);
    assert_eq!(count(&gate, "/ips/drop_reason/conntrack_invalid"), 0);
    gate.stop();

    let mut gate = gate.with("--set policy.invalid=drop");
    gate.start();
    ask_in_vain(&mut stream, b"fine").expect_err("the user asked for it");
    let mut fresh = tcp_connect(&net.client, SERVER4, ECHO).expect("connections that conntrack knows pass");
    ask(&mut fresh, b"fine").expect("an echo");
    wait_until("the reason's name", SLOW, || {
        gate.events("drop").iter().any(|drop| drop["drop"]["reason"] == "conntrack invalid")
    });
}

/// Neighbour discovery, which conntrack leaves alone: with `policy.untracked: drop` IPv6 falls silent, and only then.
pub const UNTRACKED: Scenario = Scenario {
    name: "policy::untracked",
    needs: &[Need::Queue, Need::QueueConntrack],
    seconds_max: 60,
    run: untracked,
};

fn untracked() {
    let net = Topology::new();
    serve_udp_echo(&net.gateway, UDP_ECHO);
    let gateway = "fd77:0:1::1".parse().expect("an address");
    let mut gate = Gate::new(&net.gateway, RULES).with("--set gate.hook=host");
    gate.start();
    net.client.sh("ip -6 neigh flush dev eth0");
    udp_ask(&net.client, gateway, UDP_ECHO, b"fine").expect("neighbours are found");
    wait_until("a count", SLOW, || count(&gate, "/conntrack/untracked") > 0);
    gate.stop();

    let mut gate = gate.with("--set policy.untracked=drop");
    gate.start();
    net.client.sh("ip -6 neigh flush dev eth0");
    udp_ask_in_vain(&net.client, gateway, UDP_ECHO, b"fine").expect_err("the user asked for it");
    wait_until("the reason's counter", SLOW, || count(&gate, "/ips/drop_reason/untracked") > 0);
}

fn count(gate: &Gate<'_>, pointer: &str) -> u64 {
    gate.status()["stats"].pointer(pointer).and_then(serde_json::Value::as_u64).expect("a count")
}
