//! A port scanner's SYN: twenty bytes of TCP header and no option, which no operating system sends.

use std::net::IpAddr;

const SOURCE_PORT: u16 = 47_111;
const TCP: u32 = 6;

/// A TCP header for a raw socket, checksum included (RFC 9293 section 3.1).
#[must_use]
pub fn bare_syn(from: IpAddr, to: IpAddr, port: u16) -> [u8; 20] {
    let (mut header, [source_high, source_low], [high, low]) = ([0; 20], SOURCE_PORT.to_be_bytes(), port.to_be_bytes());
    header[..4].copy_from_slice(&[source_high, source_low, high, low]);
    header[4..8].copy_from_slice(&u32::from(port).wrapping_mul(0x0101_6b39).to_be_bytes());
    header[12..16].copy_from_slice(&[5 << 4, 0x02, 4, 0]);
    let sum = words(&header).chain(words(&octets(from))).chain(words(&octets(to))).sum::<u32>();
    header[16..18].copy_from_slice(&folded(sum.wrapping_add(TCP).wrapping_add(20)).to_be_bytes());
    header
}

/// Of the TCP segment in what a raw socket delivers: behind the IP header in IPv4, alone in IPv6.
#[must_use]
pub fn source_port(delivered: &[u8], is_ipv4: bool) -> Option<u16> {
    let header_len = if is_ipv4 { usize::from(delivered.first()? & 0xf).checked_mul(4)? } else { 0 };
    delivered.get(header_len..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().copied().map(|word| u32::from(u16::from_be_bytes(word)))
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_covers_the_addresses() {
        for (from, to) in [("10.71.1.67", "10.71.2.80"), ("fd71:0:1::67", "fd71:0:2::80")] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let header = bare_syn(from, to, 8888);
            let sum = words(&header).chain(words(&octets(from))).chain(words(&octets(to))).sum::<u32>();
            assert_eq!(folded(sum + TCP + 20), 0, "a right checksum sums to all ones");
        }
    }

    #[test]
    fn the_source_port_stands_behind_the_ip_header() {
        let mut packet = vec![0x45; 20];
        packet.extend([0x22, 0xb8, 0, 0]);
        assert_eq!(source_port(&packet, true), Some(8888));
        assert_eq!(source_port(&packet[20..], false), Some(8888));
        assert_eq!(source_port(&packet[..20], true), None);
        assert_eq!(source_port(&[], true), None);
    }
}
