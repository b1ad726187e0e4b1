//! Oddities of a connection that are about which protocol it speaks, not about one transaction.

use super::ParseContext;
use super::protocols::{self, Guess, ProtocolInfo};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

/// In Suricata's words: see [`Oddity::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Oddity {
    /// Each side speaks a protocol of its own.
    Mismatch,
    /// The server was first in a protocol where clients are.
    WrongDirection,
    /// STARTTLS or its like was agreed on, and no TLS came.
    NoTls,
}

impl Oddity {
    pub const ALL: [Oddity; 3] = [Oddity::Mismatch, Oddity::WrongDirection, Oddity::NoTls];

    /// As `app-layer-event` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Oddity::Mismatch => "applayer_mismatch_protocol_both_directions",
            Oddity::WrongDirection => "applayer_wrong_direction_first_data",
            Oddity::NoTls => "applayer_no_tls_after_starttls",
        }
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(u8);

impl Oddities {
    pub fn add(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u8;
    }

    #[must_use]
    pub fn has(self, oddity: Oddity) -> bool {
        self.0 & 1 << oddity as u8 != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Whether the client of such a connection speaks first.
#[must_use]
pub fn is_begun_by_client(protocol: AppProto) -> bool {
    matches!(protocol, AppProto::Http1 | AppProto::Tls | AppProto::Dcerpc | AppProto::Modbus | AppProto::Enip)
}

/// Whether what the client sends behind STARTTLS cannot begin TLS.
#[must_use]
pub fn is_no_tls(toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> bool {
    let says_no = |info: &ProtocolInfo| (info.recognise)(toward, bytes, context) == Guess::No;
    toward == Toward::Server && protocols::info(AppProto::Tls).is_some_and(says_no)
}
