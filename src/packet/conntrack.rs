//! The kernel's view of a connection as plain types.
//!
//! A flow is keyed by zone and original tuple ([`FlowKey`]). [`ConntrackId`] and the start time only tell one
//! incarnation of that key from the next: the id is a 32-bit hash, provisional while the entry is unconfirmed, and the
//! same tuple recreated in the same slab slot gets the same id again (`nf_ct_get_id`).

use std::net::{IpAddr, Ipv4Addr};
use std::ops::{BitAnd, BitOr};

use serde::{Deserialize, Serialize};

use crate::rules::plan::Toward;

/// One direction of a connection, as `nf_conntrack_tuple` has it.
///
/// For TCP, UDP, UDP-Lite, SCTP and DCCP the ports are ports. For ICMP and ICMPv6 `src_port` is the identifier and
/// `dst_port` is `type << 8 | code`. For other protocols both are 0. Host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub src_port: u16,
    pub dst_port: u16,
}

impl Tuple {
    pub const UNSPECIFIED: Tuple = Tuple {
        src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        protocol: 0,
        src_port: 0,
        dst_port: 0,
    };

    /// Addresses and ports exchanged. Not meaningful for ICMP, whose reply has another type.
    #[must_use]
    pub fn inverted(&self) -> Tuple {
        Tuple {
            src: self.dst,
            dst: self.src,
            protocol: self.protocol,
            src_port: self.dst_port,
            dst_port: self.src_port,
        }
    }
}

/// What a flow is keyed by. The reply tuple is never part of it: SNAT changes it after the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    pub zone: u16,
    pub orig: Tuple,
}

/// `CTA_ID` as the big-endian number that `conntrack -o id` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConntrackId(pub u32);

/// Which side of the connection sent a packet: the original direction opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the side that opened the connection: to_server in the rule language.
    Original,
    /// From the side that answered: to_client.
    Reply,
}

impl Direction {
    /// The rule language's word for it.
    #[must_use]
    pub fn toward(self) -> Toward {
        match self {
            Direction::Original => Toward::Server,
            Direction::Reply => Toward::Client,
        }
    }

    #[must_use]
    pub fn flipped(self) -> Direction {
        match self {
            Direction::Original => Direction::Reply,
            Direction::Reply => Direction::Original,
        }
    }
}

/// `NFQA_CT_INFO` (`enum ip_conntrack_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtInfo {
    Established,
    Related,
    /// No reply was seen yet. Not "first packet": that is a status without CONFIRMED.
    New,
    EstablishedReply,
    RelatedReply,
}

impl CtInfo {
    /// The kernel's number, or `None` for one that never leaves the kernel.
    #[must_use]
    pub fn from_kernel(value: u32) -> Option<CtInfo> {
        Some(match value {
            0 => CtInfo::Established,
            1 => CtInfo::Related,
            2 => CtInfo::New,
            3 => CtInfo::EstablishedReply,
            4 => CtInfo::RelatedReply,
            _ => return None,
        })
    }

    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            CtInfo::EstablishedReply | CtInfo::RelatedReply => Direction::Reply,
            CtInfo::Established | CtInfo::Related | CtInfo::New => Direction::Original,
        }
    }

    #[must_use]
    pub fn is_related(self) -> bool {
        matches!(self, CtInfo::Related | CtInfo::RelatedReply)
    }
}

/// `CTA_STATUS`: the `IPS_*` bits of `enum ip_conntrack_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtStatus(pub u32);

impl CtStatus {
    pub const EXPECTED: u32 = 1;
    pub const SEEN_REPLY: u32 = 2;
    pub const ASSURED: u32 = 4;
    pub const CONFIRMED: u32 = 8;
    pub const SRC_NAT: u32 = 0x10;
    pub const DST_NAT: u32 = 0x20;
    pub const DYING: u32 = 0x200;
    pub const OFFLOAD: u32 = 0x4000;

    #[must_use]
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// Whether the entry stands in the table. Until then its id is provisional.
    #[must_use]
    pub fn is_confirmed(self) -> bool {
        self.has(Self::CONFIRMED)
    }
}

/// The TCP state that conntrack holds *after* it saw the packet (`enum tcp_conntrack`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    None,
    SynSent,
    SynRecv,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Close,
    SynSent2,
}

impl TcpState {
    /// `CTA_PROTOINFO_TCP_STATE`.
    #[must_use]
    pub fn from_kernel(value: u8) -> Option<TcpState> {
        Some(match value {
            0 => TcpState::None,
            1 => TcpState::SynSent,
            2 => TcpState::SynRecv,
            3 => TcpState::Established,
            4 => TcpState::FinWait,
            5 => TcpState::CloseWait,
            6 => TcpState::LastAck,
            7 => TcpState::TimeWait,
            8 => TcpState::Close,
            9 => TcpState::SynSent2,
            _ => return None,
        })
    }

