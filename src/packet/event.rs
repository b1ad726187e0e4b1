//! What happened, as plain data. No JSON here: `output::eve` gives these their form.
//!
//! Events are only made when something happened, so they may own and allocate; the accept path makes none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::app::{AppRecord, FileEnd, FileRecord};
use super::conntrack::{Conntrack, Direction, Fate, TcpState};
use super::decode::igmp::Igmp;
use super::ingress::{Timestamp, VlanTags};
use super::tunnel::Carrier;
use super::verdict::{Clearing, Reason};
use crate::rules::app::AppProto;
use crate::rules::meta::RuleMeta;

/// One thing worth telling.
#[derive(Clone, Debug)]
pub enum Event {
    Alert(Box<AlertEvent>),
    Drop(Box<DropEvent>),
    Flow(Box<FlowEvent>),
    Anomaly(Box<AnomalyEvent>),
    App(Box<AppEvent>),
    Tagged(Box<TaggedEvent>),
    FilePiece(Box<FilePieceEvent>),
    Block(BlockEvent),
}

/// A rule that dropped wants this address refused from now on. Not told: the drop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEvent {
    pub address: IpAddr,
    /// `None`: for good.
    pub time: Option<Duration>,
}

/// The next bytes of a file that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePieceEvent {
    pub flow_id: u64,
    pub tx_id: u64,
    /// The file's number in its transaction.
    pub number: u32,
    /// Where the bytes stand in the file.
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub end: Option<FileEnd>,
}

/// Where an inspected packet leaves its events. Reused from packet to packet.
pub type Events = Vec<Event>;

/// The packet that an event is about: addresses as seen at our hook, and both tuples through `conntrack`.
#[derive(Clone, Debug)]
pub struct PacketFacts {
    pub timestamp: Timestamp,
    pub flow_id: Option<u64>,
    pub in_ifindex: u32,
    pub out_ifindex: u32,
    pub vlan: VlanTags,
    pub pcap_cnt: u64,
    pub src: IpAddr,
    pub dst: IpAddr,
    /// 0 where the protocol has no ports.
    pub src_port: u16,
    pub dst_port: u16,
    pub protocol: u8,
    pub icmp: Option<IcmpFacts>,
    pub igmp: Option<Igmp>,
    pub direction: Option<Direction>,
    /// `None` where the kernel has no entry, such as for a packet inside another.
    pub conntrack: Option<Conntrack>,
    pub carrier: Option<Carrier>,
    pub header: HeaderFacts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpFacts {
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub id: u16,
    pub seq: u16,
}

/// The header fields of EVE `drop`. `len` is the IP packet's length in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    pub len: u32,
    /// IPv4 TOS or IPv6 traffic class.
    pub tos: u8,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    pub ip_id: u16,
    pub flow_label: u32,
    pub tcp: Option<TcpFacts>,
    pub udp_len: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFacts {
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub reserved: u8,
    pub urgent: u16,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
}

/// A rule matched and wants it told.
#[derive(Clone, Debug)]
pub struct AlertEvent {
    pub packet: PacketFacts,
    pub rule: Arc<RuleMeta>,
    /// Whether this packet was stopped: EVE `alert.action` is then `blocked`.
    pub blocked: bool,
    pub flow: Option<FlowSummary>,
    pub variables: CapturedVariables,
    /// The payload is that of the stream, and its end; otherwise the beginning of the packet's.
    pub in_stream: bool,
    /// The bytes that the rule looked at, as many as some output writes.
    pub payload: Box<[u8]>,
    /// The packet from its network header, where an output asks for `packet`; empty otherwise.
    pub packet_bytes: Box<[u8]>,
    /// Generation of the rule set that judged.
    pub generation: u64,
    /// That rule set by its contents; 0 if nobody said.
    pub rules_hash: u64,
    pub app_proto: Option<AppProto>,
    /// The transaction that the rule matched, as far as it was known.
    pub transaction: Option<(u64, AppRecord)>,
    /// The files that this transaction has carried so far.
    pub files: Vec<FileRecord>,
}

/// What expressions have captured: of the connection so far, and of this packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedVariables {
    pub flow: Vec<Variable>,
    pub packet: Vec<Variable>,
}

