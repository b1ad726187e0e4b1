//! Bytes become header views. Nothing here judges; oddities have names ([`anomaly::Anomaly`]).
//!
//! [`decode`] reads one IP packet. It never panics, never allocates, never reads a byte twice per header, and every slice
//! that it returns lies within the input. A packet inside a packet ([`inner`]) is decoded when it is asked for:
//! [`Decoded::layers`] goes from the outermost to the innermost.
//!
//! What is broken ends the decoding where it stands, and what was understood until there is kept: a TCP header that is
//! cut leaves the IP header, [`Transport::Other`], and an anomaly that says so.

pub mod anomaly;

pub mod link;

pub mod ipv4;

pub mod ipv6;

pub mod tcp;

pub mod udp;

pub mod icmp;

pub mod igmp;

mod gre;

mod erspan;

pub mod inner;

pub mod checksum;

use std::net::{IpAddr, Ipv4Addr};

use self::anomaly::{Anomalies, Anomaly};
use self::inner::TunnelPorts;
use self::link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use crate::packet::ingress::Ingress;

/// Packets within packets that we follow, the outermost included.
pub const LAYER_COUNT_MAX: usize = 8;

/// IP protocol numbers that we look into.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// One IP packet, as far as it could be understood.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'p> {
    /// `None`: not IP, or an IP header that cannot be used.
    pub headers: Option<Headers<'p>>,
    pub anomalies: Anomalies,
}

/// Decodes a packet that starts at its network header. EtherTypes other than IPv4 and IPv6 give neither headers nor anomalies.
#[must_use]
pub fn decode(bytes: &[u8], ethertype: u16) -> Decoded<'_> {
    decode_with(bytes, ethertype, Anomalies::NONE)
}

/// Decodes what a feeder handed over. A packet of which only the beginning was copied to us is not called truncated.
#[must_use]
pub fn decode_ingress<'p>(packet: &Ingress<'p>) -> Decoded<'p> {
    let mut decoded = decode(packet.bytes, packet.ethertype);
    let copied = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
    if let Some(headers) = decoded.headers
        && headers.ip.total_len > copied
        && headers.ip.total_len <= packet.full_len
    {
        decoded.anomalies.remove(Anomaly::Ipv4Truncated);
        decoded.anomalies.remove(Anomaly::Ipv6Truncated);
    }
    decoded
}

fn decode_with(bytes: &[u8], ethertype: u16, mut anomalies: Anomalies) -> Decoded<'_> {
    let parsed = match ethertype {
        ETHERTYPE_IPV4 => ipv4::parse(bytes, &mut anomalies),
        ETHERTYPE_IPV6 => ipv6::parse(bytes, &mut anomalies),
        _ => None,
    };
    let headers = parsed.map(|(ip, body)| {
        let (transport, payload) = parse_transport(&ip, body, &mut anomalies);
        Headers { ip, transport, payload }
    });
    Decoded { headers, anomalies }
}

fn parse_transport<'p>(ip: &Ip<'p>, body: &'p [u8], anomalies: &mut Anomalies) -> (Transport<'p>, &'p [u8]) {
    if ip.fragment_offset != 0 {
        return (Transport::Other, body);
    }
    let parsed = match ip.protocol {
        protocol::TCP => tcp::parse(body, anomalies).map(|(tcp, payload)| (Transport::Tcp(tcp), payload)),
        protocol::UDP => {
            let cut = anomalies.has(Anomaly::Ipv4Truncated) || anomalies.has(Anomaly::Ipv6Truncated);
            udp::parse(body, ip.version, !cut && !ip.is_fragment(), anomalies)
                .map(|(udp, payload)| (Transport::Udp(udp), payload))
        }
        protocol::ICMP if ip.version == 4 => {
            icmp::parse(body, ip, anomalies).map(|(icmp, payload)| (Transport::Icmp(icmp), payload))
        }
        protocol::ICMPV6 if ip.version == 6 => {
            icmp::parse(body, ip, anomalies).map(|(icmp, payload)| (Transport::Icmp(icmp), payload))
        }
        protocol::SCTP => udp::parse_sctp(body, anomalies),
        protocol::ESP if body.len() < 8 => {
            anomalies.add(Anomaly::EspTooSmall);
            None
        }
        _ => None,
    };
    parsed.unwrap_or((Transport::Other, body))
}

impl<'p> Decoded<'p> {
    /// This packet and the packets inside it, outermost first, at most [`LAYER_COUNT_MAX`]; tunnels on standard ports.
    pub fn layers(self) -> impl Iterator<Item = Decoded<'p>> {
        let mut next = Some(self);
        let mut left = LAYER_COUNT_MAX;
        std::iter::from_fn(move || {
            let mut layer = next.take()?;
            left -= 1;
            let inner = layer.headers.and_then(|headers| headers.inner(&TunnelPorts::STANDARD));
            next = inner.map(|inner| inner.decoded);
            if left == 0 && next.take().is_some() {
                layer.anomalies.add(Anomaly::TooManyLayers);
            }
            Some(layer)
        })
    }
}

