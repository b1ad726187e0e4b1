//! EVE `http`, in Suricata's extended form.

use serde::Serialize;

use super::app::EveObject;
use super::http2::Http2Parts;
use crate::output::text::bytes_text;
use crate::packet::app::protocols::http1::record::HttpRecord;

#[derive(Serialize)]
pub struct HttpObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xff: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_range: Option<ContentRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_refer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_string: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<String>,
    length: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    http2: Option<Http2Parts>,
}

#[derive(Serialize)]
struct ContentRange {
    raw: String,
}

impl EveObject for HttpRecord {
    type Object = HttpObject;

    fn object(record: &HttpRecord) -> HttpObject {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(bytes_text);
        HttpObject {
            hostname: text(&record.hostname),
            http_port: record.port,
            url: text(&record.url),
            http_user_agent: text(&record.user_agent),
            xff: text(&record.forwarded_for),
            http_content_type: text(&record.content_type),
            content_range: text(&record.content_range).map(|raw| ContentRange { raw }),
            http_refer: text(&record.referer),
            http_method: text(&record.method),
            protocol: text(&record.protocol),
            status: record.status,
            status_string: text(&record.status_text),
            redirect: text(&record.redirect),
            length: record.length,
            http2: record.http2.as_deref().map(Http2Parts::of),
        }
    }
}
