//! Content codings undone as a body arrives: gzip, deflate, brotli and lzma, several on top of each other.
//!
//! Servers lie about what they send, and browsers put up with it; so a coding that fails before it gave a byte is tried
//! as its relatives, and in the end the body is taken as it is.

use std::io::Write as _;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

use lzma_rs::decompress::{Options, Stream};

use super::gzip::{self, Read};
use super::events;

/// Output of one step.
const STEP_BYTES: usize = 16 << 10;
/// What comes before the first output is kept to try another form. A longer header of gzip is believed and not kept.
const HEAD_BYTES_MAX: usize = 4096;
/// Window of LZMA; Suricata's `lzma-memlimit`.
const LZMA_BYTES_MAX: usize = 1 << 20;
/// Compressed bytes at once: even the best ratio gives less than half a megabyte for them.
const LZMA_STEP_BYTES: usize = 64;
/// So much of a guessed coding's output must be free of errors.
const GUESS_BYTES_MAX: usize = 16 << 10;
/// A body that grows beyond its cap may still be honest; one that grows this often is not.
const BOMB_RATIO: u64 = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Lzma,
}

/// The codings of a body, the one that was applied last first.
#[derive(Debug)]
pub(super) struct Decoder {
    layers: Vec<Layer>,
    scratch: [Vec<u8>; 2],
    taken: u64,
    given: u64,
    inflated_bytes_max: u64,
    /// Nothing more comes out: it was a bomb.
    stopped: bool,
}

/// What the header names, innermost last; codings beyond `layer_count_max` are left alone.
pub fn codings(value: &[u8], layer_count_max: usize, mut odd: impl FnMut(&'static str)) -> Vec<Coding> {
    let mut codings = Vec::new();
    let words = value.split(|byte| matches!(byte, b',' | b' ' | b'\t')).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at >= layer_count_max {
            odd(events::TOO_MANY_ENCODING_LAYERS);
            break;
        }
        let lower = word.to_ascii_lowercase();
        let names = |name: &[u8]| memchr::memmem::find(&lower, name).is_some();
        let (coding, exact) = match lower.as_slice() {
            b"gzip" | b"x-gzip" => (Some(Coding::Gzip), true),
            b"deflate" | b"x-deflate" => (Some(Coding::Deflate), true),
            b"br" => (Some(Coding::Brotli), true),
            b"lzma" => (Some(Coding::Lzma), true),
            b"identity" | b"none" | b"inflate" => (None, true),
            _ if names(b"gzip") => (Some(Coding::Gzip), false),
            _ if names(b"deflate") => (Some(Coding::Deflate), false),
            _ => (None, false),
        };
        if !exact {
            odd(events::ABNORMAL_CE_HEADER);
        }
        codings.extend(coding);
    }
    codings
}

impl Decoder {
    /// `codings` in the order of the header: the last is undone first.
    pub(super) fn new(codings: &[Coding], inflated_bytes_max: usize) -> Decoder {
        Decoder {
            layers: codings.iter().rev().map(|coding| Layer::new(*coding)).collect(),
            scratch: [Vec::new(), Vec::new()],
            taken: 0,
            given: 0,
            inflated_bytes_max: u64::try_from(inflated_bytes_max).unwrap_or(u64::MAX),
            stopped: false,
        }
    }

