//! TLS 1.0 to 1.3, and SSL 2 and 3, as far as they are not encrypted: hellos and certificates.
//!
//! ```text
//!  bytes --> records (record.rest) --> handshake messages, over records (Gathering) --> the flow's one transaction
//!                                 \--> the rest is passed over, however long it is
//! ```
//!
//! Nothing waits for a record to be whole: a record's bytes are dealt with as they come, so no segmentation changes what
//! is seen. Only the three messages that somebody asks for are kept, up to [`MESSAGE_BYTES_MAX`].

pub mod certificate;
pub mod fingerprint;
mod heartbeat;
pub mod hello;
pub mod record;
mod transaction;
pub mod version;
pub(super) mod wire;

#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{EncryptionHandling, ParseContext, Parser, Step, Transactions, TxList};
use crate::rules::app::{AppProto, TlsMessage};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use hello::{Hello, Role};
use transaction::TlsTransaction;

pub static TLS: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Tls,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Tls::default()),
};

/// Bytes of one handshake message that are kept: long chains of certificates fit.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// A record holds no more (RFC 8446, 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
/// Where SSL 2 is looked for: nothing else about its hello is sure.
const SSL_2_PORT: u16 = 443;

mod content {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const APPLICATION_DATA: u8 = 23;
    pub const HEARTBEAT: u8 = 24;
}

mod message {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CERTIFICATE: u8 = 11;
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
    /// The others that have a meaning before encryption begins.
    pub const OTHERS: [u8; 8] = [0, 4, 8, 14, 15, 20, 21, 22];
}

mod ssl2 {
    pub const ERROR: u8 = 0;
    pub const CLIENT_HELLO: u8 = 1;
    pub const CLIENT_MASTER_KEY: u8 = 2;
    pub const CLIENT_FINISHED: u8 = 3;
    pub const SERVER_HELLO: u8 = 4;
    pub const CLIENT_CERTIFICATE: u8 = 8;
}

/// Suricata's patterns, and its port for SSL 2.
fn recognise(toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let types: &[u8] = match toward {
        Toward::Server => &[content::HANDSHAKE],
        Toward::Client => &[content::ALERT, content::HANDSHAKE, content::APPLICATION_DATA],
    };
    let known = |bytes: &[u8; 3]| match bytes {
        [kind, 3, 0..=4] => types.contains(kind),
        [0x80..=0xff, _, ssl2::CLIENT_HELLO] => {
            toward == Toward::Server && (context.server_port == SSL_2_PORT || is_ssl2_hello(bytes.as_slice()))
        }
        _ => false,
    };
    match bytes.first_chunk::<3>() {
        Some(first) if known(first) || is_ssl2_hello(bytes) && toward == Toward::Server => Guess::Yes,
        Some(_) => Guess::No,
        None if bytes.first().is_some_and(|first| types.contains(first)) => Guess::More,
        None => Guess::No,
    }
}

/// `CLIENT-HELLO` of version 2 behind a two-byte length.
fn is_ssl2_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80..=0xff, _, ssl2::CLIENT_HELLO, 0, 2, ..])
}

#[derive(Debug, Default)]
struct Tls {
    transactions: Transactions<TlsTransaction>,
    to_server: Side,
    to_client: Side,
    heartbeat: Option<heartbeat::Request>,
    /// Some side has said ChangeCipherSpec: its handshake messages can no longer be read.
    ciphers_changed: bool,
    closed: [bool; 2],
    /// Both sides have spoken TLS, and one has begun to encrypt. What the client alone says is no proof: servers there
    /// are that bear a line of junk, and read the next.
    encrypted: bool,
    /// `encryption-handling: full`
    looks_on: bool,
}

/// How far one side's bytes are.
#[derive(Debug, Default)]
struct Side {
    record: Record,
    gathering: Gathering,
    heartbeat: heartbeat::Head,
    /// Its first record of SSL 3 or TLS has begun: no record of SSL 2 follows, and what looks like one is plain text.
    begun: bool,
}

/// The record that is being read.
#[derive(Debug, Default)]
struct Record {
    /// `None`: it is one of SSL 2, whose messages are not looked into.
    content: Option<u8>,
    /// Bytes of it that are still to come.
    rest: usize,
    /// Its length as its header says.
    length: usize,
}

/// The handshake message that is being put together.
#[derive(Debug, Default)]
struct Gathering {
    /// Header and body, of messages that are kept.
    bytes: Vec<u8>,
    /// Bytes of a message that nobody asks for.
    skip: usize,
}

