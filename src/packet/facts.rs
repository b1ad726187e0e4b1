//! From a packet to what its events say of it. Runs only when there is an event.

use super::conntrack::Direction;
use super::decode::{Headers, Transport};
use super::event::{HeaderFacts, IcmpFacts, PacketFacts, TcpFacts};
use super::ingress::{Ingress, Timestamp};

/// Copies what an event needs out of a packet that will soon be gone.
#[must_use]
pub fn of(
    packet: &Ingress<'_>,
    headers: &Headers<'_>,
    flow_id: Option<u64>,
    direction: Option<Direction>,
    now: Timestamp,
) -> PacketFacts {
    let (src_port, dst_port) = headers.ports();
    PacketFacts {
        timestamp: now,
        flow_id,
        in_ifindex: packet.in_ifindex,
        out_ifindex: packet.out_ifindex,
        vlan: packet.vlan,
        pcap_cnt: packet.pcap_cnt,
        src: headers.ip.src,
        dst: headers.ip.dst,
        src_port,
        dst_port,
        protocol: headers.ip.protocol,
        icmp: icmp(headers),
        direction,
        conntrack: packet.conntrack.map(|tracked| *tracked.entry),
        header: header(headers),
    }
}

fn icmp(headers: &Headers<'_>) -> Option<IcmpFacts> {
    match headers.transport {
        Transport::Icmp(icmp) => {
            Some(IcmpFacts { icmp_type: icmp.icmp_type, icmp_code: icmp.icmp_code, id: icmp.id, seq: icmp.seq })
        }
        _ => None,
    }
}

fn header(headers: &Headers<'_>) -> HeaderFacts {
    let (tcp, udp_len) = match headers.transport {
        Transport::Tcp(tcp) => {
            let facts = TcpFacts {
                seq: tcp.seq,
                ack: tcp.ack,
                window: tcp.window,
                reserved: tcp.reserved,
                urgent: tcp.urgent,
                flags: tcp.flags,
            };
            (Some(facts), None)
        }
        Transport::Udp(udp) => (None, Some(udp.len)),
        _ => (None, None),
    };
    HeaderFacts {
        len: headers.ip.total_len,
        tos: headers.ip.tos,
        ttl: headers.ip.ttl,
        // IPv6 identifications have 32 bits; EVE `drop.ipid` is IPv4's.
        ip_id: u16::try_from(headers.ip.id).unwrap_or(0),
        flow_label: headers.ip.flow_label,
        tcp,
        udp_len,
    }
}
