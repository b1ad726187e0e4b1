//! The objects `smtp` and `email`.

use serde::Serialize;

use super::app::EveObject;
use crate::output::text::Bytes;
use crate::packet::app::protocols::smtp::record::{EmailRecord, SmtpRecord};

#[derive(Serialize)]
pub struct SmtpObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    helo: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_from: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rcpt_to: Vec<Bytes>,
}

impl EveObject for SmtpRecord {
    type Object = SmtpObject;

    fn object(record: &SmtpRecord) -> SmtpObject {
        SmtpObject {
            helo: text(record.helo.as_deref()),
            mail_from: text(record.mail_from.as_deref()),
            rcpt_to: texts(&record.rcpt_to),
        }
    }
}

#[derive(Serialize)]
pub struct EmailObject {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_mailer: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    received: Vec<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachment: Vec<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    url: Vec<Bytes>,
}

impl EmailObject {
    pub fn of(record: &EmailRecord) -> EmailObject {
        EmailObject {
            status: record.status,
            from: text(record.from.as_deref()),
            to: texts(&record.to),
            cc: texts(&record.cc),
            subject: text(record.subject.as_deref()),
            date: text(record.date.as_deref()),
            message_id: text(record.message_id.as_deref()),
            x_mailer: text(record.x_mailer.as_deref()),
            received: texts(&record.received),
            attachment: texts(&record.attachment),
            url: texts(&record.url),
        }
    }
}

fn text(bytes: Option<&[u8]>) -> Option<Bytes> {
    bytes.map(Bytes::of)
}

fn texts(list: &[Vec<u8>]) -> Vec<Bytes> {
    list.iter().map(|bytes| Bytes::of(bytes)).collect()
}