    /// Decodes the next bytes, piece by piece, into `sink`. `odd` hears what went wrong.
    pub(super) fn decode(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8]), odd: &mut dyn FnMut(&'static str)) {
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.stopped {
            return;
        }
        let (limit, ratio) = (self.inflated_bytes_max, self.taken.saturating_mul(BOMB_RATIO));
        let given = &mut self.given;
        let [first, second] = &mut self.scratch;
        let mut out = |piece: &[u8]| {
            *given = given.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if *given > limit && *given > ratio {
                return false;
            }
            sink(piece);
            true
        };
        let going = match self.layers.as_mut_slice() {
            [] => out(bytes),
            [layer] => layer.decode(bytes, first, odd, &mut out),
            [outer, inner @ ..] => {
                let mut lower_odd = Vec::new();
                let going = outer.decode(bytes, first, odd, &mut |piece| {
                    through(inner, piece, second, &mut |event| lower_odd.push(event), &mut out)
                });
                lower_odd.into_iter().for_each(&mut *odd);
                going
            }
        };
        if !going {
            self.stopped = true;
            odd(events::COMPRESSION_BOMB);
        }
    }

    /// What is left at the end: the last bytes of an engine that looks ahead, or all of what gave nothing, which then was
    /// not compressed at all.
    pub(super) fn leftover(&mut self) -> Vec<u8> {
        let [layer] = self.layers.as_mut_slice() else { return Vec::new() };
        if let Engine::Lzma(stream) = std::mem::replace(&mut layer.engine, Engine::Over)
            && let Ok(last) = stream.finish()
            && (layer.has_output || !last.is_empty())
        {
            return last;
        }
        if layer.has_output { Vec::new() } else { std::mem::take(&mut layer.head) }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // A window of 32 KiB with its tables, roughly, for each layer; LZMA has a larger one.
        let lzma = self.layers.iter().filter(|layer| matches!(layer.engine, Engine::Lzma(_))).count();
        self.layers.len() * (48 << 10) + lzma * LZMA_BYTES_MAX
    }
}

/// Through all of `layers`; each has its own scratch from the second on, which is rare.
fn through(
    layers: &mut [Layer],
    bytes: &[u8],
    scratch: &mut Vec<u8>,
    odd: &mut dyn FnMut(&'static str),
    out: &mut dyn FnMut(&[u8]) -> bool,
) -> bool {
    match layers {
        [] => out(bytes),
        [layer] => layer.decode(bytes, scratch, odd, out),
        [layer, rest @ ..] => {
            let mut events = Vec::new();
            let going = layer.decode(bytes, scratch, odd, &mut |piece| {
                through(rest, piece, &mut Vec::new(), &mut |event| events.push(event), out)
            });
            events.into_iter().for_each(odd);
            going
        }
    }
}

/// One coding being undone.
#[derive(Debug)]
struct Layer {
    attempts: &'static [Attempt],
    engine: Engine,
    /// The bytes of this coding need no header, and are not what was announced: they are believed if their first piece
    /// holds no error.
    guess: bool,
    /// What was taken before anything came out.
    head: Vec<u8>,
    has_output: bool,
    /// Of gzip: another member may follow, and is read by the same engine.
    has_members: bool,
    spare: Option<Box<Decompress>>,
}

/// One way to read compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Gzip,
    Zlib,
    Raw,
    Brotli,
    Lzma,
}

enum Engine {
    /// Waits for the end of a gzip header.
    Header(gzip::Header),
    /// Bytes of a gzip trailer that are to come.
    Trailer(usize),
    Inflate(Box<Decompress>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Lzma(Box<Stream<Vec<u8>>>),
    /// Nothing fits: the bytes are what they are.
    Plain,
    /// The compressed stream has ended, or broke after it had given something.
    Over,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Engine::Header(_) => "Header",
            Engine::Trailer(_) => "Trailer",
            Engine::Inflate(_) => "Inflate",
            Engine::Brotli(_) => "Brotli",
            Engine::Lzma(_) => "Lzma",
            Engine::Plain => "Plain",
            Engine::Over => "Over",
        })
    }
}

enum Outcome {
    /// All is taken, and more may come.
    More,
    /// It ended with the first `taken` bytes, or broke.
    End { broken: bool, taken: usize },
    /// The receiver wants no more.
    Refused,
}

