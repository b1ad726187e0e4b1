//! First lines, and the numbers in headers, read as tolerantly as servers and browsers do.

use super::head::{Head, Place, is_space};
use super::reader::is_token;

/// What a first line says of its version. The order is that of the versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    #[default]
    Unknown,
    V0_9,
    V1_0,
    V1_1,
}

/// The parts of a request line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestLine {
    pub method: Place,
    pub uri: Option<Place>,
    pub protocol: Option<Place>,
    pub version: Version,
    /// Blanks stood in front of the method.
    pub leading_blank: bool,
    /// Something other than one kind of blank stands between the parts.
    pub odd_method_delimiter: bool,
    pub odd_uri_delimiter: bool,
}

/// The parts of a status line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StatusLine {
    pub protocol: Option<Place>,
    pub code: Option<Place>,
    pub message: Option<Place>,
    /// 100 to 999.
    pub status: Option<u16>,
    pub version: Version,
}

impl RequestLine {
    /// The method is the first word, the URI the second, and the rest is the protocol. Other white space than a space only
    /// counts where there is no space.
    pub(super) fn of(head: &Head) -> RequestLine {
        let line = head.line();
        let start = count(line, 0, is_space);
        let method_end = start + count(line, start, |byte| !is_space(byte));
        let uri_start = method_end + count(line, method_end, is_space);
        let delimiter = line.get(method_end..uri_start).unwrap_or_default();
        let mut parts = RequestLine {
            method: head.place_in_line(start, method_end),
            leading_blank: start > 0,
            odd_method_delimiter: delimiter.iter().any(|byte| *byte != b' '),
            ..RequestLine::default()
        };
        let end = line.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
        if uri_start >= end {
            parts.version = Version::V0_9;
            return parts;
        }
        let rest = line.get(uri_start..end).unwrap_or_default();
        parts.odd_uri_delimiter = rest.iter().any(|byte| is_space(*byte) && *byte != b' ');
        let split = memchr::memchr(b' ', rest);
        let split = split.or_else(|| rest.iter().position(|byte| is_space(*byte)));
        let Some(split) = split else {
            parts.uri = Some(head.place_in_line(uri_start, end));
            parts.version = Version::V0_9;
            return parts;
        };
        parts.uri = Some(head.place_in_line(uri_start, uri_start + split));
        let protocol = split + count(rest, split, is_space);
        parts.protocol = Some(head.place_in_line(uri_start + protocol, end));
        parts.version = version(rest.get(protocol..).unwrap_or_default());
        parts
    }
}

impl StatusLine {
    pub(super) fn of(head: &Head) -> StatusLine {
        let line = head.line();
        let start = count(line, 0, |byte| is_space(byte) || byte == 0);
        let protocol_end = start + count(line, start, |byte| !is_space(byte));
        let mut parts = StatusLine::default();
        if protocol_end == start {
            return parts;
        }
        parts.protocol = Some(head.place_in_line(start, protocol_end));
        parts.version = version(line.get(start..protocol_end).unwrap_or_default());
        let code = protocol_end + count(line, protocol_end, is_space);
        let code_end = code + count(line, code, |byte| !is_space(byte));
        if code_end == code {
            return parts;
        }
        parts.code = Some(head.place_in_line(code, code_end));
        parts.status = status(line.get(code..code_end).unwrap_or_default());
        let message = code_end + count(line, code_end, is_space);
        if message > code_end {
            parts.message = Some(head.place_in_line(message, line.len()));
        }
        parts
    }
}

fn count(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
    bytes.get(from..).unwrap_or_default().iter().take_while(|byte| wanted(**byte)).count()
}

/// `HTTP/1.1` and what is taken for it: any case, blanks and zeros around the number.
fn version(word: &[u8]) -> Version {
    let word = word.trim_ascii();
    let Some((name, rest)) = word.split_at_checked(4) else { return Version::Unknown };
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"/") else { return Version::Unknown };
    if !name.eq_ignore_ascii_case(b"http") {
        return Version::Unknown;
    }
    let number = rest.get(count(rest, 0, |byte| is_space(byte) || byte == b'0')..).unwrap_or_default();
    match number {
        b".9" => Version::V0_9,
        b"1.0" => Version::V1_0,
        b"1.1" => Version::V1_1,
        _ => Version::Unknown,
    }
}

fn status(word: &[u8]) -> Option<u16> {
    let digits = word.trim_ascii();
    let value = decimal(digits).filter(|_| digits.iter().all(u8::is_ascii_digit))?;
    u16::try_from(value).ok().filter(|status| (100..=999).contains(status))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let mut value = None;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = Some(value.unwrap_or(0_u64).checked_mul(10)?.checked_add(u64::from(digit - b'0'))?);
    }
    value
}

/// The first number in the value, whatever stands around it.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    decimal(value.get(value.iter().position(u8::is_ascii_digit)?..)?)
}

/// What a chunk's length line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkLength {
    /// Only blanks: the length comes with the next line.
    Blank,
    Bytes {
        count: u64,
        extended: bool,
    },
    Wrong,
}

/// Chunks beyond this are not believed.
const CHUNK_BYTES_MAX: u64 = i32::MAX as u64;

