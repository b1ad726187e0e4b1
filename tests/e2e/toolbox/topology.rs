//! The network that nearly every scenario runs in.
//!
//! ```text
//!  ┌─ client ───────┐       ┌─ gateway ──────────────────────┐       ┌─ server ───────┐
//!  │           eth0 ├───────┤ lan          forwards      wan ├───────┤ eth0           │
//!  │      10.77.1.2 │       │ 10.77.1.1            10.77.2.1 │       │ 10.77.2.2      │
//!  │   fd77:0:1::2  │       │ fd77:0:1::1        fd77:0:2::1 │       │ fd77:0:2::2    │
//!  └────────────────┘       └────────────────────────────────┘       └────────────────┘
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netns::Netns;

pub const SERVER4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 2, 2));
pub const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 2, 0, 0, 0, 0, 2));

/// The server's addresses, one per family.
pub const SERVERS: [IpAddr; 2] = [SERVER4, SERVER6];

/// Three namespaces, the middle one forwarding IPv4 and IPv6 between the outer ones.
pub struct Topology {
    pub client: Netns,
    pub gateway: Netns,
    pub server: Netns,
}

impl Topology {
    #[track_caller]
    pub fn new() -> Topology {
        let make = |role| Netns::create(role).unwrap_or_else(|error| panic!("cannot make namespace {role}: {error}"));
        let topology = Topology { client: make("client"), gateway: make("gateway"), server: make("server") };
        for ns in [&topology.client, &topology.gateway, &topology.server] {
            // Without it the link-local addresses are tentative for two seconds, and no neighbour is found so long.
            ns.sysctl("net.ipv6.conf.all.accept_dad", "0");
            ns.sysctl("net.ipv6.conf.default.accept_dad", "0");
        }
        topology.join(&topology.client, "lan", 1);
        topology.join(&topology.server, "wan", 2);
        topology.gateway.sysctl("net.ipv4.ip_forward", "1");
        topology.gateway.sysctl("net.ipv6.conf.all.forwarding", "1");
        topology
    }

    fn join(&self, host: &Netns, interface: &str, net: u8) {
        self.gateway.ip(&format!(
            "link add {interface} type veth peer name eth0 netns {host}
             address add 10.77.{net}.1/24 dev {interface}
             address add fd77:0:{net}::1/64 dev {interface}
             link set {interface} up",
            host = host.name()
        ));
        host.ip(&format!(
            "address add 10.77.{net}.2/24 dev eth0
             address add fd77:0:{net}::2/64 dev eth0
             link set eth0 up
             route add default via 10.77.{net}.1
             route add default via fd77:0:{net}::1"
        ));
    }
}
