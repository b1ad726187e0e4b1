//! Networks other than a plain router's: conntrack zones, a VRF, a bridge.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrAny, SocketType};

use crate::scenario::{Need, Scenario};
use crate::toolbox::SLOW;
use crate::toolbox::gate::{Gate, tidegate_ok};
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, SERVERS, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, http_get, http_get_in_vain, serve_http, tcp_connect};

const ECHO: u16 = 7;
const HTTP: u16 = 80;
const RULES: &str = r#"
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000001; rev:1;)
drop tcp any any -> any 80 (msg:"E2E HTTP"; flow:to_server,established; content:"/attack"; sid:1000002; rev:1;)
"#;

/// Two networks with the same addresses, kept apart by conntrack zones: one 5-tuple twice, and neither knows of the other.
/// Where packets come without their entry their zone is not known, and the gate refuses.
pub const ZONES: Scenario = Scenario { name: "networks::zones", needs: &[Need::Queue], seconds_max: 60, run: zones };

fn zones() {
    let gateway = Netns::create("gateway").expect("a namespace");
    gateway.sysctl("net.ipv4.ip_forward", "1");
    let networks = ["a", "b"].map(|name| Twin::new(&gateway, name));
    gateway
        .nft(
            "table inet zones { chain p { type filter hook prerouting priority raw;
                iifname { lan-a, wan-a } ct zone set 1; iifname { lan-b, wan-b } ct zone set 2; }; }",
        )
        .expect("zones");
    let mut gate = Gate::new(&gateway, RULES);
    if !gives_conntrack(&gateway) {
        let output = gate.command().output().expect("the program can be started");
        assert!(!output.status.success() && gate.log().contains("conntrack zones"), "{}", gate.log());
        return;
    }
    gate.start();
    let [mut one, mut other] = networks.each_ref().map(Twin::connect);
    for half in ["att", "ack"] {
        let stream = if half == "att" { &mut one } else { &mut other };
        ask(stream, half.as_bytes()).expect("halves of an attack in two networks are none");
    }
    ask_in_vain(&mut one, b"attack").expect_err("dropped");
    ask_in_vain(&mut one, b"fine").expect_err("condemned");
    ask(&mut other, b"fine").expect("the same addresses and ports, another connection");
    let alert = &gate.wait_for_alerts(1_000_001, 1)[0];
    assert_eq!(alert["conntrack"]["zone"], 1, "{alert}");
    assert_eq!(gate.status()["flows"], 2);
    let listed = tidegate_ok(&gateway, &["flows", "--socket", &gate.path("command.socket")]);
    assert_eq!(listed.matches("fate=drop").count(), 1, "{listed}");
}

/// Whether packets come with their entries, as the doctor sees it.
fn gives_conntrack(ns: &Netns) -> bool {
    let told: serde_json::Value = serde_json::from_str(&tidegate_ok(ns, &["doctor", "--json"])).expect("JSON");
    let findings = told["findings"].as_array().expect("a list");
    findings.iter().any(|finding| finding["name"] == "queue-conntrack" && finding["state"] == "ok")
}

/// A client and a server behind interfaces of their own; in each network with the very same addresses.
struct Twin {
    client: Netns,
    server: Netns,
}

impl Twin {
    fn new(gateway: &Netns, name: &str) -> Twin {
        let make = |role: &str| Netns::create(&format!("{role}-{name}")).expect("a namespace");
        let twin = Twin { client: make("client"), server: make("server") };
        let table = if name == "a" { 101 } else { 102 };
        for (host, side, net) in [(&twin.client, "lan", 1), (&twin.server, "wan", 2)] {
            gateway.ip(&format!(
                "link add {side}-{name} type veth peer name eth0 netns {host}
                 link set {side}-{name} up
                 route add 10.77.{net}.0/24 dev {side}-{name} table {table}
                 rule add iif {side}-{name} lookup {table}",
                host = host.name()
            ));
            gateway.sysctl(&format!("net.ipv4.conf.{side}-{name}.rp_filter"), "0");
            gateway.sysctl(&format!("net.ipv4.conf.{side}-{name}.proxy_arp"), "1");
            host.ip(&format!(
                "address add 10.77.{net}.2/24 dev eth0
                 link set eth0 up
                 route add default dev eth0"
            ));
        }
        gateway.sysctl("net.ipv4.conf.all.rp_filter", "0");
        serve_tcp_echo(&twin.server, ECHO);
        twin
    }