    /// Name in EVE `tcp.state`, as Suricata spells these.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TcpState::None => "none",
            TcpState::SynSent => "syn_sent",
            TcpState::SynRecv => "syn_recv",
            TcpState::Established => "established",
            TcpState::FinWait => "fin_wait1",
            TcpState::CloseWait => "close_wait",
            TcpState::LastAck => "last_ack",
            TcpState::TimeWait => "time_wait",
            TcpState::Close => "closed",
            TcpState::SynSent2 => "syn_sent",
        }
    }
}

/// `CTA_PROTOINFO_TCP_*`. Flags as in `IP_CT_TCP_FLAG_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTrack {
    pub state: TcpState,
    pub wscale_orig: u8,
    pub wscale_reply: u8,
    pub flags_orig: u8,
    pub flags_reply: u8,
}

/// Packets and bytes of one direction, the current packet included. Bytes count from the network header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub packets: u64,
    pub bytes: u64,
}

/// The name of the attached helper (`ftp`, `sip`, ...); at most 15 bytes as in `NF_CT_HELPER_NAME_LEN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperName {
    bytes: [u8; HelperName::BYTES_MAX],
    len: u8,
}

impl HelperName {
    pub const BYTES_MAX: usize = 16;

    /// Takes the bytes up to the first NUL, at most [`Self::BYTES_MAX`].
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> HelperName {
        let mut bytes = [0; Self::BYTES_MAX];
        let mut len = 0;
        for (slot, byte) in bytes.iter_mut().zip(name.iter().take_while(|byte| **byte != 0)) {
            *slot = *byte;
            len += 1;
        }
        HelperName { bytes, len }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        let used = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(used).unwrap_or("?")
    }
}

/// 128 label bits: label n is byte n/8, bit n%8 (little-endian hosts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub [u8; 16]);

impl Labels {
    /// One label by its number; none for a number above 127.
    #[must_use]
    pub fn of(number: u8) -> Labels {
        let mut labels = Labels::default();
        if let Some(byte) = labels.0.get_mut(usize::from(number / 8)) {
            *byte = 1u8.checked_shl(u32::from(number % 8)).unwrap_or(0);
        }
        labels
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// The labels that are set, by number.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..=127u8).filter(move |label| {
            let byte = self.0.get(usize::from(label / 8)).copied().unwrap_or(0);
            byte & 1u8.checked_shl(u32::from(label % 8)).unwrap_or(0) != 0
        })
    }
}

impl BitOr for Labels {
    type Output = Labels;

    fn bitor(self, other: Labels) -> Labels {
        Labels(zip_bytes(self.0, other.0, |one, other| one | other))
    }
}

impl BitAnd for Labels {
    type Output = Labels;

    fn bitand(self, other: Labels) -> Labels {
        Labels(zip_bytes(self.0, other.0, |one, other| one & other))
    }
}

fn zip_bytes(mut one: [u8; 16], other: [u8; 16], join: impl Fn(u8, u8) -> u8) -> [u8; 16] {
    for (byte, other) in one.iter_mut().zip(other) {
        *byte = join(*byte, other);
    }
    one
}

/// Everything that `NFQA_CT`, a ctnetlink event or a dump says about one entry. Plain values, no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conntrack {
    pub zone: u16,
    pub orig: Tuple,
    pub reply: Tuple,
    pub id: ConntrackId,
    pub status: CtStatus,
    /// Seconds until the entry expires; absent in DESTROY of an expired entry.
    pub timeout_s: Option<u32>,
    pub tcp: Option<TcpTrack>,
    /// Present with `nf_conntrack_acct=1`.
    pub counters_orig: Option<Counters>,
    pub counters_reply: Option<Counters>,
    /// Nanoseconds since the epoch, with `nf_conntrack_timestamp=1`; absent while unconfirmed.
    pub start_ns: Option<u64>,
    pub stop_ns: Option<u64>,
    pub mark: u32,
    pub labels: Option<Labels>,
    pub helper: Option<HelperName>,
    /// Original tuple of the master, for a connection that a helper expected.
    pub master: Option<Tuple>,
}

impl Conntrack {
    /// An entry that has nothing but its tuples yet.
    #[must_use]
    pub fn of_tuples(zone: u16, orig: Tuple, reply: Tuple) -> Conntrack {
        Conntrack {
            zone,
            orig,
            reply,
            id: ConntrackId::default(),
            status: CtStatus::default(),
            timeout_s: None,
            tcp: None,
            counters_orig: None,
            counters_reply: None,
            start_ns: None,
            stop_ns: None,
            mark: 0,
            labels: None,
            helper: None,
            master: None,
        }
    }

    #[must_use]
    pub fn key(&self) -> FlowKey {
        FlowKey { zone: self.zone, orig: self.orig }
    }
}