/// This is no TLS: nothing more is read.
struct Broken;

/// The flow's transaction, and what a side's bytes did to it.
struct Reading<'p> {
    toward: Toward,
    tx: &'p mut TlsTransaction,
    context: &'p ParseContext<'p>,
}

impl Parser for Tls {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if self.transactions.opened() == 0 {
            self.transactions.open(TlsTransaction::new(context.limits.tls), context.limits.transaction_count_max(AppProto::Tls));
        }
        self.looks_on = context.limits.tls.encryption == EncryptionHandling::Full;
        let mut rest = bytes;
        let read = self.records(toward, &mut rest, context);
        let Some(slot) = self.transactions.last_mut() else { return Step::all(bytes) };
        if slot.data.take_news() {
            slot.touch(toward);
        }
        let consumed = bytes.len() - rest.len();
        match read {
            Err(Broken) => {
                // Plain text: there may have been TLS before it, but what comes now anybody can read.
                self.encrypted = false;
                Step::Failed
            }
            Ok(_) if self.encrypted && context.limits.tls.encryption == EncryptionHandling::Bypass => Step::Opaque,
            Ok(wanted) => Step::Taken { consumed, wanted },
        }
    }

    /// What is missing from the middle of a record that is passed over is not missed.
    fn gap(&mut self, toward: Toward, missing: u64, _context: &ParseContext<'_>) -> Step {
        let side = match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        };
        let rest = usize::try_from(missing).ok().and_then(|missing| side.record.rest.checked_sub(missing));
        let read =
            matches!(side.record.content, Some(content::HANDSHAKE | content::HEARTBEAT)) && !self.ciphers_changed;
        match rest {
            Some(rest) if !read => {
                side.record.rest = rest;
                Step::Taken { consumed: 0, wanted: 0 }
            }
            _ => Step::Failed,
        }
    }

    fn is_encrypted(&self) -> bool {
        self.encrypted && !self.looks_on
    }

    fn close(&mut self, toward: Toward, _context: &ParseContext<'_>) {
        let [to_server, to_client] = &mut self.closed;
        match toward {
            Toward::Server => *to_server = true,
            Toward::Client => *to_client = true,
        }
        if let ([true, true], Some(slot)) = (self.closed, self.transactions.last_mut()) {
            slot.data.close();
        }
    }

    fn acknowledged(&mut self, toward: Toward, position: u64) {
        if let (Toward::Client, Some(slot)) = (toward, self.transactions.last_mut()) {
            slot.data.acknowledged(position);
        }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        let kept = self.to_server.gathering.bytes.capacity() + self.to_client.gathering.bytes.capacity();
        self.transactions.iter().map(|slot| slot.data.heap_bytes()).sum::<usize>() + kept
    }
}

impl Tls {
    /// Reads records until `rest` ends, or ends within a header; then how long the header is.
    fn records(&mut self, toward: Toward, rest: &mut &[u8], context: &ParseContext<'_>) -> Result<usize, Broken> {
        let side = match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        };
        let Some(slot) = self.transactions.last_mut() else { return Ok(0) };
        slot.data.position = context.position;
        let mut reading = Reading { toward, tx: &mut slot.data, context };
        if side.record.rest == 0 {
            reading.tx.now = TlsMessage::default();
        }
        while !rest.is_empty() {
            if side.record.rest == 0 {
                let wanted = if side.begun { RECORD_HEADER_BYTES } else { header_bytes(rest) };
                let Some(header) = rest.get(..wanted) else { return Ok(wanted) };
                *rest = rest.get(wanted..).unwrap_or_default();
                context.end_mark(Buffer::FRAME_TLS_PDU, toward);
                context.end_mark(Buffer::FRAME_TLS_DATA, toward);
                context.mark(Buffer::FRAME_TLS_HDR, toward, header);
                context.grow_mark(Buffer::FRAME_TLS_PDU, toward, header);
                side.record = begin(header, &mut reading, self.ciphers_changed)?;
                let is_first = !std::mem::replace(&mut side.begun, side.record.content.is_some());
                match side.record.content {
                    Some(content::CHANGE_CIPHER_SPEC) => self.ciphers_changed = true,
                    Some(content::APPLICATION_DATA) => self.encrypted |= reading.application_data(is_first),
                    Some(content::HEARTBEAT) => side.heartbeat.clear(),
                    Some(_) => {}
                    None => self.encrypted |= reading.tx.is_ssl2_encrypted(),
                }
                continue;
            }
            let length = side.record.rest.min(rest.len());
            let Some(chunk) = rest.split_off(..length) else { return Ok(0) };
            side.record.rest -= length;
            context.grow_mark(Buffer::FRAME_TLS_PDU, toward, chunk);
            context.grow_mark(Buffer::FRAME_TLS_DATA, toward, chunk);
            if side.record.rest == 0 {
                context.end_mark(Buffer::FRAME_TLS_PDU, toward);
                context.end_mark(Buffer::FRAME_TLS_DATA, toward);
            }
            match side.record.content {
                Some(content::HANDSHAKE) if !self.ciphers_changed || reading.is_before_server_hello() => {
                    side.gathering.take(chunk, &mut reading);
                }
                Some(content::HEARTBEAT) => {
                    let (bytes, encrypted) = (side.record.length, self.ciphers_changed);
                    let head = side.heartbeat.take(chunk);
                    let judge = |head| heartbeat::judge(&mut self.heartbeat, toward, head, bytes, encrypted);
                    if let Some(event) = head.and_then(judge) {
                        reading.tx.raise(event);
                    }
                }
                _ => {}
            }
        }
        Ok(0)
    }
}

