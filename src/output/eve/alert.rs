//! `event_type: alert`, and the object `alert` that a drop may carry too.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::app::{self, AppObject};
use super::conntrack::ConntrackObject;
use super::envelope::{Envelope, packet_ends};
use super::fileinfo::FileObject;
use super::flow::FlowObject;
use super::smtp::EmailObject;
use super::tunnel::TunnelObject;
use super::variables::VariablesObject;
use super::{Context, NOTHING, Tidegate};
use crate::output::community_id::Ends;
use crate::output::spec::{AlertOptions, EveLog};
use crate::output::text::{Address, Protocol};
use crate::packet::app::AppRecord;
use crate::packet::conntrack::Direction;
use crate::packet::event::{AlertEvent, PacketFacts};
use crate::rules::app::AppProto;
use crate::rules::meta::{AlertTarget, RuleAction, RuleMeta};

#[derive(Serialize)]
pub struct AlertRecord<'e> {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_id: Option<u64>,
    alert: AlertObject<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    igmp: Option<IgmpObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rgmp: Option<RgmpObject>,
    #[serde(flatten)]
    app: Option<AppObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<EmailObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<VariablesObject<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<FlowObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_printable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_info: Option<PacketInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<TunnelObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
    tidegate: Tidegate,
}