/// What is to become of the rest of a connection. Written into conntrack with the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Fate {
    #[default]
    Inspect = 0,
    /// Cleared: the kernel accepts the rest without asking.
    Pass = 1,
    Drop = 2,
    /// The kernel answers the next packet of each side with a reset or an ICMP error.
    Reject = 3,
}

impl Fate {
    pub const ALL: [Fate; 4] = [Fate::Inspect, Fate::Pass, Fate::Drop, Fate::Reject];

    /// The word for it in EVE and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fate::Inspect => "inspect",
            Fate::Pass => "pass",
            Fate::Drop => "drop",
            Fate::Reject => "reject",
        }
    }
}

/// Where a fate stands in the conntrack mark: three neighbouring bits, two for the fate, one for the generation's parity.
///
/// `mask` selects the bits; everything outside of it belongs to others and is never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FateMask {
    pub mask: u32,
}

impl Default for FateMask {
    fn default() -> Self {
        FateMask { mask: 0x0700_0000 }
    }
}

impl FateMask {
    /// A mask must have at least two neighbouring bits, and no hole.
    #[must_use]
    pub fn new(mask: u32) -> Option<FateMask> {
        let low = mask.checked_shr(mask.trailing_zeros())?;
        (low >= 3 && low.wrapping_add(1) & low == 0).then_some(FateMask { mask })
    }

    /// The bits of `mask` that say `fate`.
    #[must_use]
    pub fn encode(self, fate: Fate) -> u32 {
        (fate as u32).checked_shl(self.mask.trailing_zeros()).unwrap_or(0) & self.fate_bits()
    }

    #[must_use]
    pub fn decode(self, mark: u32) -> Fate {
        match mark.checked_shr(self.mask.trailing_zeros()).unwrap_or(0) & 3 {
            1 => Fate::Pass,
            2 => Fate::Drop,
            3 => Fate::Reject,
            _ => Fate::Inspect,
        }
    }

    /// Fate and generation as they are written: all bits of `mask` are ours to set. Of the generation as much as fits
    /// into the bits that the fate leaves free.
    #[must_use]
    pub fn encode_with(self, fate: Fate, generation: u64) -> u32 {
        self.encode(fate) | self.generation_bits(generation)
    }

    /// The fate that `mark` holds for rule set `generation`: what an older set cleared is to be inspected again, what it
    /// condemned stays condemned.
    #[must_use]
    pub fn decode_for(self, mark: u32, generation: u64) -> Fate {
        match self.decode(mark) {
            Fate::Pass if mark & self.mask & !self.fate_bits() != self.generation_bits(generation) => Fate::Inspect,
            fate => fate,
        }
    }

    fn generation_bits(self, generation: u64) -> u32 {
        let free = self.mask & !self.fate_bits();
        let low = u32::try_from(generation & u64::from(u32::MAX)).unwrap_or(0);
        low.checked_shl(free.trailing_zeros()).unwrap_or(0) & free
    }

    /// The two bits that hold the fate itself.
    #[must_use]
    pub fn fate_bits(self) -> u32 {
        3u32.checked_shl(self.mask.trailing_zeros()).unwrap_or(0) & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fate_survives_the_mark_and_leaves_other_bits_alone() {
        for mask in [0x0700_0000, 0x3, 0xc000_0000, 0xff00] {
            let mask = FateMask::new(mask).unwrap();
            for fate in [Fate::Inspect, Fate::Pass, Fate::Drop, Fate::Reject] {
                let mark = !mask.mask | mask.encode(fate);
                assert_eq!(mask.decode(mark), fate);
                assert_eq!(mask.encode(fate) & !mask.mask, 0);
            }
        }
    }

    #[test]
    fn what_an_older_rule_set_cleared_is_inspected_again() {
        let mask = FateMask::default();
        let cleared = mask.encode_with(Fate::Pass, 4);
        assert_eq!(mask.decode_for(cleared, 4), Fate::Pass);
        assert_eq!(mask.decode_for(cleared, 5), Fate::Inspect);
        assert_eq!(mask.decode_for(mask.encode_with(Fate::Drop, 4), 5), Fate::Drop);
        let no_room = FateMask::new(3).unwrap();
        assert_eq!(no_room.decode_for(no_room.encode_with(Fate::Pass, 4), 5), Fate::Pass);
    }

    #[test]
    fn masks_with_holes_or_one_bit_are_refused() {
        for mask in [0, 1, 0x8000_0000, 0x5, 0xf0f] {
            assert_eq!(FateMask::new(mask), None, "{mask:#x}");
        }
    }

    #[test]
    fn helper_names_end_at_nul_and_at_the_cap() {
        assert_eq!(HelperName::from_bytes(b"ftp\0junk").as_str(), "ftp");
        assert_eq!(HelperName::from_bytes(&[b'a'; 40]).as_str().len(), HelperName::BYTES_MAX);
    }
}
