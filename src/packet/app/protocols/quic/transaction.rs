//! One packet of a QUIC handshake, as rules see it.

use super::google::GoogleHello;
use super::header::Version;
use super::record::{ExtensionRecord, QuicRecord};
use crate::packet::app::protocols::tls::fingerprint::{self, Carrier, Fingerprint};
use crate::packet::app::protocols::tls::hello::{Hello, extension};
use crate::packet::app::{AppRecord, TlsSettings, Transaction};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// Suricata's transaction: one packet, done at once.
#[derive(Debug)]
pub(super) struct QuicTx {
    toward: Toward,
    version: Version,
    version_bytes: [u8; 4],
    google: Option<GoogleHello>,
    cyu: Option<Fingerprint>,
    hello: Option<Box<Hello>>,
    ja3: Option<Fingerprint>,
    ja4: Option<String>,
    events: Vec<&'static str>,
    told: bool,
}

impl QuicTx {
    pub(super) fn new(toward: Toward, version: Version) -> QuicTx {
        QuicTx {
            toward,
            version,
            version_bytes: version.0.to_be_bytes(),
            google: None,
            cyu: None,
            hello: None,
            ja3: None,
            ja4: None,
            events: Vec::new(),
            told: false,
        }
    }

    pub(super) fn with_hello(mut self, hello: Box<Hello>, settings: TlsSettings) -> QuicTx {
        self.ja3 = settings.ja3.then(|| fingerprint::ja3(&hello)).flatten();
        self.ja4 = settings.ja4.then(|| fingerprint::ja4(&hello, Carrier::Quic)).flatten();
        self.hello = Some(hello);
        self
    }

    pub(super) fn with_google_hello(mut self, hello: Option<GoogleHello>) -> QuicTx {
        self.cyu = hello.as_ref().and_then(|hello| hello.fingerprint(self.version));
        self.google = hello;
        self
    }

    pub(super) fn with_event(mut self, event: Option<&'static str>) -> QuicTx {
        self.events.extend(event);
        self
    }

    fn sni(&self) -> Option<&[u8]> {
        let by_google = self.google.as_ref().and_then(|hello| hello.sni.as_deref());
        by_google.or_else(|| self.hello.as_ref()?.sni.as_deref())
    }

    fn user_agent(&self) -> Option<&[u8]> {
        self.google.as_ref()?.user_agent.as_deref()
    }

    fn told_of(&self) -> QuicRecord {
        let (ja3, ja3s) = match self.toward {
            Toward::Server => (self.ja3.clone(), None),
            Toward::Client => (None, self.ja3.clone()),
        };
        QuicRecord {
            version: self.version,
            sni: self.sni().map(Into::into),
            user_agent: self.user_agent().map(Into::into),
            cyu: self.cyu.clone(),
            ja3,
            ja3s,
            ja4: self.ja4.clone(),
            extensions: self.hello.as_deref().map_or_else(Vec::new, extensions),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let hello = self.hello.as_ref().map_or(0, |hello| size_of::<Hello>() + hello.heap_bytes());
        let google = self.google.as_ref().map_or(0, GoogleHello::heap_bytes);
        let prints = [&self.ja3, &self.cyu].into_iter().flatten();
        hello + google + prints.map(|print| print.string.len() + print.hash.len()).sum::<usize>()
    }
}

fn extensions(hello: &Hello) -> Vec<ExtensionRecord> {
    let values = |number: u16| match number {
        extension::SERVER_NAME => hello.sni.iter().cloned().collect(),
        extension::ALPN => hello.alpn.clone(),
        _ => Vec::new(),
    };
    hello.extensions.iter().map(|number| ExtensionRecord { number: *number, values: values(*number) }).collect()
}

impl Transaction for QuicTx {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        if nth > 0 || toward != self.toward {
            return None;
        }
        let by_client = toward == Toward::Server;
        match buffer {
            Buffer::QUIC_VERSION => Some(&self.version_bytes),
            Buffer::QUIC_SNI => self.sni(),
            Buffer::QUIC_UA => self.user_agent(),
            Buffer::QUIC_CYU_HASH => Some(self.cyu.as_ref()?.hash.as_bytes()),
            Buffer::QUIC_CYU_STRING => Some(self.cyu.as_ref()?.string.as_bytes()),
            Buffer::JA3_HASH if by_client => Some(self.ja3.as_ref()?.hash.as_bytes()),
            Buffer::JA3_STRING if by_client => Some(self.ja3.as_ref()?.string.as_bytes()),
            Buffer::JA3S_HASH if !by_client => Some(self.ja3.as_ref()?.hash.as_bytes()),
            Buffer::JA3S_STRING if !by_client => Some(self.ja3.as_ref()?.string.as_bytes()),
            Buffer::JA4_HASH => self.ja4.as_deref().map(str::as_bytes),
            _ => None,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        true
    }

    fn record(&self) -> Option<AppRecord> {
        Some(AppRecord::Quic(Box::new(self.told_of())))
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        if std::mem::replace(&mut self.told, true) { None } else { self.record() }
    }
}
