//! IGMP (RFC 3376) and RGMP (RFC 3488), which shares its number: group membership, all header and no payload.

use std::net::{IpAddr, Ipv4Addr};

use super::{Headers, protocol};

/// Where RGMP is spoken.
const RGMP_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 25));
const RGMP_FIRST_TYPE: u8 = 0xfc;
const QUERY: u8 = 0x11;
/// A query of version 3 is longer.
const QUERY_V3_BYTES_MIN: usize = 12;
const HEADER_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Igmp {
    pub kind: u8,
    /// 1 to 3; `None`: RGMP, or a message that no version has.
    pub version: Option<u8>,
    pub is_rgmp: bool,
}

impl Igmp {
    #[must_use]
    pub fn of(headers: &Headers<'_>) -> Option<Igmp> {
        let message = message(headers)?;
        let [kind, response_time, ..] = *message.first_chunk::<HEADER_BYTES>()?;
        let is_rgmp = headers.ip.dst == RGMP_GROUP && kind >= RGMP_FIRST_TYPE;
        let version = match kind {
            _ if is_rgmp => None,
            QUERY if message.len() >= QUERY_V3_BYTES_MIN => Some(3),
            QUERY if response_time == 0 => Some(1),
            0x12 => Some(1),
            QUERY | 0x16 | 0x17 => Some(2),
            0x22 => Some(3),
            _ => None,
        };
        Some(Igmp { kind, version, is_rgmp })
    }
}

/// The bytes of a packet that is one IGMP message.
#[must_use]
pub fn message<'p>(headers: &Headers<'p>) -> Option<&'p [u8]> {
    let ip = &headers.ip;
    (ip.version == 4 && ip.protocol == protocol::IGMP && !ip.is_fragment()).then_some(headers.payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::decode::checksum::{self, Checksum};
    use crate::packet::decode::decode;

    fn decoded(dst: [u8; 4], message: &[u8]) -> (Option<Igmp>, Checksum) {
        let total = (20 + message.len() as u16).to_be_bytes();
        let head = [0x45, 0, total[0], total[1], 0, 0, 0, 0, 1, 2, 0, 0, 192, 0, 2, 1];
        let bytes = [&head[..], &dst, message].concat();
        let decoded = decode(&bytes, crate::packet::decode::link::ETHERTYPE_IPV4);
        let headers = decoded.headers.unwrap();
        (Igmp::of(&headers), checksum::transport(&headers))
    }

    #[test]
    fn versions_are_told_by_type_and_length() {
        type Case<'c> = ([u8; 4], &'c [u8], Option<u8>, bool);
        let cases: [Case<'_>; 6] = [
            ([224, 0, 0, 1], &[0x11, 0, 0xee, 0xff, 0, 0, 0, 0], Some(1), false),
            ([224, 0, 0, 1], &[0x11, 100, 0xee, 0x9b, 0, 0, 0, 0], Some(2), false),
            ([224, 0, 0, 1], &[0x11, 100, 0xec, 0x1e, 0, 0, 0, 0, 2, 125, 0, 0], Some(3), false),
            ([224, 0, 0, 22], &[0x22, 0, 0xdd, 0xff, 0, 0, 0, 0], Some(3), false),
            ([224, 0, 0, 25], &[0xff, 0, 0, 0xff, 0, 0, 0, 0], None, true),
            ([224, 0, 0, 4], &[0x13, 0, 0xec, 0xff, 0, 0, 0, 0], None, false),
        ];
        for (dst, message, version, is_rgmp) in cases {
            let found = decoded(dst, message);
            assert_eq!(found, (Some(Igmp { kind: message[0], version, is_rgmp }), Checksum::Good), "{message:?}");
        }
        assert_eq!(decoded([224, 0, 0, 1], &[0x11, 0, 0]).0, None);
        assert_eq!(decoded([224, 0, 0, 1], &[0x11, 0, 0, 0, 0, 0, 0, 0]).1, Checksum::Bad);
    }
}