    /// From the same port in every network.
    fn connect(&self) -> TcpStream {
        let stream = self.client.run(|| {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
            let bind: SocketAddr = "10.77.1.2:40000".parse().expect("an address");
            rustix::net::bind(socket.as_fd(), &SocketAddrAny::from(bind))?;
            rustix::net::connect(socket.as_fd(), &SocketAddrAny::from(SocketAddr::new(SERVER4, ECHO)))?;
            Ok::<_, std::io::Error>(TcpStream::from(socket))
        });
        let stream = stream.expect("a connection");
        stream.set_read_timeout(Some(SLOW)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("TCP");
        stream
    }
}

/// Both interfaces of the gateway belong to a VRF.
pub const VRF: Scenario =
    Scenario { name: "networks::vrf", needs: &[Need::Queue, Need::Vrf], seconds_max: 60, run: vrf };

fn vrf() {
    let net = Topology::new();
    net.gateway
        .ip("link add blue type vrf table 77\nlink set blue up\nlink set lan master blue\nlink set wan master blue");
    // An interface that changes its domain loses its IPv6 addresses.
    net.gateway.ip("address replace fd77:0:1::1/64 dev lan\naddress replace fd77:0:2::1/64 dev wan");
    guards(&net, Gate::new(&net.gateway, RULES), &SERVERS);
}

/// The gateway is a bridge whose packets `br_netfilter` shows to the IP hooks: our own table, as on a router.
pub const BR_NETFILTER: Scenario =
    Scenario { name: "networks::br_netfilter", needs: &[Need::Queue], seconds_max: 60, run: br_netfilter };

fn br_netfilter() {
    let Some(net) = bridged() else { return eprintln!("no bridges in this kernel") };
    let _ = net.gateway.command("modprobe").args(["-q", "br_netfilter"]).status();
    for table in ["iptables", "ip6tables"] {
        net.gateway.sysctl(&format!("net.bridge.bridge-nf-call-{table}"), "1");
    }
    guards(&net, Gate::new(&net.gateway, RULES), &[BRIDGED_SERVER]);
}

/// The gateway is a bridge, and rules of the bridge's own family queue to us; nothing in them asks about connections.
pub const BRIDGE: Scenario =
    Scenario { name: "networks::bridge", needs: &[Need::NftQueue, Need::QueueConntrack], seconds_max: 60, run: bridge };

fn bridge() {
    let Some(net) = bridged() else { return eprintln!("no bridges in this kernel") };
    let rules = "table bridge others { chain forward { type filter hook forward priority 0;
        ether type { ip, ip6 } queue flags bypass to 0; }; }";
    net.gateway.nft(rules).expect("queue in bridges");
    let gate = Gate::new(&net.gateway, RULES).with_queues(0, 1).with("--no-install");
    // Where br_netfilter is loaded, the IP hooks may have each packet, too: see nft/README.md.
    let _ = net.gateway.command("modprobe").args(["-q", "br_netfilter"]).status();
    if net.gateway.run(|| Path::new("/proc/sys/net/bridge").exists()) {
        let switch = |to| {
            for table in ["iptables", "ip6tables"] {
                net.gateway.sysctl(&format!("net.bridge.bridge-nf-call-{table}"), to);
            }
        };
        switch("1");
        assert!(!gate.command().status().expect("the program can be started").success(), "{}", gate.log());
        for named in ["net.bridge.bridge-nf-call-iptables", "bridge others forward handle", "conntrack.br-netfilter"] {
            assert!(gate.log().contains(named), "{named}:\n{}", gate.log());
        }
        switch("0");
    }
    guards(&net, gate, &[BRIDGED_SERVER]);
}

const BRIDGED_SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 1, 3));

/// Client and server in one network, the gateway a bridge between them without an address.
fn bridged() -> Option<Topology> {
    let net = Topology::new();
    if !net.gateway.command("ip").args("link add br0 type bridge".split(' ')).status().expect("ip").success() {
        return None;
    }
    net.gateway.ip(
        "address flush dev lan\naddress flush dev wan\nlink set lan master br0\nlink set wan master br0\nlink set br0 up",
    );
    net.server.ip("address flush dev eth0 scope global\naddress add 10.77.1.3/24 dev eth0");
    Some(net)
}

/// Benign traffic passes, attacks do not, and what was condemned stays so.
#[track_caller]
fn guards(net: &Topology, mut gate: Gate<'_>, servers: &[IpAddr]) {
    serve_tcp_echo(&net.server, ECHO);
    serve_http(&net.server, HTTP);
    gate.start();
    for server in servers {
        assert_eq!(http_get(&net.client, *server, HTTP, "/bytes/100000").expect("benign passes").body.len(), 100_000);
        http_get_in_vain(&net.client, *server, HTTP, "/attack").expect_err("dropped");
        let mut stream = tcp_connect(&net.client, *server, ECHO).expect("a connection");
        ask(&mut stream, b"fine").expect("an echo");
        ask_in_vain(&mut stream, b"attack").expect_err("dropped");
        ask_in_vain(&mut stream, b"fine").expect_err("condemned");
    }
    let alerts = gate.wait_for_alerts(1_000_001, servers.len());
    for alert in &alerts {
        let status = alert["conntrack"]["status"].to_string();
        assert!(status.contains("confirmed"), "the kernel tracks it: {alert}");
    }
    assert_eq!(gate.alerts(1_000_001).len(), servers.len(), "nobody was asked twice");
    gate.stop();
}
