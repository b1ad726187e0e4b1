//! What EVE tells of a stream beside what every HTTP transaction has.

use std::sync::Arc;

use super::hpack::Field;

/// EVE `http.http2`, and the headers as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2Record {
    /// 0: frames about the whole connection.
    pub stream: u32,
    pub request: Http2Half,
    pub response: Http2Half,
}

/// What one side has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2Half {
    pub headers: Vec<Arc<Field>>,
    /// Sizes of the table of headers, as far as they were changed.
    pub size_updates: Vec<u32>,
    /// Number and value of each setting.
    pub settings: Vec<(u16, u32)>,
    pub error_code: Option<u32>,
    pub priority: Option<u8>,
    /// What was sent more than once: `error_code` or `priority`.
    pub has_multiple: Option<&'static str>,
}
