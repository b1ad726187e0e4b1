//! Headers of QUIC packets: the invariants of all versions, the long headers of the IETF's, and Google's before them.

use crate::packet::app::reader::Reader;

/// Connection ids are no longer in any version that we know (RFC 9000, 17.2).
const ID_BYTES_MAX: usize = 20;
/// The first id that a client chooses is at least so long (RFC 9000, 7.2).
const FIRST_ID_BYTES_MIN: usize = 8;

/// Bits of the first byte.
mod flag {
    pub const LONG: u8 = 0x80;
    pub const FIXED: u8 = 0x40;
    /// Google's public header.
    pub const GOOGLE_VERSION: u8 = 0x01;
    pub const GOOGLE_NONCE: u8 = 0x04;
    pub const GOOGLE_ID: u8 = 0x08;
}

/// A version, as its four bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(pub u32);

impl Version {
    pub const NEGOTIATION: Version = Version(0);
    pub const V1: Version = Version(1);
    pub const V2: Version = Version(0x6b33_43cf);
    pub const Q043: Version = Version(u32::from_be_bytes(*b"Q043"));
    pub const Q044: Version = Version(u32::from_be_bytes(*b"Q044"));
    pub const Q045: Version = Version(u32::from_be_bytes(*b"Q045"));
    pub const Q046: Version = Version(u32::from_be_bytes(*b"Q046"));
    pub const Q050: Version = Version(u32::from_be_bytes(*b"Q050"));

    /// One of Google's, `Q043` or `T051`.
    #[must_use]
    pub fn is_google(self) -> bool {
        matches!(self.0.to_be_bytes(), [b'Q' | b'T', b'0', b'0'..=b'9', b'0'..=b'9'])
    }

    /// Google's, before it took over the headers of the IETF as they were then.
    fn has_google_ids(self) -> bool {
        self.is_google() && self.0.to_be_bytes() <= Version::Q046.0.to_be_bytes()
    }

    /// Some version that is or was in use: RFCs, drafts, Google's, Facebook's, and those that keep servers tolerant.
    fn is_known(self) -> bool {
        let greased = self.0 & 0x0f0f_0f0f == 0x0a0a_0a0a;
        matches!(self, Version::V1 | Version::V2)
            || self.is_google()
            || greased
            || matches!(self.0 >> 8, 0x00ff_0000 | 0x00fa_ceb0)
    }
}

/// `Q046`, otherwise hexadecimal digits, as EVE has it.
impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.to_be_bytes() {
            [a, b, c, d] if self.is_google() => {
                write!(f, "{}{}{}{}", char::from(a), char::from(b), char::from(c), char::from(d))
            }
            _ => write!(f, "{:x}", self.0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    Negotiation,
    /// Everything after the handshake: says nothing.
    Short,
}

/// One packet of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'d> {
    pub kind: Kind,
    pub version: Version,
    pub destination: &'d [u8],
    pub source: &'d [u8],
    /// From the first byte of the header to the end of the payload.
    pub bytes: &'d [u8],
    /// Where the protected packet number begins, or the payload where nothing is protected.
    pub payload_at: usize,
}

impl<'d> Packet<'d> {
    /// The first packet of a datagram, and what follows it.
    #[must_use]
    pub fn read(datagram: &'d [u8]) -> Option<(Packet<'d>, &'d [u8])> {
        let first = *datagram.first()?;
        let mut reader = Reader::big_endian(datagram);
        reader.skip(1)?;
        let (kind, version, [destination, source], length) = match first {
            _ if first & flag::LONG != 0 => long(first, &mut reader)?,
            _ if first & flag::FIXED != 0 => (Kind::Short, Version::NEGOTIATION, [&[][..]; 2], None),
            _ => google(first, &mut reader)?,
        };
        let payload_at = datagram.len() - reader.remaining();
        let end = payload_at.checked_add(length.unwrap_or(reader.remaining()))?;
        let (bytes, rest) = datagram.split_at_checked(end)?;
        Some((Packet { kind, version, destination, source, bytes, payload_at }, rest))
    }

    /// Whether a datagram that begins with this is QUIC whatever its port.
    pub(super) fn is_sure(&self) -> bool {
        let first = self.bytes.first().copied().unwrap_or(0);
        // On other ports long headers of other protocols are about, such as RTP's.
        let fixed = first & flag::LONG == 0 || first & flag::FIXED != 0;
        self.kind == Kind::Initial && fixed && self.version.is_known()
    }