/// How long the header of a side's first record is, by its first bytes. That of a hello of SSL 2 goes as far as its
/// version.
fn header_bytes(bytes: &[u8]) -> usize {
    match *bytes {
        [first, low, ssl2::CLIENT_HELLO, ..] if first & 0x80 != 0 && (first & 0x7f, low) >= (0, 3) => 5,
        [first, ..] if first & 0x80 != 0 => 3,
        [first, ..] if first & 0x40 != 0 => 4,
        _ => RECORD_HEADER_BYTES,
    }
}

/// A record's header has come.
fn begin(header: &[u8], reading: &mut Reading<'_>, ciphers_changed: bool) -> Result<Record, Broken> {
    let (content, length) = match *header {
        [high, low, kind, major, minor] if high & 0x80 != 0 => {
            let record = ssl2_record(u16::from_be_bytes([high & 0x7f, low]), kind, reading)?;
            reading.tx.side(reading.toward).version = u16::from_be_bytes([major, minor]).max(version::SSL_2);
            return Ok(Record { rest: record.rest.saturating_sub(2), ..record });
        }
        [content, major, minor, high, low] => {
            reading.saw_version(u16::from_be_bytes([major, minor]));
            (content, usize::from(u16::from_be_bytes([high, low])))
        }
        // A length of 15 bits, or one of 14 bits and a byte that tells the padding. The type is the first byte counted.
        [high, low, kind] => return ssl2_record(u16::from_be_bytes([high & 0x7f, low]), kind, reading),
        [high, low, _, kind] => return ssl2_record(u16::from_be_bytes([high & 0x3f, low]), kind, reading),
        _ => return Err(Broken),
    };
    if length > RECORD_BYTES_MAX {
        reading.tx.raise("tls.invalid_record_length");
    }
    match content {
        content::CHANGE_CIPHER_SPEC | content::ALERT | content::APPLICATION_DATA | content::HEARTBEAT => {}
        content::HANDSHAKE => {
            if !ciphers_changed && (1..MESSAGE_HEADER_BYTES).contains(&length) {
                reading.tx.raise("tls.invalid_ssl_record");
            }
        }
        _ => {
            reading.tx.raise("tls.invalid_record_type");
            return Err(Broken);
        }
    }
    Ok(Record { content: Some(content), rest: length, length })
}

fn ssl2_record(length: u16, kind: u8, reading: &mut Reading<'_>) -> Result<Record, Broken> {
    reading.tx.side(reading.toward).version = version::SSL_2;
    let Some(rest) = usize::from(length).checked_sub(1) else {
        reading.tx.raise("tls.invalid_sslv2_header");
        return Err(Broken);
    };
    match kind {
        ssl2::ERROR => reading.tx.raise("tls.error_message_encountered"),
        ssl2::CLIENT_HELLO => reading.said_hello(Role::Client),
        ssl2::SERVER_HELLO => reading.said_hello(Role::Server),
        ssl2::CLIENT_MASTER_KEY => reading.tx.said(TlsMessage::CLIENT_KEY_EXCHANGE),
        ssl2::CLIENT_FINISHED..=ssl2::CLIENT_CERTIFICATE => reading.tx.ssl2_encrypts(reading.toward),
        _ => {}
    }
    reading.tx.note();
    Ok(Record { content: None, rest, length: rest + 1 })
}

