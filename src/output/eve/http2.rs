//! What stands in `http` only of HTTP/2.

use serde::Serialize;

use crate::output::text::Bytes;
use crate::packet::app::protocols::http2::hpack::Field;
use crate::packet::app::protocols::http2::record::{Http2Half, Http2Record};
use crate::rules::app::{HTTP2_ERRORS, HTTP2_SETTINGS};

#[derive(Serialize)]
pub struct Http2Parts {
    version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_headers: Vec<HeaderObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response_headers: Vec<HeaderObject>,
    http2: Http2Object,
}

#[derive(Serialize)]
struct Http2Object {
    stream_id: u32,
    request: HalfObject,
    response: HalfObject,
}

#[derive(Serialize)]
struct HalfObject {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settings: Vec<SettingObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_multiple: Option<&'static str>,
}

#[derive(Serialize)]
struct SettingObject {
    settings_id: String,
    settings_value: u32,
}

/// A header, or a change of the table's size.
#[derive(Default, Serialize)]
struct HeaderObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_size_update: Option<u32>,
}

impl Http2Parts {
    pub fn of(record: &Http2Record) -> Http2Parts {
        Http2Parts {
            version: "2",
            request_headers: headers(&record.request),
            response_headers: headers(&record.response),
            http2: Http2Object {
                stream_id: record.stream,
                request: HalfObject::of(&record.request),
                response: HalfObject::of(&record.response),
            },
        }
    }
}

impl HalfObject {
    fn of(half: &Http2Half) -> HalfObject {
        let setting =
            |(number, value): &(u16, u32)| SettingObject { settings_id: setting_name(*number), settings_value: *value };
        HalfObject {
            settings: half.settings.iter().map(setting).collect(),
            error_code: half.error_code.map(error_name),
            priority: half.priority,
            has_multiple: half.has_multiple,
        }
    }
}

fn headers(half: &Http2Half) -> Vec<HeaderObject> {
    let header = |field: &Field| HeaderObject {
        name: Some(Bytes::of(&field.name)),
        value: Some(Bytes::of(&field.value)),
        ..HeaderObject::default()
    };
    let update = |size: &u32| HeaderObject { table_size_update: Some(*size), ..HeaderObject::default() };
    half.size_updates.iter().map(update).chain(half.headers.iter().map(|field| header(field))).collect()
}

fn error_name(code: u32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| HTTP2_ERRORS.get(code));
    known.map_or_else(|| code.to_string(), |name| name.replace('_', ""))
}

fn setting_name(number: u16) -> String {
    let known = usize::from(number).checked_sub(1).and_then(|at| HTTP2_SETTINGS.get(at));
    known.map_or_else(|| number.to_string(), |name| name.replace('_', ""))
}
