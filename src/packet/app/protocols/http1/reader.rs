//! Collects a message's head byte by byte.
//!
//! What counts as a line end and as a folded line follows what browsers and servers take (and libhtp with them), not the
//! standard.

use super::events;
use super::head::{Field, Head, NO_HEAD, Place, Text, is_space};

/// Bytes of a head that are kept; Suricata allows 18,000 for one line. Lines beyond it are passed over.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of one message that are told apart. What stands beyond is in the raw headers only.
const FIELD_COUNT_MAX: usize = 1024;
/// Headers that are read wherever they stand: without them nobody knows where the next message begins.
const DECISIVE: &[&[u8]] = &[b"content-length", b"transfer-encoding", b"content-encoding", b"content-type", b"host"];
/// Bytes of a line beyond the head's cap that are kept while its end is not there.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Bytes of a value that is put together of several lines or repeated headers.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Repetitions that are joined, of all headers of a message together.
const REPETITION_COUNT_MAX: u32 = 64;
/// Bytes taken at once while the end of the head is unknown: what stands behind it is not copied in vain.
const PIECE_BYTES: usize = 2048;

/// The sides differ in what ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
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
}

/// Collects one head after the other. Nothing hangs on it between two of them.
#[derive(Debug)]
pub(super) struct Reader {
    side: Side,
    collector: Option<Box<Collector>>,
}

/// One head on its way.
#[derive(Debug)]
struct Collector {
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
    /// Where the head has reached its cap: lines behind are read and forgotten.
    full_at: Option<usize>,
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
        Reader { side, collector: None }
    }

    /// Headers without a first line.
    pub(super) fn trailer(side: Side) -> Reader {
        Reader { side, collector: Some(Box::new(Collector { has_line: true, ..Collector::new(side) })) }
    }

    /// Nothing has been taken yet.
    pub(super) fn is_empty(&self) -> bool {
        self.head().raw.is_empty()
    }

    pub(super) fn has_line(&self) -> bool {
        self.collector.as_ref().is_some_and(|collector| collector.has_line)
    }

    pub(super) fn line(&self) -> &[u8] {
        self.head().line()
    }

    /// The head so far.
    pub(super) fn head(&self) -> &Head {
        self.collector.as_ref().map_or(&NO_HEAD, |collector| &collector.head)
    }

    /// What was taken of the first line while its end is not there.
    pub(super) fn unfinished_line(&self) -> &[u8] {
        let line = self.collector.as_ref().and_then(|collector| collector.head.raw.get(collector.line_at..));
        line.unwrap_or_default()
    }

    /// The response says that it is HTTP/1.1: it decides how a folded line with a colon is understood.
    pub(super) fn set_http_1_1(&mut self, http_1_1: bool) {
        if let Some(collector) = &mut self.collector {
            collector.http_1_1 = http_1_1;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.collector.as_ref().map_or(0, |collector| size_of::<Collector>() + collector.head.heap_bytes())
    }

    /// Takes bytes up to the next step, and says how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
        if bytes.is_empty() && self.collector.is_none() {
            return (0, Progress::More);
        }
        self.collector_mut().take(bytes)
    }

    /// The line that was just read is no first line: forget it.
    pub(super) fn drop_line(&mut self) -> Vec<u8> {
        self.collector.take().map_or_else(Vec::new, |collector| collector.head.raw)
    }

    /// The head as it is, with what was odd about it.
    pub(super) fn finish(&mut self) -> (Head, Vec<&'static str>) {
        self.collector.take().map_or_else(Default::default, |collector| collector.finish())
    }

    pub(super) fn note(&mut self, event: &'static str) {
        self.collector_mut().note(event);
    }

    fn collector_mut(&mut self) -> &mut Collector {
        let side = self.side;
        self.collector.get_or_insert_with(|| Box::new(Collector::new(side)))
    }
}

impl Collector {
    fn new(side: Side) -> Collector {
        Collector {
            side,
            head: Head::default(),
            has_line: false,
            line_at: 0,
            scan_at: 0,
            lf_cr: false,
            held: None,
            http_1_1: false,
            repetitions: 0,
            full_at: None,
            events: Vec::new(),
        }
    }

