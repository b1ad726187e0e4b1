//! Internet checksums (RFC 1071), for packets that nothing below has vouched for.
//!
//! Ask only when `ChecksumStatus` is `NotVerified`: a packet that left this host's own stack, or a super-packet, holds
//! half a checksum that the network card would have completed.

use std::net::IpAddr;

use super::{Headers, Ip, Transport, igmp, ipv6};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What a checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Good,
    Bad,
    /// None was sent, or it cannot be computed: a fragment, a cut packet, a protocol without one.
    Absent,
}

/// Whether the IPv4 header's own checksum holds; IPv6 has none.
#[must_use]
pub fn network(ip: &Ip<'_>) -> Checksum {
    match ip.version {
        4 => judge(Sum::default().plus(ip.header)),
        _ => Checksum::Absent,
    }
}

/// Whether the checksum of TCP, UDP, ICMP, ICMPv6 or IGMP holds.
#[must_use]
pub fn transport(headers: &Headers<'_>) -> Checksum {
    let ip = &headers.ip;
    let (header, protocol) = match headers.transport {
        Transport::Tcp(tcp) => (tcp.header, Some(TCP)),
        Transport::Udp(udp) if udp.checksum == 0 => return Checksum::Absent,
        Transport::Udp(udp) => (udp.header, Some(UDP)),
        Transport::Icmp(icmp) if ip.version == 4 => (icmp.header, None),
        Transport::Icmp(icmp) => (icmp.header, Some(ICMPV6)),
        Transport::Other if igmp::message(headers).is_some() => (&[][..], None),
        Transport::Sctp { .. } | Transport::Other => return Checksum::Absent,
    };
    let len = header.len().saturating_add(headers.payload.len());
    let said = match headers.transport {
        Transport::Udp(udp) if udp.len != 0 => usize::from(udp.len),
        _ => usize::try_from(ip.total_len).unwrap_or(usize::MAX).saturating_sub(ip.header.len()),
    };
    if len != said || ip.is_fragment() || has_route_left(ip) {
        return Checksum::Absent;
    }
    // Header lengths are even, so the payload starts on a word of the sum.
    let sum = Sum::default().plus(header).plus(headers.payload);
    judge(match protocol {
        Some(protocol) => sum.add_pseudo_header(ip, protocol, len),
        None => sum,
    })
}

/// With segments left in a routing header the sum was made with another destination than the one we see.
fn has_route_left(ip: &Ip<'_>) -> bool {
    let (mut next, mut rest) = match ip.header.get(6) {
        Some(first) if ip.version == 6 => (*first, ip.options),
        _ => return false,
    };
    while let Some((data, behind)) = ipv6::options_header(rest) {
        if next == ipv6::next::ROUTING && data.get(1).is_some_and(|segments_left| *segments_left != 0) {
            return true;
        }
        let here = rest;
        rest = match next {
            ipv6::next::FRAGMENT => rest.get(8..).unwrap_or_default(),
            ipv6::next::AUTHENTICATION => {
                rest.get(1).and_then(|len| rest.get((usize::from(*len) + 2) * 4..)).unwrap_or_default()
            }
            _ => behind,
        };
        next = here.first().copied().unwrap_or_default();
    }
    false
}

fn judge(sum: Sum) -> Checksum {
    if sum.folded() == 0xffff { Checksum::Good } else { Checksum::Bad }
}

/// A ones' complement sum in the making.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes that start at an even place. An odd last byte is padded with zero.
    #[must_use]
    pub fn plus(self, bytes: &[u8]) -> Sum {
        // 32-bit words into 64 bits: no carry is lost below 16 GiB, and folding makes 16-bit words of them.
        let (words, tail) = bytes.as_chunks::<4>();
        let sum = words.iter().fold(self.0, |sum, word| sum.wrapping_add(u64::from(u32::from_be_bytes(*word))));
        let mut last = [0; 4];
        for (slot, byte) in last.iter_mut().zip(tail) {
            *slot = *byte;
        }
        Sum(sum.wrapping_add(u64::from(u32::from_be_bytes(last))))
    }

    fn add_pseudo_header(self, ip: &Ip<'_>, protocol: u8, len: usize) -> Sum {
        let sum = self.add_address(ip.src).add_address(ip.dst);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Sum(sum.0.wrapping_add(u64::from(len)).wrapping_add(u64::from(protocol)))
    }

    fn add_address(self, address: IpAddr) -> Sum {
        match address {
            IpAddr::V4(v4) => self.plus(&v4.octets()),
            IpAddr::V6(v6) => self.plus(&v6.octets()),
        }
    }

    /// The sum in 16 bits. The checksum field is its complement.
    #[must_use]
    pub fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff).wrapping_add(sum >> 16);
        }
        u16::try_from(sum).unwrap_or(u16::MAX)
    }
}