    /// Whether it is, on a port of HTTP.
    pub(super) fn is_plausible(&self) -> bool {
        match self.kind {
            Kind::Initial => self.destination.len() >= FIRST_ID_BYTES_MIN || !self.source.is_empty(),
            Kind::Negotiation => !self.destination.is_empty() || !self.source.is_empty(),
            Kind::ZeroRtt | Kind::Handshake | Kind::Retry => self.version.is_known(),
            Kind::Short => false,
        }
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'d [u8] {
        self.bytes.get(self.payload_at..).unwrap_or_default()
    }
}

/// Kind, version, destination and source, and how long the rest is if it says so.
type Parts<'d> = (Kind, Version, [&'d [u8]; 2], Option<usize>);

fn long<'d>(first: u8, reader: &mut Reader<'d>) -> Option<Parts<'d>> {
    let version = Version(reader.u32()?);
    let ids = match version.has_google_ids() {
        true => google_ids(reader)?,
        false => [id(reader)?, id(reader)?],
    };
    if version == Version::NEGOTIATION {
        return Some((Kind::Negotiation, version, ids, None));
    }
    let kind = long_kind(first, version)?;
    if version.has_google_ids() {
        if kind == Kind::Initial {
            // Packet number, and a hash over the packet.
            reader.skip(4 + 12)?;
        }
        return Some((kind, version, ids, None));
    }
    let length = match kind {
        Kind::Initial => {
            let token = length(reader)?;
            reader.skip(token)?;
            Some(length(reader)?)
        }
        Kind::ZeroRtt | Kind::Handshake => Some(length(reader)?),
        _ => None,
    };
    Some((kind, version, ids, length))
}

fn long_kind(first: u8, version: Version) -> Option<Kind> {
    if version.has_google_ids() && version != Version::Q046 {
        return match first & !flag::LONG {
            0x7f => Some(Kind::Initial),
            0x7e => Some(Kind::Retry),
            0x7d => Some(Kind::Handshake),
            0x7c => Some(Kind::ZeroRtt),
            _ => None,
        };
    }
    let bits = (first >> 4) & 3;
    // Version 2 turns them by one, so that nobody relies on them (RFC 9369, 3.2).
    let bits = if version == Version::V2 { bits.wrapping_sub(1) & 3 } else { bits };
    Some(match bits {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    })
}

/// Google's public header, which knew no kinds: with a version it is what a client sends first.
fn google<'d>(first: u8, reader: &mut Reader<'d>) -> Option<Parts<'d>> {
    if first & flag::GOOGLE_VERSION == 0 {
        return Some((Kind::Short, Version::NEGOTIATION, [&[]; 2], None));
    }
    let has_id = first & flag::GOOGLE_ID != 0;
    let destination = if has_id { reader.take(8)? } else { &[] };
    if first & flag::GOOGLE_NONCE != 0 && !has_id {
        reader.skip(32)?;
    }
    let version = Version(reader.u32()?);
    if !version.is_google() {
        return None;
    }
    let number_bytes = 1 + usize::from((first >> 4) & 3);
    reader.skip(number_bytes)?;
    if has_id {
        reader.skip(12)?;
    }
    Some((Kind::Initial, version, [destination, &[]], None))
}

fn id<'d>(reader: &mut Reader<'d>) -> Option<&'d [u8]> {
    let length = usize::from(reader.u8()?);
    if length > ID_BYTES_MAX {
        return None;
    }
    reader.take(length)
}

/// Both lengths in one byte, less three unless zero.
fn google_ids<'d>(reader: &mut Reader<'d>) -> Option<[&'d [u8]; 2]> {
    let lengths = reader.u8()?;
    let length = |nibble: u8| if nibble == 0 { 0 } else { usize::from(nibble) + 3 };
    Some([reader.take(length(lengths >> 4))?, reader.take(length(lengths & 0x0f))?])
}

/// A number whose first two bits say how long it is (RFC 9000, 16).
pub(super) fn number(reader: &mut Reader<'_>) -> Option<u64> {
    let first = reader.u8()?;
    let more = (1_u32 << (first >> 6)) - 1;
    let mut number = u64::from(first & 0x3f);
    for _ in 0..more {
        number = number << 8 | u64::from(reader.u8()?);
    }
    Some(number)
}

fn length(reader: &mut Reader<'_>) -> Option<usize> {
    number(reader).and_then(|number| usize::try_from(number).ok())
}
