//! How a body is delimited: by length, in chunks, or by the end of the connection.

use super::events;
use super::head::{Progress, Reader, Side};
use super::line::{ChunkLength, chunk_length, may_be_chunk_length};

/// Bytes of a line that says how long a chunk is.
const LINE_BYTES_MAX: usize = 8192;

/// A body on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    side: Side,
    form: Form,
    /// A chunk's length line as far as it is there.
    line: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    /// So many bytes are missing.
    Length(u64),
    ChunkLength,
    ChunkData(u64),
    ChunkEnd,
    Trailer(Box<Reader>),
    UntilClose,
    Over,
}

/// What a step gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'b> {
    Data(&'b [u8]),
    /// This was no chunk: it belongs to the body, and so does all that follows.
    NoChunk(Vec<u8>),
    Odd(&'static str),
    /// The body has ended.
    End,
    /// All bytes are taken.
    More,
}

impl Transfer {
    pub(super) fn of_length(side: Side, length: u64) -> Transfer {
        Transfer { side, form: if length == 0 { Form::Over } else { Form::Length(length) }, line: Vec::new() }
    }

    pub(super) fn chunked(side: Side) -> Transfer {
        Transfer { side, form: Form::ChunkLength, line: Vec::new() }
    }

    pub(super) fn until_close(side: Side) -> Transfer {
        Transfer { side, form: Form::UntilClose, line: Vec::new() }
    }

    pub(super) fn is_until_close(&self) -> bool {
        matches!(self.form, Form::UntilClose)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.line.capacity()
    }

    /// The beginning of a chunk's length line: as the side has ended, it was body.
    pub(super) fn leftover(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    /// One step over `bytes`: how many are dealt with, and what they were.
    pub(super) fn step<'b>(&mut self, bytes: &'b [u8]) -> (usize, Piece<'b>) {
        if matches!(self.form, Form::Over) {
            return (0, Piece::End);
        }
        if bytes.is_empty() {
            return (0, Piece::More);
        }
        match &mut self.form {
            Form::UntilClose => (bytes.len(), Piece::Data(bytes)),
            Form::Length(left) => {
                let data = up_to(bytes, *left);
                *left -= u64::try_from(data.len()).unwrap_or(*left);
                if *left == 0 {
                    self.form = Form::Over;
                }
                (data.len(), Piece::Data(data))
            }
            Form::ChunkData(left) => {
                let data = up_to(bytes, *left);
                *left -= u64::try_from(data.len()).unwrap_or(*left);
                if *left == 0 {
                    self.form = Form::ChunkEnd;
                }
                (data.len(), Piece::Data(data))
            }
            Form::ChunkEnd => match memchr::memchr(b'\n', bytes) {
                Some(at) => {
                    self.form = Form::ChunkLength;
                    (at + 1, Piece::More)
                }
                None => (bytes.len(), Piece::More),
            },
            Form::ChunkLength => self.length_line(bytes),
            Form::Trailer(reader) => {
                let (taken, progress) = reader.take(bytes);
                match progress {
                    Progress::More | Progress::Line => (taken, Piece::More),
                    Progress::Done | Progress::TooLong => {
                        self.form = Form::Over;
                        (taken, Piece::End)
                    }
                }
            }
            Form::Over => (0, Piece::End),
        }
    }

    /// `missing` bytes were lost. What is left of them when the body has ended, or `None` where nothing is known any
    /// more.
    pub(super) fn skip(&mut self, missing: u64) -> Option<u64> {
        match &mut self.form {
            Form::UntilClose => Some(0),
            Form::Length(left) | Form::ChunkData(left) if *left >= missing => {
                *left -= missing;
                if *left == 0 {
                    self.form = if matches!(self.form, Form::Length(_)) { Form::Over } else { Form::ChunkEnd };
                }
                Some(0)
            }
            _ => None,
        }
    }

    fn length_line<'b>(&mut self, bytes: &'b [u8]) -> (usize, Piece<'b>) {
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        let taken = end.unwrap_or(bytes.len());
        self.line.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let hopeless = !may_be_chunk_length(&self.line) || self.line.len() > LINE_BYTES_MAX;
        if end.is_none() && !hopeless {
            return (taken, Piece::More);
        }
        match chunk_length(&self.line) {
            ChunkLength::Blank => {
                self.line.clear();
                (taken, Piece::More)
            }
            ChunkLength::Bytes { count, extended } if end.is_some() => {
                self.line.clear();
                self.form = match count {
                    0 => Form::Trailer(Box::new(Reader::trailer(self.side))),
                    count => Form::ChunkData(count),
                };
                let odd = match self.side {
                    Side::Request => events::REQUEST_CHUNK_EXTENSION,
                    Side::Response => events::RESPONSE_CHUNK_EXTENSION,
                };
                (taken, if extended { Piece::Odd(odd) } else { Piece::More })
            }
            ChunkLength::Bytes { .. } | ChunkLength::Wrong => {
                self.form = Form::UntilClose;
                (taken, Piece::NoChunk(std::mem::take(&mut self.line)))
            }
        }
    }
}

fn up_to(bytes: &[u8], count: u64) -> &[u8] {
    usize::try_from(count).ok().and_then(|count| bytes.get(..count)).unwrap_or(bytes)
}
