//! `event_type: drop`: the header of a dropped packet in netfilter's log style, and why it was dropped.

use serde::Serialize;

use super::Context;
use super::alert::{AlertObject, VerdictObject};
use super::conntrack::ConntrackObject;
use super::envelope::Envelope;
use crate::output::spec::{DropOptions, EveLog};
use crate::output::text::Protocol;
use crate::packet::event::{DropEvent, PacketFacts, TcpFacts};
use crate::packet::verdict::Reason;

#[derive(Serialize)]
pub struct DropRecord<'e> {
    #[serde(flatten)]
    envelope: Envelope,
    drop: DropObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<AlertObject<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
}

pub fn record<'e>(event: &'e DropEvent, options: DropOptions, log: &EveLog, context: &mut Context) -> DropRecord<'e> {
    let packet = &event.packet;
    let action = event.rule.as_ref().map(|rule| rule.action);
    DropRecord {
        envelope: Envelope::of(packet, "drop", log, context),
        drop: DropObject::of(packet, event.reason),
        verdict: options.verdict.then(|| VerdictObject::of(true, action.filter(|_| event.reject), packet.protocol)),
        alert: event.rule.as_ref().filter(|_| options.alerts).map(|rule| AlertObject::of(rule, true, packet)),
        conntrack: packet.conntrack.as_ref().map(|entry| ConntrackObject::of(entry, context)),
    }
}

#[derive(Serialize)]
struct DropObject {
    /// IPv4: the whole packet. IPv6: without the fixed header, as that header's own length field counts.
    len: u32,
    #[serde(flatten)]
    ip: IpFields,
    #[serde(flatten)]
    tcp: Option<TcpFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udplen: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_seq: Option<u16>,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum IpFields {
    V4 { tos: u8, ttl: u8, ipid: u16 },
    V6 { tc: u8, hoplimit: u8, flowlbl: u32 },
}

#[derive(Serialize)]
struct TcpFields {
    tcpseq: u32,
    tcpack: u32,
    tcpwin: u16,
    syn: bool,
    ack: bool,
    psh: bool,
    rst: bool,
    urg: bool,
    fin: bool,
    tcpres: u8,
    tcpurgp: u16,
}

impl DropObject {
    fn of(packet: &PacketFacts, reason: Reason) -> DropObject {
        let header = &packet.header;
        let v4 = packet.src.is_ipv4();
        let icmp = packet.icmp.filter(|_| packet.protocol == Protocol::ICMP);
        DropObject {
            len: if v4 { header.len } else { header.len.saturating_sub(IPV6_HEADER_BYTES) },
            ip: if v4 {
                IpFields::V4 { tos: header.tos, ttl: header.ttl, ipid: header.ip_id }
            } else {
                IpFields::V6 { tc: header.tos, hoplimit: header.ttl, flowlbl: header.flow_label }
            },
            tcp: header.tcp.map(TcpFields::from),
            udplen: header.udp_len,
            icmp_id: icmp.map(|icmp| icmp.id),
            icmp_seq: icmp.map(|icmp| icmp.seq),
            reason: reason.as_str(),
        }
    }
}

impl From<TcpFacts> for TcpFields {
    fn from(tcp: TcpFacts) -> TcpFields {
        let has = |bit: u8| tcp.flags & bit != 0;
        TcpFields {
            tcpseq: tcp.seq,
            tcpack: tcp.ack,
            tcpwin: tcp.window,
            syn: has(0x02),
            ack: has(0x10),
            psh: has(0x08),
            rst: has(0x04),
            urg: has(0x20),
            fin: has(0x01),
            tcpres: tcp.reserved,
            tcpurgp: tcp.urgent,
        }
    }
}

const IPV6_HEADER_BYTES: u32 = 40;
