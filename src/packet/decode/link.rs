//! From a captured frame to its network header: link headers, VLAN tags, MPLS labels, PPPoE.
//!
//! Live packets come without all this; it serves replay, and frames inside tunnels.

use super::anomaly::{Anomalies, Anomaly};
use crate::packet::ingress::{VlanTag, VlanTags};

pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// An Ethernet frame ("transparent Ethernet bridging").
pub const ETHERTYPE_BRIDGED: u16 = 0x6558;

/// Tags, labels and the like that we step over in one frame, all kinds together.
pub const SHIM_COUNT_MAX: usize = 16;

const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_QINQ_OLD: u16 = 0x9100;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
/// Network service header (RFC 8300).
const ETHERTYPE_NSH: u16 = 0x894f;
/// Cisco's tag between a switch and its extenders.
const ETHERTYPE_VNTAG: u16 = 0x8926;
/// Provider backbone bridges (IEEE 802.1ah): a service tag and a whole Ethernet header.
const ETHERTYPE_BACKBONE: u16 = 0x88e7;
/// Cisco FabricPath: the outer header is followed by a tag and a whole Ethernet frame.
const ETHERTYPE_FABRIC_PATH: u16 = 0x8903;

/// A frame without its link header.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'p> {
    /// Host byte order; may be something other than IP.
    pub ethertype: u16,
    /// From the network header on, trailing padding included.
    pub network: &'p [u8],
    /// The outermost tags, outermost first.
    pub vlan: VlanTags,
    pub source_mac: Option<[u8; 6]>,
    /// The Ethernet header, without tags; empty on other links.
    pub ethernet: &'p [u8],
}

impl<'p> Frame<'p> {
    #[must_use]
    pub fn of(ethertype: u16, network: &'p [u8]) -> Frame<'p> {
        Frame { ethertype, network, vlan: VlanTags::default(), source_mac: None, ethernet: &[] }
    }
}

/// Link types that we read, by their numbers in capture files (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// BSD loopback: the address family in the byte order of the capturing machine, or of the network.
    Null,
    Ethernet,
    Ppp,
    /// A PPPoE session header before the PPP frame.
    PppEther,
    ChdlcPpp,
    Chdlc,
    /// The IP version decides. In captures that promise one version, too.
    Raw,
    Ipv4,
    Ipv6,
    LinuxSll,
    LinuxSll2,
}

impl LinkType {
    /// `None` for a link type that we cannot read.
    #[must_use]
    pub fn from_number(number: u32) -> Option<LinkType> {
        Some(match number {
            0 | 108 => LinkType::Null,
            1 => LinkType::Ethernet,
            9 => LinkType::Ppp,
            12 | 14 | 101 => LinkType::Raw,
            50 => LinkType::ChdlcPpp,
            51 => LinkType::PppEther,
            104 => LinkType::Chdlc,
            113 => LinkType::LinuxSll,
            228 => LinkType::Ipv4,
            229 => LinkType::Ipv6,
            276 => LinkType::LinuxSll2,
            _ => return None,
        })
    }

    /// The frame without its link header; `None` when the header is cut or says nothing that we understand.
    pub fn strip<'p>(self, bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
        match self {
            LinkType::Null => null(bytes, anomalies),
            LinkType::Ethernet => ethernet(bytes, anomalies),
            LinkType::Ppp | LinkType::ChdlcPpp => ppp(bytes, anomalies),
            LinkType::PppEther => pppoe(Frame::of(ETHERTYPE_PPPOE_SESSION, bytes), anomalies),
            LinkType::Chdlc => chdlc(bytes, anomalies),
            LinkType::Raw | LinkType::Ipv4 | LinkType::Ipv6 => raw(bytes, anomalies),
            LinkType::LinuxSll => linux_sll(bytes, anomalies),
            LinkType::LinuxSll2 => linux_sll2(bytes, anomalies),
        }
    }
}

pub(super) fn ethernet<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((header, network)) = bytes.split_first_chunk::<14>() else {
        anomalies.add(Anomaly::EthernetTooSmall);
        return None;
    };
    let mut frame = Frame::of(u16::from_be_bytes([header[12], header[13]]), network);
    frame.ethernet = header;
    frame.source_mac = Some([header[6], header[7], header[8], header[9], header[10], header[11]]);
    behind(frame, anomalies)
}

