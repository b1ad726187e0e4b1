//! Community ID version 1: one name for a connection across tools.
//!
//! `"1:" + base64(sha1(seed, address, address, protocol, 0, port, port))`, all big-endian, the smaller end first.
//! Specified in `corelight/community-id-spec`.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::text::Protocol;

/// One packet's ends. For ICMP the ports are type and code.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub src_port: u16,
    pub dst_port: u16,
}

pub fn community_id(seed: u16, ends: Ends) -> String {
    let Ends { src, dst, protocol, .. } = ends;
    let (src_port, dst_port, one_way) = ports(ends);
    let in_order = one_way || (src, src_port) < (dst, dst_port);
    let ((src, src_port), (dst, dst_port)) =
        if in_order { ((src, src_port), (dst, dst_port)) } else { ((dst, dst_port), (src, src_port)) };

    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    for address in [src, dst] {
        match address {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
    }
    hash.update([protocol, 0]);
    if Protocol(protocol).has_ports() || Protocol(protocol).is_icmp() {
        hash.update(src_port.to_be_bytes());
        hash.update(dst_port.to_be_bytes());
    }
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

/// Ports as hashed, and whether the packet's direction is the only one: an ICMP message without a counterpart keeps
/// its order.
fn ports(ends: Ends) -> (u16, u16, bool) {
    let table: &[(u16, u16)] = match ends.protocol {
        Protocol::ICMP => &ICMP_COUNTERPARTS,
        Protocol::ICMPV6 => &ICMPV6_COUNTERPARTS,
        _ => return (ends.src_port, ends.dst_port, false),
    };
    let counterpart = table.iter().find_map(|&(request, reply)| match ends.src_port {
        kind if kind == request => Some(reply),
        kind if kind == reply => Some(request),
        _ => None,
    });
    match counterpart {
        Some(other) => (ends.src_port, other, false),
        None => (ends.src_port, ends.dst_port, true),
    }
}

/// Echo, timestamp, information, router discovery, address mask.
const ICMP_COUNTERPARTS: [(u16, u16); 5] = [(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)];

/// Echo, multicast listener, router and neighbour discovery, node information, home agent discovery.
const ICMPV6_COUNTERPARTS: [(u16, u16); 6] = [(128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145)];

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own baseline, and what Suricata 7.0.10 writes for the same packets.
    #[test]
    fn known_connections_have_their_published_names() {
        let cases = [
            ("128.232.110.120", 34855, "66.35.250.204", 80, 6, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            ("66.35.250.204", 80, "128.232.110.120", 34855, 6, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            ("192.168.1.52", 54585, "8.8.8.8", 53, 17, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            ("192.168.170.8", 7, "192.168.170.56", 80, 132, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
            ("192.168.0.89", 8, "192.168.0.1", 0, 1, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
            ("fe80::200:86ff:fe05:80da", 135, "fe80::260:97ff:fe07:69ea", 0, 58, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
            ("155.230.24.155", 32836, "203.255.252.194", 80, 132, "1:/6KQAGEbBef8FMaWb94uWVu+rWE="),
            ("192.168.100.138", 8, "192.168.100.1", 0, 1, "1:TahCATQQ/9lGSZO9NCqjT3GUSfA="),
            ("192.168.100.1", 0, "192.168.100.138", 0, 1, "1:TahCATQQ/9lGSZO9NCqjT3GUSfA="),
            ("10.0.0.1", 54422, "10.0.0.2", 80, 6, "1:SPYgVgvcW0g9bsfBLLnTtlWJezA="),
        ];
        for (src, src_port, dst, dst_port, protocol, expected) in cases {
            let ends = Ends { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol, src_port, dst_port };
            assert_eq!(community_id(0, ends), expected, "{src} {src_port} {dst} {dst_port} {protocol}");
        }
    }

    #[test]
    fn the_seed_changes_the_name() {
        let [src, dst] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let ends = Ends { src, dst, protocol: 6, src_port: 1, dst_port: 2 };
        assert_ne!(community_id(0, ends), community_id(1, ends));
    }
}