pub fn record<'e>(
    event: &'e AlertEvent,
    options: &AlertOptions,
    log: &EveLog,
    context: &mut Context,
) -> AlertRecord<'e> {
    let packet = &event.packet;
    let bytes = event.payload.get(..options.payload_bytes_max).unwrap_or(&event.payload);
    let whole = options.packet && !event.packet_bytes.is_empty();
    AlertRecord {
        envelope: Envelope::of(packet, "alert", log, context),
        tx_id: event
            .transaction
            .as_ref()
            .filter(|(_, record)| !matches!(record, AppRecord::Frame(_)))
            .map(|(id, _)| *id),
        app: event.transaction.as_ref().map(|(id, record)| AppObject::of(record, *id, context)),
        email: event.transaction.as_ref().and_then(|(_, record)| app::email(record)),
        files: event
            .files
            .iter()
            .map(|file| FileObject::of(file, event.transaction.as_ref().map_or(0, |(id, _)| *id)))
            .collect(),
        app_proto: event.app_proto.map(AppProto::name),
        alert: AlertObject::of(&event.rule, event.blocked, packet).with_options(&event.rule, options),
        igmp: packet
            .igmp
            .filter(|igmp| !igmp.is_rgmp)
            .map(|igmp| IgmpObject { version: igmp.version, r#type: igmp.kind }),
        rgmp: packet.igmp.filter(|igmp| igmp.is_rgmp).map(|igmp| RgmpObject { r#type: igmp.kind }),
        metadata: VariablesObject::of(&event.variables),
        flow: event
            .flow
            .filter(|_| options.flow)
            .map(|summary| FlowObject::of(&summary, context).between(to_server(packet))),
        payload: (options.payload && !bytes.is_empty()).then(|| STANDARD.encode(bytes)),
        payload_printable: options.payload_printable.then(|| printable(bytes)),
        stream: (options.payload || options.payload_printable).then(|| u8::from(event.in_stream)),
        packet: whole.then(|| STANDARD.encode(&event.packet_bytes)),
        packet_info: whole.then_some(PacketInfo::RAW),
        verdict: options.verdict.then(|| VerdictObject::of(event.blocked, Some(event.rule.action), packet.protocol)),
        tunnel: packet.carrier.as_ref().map(|carrier| TunnelObject::of(carrier, packet.pcap_cnt)),
        conntrack: packet.conntrack.as_ref().map(|entry| ConntrackObject::of(entry, context)),
        tidegate: Tidegate {
            generation: Some(event.generation),
            ruleset: super::ruleset_name(event.rules_hash),
            ..NOTHING
        },
    }
}

#[derive(Serialize)]
pub struct IgmpObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    r#type: u8,
}

#[derive(Serialize)]
pub struct RgmpObject {
    r#type: u8,
}

#[derive(Serialize)]
pub struct AlertObject<'e> {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: &'e str,
    category: &'e str,
    severity: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<&'e str, &'e [String]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<&'e [String]>,
}

impl<'e> AlertObject<'e> {
    /// `dropped`: the packet was dropped, and by this rule.
    pub fn of(rule: &'e RuleMeta, dropped: bool, packet: &PacketFacts) -> AlertObject<'e> {
        let (source, target) = attacker_and_target(rule, packet).unzip();
        AlertObject {
            action: if dropped { "blocked" } else { "allowed" },
            gid: rule.gid,
            signature_id: rule.sid,
            rev: rule.rev,
            signature: &rule.msg,
            category: &rule.category,
            severity: rule.priority,
            source,
            target,
            metadata: None,
            rule: None,
            references: None,
        }
    }

    fn with_options(mut self, rule: &'e RuleMeta, options: &AlertOptions) -> AlertObject<'e> {
        if options.metadata && !rule.metadata.is_empty() {
            self.metadata = Some(rule.metadata.iter().map(|(key, values)| (key.as_str(), values.as_slice())).collect());
        }
        if options.rule_text {
            self.rule = Some(&rule.text);
        }
        if options.references && !rule.references.is_empty() {
            self.references = Some(&rule.references);
        }
        self
    }
}

/// `source` attacks, `target` is what the rule's `target` keyword names.
#[derive(Serialize)]
struct Endpoint {
    ip: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

fn attacker_and_target(rule: &RuleMeta, packet: &PacketFacts) -> Option<(Endpoint, Endpoint)> {
    let has_ports = Protocol(packet.protocol).has_ports();
    let end = |ip, port| Endpoint { ip: Address(ip), port: has_ports.then_some(port) };
    let (src, dst) = (end(packet.src, packet.src_port), end(packet.dst, packet.dst_port));
    Some(match rule.target? {
        AlertTarget::Destination => (src, dst),
        AlertTarget::Source => (dst, src),
    })
}

/// `verdict`: what became of the packet. (Suricata 7.0 spells `reject-target`; its schema has since settled on this.)
#[derive(Serialize)]
pub struct VerdictObject {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reject_target: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reject: Option<[&'static str; 1]>,
}

impl VerdictObject {
    pub fn of(dropped: bool, rule: Option<RuleAction>, protocol: u8) -> VerdictObject {
        let action = match rule {
            _ if dropped => "drop",
            Some(RuleAction::Pass) => "pass",
            _ => "alert",
        };
        let reject_target = match rule.filter(|_| dropped) {
            Some(RuleAction::Reject) => Some("to_client"),
            Some(RuleAction::RejectDst) => Some("to_server"),
            Some(RuleAction::RejectBoth) => Some("both"),
            _ => None,
        };
        let answer = if protocol == Protocol::TCP { "tcp-reset" } else { "icmp-prohib" };
        VerdictObject { action, reject_target, reject: reject_target.map(|_| [answer]) }
    }
}

#[derive(Serialize)]
pub struct PacketInfo {
    linktype: u16,
}

impl PacketInfo {
    pub const RAW: PacketInfo = PacketInfo { linktype: LINKTYPE_RAW };
}

/// libpcap's DLT_RAW: the packet begins with its IP header, as NFQUEUE hands it over.
const LINKTYPE_RAW: u16 = 12;

/// The packet's ends turned so that the source is the client.
pub fn to_server(packet: &PacketFacts) -> Ends {
    let ends = packet_ends(packet);
    match packet.direction {
        Some(Direction::Reply) => Ends {
            src: ends.dst,
            dst: ends.src,
            src_port: ends.dst_port,
            dst_port: ends.src_port,
            protocol: ends.protocol,
        },
        _ => ends,
    }
}

/// Printable ASCII and line ends as they are, a dot for each other byte.
fn printable(bytes: &[u8]) -> String {
    let keep = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r');
    bytes.iter().map(|&byte| if keep(byte) { char::from(byte) } else { '.' }).collect()
}
