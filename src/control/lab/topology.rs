//! The network of the lab.
//!
//! ```text
//!  tglab-PID-c              tglab-PID-g                        tglab-PID-s
//!  ┌─ client ─────────┐     ┌─ gateway ────────────────┐      ┌─ server ─────────┐
//!  │             eth0 ├─────┤ lan   tidegate run   wan ├──────┤ eth0             │
//!  │ user     .10 ::10│     │ 10.71.1.1      10.71.2.1 │      │ 10.71.2.80       │
//!  │ attacker .66 ::66│     │ fd71:0:1::1  fd71:0:2::1 │      │ fd71:0:2::80     │
//!  │ scanner  .67 ::67│     └──────────────────────────┘      └──────────────────┘
//!  └──────────────────┘
//! ```
//!
//! User, attacker and scanner have addresses of their own, so whatever a rule counts by source does not hit the user.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cases::{Family, Sender};
use super::error::LabError;
use super::namespace::Namespace;

/// What stands behind the gate, for `HOME_NET`.
pub const SERVER_NETS: &str = "[10.71.2.0/24,fd71:0:2::/64]";

/// Three namespaces, the middle one forwarding between the outer ones.
#[derive(Debug)]
pub struct Topology {
    pub client: Namespace,
    pub gateway: Namespace,
    pub server: Namespace,
}

impl Topology {
    pub fn build() -> Result<Topology, LabError> {
        let topology = Topology {
            client: Namespace::create("c")?,
            gateway: Namespace::create("g")?,
            server: Namespace::create("s")?,
        };
        for namespace in [&topology.client, &topology.gateway, &topology.server] {
            // Without the first, neighbours stay unanswered for a second while duplicate address detection waits.
            for scope in ["all", "default"] {
                namespace.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0")?;
                namespace.sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "0")?;
            }
            namespace.ip("link set lo up")?;
        }
        topology.join(&topology.client, "lan", 1, &[0x10, 0x66, 0x67])?;
        topology.join(&topology.server, "wan", 2, &[0x80])?;
        topology.gateway.sysctl("net/ipv4/ip_forward", "1")?;
        topology.gateway.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        topology.client.sysctl("net/ipv4/ping_group_range", "0 0")?;
        Ok(topology)
    }

    /// Hosts are numbered so that `0x66` reads `.66` in IPv4 and `::66` in IPv6.
    fn join(&self, host: &Namespace, interface: &str, net: u8, numbers: &[u8]) -> Result<(), LabError> {
        self.gateway.ip(&format!(
            "link add {interface} type veth peer name eth0 netns {peer}\n\
             address add 10.71.{net}.1/24 dev {interface}\n\
             address add fd71:0:{net}::1/64 dev {interface} nodad\n\
             link set {interface} up\n",
            peer = host.name()
        ))?;
        let mut lines = String::new();
        for number in numbers {
            lines += &format!("address add 10.71.{net}.{number:x}/24 dev eth0\n");
            lines += &format!("address add fd71:0:{net}::{number:x}/64 dev eth0 nodad\n");
        }
        lines +=
            &format!("link set eth0 up\nroute add default via 10.71.{net}.1\nroute add default via fd71:0:{net}::1\n");
        host.ip(&lines)
    }
}

#[must_use]
pub fn server(family: Family) -> IpAddr {
    address(family, 2, 80)
}

#[must_use]
pub fn sender(who: Sender, family: Family) -> IpAddr {
    let number = match who {
        Sender::User => 10,
        Sender::Attacker => 66,
        Sender::Scanner => 67,
    };
    address(family, 1, number)
}

fn address(family: Family, net: u8, number: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 71, net, number).into(),
        Family::V6 => Ipv6Addr::new(0xfd71, 0, net.into(), 0, 0, 0, 0, as_read(number)).into(),
    }
}

/// The hexadecimal number that reads like the decimal `number`, below 100.
fn as_read(number: u8) -> u16 {
    u16::from(number / 10) * 16 + u16::from(number % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_a_host_read_alike() {
        assert_eq!(sender(Sender::Attacker, Family::V4).to_string(), "10.71.1.66");
        assert_eq!(sender(Sender::Attacker, Family::V6).to_string(), "fd71:0:1::66");
        assert_eq!(server(Family::V6).to_string(), "fd71:0:2::80");
    }
}
