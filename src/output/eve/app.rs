//! Records of application protocols: the protocol's own object beside what every record has, and beside alerts.

use serde::Serialize;

use super::Context;
use super::conntrack::ConntrackObject;
use super::dns::DnsObject;
use super::envelope::Envelope;
use crate::output::spec::EveLog;
use crate::packet::app::AppRecord;
use crate::packet::event::AppEvent;

/// The object of one protocol. Its field name is the record's `event_type`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppObject {
    Dns(Box<DnsObject>),
}

impl AppObject {
    pub fn of(record: &AppRecord, _context: &mut Context) -> AppObject {
        match record {
            AppRecord::Dns(record) => AppObject::Dns(Box::new(DnsObject::of(record))),
        }
    }
}

#[derive(Serialize)]
pub struct AppRecordLine {
    #[serde(flatten)]
    envelope: Envelope,
    tx_id: u64,
    #[serde(flatten)]
    object: AppObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
}

pub fn record(event: &AppEvent, log: &EveLog, context: &mut Context) -> AppRecordLine {
    AppRecordLine {
        envelope: Envelope::of(&event.packet, event.record.event_type(), log, context),
        tx_id: event.tx_id,
        object: AppObject::of(&event.record, context),
        conntrack: event.packet.conntrack.as_ref().map(|entry| ConntrackObject::of(entry, context)),
    }
}
