//! Bytes become header views. Nothing here judges; oddities have names ([`anomaly::Anomaly`]).

pub mod anomaly;

use std::net::IpAddr;

/// The headers of one packet, all borrowed from it or copied as plain numbers (host byte order).
///
/// For tunnels (IPIP, 6in4, GRE) these are the outermost headers; the inner packet is a [`Headers`] of its own.
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

impl Tcp<'_> {
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
    pub fn tcp(&self) -> Option<&Tcp<'_>> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}
