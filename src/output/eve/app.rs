//! Records of application protocols: the protocol's own object beside what every record has, and beside alerts.

use serde::Serialize;

use super::Context;
use super::conntrack::ConntrackObject;
use super::dcerpc::DcerpcObject;
use super::dns::DnsObject;
use super::envelope::Envelope;
use super::fileinfo::FileObject;
use super::ftp::{FtpDataObject, FtpObject};
use super::http::HttpObject;
use super::krb5::KrbObject;
use super::sip::SipObject;
use super::smb::SmbObject;
use super::smtp::{EmailObject, SmtpObject};
use super::snmp::SnmpObject;
use super::ssh::SshObject;
use super::tls::TlsObject;
use crate::output::spec::EveLog;
use crate::packet::app::AppRecord;
use crate::packet::event::AppEvent;

/// The object of one protocol. Its field name is the record's `event_type`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppObject {
    Dcerpc(DcerpcObject),
    Dns(Box<DnsObject>),
    FileInfo(FileObject),
    Http(Box<HttpObject>),
    Krb5(Box<KrbObject>),
    Sip(SipObject),
    Smb(Box<SmbObject>),
    Snmp(SnmpObject),
    Ssh(SshObject),
    Smtp(SmtpObject),
    Ftp(Box<FtpObject>),
    #[serde(rename = "ftp_data")]
    FtpData(FtpDataObject),
    Tls(Box<TlsObject>),
}

impl AppObject {
    pub fn of(record: &AppRecord, tx_id: u64, _context: &mut Context) -> AppObject {
        match record {
            AppRecord::Dcerpc(record) => AppObject::Dcerpc(DcerpcObject::of(record)),
            AppRecord::Krb5(record) => AppObject::Krb5(Box::new(KrbObject::of(record))),
            AppRecord::Sip(record) => AppObject::Sip(SipObject::of(record)),
            AppRecord::Snmp(record) => AppObject::Snmp(SnmpObject::of(record)),
            AppRecord::Ssh(record) => AppObject::Ssh(SshObject::of(record)),
            AppRecord::Smb(record) => AppObject::Smb(Box::new(SmbObject::of(record))),
            AppRecord::Dns(record) => AppObject::Dns(Box::new(DnsObject::of(record))),
            AppRecord::File(account) => AppObject::FileInfo(FileObject::of(&account.file, tx_id)),
            AppRecord::Http(record) => AppObject::Http(Box::new(HttpObject::of(record))),
            AppRecord::Ftp(record) => AppObject::Ftp(Box::new(FtpObject::of(record))),
            AppRecord::FtpData(record) => AppObject::FtpData(FtpDataObject::of(record)),
            AppRecord::Smtp(record) => AppObject::Smtp(SmtpObject::of(record)),
            AppRecord::Tls(record) => AppObject::Tls(Box::new(TlsObject::of(record))),
        }
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
