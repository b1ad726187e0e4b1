//! The one transaction of a TLS connection: its handshake.

use std::sync::Arc;

use super::certificate::Certificate;
use super::fingerprint::{self, Carrier, Fingerprint};
use super::hello::{Hello, Role, extension};
use super::record::TlsRecord;
use super::version;
use super::wire::vector24;
use crate::packet::app::{AppRecord, TlsSettings, Transaction};
use crate::packet::ingress::Timestamp;
use crate::rules::app::{AppTest, Field, TlsMessage, TlsTest};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// Certificates that are kept of one side.
const CHAIN_COUNT_MAX: usize = 32;

#[derive(Debug, Default)]
pub struct TlsTransaction {
    settings: TlsSettings,
    pub client: Endpoint,
    pub server: Endpoint,
    /// Messages of this packet, and of all so far.
    pub now: TlsMessage,
    pub said: TlsMessage,
    /// The server has asked for a certificate.
    pub wants_client_certificate: bool,
    /// The client has a ticket; both name one session.
    has_ticket: bool,
    resumes: bool,
    /// TLS 1.3: certificates are encrypted.
    hides_certificates: bool,
    early_data: bool,
    ssl2_encrypted: [bool; 2],
    done: bool,
    /// Where in the server's stream that showed; 0: in the client's.
    done_at: u64,
    /// Where the stream that is being read stands.
    pub position: u64,
    /// Of the server's stream, what its client has acknowledged; `None`: nobody waits for that.
    heard: Option<u64>,
    closed: bool,
    told: bool,
    news: bool,
    events: Vec<&'static str>,
}

/// What one side has said.
#[derive(Debug, Default)]
pub struct Endpoint {
    /// Of its records, then of its hello; 0 before.
    pub version: u16,
    /// Where in its stream that stood; likewise below.
    pub version_at: u64,
    hello_at: u64,
    certificate_at: u64,
    hello: Option<Box<Hello>>,
    ja3: Option<Fingerprint>,
    ja4: Option<String>,
    /// The first of the chain, if it could be read.
    certificate: Option<Arc<Certificate>>,
    /// As sent.
    chain: Vec<Box<[u8]>>,
    /// Whether the certificate was valid when it was sent.
    is_expired: bool,
    is_early: bool,
    /// It has said hello, or was met in the middle of encrypted records.
    pub speaks_tls: bool,
}

impl TlsTransaction {
    pub fn new(settings: TlsSettings) -> TlsTransaction {
        TlsTransaction { settings, ..TlsTransaction::default() }
    }

    pub fn side(&mut self, toward: Toward) -> &mut Endpoint {
        match toward {
            Toward::Server => &mut self.client,
            Toward::Client => &mut self.server,
        }
    }

    fn of(&self, toward: Toward) -> &Endpoint {
        match toward {
            Toward::Server => &self.client,
            Toward::Client => &self.server,
        }
    }

    pub fn has_hello(&self, toward: Toward) -> bool {
        let hello = match toward {
            Toward::Server => TlsMessage::CLIENT_HELLO,
            Toward::Client => TlsMessage::SERVER_HELLO,
        };
        self.said.has(hello)
    }

