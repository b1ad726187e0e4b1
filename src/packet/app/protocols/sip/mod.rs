//! SIP over UDP and TCP: each message is a transaction of its own, as in Suricata.

pub mod record;
#[cfg(test)]
mod tests;

use memchr::memmem;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::SipRecord;

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Sip,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Sip::new(Transport::Udp)),
};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Sip,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Sip::new(Transport::Tcp)),
};

/// A message's head in a stream; a longer one ends the parsing.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of one message that are kept.
const HEADER_COUNT_MAX: usize = 128;
const VERSION: &[u8] = b"SIP/2.0";

/// [RFC 3261] and its extensions.
const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "OPTIONS",
    "INFO",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "UPDATE",
    "MESSAGE",
    "REFER",
    "PUBLISH",
];

fn recognise(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Guess {
    // Asked of every datagram that nobody knows: all words begin with a capital.
    if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Guess::No;
    }
    let words = METHODS.iter().map(|method| (method.as_bytes(), b' ')).chain([(VERSION, b' ')]);
    let mut guess = Guess::No;
    for (word, end) in words {
        match bytes.get(..=word.len()) {
            Some(head) if head.starts_with(word) && head.last() == Some(&end) => {
                guess = if word == VERSION { Guess::Yes } else { names_version(bytes) };
            }
            None if word.starts_with(bytes) => guess = Guess::More,
            _ => {}
        }
    }
    guess
}

/// HTTP and RTSP have some of the same methods: the end of the line decides.
fn names_version(bytes: &[u8]) -> Guess {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
            if line.ends_with(VERSION) { Guess::Yes } else { Guess::No }
        }
        None => Guess::More,
    }
}

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    Request { method: Vec<u8>, uri: Vec<u8> },
    Response { code: Vec<u8>, reason: Vec<u8> },
}

#[derive(Debug)]
struct Message {
    toward: Toward,
    line: Vec<u8>,
    version: Vec<u8>,
    start: Start,
    /// Names in lower case and long form.
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    told: bool,
}

impl Message {
    /// `head` ends behind the last header.
    fn read(toward: Toward, head: &[u8]) -> Option<Message> {
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next()?;
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (first, second, third) = (words.next()?, words.next()?, words.next().unwrap_or_default());
        let (version, start) = match first {
            b"SIP/2.0" => (first, Start::Response { code: second.to_vec(), reason: third.to_vec() }),
            _ => (third, Start::Request { method: first.to_vec(), uri: second.to_vec() }),
        };
        if !version.starts_with(b"SIP/") {
            return None;
        }
        let headers = lines.take_while(|line| !line.is_empty()).take(HEADER_COUNT_MAX).filter_map(header).collect();
        Some(Message { toward, line: line.to_vec(), version: version.to_vec(), start, headers, told: false })
    }

    fn all<'m>(&'m self, name: &'m [u8]) -> impl Iterator<Item = &'m [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn heap_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        headers + self.line.len() * 2
    }

    fn body_bytes(&self) -> Option<usize> {
        let length = self.all(b"content-length").next()?;
        std::str::from_utf8(length).ok()?.trim().parse().ok()
    }
}

fn header(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii().to_ascii_lowercase();
    // [RFC 3261] 7.3.3: compact forms.
    let long: &[u8] = match name.as_slice() {
        b"f" => b"from",
        b"t" => b"to",
        b"v" => b"via",
        b"c" => b"content-type",
        b"l" => b"content-length",
        name => name,
    };
    Some((long.to_vec(), value.get(1..)?.trim_ascii().to_vec()))
}

impl Transaction for Message {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        if toward != self.toward {
            return None;
        }
        let header = match buffer {
            Buffer::SIP_FROM => b"from".as_slice(),
            Buffer::SIP_TO => b"to",
            Buffer::SIP_VIA => b"via",
            Buffer::SIP_USER_AGENT => b"user-agent",
            Buffer::SIP_CONTENT_TYPE => b"content-type",
            Buffer::SIP_CONTENT_LENGTH => b"content-length",
            _ => b"",
        };
        if !header.is_empty() {
            return self.headers.iter().filter(|(name, _)| name == header).nth(nth).map(|(_, value)| value.as_slice());
        }
        if nth > 0 {
            return None;
        }
        match (buffer, &self.start) {
            (Buffer::SIP_METHOD, Start::Request { method, .. }) => Some(method),
            (Buffer::SIP_URI, Start::Request { uri, .. }) => Some(uri),
            (Buffer::SIP_REQUEST_LINE, Start::Request { .. }) => Some(&self.line),
            (Buffer::SIP_STAT_CODE, Start::Response { code, .. }) => Some(code),
            (Buffer::SIP_STAT_MSG, Start::Response { reason, .. }) => Some(reason),
            (Buffer::SIP_RESPONSE_LINE, Start::Response { .. }) => Some(&self.line),
            (Buffer::SIP_PROTOCOL, _) => Some(&self.version),
            _ => None,
        }
    }

    fn is_done(&self, _toward: Toward) -> bool {
        true
    }

    fn record(&self) -> Option<AppRecord> {
        let (line, version) = (self.line.clone(), self.version.clone());
        Some(AppRecord::Sip(Box::new(match &self.start {
            Start::Request { method, uri } => {
                SipRecord::Request { method: method.clone(), uri: uri.clone(), version, line }
            }
            Start::Response { code, reason } => {
                SipRecord::Response { version, code: code.clone(), reason: reason.clone(), line }
            }
        })))
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        if std::mem::replace(&mut self.told, true) { None } else { self.record() }
    }
}

