//! `event_type: flow`: a connection's end with the kernel's own account of it, and the object `flow` of an alert.

use serde::Serialize;

use super::conntrack::ConntrackObject;
use super::envelope::{Addresses, Head, with_icmp};
use super::{Context, NOTHING, Tidegate};
use crate::output::community_id::{Ends, community_id};
use crate::output::spec::EveLog;
use crate::output::text::{Address, Protocol};
use crate::packet::conntrack::{Conntrack, CtStatus, Fate};
use crate::packet::event::{FlowEnd, FlowEvent, FlowState, FlowSummary, TcpFlowFacts};
use crate::packet::verdict::Clearing;
use crate::rules::app::AppProto;

#[derive(Serialize)]
pub struct FlowRecord {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    addresses: Addresses,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    flow: FlowObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    community_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
    tidegate: Tidegate,
}

pub fn record(event: &FlowEvent, log: &EveLog, context: &mut Context) -> FlowRecord {
    let mut head = Head::at(event.timestamp, "flow", context).of_log(log, context);
    head.flow_id = Some(event.flow_id);
    head.in_iface = context.interfaces.name(event.in_ifindex);
    let ends = ends_at_our_hook(&event.entry);
    let icmp = icmp_of(event);
    let response = icmp_response(&event.entry);
    FlowRecord {
        head,
        addresses: Addresses::of(ends),
        icmp_type: icmp.map(|(kind, _)| kind),
        icmp_code: icmp.map(|(_, code)| code),
        response_icmp_type: response.map(|(kind, _)| kind),
        response_icmp_code: response.map(|(_, code)| code),
        app_proto: event.app_proto.map(AppProto::name),
        flow: FlowObject::of(&event.summary, context).ended(event, context),
        community_id: log.community_id_seed.map(|seed| community_id(seed, with_icmp(ends, icmp))),
        tcp: event.tcp.map(TcpObject::from),
        conntrack: event.carrier.is_none().then(|| ConntrackObject::of(&event.entry, context)),
        tidegate: Tidegate {
            generation: Some(event.generation),
            fate: Some(event.fate.name()),
            cleared_by: event.cleared_by.map(Clearing::name),
            counted_by: Some(if event.counted_by_kernel { "kernel" } else { "tidegate" }),
            ..NOTHING
        },
    }
}

/// The object `flow`: in an alert as it stands, in a flow record with its end.
#[derive(Serialize)]
pub struct FlowObject {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: String,
    #[serde(flatten)]
    ends: Option<FlowEnds>,
    #[serde(flatten)]
    end: Option<FlowEndFields>,
}

#[derive(Serialize)]
struct FlowEnds {
    src_ip: Address,
    dest_ip: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
}

#[derive(Serialize)]
struct FlowEndFields {
    end: String,
    age: u64,
    /// `capture` when the kernel passed the rest without asking us.
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass: Option<&'static str>,
    state: &'static str,
    reason: &'static str,
    alerted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
}

impl FlowObject {
    pub fn of(summary: &FlowSummary, context: &mut Context) -> FlowObject {
        FlowObject {
            pkts_toserver: summary.pkts_toserver,
            pkts_toclient: summary.pkts_toclient,
            bytes_toserver: summary.bytes_toserver,
            bytes_toclient: summary.bytes_toclient,
            start: context.clock.iso(summary.start),
            ends: None,
            end: None,
        }
    }

    /// Adds the two ends, source being the client.
    pub fn between(mut self, ends: Ends) -> FlowObject {
        let has_ports = Protocol(ends.protocol).has_ports();
        self.ends = Some(FlowEnds {
            src_ip: Address(ends.src),
            dest_ip: Address(ends.dst),
            src_port: has_ports.then_some(ends.src_port),
            dest_port: has_ports.then_some(ends.dst_port),
        });
        self
    }

