//! What a packet shows of its connection, as the kernel reads it (`nf_ct_get_tuple`). Pure.

use super::view::View;
use crate::packet::conntrack::Tuple;
use crate::packet::decode::icmp::{self, Quoted};
use crate::packet::decode::{Headers, Transport, decode_ingress, protocol};
use crate::packet::ingress::{Hook, Ingress};

const DCCP: u8 = 33;
const UDPLITE: u8 = 136;

/// A packet's tuple, and how it stands to the connection of that tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Packet {
        tuple: Tuple,
        tcp_flags: Option<u8>,
    },
    /// An ICMP error, and the tuple of the packet that it quotes.
    Error {
        quoted: Tuple,
    },
}

/// `None` for what the kernel does not track: not IP, a header that does not parse, a fragment that was not reassembled.
#[must_use]
pub fn shown(packet: &Ingress<'_>) -> Option<Shown> {
    let headers = decode_ingress(packet).headers?;
    if let Transport::Icmp(icmp) = headers.transport
        && icmp::is_error(headers.ip.version, icmp.icmp_type)
    {
        return icmp::quoted(headers.ip.version, headers.payload)
            .and_then(|quoted| tuple_of_quoted(&quoted))
            .map(|quoted| Shown::Error { quoted });
    }
    let tcp_flags = if let Transport::Tcp(tcp) = headers.transport { Some(tcp.flags) } else { None };
    Some(Shown::Packet { tuple: tuple_of(&headers)?, tcp_flags })
}

/// Where a packet is seen from: a chain of ours if its `priority` is known, else one of somebody else's.
#[must_use]
pub fn views(hook: Hook, priority: Option<i32>) -> &'static [View] {
    priority.map_or_else(|| View::guesses(hook), |priority| View::at(hook, priority).only())
}

fn tuple_of(headers: &Headers<'_>) -> Option<Tuple> {
    let (src_port, dst_port) = match headers.transport {
        Transport::Tcp(tcp) => (tcp.src_port, tcp.dst_port),
        Transport::Udp(udp) => (udp.src_port, udp.dst_port),
        Transport::Sctp { src_port, dst_port } => (src_port, dst_port),
        Transport::Icmp(icmp) => (icmp.id, u16::from_be_bytes([icmp.icmp_type, icmp.icmp_code])),
        Transport::Other if headers.ip.fragment_offset != 0 => return None,
        Transport::Other => ports_of_others(headers.ip.protocol, headers.payload)?,
    };
    Some(Tuple { src: headers.ip.src, dst: headers.ip.dst, protocol: headers.ip.protocol, src_port, dst_port })
}

/// Ports of protocols that the decoder does not look into. GRE without PPTP and everything else has none.
fn ports_of_others(protocol: u8, payload: &[u8]) -> Option<(u16, u16)> {
    match protocol {
        protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6 | protocol::SCTP => None,
        DCCP | UDPLITE => first_ports(payload),
        _ => Some((0, 0)),
    }
}

fn tuple_of_quoted(quoted: &Quoted<'_>) -> Option<Tuple> {
    if quoted.fragment_offset != 0 {
        return None;
    }
    let (src_port, dst_port) = match quoted.protocol {
        protocol::ICMP | protocol::ICMPV6 => {
            let (&[kind, code, _, _, i0, i1, ..], _) = quoted.transport.split_first_chunk::<8>()?;
            (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([kind, code]))
        }
        protocol::TCP | protocol::UDP | protocol::SCTP => first_ports(quoted.transport)?,
        other => ports_of_others(other, quoted.transport)?,
    };
    Some(Tuple { src: quoted.src, dst: quoted.dst, protocol: quoted.protocol, src_port, dst_port })
}

fn first_ports(transport: &[u8]) -> Option<(u16, u16)> {
    let (&[s0, s1, d0, d1], _) = transport.split_first_chunk::<4>()?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipv4(protocol: u8, body: &[u8]) -> Vec<u8> {
        let len = u8::try_from(20 + body.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, len, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1];
        packet.extend(body);
        packet
    }

    fn of(bytes: &[u8]) -> Option<Shown> {
        shown(&Ingress::bare(bytes, 0x0800))
    }

    fn tuple(protocol: u8, src_port: u16, dst_port: u16) -> Tuple {
        Tuple { src: [10, 0, 0, 1].into(), dst: [192, 0, 2, 1].into(), protocol, src_port, dst_port }
    }

    #[test]
    fn packets_show_what_the_kernel_keys_on() {
        let udp = [0x9c, 0x40, 0, 53, 0, 8, 0, 0];
        let tcp = [0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0];
        let echo = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
        let unreachable = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &ipv4(17, &udp)].concat();
        let exceeded = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &ipv4(1, &echo)].concat();
        let packet = |tuple, tcp_flags| Some(Shown::Packet { tuple, tcp_flags });
        for (name, bytes, wanted) in [
            ("udp", ipv4(17, &udp), packet(tuple(17, 40000, 53), None)),
            ("tcp", ipv4(6, &tcp), packet(tuple(6, 40000, 80), Some(0x12))),
            ("echo", ipv4(1, &echo), packet(tuple(1, 0x1234, 0x0800), None)),
            ("udplite", ipv4(136, &udp), packet(tuple(136, 40000, 53), None)),
            ("ospf", ipv4(89, &udp), packet(tuple(89, 0, 0), None)),
            ("udp in an error", ipv4(1, &unreachable), Some(Shown::Error { quoted: tuple(17, 40000, 53) })),
            ("echo in an error", ipv4(1, &exceeded), Some(Shown::Error { quoted: tuple(1, 0x1234, 0x0800) })),
            ("tcp header cut", ipv4(6, &tcp[..10]), None),
            ("an error that quotes nothing", ipv4(1, &unreachable[..12]), None),
        ] {
            assert_eq!(of(&bytes), wanted, "{name}");
        }
        let mut later_fragment = ipv4(17, &udp);
        later_fragment[7] = 10;
        assert_eq!(of(&later_fragment), None);
        assert_eq!(shown(&Ingress::bare(&ipv4(17, &udp), 0x0806)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_show_something_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..128), v6: bool) {
            let _ = shown(&Ingress::bare(&bytes, if v6 { 0x86dd } else { 0x0800 }));
        }
    }
}