impl Gathering {
    /// Bytes of handshake records, wherever the records begin and end.
    fn take(&mut self, mut chunk: &[u8], reading: &mut Reading<'_>) {
        while !chunk.is_empty() {
            if self.skip > 0 {
                let length = self.skip.min(chunk.len());
                self.skip -= length;
                chunk = chunk.get(length..).unwrap_or_default();
                continue;
            }
            let missing = match self.length() {
                None => MESSAGE_HEADER_BYTES - self.bytes.len(),
                Some(length) => MESSAGE_HEADER_BYTES + length - self.bytes.len(),
            };
            let (now, later) = chunk.split_at(missing.min(chunk.len()));
            self.bytes.extend_from_slice(now);
            chunk = later;
            if let (Some(length), Some(kind)) = (self.length(), self.bytes.first().copied()) {
                self.advance(kind, length, reading);
            }
        }
    }

    /// The length of the message, once its header is there.
    fn length(&self) -> Option<usize> {
        let [_, high, middle, low] = *self.bytes.first_chunk::<MESSAGE_HEADER_BYTES>()?;
        usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()
    }

    fn advance(&mut self, kind: u8, length: usize, reading: &mut Reading<'_>) {
        let kept = matches!(kind, message::CLIENT_HELLO | message::SERVER_HELLO | message::CERTIFICATE);
        if !kept || length > MESSAGE_BYTES_MAX {
            if kept {
                reading.tx.raise("tls.handshake_invalid_length");
            }
            reading.passed_over(kind);
            self.skip = length;
            self.bytes = Vec::new();
        } else if self.bytes.len() >= MESSAGE_HEADER_BYTES + length {
            let bytes = std::mem::take(&mut self.bytes);
            reading.message(kind, bytes.get(MESSAGE_HEADER_BYTES..).unwrap_or_default());
        }
    }
}

impl Reading<'_> {
    /// Only until a hello has said more about it.
    fn saw_version(&mut self, version: u16) {
        let has_hello = self.tx.has_hello(self.toward);
        let position = self.tx.position;
        let side = self.tx.side(self.toward);
        if !(has_hello && side.version != 0) {
            side.version = version;
            side.version_at = position;
        }
        if !self.tx.is_done() {
            self.tx.note();
        }
    }

    /// A client of TLS 1.3 may say ChangeCipherSpec right behind its hello, for the sake of middleboxes.
    fn is_before_server_hello(&self) -> bool {
        self.tx.client.version > version::TLS_1_2 && !self.tx.said.has(TlsMessage::SERVER_HELLO)
    }

    /// A hello came, whoever said it; only from the side whose hello it is it counts as that side's word.
    fn said_hello(&mut self, role: Role) {
        let (message, from) = match role {
            Role::Client => (TlsMessage::CLIENT_HELLO, Toward::Server),
            Role::Server => (TlsMessage::SERVER_HELLO, Toward::Client),
        };
        self.tx.said(message);
        self.tx.side(self.toward).speaks_tls |= self.toward == from;
    }

    /// Whether the connection is encrypted now. False for early data, which comes before the server has said anything.
    fn application_data(&mut self, is_first: bool) -> bool {
        if self.tx.is_early_data() {
            return false;
        }
        self.tx.finish(self.toward);
        // A side that begins with it was met in the middle of its connection.
        self.tx.side(self.toward).speaks_tls |= is_first;
        self.tx.both_speak_tls()
    }

    fn message(&mut self, kind: u8, body: &[u8]) {
        match kind {
            message::CLIENT_HELLO => {
                self.said_hello(Role::Client);
                self.tx.hello(self.toward, Hello::read(Role::Client, body));
            }
            message::SERVER_HELLO => {
                self.said_hello(Role::Server);
                self.tx.hello(self.toward, Hello::read(Role::Server, body));
            }
            _ => self.tx.certificates(self.toward, body, self.context.now),
        }
        self.tx.finish_with_certificates(self.toward);
    }

    /// A message of which only that it came is of interest.
    fn passed_over(&mut self, kind: u8) {
        match kind {
            message::CLIENT_KEY_EXCHANGE => self.tx.said(TlsMessage::CLIENT_KEY_EXCHANGE),
            message::SERVER_KEY_EXCHANGE => self.tx.said(TlsMessage::SERVER_KEY_EXCHANGE),
            message::CERTIFICATE_REQUEST => self.tx.wants_client_certificate = true,
            kind if message::OTHERS.contains(&kind) => {}
            message::CLIENT_HELLO | message::SERVER_HELLO | message::CERTIFICATE => {}
            _ => self.tx.raise("tls.invalid_handshake_message"),
        }
    }
}
