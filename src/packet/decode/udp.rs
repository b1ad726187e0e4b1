//! UDP (RFC 768), and the ports of SCTP (RFC 9260).

use super::anomaly::{Anomalies, Anomaly};
use super::{Transport, Udp};

pub const HEADER_BYTES: usize = 8;
pub const SCTP_HEADER_BYTES: usize = 12;

/// The header and the payload; `None` when there is no usable header.
///
/// `version` is that of IP: Linux delivers a length of 0 as "all there is" over IPv6, and refuses it over IPv4.
/// `complete`: all of the datagram should be here; otherwise (a first fragment, a cut copy) the length is not judged.
pub(super) fn parse<'p>(
    bytes: &'p [u8],
    version: u8,
    complete: bool,
    anomalies: &mut Anomalies,
) -> Option<(Udp<'p>, &'p [u8])> {
    let Some((&[s0, s1, d0, d1, l0, l1, c0, c1], body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        anomalies.add(Anomaly::UdpTooSmall);
        return None;
    };
    let udp = Udp {
        src_port: u16::from_be_bytes([s0, s1]),
        dst_port: u16::from_be_bytes([d0, d1]),
        len: u16::from_be_bytes([l0, l1]),
        checksum: u16::from_be_bytes([c0, c1]),
        header: bytes.get(..HEADER_BYTES)?,
    };
    let said = match usize::from(udp.len).checked_sub(HEADER_BYTES) {
        Some(said) => said,
        // Jumbograms (RFC 2675) and super-packets beyond 64 KiB say 0.
        None if udp.len == 0 && bytes.len() > 0xffff => body.len(),
        None if udp.len == 0 && version == 6 => {
            anomalies.add(Anomaly::UdpHeaderLength);
            body.len()
        }
        None => {
            anomalies.add(Anomaly::UdpHeaderLength);
            return None;
        }
    };
    if complete && said != body.len() {
        anomalies.add(Anomaly::UdpLength);
    }
    Some((udp, body.get(..said).unwrap_or(body)))
}

pub(super) fn parse_sctp<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<(Transport<'p>, &'p [u8])> {
    let Some((&[s0, s1, d0, d1, ..], payload)) = bytes.split_first_chunk::<SCTP_HEADER_BYTES>() else {
        anomalies.add(Anomaly::SctpTooSmall);
        return None;
    };
    let (src_port, dst_port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    Some((Transport::Sctp { src_port, dst_port }, payload))
}
