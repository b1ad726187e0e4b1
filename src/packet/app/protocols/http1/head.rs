//! A message's head, collected byte by byte: first line, headers, empty line.
//!
//! Everything up to the empty line is kept once, as sent; names and values are places in it, or were put together where
//! a header was folded or repeated. What counts as a line end and as a folded line follows what browsers and servers
//! take (and libhtp with them), not the standard.

use super::events;

/// Bytes of a head; Suricata allows 18,000 for one line.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of one message.
const FIELD_COUNT_MAX: usize = 1024;
/// Bytes of a value that is put together of several lines or repeated headers.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Repetitions that are joined, of all headers of a message together.
const REPETITION_COUNT_MAX: u32 = 64;
/// Bytes taken at once while the end of the head is unknown: what stands behind it is not copied in vain.
const PIECE_BYTES: usize = 2048;

/// A place in [`Head::raw`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    start: u32,
    end: u32,
}

impl Place {
    pub(super) fn new(start: usize, end: usize) -> Place {
        let end = u32::try_from(end).unwrap_or(0);
        Place { start: u32::try_from(start).unwrap_or(0).min(end), end }
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
enum Text {
    Sent(Place),
    Made(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Field {
    name: Text,
    value: Text,
}

/// The sides differ in what ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// A head that is complete, or was when its side ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    raw: Vec<u8>,
    /// Where the first line is, without its end.
    line: Place,
    /// Where the headers begin.
    headers_at: usize,
    fields: Vec<Field>,
}

impl Head {
    /// The first line, without its end.
    pub(super) fn line(&self) -> &[u8] {
        self.line.of(&self.raw)
    }

    pub(super) fn at(&self, place: Place) -> &[u8] {
        place.of(&self.raw)
    }

    /// The place in the head of a part of its first line.
    pub(super) fn place_in_line(&self, start: usize, end: usize) -> Place {
        let base = self.line.start as usize;
        Place::new(base.saturating_add(start), base.saturating_add(end))
    }

    /// A head of the first line alone.
    pub(super) fn first_line(&self) -> Head {
        let raw = self.raw.get(..self.headers_at).unwrap_or(&self.raw).to_vec();
        Head { headers_at: raw.len(), raw, line: self.line, fields: Vec::new() }
    }

    /// All headers as sent, the empty line included.
    pub(super) fn raw_headers(&self) -> &[u8] {
        self.raw.get(self.headers_at..).unwrap_or_default()
    }

    /// Names and values, in the order of their first appearance.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.text(&field.name), self.text(&field.value)))
    }

    pub(super) fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The value of a header, of all its lines.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of a header that decides how the body is read, in lower case. Browsers overlook NUL in name and value.
    pub(super) fn keyword(&self, name: &[u8]) -> Option<Vec<u8>> {
        let same = |known: &[u8]| {
            let mut known = known.iter().filter(|byte| **byte != 0);
            name.iter().all(|byte| known.next().is_some_and(|known| known.eq_ignore_ascii_case(byte)))
                && known.next().is_none()
        };
        let (_, value) = self.fields().find(|(known, _)| same(known))?;
        Some(value.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase).collect())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let size = |text: &Text| if let Text::Made(bytes) = text { bytes.capacity() } else { 0 };
        let made = self.fields.iter().map(|field| size(&field.name) + size(&field.value));
        self.raw.capacity() + self.fields.capacity() * size_of::<Field>() + made.sum::<usize>()
    }

    fn text<'h>(&'h self, text: &'h Text) -> &'h [u8] {
        match text {
            Text::Sent(place) => place.of(&self.raw),
            Text::Made(bytes) => bytes,
        }
    }
}

/// How far a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All bytes are taken, and more are wanted.
    More,
    /// The first line is there, up to its end.
    Line,
    /// The head is complete.
    Done,
    /// It is larger than any head that we read.
    TooLong,
}

