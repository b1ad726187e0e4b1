//! The wire form of DCE 1.1 RPC: the fragments of connections (version 5) and the datagrams of version 4.

use crate::packet::app::reader::Reader;

/// Bytes of a connection's fragment header.
pub const HEADER_BYTES: usize = 16;
/// Bytes of a datagram's header.
pub const DATAGRAM_HEADER_BYTES: usize = 80;
/// Interfaces of one bind that are read.
const CONTEXT_COUNT_MAX: usize = 64;
/// Bytes of a transfer syntax: its identifier and its version.
const SYNTAX_BYTES: usize = 20;

/// Packet types of both versions.
pub mod kind {
    pub const REQUEST: u8 = 0;
    pub const RESPONSE: u8 = 2;
    pub const FAULT: u8 = 3;
    pub const REJECT: u8 = 6;
    pub const BIND: u8 = 11;
    pub const BIND_ACK: u8 = 12;
    pub const BIND_NAK: u8 = 13;
    pub const ALTER_CONTEXT: u8 = 14;
    pub const ALTER_CONTEXT_RESPONSE: u8 = 15;
    pub const LAST: u8 = 20;
}

/// The name of a packet type, as EVE writes it.
#[must_use]
pub fn kind_name(kind: u8) -> &'static str {
    const NAMES: [&str; 21] = [
        "REQUEST",
        "PING",
        "RESPONSE",
        "FAULT",
        "WORKING",
        "NOCALL",
        "REJECT",
        "ACK",
        "CL_CANCEL",
        "FACK",
        "CANCEL_ACK",
        "BIND",
        "BINDACK",
        "BINDNAK",
        "ALTER_CONTEXT",
        "ALTER_CONTEXT_RESP",
        "AUTH3",
        "SHUTDOWN",
        "CO_CANCEL",
        "ORPHANED",
        "RTS",
    ];
    NAMES.get(usize::from(kind)).copied().unwrap_or("UNKNOWN")
}

/// Whether this packet type answers another.
#[must_use]
pub fn answers(kind: u8) -> bool {
    use kind::{ALTER_CONTEXT_RESPONSE, BIND_ACK, BIND_NAK, FAULT, RESPONSE};
    matches!(kind, RESPONSE | FAULT | BIND_ACK | BIND_NAK | ALTER_CONTEXT_RESPONSE)
}

/// Flags of a fragment.
const FIRST_FRAGMENT: u8 = 0x01;
const LAST_FRAGMENT: u8 = 0x02;

/// The header that each fragment of a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub minor: u8,
    pub kind: u8,
    flags: u8,
    /// Numbers are little-endian.
    pub little: bool,
    /// Length of the whole fragment, bytes.
    pub fragment_bytes: usize,
    pub call_id: u32,
}

impl Header {
    /// `None`: too short, or no DCERPC of version 5.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let [major, minor, kind, flags, integers, floats, ..] = *bytes.first_chunk::<HEADER_BYTES>()?;
        let plausible = major == 5 && minor <= 1 && kind <= kind::LAST && integers & 0xee == 0 && floats <= 3;
        if !plausible {
            return None;
        }
        let little = integers & 0x10 != 0;
        let mut reader = Reader::ordered(bytes, little);
        reader.skip(8)?;
        let fragment_bytes = reader.length16()?;
        reader.skip(2)?;
        let call_id = reader.u32()?;
        (fragment_bytes >= HEADER_BYTES).then_some(Header { minor, kind, flags, little, fragment_bytes, call_id })
    }

    #[must_use]
    pub fn is_first(&self) -> bool {
        self.flags & FIRST_FRAGMENT != 0
    }

    #[must_use]
    pub fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }
}

/// One interface that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub id: u16,
    /// In the order in which it is written.
    pub uuid: [u8; 16],
    pub version: u16,
    pub version_minor: u16,
}

