//! ICMP (RFC 792) and ICMPv6 (RFC 4443).

use std::net::IpAddr;

use super::anomaly::{Anomalies, Anomaly};
use super::{Icmp, Ip, ipv4, ipv6};

pub const HEADER_BYTES: usize = 8;

/// ICMPv4 types.
pub mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    pub const TIMESTAMP: u8 = 13;
    pub const TIMESTAMP_REPLY: u8 = 14;
    pub const INFORMATION: u8 = 15;
    pub const INFORMATION_REPLY: u8 = 16;
    pub const ADDRESS_MASK: u8 = 17;
    pub const ADDRESS_MASK_REPLY: u8 = 18;
}

/// ICMPv6 types.
pub mod v6 {
    pub const UNREACHABLE: u8 = 1;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const ECHO: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const NODE_QUERY: u8 = 139;
    pub const NODE_REPLY: u8 = 140;
}

/// The header and what follows its 8 bytes; `None` when there is no usable header.
pub(super) fn parse<'p>(bytes: &'p [u8], ip: &Ip<'p>, anomalies: &mut Anomalies) -> Option<(Icmp<'p>, &'p [u8])> {
    let Some((&[icmp_type, icmp_code, c0, c1, i0, i1, s0, s1], payload)) = bytes.split_first_chunk::<HEADER_BYTES>()
    else {
        anomalies.add(if ip.version == 4 { Anomaly::Icmpv4TooSmall } else { Anomaly::Icmpv6TooSmall });
        return None;
    };
    let identified = if ip.version == 4 {
        matches!(icmp_type, v4::ECHO_REPLY | v4::ECHO | v4::TIMESTAMP..=v4::ADDRESS_MASK_REPLY)
    } else {
        matches!(icmp_type, v6::ECHO | v6::ECHO_REPLY)
    };
    let icmp = Icmp {
        icmp_type,
        icmp_code,
        checksum: u16::from_be_bytes([c0, c1]),
        id: if identified { u16::from_be_bytes([i0, i1]) } else { 0 },
        seq: if identified { u16::from_be_bytes([s0, s1]) } else { 0 },
        header: bytes.get(..HEADER_BYTES)?,
    };
    if ip.version == 4 {
        judge_v4(&icmp, payload, anomalies);
    } else {
        judge_v6(&icmp, payload, ip.ttl, anomalies);
    }
    Some((icmp, payload))
}

/// Whether messages of this type quote the packet that they complain about.
#[must_use]
pub fn is_error(ip_version: u8, icmp_type: u8) -> bool {
    if ip_version == 4 {
        matches!(
            icmp_type,
            v4::UNREACHABLE | v4::SOURCE_QUENCH | v4::REDIRECT | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM
        )
    } else {
        // As icmpv6_error_message does: everything below 128 is an error.
        icmp_type < 128
    }
}

/// What an ICMP error says of the packet that caused it. Ports are 0 where they were not quoted or the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'p> {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    /// The transport header as far as it was quoted: routers send 8 bytes at least.
    pub transport: &'p [u8],
    /// In bytes; a quoted later fragment has no ports.
    pub fragment_offset: u16,
}

/// Reads the packet quoted in an error's payload. It is cut almost always, so nothing is reported about its lengths.
#[must_use]
pub fn quoted(ip_version: u8, payload: &[u8]) -> Option<Quoted<'_>> {
    // Anomalies of a quote say nothing about the packet that carries it.
    let mut ignored = Anomalies::NONE;
    let (ip, transport) =
        if ip_version == 4 { ipv4::parse(payload, &mut ignored)? } else { ipv6::parse(payload, &mut ignored)? };
    Some(Quoted { src: ip.src, dst: ip.dst, protocol: ip.protocol, transport, fragment_offset: ip.fragment_offset })
}

fn judge_v4(icmp: &Icmp<'_>, payload: &[u8], anomalies: &mut Anomalies) {
    let code_max = match icmp.icmp_type {
        v4::UNREACHABLE => 15,
        v4::REDIRECT => 3,
        v4::TIME_EXCEEDED => 1,
        v4::PARAMETER_PROBLEM => 2,
        // Photuris failures, extended echo reply (RFC 8335).
        40 => 5,
        43 => 4,
        v4::ECHO_REPLY
        | v4::SOURCE_QUENCH
        | v4::ECHO
        | 9
        | 10
        | v4::TIMESTAMP..=v4::ADDRESS_MASK_REPLY
        | 30..=39
        | 41
        | 42 => {
            // Mobile IP gives router advertisements code 16 (RFC 5944).
            if icmp.icmp_type == 9 { 16 } else { 0 }
        }
        _ => {
            anomalies.add(Anomaly::Icmpv4UnknownType);
            return;
        }
    };
    if icmp.icmp_code > code_max {
        anomalies.add(Anomaly::Icmpv4UnknownCode);
    }
    if is_error(4, icmp.icmp_type) {
        match payload.first() {
            _ if payload.len() < ipv4::HEADER_BYTES => anomalies.add(Anomaly::Icmpv4QuoteTruncated),
            Some(first) if first >> 4 != 4 => anomalies.add(Anomaly::Icmpv4QuoteVersion),
            _ => {}
        }
    }
}

fn judge_v6(icmp: &Icmp<'_>, payload: &[u8], hop_limit: u8, anomalies: &mut Anomalies) {
    let code_max = match icmp.icmp_type {
        v6::UNREACHABLE => 8,
        3 => 1,
        v6::PARAMETER_PROBLEM => 10,
        2 | v6::ECHO | v6::ECHO_REPLY | 133..=137 | 141..=149 | 151..=153 | 160 => 0,
        // Multicast listener discovery is for one link.
        130..=132 => {
            if hop_limit != 1 {
                anomalies.add(Anomaly::Icmpv6MldHopLimit);
            }
            0
        }
        138 => 255,
        v6::NODE_QUERY | v6::NODE_REPLY => 2,
        150 | 154..=159 | 161 => 255,
        100 | 101 | 200 | 201 => {
            anomalies.add(Anomaly::Icmpv6Experimental);
            return;
        }
        5..=99 | 102..=126 | 162..=199 | 202..=254 => {
            anomalies.add(Anomaly::Icmpv6Unassigned);
            return;
        }
        _ => {
            anomalies.add(Anomaly::Icmpv6UnknownType);
            return;
        }
    };
    if icmp.icmp_code > code_max {
        anomalies.add(Anomaly::Icmpv6UnknownCode);
    }
    if (1..=4).contains(&icmp.icmp_type) {
        match payload.first() {
            _ if payload.len() < ipv6::HEADER_BYTES => anomalies.add(Anomaly::Icmpv6QuoteTruncated),
            Some(first) if first >> 4 != 6 => anomalies.add(Anomaly::Icmpv6QuoteVersion),
            _ => {}
        }
    }
}

impl Quoted<'_> {
    /// Both ports of a transport that has them in its first four bytes.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        let (&[s0, s1, d0, d1], _) = self.transport.split_first_chunk::<4>()?;
        Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
    }
}
