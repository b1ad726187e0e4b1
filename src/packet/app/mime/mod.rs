//! A mail on its way (RFC 5322, RFC 2045): headers, nested parts, attachments decoded as their lines arrive.
//!
//! Why not a crate: the ones for mail want the whole message in memory, and an inline gate must judge an attachment
//! before its last byte is through. This reader takes a line at a time, keeps headers and the files' first bytes, both
//! with caps, and forgets the rest.

mod decode;
mod header;

use super::file::{File, Hashes};
use decode::Decoder;
use header::Headers;

/// Multipart boundaries that are open at once.
const NESTING_MAX: usize = 16;
/// Attachments of one mail that are told apart.
const FILE_COUNT_MAX: usize = 1024;
/// Bytes of all attachments of one mail that rules may look into.
const INSPECT_BYTES_MAX: usize = 4 << 20;
const URL_COUNT_MAX: usize = 64;
const URL_BYTES_MAX: usize = 1024;
/// RFC 2045: a longer encoded line is against the rules.
const ENCODED_LINE_BYTES_MAX: usize = 76;
/// RFC 5322: a longer line is against the rules.
const LINE_BYTES_MAX: usize = 998;
/// RFC 2046: a longer boundary is against the rules. The decoders of mail programs take longer ones.
const BOUNDARY_BYTES_MAX: usize = 254;

/// What a mail is allowed to cost, and what is wanted of its files.
#[derive(Clone, Copy, Debug, Default)]
pub struct MimePlan {
    /// Bytes of one attachment that rules may look into.
    pub inspect_max: usize,
    pub hashes: Hashes,
}

/// A piece of the message: a line, or a part of a very long one. No line is cut within its first kilobytes.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'l> {
    /// Without the end of the line.
    pub text: &'l [u8],
    /// CR LF or LF; empty if the line goes on in the next piece.
    pub end: &'l [u8],
    /// It is the first piece of its line.
    pub begins: bool,
}

#[derive(Debug, Default)]
pub struct Mime {
    plan: MimePlan,
    state: State,
    /// Headers of the mail itself, in order, once they are whole.
    main: Option<Headers>,
    /// Headers of the entity that is being read.
    headers: Headers,
    boundaries: Vec<Vec<u8>>,
    part: Part,
    files: Vec<File>,
    inspected: usize,
    urls: Vec<Vec<u8>>,
    events: Vec<&'static str>,
    /// The end of the line before, which is part of the content unless a boundary follows.
    held_end: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Headers,
    /// Before the first boundary, or after the last: nobody reads it.
    Between,
    Body,
    Finished,
}

/// The leaf that is being read.
#[derive(Debug, Default)]
struct Part {
    decoder: Decoder,
    /// Its place among the files, if it is an attachment.
    file: Option<usize>,
    is_text: bool,
}

impl Mime {
    #[must_use]
    pub fn new(plan: MimePlan) -> Mime {
        Mime { plan, ..Mime::default() }
    }

    /// The next piece of the message.
    pub fn piece(&mut self, piece: Piece<'_>) {
        if piece.begins {
            if piece.text.len() > LINE_BYTES_MAX {
                self.odd("smtp.mime_long_line");
            }
            if !self.boundaries.is_empty() && piece.text.starts_with(b"--") && self.meets_boundary(piece.text) {
                return;
            }
        }
        match self.state {
            State::Headers => self.header_line(piece),
            State::Body => self.body_line(piece),
            State::Between | State::Finished => {}
        }
    }

    /// The message is over. `truncated`: before its end was seen.
    pub fn finish(&mut self, truncated: bool) {
        if self.state == State::Headers {
            self.end_headers();
        }
        let open = !self.boundaries.is_empty() && self.state == State::Body;
        if open && !truncated {
            self.odd("smtp.mime_malformed_msg");
        }
        self.end_part(truncated);
        self.state = State::Finished;
    }