/// The headers of one packet, all borrowed from it or copied as plain numbers (host byte order).
///
/// For tunnels these are the outer headers; the inner packet has [`Headers`] of its own ([`Headers::inner`]).
#[derive(Clone, Copy, Debug)]
pub struct Headers<'p> {
    pub ip: Ip<'p>,
    pub transport: Transport<'p>,
    /// What follows the last header that was understood: rules call this the payload.
    pub payload: &'p [u8],
}

/// The network header.
#[derive(Clone, Copy, Debug)]
pub struct Ip<'p> {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// 4 or 6.
    pub version: u8,
    /// The protocol of the transport header: for IPv6 what the extension header chain ends in.
    pub protocol: u8,
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// IPv4 identification, or that of an IPv6 fragment header; 0 without.
    pub id: u32,
    pub flow_label: u32,
    /// IPv4 flags: reserved 4, DF 2, MF 1. IPv6: MF 1 from a fragment header.
    pub fragment_flags: u8,
    /// In bytes.
    pub fragment_offset: u16,
    /// Length of the whole IP packet in bytes, as the header says (for super-packets: of the super-packet).
    pub total_len: u32,
    /// IPv4 options or the IPv6 extension headers, raw.
    pub options: &'p [u8],
    /// The IP header with options or extension headers, raw.
    pub header: &'p [u8],
}

impl Ip<'_> {
    const MORE_FRAGMENTS: u8 = 1;

    #[must_use]
    pub fn has_more_fragments(&self) -> bool {
        self.fragment_flags & Self::MORE_FRAGMENTS != 0
    }

    /// One part of a larger packet. An IPv6 fragment header on a whole packet does not make it one.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment_offset != 0 || self.has_more_fragments()
    }
}

/// The transport header.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'p> {
    Tcp(Tcp<'p>),
    Udp(Udp<'p>),
    /// ICMP or ICMPv6, by `Ip::version`.
    Icmp(Icmp<'p>),
    Sctp {
        src_port: u16,
        dst_port: u16,
    },
    /// A later fragment, an unknown protocol, or a transport header that does not parse.
    Other,
}

#[derive(Clone, Copy, Debug)]
pub struct Tcp<'p> {
    pub src_port: u16,
    pub dst_port: u16,
    pub seq: u32,
    pub ack: u32,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    pub reserved: u8,
    pub window: u16,
    pub checksum: u16,
    pub urgent: u16,
    pub options: &'p [u8],
    pub header: &'p [u8],
}

impl<'p> Tcp<'p> {
    /// The options as (kind, data); see [`tcp::Options`].
    #[must_use]
    pub fn parsed_options(&self) -> tcp::Options<'p> {
        tcp::Options::of(self.options)
    }

    /// Whether all of `bits` are set.
    #[must_use]
    pub fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }

    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

#[derive(Clone, Copy, Debug)]
pub struct Udp<'p> {
    pub src_port: u16,
    pub dst_port: u16,
    /// As the header says: header and payload in bytes.
    pub len: u16,
    pub checksum: u16,
    pub header: &'p [u8],
}

#[derive(Clone, Copy, Debug)]
pub struct Icmp<'p> {
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub checksum: u16,
    /// Echo and its relatives; 0 otherwise.
    pub id: u16,
    pub seq: u16,
    pub header: &'p [u8],
}

impl Headers<'_> {
    /// Whether conntrack would have given a good packet of this kind an entry. It never tracks IPv6 neighbour and multicast
    /// listener discovery (`nf_conntrack_icmpv6`), and fragments reach us reassembled.
    #[must_use]
    pub fn is_of_tracked_protocol(&self) -> bool {
        match self.transport {
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Sctp { .. } => true,
            Transport::Icmp(icmp) => self.ip.version == 4 || !matches!(icmp.icmp_type, 130..=137 | 143),
            Transport::Other => matches!(self.ip.protocol, protocol::TCP | protocol::UDP | protocol::ICMP),
        }
    }
}

impl<'p> Headers<'p> {
    /// Headers of a packet that could not be decoded: nothing is known but that it is there.
    pub const UNKNOWN: Headers<'static> = Headers {
        ip: Ip {
            src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            version: 0,
            protocol: 255,
            ttl: 0,
            tos: 0,
            id: 0,
            flow_label: 0,
            fragment_flags: 0,
            fragment_offset: 0,
            total_len: 0,
            options: &[],
            header: &[],
        },
        transport: Transport::Other,
        payload: &[],
    };

    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.ip.version == 0
    }

    /// Source and destination port, 0 where the protocol has none.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        match self.transport {
            Transport::Tcp(tcp) => (tcp.src_port, tcp.dst_port),
            Transport::Udp(udp) => (udp.src_port, udp.dst_port),
            Transport::Sctp { src_port, dst_port } => (src_port, dst_port),
            Transport::Icmp(_) | Transport::Other => (0, 0),
        }
    }

    #[must_use]
    pub fn tcp(&self) -> Option<&Tcp<'p>> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
