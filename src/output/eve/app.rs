//! Records of application protocols: the protocol's own object beside what every record has, and beside alerts.

use serde::Serialize;

use super::Context;
use super::conntrack::ConntrackObject;
use super::envelope::Envelope;
use super::fileinfo::FileObject;
use super::smtp::EmailObject;
use crate::output::spec::EveLog;
use crate::packet::app::frame::FrameRecord;
use crate::packet::app::record::{PlainRecord, with_records};
use crate::packet::app::{AppRecord, protocols};
use crate::packet::event::AppEvent;
use crate::rules::plan::Toward;

/// The form that EVE gives to a protocol's record.
pub trait EveObject {
    type Object: Serialize;

    fn object(record: &Self) -> Self::Object;
}

macro_rules! define {
    (shaped { $($name:ident $event:literal $folder:ident::$record:ident, $doc:literal;)* } plain { $($plain:tt)* }) => {
        /// The object of one protocol. Its field name is the record's `event_type`.
        #[derive(Serialize)]
        pub enum AppObject {
            #[serde(rename = "fileinfo")]
            File(FileObject),
            #[serde(rename = "frame")]
            Frame(FrameObject),
            $(#[serde(rename = $event)] $name(Box<<protocols::$folder::record::$record as EveObject>::Object>),)*
            #[serde(untagged)]
            Plain(PlainRecord),
        }

        impl AppObject {
            pub fn of(record: &AppRecord, tx_id: u64, _context: &mut Context) -> AppObject {
                match record {
                    AppRecord::File(account) => AppObject::File(FileObject::of(&account.file, tx_id)),
                    AppRecord::Frame(record) => AppObject::Frame(FrameObject::of(record)),
                    AppRecord::Plain(record) => AppObject::Plain(record.clone()),
                    $(AppRecord::$name(record) => AppObject::$name(Box::new(EveObject::object(&**record))),)*
                }
            }
        }
    };
}
with_records!(define);

/// The frame that a rule has matched.
#[derive(Serialize)]
pub struct FrameObject {
    r#type: &'static str,
    direction: &'static str,
    /// Of one that is not complete only so much has been seen.
    length: u64,
    complete: bool,
}

impl FrameObject {
    fn of(record: &FrameRecord) -> FrameObject {
        let direction = match record.toward {
            Toward::Server => "toserver",
            Toward::Client => "toclient",
        };
        FrameObject { r#type: record.kind, direction, length: record.length, complete: record.complete }
    }
}

/// The object `email`, which stands beside `smtp`.
pub fn email(record: &AppRecord) -> Option<EmailObject> {
    match record {
        AppRecord::Smtp(record) => record.email.as_ref().map(EmailObject::of),
        _ => None,
    }
}

#[derive(Serialize)]
pub struct AppRecordLine {
    #[serde(flatten)]
    envelope: Envelope,
    tx_id: u64,
    /// What carried a file.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    carrier: Option<AppObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    #[serde(flatten)]
    object: AppObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<EmailObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conntrack: Option<ConntrackObject>,
}

pub fn record(event: &AppEvent, log: &EveLog, context: &mut Context) -> AppRecordLine {
    let (carrier, is_file) = match &event.record {
        AppRecord::File(account) => (account.of.as_ref(), true),
        _ => (None, false),
    };
    AppRecordLine {
        envelope: Envelope::of(&event.packet, event.record.event_type(), log, context),
        tx_id: event.tx_id,
        carrier: carrier.map(|carrier| AppObject::of(carrier, event.tx_id, context)),
        app_proto: is_file.then(|| event.app_proto.name()),
        object: AppObject::of(&event.record, event.tx_id, context),
        email: email(carrier.unwrap_or(&event.record)),
        conntrack: event.packet.conntrack.as_ref().map(|entry| ConntrackObject::of(entry, context)),
    }
}