    /// Rules should look again.
    pub fn note(&mut self) {
        self.news = true;
    }

    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    pub fn raise(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
            self.note();
        }
    }

    pub fn said(&mut self, message: TlsMessage) {
        self.now = message;
        self.said = self.said.or(message);
        self.note();
    }

    /// The handshake is over.
    pub fn finish(&mut self, toward: Toward) {
        if !self.done {
            self.done = true;
            self.done_at = if toward == Toward::Client { self.position } else { 0 };
            self.note();
        }
    }

    /// With the certificates there, all is there that a record tells.
    pub fn finish_with_certificates(&mut self, toward: Toward) {
        let last = if self.wants_client_certificate { &self.client } else { &self.server };
        if last.certificate.is_some() {
            self.finish(toward);
        }
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    /// See [`crate::packet::app::Parser::acknowledged`].
    pub fn acknowledged(&mut self, position: u64) {
        self.heard = Some(position);
    }

    /// The client has what stood there in the server's stream.
    fn is_heard(&self, at: u64) -> bool {
        self.heard.is_none_or(|heard| at <= heard)
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Encrypted bytes come, and the server has not spoken yet.
    pub fn is_early_data(&self) -> bool {
        self.early_data && !self.said.has(TlsMessage::SERVER_HELLO)
    }

    /// Neither side's word is taken for the other's.
    pub fn both_speak_tls(&self) -> bool {
        self.client.speaks_tls && self.server.speaks_tls
    }

    /// A message of SSL 2 that stands behind the keys. Before both hellos it means nothing.
    pub fn ssl2_encrypts(&mut self, toward: Toward) {
        if self.both_speak_tls() {
            let [client, server] = &mut self.ssl2_encrypted;
            match toward {
                Toward::Server => *client = true,
                Toward::Client => *server = true,
            }
        }
    }

    pub fn is_ssl2_encrypted(&self) -> bool {
        self.ssl2_encrypted == [true, true]
    }

    /// A second hello of a side (after a HelloRetryRequest, or in a renegotiation) changes its version only.
    pub fn hello(&mut self, toward: Toward, hello: Hello) {
        for oddity in &hello.oddities {
            self.raise(event_of(oddity));
        }
        self.note();
        let offered = self.client.hello.as_ref().is_some_and(|hello| hello.has(extension::SUPPORTED_VERSIONS));
        match hello.role {
            Role::Client => {
                self.early_data |= hello.has(extension::EARLY_DATA);
                self.has_ticket |= hello.has(extension::SESSION_TICKET);
            }
            Role::Server => {
                let drafted = hello.field == version::TLS_1_3 || version::is_draft(hello.field);
                let chosen = hello.has(extension::SUPPORTED_VERSIONS) && hello.version > version::TLS_1_2;
                self.hides_certificates |= drafted || offered && chosen;
                let asked = self.client.hello.as_ref().map_or(&[][..], |hello| &hello.session_id);
                self.resumes |= !asked.is_empty() && *asked == *hello.session_id;
            }
        }
        let TlsSettings { ja3, ja4, .. } = self.settings;
        let position = self.position;
        let side = self.side(toward);
        side.version = hello.version;
        side.version_at = position;
        if side.hello.is_none() {
            side.ja3 = ja3.then(|| fingerprint::ja3(&hello)).flatten();
            side.ja4 = ja4.then(|| fingerprint::ja4(&hello, Carrier::Tcp)).flatten();
            side.hello = Some(Box::new(hello));
            side.hello_at = position;
        }
    }

    /// The body of a Certificate message.
    pub fn certificates(&mut self, toward: Toward, mut body: &[u8], now: Timestamp) {
        self.note();
        let position = self.position;
        let Some(mut list) = vector24(&mut body) else { return self.raise("tls.invalid_certificate") };
        let side = self.side(toward);
        if side.certificate.is_some() {
            return;
        }
        side.chain.clear();
        side.certificate_at = position;
        let mut wrong = None;
        while !list.is_empty() {
            let Some(der) = vector24(&mut list) else {
                wrong = Some("tls.invalid_certificate");
                break;
            };
            if side.chain.is_empty() {
                match Certificate::read(der) {
                    Ok(certificate) => side.hold(certificate, now),
                    Err(event) => wrong = Some(event),
                }
            }
            if side.chain.len() < CHAIN_COUNT_MAX {
                side.chain.push(der.into());
            }
        }
        if let Some(event) = wrong {
            self.raise(event);
        }
    }

    /// A session is only resumed if no certificate was needed; in TLS 1.3 nobody sees.
    fn is_resumed(&self) -> bool {
        let server_spoke = self.server_hello().is_some() || self.said.has(TlsMessage::SERVER_HELLO) && self.heard.is_none();
        self.may_resume() && server_spoke && self.certificate().is_none() && !self.hides_certificates()
    }

    fn may_resume(&self) -> bool {
        self.has_ticket || self.resumes && self.server_hello().is_some()
    }

    fn hides_certificates(&self) -> bool {
        self.hides_certificates && self.server_hello().is_some()
    }

    fn server_hello(&self) -> Option<&Hello> {
        self.server.hello.as_deref().filter(|_| self.is_heard(self.server.hello_at))
    }

    fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.server.certificate.as_ref().filter(|_| self.is_heard(self.server.certificate_at))
    }

    fn told_of(&self) -> TlsRecord {
        let alpns = |hello: Option<&Hello>| hello.map_or_else(Vec::new, |hello| hello.alpn.clone());
        let client_hello = self.client.hello.as_deref();
        TlsRecord {
            version: if self.is_heard(self.server.version_at) { self.server.version } else { 0 },
            sni: client_hello.and_then(|hello| hello.sni.clone()),
            session_resumed: self.is_resumed(),
            certificate: self.certificate().cloned(),
            client_certificate: self.client.certificate.clone(),
            ja3: self.client.ja3.clone(),
            ja3s: self.server.ja3.clone().filter(|_| self.server_hello().is_some()),
            ja4: self.client.ja4.clone(),
            client_alpns: alpns(client_hello),
            server_alpns: alpns(self.server_hello()),
        }
    }

    /// Heap that it holds, roughly.
    pub fn heap_bytes(&self) -> usize {
        size_of::<TlsTransaction>() + self.client.heap_bytes() + self.server.heap_bytes()
    }

    fn number(&self, field: Field, toward: Toward) -> Option<u64> {
        let side = self.of(toward);
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        match field {
            Field::TlsNotBefore => side.certificate.as_ref().map(|certificate| seconds(certificate.not_before)),
            Field::TlsNotAfter => side.certificate.as_ref().map(|certificate| seconds(certificate.not_after)),
            Field::TlsChainLength => u64::try_from(side.chain.len()).ok(),
            _ => None,
        }
    }

    fn passes(&self, test: &TlsTest, toward: Toward) -> bool {
        let side = self.of(toward);
        match test {
            TlsTest::Version { version, exact } => {
                let draft = !exact && *version == version::TLS_1_3 && version::is_draft(side.version);
                side.version == *version || draft
            }
            TlsTest::Versions { any, negated } => {
                let version = if version::is_draft(side.version) { version::TLS_1_3 } else { side.version };
                version != 0 && any.contains(&version) != *negated
            }
            TlsTest::Said { any, negated } => self.now.overlaps(*any) != *negated,
            TlsTest::Expired => side.certificate.is_some() && side.is_expired,
            TlsTest::Valid => side.certificate.is_some() && !side.is_expired && !side.is_early,
        }
    }
}

