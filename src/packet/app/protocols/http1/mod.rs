//! HTTP/0.9 to 1.1, as tolerant as the servers and browsers behind us.
//!
//! ```text
//!  client bytes -> request.rs  --reader.rs-- line.rs, uri.rs -+
//!                        \--transfer.rs-- coding.rs --body.rs  +-> tx.rs: buffers, record
//!  server bytes -> response.rs --reader.rs-- line.rs ---------+
//! ```
//!
//! What a byte means is decided as libhtp does under Suricata's default personality, because rules are written for its
//! answers: what counts as a line end, a folded header, a chunk, a response. Where several readings are possible that is
//! the one of common browsers.

pub(super) mod body;
pub(super) mod coding;
mod events;
mod gzip;
mod head;
mod line;
pub(super) mod multipart;
mod reader;
pub mod record;
mod request;
mod response;
mod transfer;
mod tx;
pub mod uri;

#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{ParseContext, Parser, Step, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use line::{Looks, METHODS, is_long_request, looks_like_request};
use request::RequestSide;
use response::ResponseSide;
use tx::HttpTx;
use uri::UriForm;

pub static INFO: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Http1,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::<Http1>::default(),
};

/// Caps and choices for HTTP; Suricata's `libhtp.default-config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's body that rules may look into (`request-body-limit`).
    pub request_body_bytes_max: usize,
    /// Bytes of a response's body that rules may look into (`response-body-limit`).
    pub response_body_bytes_max: usize,
    /// Content codings that are undone on one body (`response-body-decompress-layer-limit`).
    pub coding_layer_count_max: usize,
    pub uri_form: UriForm,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            request_body_bytes_max: 100 << 10,
            response_body_bytes_max: 100 << 10,
            coding_layer_count_max: 2,
            uri_form: UriForm::default(),
        }
    }
}

/// One connection.
#[derive(Debug, Default)]
struct Http1 {
    list: Transactions<HttpTx>,
    request: RequestSide,
    response: ResponseSide,
    /// What both sides speak behind the answer that changes it, if it says so.
    upgrade: Option<AppProto>,
    /// What the client said behind its CONNECT is to be read now.
    released: bool,
}

/// How a side got on with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// So many were dealt with.
    Taken(usize),
    /// From so many on it is another protocol.
    Changed(usize),
}

impl Parser for Http1 {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let turn = match toward {
            Toward::Server => self.parse_request(bytes, context),
            Toward::Client => self.parse_response(bytes, context),
        };
        match turn {
            Turn::Taken(consumed) => Step::Taken { consumed, wanted: 0 },
            Turn::Changed(consumed) => Step::Changed { consumed, to: self.upgrade },
        }
    }

    fn gap(&mut self, toward: Toward, missing: u64, _context: &ParseContext<'_>) -> Step {
        match toward {
            Toward::Server => self.gap_in_request(missing),
            Toward::Client => self.gap_in_response(missing),
        }
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn close(&mut self, toward: Toward, context: &ParseContext<'_>) {
        match toward {
            Toward::Server => self.close_request(context),
            Toward::Client => self.close_response(context),
        }
    }

    fn wants_other_side(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.list
    }

    fn is_between_messages(&self) -> bool {
        self.request.is_between_messages() && self.response.is_between_messages()
    }

    fn heap_bytes(&self) -> usize {
        let transactions = self.list.iter().map(|slot| slot.data.heap_bytes()).sum::<usize>();
        size_of::<Http1>() + self.request.heap_bytes() + self.response.heap_bytes() + transactions
    }
}

/// Servers skip empty lines in front of a request (RFC 9112, 2.2).
fn behind_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(empty..).unwrap_or_default()
}

/// A known method and a blank, a line that has the form of a request, or the version of a response, in any case.
fn recognise(toward: Toward, bytes: &[u8], _context: &ParseContext<'_>) -> Guess {
    match toward {
        Toward::Server => recognise_request(behind_empty_lines(bytes)),
        Toward::Client => {
            let version = |version: &[u8]| {
                let known = bytes.get(..version.len()).unwrap_or(bytes);
                version.get(..known.len()).is_some_and(|version| version.eq_ignore_ascii_case(known))
            };
            match [&b"HTTP/1.1"[..], b"HTTP/1.0", b"HTTP/0.9"].into_iter().any(version) {
                true if bytes.len() >= 8 => Guess::Yes,
                true => Guess::More,
                false => Guess::No,
            }
        }
    }
}

fn recognise_request(bytes: &[u8]) -> Guess {
    let by_method = METHODS.iter().fold(Guess::No, |guess, method| {
        let is_blank = bytes.get(method.len()).map(|byte| matches!(byte, b' ' | b'\t'));
        let known = bytes.get(..method.len()).unwrap_or(bytes);
        let fits = method.get(..known.len()).is_some_and(|method| method.eq_ignore_ascii_case(known));
        match (guess, fits, is_blank) {
            (Guess::Yes, _, _) | (_, true, Some(true)) => Guess::Yes,
            (_, true, None) => Guess::More,
            (guess, _, _) => guess,
        }
    });
    if by_method != Guess::No {
        return by_method;
    }
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    let line = bytes.get(..end).unwrap_or_default();
    match looks_like_request(line) {
        Looks::Like => Guess::Yes,
        Looks::Unclear if is_long_request(line) => Guess::Yes,
        Looks::Unclear if end == bytes.len() => Guess::More,
        Looks::Unclear | Looks::Unlike => Guess::No,
    }
}
