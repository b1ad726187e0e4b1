//! A message's head: first line, headers, empty line.
//!
//! Everything up to the empty line is kept once, as sent; names and values are places in it, or were put together where
//! a header was folded or repeated.

/// A place in [`Head::raw`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub start: u32,
    pub end: u32,
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
pub(super) enum Text {
    Sent(Place),
    Made(Box<[u8]>),
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub name: Text,
    pub value: Text,
}

/// A head that is complete, or was when its side ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) raw: Vec<u8>,
    /// Where the first line is, without its end.
    pub(super) line: Place,
    /// Where the headers begin.
    pub(super) headers_at: usize,
    pub(super) fields: Vec<Field>,
}

/// That of no message.
pub(super) static NO_HEAD: Head =
    Head { raw: Vec::new(), line: Place { start: 0, end: 0 }, headers_at: 0, fields: Vec::new() };

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
        let size = |text: &Text| if let Text::Made(bytes) = text { bytes.len() } else { 0 };
        let made = self.fields.iter().map(|field| size(&field.name) + size(&field.value));
        self.raw.capacity() + self.fields.capacity() * size_of::<Field>() + made.sum::<usize>()
    }

    pub(super) fn text<'h>(&'h self, text: &'h Text) -> &'h [u8] {
        match text {
            Text::Sent(place) => place.of(&self.raw),
            Text::Made(bytes) => bytes,
        }
    }
}

/// C's `isspace`.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}