fn event_of(oddity: &'static str) -> &'static str {
    match oddity {
        "invalid_sni_type" => "tls.invalid_sni_type",
        "invalid_sni_length" => "tls.invalid_sni_length",
        "multiple_sni_extensions" => "tls.multiple_sni_extensions",
        _ => "tls.handshake_invalid_length",
    }
}

impl Endpoint {
    fn hold(&mut self, certificate: Certificate, now: Timestamp) {
        let seconds = i64::try_from(now.micros / 1_000_000).unwrap_or(i64::MAX);
        self.is_expired = certificate.not_after < seconds;
        self.is_early = certificate.not_before > seconds;
        self.certificate = Some(Arc::new(certificate));
    }

    fn random(&self) -> Option<&[u8]> {
        self.hello.as_ref()?.random.as_ref().map(<[u8; 32]>::as_slice)
    }

    fn heap_bytes(&self) -> usize {
        let hello = self.hello.as_ref().map_or(0, |hello| size_of::<Hello>() + hello.heap_bytes());
        let chain: usize = self.chain.iter().map(|der| der.len() + size_of::<Box<[u8]>>()).sum();
        let ja3 = self.ja3.as_ref().map_or(0, |ja3| ja3.string.len() + ja3.hash.len());
        hello + chain + ja3 + self.certificate.as_ref().map_or(0, |certificate| certificate.heap_bytes())
    }
}

impl Transaction for TlsTransaction {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        let side = self.of(toward);
        let hello = side.hello.as_deref();
        let certificate = side.certificate.as_deref();
        match buffer {
            Buffer::TLS_CERTS => return side.chain.get(nth).map(|der| &**der),
            Buffer::TLS_ALPN => return hello?.alpn.get(nth).map(|name| &**name),
            Buffer::TLS_SUBJECTALTNAME => return certificate?.names.get(nth).map(String::as_bytes),
            _ if nth > 0 => return None,
            _ => {}
        }
        match buffer {
            Buffer::TLS_SNI => hello?.sni.as_deref(),
            Buffer::TLS_RANDOM => side.random(),
            Buffer::TLS_RANDOM_TIME => side.random()?.get(..4),
            Buffer::TLS_RANDOM_BYTES => side.random()?.get(4..),
            Buffer::TLS_CERT_SUBJECT => Some(certificate?.subject.as_bytes()),
            Buffer::TLS_CERT_ISSUER => Some(certificate?.issuer.as_bytes()),
            Buffer::TLS_CERT_SERIAL => Some(certificate?.serial.as_bytes()),
            Buffer::TLS_CERT_FINGERPRINT => Some(certificate?.fingerprint.as_bytes()),
            Buffer::JA3_HASH if toward == Toward::Server => Some(side.ja3.as_ref()?.hash.as_bytes()),
            Buffer::JA3_STRING if toward == Toward::Server => Some(side.ja3.as_ref()?.string.as_bytes()),
            Buffer::JA3S_HASH if toward == Toward::Client => Some(side.ja3.as_ref()?.hash.as_bytes()),
            Buffer::JA3S_STRING if toward == Toward::Client => Some(side.ja3.as_ref()?.string.as_bytes()),
            Buffer::JA4_HASH => side.ja4.as_deref().map(str::as_bytes),
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            AppTest::Number { field, test } => self.number(*field, toward).is_some_and(|number| test.accepts(number)),
            AppTest::Tls(test) => self.passes(test, toward),
            _ => false,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.closed
    }

    fn record(&self) -> Option<AppRecord> {
        Some(AppRecord::Tls(Box::new(self.told_of())))
    }

    /// Suricata tells of handshakes with a certificate, or where none can be seen because the session is resumed (a
    /// ticket in the ClientHello is enough to think so), or because it is TLS 1.3. Of a recording it tells what the client
    /// has acknowledged.
    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        let worth = self.certificate().is_some() || self.may_resume() || self.hides_certificates();
        let due = self.done && self.is_heard(self.done_at) || self.closed || ended;
        if self.told || !worth || !due {
            return None;
        }
        self.told = true;
        self.record()
    }
}
