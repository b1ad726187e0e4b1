//! Sets of bytes: those of which an expression's matches are made, and those with which they begin.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Different bytes of a narrow set: digits with what separates them, for example.
const NARROW_BYTE_COUNT_MAX: u32 = 16;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alphabet([u64; 4]);

impl Alphabet {
    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 != 0)
    }

    pub(super) fn is_everything(&self) -> bool {
        *self == Alphabet([u64::MAX; 4])
    }

    /// Runs of few different bytes are rare: to look for one costs less than to run an expression.
    pub(super) fn is_narrow(&self) -> bool {
        self.0.iter().map(|word| word.count_ones()).sum::<u32>() <= NARROW_BYTE_COUNT_MAX
    }

    /// Where in `bytes` the first `count` bytes in a row begin that are all of the set. Looks at no byte more than twice,
    /// and at few of those between bytes that are not.
    #[must_use]
    pub fn first_run(&self, bytes: &[u8], count: usize) -> Option<usize> {
        let mut at = 0;
        loop {
            let run = bytes.get(at..)?.get(..count)?;
            match run.iter().rposition(|byte| !self.contains(*byte)) {
                Some(other) => at += other + 1,
                None => return Some(at),
            }
        }
    }

    pub(super) fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    /// Adds what a match can begin with. True: it can be empty, so that what follows may begin it, too; `None`: it can begin
    /// with anything.
    pub(super) fn add_first(&mut self, hir: &Hir) -> Option<bool> {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Some(true),
            HirKind::Literal(literal) => Some(literal.0.first().map(|byte| self.add(*byte)).is_none()),
            HirKind::Class(_) => self.add_all(hir).then_some(false),
            HirKind::Repetition(repetition) => Some(self.add_first(&repetition.sub)? || repetition.min == 0),
            HirKind::Capture(capture) => self.add_first(&capture.sub),
            HirKind::Concat(parts) => {
                for part in parts {
                    if !self.add_first(part)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            HirKind::Alternation(parts) => {
                let mut empty = false;
                for part in parts {
                    empty |= self.add_first(part)?;
                }
                Some(empty)
            }
        }
    }

    /// Adds what can be in a match. False: anything can.
    pub(super) fn add_all(&mut self, hir: &Hir) -> bool {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => true,
            HirKind::Literal(literal) => {
                literal.0.iter().for_each(|byte| self.add(*byte));
                true
            }
            HirKind::Class(class) => bytes_of(class).map(|bytes| bytes.for_each(|byte| self.add(byte))).is_some(),
            HirKind::Repetition(repetition) => self.add_all(&repetition.sub),
            HirKind::Capture(capture) => self.add_all(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(|part| self.add_all(part)),
        }
    }
}

/// The bytes of a class. The parser makes characters of a choice between single ones, also where it was told to read bytes:
/// of ASCII both are the same.
pub(super) fn bytes_of(class: &Class) -> Option<impl Iterator<Item = u8> + use<>> {
    let bytes = match class {
        Class::Bytes(class) => class.clone(),
        Class::Unicode(class) => class.to_byte_class()?,
    };
    let ranges: Vec<_> = bytes.ranges().to_vec();
    Some(ranges.into_iter().flat_map(|range| range.start()..=range.end()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_run_is_the_first_run(bytes in "[ab]{0,40}", count in 0..6_usize) {
            let mut alphabet = Alphabet::default();
            alphabet.add(b'a');
            let first = alphabet.first_run(bytes.as_bytes(), count);
            prop_assert_eq!(first, bytes.find(&"a".repeat(count)));
        }
    }
}