    /// The first header of the mail with this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &'static str) -> Option<&[u8]> {
        self.all_headers(name).next()
    }

    pub fn all_headers(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.main.iter().flat_map(move |headers| headers.all(name))
    }

    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.files.iter_mut()
    }

    /// Without their scheme, as Suricata has them.
    #[must_use]
    pub fn urls(&self) -> &[Vec<u8>] {
        &self.urls
    }

    /// Oddities since the last call.
    pub fn take_events(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.events)
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let main = self.main.as_ref().map_or(0, Headers::heap_bytes);
        let names: usize = self.urls.iter().chain(&self.boundaries).map(Vec::capacity).sum();
        main + self.headers.heap_bytes() + names + self.files.iter().map(File::heap_bytes).sum::<usize>()
    }

    fn odd(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    fn header_line(&mut self, piece: Piece<'_>) {
        if piece.begins && piece.text.is_empty() {
            return self.end_headers();
        }
        if let Err(event) = self.headers.line(piece.text, piece.begins) {
            self.odd(event);
        }
    }

    /// An empty line: what follows is the body that the headers describe.
    fn end_headers(&mut self) {
        let headers = std::mem::take(&mut self.headers);
        let content = headers.content();
        if headers.is_damaged() {
            self.odd("smtp.mime_malformed_msg");
        }
        self.held_end.clear();
        self.state = State::Body;
        self.part = Part::default();
        if content.is_message {
            // A mail in a mail: its headers follow.
            self.state = State::Headers;
        } else if let Some(boundary) = content.boundary {
            self.state = State::Between;
            if boundary.len() > BOUNDARY_BYTES_MAX {
                self.odd("smtp.mime_long_boundary");
            }
            if self.boundaries.len() < NESTING_MAX {
                self.boundaries.push(boundary);
            } else {
                self.odd("smtp.mime_parse_failed");
            }
        } else {
            self.begin_part(&content);
        }
        if self.main.is_none() {
            self.main = Some(headers);
        }
    }

    fn begin_part(&mut self, content: &header::Content) {
        self.part.decoder = Decoder::of(&content.encoding);
        self.part.is_text = content.is_text;
        let has_room = self.files.len() < FILE_COUNT_MAX;
        if content.is_attachment && !has_room {
            self.odd("smtp.mime_parse_failed");
        }
        if content.is_attachment && has_room {
            self.part.file = Some(self.files.len());
            self.files.push(File::open(content.name.as_deref().unwrap_or_default(), self.plan.hashes));
        }
    }

    fn end_part(&mut self, truncated: bool) {
        let mut part = std::mem::take(&mut self.part);
        let mut rest = Vec::new();
        part.decoder.finish(&mut rest);
        self.content(&part, &rest);
        if let Some(file) = part.file.and_then(|at| self.files.get_mut(at)) {
            file.close(truncated);
        }
        self.held_end.clear();
    }

    fn body_line(&mut self, piece: Piece<'_>) {
        let mut part = std::mem::take(&mut self.part);
        let held = std::mem::take(&mut self.held_end);
        if part.file.is_some() || part.is_text {
            if piece.begins && part.decoder.is_encoded() && piece.text.len() > ENCODED_LINE_BYTES_MAX {
                self.odd("smtp.mime_long_enc_line");
            }
            let mut out = Vec::with_capacity(held.len() + piece.text.len());
            if let Err(event) = part.decoder.line(&held, piece.text, !piece.end.is_empty(), &mut out) {
                self.odd(event);
            }
            self.content(&part, &out);
            self.held_end = held;
            self.held_end.clear();
            self.held_end.extend_from_slice(piece.end);
        }
        self.part = part;
    }

    /// Decoded bytes of a leaf.
    fn content(&mut self, part: &Part, bytes: &[u8]) {
        if let Some(file) = part.file.and_then(|at| self.files.get_mut(at)) {
            let before = file.data().len();
            let room = INSPECT_BYTES_MAX.saturating_sub(self.inspected).saturating_add(before);
            file.append(bytes, self.plan.inspect_max.min(room));
            self.inspected += file.data().len() - before;
        }
        if part.is_text {
            self.find_urls(bytes);
        }
    }

    /// Whether the line closes a part. As in mail programs, a line counts that merely begins like an open boundary: the
    /// longest such one, and of equals the innermost.
    fn meets_boundary(&mut self, line: &[u8]) -> bool {
        let after = line.get(2..).unwrap_or_default();
        let fitting = self.boundaries.iter().enumerate().filter(|(_, boundary)| after.starts_with(boundary));
        let Some((depth, length)) =
            fitting.map(|(at, found)| (at, found.len())).max_by_key(|(at, length)| (*length, *at))
        else {
            return false;
        };
        let closes = after.get(length..).unwrap_or_default().starts_with(b"--");
        if self.state == State::Headers {
            self.end_headers();
        }
        self.end_part(false);
        self.boundaries.truncate(if closes { depth } else { depth + 1 });
        self.headers = Headers::default();
        self.state = if closes { State::Between } else { State::Headers };
        true
    }

    fn find_urls(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = memchr::memmem::find(rest, b"://") {
            let (before, after) = rest.split_at(at);
            let after = after.get(3..).unwrap_or_default();
            let length = after.iter().take(URL_BYTES_MAX).take_while(|byte| is_url_byte(**byte)).count();
            let url = after.get(..length).unwrap_or_default();
            let scheme = before.rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
            let is_web = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
            if is_web
                && !url.is_empty()
                && self.urls.len() < URL_COUNT_MAX
                && !self.urls.iter().any(|known| known == url)
            {
                self.urls.push(url.to_vec());
            }
            rest = after.get(length..).unwrap_or_default();
        }
    }
}

fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\'' | b'`' | b'\\' | b'^' | b'{' | b'}' | b'|')
}

#[cfg(test)]
mod tests;
