//! IPv4 (RFC 791).

use std::net::{IpAddr, Ipv4Addr};

use super::Ip;
use super::anomaly::{Anomalies, Anomaly};

/// Length without options, in bytes.
pub const HEADER_BYTES: usize = 20;
/// Longer than any total length can say: only the kernel's BIG TCP makes such packets.
pub const LENGTH_MAX: usize = 0xffff;

const PROTOCOL_ICMPV6: u8 = 58;

/// The header and what the total length leaves behind it; `None` when there is no usable header.
///
/// Bytes behind the total length (Ethernet padding, trailers) are not part of the body.
pub(super) fn parse<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<(Ip<'p>, &'p [u8])> {
    let Some((fixed, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        anomalies.add(Anomaly::Ipv4TooSmall);
        return None;
    };
    if fixed[0] >> 4 != 4 {
        anomalies.add(Anomaly::Ipv4Version);
        return None;
    }
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    if header_len < HEADER_BYTES {
        anomalies.add(Anomaly::Ipv4HeaderLength);
        return None;
    }
    let total_len = match usize::from(u16::from_be_bytes([fixed[2], fixed[3]])) {
        0 if bytes.len() > LENGTH_MAX => bytes.len(),
        said => said,
    };
    if total_len < header_len {
        anomalies.add(Anomaly::Ipv4TotalLength);
        return None;
    }
    let packet = bytes.get(..total_len).unwrap_or_else(|| {
        anomalies.add(Anomaly::Ipv4Truncated);
        bytes
    });
    let (header, body) = packet.split_at_checked(header_len)?;
    let options = header.get(HEADER_BYTES..)?;

    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    let ip = Ip {
        src: IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15])),
        dst: IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19])),
        version: 4,
        protocol: fixed[9],
        ttl: fixed[8],
        tos: fixed[1],
        id: u32::from(u16::from_be_bytes([fixed[4], fixed[5]])),
        flow_label: 0,
        fragment_flags: fixed[6] >> 5,
        fragment_offset: (fragment & 0x1fff) << 3,
        total_len: u32::try_from(total_len).unwrap_or(u32::MAX),
        options,
        header,
    };
    if usize::from(ip.fragment_offset) + total_len - header_len > LENGTH_MAX && ip.is_fragment() {
        anomalies.add(Anomaly::Ipv4FragmentTooLarge);
    }
    if ip.protocol == PROTOCOL_ICMPV6 {
        anomalies.add(Anomaly::Ipv4Icmpv6);
    }
    if !options.is_empty() {
        judge_options(options, anomalies);
    }
    Some((ip, body))
}

/// Option kinds (with the copied bit) and the lengths that they may have.
mod option {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const RECORD_ROUTE: u8 = 7;
    pub const QUICK_START: u8 = 25;
    pub const TIMESTAMP: u8 = 68;
    pub const SECURITY: u8 = 130;
    pub const LOOSE_ROUTE: u8 = 131;
    pub const EXTENDED_SECURITY: u8 = 133;
    pub const COMMERCIAL: u8 = 134;
    pub const STREAM_ID: u8 = 136;
    pub const STRICT_ROUTE: u8 = 137;
    pub const ROUTER_ALERT: u8 = 148;
}

fn judge_options(mut options: &[u8], anomalies: &mut Anomalies) {
    // Kinds are 8 bits: a set of 256 bits knows duplicates without memory.
    let mut seen = [0u64; 4];
    while let Some((&kind, rest)) = options.split_first() {
        match kind {
            option::END => return,
            option::NOP => {
                options = rest;
                continue;
            }
            _ => {}
        }
        let Some((option, behind)) =
            rest.first().filter(|len| **len >= 2).and_then(|len| options.split_at_checked(usize::from(*len)))
        else {
            anomalies.add(if rest.is_empty() { Anomaly::Ipv4OptionPadding } else { Anomaly::Ipv4OptionLength });
            return;
        };
        let len = option.len();
        let well_formed = match kind {
            option::RECORD_ROUTE | option::LOOSE_ROUTE | option::STRICT_ROUTE => len >= 3 && (len - 3) % 4 == 0,
            option::TIMESTAMP => len >= 4,
            option::QUICK_START => len == 8,
            option::SECURITY | option::EXTENDED_SECURITY => len >= 3,
            option::STREAM_ID | option::ROUTER_ALERT => len == 4,
            option::COMMERCIAL => len >= 6,
            _ => {
                anomalies.add(Anomaly::Ipv4OptionUnknown);
                true
            }
        };
        if !well_formed {
            anomalies.add(Anomaly::Ipv4OptionMalformed);
        }
        if let Some(word) = seen.get_mut(usize::from(kind / 64)) {
            if *word & (1 << (kind % 64)) != 0 {
                anomalies.add(Anomaly::Ipv4OptionDuplicate);
            }
            *word |= 1 << (kind % 64);
        }
        options = behind;
    }
}
