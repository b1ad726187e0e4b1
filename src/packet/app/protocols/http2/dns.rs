//! DNS over HTTPS (RFC 8484): messages in the bodies of a stream, or in the path of a request.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::DecodePaddingMode;

use super::events;
use super::headers::Headers;
use crate::packet::app::AppRecord;
use crate::packet::app::protocols::dns::message::Message;
use crate::packet::app::protocols::dns::record::{DnsRecord, Form};
use crate::rules::plan::Toward;

const CONTENT_TYPE: &[u8] = b"application/dns-message";
/// A message is no longer, whatever carries it.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Base64 of a path, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What was said over a stream.
#[derive(Debug, Default)]
pub(super) struct Dns {
    question: Said,
    answer: Said,
}

#[derive(Debug, Default)]
struct Said {
    message: Option<Arc<Message>>,
    /// Records that were given.
    told: usize,
}

impl Dns {
    pub(super) fn is_empty(&self) -> bool {
        self.question.message.is_none() && self.answer.message.is_none()
    }

    pub(super) fn hear(&mut self, toward: Toward, message: Message) {
        let said = match toward {
            Toward::Server => &mut self.question,
            Toward::Client => &mut self.answer,
        };
        *said = Said { message: Some(Arc::new(message)), told: 0 };
    }

    pub(super) fn of(&self, toward: Toward) -> Option<&Message> {
        match toward {
            Toward::Server => self.question.message.as_deref(),
            Toward::Client => self.answer.message.as_deref(),
        }
    }

    /// The next record that is due: one for each query, one for an answer.
    pub(super) fn take_record(&mut self) -> Option<AppRecord> {
        [&mut self.question, &mut self.answer].into_iter().find_map(|said| {
            let message = said.message.as_ref()?;
            let is_response = message.header.is_response();
            let count = if is_response { 1 } else { message.queries.len() };
            if said.told >= count {
                return None;
            }
            let form = if is_response { Form::Answer } else { Form::Query(said.told) };
            said.told += 1;
            Some(AppRecord::Dns(Box::new(DnsRecord { tx_id: 0, message: Arc::clone(message), form })))
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let messages = [&self.question, &self.answer].into_iter().filter_map(|said| said.message.as_deref());
        messages.map(Message::heap_bytes).sum()
    }
}

fn is_dns(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value.get(..CONTENT_TYPE.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(CONTENT_TYPE)))
}

/// The message in a body that is complete.
pub(super) fn of_body(headers: &Headers, body: &[u8]) -> Option<Message> {
    if !is_dns(headers.first(b"content-type")) {
        return None;
    }
    whole(body)
}

/// The message in `?dns=`.
pub(super) fn of_path(headers: &Headers, path: &[u8]) -> Option<Message> {
    if !is_dns(headers.first(b"accept")) {
        return None;
    }
    let query = memchr::memchr(b'?', path).and_then(|at| path.get(at + 1..))?;
    let text = query.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(b"dns="))?;
    whole(&BASE64.decode(text).ok()?)
}

fn whole(bytes: &[u8]) -> Option<Message> {
    Message::read(bytes).filter(|message| !message.oddities.cut_off)
}

/// A body that is said to be a message, and is longer than any.
pub(super) fn too_long(toward: Toward, headers: &Headers, length: u64) -> Option<&'static str> {
    let is_too_long = usize::try_from(length).map_or(true, |length| length > MESSAGE_BYTES_MAX);
    (is_too_long && is_dns(headers.first(b"content-type"))).then_some(match toward {
        Toward::Server => events::DNS_REQUEST_TOO_LONG,
        Toward::Client => events::DNS_RESPONSE_TOO_LONG,
    })
}