    /// See [`Reader::take`].
    fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
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
            if self.full_at.is_some() {
                self.forget_lines();
            } else if before >= HEAD_BYTES_MAX && self.fill_up() {
                return (taken, Progress::Line);
            }
            let piece = rest.get(..PIECE_BYTES).unwrap_or(rest);
            self.head.raw.extend_from_slice(piece);
            taken += piece.len();
        }
    }

    /// The head is as long as it may be. True if not even its first line is whole, which is cut off here.
    fn fill_up(&mut self) -> bool {
        self.note(match self.side {
            Side::Request => events::REQUEST_FIELD_TOO_LONG,
            Side::Response => events::RESPONSE_FIELD_TOO_LONG,
        });
        let is_cut = !self.has_line;
        if is_cut {
            let end = self.head.raw.len();
            self.has_line = true;
            self.head.line = trimmed_line(&self.head.raw, 0, end);
            self.head.headers_at = end;
            (self.line_at, self.scan_at) = (end, end);
        }
        self.full_at = Some(self.line_at);
        is_cut
    }

    /// Forgets the lines that were read beyond the cap, and the middle of one that does not end.
    fn forget_lines(&mut self) {
        let Some(full_at) = self.full_at else { return };
        let read = self.line_at.saturating_sub(full_at);
        self.head.raw.drain(full_at..full_at + read);
        (self.line_at, self.scan_at) = (full_at, self.scan_at.saturating_sub(read));
        let (from, to) = (full_at + LINE_BYTES_MAX, self.head.raw.len().saturating_sub(2));
        if from < to {
            self.head.raw.drain(from..to);
            self.scan_at = self.scan_at.saturating_sub(to - from).max(from);
        }
    }

    /// A part of the head, which is copied where the head does not stay.
    fn keep(&self, place: Place) -> Text {
        match self.full_at {
            None => Text::Sent(place),
            Some(_) => Text::Made(place.of(&self.head.raw).into()),
        }
    }

    /// The head as it is, in no more memory than it needs, with what was odd about it.
    fn finish(mut self) -> (Head, Vec<&'static str>) {
        if !self.has_line {
            let end = self.head.raw.len();
            self.head.line = trimmed_line(&self.head.raw, 0, end);
            self.line_at = end;
            self.head.headers_at = end;
        }
        self.settle_held();
        let Head { raw, fields, .. } = &mut self.head;
        if raw.capacity() > 2 * raw.len() {
            raw.shrink_to_fit();
        }
        fields.shrink_to_fit();
        (self.head, self.events)
    }

    fn note(&mut self, event: &'static str) {
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
            self.held = Some(self.keep(line));
            return;
        }
        let event = match self.side {
            Side::Request => events::INVALID_REQUEST_FIELD_FOLDING,
            Side::Response => events::INVALID_RESPONSE_FIELD_FOLDING,
        };
        match self.held.take() {
            None => {
                let blank = bytes.iter().take_while(|byte| is_folding(**byte)).count();
                self.held = Some(self.keep(Place::new(line.start as usize + blank, line.end as usize)));
                self.note(event);
            }
            Some(held) => {
                let known = self.head.text(&held);
                let two_headers =
                    self.side == Side::Response && self.http_1_1 && bytes.contains(&b':') && known.contains(&b':');
                if two_headers {
                    self.held = Some(held);
                    self.settle_held();
                    self.held = Some(self.keep(Place::new(line.start as usize + 1, line.end as usize)));
                    self.note(event);
                } else {
                    let mut whole = known.to_vec();
                    if whole.len() < VALUE_BYTES_MAX {
                        whole.extend_from_slice(bytes);
                    }
                    self.held = Some(Text::Made(whole.into()));
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
            Text::Made(bytes) => Text::Made(bytes.get(start..end).unwrap_or_default().into()),
        };
        let field = Field { name: part(parts.name), value: part(parts.value) };
        for event in parts.events.into_iter().flatten() {
            self.note(event);
        }
        self.file(field);
    }

    fn file(&mut self, field: Field) {
        let name = self.head.text(&field.name);
        let too_many = self.head.fields.len() >= FIELD_COUNT_MAX;
        if (too_many || self.full_at.is_some()) && !DECISIVE.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            if too_many {
                self.note(match self.side {
                    Side::Request => events::REQUEST_TOO_MANY_HEADERS,
                    Side::Response => events::RESPONSE_TOO_MANY_HEADERS,
                });
            }
            return;
        }
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
            first.value = Text::Made(whole.into());
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

pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte)
}
