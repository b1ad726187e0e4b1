//! URIs taken apart, and brought to the one form that rules are written for.
//!
//! The form is that of Suricata's default (libhtp's personality `IDS`, case kept): in the path `%xx` and `%uxxxx` are
//! decoded once, `\` becomes `/`, `//` becomes `/`, UTF-8 becomes single bytes by best fit, `.` and `..` are resolved; in
//! the query `%xx` is decoded once, and `+` stays.

/// The parts of a URI, as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uri<'u> {
    pub scheme: Option<&'u [u8]>,
    pub host: Option<&'u [u8]>,
    pub port: Option<&'u [u8]>,
    pub path: Option<&'u [u8]>,
    pub query: Option<&'u [u8]>,
    pub fragment: Option<&'u [u8]>,
}

/// Choices of the form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriForm {
    /// Decode the path a second time.
    pub double_decode_path: bool,
    /// Decode the query a second time.
    pub double_decode_query: bool,
    /// Scheme, user, host and port belong to the form, too.
    pub include_all: bool,
}

impl<'u> Uri<'u> {
    pub fn of(uri: &'u [u8]) -> Uri<'u> {
        let mut parts = Uri::default();
        let mut rest = uri;
        if !rest.starts_with(b"/")
            && let Some(colon) = memchr::memchr(b':', rest)
        {
            parts.scheme = rest.get(..colon);
            rest = rest.get(colon + 1..).unwrap_or_default();
            if let Some(authority) = rest.strip_prefix(b"//").filter(|authority| !authority.starts_with(b"/")) {
                let end = authority.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
                let (authority, after) = authority.split_at(end.unwrap_or(authority.len()));
                let host = match memchr::memchr(b'@', authority) {
                    Some(at) => authority.get(at + 1..).unwrap_or_default(),
                    None => authority,
                };
                (parts.host, parts.port) = split_host(host);
                rest = after;
            }
        }
        if let Some(hash) = memchr::memchr(b'#', rest) {
            parts.fragment = rest.get(hash + 1..);
            rest = rest.get(..hash).unwrap_or_default();
        }
        if let Some(mark) = memchr::memchr(b'?', rest) {
            parts.query = rest.get(mark + 1..);
            rest = rest.get(..mark).unwrap_or_default();
        }
        parts.path = (!rest.is_empty()).then_some(rest);
        parts
    }

    /// The target of CONNECT: a host and a port.
    pub(super) fn of_authority(authority: &'u [u8]) -> Uri<'u> {
        let (host, port) = split_host(authority);
        Uri { host, port, ..Uri::default() }
    }

    /// The form for rules. The second value: something was encoded twice.
    pub fn normalised(&self, form: UriForm) -> (Vec<u8>, bool) {
        let mut double = false;
        let mut out = Vec::new();
        if form.include_all {
            self.push_origin(&mut out);
        }
        if let Some(path) = self.path {
            let mut path = normal_path(path);
            if form.double_decode_path {
                let again = percent_decoded(&path);
                double |= again.len() < path.len();
                path = again;
            }
            out.append(&mut path);
        }
        if let Some(query) = self.query {
            let mut query = percent_decoded(query);
            if form.double_decode_query {
                let again = percent_decoded(&query);
                double |= again.len() < query.len();
                query = again;
            }
            out.push(b'?');
            out.append(&mut query);
        }
        if let Some(fragment) = self.fragment {
            out.push(b'#');
            out.append(&mut percent_decoded(fragment));
        }
        (out, double)
    }

    /// The path in its form: the name under which a body is told.
    pub fn path_form(&self) -> Vec<u8> {
        self.path.map(normal_path).unwrap_or_default()
    }

    fn push_origin(&self, out: &mut Vec<u8>) {
        if let Some(scheme) = self.scheme {
            out.extend(scheme.to_ascii_lowercase());
            out.extend_from_slice(b"://");
        }
        out.extend(self.host.map(normal_host).unwrap_or_default());
        if let Some(port) = self.port {
            out.push(b':');
            out.extend_from_slice(port);
        }
    }
}

/// Host and port of `host:port`, `[v6]:port` or `host`.
pub fn split_host(text: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let text = text.trim_ascii();
    if text.is_empty() {
        return (None, None);
    }
    let from = if text.starts_with(b"[") { memchr::memchr(b']', text).map_or(text.len(), |at| at + 1) } else { 0 };
    let colon = memchr::memchr(b':', text.get(from..).unwrap_or_default()).map(|at| from + at);
    match colon {
        Some(colon) => (text.get(..colon).map(<[u8]>::trim_ascii_end), text.get(colon + 1..).map(<[u8]>::trim_ascii)),
        None => (Some(text), None),
    }
}

/// A port as a number, 1 to 65535.
pub fn port_number(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse::<u16>().ok().filter(|port| *port > 0)
}

/// Lower case, decoded, without dots at its end.
pub fn normal_host(host: &[u8]) -> Vec<u8> {
    let mut host = percent_decoded(host);
    host.make_ascii_lowercase();
    while host.last() == Some(&b'.') {
        host.pop();
    }
    host
}

/// Whether a host name can be one: labels of letters, digits, `-` and `_`, or an address in brackets.
pub(super) fn is_valid_host(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > 255 {
        return false;
    }
    if let Some(address) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    host.split(|byte| *byte == b'.').all(|label| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

/// `%xx` decoded once; what is no encoding stays.
pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, hex_byte(after)) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => out.push(*byte),
        }
    }
    out
}

