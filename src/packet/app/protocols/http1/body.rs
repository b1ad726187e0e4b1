//! A message's body: transferred bytes in, decoded bytes kept for rules.

use super::coding::{Coding, Decoder};
use crate::packet::app::file::{File, Hashes};

/// The body of one message. Nothing hangs on a message without one.
#[derive(Debug, Default)]
pub struct Body(Option<Box<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    /// Bytes as transferred, chunk lengths left out.
    transferred: u64,
    /// The decoded body. It is told as a file if it has a name.
    file: File,
    decoder: Option<Box<Decoder>>,
    inspect_max: usize,
    begun: bool,
    is_file: bool,
}

/// How a body is to be read.
#[derive(Debug, Default)]
pub struct Plan<'p> {
    pub codings: &'p [Coding],
    /// Bytes that rules may look into.
    pub inspect_max: usize,
    pub inflated_max: usize,
    /// The name under which it is told as a file.
    pub file_name: Option<&'p [u8]>,
    pub hashes: Hashes,
}

impl Body {
    pub fn begin(&mut self, plan: &Plan<'_>) {
        let body = self.0.get_or_insert_default();
        body.begun = true;
        body.is_file = plan.file_name.is_some();
        body.inspect_max = plan.inspect_max;
        let hashes = if body.is_file { plan.hashes } else { Hashes::default() };
        body.file = File::open(plan.file_name.unwrap_or_default(), hashes);
        body.decoder = (!plan.codings.is_empty()).then(|| Box::new(Decoder::new(plan.codings, plan.inflated_max)));
    }

    /// Keeps no more than so many bytes in all from now on, if that is less than was planned.
    pub fn limit(&mut self, inspect_max: usize) {
        if let Some(body) = &mut self.0 {
            body.inspect_max = body.inspect_max.min(inspect_max);
        }
    }

    /// The next bytes; `fresh` gets each decoded piece.
    pub fn append(&mut self, bytes: &[u8], fresh: &mut dyn FnMut(&[u8]), odd: &mut dyn FnMut(&'static str)) {
        self.0.get_or_insert_default().append(bytes, fresh, odd);
    }

    /// What was sent is no body as its headers promise: no coding is undone.
    pub fn take_as_sent(&mut self) {
        if let Some(body) = &mut self.0 {
            body.decoder = None;
        }
    }

    pub fn skip(&mut self, missing: u64) {
        self.0.get_or_insert_default().skip(missing);
    }

    pub fn end(&mut self, truncated: bool) {
        if let Some(body) = &mut self.0 {
            body.end(truncated);
        }
    }

    pub fn has_begun(&self) -> bool {
        self.0.as_ref().is_some_and(|body| body.begun)
    }

    pub fn data(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |body| body.file.data())
    }

    pub fn transferred(&self) -> u64 {
        self.0.as_ref().map_or(0, |body| body.transferred)
    }

    /// The body as a file, if it has a name and any bytes.
    pub fn file(&self) -> Option<&File> {
        let body = self.0.as_ref().filter(|body| body.is_file && body.file.size() > 0)?;
        Some(&body.file)
    }

    pub fn file_mut(&mut self) -> Option<&mut File> {
        let body = self.0.as_mut().filter(|body| body.is_file && body.file.size() > 0)?;
        Some(&mut body.file)
    }

    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |body| size_of::<Bytes>() + body.heap_bytes())
    }
}

impl Bytes {
    fn append(&mut self, bytes: &[u8], fresh: &mut dyn FnMut(&[u8]), odd: &mut dyn FnMut(&'static str)) {
        self.transferred = self.transferred.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let (file, inspect_max) = (&mut self.file, self.inspect_max);
        match &mut self.decoder {
            None => {
                file.append(bytes, inspect_max);
                fresh(bytes);
            }
            Some(decoder) => {
                let mut sink = |piece: &[u8]| {
                    file.append(piece, inspect_max);
                    fresh(piece);
                };
                decoder.decode(bytes, &mut sink, odd);
            }
        }
    }

    fn skip(&mut self, missing: u64) {
        self.transferred = self.transferred.saturating_add(missing);
        self.file.skip(missing);
        // What follows a hole in compressed bytes says nothing.
        if self.decoder.is_some() {
            self.file.close(true);
        }
    }

    fn end(&mut self, truncated: bool) {
        if let Some(mut decoder) = self.decoder.take() {
            self.file.append(&decoder.leftover(), self.inspect_max);
        }
        self.file.close(truncated);
    }

    fn heap_bytes(&self) -> usize {
        self.file.heap_bytes() + self.decoder.as_ref().map_or(0, |decoder| decoder.heap_bytes())
    }
}