/// Collects one head.
#[derive(Debug)]
pub(super) struct Reader {
    side: Side,
    head: Head,
    has_line: bool,
    /// Where the line being read begins, and from where its end is looked for.
    line_at: usize,
    scan_at: usize,
    /// The line before ended in LF CR.
    lf_cr: bool,
    /// A header line that the next line may continue.
    held: Option<Text>,
    http_1_1: bool,
    repetitions: u32,
    events: Vec<&'static str>,
}

/// The end of a line: where the line ends with its end, and where the next begins.
struct LineEnd {
    end: usize,
    next: usize,
    by_cr: bool,
}

impl Reader {
    pub(super) fn new(side: Side) -> Reader {
        Reader {
            side,
            head: Head::default(),
            has_line: false,
            line_at: 0,
            scan_at: 0,
            lf_cr: false,
            held: None,
            http_1_1: false,
            repetitions: 0,
            events: Vec::new(),
        }
    }

    /// Headers without a first line.
    pub(super) fn trailer(side: Side) -> Reader {
        Reader { has_line: true, ..Reader::new(side) }
    }

    /// Nothing has been taken yet.
    pub(super) fn is_empty(&self) -> bool {
        self.head.raw.is_empty()
    }

    pub(super) fn has_line(&self) -> bool {
        self.has_line
    }

    pub(super) fn line(&self) -> &[u8] {
        self.head.line()
    }

    /// The head so far.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// What was taken of the first line while its end is not there.
    pub(super) fn unfinished_line(&self) -> &[u8] {
        self.head.raw.get(self.line_at..).unwrap_or_default()
    }

    /// The response says that it is HTTP/1.1: it decides how a folded line with a colon is understood.
    pub(super) fn set_http_1_1(&mut self, http_1_1: bool) {
        self.http_1_1 = http_1_1;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.head.heap_bytes()
    }

