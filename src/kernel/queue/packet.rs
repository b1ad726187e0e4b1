//! One NFQUEUE message becomes one packet for the data plane. Pure, no allocation, no panic on any bytes.
//!
//! Source: `nfnetlink_queue.c:nfqnl_build_packet_message`, which writes one message per datagram: the packet header
//! first, the payload last.

use crate::kernel::conntrack::attributes::parse_conntrack;
use crate::kernel::netlink::wire::{Attr, Attrs, Message, Messages};
use crate::packet::conntrack::{Conntrack, CtInfo};
use crate::packet::ingress::{ChecksumStatus, Hook, Ingress, Timestamp, Tracked, VlanTag};

use super::message::{self, nfqa, skb_info};

const PACKET_HDR_BYTES: usize = 7;
/// Offset of the first attribute's payload in a datagram: `nlmsghdr`, `nfgenmsg`, `nlattr`.
const FIRST_PAYLOAD: usize = 16 + 4 + 4;

/// A queued packet. Borrows the receive buffers, so it ends with its batch.
#[derive(Clone, Debug)]
pub struct Packet<'b> {
    /// The kernel's number of this packet in its queue.
    pub id: u32,
    /// The connection's entry, as it stood when the packet was queued. [`Packet::ingress`] has it too.
    pub conntrack: Option<(Conntrack, CtInfo)>,
    /// There was an entry, and it made no sense.
    pub conntrack_malformed: bool,
    /// When the packet was received; absent unless somebody enabled receive timestamps.
    pub timestamp: Option<Timestamp>,
    /// The MAC header as received; bridge family only.
    pub l2_header: Option<&'b [u8]>,
    ingress: Ingress<'b>,
}

impl<'b> Packet<'b> {
    /// What the data plane takes. A plain value: who knows better about `conntrack` may replace it.
    #[must_use]
    pub fn ingress(&self) -> Ingress<'_> {
        Ingress {
            conntrack: self.conntrack.as_ref().map(|(entry, info)| Tracked { entry, info: *info }),
            ..self.ingress
        }
    }

    /// The packet from its network header on.
    #[must_use]
    pub fn bytes(&self) -> &'b [u8] {
        self.ingress.bytes
    }
}

/// The id of a packet message, also of one that is cut or broken behind its first attribute. `None` for anything else.
#[must_use]
pub fn packet_id(datagram: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(*datagram.get(4..)?.first_chunk()?);
    let first_attr = u16::from_ne_bytes(*datagram.get(FIRST_PAYLOAD - 2..)?.first_chunk()?);
    (kind == message::PACKET && first_attr == nfqa::PACKET_HDR)
        .then(|| datagram.get(FIRST_PAYLOAD..)?.first_chunk().map(|id| u32::from_be_bytes(*id)))
        .flatten()
}

/// Reads the packet of a datagram. `None` when it is not a whole packet message, has no payload or an unknown hook.
#[must_use]
pub fn parse(datagram: &[u8]) -> Option<Packet<'_>> {
    let message = Messages::new(datagram).next().filter(|message| message.kind == message::PACKET)?;
    parse_message(&message)
}

fn parse_message<'b>(message: &Message<'b>) -> Option<Packet<'b>> {
    let (nfgen, attrs) = message.netfilter()?;
    let mut header = None;
    let mut payload = None;
    let (mut entry, mut info) = (None, None);
    let mut packet = Packet {
        id: 0,
        conntrack: None,
        conntrack_malformed: false,
        timestamp: None,
        l2_header: None,
        ingress: Ingress::bare(&[], 0),
    };
    let mut cap_len = None;
    let ingress = &mut packet.ingress;
    for attr in attrs {
        match attr.kind {
            nfqa::PACKET_HDR => header = attr.payload.first_chunk::<PACKET_HDR_BYTES>(),
            nfqa::MARK => ingress.mark = attr.be32()?,
            nfqa::TIMESTAMP => packet.timestamp = timestamp(attr),
            nfqa::IFINDEX_INDEV => ingress.in_ifindex = attr.be32()?,
            nfqa::IFINDEX_OUTDEV => ingress.out_ifindex = attr.be32()?,
            nfqa::IFINDEX_PHYSINDEV => ingress.phys_in_ifindex = attr.be32()?,
            nfqa::IFINDEX_PHYSOUTDEV => ingress.phys_out_ifindex = attr.be32()?,
            nfqa::HWADDR => ingress.source_mac = source_mac(attr),
            nfqa::CT => entry = Some(attr.nested()),
            nfqa::CT_INFO => info = attr.be32(),
            nfqa::CAP_LEN => cap_len = attr.be32(),
            nfqa::SKB_INFO => (ingress.checksum, ingress.gso) = skb_info(attr.be32()?),
            nfqa::VLAN => ingress.vlan = [vlan_tag(attr.nested()), None, None],
            nfqa::L2HDR => packet.l2_header = Some(attr.payload),
            nfqa::PRIORITY => ingress.priority = attr.be32()?,
            nfqa::PAYLOAD => payload = Some(attr.payload),
            _ => {}
        }
    }
    let [i0, i1, i2, i3, p0, p1, hook] = *header?;
    packet.id = u32::from_be_bytes([i0, i1, i2, i3]);
    ingress.ethertype = u16::from_be_bytes([p0, p1]);
    ingress.hook = Hook::from_kernel(hook)?;
    ingress.bytes = payload?;
    ingress.full_len = cap_len.unwrap_or(u32::try_from(ingress.bytes.len()).unwrap_or(u32::MAX));
    if let Some(entry) = entry {
        packet.conntrack = parse_conntrack(entry, nfgen.family).zip(info.and_then(CtInfo::from_kernel));
        packet.conntrack_malformed = packet.conntrack.is_none();
    }
    Some(packet)
}

fn skb_info(bits: u32) -> (ChecksumStatus, bool) {
    let checksum = if bits & skb_info::CSUM_NOT_READY != 0 {
        ChecksumStatus::NotReady
    } else if bits & skb_info::CSUM_NOT_VERIFIED != 0 {
        ChecksumStatus::NotVerified
    } else {
        ChecksumStatus::Verified
    };
    (checksum, bits & skb_info::GSO != 0)
}

/// `struct nfqnl_msg_packet_timestamp`: seconds and microseconds.
fn timestamp(attr: Attr<'_>) -> Option<Timestamp> {
    let (seconds, rest) = attr.payload.split_first_chunk::<8>()?;
    let micros = u64::from_be_bytes(*rest.first_chunk()?);
    Some(Timestamp::from_micros(u64::from_be_bytes(*seconds).saturating_mul(1_000_000).saturating_add(micros)))
}

/// `struct nfqnl_msg_packet_hw`: length, padding, address. `None` for links whose addresses are not six bytes.
fn source_mac(attr: Attr<'_>) -> Option<[u8; 6]> {
    let (head, address) = attr.payload.split_first_chunk::<4>()?;
    let [l0, l1, _, _] = *head;
    (u16::from_be_bytes([l0, l1]) == 6).then(|| address.first_chunk().copied()).flatten()
}

fn vlan_tag(attrs: Attrs<'_>) -> Option<VlanTag> {
    let (mut protocol, mut tci) = (None, None);
    for attr in attrs {
        match attr.kind {
            nfqa::VLAN_PROTO => protocol = attr.be16(),
            nfqa::VLAN_TCI => tci = attr.be16(),
            _ => {}
        }
    }
    Some(VlanTag { protocol: protocol?, tci: tci? })
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