fn normal_path(path: &[u8]) -> Vec<u8> {
    let mut out = decoded_path(path);
    if !out.is_ascii() {
        out = best_fit(&out);
    }
    resolve_dots(&mut out);
    out
}

/// Decodes, turns `\` into `/`, and leaves one of several `/`.
fn decoded_path(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let (byte, taken) = match byte {
            b'%' => decode_escape(after).unwrap_or((b'%', 0)),
            byte => (*byte, 0),
        };
        rest = after.get(taken..).unwrap_or_default();
        let byte = if byte == b'\\' { b'/' } else { byte };
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    out
}

/// The byte that what follows a `%` stands for, and how many bytes say so.
fn decode_escape(after: &[u8]) -> Option<(u8, usize)> {
    match after.first() {
        Some(b'u' | b'U') => {
            let high = hex_byte(after.get(1..)?)?;
            let low = hex_byte(after.get(3..)?)?;
            Some((fit(u32::from(high) << 8 | u32::from(low)), 5))
        }
        _ => hex_byte(after).map(|byte| (byte, 2)),
    }
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// A character as one byte: itself, its narrow form, or `?`.
fn fit(character: u32) -> u8 {
    match character {
        0..=0xff => u8::try_from(character).unwrap_or(b'?'),
        // Full-width forms of ASCII.
        0xff01..=0xff5e => u8::try_from(character - 0xfee0).unwrap_or(b'?'),
        0x2215 | 0x2044 | 0x29f8 => b'/',
        0x2216 | 0x29f5 => b'\\',
        0x2018 | 0x2019 | 0x02b9 | 0x02bc | 0x2032 => b'\'',
        0x201c | 0x201d | 0x2033 => b'"',
        0x2010..=0x2015 | 0x2212 => b'-',
        0x2329 | 0x2039 | 0x3008 => b'<',
        0x232a | 0x203a | 0x3009 => b'>',
        _ => b'?',
    }
}

/// UTF-8, overlong forms included, as single bytes; what is no UTF-8 stays.
fn best_fit(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let (first, more) = match byte {
            0xc0..=0xdf => (u32::from(byte & 0x1f), 1),
            0xe0..=0xef => (u32::from(byte & 0x0f), 2),
            0xf0..=0xf7 => (u32::from(byte & 0x07), 3),
            _ => (u32::from(*byte), 0),
        };
        let tail = after.get(..more).filter(|tail| tail.iter().all(|byte| byte & 0xc0 == 0x80));
        match tail {
            Some(tail) if more > 0 => {
                out.push(fit(tail.iter().fold(first, |value, byte| value << 6 | u32::from(byte & 0x3f))));
                rest = after.get(more..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

/// Resolves `.` and `..` as RFC 3986 does, in place.
fn resolve_dots(path: &mut Vec<u8>) {
    if !path.starts_with(b".") && memchr::memmem::find(path, b"/.").is_none() {
        return;
    }
    let absolute = path.first() == Some(&b'/');
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let body = if absolute { path.get(1..).unwrap_or_default() } else { path.as_slice() };
    let mut first = !absolute;
    let mut ends_in_dots = false;
    for segment in body.split(|byte| *byte == b'/') {
        ends_in_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0)),
            _ => {
                if !first {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
                first = false;
            }
        }
    }
    if ends_in_dots && !first {
        out.push(b'/');
    }
    *path = out;
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
