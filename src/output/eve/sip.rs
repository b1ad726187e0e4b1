//! The object `sip`: the first line of a message.

use serde::Serialize;

use super::app::EveObject;
use crate::output::text::Bytes;
use crate::packet::app::protocols::sip::record::SipRecord;

#[derive(Serialize)]
#[serde(untagged)]
pub enum SipObject {
    Request { method: Bytes, uri: Bytes, version: Bytes, request_line: Bytes },
    Response { version: Bytes, code: Bytes, reason: Bytes, response_line: Bytes },
}

impl EveObject for SipRecord {
    type Object = SipObject;

    fn object(record: &SipRecord) -> SipObject {
        match record {
            SipRecord::Request { method, uri, version, line } => SipObject::Request {
                method: Bytes::of(method),
                uri: Bytes::of(uri),
                version: Bytes::of(version),
                request_line: Bytes::of(line),
            },
            SipRecord::Response { version, code, reason, line } => SipObject::Response {
                version: Bytes::of(version),
                code: Bytes::of(code),
                reason: Bytes::of(reason),
                response_line: Bytes::of(line),
            },
        }
    }
}
