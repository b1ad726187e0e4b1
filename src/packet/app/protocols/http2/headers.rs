//! A list of headers, and the forms in which rules look at it.

use std::cell::OnceCell;
use std::sync::Arc;

use super::hpack::Field;

/// Headers of one side of a stream.
const FIELD_COUNT_MAX: usize = 1024;
/// Bytes of names and values of one side of a stream; references to the table count as what they stand for.
const FIELD_BYTES_MAX: usize = 128 << 10;

#[derive(Debug, Default)]
pub(super) struct Headers {
    fields: Vec<Arc<Field>>,
    bytes: usize,
    shown: Shown,
}

/// Forms that only some rules want; made when the first asks.
#[derive(Debug, Default)]
struct Shown {
    lines: OnceCell<Vec<u8>>,
    raw_lines: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    each: OnceCell<Vec<Vec<u8>>>,
    escaped: OnceCell<Vec<Vec<u8>>>,
    repeated: OnceCell<Vec<Repeated>>,
}

/// A header that was sent more than once, its values joined.
#[derive(Debug)]
struct Repeated {
    of: Arc<Field>,
    joined: Vec<u8>,
}

/// More headers than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Headers {
    pub(super) fn push(&mut self, field: Arc<Field>) -> Result<(), TooMany> {
        let bytes = self.bytes.saturating_add(field.name.len()).saturating_add(field.value.len());
        if self.fields.len() >= FIELD_COUNT_MAX || bytes > FIELD_BYTES_MAX {
            return Err(TooMany);
        }
        self.bytes = bytes;
        self.fields.push(field);
        self.shown = Shown::default();
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Names and values, in order.
    pub(super) fn fields(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (&*field.name, &*field.value))
    }

    pub(super) fn shared(&self) -> Vec<Arc<Field>> {
        self.fields.clone()
    }

    /// The first value.
    pub(super) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The last value: of several `:status`, the final response's.
    pub(super) fn last(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().rev().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All values: with `, ` between them; cookies, which browsers send in crumbs, with `; `.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let repeated = self.shown.repeated.get_or_init(|| self.repeated());
        let joined = repeated.iter().find(|repeated| repeated.of.name.eq_ignore_ascii_case(name));
        joined.map(|repeated| repeated.joined.as_slice()).or_else(|| self.first(name))
    }

    fn repeated(&self) -> Vec<Repeated> {
        let mut sorted: Vec<&Arc<Field>> = self.fields.iter().collect();
        // Stable: values stay in order.
        sorted.sort_by_key(|field| field.name.to_ascii_lowercase());
        let groups = sorted.chunk_by(|one, other| one.name.eq_ignore_ascii_case(&other.name));
        groups
            .filter_map(|group| {
                let (first, rest) = group.split_first().filter(|(_, rest)| !rest.is_empty())?;
                let separator: &[u8] = if first.name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " };
                let mut joined = first.value.to_vec();
                for field in rest {
                    joined.extend_from_slice(separator);
                    joined.extend_from_slice(&field.value);
                }
                Some(Repeated { of: Arc::clone(first), joined })
            })
            .collect()
    }

    /// `name: value` lines, without cookies, which have a buffer of their own.
    pub(super) fn lines(&self, cookie: &[u8]) -> Option<&[u8]> {
        present(self.shown.lines.get_or_init(|| {
            let kept = self.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(cookie));
            joined_lines(kept.map(|(name, value)| (name, trimmed(value))))
        }))
    }

    /// `name: value` lines as sent.
    pub(super) fn raw_lines(&self) -> Option<&[u8]> {
        present(self.shown.raw_lines.get_or_init(|| joined_lines(self.fields())))
    }

    /// CRLF, each name with CRLF, CRLF.
    pub(super) fn names(&self) -> Option<&[u8]> {
        present(self.shown.names.get_or_init(|| {
            let mut names = Vec::new();
            if !self.is_empty() {
                names.extend_from_slice(b"\r\n");
                for (name, _) in self.fields() {
                    names.extend_from_slice(name);
                    names.extend_from_slice(b"\r\n");
                }
                names.extend_from_slice(b"\r\n");
            }
            names
        }))
    }

    pub(super) fn name(&self, nth: usize) -> Option<&[u8]> {
        self.fields.get(nth).map(|field| &*field.name)
    }

    /// `name: value` of one.
    pub(super) fn each(&self, nth: usize) -> Option<&[u8]> {
        let each = || self.fields().map(|(name, value)| [name, b": ", value].concat()).collect();
        self.shown.each.get_or_init(each).get(nth).map(Vec::as_slice)
    }

    /// As [`Headers::each`], with each colon of name and value doubled: what Suricata 6 had as `http2.header`.
    pub(super) fn escaped(&self, nth: usize) -> Option<&[u8]> {
        let each = || self.fields().map(|(name, value)| [&doubled(name), &b": "[..], &doubled(value)].concat()).collect();
        self.shown.escaped.get_or_init(each).get(nth).map(Vec::as_slice)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let Shown { lines, raw_lines, names, each, escaped, repeated } = &self.shown;
        let of_one = |cell: &OnceCell<Vec<u8>>| cell.get().map_or(0, Vec::capacity);
        let of_list = |cell: &OnceCell<Vec<Vec<u8>>>| cell.get().into_iter().flatten().map(Vec::capacity).sum::<usize>();
        let joined = repeated.get().into_iter().flatten().map(|repeated| repeated.joined.capacity()).sum::<usize>();
        let shown = of_one(lines) + of_one(raw_lines) + of_one(names) + of_list(each) + of_list(escaped) + joined;
        self.bytes + self.fields.capacity() * size_of::<Arc<Field>>() + shown
    }
}

fn joined_lines<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    fields.fold(Vec::new(), |mut lines, (name, value)| {
        lines.extend_from_slice(name);
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
        lines
    })
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().take_while(|byte| blank(byte)).count();
    let value = value.get(start..).unwrap_or_default();
    let end = value.len() - value.iter().rev().take_while(|byte| blank(byte)).count();
    value.get(..end).unwrap_or_default()
}

fn doubled(text: &[u8]) -> Vec<u8> {
    let twice = |byte: &u8| if *byte == b':' { 2 } else { 1 };
    text.iter().flat_map(|byte| std::iter::repeat_n(*byte, twice(byte))).collect()
}

fn present(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}
