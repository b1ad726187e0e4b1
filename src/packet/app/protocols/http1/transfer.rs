//! How a body is delimited: by length, in chunks, or by the end of the connection.

use super::events;
use super::line::{ChunkLength, chunk_length, may_be_chunk_length};
use super::reader::{Progress, Reader, Side};

/// Bytes of a line that says how long a chunk is.
const LINE_BYTES_MAX: usize = 8192;

/// A body on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    side: Side,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// So many bytes are missing.
    Length(u64),
    /// A chunk's length line as far as it is there.
    ChunkLength(Vec<u8>),
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
        Transfer { side, form: if length == 0 { Form::Over } else { Form::Length(length) } }
    }

    pub(super) fn chunked(side: Side) -> Transfer {
        Transfer { side, form: Form::ChunkLength(Vec::new()) }
    }

    pub(super) fn until_close(side: Side) -> Transfer {
        Transfer { side, form: Form::UntilClose }
    }

    pub(super) fn is_until_close(&self) -> bool {
        matches!(self.form, Form::UntilClose)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        if let Form::ChunkLength(line) = &self.form { line.capacity() } else { 0 }
    }

    /// The beginning of a chunk's length line: as the side has ended, it was body.
    pub(super) fn leftover(&mut self) -> Vec<u8> {
        if let Form::ChunkLength(line) = &mut self.form { std::mem::take(line) } else { Vec::new() }
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
                    self.form = Form::ChunkLength(Vec::new());
                    (at + 1, Piece::More)
                }
                None => (bytes.len(), Piece::More),
            },
            Form::ChunkLength(line) => {
                let line = std::mem::take(line);
                self.length_line(line, bytes)
            }
            Form::Trailer(reader) => {
                let (taken, progress) = reader.take(bytes);
                match progress {
                    Progress::More | Progress::Line => (taken, Piece::More),
                    Progress::Done => {
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

    /// More of a chunk's length line, of which `kept` is there.
    fn length_line<'b>(&mut self, mut kept: Vec<u8>, bytes: &'b [u8]) -> (usize, Piece<'b>) {
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        let taken = end.unwrap_or(bytes.len());
        let here = bytes.get(..taken).unwrap_or_default();
        let is_whole = kept.is_empty() && end.is_some();
        if !is_whole {
            kept.extend_from_slice(here);
        }
        let line = if is_whole { here } else { &kept };
        let hopeless = !may_be_chunk_length(line) || line.len() > LINE_BYTES_MAX;
        if end.is_none() && !hopeless {
            self.form = Form::ChunkLength(kept);
            return (taken, Piece::More);
        }
        match chunk_length(line) {
            ChunkLength::Blank => (taken, Piece::More),
            ChunkLength::Bytes { count, extended } if end.is_some() => {
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
                (taken, Piece::NoChunk(line.to_vec()))
            }
        }
    }
}

fn up_to(bytes: &[u8], count: u64) -> &[u8] {
    usize::try_from(count).ok().and_then(|count| bytes.get(..count)).unwrap_or(bytes)
}
