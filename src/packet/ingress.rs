//! What the kernel tells us about one packet: the bytes, and everything around them.

use super::conntrack::{Conntrack, CtInfo};
use super::decode::anomaly::Anomalies;
use super::tunnel::Carrier;

/// Microseconds since the epoch. Time is an argument everywhere in the data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    pub micros: u64,
}

impl Timestamp {
    #[must_use]
    pub fn from_micros(micros: u64) -> Timestamp {
        Timestamp { micros }
    }

    #[must_use]
    pub fn seconds(self) -> u64 {
        self.micros / 1_000_000
    }

    #[must_use]
    pub fn micros_since(self, earlier: Timestamp) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }
}

/// The netfilter hook that queued the packet (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

impl Hook {
    #[must_use]
    pub fn from_kernel(value: u8) -> Option<Hook> {
        Some(match value {
            0 => Hook::Prerouting,
            1 => Hook::Input,
            2 => Hook::Forward,
            3 => Hook::Output,
            4 => Hook::Postrouting,
            _ => return None,
        })
    }
}

/// What is known of the transport checksum (`NFQA_SKB_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumStatus {
    /// Something below has vouched for it.
    Verified,
    /// `CSUMNOTREADY`: the field holds only the pseudo-header sum. Never verify, treat as good.
    NotReady,
    /// `CSUM_NOTVERIFIED`: nothing below has vouched. conntrack has checked packets that it tracks at prerouting.
    NotVerified,
}

/// An 802.1Q tag: `tci` is priority, DEI and VLAN id, host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    pub protocol: u16,
    pub tci: u16,
}

impl VlanTag {
    #[must_use]
    pub fn id(self) -> u16 {
        self.tci & 0x0fff
    }
}

/// The tags of a frame, outermost first: as many as Suricata knows.
pub type VlanTags = [Option<VlanTag>; 3];

/// The connection tracking of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Tracked<'p> {
    pub entry: &'p Conntrack,
    pub info: CtInfo,
}

/// One packet as a feeder hands it to the data plane. `bytes` starts at the network header.
#[derive(Clone, Copy, Debug)]
pub struct Ingress<'p> {
    pub bytes: &'p [u8],
    /// EtherType, host byte order: 0x0800 or 0x86dd for what we inspect.
    pub ethertype: u16,
    pub hook: Hook,
    /// Interface indices; 0 where the hook has none.
    pub in_ifindex: u32,
    pub out_ifindex: u32,
    /// Bridge ports, 0 outside of bridges.
    pub phys_in_ifindex: u32,
    pub phys_out_ifindex: u32,
    /// The packet's mark (`skb->mark`), not the connection's.
    pub mark: u32,
    pub priority: u32,
    pub vlan: VlanTags,
    pub source_mac: Option<[u8; 6]>,
    /// The Ethernet header, 14 bytes, where the feeder has it (replay, and frames in tunnels); empty otherwise.
    pub ethernet: &'p [u8],
    pub checksum: ChecksumStatus,
    /// A super-packet: the lengths in the headers describe up to 64 KiB, not wire packets.
    pub gso: bool,
    /// Length of the packet in the kernel; more than `bytes.len()` when the copy was cut (`NFQA_CAP_LEN`).
    pub full_len: u32,
    /// `None`: untracked, INVALID, or not IP.
    pub conntrack: Option<Tracked<'p>>,
    /// What the feeder found odd on the way here: below IP, or while putting fragments together.
    pub noted: Anomalies,
    /// The packet came inside another. Then `conntrack` is an entry of ours: the kernel has none.
    pub carrier: Option<&'p Carrier>,
    /// Number of the packet in its capture file, from 1; 0 for live packets.
    pub pcap_cnt: u64,
}

impl<'p> Ingress<'p> {
    /// A forwarded packet about which nothing but its bytes is known.
    #[must_use]
    pub fn bare(bytes: &'p [u8], ethertype: u16) -> Ingress<'p> {
        Ingress {
            bytes,
            ethertype,
            hook: Hook::Forward,
            in_ifindex: 0,
            out_ifindex: 0,
            phys_in_ifindex: 0,
            phys_out_ifindex: 0,
            mark: 0,
            priority: 0,
            vlan: VlanTags::default(),
            source_mac: None,
            ethernet: &[],
            checksum: ChecksumStatus::Verified,
            gso: false,
            full_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            conntrack: None,
            noted: Anomalies::NONE,
            carrier: None,
            pcap_cnt: 0,
        }
    }
}
