//! The objects `ftp` and `ftp_data`.

use serde::Serialize;

use super::app::EveObject;
use crate::output::text::Bytes;
use crate::packet::app::protocols::ftp::Mode;
use crate::packet::app::protocols::ftp::record::{FtpDataRecord, FtpRecord};

#[derive(Serialize)]
pub struct FtpObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_data: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    completion_code: Vec<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply: Vec<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dynamic_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    reply_received: &'static str,
}

impl EveObject for FtpRecord {
    type Object = FtpObject;

    fn object(record: &FtpRecord) -> FtpObject {
        let texts = |list: &[Vec<u8>]| list.iter().map(|bytes| Bytes::of(bytes)).collect();
        FtpObject {
            command: record.command.as_deref().map(Bytes::of),
            command_data: record.command_data.as_deref().map(Bytes::of),
            completion_code: texts(&record.completion_codes),
            reply: texts(&record.replies),
            dynamic_port: record.dynamic_port,
            mode: record.mode.map(|mode| match mode {
                Mode::Active => "active",
                Mode::Passive => "passive",
            }),
            reply_received: if record.reply_received { "yes" } else { "no" },
        }
    }
}

#[derive(Serialize)]
pub struct FtpDataObject {
    filename: Bytes,
    command: &'static str,
}

impl EveObject for FtpDataRecord {
    type Object = FtpDataObject;

    fn object(record: &FtpDataRecord) -> FtpDataObject {
        FtpDataObject { filename: Bytes::of(&record.file_name), command: record.command }
    }
}
