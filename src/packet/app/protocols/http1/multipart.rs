//! Forms with files in a request (`multipart/form-data`), read as they arrive.

use memchr::memmem;

use super::events;
use crate::packet::app::file::{File, Hashes};

/// RFC 2046 allows 70.
const BOUNDARY_BYTES_MAX: usize = 200;
/// Bytes of one part's headers.
const HEADERS_BYTES_MAX: usize = 8192;
/// Files of one form that are looked at. Frameworks take 1,000 parts, and mostly far fewer.
const FILE_COUNT_MAX: usize = 1024;

/// A form on its way.
#[derive(Debug)]
pub(super) struct Multipart {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// Bytes that cannot be judged yet: at most a delimiter's length of data, or a part's headers.
    held: Vec<u8>,
    files: Vec<File>,
    /// Which of them have a name, and which have bytes: browsers send fields that were left empty, too.
    named: Vec<usize>,
    filled: Vec<usize>,
    inspect_max: usize,
    hashes: Hashes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    /// The rest of a delimiter's line.
    Delimiter,
    Headers,
    Data {
        in_file: bool,
    },
    Over,
}

impl Multipart {
    /// `None` if the header does not name a form with a boundary.
    pub(super) fn of(content_type: &[u8], inspect_max: usize, hashes: Hashes) -> Option<Multipart> {
        let kind = content_type.get(..b"multipart/form-data".len())?;
        if !kind.eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let boundary = parameter(content_type, b"boundary")?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
            return None;
        }
        Some(Multipart {
            delimiter: [b"--", boundary].concat(),
            state: State::Preamble,
            held: Vec::new(),
            files: Vec::new(),
            named: Vec::new(),
            filled: Vec::new(),
            inspect_max,
            hashes,
        })
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// The name of the `nth` file that has one.
    pub(super) fn name(&self, nth: usize) -> Option<&[u8]> {
        self.files.get(*self.named.get(nth)?).map(File::name)
    }

    /// The `nth` file that is not empty.
    pub(super) fn filled(&self, nth: usize) -> Option<&File> {
        self.files.get(*self.filled.get(nth)?)
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.files.iter_mut()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let files = self.files.iter().map(|file| size_of::<File>() + file.heap_bytes()).sum::<usize>();
        let places = (self.named.capacity() + self.filled.capacity()) * size_of::<usize>();
        size_of::<Multipart>() + self.delimiter.capacity() + self.held.capacity() + files + places
    }

