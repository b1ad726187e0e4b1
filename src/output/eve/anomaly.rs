//! `event_type: anomaly`: an oddity in traffic, or in the gate itself.

use serde::Serialize;

use super::conntrack::ConntrackObject;
use super::envelope::{Envelope, Head};
use super::{Context, NOTHING, Tidegate};
use crate::output::spec::EveLog;
use crate::packet::event::AnomalyEvent;

#[derive(Serialize)]
pub struct AnomalyRecord {
    #[serde(flatten)]
    about: About,
    anomaly: AnomalyObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tidegate: Option<Tidegate>,
}

/// A packet, or the gate as a whole.
#[derive(Serialize)]
#[serde(untagged)]
enum About {
    Packet(Box<Envelope>),
    Gate(Head),
}

#[derive(Serialize)]
struct AnomalyObject {
    r#type: &'static str,
    event: &'static str,
}

pub fn record(event: &AnomalyEvent, log: &EveLog, context: &mut Context) -> AnomalyRecord {
    let entry = event.packet.as_ref().and_then(|packet| packet.conntrack.as_ref());
    AnomalyRecord {
        about: match &event.packet {
            Some(packet) => About::Packet(Box::new(Envelope::of(packet, "anomaly", log, context))),
            None => About::Gate(Head::at(event.timestamp, "anomaly", context).of_log(log, context)),
        },
        anomaly: AnomalyObject { r#type: event.kind, event: event.event },
        conntrack: entry.map(|entry| ConntrackObject::of(entry, context)),
        tidegate: (event.count > 0).then_some(Tidegate { count: Some(event.count), ..NOTHING }),
    }
}
