//! Messages of PostgreSQL's protocol 3, as its documentation has them ("Message Formats").

use super::record::{Notice, Parameter, Request, Response, StartupParameters};
use crate::packet::app::message::Text;
use crate::packet::app::reader::Reader;

/// Parameters, and fields of an error, that are kept of one message.
const FIELD_COUNT_MAX: usize = 32;
/// Bytes of one value that are kept of what only EVE tells.
const VALUE_BYTES_MAX: usize = 1024;

/// The numbers in the place of a version.
pub mod code {
    pub const CANCEL: u32 = 80_877_102;
    pub const SSL: u32 = 80_877_103;
    pub const GSS_ENCRYPTION: u32 = 80_877_104;
    /// Major version 3.
    pub const MAJOR: u32 = 3;
}

/// The length that stands in front of a message, itself included.
pub const LENGTH_BYTES: usize = 4;
/// What a client says first is no longer (the server's own limit).
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// A client's message without a type: its length, and what the number behind that says. `None`: not whole.
pub fn startup_head(bytes: &[u8]) -> Option<(usize, u32)> {
    let mut reader = Reader::big_endian(bytes);
    let length = usize::try_from(reader.u32()?).ok()?;
    Some((length, reader.u32()?))
}

/// Whether a client may begin so.
pub fn is_startup(length: usize, number: u32) -> bool {
    match number {
        code::SSL | code::GSS_ENCRYPTION => length == 8,
        code::CANCEL => (16..=STARTUP_BYTES_MAX).contains(&length),
        version => version >> 16 == code::MAJOR && (9..=STARTUP_BYTES_MAX).contains(&length),
    }
}

pub fn startup(body: &[u8], number: u32) -> Request {
    match number {
        code::SSL => Request { message: Some("SSL Request"), ..Request::default() },
        code::GSS_ENCRYPTION => Request { message: Some("GSSENC Request"), ..Request::default() },
        code::CANCEL => {
            let mut reader = Reader::big_endian(body);
            let (process_id, secret_key) = (reader.u32(), reader.u32());
            Request { message: Some("cancel_request"), process_id, secret_key, ..Request::default() }
        }
        version => {
            let (mut user, mut optional_parameters) = (Text::default(), Vec::new());
            let mut strings = body.split(|byte| *byte == 0);
            while let (Some(name), Some(value)) = (strings.next().filter(|name| !name.is_empty()), strings.next()) {
                if name == b"user" {
                    user = text(value);
                } else if optional_parameters.len() < FIELD_COUNT_MAX {
                    optional_parameters.push(parameter(name, value));
                }
            }
            Request {
                protocol_version: Some(format!("{}.{}", version >> 16, version & 0xffff)),
                startup_parameters: Some(StartupParameters { user, optional_parameters }),
                ..Request::default()
            }
        }
    }
}

/// A client's message of a type that EVE tells.
pub fn request(kind: u8, body: &[u8], in_sasl: &mut Sasl) -> Option<Request> {
    let request = match kind {
        b'Q' => Request { simple_query: Some(Text(before_nul(body).to_vec())), ..Request::default() },
        b'X' => Request { message: Some("terminate"), ..Request::default() },
        b'p' => match *in_sasl {
            Sasl::No => Request { password_redacted: true, ..Request::default() },
            Sasl::Asked => {
                *in_sasl = Sasl::Going;
                let mechanism = before_nul(body);
                let param = body.get(mechanism.len() + 1 + LENGTH_BYTES..).map(text);
                Request { sasl_authentication_mechanism: Some(text(mechanism)), sasl_param: param, ..Request::default() }
            }
            Sasl::Going => Request { sasl_response: Some(text(body)), ..Request::default() },
        },
        _ => return None,
    };
    Some(request)
}

/// How far a SASL authentication is: what `p` means depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sasl {
    #[default]
    No,
    Asked,
    Going,
}

/// Takes note of a server's message.
pub fn respond(kind: u8, body: &[u8], into: &mut Response, in_sasl: &mut Sasl) {
    let mut reader = Reader::big_endian(body);
    match kind {
        b'R' => authentication(&mut reader, into, in_sasl),
        b'S' if into.parameter_status.len() < FIELD_COUNT_MAX => {
            let name = before_nul(body);
            let value = before_nul(body.get(name.len() + 1..).unwrap_or_default());
            into.parameter_status.push(parameter(name, value));
        }
        b'K' => (into.process_id, into.secret_key) = (reader.u32(), reader.u32()),
        b'T' => into.field_count = reader.u16(),
        b'C' => into.command_completed = Some(text(before_nul(body))),
        b'E' | b'N' => into.notice = notice(body),
        b'A' => {
            into.pid = reader.u32();
            let channel = before_nul(reader.rest());
            into.payload = reader.rest().get(channel.len() + 1..).map(|rest| text(before_nul(rest)));
            into.channel_name = Some(text(channel));
        }
        _ => {}
    }
}

fn authentication(reader: &mut Reader<'_>, into: &mut Response, in_sasl: &mut Sasl) {
    let kind = reader.u32();
    *in_sasl = if kind == Some(10) { Sasl::Asked } else { *in_sasl };
    match kind {
        Some(0) => into.message = Some("authentication_ok"),
        Some(3) => into.message = Some("authentication_cleartext_password"),
        Some(5) => into.authentication_md5_password = Some(text(reader.rest())),
        Some(9) => into.authentication_sspi = Some(text(reader.rest())),
        Some(10) => into.message = Some("authentication_sasl"),
        Some(11) => into.message = Some("authentication_sasl_continue"),
        Some(12) => into.authentication_sasl_final = Some(text(reader.rest())),
        _ => {}
    }
}

fn notice(body: &[u8]) -> Notice {
    let fields = body.split(|byte| *byte == 0).filter_map(|field| {
        let (kind, value) = field.split_first()?;
        Some((field_name(*kind)?, text(value)))
    });
    Notice(fields.take(FIELD_COUNT_MAX).collect())
}

fn field_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        b'S' => "severity_localizable",
        b'V' => "severity_non_localizable",
        b'C' => "code",
        b'M' => "message",
        b'D' => "detail",
        b'H' => "hint",
        b'P' => "position",
        b'p' => "internal_position",
        b'q' => "internal_query",
        b'W' => "where",
        b's' => "schema_name",
        b't' => "table_name",
        b'c' => "column_name",
        b'd' => "data_type",
        b'n' => "constraint_name",
        b'F' => "file",
        b'L' => "line",
        b'R' => "routine",
        _ => return None,
    })
}

/// `DateStyle` is `date_style` in EVE.
fn parameter(name: &[u8], value: &[u8]) -> Parameter {
    let mut snake = String::new();
    for letter in String::from_utf8_lossy(name.get(..VALUE_BYTES_MAX).unwrap_or(name)).chars() {
        if letter.is_ascii_uppercase() && snake.chars().next_back().is_some_and(|last| last.is_ascii_lowercase()) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    Parameter { name: snake, value: text(value) }
}

fn text(bytes: &[u8]) -> Text {
    Text::from(bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes))
}

fn before_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