/// The interfaces of a BIND or ALTER_CONTEXT; `body` stands behind the header.
#[must_use]
pub fn contexts(body: &[u8], little: bool) -> Option<Vec<Context>> {
    let mut reader = Reader::ordered(body, little);
    reader.skip(8)?;
    let count = usize::from(reader.u8()?);
    reader.skip(3)?;
    let mut contexts = Vec::new();
    for _ in 0..count.min(CONTEXT_COUNT_MAX) {
        let id = reader.u16()?;
        let syntaxes = usize::from(reader.u8()?);
        reader.skip(1)?;
        let uuid = written(reader.array()?, little);
        let (version, version_minor) = (reader.u16()?, reader.u16()?);
        contexts.push(Context { id, uuid, version, version_minor });
        reader.skip(syntaxes * SYNTAX_BYTES)?;
    }
    Some(contexts)
}

/// What became of each interface asked for, in the same order: result and reason.
#[must_use]
pub fn results(body: &[u8], little: bool) -> Option<Vec<(u16, u16)>> {
    let mut reader = Reader::ordered(body, little);
    reader.skip(8)?;
    let address = reader.length16()?;
    // The results are aligned to 4 bytes from the beginning of the fragment.
    reader.skip(address.checked_add((10 + address).next_multiple_of(4) - (10 + address))?)?;
    let count = usize::from(reader.u8()?);
    reader.skip(3)?;
    let mut results = Vec::new();
    for _ in 0..count.min(CONTEXT_COUNT_MAX) {
        results.push((reader.u16()?, reader.u16()?));
        reader.skip(SYNTAX_BYTES)?;
    }
    Some(results)
}

/// What a REQUEST asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'b> {
    pub context_id: u16,
    pub opnum: u16,
    pub stub: &'b [u8],
}

/// An object's identifier, where the header's flags announce one, counts as the first argument, as in Suricata.
#[must_use]
pub fn request<'b>(header: &Header, body: &'b [u8]) -> Option<Request<'b>> {
    let mut reader = Reader::ordered(body, header.little);
    reader.skip(4)?;
    let (context_id, opnum) = (reader.u16()?, reader.u16()?);
    Some(Request { context_id, opnum, stub: reader.rest() })
}

/// The arguments of a RESPONSE. Those of a DCERPC flow begin with the 8 bytes of its own header, as in Suricata.
#[must_use]
pub fn response(body: &[u8], in_pipe: bool) -> Option<&[u8]> {
    if in_pipe { body.get(8..) } else { Some(body) }
}

/// The header of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'b> {
    pub kind: u8,
    pub little: bool,
    pub fragmented: bool,
    pub is_last: bool,
    pub fragment_number: u16,
    pub interface: Context,
    pub activity: [u8; 16],
    pub sequence: u32,
    pub opnum: u16,
    pub stub: &'b [u8],
}

impl<'b> Datagram<'b> {
    #[must_use]
    pub fn read(bytes: &'b [u8]) -> Option<Datagram<'b>> {
        let [version, kind, flags, _, integers, floats, ..] = *bytes.first_chunk::<DATAGRAM_HEADER_BYTES>()?;
        if version != 4 || kind > 10 || integers & 0xee != 0 || floats > 3 {
            return None;
        }
        let little = integers & 0x10 != 0;
        let mut reader = Reader::ordered(bytes, little);
        reader.skip(8 + 16)?;
        let uuid = written(reader.array()?, little);
        let activity = written(reader.array()?, little);
        reader.skip(4)?;
        let version = reader.u32()?;
        let sequence = reader.u32()?;
        let opnum = reader.u16()?;
        reader.skip(4)?;
        let length = reader.length16()?;
        let fragment_number = reader.u16()?;
        reader.skip(2)?;
        let [minor_high, minor_low, high, low] = version.to_be_bytes();
        let interface = Context {
            id: 0,
            uuid,
            version: u16::from_be_bytes([high, low]),
            version_minor: u16::from_be_bytes([minor_high, minor_low]),
        };
        let stub = reader.rest().get(..length).unwrap_or(reader.rest());
        let (fragmented, is_last) = (flags & 0x04 != 0, flags & 0x02 != 0);
        Some(Datagram {
            kind,
            little,
            fragmented,
            is_last,
            fragment_number,
            interface,
            activity,
            sequence,
            opnum,
            stub,
        })
    }
}

/// The bytes of an identifier in the order in which it is written: its first three numbers are turned.
fn written(mut uuid: [u8; 16], little: bool) -> [u8; 16] {
    if little {
        uuid.swap(0, 3);
        uuid.swap(1, 2);
        uuid.swap(4, 5);
        uuid.swap(6, 7);
    }
    uuid
}