impl CapturedVariables {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flow.is_empty() && self.packet.is_empty()
    }
}

/// A name of a rule and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: Arc<str>,
    pub value: Box<[u8]>,
}

/// A packet that follows a match of a rule with `tag`.
#[derive(Clone, Debug)]
pub struct TaggedEvent {
    pub packet: PacketFacts,
    /// The packet from its network header.
    pub packet_bytes: Box<[u8]>,
}

/// A packet was dropped, and why.
#[derive(Clone, Debug)]
pub struct DropEvent {
    pub packet: PacketFacts,
    pub reason: Reason,
    pub rule: Option<Arc<RuleMeta>>,
    /// The rest of the connection is answered with resets or ICMP errors.
    pub reject: bool,
    pub flow: Option<FlowSummary>,
}

/// The flow as it stands when an alert is written (EVE `flow` inside `alert`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSummary {
    pub pkts_toserver: u64,
    pub pkts_toclient: u64,
    pub bytes_toserver: u64,
    pub bytes_toclient: u64,
    pub start: Timestamp,
}

/// A connection ended: the kernel's own account of it.
#[derive(Clone, Debug)]
pub struct FlowEvent {
    pub timestamp: Timestamp,
    pub flow_id: u64,
    pub in_ifindex: u32,
    pub entry: Conntrack,
    /// The flow ran inside a tunnel: `entry` is ours, not the kernel's.
    pub carrier: Option<Carrier>,
    /// Counters of the kernel, or ours where `nf_conntrack_acct` is off (`counted_by_kernel` false).
    pub summary: FlowSummary,
    pub counted_by_kernel: bool,
    pub end: Timestamp,
    pub age_s: u64,
    pub state: FlowState,
    pub reason: FlowEnd,
    pub alerted: bool,
    pub fate: Fate,
    /// Why, if it is [`Fate::Pass`] and we decided it.
    pub cleared_by: Option<Clearing>,
    pub generation: u64,
    pub tcp: Option<TcpFlowFacts>,
    pub icmp: Option<IcmpFacts>,
    pub app_proto: Option<AppProto>,
}

/// EVE `flow.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    New,
    Established,
    Closed,
    Bypassed,
}

/// EVE `flow.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// The entry expired, or its connection was closed and it then expired.
    Timeout,
    /// Somebody deleted the entry, or the table was under pressure.
    Forced,
    /// We stopped (replay: the capture ended).
    Shutdown,
}

/// EVE `tcp` of a flow record: the flags that we saw, per direction, and the last state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlowFacts {
    pub flags_toserver: u8,
    pub flags_toclient: u8,
    pub state: Option<TcpState>,
}

/// A transaction of an application protocol, as its own event tells it.
#[derive(Clone, Debug)]
pub struct AppEvent {
    /// The packet that completed it, or, when the flow has ended, the flow's ends.
    pub packet: PacketFacts,
    pub app_proto: AppProto,
    pub tx_id: u64,
    pub record: AppRecord,
}

/// An oddity in traffic or in the gate itself.
#[derive(Clone, Debug)]
pub struct AnomalyEvent {
    pub timestamp: Timestamp,
    pub packet: Option<PacketFacts>,
    /// EVE `anomaly.type`: `decode`, `stream`, `applayer` or `gate` (ours: the ledger, overruns).
    pub kind: &'static str,
    /// EVE `anomaly.event`, such as `decoder.ipv4.trunc_pkt`.
    pub event: &'static str,
    /// A figure that belongs to it, such as how many packets went by uninspected.
    pub count: u64,
}