    /// The next bytes of the body.
    pub(super) fn append(&mut self, bytes: &[u8], odd: &mut dyn FnMut(&'static str)) {
        if self.state == State::Over {
            return;
        }
        self.held.extend_from_slice(bytes);
        while self.advance(odd) {}
    }

    /// The body has ended.
    pub(super) fn end(&mut self, odd: &mut dyn FnMut(&'static str)) {
        let whole = self.state == State::Over;
        if let State::Data { in_file: true } = self.state {
            let rest = std::mem::take(&mut self.held);
            self.give(&rest);
        }
        if !whole && self.state != State::Preamble {
            odd(events::MULTIPART_GENERIC_ERROR);
        }
        for file in &mut self.files {
            file.close(!whole);
        }
        self.state = State::Over;
        self.held = Vec::new();
    }

    /// One step; false when more bytes are needed.
    fn advance(&mut self, odd: &mut dyn FnMut(&'static str)) -> bool {
        match self.state {
            State::Preamble => self.find_delimiter(false),
            State::Delimiter => self.pass_delimiter(),
            State::Headers => self.read_headers(odd),
            State::Data { in_file } => self.find_delimiter(in_file),
            State::Over => {
                self.held = Vec::new();
                false
            }
        }
    }

    /// Gives what stands before the next delimiter to the file.
    fn find_delimiter(&mut self, in_file: bool) -> bool {
        let found = memmem::find(&self.held, &self.delimiter);
        // The line end before a delimiter belongs to it.
        let sure = found.unwrap_or_else(|| self.held.len().saturating_sub(self.delimiter.len() + 1));
        let data_end = match found {
            Some(at) => before_line_end(self.held.get(..at).unwrap_or_default()),
            None => sure,
        };
        if in_file {
            let held = std::mem::take(&mut self.held);
            self.give(held.get(..data_end).unwrap_or_default());
            self.held = held;
        }
        if found.is_some() {
            if in_file && let Some(file) = self.files.last_mut() {
                file.close(false);
            }
            self.held.drain(..sure + self.delimiter.len());
            self.state = State::Delimiter;
            return true;
        }
        self.held.drain(..sure);
        false
    }

    fn pass_delimiter(&mut self) -> bool {
        if self.held.starts_with(b"--") {
            self.state = State::Over;
            return true;
        }
        let Some(end) = memchr::memchr(b'\n', &self.held) else { return false };
        self.held.drain(..=end);
        self.state = State::Headers;
        true
    }

    fn read_headers(&mut self, odd: &mut dyn FnMut(&'static str)) -> bool {
        let end = match self.held.as_slice() {
            [b'\r', b'\n', ..] => Some((0, 2)),
            [b'\n', ..] => Some((0, 1)),
            held => memmem::find(held, b"\r\n\r\n")
                .map(|at| (at, 4))
                .or_else(|| memmem::find(held, b"\n\n").map(|at| (at, 2))),
        };
        let Some((end, gap)) = end else {
            if self.held.len() > HEADERS_BYTES_MAX {
                odd(events::MULTIPART_INVALID_HEADER);
                self.state = State::Data { in_file: false };
                return true;
            }
            return false;
        };
        let headers = self.held.get(..end).unwrap_or_default();
        let disposition = headers
            .split(|byte| *byte == b'\n')
            .find(|line| line.get(..19).is_some_and(|name| name.eq_ignore_ascii_case(b"content-disposition")));
        let name = disposition.and_then(|line| parameter(line, b"filename")).map(<[u8]>::to_vec);
        if disposition.is_none() {
            odd(events::MULTIPART_INVALID_HEADER);
        }
        let in_file = name.is_some() && self.files.len() < FILE_COUNT_MAX;
        if name.is_some() && !in_file {
            odd(events::MULTIPART_GENERIC_ERROR);
        }
        if let Some(name) = name.filter(|_| in_file) {
            if !name.is_empty() {
                self.named.push(self.files.len());
            }
            self.files.push(File::open(&name, self.hashes));
        }
        self.held.drain(..end + gap);
        self.state = State::Data { in_file };
        true
    }

    fn give(&mut self, bytes: &[u8]) {
        let Some(last) = self.files.len().checked_sub(1) else { return };
        if let Some(file) = self.files.get_mut(last) {
            file.append(bytes, self.inspect_max);
            if !file.data().is_empty() && self.filled.last() != Some(&last) {
                self.filled.push(last);
            }
        }
    }
}

/// Where the data before a delimiter ends: its line end does not count.
fn before_line_end(data: &[u8]) -> usize {
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    data.strip_suffix(b"\r").unwrap_or(data).len()
}

/// The value of `name=value` or `name="value"` among a header's parameters.
pub fn parameter<'h>(header: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let mut from = memchr::memchr(b';', header)? + 1;
    loop {
        let rest = header.get(from..)?;
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b';').count();
        let rest = rest.get(blank..)?;
        let key_end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let key = rest.get(..key_end)?.trim_ascii();
        let value = rest.get(key_end + 1..).unwrap_or_default();
        let is_bare = rest.get(key_end) == Some(&b';');
        let (text, used) = match value.first() {
            _ if is_bare => (&[][..], 0),
            Some(b'"') => {
                let inner = value.get(1..).unwrap_or_default();
                let end = memchr::memchr(b'"', inner).unwrap_or(inner.len());
                (inner.get(..end).unwrap_or_default(), (end + 2).min(value.len()))
            }
            _ => {
                let end = memchr::memchr2(b';', b'\r', value).unwrap_or(value.len());
                (value.get(..end).unwrap_or_default().trim_ascii(), end)
            }
        };
        if key.eq_ignore_ascii_case(name) && !is_bare {
            return Some(text);
        }
        from += blank + key_end + 1 + used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX\r\n\
        Content-Disposition: form-data; name=\"f\"; filename=\"x;y.exe\"\r\nContent-Type: a/b\r\n\r\nMZ\r\n--X\n\r\n\
        --XX\r\ncontent-disposition: form-data; filename=z\r\n\r\n\r\n--XX--\r\n";

    fn names_and_data(form: &Multipart) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
        form.files().iter().map(|file| (file.name().to_vec(), file.data().to_vec(), file.is_open())).collect()
    }

    #[test]
    fn files_are_found_whatever_the_segments() {
        let wanted = vec![(b"x;y.exe".to_vec(), b"MZ\r\n--X\n".to_vec(), false), (b"z".to_vec(), Vec::new(), false)];
        for size in 1..FORM.len() {
            let mut form = Multipart::of(b"multipart/form-data; boundary=\"XX\"", 1000, Hashes::default()).unwrap();
            let mut odd = Vec::new();
            for piece in FORM.chunks(size) {
                form.append(piece, &mut |event| odd.push(event));
            }
            form.end(&mut |event| odd.push(event));
            assert_eq!(names_and_data(&form), wanted, "pieces of {size}");
            assert_eq!(odd, [""; 0]);
        }
    }

    #[test]
    fn a_form_that_breaks_off_keeps_what_came() {
        let mut form = Multipart::of(b"Multipart/Form-Data;boundary=XX; a", 1000, Hashes::default()).unwrap();
        let mut odd = Vec::new();
        form.append(FORM.get(..150).unwrap(), &mut |event| odd.push(event));
        form.end(&mut |event| odd.push(event));
        assert_eq!(form.files().len(), 1);
        assert_eq!(odd, [events::MULTIPART_GENERIC_ERROR]);
    }

    #[test]
    fn many_small_files_and_empty_ones_hide_no_other() {
        let part = |name: &str, data: &str| {
            format!("--XX\r\nContent-Disposition: form-data; filename=\"{name}\"\r\n\r\n{data}\r\n")
        };
        let small: String = (0..200).map(|nth| part(&format!("{nth}"), "x")).collect();
        let text = [part("", ""), part("empty", ""), small, part("evil.exe", "MZ"), "--XX--\r\n".to_owned()].concat();
        let mut form = Multipart::of(b"multipart/form-data; boundary=XX", 1000, Hashes::default()).unwrap();
        text.as_bytes().chunks(1000).for_each(|piece| form.append(piece, &mut |event| panic!("{event}")));
        assert_eq!(form.filled(200).map(File::data), Some(&b"MZ"[..]));
        assert_eq!((form.name(0), form.name(201)), (Some(&b"empty"[..]), Some(&b"evil.exe"[..])));
        assert!(form.filled(201).is_none() && form.name(202).is_none());

        let mut odd = Vec::new();
        let crowd = part("a", "x").repeat(FILE_COUNT_MAX + 1);
        let mut form = Multipart::of(b"multipart/form-data; boundary=XX", 1000, Hashes::default()).unwrap();
        form.append(crowd.as_bytes(), &mut |event| odd.push(event));
        assert_eq!((form.files().len(), odd), (FILE_COUNT_MAX, vec![events::MULTIPART_GENERIC_ERROR]));
    }

    #[test]
    fn parameters_are_read_as_browsers_do() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"attachment; filename=\"a b\"", Some(b"a b")),
            (b"attachment; x; filename=a b ; y=z", Some(b"a b")),
            (b"attachment; FileName = a", Some(b"a")),
            (b"attachment; filename=\"open", Some(b"open")),
            (b"attachment", None),
            (b"attachment; x=\"filename=b\"; ", None),
        ];
        for (header, value) in cases {
            assert_eq!(parameter(header, b"filename"), value, "{header:?}");
        }
    }
}