    /// Takes bytes up to the next step, and says how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut taken = 0;
        loop {
            let before = self.head.raw.len();
            if let Some(progress) = self.advance() {
                // Bytes beyond the step go back to the caller.
                let beyond = before.saturating_sub(self.line_at).min(taken);
                self.head.raw.truncate(before - beyond);
                self.scan_at = self.scan_at.min(self.head.raw.len());
                return (taken - beyond, progress);
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return (taken, Progress::More);
            }
            if self.head.fields.len() > FIELD_COUNT_MAX {
                self.note(match self.side {
                    Side::Request => events::REQUEST_TOO_MANY_HEADERS,
                    Side::Response => events::RESPONSE_TOO_MANY_HEADERS,
                });
                return (taken, Progress::TooLong);
            }
            if before >= HEAD_BYTES_MAX {
                self.note(match self.side {
                    Side::Request => events::REQUEST_FIELD_TOO_LONG,
                    Side::Response => events::RESPONSE_FIELD_TOO_LONG,
                });
                return (taken, Progress::TooLong);
            }
            let piece = rest.get(..PIECE_BYTES).unwrap_or(rest);
            self.head.raw.extend_from_slice(piece);
            taken += piece.len();
        }
    }

    /// The line that was just read is no first line: forget it.
    pub(super) fn drop_line(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.head.raw);
        *self = Reader::new(self.side);
        line
    }

    /// The head as it is, with what was odd about it.
    pub(super) fn finish(&mut self) -> (Head, Vec<&'static str>) {
        if !self.has_line {
            let end = self.head.raw.len();
            self.head.line = trimmed_line(&self.head.raw, 0, end);
            self.line_at = end;
            self.head.headers_at = end;
        }
        self.settle_held();
        let done = std::mem::replace(self, Reader::new(self.side));
        (done.head, done.events)
    }

    pub(super) fn note(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    /// Works through complete lines; stops after the first line and after the last.
    fn advance(&mut self) -> Option<Progress> {
        while let Some(LineEnd { end, next, by_cr }) = self.line_end() {
            let start = self.line_at;
            if by_cr && self.has_line && end - start < 2 {
                // A CR before the line's real end.
                self.scan_at = end;
                continue;
            }
            let next_is_lf = self.head.raw.get(next) == Some(&b'\n');
            let next_is_other = !next_is_lf && next < self.head.raw.len();
            let line = self.head.raw.get(start..end).unwrap_or_default();
            let is_end = is_terminator(line, self.side == Side::Response && next_is_other);
            self.line_at = next;
            self.scan_at = next;
            if !self.has_line {
                self.has_line = true;
                self.head.line = trimmed_line(&self.head.raw, start, end);
                self.head.headers_at = next;
                return Some(Progress::Line);
            }
            if is_end {
                self.settle_held();
                return Some(Progress::Done);
            }
            self.take_line(trimmed_line(&self.head.raw, start, end));
        }
        None
    }

    fn line_end(&mut self) -> Option<LineEnd> {
        let rest = self.head.raw.get(self.scan_at..)?;
        if self.side == Side::Request {
            return match memchr::memchr(b'\n', rest) {
                Some(at) => {
                    let end = self.scan_at + at + 1;
                    Some(LineEnd { end, next: end, by_cr: false })
                }
                None => {
                    self.scan_at = self.head.raw.len();
                    None
                }
            };
        }
        self.response_line_end()
    }

    /// CR LF, LF, LF CR, and a CR that neither follows.
    fn response_line_end(&mut self) -> Option<LineEnd> {
        loop {
            let rest = self.head.raw.get(self.scan_at..).unwrap_or_default();
            let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.lf_cr &= rest.is_empty();
                self.scan_at = self.head.raw.len();
                return None;
            };
            self.lf_cr &= at == 0;
            let at = self.scan_at + at;
            let byte = |at: usize| self.head.raw.get(at).copied();
            if byte(at) == Some(b'\n') {
                let extra = usize::from(byte(at + 1) == Some(b'\r') && self.has_line);
                self.lf_cr = extra == 1;
                return Some(LineEnd { end: at + 1 + extra, next: at + 1 + extra, by_cr: false });
            }
            match byte(at + 1) {
                None => {
                    self.scan_at = at;
                    return None;
                }
                Some(b'\n') => {
                    let mut next = at + 2;
                    // LF CR CR LF CR LF are two line ends, not three.
                    if self.lf_cr && byte(next) == Some(b'\r') {
                        next += 1 + usize::from(byte(next + 1) == Some(b'\n'));
                    }
                    self.lf_cr = false;
                    return Some(LineEnd { end: at + 2, next, by_cr: true });
                }
                Some(b'\r') if self.has_line => self.scan_at = at + 1,
                Some(_) => {
                    self.lf_cr = false;
                    return Some(LineEnd { end: at + 1, next: at + 1, by_cr: true });
                }
            }
        }
    }

    /// One header line, or the continuation of the one before.
    fn take_line(&mut self, line: Place) {
        let bytes = line.of(&self.head.raw);
        let folded = bytes.first().is_none_or(|first| is_folding(*first));
        if !folded {
            self.settle_held();
            self.held = Some(Text::Sent(line));
            return;
        }
        let event = match self.side {
            Side::Request => events::INVALID_REQUEST_FIELD_FOLDING,
            Side::Response => events::INVALID_RESPONSE_FIELD_FOLDING,
        };
        match self.held.take() {
            None => {
                let blank = bytes.iter().take_while(|byte| is_folding(**byte)).count();
                self.held = Some(Text::Sent(Place::new(line.start as usize + blank, line.end as usize)));
                self.note(event);
            }
            Some(held) => {
                let known = self.head.text(&held);
                let two_headers =
                    self.side == Side::Response && self.http_1_1 && bytes.contains(&b':') && known.contains(&b':');
                if two_headers {
                    self.held = Some(held);
                    self.settle_held();
                    self.held = Some(Text::Sent(Place::new(line.start as usize + 1, line.end as usize)));
                    self.note(event);
                } else {
                    let mut whole = known.to_vec();
                    if whole.len() < VALUE_BYTES_MAX {
                        whole.extend_from_slice(bytes);
                    }
                    self.held = Some(Text::Made(whole));
                }
            }
        }
    }

    /// No line continues the held one: read it.
    fn settle_held(&mut self) {
        let Some(held) = self.held.take() else { return };
        let parts = split_field(self.head.text(&held), self.side);
        let part = |(start, end): (usize, usize)| match &held {
            Text::Sent(place) => Text::Sent(Place::new(place.start as usize + start, place.start as usize + end)),
            Text::Made(bytes) => Text::Made(bytes.get(start..end).unwrap_or_default().to_vec()),
        };
        let field = Field { name: part(parts.name), value: part(parts.value) };
        for event in parts.events.into_iter().flatten() {
            self.note(event);
        }
        self.file(field);
    }

    fn file(&mut self, field: Field) {
        let name = self.head.text(&field.name);
        let known = self.head.fields().position(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some(known) = known else {
            self.head.fields.push(field);
            return;
        };
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        self.repetitions += 1;
        if self.repetitions > REPETITION_COUNT_MAX {
            return;
        }
        self.note(match self.side {
            Side::Request => events::REQUEST_HEADER_REPETITION,
            Side::Response => events::RESPONSE_HEADER_REPETITION,
        });
        let more = self.head.text(&field.value).to_vec();
        let Some(first) = self.head.fields.get(known) else { return };
        let mut whole = self.head.text(&first.value).to_vec();
        if is_length {
            if super::line::content_length(&whole) != super::line::content_length(&more) {
                self.note(match self.side {
                    Side::Request => events::DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST,
                    Side::Response => events::DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE,
                });
            }
        } else if whole.len() < VALUE_BYTES_MAX {
            whole.extend_from_slice(b", ");
            whole.extend_from_slice(&more);
        }
        if let Some(first) = self.head.fields.get_mut(known) {
            first.value = Text::Made(whole);
        }
    }
}