/// Steps over everything that may stand between an EtherType and the network header.
pub(super) fn behind<'p>(mut frame: Frame<'p>, anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    for _ in 0..SHIM_COUNT_MAX {
        frame = match frame.ethertype {
            ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_QINQ_OLD => vlan(frame, anomalies)?,
            ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => mpls(frame, anomalies)?,
            ETHERTYPE_PPPOE_SESSION => return pppoe(frame, anomalies),
            ETHERTYPE_NSH => nsh(frame, anomalies)?,
            ETHERTYPE_VNTAG => vntag(frame, anomalies)?,
            ETHERTYPE_BACKBONE => frame_behind(frame, 4, Anomaly::BackboneTooSmall, anomalies)?,
            ETHERTYPE_FABRIC_PATH => frame_behind(frame, 2, Anomaly::FabricPathTooSmall, anomalies)?,
            ETHERTYPE_BRIDGED => frame_behind(frame, 0, Anomaly::EthernetTooSmall, anomalies)?,
            _ => return Some(frame),
        };
    }
    anomalies.add(Anomaly::TooManyLayers);
    None
}

fn vlan<'p>(mut frame: Frame<'p>, anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((&[t0, t1, e0, e1], network)) = frame.network.split_first_chunk::<4>() else {
        anomalies.add(Anomaly::VlanTooSmall);
        return None;
    };
    let tag = VlanTag { protocol: frame.ethertype, tci: u16::from_be_bytes([t0, t1]) };
    if let Some(free) = frame.vlan.iter_mut().find(|slot| slot.is_none()) {
        *free = Some(tag);
    }
    frame.ethertype = u16::from_be_bytes([e0, e1]);
    frame.network = network;
    Some(frame)
}

/// One label (RFC 3032). Below the last one the payload has no type of its own: its first nibble is the guess everybody makes.
fn mpls<'p>(mut frame: Frame<'p>, anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((label, payload)) = frame.network.split_first_chunk::<4>() else {
        anomalies.add(Anomaly::MplsTooSmall);
        return None;
    };
    frame.network = payload;
    let bottom_of_stack = label[2] & 1 != 0;
    if !bottom_of_stack {
        return Some(frame);
    }
    match payload.first().map(|first| first >> 4) {
        Some(4) => frame.ethertype = ETHERTYPE_IPV4,
        Some(6) => frame.ethertype = ETHERTYPE_IPV6,
        // A pseudowire's control word (RFC 4385) before an Ethernet frame.
        Some(0) => {
            let (header, network) = payload.get(4..)?.split_first_chunk::<14>()?;
            frame.ethertype = u16::from_be_bytes([header[12], header[13]]);
            frame.network = network;
        }
        _ => {
            anomalies.add(Anomaly::MplsUnknownPayload);
            return None;
        }
    }
    Some(frame)
}

/// Service functions may carry any frame; the header tells its own length in words of 4 bytes.
fn nsh<'p>(mut frame: Frame<'p>, anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((&[first, length, _, protocol, ..], _)) = frame.network.split_first_chunk::<8>() else {
        anomalies.add(Anomaly::NshTooSmall);
        return None;
    };
    if first >> 6 != 0 {
        anomalies.add(Anomaly::NshVersion);
        return None;
    }
    let header_bytes = usize::from(length & 0x3f) * 4;
    let Some(network) = frame.network.get(header_bytes..).filter(|_| header_bytes >= 8) else {
        anomalies.add(Anomaly::NshHeaderLength);
        return None;
    };
    frame.network = network;
    frame.ethertype = match protocol {
        1 => ETHERTYPE_IPV4,
        2 => ETHERTYPE_IPV6,
        3 => ETHERTYPE_BRIDGED,
        5 => ETHERTYPE_MPLS,
        _ => {
            anomalies.add(Anomaly::NshUnknownPayload);
            return None;
        }
    };
    Some(frame)
}

fn vntag<'p>(mut frame: Frame<'p>, anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((&[_, _, _, _, e0, e1], network)) = frame.network.split_first_chunk::<6>() else {
        anomalies.add(Anomaly::VntagTooSmall);
        return None;
    };
    frame.ethertype = u16::from_be_bytes([e0, e1]);
    frame.network = network;
    Some(frame)
}

/// An Ethernet header, and `tag_bytes` before it. Tags seen so far stay.
fn frame_behind<'p>(
    mut frame: Frame<'p>,
    tag_bytes: usize,
    too_small: Anomaly,
    anomalies: &mut Anomalies,
) -> Option<Frame<'p>> {
    let inner = frame.network.get(tag_bytes..).and_then(|rest| rest.split_first_chunk::<14>());
    let Some((header, network)) = inner else {
        anomalies.add(too_small);
        return None;
    };
    frame.ethertype = u16::from_be_bytes([header[12], header[13]]);
    frame.network = network;
    Some(frame)
}