pub(super) fn chunk_length(line: &[u8]) -> ChunkLength {
    let line = line.get(count(line, 0, is_space)..).unwrap_or_default();
    if line.is_empty() {
        return ChunkLength::Blank;
    }
    let digits = line.get(..count(line, 0, |byte| byte.is_ascii_hexdigit())).unwrap_or_default();
    let mut value = 0_u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(16).unwrap_or(0);
        value = value.saturating_mul(16).saturating_add(u64::from(digit));
    }
    let extended = line.get(digits.len()..).is_some_and(|rest| rest.contains(&b';'));
    match digits.is_empty() || value > CHUNK_BYTES_MAX {
        true => ChunkLength::Wrong,
        false => ChunkLength::Bytes { count: value, extended },
    }
}

/// Whether the beginning of a chunk's length line can still become one.
pub(super) fn may_be_chunk_length(begun: &[u8]) -> bool {
    begun.iter().find(|byte| !is_space(**byte)).is_none_or(u8::is_ascii_hexdigit)
}

/// Bytes of a method that nobody has heard of.
const METHOD_BYTES_MAX: usize = 64;
/// Bytes that a URI's scheme is looked for in.
const SCHEME_BYTES_MAX: usize = 16;
/// A line that is longer and begins as a request is not waited for.
const LONG_LINE_BYTES: usize = 1024;

/// The methods that a request is recognised by, and by which another request is told from more of a body.
pub(super) const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"OPTIONS",
    b"CONNECT",
    b"DELETE",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"CHECKIN",
    b"UPDATE",
    b"LABEL",
    b"REPORT",
    b"MKWORKSPACE",
    b"MKACTIVITY",
    b"MERGE",
    b"INVALID",
    b"VERSION-CONTROL",
    b"BASELINE-CONTROL",
];

/// What the beginning of a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    Like,
    Unlike,
    Unclear,
}

/// Whether another request begins here: blanks, a known method, a blank; or a line that ends in a version, for servers
/// execute methods that nobody has heard of, too. `begun` holds no more than one line, with its end if that is there.
pub(super) fn looks_like_request(begun: &[u8]) -> Looks {
    let start = count(begun, 0, is_space);
    let word = begun.get(start..).unwrap_or_default();
    let word = word.get(..count(word, 0, |byte| !is_space(byte)).min(METHOD_BYTES_MAX + 1)).unwrap_or_default();
    let is_method = word.len() <= METHOD_BYTES_MAX && word.iter().all(|byte| is_token(*byte));
    let is_known = METHODS.contains(&word) && start + word.len() < begun.len();
    match begun.last() {
        _ if is_known => Looks::Like,
        _ if !is_method => Looks::Unlike,
        Some(b'\n') if word.is_empty() => Looks::Unclear,
        Some(b'\n') if ends_in_version(begun.get(start + word.len()..).unwrap_or_default()) => Looks::Like,
        Some(b'\n') => Looks::Unlike,
        _ => Looks::Unclear,
    }
}

/// The same of a line that is whole, without its end.
pub(super) fn is_request_line(line: &[u8]) -> bool {
    looks_like_request(line) == Looks::Like || looks_like_request(&[line, b"\n"].concat()) == Looks::Like
}

/// Whether what stands behind a method is blanks, a path or URL, blanks and a version.
fn ends_in_version(behind: &[u8]) -> bool {
    let behind = behind.trim_ascii();
    let Some(blank) = behind.iter().rposition(|byte| is_space(*byte)) else { return false };
    let (uri, version) = behind.split_at_checked(blank).unwrap_or_default();
    let version = version.trim_ascii();
    let named = version.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"http/"));
    named && version.get(5).is_some_and(u8::is_ascii_digit) && begins_a_target(uri.trim_ascii_start())
}

/// Servers take nothing else behind a method that they do not know (RFC 9112, 3.2).
fn begins_a_target(uri: &[u8]) -> bool {
    let begin = uri.get(..SCHEME_BYTES_MAX).unwrap_or(uri);
    matches!(begin.first(), Some(b'/' | b'*')) || memchr::memmem::find(begin, b"://").is_some()
}

/// Whether the beginning of a first line that does not end for long can only be that of a request: a method and a path.
pub(super) fn is_long_request(begun: &[u8]) -> bool {
    let start = count(begun, 0, is_space);
    let target = start + count(begun, start, |byte| !is_space(byte));
    let target = target + count(begun, target, is_space);
    let is_target = begins_a_target(begun.get(target..).unwrap_or_default());
    begun.len() >= LONG_LINE_BYTES && looks_like_request(begun) == Looks::Unclear && is_target
}

/// Whether a line is a status line to browsers: blanks or NUL, then `HTTP` in any case.
pub(super) fn looks_like_response(begun: &[u8]) -> Looks {
    let start = count(begun, 0, |byte| is_space(byte) || byte == 0);
    let rest = begun.get(start..).unwrap_or_default();
    let known = rest.get(..4).unwrap_or(rest);
    match b"HTTP".get(..known.len()).is_some_and(|wanted| wanted.eq_ignore_ascii_case(known)) {
        true if known.len() == 4 => Looks::Like,
        true => Looks::Unclear,
        false => Looks::Unlike,
    }
}
