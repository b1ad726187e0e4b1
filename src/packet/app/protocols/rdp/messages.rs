//! X.224 connection messages with RDP's negotiation, and what MCS Connect Initial says of the client.

use super::record::{RdpClient, RdpRecord};
use crate::packet::app::reader::Reader;
use crate::rules::plan::Toward;

const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const DATA: u8 = 0xf0;
const COOKIE: &[u8] = b"Cookie: mstshash=";
const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_RESPONSE: u8 = 2;
const NEGOTIATION_FAILURE: u8 = 3;
/// BER tags of MCS, application 101 and 102.
const CONNECT_INITIAL: [u8; 2] = [0x7f, 0x65];
const CONNECT_RESPONSE: [u8; 2] = [0x7f, 0x66];
/// Before the client's data stands the key of the conference.
const CLIENT_KEY: &[u8] = b"Duca";
const CLIENT_CORE: u16 = 0xc001;
const CLIENT_NETWORK: u16 = 0xc003;
const CHANNEL_COUNT_MAX: usize = 31;
const BLOCK_COUNT_MAX: usize = 16;

/// Whether an X.224 message asks for a desktop in a way that nothing else does.
pub fn asks_for_a_desktop(body: &[u8]) -> bool {
    let Some(variable) = variable_part(body, CONNECTION_REQUEST) else { return false };
    variable.starts_with(b"Cookie: ") || matches!(variable, [NEGOTIATION_REQUEST, _, 8, 0, ..])
}

/// What stands behind the fixed part of a connection message of this kind.
fn variable_part(body: &[u8], kind: u8) -> Option<&[u8]> {
    let (length, rest) = body.split_first()?;
    let header = rest.get(..usize::from(*length))?;
    (header.first()? & 0xf0 == kind).then_some(())?;
    header.get(6..)
}

/// One X.224 message; `None` if it is none that is told.
pub fn read(body: &[u8], toward: Toward) -> Option<RdpRecord> {
    if let Some(variable) = variable_part(body, CONNECTION_REQUEST) {
        return Some(request(variable));
    }
    if let Some(variable) = variable_part(body, CONNECTION_CONFIRM) {
        return Some(confirm(variable));
    }
    let [_, DATA, _, mcs @ ..] = body else { return None };
    let event_type = match *mcs.first_chunk()? {
        CONNECT_INITIAL if toward == Toward::Server => "connect_request",
        CONNECT_RESPONSE if toward == Toward::Client => "connect_response",
        _ => return None,
    };
    let mut record = RdpRecord { event_type, ..RdpRecord::default() };
    if event_type == "connect_request" {
        let _ = client_data(mcs, &mut record);
    }
    Some(record)
}

fn request(variable: &[u8]) -> RdpRecord {
    let mut record = RdpRecord { event_type: "initial_request", ..RdpRecord::default() };
    let mut rest = variable;
    if variable.starts_with(b"Cookie: ")
        && let Some(end) = variable.windows(2).position(|pair| pair == b"\r\n")
    {
        let line = variable.get(..end).unwrap_or_default();
        let name = line.strip_prefix(COOKIE);
        record.cookie = name.map(|name| String::from_utf8_lossy(name).into_owned());
        rest = variable.get(end + 2..).unwrap_or_default();
    }
    if let [NEGOTIATION_REQUEST, bits, 8, 0, ..] = rest {
        const NAMES: [(u8, &str); 3] = [
            (0x01, "restricted_admin_mode_required"),
            (0x02, "redirected_authentication_mode_required"),
            (0x08, "correlation_info_present"),
        ];
        record.flags = names(*bits, &NAMES);
    }
    record
}

fn confirm(variable: &[u8]) -> RdpRecord {
    let mut record = RdpRecord { event_type: "initial_response", ..RdpRecord::default() };
    let mut reader = Reader::little_endian(variable);
    let mut fields = || Some((reader.u8()?, reader.u8()?, reader.u16()?, reader.u32()?));
    match fields() {
        Some((NEGOTIATION_RESPONSE, bits, 8, protocol)) => {
            const NAMES: [(u8, &str); 4] = [
                (0x01, "extended_client_data"),
                (0x02, "dynvc_gfx"),
                (0x08, "restricted_admin"),
                (0x10, "redirected_authentication"),
            ];
            record.server_supports = names(bits, &NAMES);
            record.protocol = match protocol {
                0 => Some("rdp"),
                1 => Some("ssl"),
                2 => Some("hybrid"),
                4 => Some("rds_tls"),
                8 => Some("hybrid_ex"),
                _ => None,
            };
        }
        Some((NEGOTIATION_FAILURE, _, 8, code)) => {
            record.error_code = Some(code);
            record.reason = match code {
                1 => Some("ssl required by server"),
                2 => Some("ssl not allowed by server"),
                3 => Some("ssl cert not on server"),
                4 => Some("inconsistent flags"),
                5 => Some("hybrid required by server"),
                6 => Some("ssl with user auth required by server"),
                _ => None,
            };
        }
        _ => {}
    }
    record
}

fn names(bits: u8, table: &[(u8, &'static str)]) -> Vec<&'static str> {
    table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect()
}

/// The client's blocks, which stand behind the conference's key and their length.
fn client_data(mcs: &[u8], record: &mut RdpRecord) -> Option<()> {
    let at = mcs.windows(CLIENT_KEY.len()).position(|window| window == CLIENT_KEY)?;
    let mut outer = Reader::big_endian(mcs.get(at + CLIENT_KEY.len()..)?);
    // The length in one byte, or in two with the highest bit set.
    if outer.u8()? & 0x80 != 0 {
        outer.skip(1)?;
    }
    let mut reader = Reader::little_endian(outer.rest());
    for _ in 0..BLOCK_COUNT_MAX {
        let (kind, length) = (reader.u16()?, reader.length16()?);
        let block = reader.take(length.checked_sub(4)?)?;
        match kind {
            CLIENT_CORE => record.client = client_core(block),
            CLIENT_NETWORK => record.channels = channels(block).unwrap_or_default(),
            _ => {}
        }
    }
    Some(())
}

fn client_core(block: &[u8]) -> Option<RdpClient> {
    let mut reader = Reader::little_endian(block);
    let version = match reader.u32()? {
        0x0008_0001 => "v4",
        0x0008_0004 => "v5_v8_1",
        0x0008_0005 => "v10_0",
        0x0008_0006 => "v10_1",
        0x0008_0007 => "v10_2",
        0x0008_0008 => "v10_3",
        0x0008_0009 => "v10_4",
        0x0008_000a => "v10_5",
        0x0008_000b => "v10_6",
        0x0008_000c => "v10_7",
        _ => "unknown",
    };
    let (desktop_width, desktop_height) = (reader.u16()?, reader.u16()?);
    reader.skip(8)?;
    let build = reader.u32()?.to_string();
    let name = reader.take(32)?;
    let (units, _) = name.as_chunks::<2>();
    let units = units.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0);
    let client_name = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    Some(RdpClient { version, desktop_width, desktop_height, build, client_name })
}

fn channels(block: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::little_endian(block);
    let count = usize::try_from(reader.u32()?).ok()?;
    let mut names = Vec::new();
    for _ in 0..count.min(CHANNEL_COUNT_MAX) {
        let name = reader.take(8)?;
        reader.skip(4)?;
        let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
        names.push(String::from_utf8_lossy(text).into_owned());
    }
    Some(names)
}
