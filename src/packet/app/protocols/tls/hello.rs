//! ClientHello and ServerHello, with all that rules and fingerprints ask of them.
//!
//! They are read as far as they can be read: what is wrong with the rest has a name, and what came before it counts.
//! Why not a library's reader: see `docs/decisions/0011-own-hello-reader.md`.

use super::version;
use super::wire::{byte, number16, numbers16, vector8, vector16};

/// A host name is no longer (RFC 1035).
const SNI_BYTES_MAX: usize = 255;
/// Application protocols that are kept of one hello.
const ALPN_COUNT_MAX: usize = 64;
pub const RANDOM_BYTES: usize = 32;

/// Whose hello it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Client,
    Server,
}

/// The extensions that are looked into (IANA, TLS ExtensionType).
pub mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const SESSION_TICKET: u16 = 35;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

/// What one side says first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub role: Role,
    /// The version field as sent.
    pub field: u16,
    /// The version that it offers first, or has chosen.
    pub version: u16,
    pub random: Option<[u8; RANDOM_BYTES]>,
    pub session_id: Box<[u8]>,
    /// All that are offered, or the one that was chosen.
    pub ciphers: Vec<u16>,
    /// The types of the extensions, in order.
    pub extensions: Vec<u16>,
    pub groups: Vec<u16>,
    pub point_formats: Vec<u8>,
    pub signature_algorithms: Vec<u16>,
    pub supported_versions: Vec<u16>,
    pub sni: Option<Box<[u8]>>,
    pub alpn: Vec<Box<[u8]>>,
    /// Lengths added up as far as extensions go; otherwise there is no fingerprint.
    pub whole: bool,
    /// What is odd about it: names of events without `tls.`.
    pub oddities: Vec<&'static str>,
}

impl Hello {
    /// Reads the body of a hello, without the handshake header.
    #[must_use]
    pub fn read(role: Role, body: &[u8]) -> Hello {
        let mut hello = Hello { role, ..Hello::default() };
        if hello.fill(body).is_some() {
            hello.whole = true;
        } else {
            hello.oddities.push("handshake_invalid_length");
        }
        hello
    }

    #[must_use]
    pub fn has(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let numbers = self.ciphers.capacity()
            + self.extensions.capacity()
            + self.groups.capacity()
            + self.signature_algorithms.capacity()
            + self.supported_versions.capacity();
        let texts: usize = self.alpn.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum();
        numbers * 2 + texts + self.point_formats.capacity() + self.session_id.len() + SNI_BYTES_MAX
    }

    /// `None`: a length does not fit.
    fn fill(&mut self, mut bytes: &[u8]) -> Option<()> {
        self.field = number16(&mut bytes)?;
        self.version = version::of_hello(self.field);
        self.random = bytes.split_off(..RANDOM_BYTES)?.try_into().ok();
        // Until its draft 22, TLS 1.3 left session and compression out of the ServerHello.
        let long = self.role == Role::Client || !(self.field == version::TLS_1_3 || version::is_draft(self.field));
        if long {
            self.session_id = vector8(&mut bytes)?.into();
        }
        let ciphers = match self.role {
            Role::Client => vector16(&mut bytes)?,
            Role::Server => bytes.split_off(..2)?,
        };
        if !ciphers.len().is_multiple_of(2) {
            return None;
        }
        self.ciphers = numbers16(ciphers).collect();
        match self.role {
            Role::Client => _ = vector8(&mut bytes)?,
            Role::Server if long => _ = byte(&mut bytes)?,
            Role::Server => {}
        }
        // Extensions may be left out.
        if bytes.len() < 2 {
            return Some(());
        }
        self.fill_extensions(vector16(&mut bytes)?)
    }

    fn fill_extensions(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let number = number16(&mut bytes)?;
            let body = vector16(&mut bytes)?;
            if let Err(oddity) = self.look_into(number, body) {
                // Suricata reads no further, either: the fingerprint is made of what stands before.
                self.oddities.push(oddity);
                return Some(());
            }
            self.extensions.push(number);
        }
        Some(())
    }

    fn look_into(&mut self, number: u16, body: &[u8]) -> Result<(), &'static str> {
        if body.is_empty() {
            return Ok(());
        }
        match number {
            extension::SERVER_NAME if self.role == Role::Client => return self.fill_sni(body),
            extension::SUPPORTED_VERSIONS => self.fill_versions(body),
            extension::SUPPORTED_GROUPS => fill(&mut self.groups, body),
            extension::SIGNATURE_ALGORITHMS => {
                let _ = fill(&mut self.signature_algorithms, body);
                Some(())
            }
            extension::EC_POINT_FORMATS => self.fill_point_formats(body),
            extension::ALPN => {
                let _ = self.fill_alpn(body);
                Some(())
            }
            _ => Some(()),
        }
        .ok_or("handshake_invalid_length")
    }

    fn fill_sni(&mut self, mut body: &[u8]) -> Result<(), &'static str> {
        const TOO_SHORT: &str = "handshake_invalid_length";
        number16(&mut body).ok_or(TOO_SHORT)?;
        if byte(&mut body).ok_or(TOO_SHORT)? != 0 {
            return Err("invalid_sni_type");
        }
        if body.len() < 2 {
            return Err(TOO_SHORT);
        }
        let name = vector16(&mut body).filter(|name| (1..=SNI_BYTES_MAX).contains(&name.len()));
        let name = name.ok_or("invalid_sni_length")?;
        if self.sni.is_some() {
            self.oddities.push("multiple_sni_extensions");
        } else {
            self.sni = Some(name.into());
        }
        Ok(())
    }

    fn fill_versions(&mut self, mut body: &[u8]) -> Option<()> {
        match self.role {
            Role::Client => {
                let offered = vector8(&mut body).filter(|offered| offered.len() >= 2)?;
                self.supported_versions = numbers16(offered).collect();
                let first = self.supported_versions.iter().copied().find(|version| version::is_known(*version));
                self.version = first.unwrap_or(self.version);
            }
            Role::Server => {
                self.version = number16(&mut body)?;
                self.supported_versions = vec![self.version];
            }
        }
        Some(())
    }

    fn fill_point_formats(&mut self, mut body: &[u8]) -> Option<()> {
        self.point_formats = vector8(&mut body)?.to_vec();
        Some(())
    }

    fn fill_alpn(&mut self, mut body: &[u8]) -> Option<()> {
        let mut names = vector16(&mut body)?;
        while !names.is_empty() && self.alpn.len() < ALPN_COUNT_MAX {
            let name = vector8(&mut names)?;
            if !name.is_empty() {
                self.alpn.push(name.into());
            }
        }
        Some(())
    }
}

/// A list of numbers behind its length in bytes.
fn fill(list: &mut Vec<u16>, mut body: &[u8]) -> Option<()> {
    *list = numbers16(vector16(&mut body)?).collect();
    Some(())
}
