//! ERSPAN: what a switch mirrors, in GRE (draft-foschiano-erspan-03).
//!
//! Type I is a bare Ethernet frame behind a GRE header without a sequence number; II and III have headers of their own.

use super::anomaly::{Anomalies, Anomaly};
use super::link::{self, Frame};
use crate::packet::ingress::VlanTag;

pub(super) const TYPE_1_AND_2: u16 = 0x88be;
pub(super) const TYPE_3: u16 = 0x22eb;

const VERSION_2: u16 = 1;
const VERSION_3: u16 = 2;
/// In the last byte of the header of type III: a subheader of 8 bytes follows.
const SUBHEADER: u8 = 1;
const ETHERTYPE_VLAN: u16 = 0x8100;

pub(super) fn type_2<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((&[v0, v1, ..], frame)) = bytes.split_first_chunk::<8>() else {
        anomalies.add(Anomaly::ErspanTooSmall);
        return None;
    };
    mirrored(u16::from_be_bytes([v0, v1]), VERSION_2, frame, anomalies)
}

pub(super) fn type_3<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    let Some((&[v0, v1, .., last], rest)) = bytes.split_first_chunk::<12>() else {
        anomalies.add(Anomaly::ErspanTooSmall);
        return None;
    };
    let Some(frame) = rest.get(if last & SUBHEADER == 0 { 0 } else { 8 }..) else {
        anomalies.add(Anomaly::ErspanTooSmall);
        return None;
    };
    mirrored(u16::from_be_bytes([v0, v1]), VERSION_3, frame, anomalies)
}

/// `first` holds the version in its upper 4 bits, below it the VLAN that the frame had come with.
fn mirrored<'p>(first: u16, version: u16, frame: &'p [u8], anomalies: &mut Anomalies) -> Option<Frame<'p>> {
    if first >> 12 != version {
        anomalies.add(Anomaly::ErspanVersion);
        return None;
    }
    let mut frame = link::ethernet(frame, anomalies)?;
    let id = first & 0x0fff;
    if let ([None, ..], true) = (frame.vlan, id != 0) {
        frame.vlan[0] = Some(VlanTag { protocol: ETHERTYPE_VLAN, tci: id });
    }
    Some(frame)
}