    fn ended(mut self, event: &FlowEvent, context: &mut Context) -> FlowObject {
        self.end = Some(FlowEndFields {
            end: context.clock.iso(event.end),
            age: event.age_s,
            bypass: (event.state == FlowState::Bypassed).then_some("capture"),
            state: state_name(event.state),
            reason: reason_name(event.reason),
            alerted: event.alerted,
            action: match event.fate {
                Fate::Drop | Fate::Reject => Some("drop"),
                Fate::Pass => Some("pass"),
                Fate::Inspect => None,
            },
        });
        self
    }
}

/// The object `tcp`: flags of both directions in hexadecimal, and the ones that were seen by name.
#[derive(Serialize)]
struct TcpObject {
    tcp_flags: String,
    tcp_flags_ts: String,
    tcp_flags_tc: String,
    #[serde(flatten)]
    seen: SeenFlags,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// Suricata writes only those that are true.
#[derive(Serialize)]
struct SeenFlags {
    #[serde(skip_serializing_if = "is_false")]
    syn: bool,
    #[serde(skip_serializing_if = "is_false")]
    fin: bool,
    #[serde(skip_serializing_if = "is_false")]
    rst: bool,
    #[serde(skip_serializing_if = "is_false")]
    psh: bool,
    #[serde(skip_serializing_if = "is_false")]
    ack: bool,
    #[serde(skip_serializing_if = "is_false")]
    urg: bool,
    #[serde(skip_serializing_if = "is_false")]
    ecn: bool,
    #[serde(skip_serializing_if = "is_false")]
    cwr: bool,
}

impl From<TcpFlowFacts> for TcpObject {
    fn from(tcp: TcpFlowFacts) -> TcpObject {
        let both = tcp.flags_toserver | tcp.flags_toclient;
        let has = |bit: u8| both & bit != 0;
        TcpObject {
            tcp_flags: format!("{both:02x}"),
            tcp_flags_ts: format!("{:02x}", tcp.flags_toserver),
            tcp_flags_tc: format!("{:02x}", tcp.flags_toclient),
            seen: SeenFlags {
                syn: has(0x02),
                fin: has(0x01),
                rst: has(0x04),
                psh: has(0x08),
                ack: has(0x10),
                urg: has(0x20),
                ecn: has(0x40),
                cwr: has(0x80),
            },
            state: tcp.state.map(|state| state.name()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What our hook sees of a connection: behind destination NAT, before source NAT.
fn ends_at_our_hook(entry: &Conntrack) -> Ends {
    let (orig, reply) = (&entry.orig, &entry.reply);
    let known = !reply.src.is_unspecified() && !Protocol(orig.protocol).is_icmp();
    Ends {
        src: orig.src,
        dst: if reply.src.is_unspecified() { orig.dst } else { reply.src },
        protocol: orig.protocol,
        src_port: orig.src_port,
        dst_port: if known { reply.src_port } else { orig.dst_port },
    }
}

/// Type and code of the request, from the packet that opened the flow or else from the entry.
fn icmp_of(event: &FlowEvent) -> Option<(u8, u8)> {
    if !Protocol(event.entry.orig.protocol).is_icmp() {
        return None;
    }
    let [kind, code] = event.entry.orig.dst_port.to_be_bytes();
    Some(event.icmp.map_or((kind, code), |icmp| (icmp.icmp_type, icmp.icmp_code)))
}

fn icmp_response(entry: &Conntrack) -> Option<(u8, u8)> {
    let answered = Protocol(entry.orig.protocol).is_icmp() && entry.status.has(CtStatus::SEEN_REPLY);
    let [kind, code] = entry.reply.dst_port.to_be_bytes();
    answered.then_some((kind, code))
}

fn state_name(state: FlowState) -> &'static str {
    match state {
        FlowState::New => "new",
        FlowState::Established => "established",
        FlowState::Closed => "closed",
        FlowState::Bypassed => "bypassed",
    }
}

fn reason_name(reason: FlowEnd) -> &'static str {
    match reason {
        FlowEnd::Timeout => "timeout",
        FlowEnd::Forced => "forced",
        FlowEnd::Shutdown => "shutdown",
    }
}