/// A PPPoE session header (RFC 2516) and the PPP protocol behind it.
fn pppoe<'p>(mut frame: Frame<'p>, anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((&[_, _, _, _, l0, l1], payload)) = frame.network.split_first_chunk::<6>() else {
        anomalies.add(Anomaly::PppoeTooSmall);
        return None;
    };
    let payload = payload.get(..usize::from(u16::from_be_bytes([l0, l1]))).unwrap_or(payload);
    let inner = ppp(payload, anomalies)?;
    frame.ethertype = inner.ethertype;
    frame.network = inner.network;
    Some(frame)
}

/// PPP (RFC 1661), with or without address and control bytes, the protocol possibly compressed to one byte.
pub(super) fn ppp<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let bytes = match bytes {
        [0xff, 0x03, rest @ ..] => rest,
        _ => bytes,
    };
    // The low bit of a protocol's last byte is always set.
    let (protocol, payload) = match bytes {
        [low, payload @ ..] if low & 1 != 0 => (u16::from(*low), payload),
        [high, low, payload @ ..] => (u16::from_be_bytes([*high, *low]), payload),
        _ => {
            anomalies.add(Anomaly::PppTooSmall);
            return None;
        }
    };
    match protocol {
        0x0021 => Some(Frame::of(ETHERTYPE_IPV4, payload)),
        0x0057 => Some(Frame::of(ETHERTYPE_IPV6, payload)),
        // Van Jacobson's uncompressed TCP: the protocol field holds a slot number, the rest is IPv4.
        0x002f => None,
        0x0281 => behind(Frame::of(ETHERTYPE_MPLS, payload), anomalies),
        // Control protocols (LCP, IPCP, authentication) carry no packets.
        0x8000..=0xffff => None,
        _ => {
            anomalies.add(Anomaly::PppUnsupportedProtocol);
            None
        }
    }
}

/// Cisco HDLC: address, control, EtherType; on such links PPP is told by its address and control bytes.
fn chdlc<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    if bytes.starts_with(&[0xff, 0x03]) {
        return ppp(bytes, anomalies);
    }
    let Some((&[_, _, e0, e1], network)) = bytes.split_first_chunk::<4>() else {
        anomalies.add(Anomaly::ChdlcTooSmall);
        return None;
    };
    behind(Frame::of(u16::from_be_bytes([e0, e1]), network), anomalies)
}

fn null<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((family, network)) = bytes.split_first_chunk::<4>() else {
        anomalies.add(Anomaly::NullTooSmall);
        return None;
    };
    // Families are small numbers, so the byte order shows by itself. AF_INET6 is 10 on Linux, 24, 28 or 30 on BSDs, 23 on Windows.
    let ethertype = match u32::from_be_bytes(*family).min(u32::from_le_bytes(*family)) {
        2 => ETHERTYPE_IPV4,
        10 | 23 | 24 | 28 | 30 => ETHERTYPE_IPV6,
        _ => {
            anomalies.add(Anomaly::NullUnsupportedType);
            return None;
        }
    };
    Some(Frame::of(ethertype, network))
}

fn raw<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => Some(Frame::of(ETHERTYPE_IPV4, bytes)),
        Some(6) => Some(Frame::of(ETHERTYPE_IPV6, bytes)),
        _ => {
            anomalies.add(Anomaly::RawInvalidVersion);
            None
        }
    }
}

fn linux_sll<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((header, network)) = bytes.split_first_chunk::<16>() else {
        anomalies.add(Anomaly::SllTooSmall);
        return None;
    };
    let mut frame = Frame::of(u16::from_be_bytes([header[14], header[15]]), network);
    if u16::from_be_bytes([header[4], header[5]]) == 6 {
        frame.source_mac = header.get(6..12).and_then(|mac| mac.try_into().ok());
    }
    behind(frame, anomalies)
}

fn linux_sll2<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((header, network)) = bytes.split_first_chunk::<20>() else {
        anomalies.add(Anomaly::Sll2TooSmall);
        return None;
    };
    let mut frame = Frame::of(u16::from_be_bytes([header[0], header[1]]), network);
    if header[11] == 6 {
        frame.source_mac = header.get(12..18).and_then(|mac| mac.try_into().ok());
    }
    behind(frame, anomalies)
}
