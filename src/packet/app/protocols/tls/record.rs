//! What EVE tells of a handshake.

use std::sync::Arc;

use super::certificate::Certificate;
use super::fingerprint::Fingerprint;

/// A handshake, as far as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRecord {
    /// The server's version, as it is called; see `super::version::name`.
    pub version: u16,
    pub sni: Option<Box<[u8]>>,
    pub session_resumed: bool,
    pub certificate: Option<Arc<Certificate>>,
    pub client_certificate: Option<Arc<Certificate>>,
    pub ja3: Option<Fingerprint>,
    pub ja3s: Option<Fingerprint>,
    pub ja4: Option<String>,
    pub client_alpns: Vec<Box<[u8]>>,
    pub server_alpns: Vec<Box<[u8]>>,
}
