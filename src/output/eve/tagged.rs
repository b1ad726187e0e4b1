//! `event_type: packet`: a packet that follows a match of a rule with `tag`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Context;
use super::alert::PacketInfo;
use super::conntrack::ConntrackObject;
use super::envelope::Envelope;
use crate::output::spec::EveLog;
use crate::packet::event::TaggedEvent;

#[derive(Serialize)]
pub struct TaggedRecord {
    #[serde(flatten)]
    envelope: Envelope,
    packet: String,
    packet_info: PacketInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
}

pub fn record(event: &TaggedEvent, log: &EveLog, context: &mut Context) -> TaggedRecord {
    TaggedRecord {
        envelope: Envelope::of(&event.packet, "packet", log, context),
        packet: STANDARD.encode(&event.packet_bytes),
        packet_info: PacketInfo::RAW,
        conntrack: event.packet.conntrack.as_ref().map(|entry| ConntrackObject::of(entry, context)),
    }
}