/// The parts of a header line, as places in it.
struct Parts {
    name: (usize, usize),
    value: (usize, usize),
    events: [Option<&'static str>; 2],
}

fn split_field(line: &[u8], side: Side) -> Parts {
    let nul_ends = side == Side::Request;
    let is_name_end = |byte: &u8| *byte == b':' || (nul_ends && *byte == 0);
    let colon = line.iter().position(is_name_end).filter(|at| line.get(*at) == Some(&b':'));
    let mut events = [None; 2];
    let (name_end, value_from) = match colon {
        Some(colon) => {
            let name = line.get(..colon).unwrap_or_default();
            // Browsers take any white space there, servers blanks only.
            let is_space = |byte: u8| if side == Side::Response { is_space(byte) } else { is_blank(byte) };
            let end = name.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
            let is_token = name.get(..end).unwrap_or_default().iter().all(|byte| is_token(*byte));
            if end == 0 || end != colon || !is_token {
                events[1] = Some(match side {
                    Side::Request => events::REQUEST_HEADER_INVALID,
                    Side::Response => events::RESPONSE_HEADER_INVALID,
                });
            }
            (end, colon + 1)
        }
        None => {
            events[0] = Some(match side {
                Side::Request => events::REQUEST_FIELD_MISSING_COLON,
                Side::Response => events::RESPONSE_FIELD_MISSING_COLON,
            });
            (0, 0)
        }
    };
    let rest = line.get(value_from..).unwrap_or_default();
    let blank = if colon.is_some() { rest.iter().take_while(|byte| is_blank(**byte)).count() } else { 0 };
    let start = value_from + blank;
    let value = line.get(start..).unwrap_or_default();
    let value = match memchr::memchr(0, value) {
        Some(nul) if nul_ends && colon.is_some() => value.get(..nul).unwrap_or_default(),
        _ => value,
    };
    let end = start + value.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    Parts { name: (0, name_end), value: (start, end), events }
}

/// An empty line; in a response also a blank and LF, unless LF follows.
fn is_terminator(line: &[u8], before_other: bool) -> bool {
    match line {
        [b'\r' | b'\n'] | [b'\r', b'\n'] => true,
        [b' ' | b'\t', b'\n'] => before_other,
        _ => false,
    }
}

fn trimmed_line(raw: &[u8], start: usize, end: usize) -> Place {
    let line = raw.get(start..end).unwrap_or_default();
    let len = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    Place::new(start, start + len)
}

fn is_folding(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// C's `isspace`.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte)
}