/// Its parts, as rules may look into them. Over TCP the body comes later, and is no part of a frame.
fn mark(toward: Toward, message: &[u8], start: &Start, context: &ParseContext<'_>) {
    let (line, headers, body) = match start {
        Start::Request { .. } => {
            (Buffer::FRAME_SIP_REQUEST_LINE, Buffer::FRAME_SIP_REQUEST_HEADERS, Buffer::FRAME_SIP_REQUEST_BODY)
        }
        Start::Response { .. } => {
            (Buffer::FRAME_SIP_RESPONSE_LINE, Buffer::FRAME_SIP_RESPONSE_HEADERS, Buffer::FRAME_SIP_RESPONSE_BODY)
        }
    };
    let line_end = memchr::memchr(b'\n', message).map_or(message.len(), |at| at + 1);
    let headers_end = memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2).max(line_end);
    context.mark(Buffer::FRAME_SIP_PDU, toward, message);
    context.mark(line, toward, message.get(..line_end).unwrap_or_default());
    context.mark(headers, toward, message.get(line_end..headers_end).unwrap_or_default());
    context.mark(body, toward, message.get(headers_end + 2..).unwrap_or_default());
}

/// Where one direction of a stream stands.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// Bytes of a head that were searched for its end.
    searched: usize,
    /// Bytes of a body to come.
    body: usize,
}

#[derive(Debug)]
struct Sip {
    transport: Transport,
    transactions: Transactions<Message>,
    to_server: Side,
    to_client: Side,
}

impl Sip {
    fn new(transport: Transport) -> Sip {
        Sip { transport, transactions: Transactions::default(), to_server: Side::default(), to_client: Side::default() }
    }

    fn message(&mut self, toward: Toward, head: &[u8], context: &ParseContext<'_>) -> Option<usize> {
        let message = Message::read(toward, head)?;
        mark(toward, head, &message.start, context);
        let body = message.body_bytes().unwrap_or(0);
        self.transactions.open(message, context.limits.transaction_count_max(AppProto::Sip)).touch(toward);
        Some(body)
    }

    fn stream(&mut self, toward: Toward, side: &mut Side, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        loop {
            let skipped = side.body.min(bytes.len() - consumed);
            side.body -= skipped;
            consumed += skipped;
            let rest = bytes.get(consumed..).unwrap_or_default();
            // Empty lines between messages keep the connection alive.
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if blank > 0 {
                consumed += blank;
                continue;
            }
            let is_crowded = self.transactions.is_crowded(toward, context.limits.transaction_count_max(AppProto::Sip));
            if rest.is_empty() || is_crowded {
                return Step::Taken { consumed, wanted: 0 };
            }
            let from = side.searched.saturating_sub(3);
            let Some(at) = memmem::find(rest.get(from..).unwrap_or_default(), b"\r\n\r\n") else {
                side.searched = rest.len();
                return if rest.len() > HEAD_BYTES_MAX { Step::Failed } else { Step::Taken { consumed, wanted: 0 } };
            };
            let end = from + at + 4;
            side.searched = 0;
            match self.message(toward, rest.get(..end).unwrap_or(rest), context) {
                Some(body) => side.body = body,
                None => return Step::Failed,
            }
            consumed += end;
        }
    }
}

impl Parser for Sip {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if self.transport == Transport::Udp {
            return self.message(toward, bytes, context).map_or(Step::Failed, |_| Step::all(bytes));
        }
        let mut side = match toward {
            Toward::Server => self.to_server,
            Toward::Client => self.to_client,
        };
        let step = self.stream(toward, &mut side, bytes, context);
        match toward {
            Toward::Server => self.to_server = side,
            Toward::Client => self.to_client = side,
        }
        step
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.heap_bytes()).sum()
    }
}
