//! What EVE tells of a QUIC packet.

use super::header::Version;
use crate::packet::app::protocols::tls::fingerprint::Fingerprint;

/// A packet of the handshake, with the hello that it completes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicRecord {
    pub version: Version,
    pub sni: Option<Box<[u8]>>,
    pub user_agent: Option<Box<[u8]>>,
    pub cyu: Option<Fingerprint>,
    /// Of the client's hello.
    pub ja3: Option<Fingerprint>,
    /// Of the server's.
    pub ja3s: Option<Fingerprint>,
    pub ja4: Option<String>,
    pub extensions: Vec<ExtensionRecord>,
}

/// An extension of a hello, with the values that are told of it: names of hosts and protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionRecord {
    pub number: u16,
    pub values: Vec<Box<[u8]>>,
}
