//! The headers of a mail or a part, and what they say of its content.

/// Headers of one entity that are kept.
const HEADER_COUNT_MAX: usize = 256;
/// Suricata's `header-value-depth` is 2000.
const VALUE_BYTES_MAX: usize = 2000;
const NAME_BYTES_MAX: usize = 998;
/// Beyond it a value is told as long.
const LONG_VALUE_BYTES: usize = VALUE_BYTES_MAX;
/// Pieces of a name that is spread over parameters (RFC 2231).
const SECTION_COUNT_MAX: usize = 32;

/// Name in lower case, and value unfolded and trimmed.
#[derive(Debug, Default)]
pub(super) struct Headers {
    list: Vec<(Vec<u8>, Vec<u8>)>,
    /// A line that is neither header nor continuation.
    damaged: bool,
}

/// What the headers say of the body.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub boundary: Option<Vec<u8>>,
    pub is_message: bool,
    pub is_text: bool,
    pub is_attachment: bool,
    pub name: Option<Vec<u8>>,
    /// Content-Transfer-Encoding in lower case.
    pub encoding: Vec<u8>,
}

impl Headers {
    /// One piece of a line, without its end.
    pub fn line(&mut self, text: &[u8], begins: bool) -> Result<(), &'static str> {
        if !begins || text.first().is_some_and(|first| matches!(first, b' ' | b'\t')) {
            let Some((_, value)) = self.list.last_mut() else {
                self.damaged = true;
                return Ok(());
            };
            return append(value, text);
        }
        let Some(colon) = memchr::memchr(b':', text) else {
            self.damaged = true;
            return Ok(());
        };
        if self.list.len() >= HEADER_COUNT_MAX {
            return Err("smtp.mime_parse_failed");
        }
        let (name, value) = text.split_at(colon);
        let name = name.trim_ascii_end();
        self.list
            .push((name.get(..name.len().min(NAME_BYTES_MAX)).unwrap_or_default().to_ascii_lowercase(), Vec::new()));
        if name.len() > NAME_BYTES_MAX {
            return Err("smtp.mime_long_header_name");
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        self.list.last_mut().map_or(Ok(()), |(_, kept)| append(kept, value))
    }

    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.list.iter().filter(move |(known, _)| known == name.as_bytes()).map(|(_, value)| value.trim_ascii())
    }

    pub fn heap_bytes(&self) -> usize {
        self.list.iter().map(|(name, value)| name.capacity() + value.capacity() + 48).sum()
    }

    pub fn content(&self) -> Content {
        let kind = self.all("content-type").next().unwrap_or(b"text/plain");
        let disposition = self.all("content-disposition").next().unwrap_or_default();
        let encoding = self.all("content-transfer-encoding").next().unwrap_or_default();
        let main = main_value(kind).to_ascii_lowercase();
        let encoding = main_value(encoding).to_ascii_lowercase();
        let is_plain = !matches!(&encoding[..], b"base64" | b"quoted-printable");
        let name = parameter(disposition, b"filename").or_else(|| parameter(kind, b"name"));
        Content {
            boundary: main
                .starts_with(b"multipart/")
                .then(|| parameter(kind, b"boundary"))
                .flatten()
                .filter(|boundary| !boundary.is_empty()),
            is_message: main == b"message/rfc822" && is_plain,
            is_text: main.starts_with(b"text/"),
            is_attachment: name.is_some() || main_value(disposition).eq_ignore_ascii_case(b"attachment"),
            encoding,
            name,
        }
    }
}

fn append(value: &mut Vec<u8>, text: &[u8]) -> Result<(), &'static str> {
    let room = VALUE_BYTES_MAX.saturating_sub(value.len());
    value.extend(text.iter().take(room));
    if text.len() > room || value.len() > LONG_VALUE_BYTES { Err("smtp.mime_long_header_value") } else { Ok(()) }
}

fn main_value(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// `name=value` behind a `;`. Quotes are taken off; a value in sections (`name*0=`, `name*1=`) is put together, and the
/// charset of `name*=` stays as it is.
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    let mut sections = 0;
    for part in parameters(value) {
        let Some(equals) = memchr::memchr(b'=', part) else { continue };
        let (key, text) = part.split_at(equals);
        let Some((head, star)) = key.trim_ascii().split_at_checked(name.len()) else { continue };
        if !head.eq_ignore_ascii_case(name) || !(star.is_empty() || star.starts_with(b"*")) {
            continue;
        }
        let text = unquoted(text.get(1..).unwrap_or_default().trim_ascii());
        sections += 1;
        match &mut found {
            Some(joined) if !star.is_empty() && sections <= SECTION_COUNT_MAX => joined.extend(text),
            Some(_) => {}
            None => found = Some(text),
        }
    }
    found
}

/// The parts between semicolons that stand in no quotes.
fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |byte| {
            let cut = *byte == b';' && !quoted;
            if *byte == b'"' && !escaped {
                quoted = !quoted;
            }
            escaped = *byte == b'\\' && !escaped;
            cut
        })
        .skip(1)
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    let Some(inner) = text.strip_prefix(b"\"") else {
        return text.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default().to_vec();
    };
    let (mut out, mut escaped) = (Vec::new(), false);
    for byte in inner {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => break,
            byte => {
                out.push(*byte);
                escaped = false;
            }
        }
    }
    out
}
