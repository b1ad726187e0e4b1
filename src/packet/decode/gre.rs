//! GRE: version 0 (RFC 2784, 2890 and the old source routes of RFC 1701) and PPTP's version 1 (RFC 2637). A mirror's frames
//! in GRE are [`erspan`].

use super::anomaly::{Anomalies, Anomaly};
use super::erspan;
use super::inner::{Inner, TunnelKind};
use super::link::{self, Frame};

const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
const STRICT_ROUTE: u8 = 0x08;
const RECURSION: u8 = 0x07;
/// In the second byte, version 1 only: an acknowledgement number follows.
const ACKNOWLEDGE: u8 = 0x80;

const TRANSPARENT_ETHERNET: u16 = 0x6558;
const PPP: u16 = 0x880b;

/// The packet inside; `None` when this is GRE of something that is not IP and nothing about it is odd.
pub(super) fn inner(bytes: &[u8]) -> Option<Inner<'_>> {
    let mut anomalies = Anomalies::NONE;
    let Some((sequenced, protocol, payload)) = strip(bytes, &mut anomalies) else {
        return Some(Inner::broken(TunnelKind::Gre, anomalies));
    };
    let (kind, frame) = match protocol {
        TRANSPARENT_ETHERNET => (TunnelKind::Gre, link::ethernet(payload, &mut anomalies)),
        PPP => (TunnelKind::Gre, link::ppp(payload, &mut anomalies)),
        erspan::TYPE_1_AND_2 if sequenced => (TunnelKind::ErspanII, erspan::type_2(payload, &mut anomalies)),
        erspan::TYPE_1_AND_2 => (TunnelKind::ErspanI, link::ethernet(payload, &mut anomalies)),
        erspan::TYPE_3 => (TunnelKind::ErspanIII, erspan::type_3(payload, &mut anomalies)),
        ethertype => (TunnelKind::Gre, link::behind(Frame::of(ethertype, payload), &mut anomalies)),
    };
    let inner = match frame {
        Some(frame) => Inner::of_frame(kind, frame, anomalies),
        None => Inner::broken(kind, anomalies),
    };
    (inner.decoded.headers.is_some() || !inner.decoded.anomalies.is_empty()).then_some(inner)
}

/// Whether the header has a sequence number, the EtherType and the bytes behind it.
fn strip<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<(bool, u16, &'p [u8])> {
    let Some((&[flags, version, p0, p1], rest)) = bytes.split_first_chunk::<4>() else {
        anomalies.add(Anomaly::GreTooSmall);
        return None;
    };
    let protocol = u16::from_be_bytes([p0, p1]);
    let payload = match version & 0x07 {
        0 => strip_version0(flags, version, rest, anomalies),
        1 => strip_version1(flags, version, protocol, rest, anomalies),
        _ => {
            anomalies.add(Anomaly::GreVersion);
            None
        }
    }?;
    Some((flags & SEQUENCE != 0, protocol, payload))
}

fn strip_version0<'p>(flags: u8, version: u8, rest: &'p [u8], anomalies: &mut Anomalies) -> Option<&'p [u8]> {
    if flags & RECURSION != 0 {
        anomalies.add(Anomaly::GreVersion0Recursion);
    }
    if version & 0xf8 != 0 {
        anomalies.add(Anomaly::GreVersion0Flags);
    }
    let fields = word_if(flags & (CHECKSUM | ROUTING)) + word_if(flags & KEY) + word_if(flags & SEQUENCE);
    let Some(rest) = rest.get(fields..) else {
        anomalies.add(Anomaly::GreVersion0HeaderTruncated);
        return None;
    };
    if flags & ROUTING == 0 {
        return Some(rest);
    }
    let payload = skip_source_routes(rest);
    if payload.is_none() {
        anomalies.add(Anomaly::GreVersion0SourceRoute);
    }
    payload
}

/// Source route entries: address family, offset, length, then as many bytes; one of zeros ends the list.
fn skip_source_routes(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&[family_high, family_low, _, len], behind) = rest.split_first_chunk::<4>()?;
        if family_high == 0 && family_low == 0 && len == 0 {
            return Some(behind);
        }
        rest = behind.get(usize::from(len)..)?;
    }
}

fn strip_version1<'p>(
    flags: u8,
    version: u8,
    protocol: u16,
    rest: &'p [u8],
    anomalies: &mut Anomalies,
) -> Option<&'p [u8]> {
    let refusals = [
        (flags & CHECKSUM != 0, Anomaly::GreVersion1Checksum),
        (flags & ROUTING != 0, Anomaly::GreVersion1Route),
        (flags & STRICT_ROUTE != 0, Anomaly::GreVersion1StrictRoute),
        (flags & RECURSION != 0, Anomaly::GreVersion1Recursion),
        (version & 0x78 != 0, Anomaly::GreVersion1Flags),
        (flags & KEY == 0, Anomaly::GreVersion1NoKey),
        (protocol != PPP, Anomaly::GreVersion1Protocol),
    ];
    if let Some((_, anomaly)) = refusals.into_iter().find(|(refused, _)| *refused) {
        anomalies.add(anomaly);
        return None;
    }
    let fields = 4 + word_if(flags & SEQUENCE) + word_if(version & ACKNOWLEDGE);
    let payload = rest.get(fields..);
    if payload.is_none() {
        anomalies.add(Anomaly::GreVersion1HeaderTruncated);
    }
    payload
}

fn word_if(flag: u8) -> usize {
    if flag == 0 { 0 } else { 4 }
}