impl Layer {
    fn new(coding: Coding) -> Layer {
        let attempts: &'static [Attempt] = match coding {
            Coding::Gzip => &[Attempt::Gzip, Attempt::Zlib, Attempt::Raw],
            Coding::Deflate => &[Attempt::Raw, Attempt::Zlib, Attempt::Gzip],
            Coding::Brotli => &[Attempt::Brotli],
            Coding::Lzma => &[Attempt::Lzma],
        };
        let mut layer = Layer {
            attempts,
            engine: Engine::Plain,
            guess: false,
            head: Vec::new(),
            has_output: false,
            has_members: false,
            spare: None,
        };
        layer.try_next();
        layer.guess = false;
        layer
    }

    fn try_next(&mut self) {
        let Some((attempt, rest)) = self.attempts.split_first() else {
            self.engine = Engine::Plain;
            return;
        };
        self.attempts = rest;
        self.guess = *attempt == Attempt::Raw;
        self.has_members = *attempt == Attempt::Gzip;
        self.engine = match attempt {
            Attempt::Gzip => Engine::Header(gzip::Header::default()),
            Attempt::Zlib => Engine::Inflate(Box::new(Decompress::new(true))),
            Attempt::Raw => Engine::Inflate(Box::new(Decompress::new(false))),
            Attempt::Brotli => Engine::Brotli(Box::new(BrotliState::new(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Attempt::Lzma => {
                let options = Options { memlimit: Some(LZMA_BYTES_MAX), allow_incomplete: true, ..Options::default() };
                Engine::Lzma(Box::new(Stream::new_with_options(&options, Vec::new())))
            }
        };
    }

    /// Whether the receiver goes on.
    fn decode(
        &mut self,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        odd: &mut dyn FnMut(&'static str),
        out: &mut dyn FnMut(&[u8]) -> bool,
    ) -> bool {
        match self.engine {
            Engine::Plain => return out(bytes),
            Engine::Over => return true,
            _ => {}
        }
        if self.has_output {
            return self.go_on(bytes, scratch, odd, out);
        }
        let mut joined = std::mem::take(&mut self.head);
        // What the engine has taken of it already it must not see again, unless another engine begins.
        let mut fresh_from = joined.len();
        joined.extend_from_slice(bytes);
        loop {
            if let Engine::Header(header) = &mut self.engine {
                *header = gzip::Header::default();
                match header.read(&joined) {
                    Read::Ends(at) => {
                        self.begin_member();
                        fresh_from = at;
                    }
                    Read::More => {
                        self.has_output = joined.len() > HEAD_BYTES_MAX;
                        self.head = if self.has_output { Vec::new() } else { joined };
                        return true;
                    }
                    Read::Wrong => {
                        self.try_next();
                        fresh_from = 0;
                        continue;
                    }
                }
            }
            if matches!(self.engine, Engine::Plain) {
                odd(events::GZIP_DECOMPRESSION_FAILED);
                return out(&joined);
            }
            let mut any = false;
            let mut unsure = Vec::new();
            let guess = self.guess;
            let mut outcome = self.engine.run(joined.get(fresh_from..).unwrap_or_default(), scratch, &mut |piece| {
                if guess && !any && unsure.len() < GUESS_BYTES_MAX {
                    unsure.extend_from_slice(piece);
                    return true;
                }
                any |= !piece.is_empty();
                out(&std::mem::take(&mut unsure)) && out(piece)
            });
            if !unsure.is_empty() && !matches!(outcome, Outcome::End { broken: true, .. }) {
                any = true;
                if !out(&unsure) {
                    outcome = Outcome::Refused;
                }
            }
            self.has_output |= any;
            match outcome {
                Outcome::Refused => return false,
                Outcome::More => {
                    if !self.has_output && joined.len() <= HEAD_BYTES_MAX {
                        self.head = joined;
                    } else {
                        self.has_output = true;
                    }
                    return true;
                }
                Outcome::End { broken: false, taken } if self.has_members => {
                    self.end_member();
                    return self.go_on(joined.get(fresh_from + taken..).unwrap_or_default(), scratch, odd, out);
                }
                Outcome::End { broken, .. } if self.has_output || !broken => {
                    self.engine = Engine::Over;
                    return true;
                }
                Outcome::End { .. } => {
                    self.try_next();
                    fresh_from = 0;
                }
            }
        }
    }

    fn go_on(
        &mut self,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        odd: &mut dyn FnMut(&'static str),
        out: &mut dyn FnMut(&[u8]) -> bool,
    ) -> bool {
        let mut rest = bytes;
        loop {
            let taken = match &mut self.engine {
                Engine::Header(header) => match header.read(rest) {
                    Read::More => return true,
                    Read::Ends(at) => {
                        self.begin_member();
                        at
                    }
                    // What follows a member and is none is nothing.
                    Read::Wrong => {
                        self.engine = Engine::Over;
                        return true;
                    }
                },
                Engine::Trailer(left) => {
                    let taken = (*left).min(rest.len());
                    *left -= taken;
                    if *left > 0 {
                        return true;
                    }
                    self.engine = Engine::Header(gzip::Header::default());
                    taken
                }
                engine => match engine.run(rest, scratch, out) {
                    Outcome::More => return true,
                    Outcome::Refused => return false,
                    Outcome::End { broken: false, taken } if self.has_members => {
                        self.end_member();
                        taken
                    }
                    Outcome::End { broken, .. } => {
                        if broken {
                            odd(events::GZIP_DECOMPRESSION_FAILED);
                        }
                        self.engine = Engine::Over;
                        return true;
                    }
                },
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// The header of a member of gzip has ended.
    fn begin_member(&mut self) {
        let mut inflate = self.spare.take().unwrap_or_else(|| Box::new(Decompress::new(false)));
        inflate.reset(false);
        self.engine = Engine::Inflate(inflate);
    }

    /// So have its compressed bytes. Another may follow: Go, Java and Python read that, too.
    fn end_member(&mut self) {
        self.has_output = true;
        if let Engine::Inflate(inflate) = std::mem::replace(&mut self.engine, Engine::Trailer(gzip::TRAILER_BYTES)) {
            self.spare = Some(inflate);
        }
    }
}

impl Engine {
    fn run(&mut self, bytes: &[u8], scratch: &mut Vec<u8>, out: &mut dyn FnMut(&[u8]) -> bool) -> Outcome {
        scratch.resize(STEP_BYTES, 0);
        match self {
            Engine::Inflate(inflate) => run_inflate(inflate, bytes, scratch, out),
            Engine::Brotli(state) => run_brotli(state, bytes, scratch, out),
            Engine::Lzma(stream) => run_lzma(stream, bytes, out),
            Engine::Header(_) | Engine::Trailer(_) | Engine::Plain | Engine::Over => Outcome::More,
        }
    }
}

fn run_inflate(
    inflate: &mut Decompress,
    bytes: &[u8],
    scratch: &mut [u8],
    out: &mut dyn FnMut(&[u8]) -> bool,
) -> Outcome {
    let mut rest = bytes;
    loop {
        let (taken, given) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(rest, scratch, FlushDecompress::None);
        let moved = |before: u64, now: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
        let (taken, given) = (moved(taken, inflate.total_in()), moved(given, inflate.total_out()));
        if given > 0 && !out(scratch.get(..given).unwrap_or_default()) {
            return Outcome::Refused;
        }
        rest = rest.get(taken..).unwrap_or_default();
        match status {
            Err(_) => return Outcome::End { broken: true, taken: bytes.len() },
            Ok(Status::StreamEnd) => return Outcome::End { broken: false, taken: bytes.len() - rest.len() },
            Ok(_) if taken == 0 && given == 0 => return Outcome::More,
            Ok(_) if rest.is_empty() && given < scratch.len() => return Outcome::More,
            Ok(_) => {}
        }
    }
}

fn run_brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    bytes: &[u8],
    scratch: &mut [u8],
    out: &mut dyn FnMut(&[u8]) -> bool,
) -> Outcome {
    let (mut available, mut offset, mut total) = (bytes.len(), 0, 0);
    loop {
        let (mut room, mut given) = (scratch.len(), 0);
        let result = BrotliDecompressStream(
            &mut available,
            &mut offset,
            bytes,
            &mut room,
            &mut given,
            scratch,
            &mut total,
            state,
        );
        if given > 0 && !out(scratch.get(..given).unwrap_or_default()) {
            return Outcome::Refused;
        }
        match result {
            BrotliResult::ResultSuccess => return Outcome::End { broken: false, taken: bytes.len() },
            BrotliResult::ResultFailure => return Outcome::End { broken: true, taken: bytes.len() },
            BrotliResult::NeedsMoreInput => return Outcome::More,
            BrotliResult::NeedsMoreOutput => {}
        }
    }
}

fn run_lzma(stream: &mut Stream<Vec<u8>>, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> bool) -> Outcome {
    for piece in bytes.chunks(LZMA_STEP_BYTES) {
        let written = stream.write_all(piece);
        let given = stream.get_output_mut().map(std::mem::take).unwrap_or_default();
        if !given.is_empty() && !out(&given) {
            return Outcome::Refused;
        }
        if written.is_err() {
            return Outcome::End { broken: true, taken: bytes.len() };
        }
    }
    Outcome::More
}
