//! What is kept of one side's bytes for later.

use crate::packet::app::protocols::ProtocolInfo;

/// One side. Nothing hangs on it before something has to be kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    held: Option<Box<Held>>,
    /// Nothing more is recognised from this side's beginning.
    pub hopeless: bool,
    pub closed: bool,
}

/// Before the parser is known: the first bytes. After: what it left for the next call.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub bytes: Vec<u8>,
    /// Bytes in all that the parser waits for.
    pub wanted: usize,
    /// Where in the bytes the parser has stopped, to let rules judge what it has read.
    pub stopped_at: Option<usize>,
    /// The side has ended behind what is held.
    pub closes: bool,
    /// Bytes that were given to the parser again, beyond what each packet may cost and what it took of them.
    pub given_again: usize,
    /// What this side seems to speak, while a surer protocol is not ruled out.
    pub likely: Option<&'static ProtocolInfo>,
}

impl Kept {
    pub fn bytes(&self) -> &[u8] {
        self.held.as_ref().map_or(&[], |held| &held.bytes)
    }

    pub fn likely(&self) -> Option<&'static ProtocolInfo> {
        self.held.as_ref()?.likely
    }

    pub fn held(&mut self) -> Option<&mut Held> {
        self.held.as_deref_mut()
    }

    pub fn held_mut(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    /// Forgets the bytes, and what they were kept for.
    pub fn free(&mut self) {
        self.held = None;
    }

    /// The parser has taken so many bytes, and left `rest`: it waits for `wanted` in all.
    pub fn leave(&mut self, consumed: usize, rest: &[u8], wanted: usize) {
        if rest.is_empty() && self.held.is_none() {
            return;
        }
        let held = self.held_mut();
        held.bytes.extend_from_slice(rest);
        held.wanted = wanted;
        held.given_again = held.given_again.saturating_sub(consumed);
    }

    /// The parser has stopped in `bytes` for the rules.
    pub fn stop(&mut self, bytes: Vec<u8>, at: usize) {
        let held = self.held_mut();
        held.bytes = bytes;
        held.stopped_at = Some(at);
    }

    pub fn is_stopped(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.stopped_at.is_some())
    }

    pub fn heap_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| size_of::<Held>() + held.bytes.capacity())
    }
}
