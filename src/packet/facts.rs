//! From a packet to what its events say of it. Runs only when there is an event.

use super::conntrack::{Conntrack, Direction, Tuple};
use super::decode::igmp::Igmp;
use super::decode::{self, Headers, Transport};
use super::event::{HeaderFacts, IcmpFacts, PacketFacts, TcpFacts};
use super::flow::Flow;
use super::ingress::{Ingress, Timestamp, VlanTags};

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
        igmp: Igmp::of(headers),
        direction,
        conntrack: packet.conntrack.filter(|_| packet.carrier.is_none()).map(|tracked| *tracked.entry),
        carrier: packet.carrier.copied(),
        header: header(headers),
    }
}

/// A flow whose last packet is long gone: its ends as its opener used them.
#[must_use]
pub fn of_flow(flow: &Flow, entry: &Conntrack, now: Timestamp) -> PacketFacts {
    let Tuple { src, dst, src_port, dst_port, protocol, .. } = entry.orig;
    let has_ports = !matches!(protocol, decode::protocol::ICMP | decode::protocol::ICMPV6);
    PacketFacts {
        timestamp: now,
        flow_id: Some(flow.id),
        in_ifindex: flow.in_ifindex,
        out_ifindex: 0,
        vlan: VlanTags::default(),
        pcap_cnt: 0,
        src,
        dst,
        src_port: if has_ports { src_port } else { 0 },
        dst_port: if has_ports { dst_port } else { 0 },
        protocol,
        icmp: None,
        igmp: None,
        direction: Some(Direction::Original),
        conntrack: flow.carrier().is_none().then_some(*entry),
        carrier: flow.carrier().copied(),
        header: HeaderFacts::default(),
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
