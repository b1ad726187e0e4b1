//! One pass over a buffer finds the rules that could match in it.
//!
//! Each rule gives one literal that must be in the buffer for the rule to match. All literals of a group are looked for
//! at once, in lower case: what is found only makes a rule a candidate, and the engine then evaluates it whole.
//!
//! Literals of four bytes or more are known by a window of four bytes. A bitmap that stays in the first-level cache says
//! of nearly every place of a buffer that no window ends there; where it cannot, a table leads to the few literals with
//! that window, and these are compared. The windows are chosen so that few literals share one. Shorter literals are few,
//! and an Aho-Corasick automaton (which was the whole prefilter once, see `docs/decisions`) looks for them.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::plan::rarity;

/// Bytes of a literal that the prefilter looks for: more costs memory and finds little more.
pub const LITERAL_BYTES_MAX: usize = 12;
/// Bytes of the window that a longer literal is known by.
const WINDOW_BYTES: usize = 4;
/// The bitmap has this many bits to the power of two: 8 KiB.
const BITMAP_LOG2: u32 = 16;
/// Below so many short literals the faster automaton is worth its memory.
const DENSE_LITERAL_COUNT_MAX: usize = 300;

/// Looks for the literals of many rules.
#[derive(Debug, Default)]
pub struct Prefilter {
    windows: Windows,
    /// The literals shorter than a window; its patterns are numbers into `short_literals`.
    short: Option<AhoCorasick>,
    short_literals: Box<[u32]>,
    /// Rules by literal, ascending.
    rules: Box<[Box<[u32]>]>,
}

impl Prefilter {
    /// `entries` are literals in lower case and the rules that they make candidates. Gives back the rules that it could
    /// not take.
    #[must_use]
    pub fn build(entries: &[(Vec<u8>, u32)]) -> (Prefilter, Vec<u32>) {
        let mut index: HashMap<&[u8], usize> = HashMap::new();
        let mut literals: Vec<&[u8]> = Vec::new();
        let mut rules: Vec<Vec<u32>> = Vec::new();
        for (literal, rule) in entries {
            let at = *index.entry(literal).or_insert_with(|| {
                literals.push(literal);
                rules.push(Vec::new());
                literals.len() - 1
            });
            if let Some(list) = rules.get_mut(at) {
                list.push(*rule);
            }
        }
        let numbered = || literals.iter().enumerate().map(|(at, literal)| (u32::try_from(at).unwrap_or(0), *literal));
        let windows = Windows::new(numbered().filter(|(_, literal)| literal.len() >= WINDOW_BYTES));
        let (short_literals, short_texts): (Vec<u32>, Vec<&[u8]>) =
            numbered().filter(|(_, literal)| literal.len() < WINDOW_BYTES).unzip();
        let short = if short_texts.is_empty() { None } else { Some(automaton(&short_texts)) };
        let mut refused = Vec::new();
        let short = short.and_then(|built| {
            if built.is_none() {
                let lost = short_literals.iter().filter_map(|at| rules.get(usize::try_from(*at).ok()?));
                refused = lost.flatten().copied().collect();
            }
            built
        });
        let rules = rules.into_iter().map(Vec::into_boxed_slice).collect();
        (Prefilter { windows, short, short_literals: short_literals.into(), rules }, refused)
    }

    /// How many different literals it knows; they are numbered from 0.
    #[must_use]
    pub fn literal_count(&self) -> usize {
        self.rules.len()
    }

    /// Calls `found` with the number of each literal in `haystack`, once for each place where it stands.
    #[inline]
    pub fn scan(&self, haystack: &[u8], mut found: impl FnMut(usize)) {
        self.windows.scan(haystack, &mut found);
        let Some(automaton) = &self.short else { return };
        if let Ok(matches) = automaton.try_find_overlapping_iter(haystack) {
            for literal in matches {
                if let Some(literal) = self.short_literals.get(literal.pattern().as_usize()) {
                    found(usize::try_from(*literal).unwrap_or(usize::MAX));
                }
            }
        }
    }

    /// The rules of a literal, ascending.
    #[must_use]
    pub fn rules(&self, literal: usize) -> &[u32] {
        self.rules.get(literal).map_or(&[], |rules| rules)
    }

    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let lists: usize = self.rules.iter().map(|rules| rules.len() * 4 + 16).sum();
        lists + self.windows.memory_bytes() + self.short.as_ref().map_or(0, AhoCorasick::memory_usage)
    }
}

fn automaton(literals: &[&[u8]]) -> Option<AhoCorasick> {
    let few = literals.len() <= DENSE_LITERAL_COUNT_MAX;
    AhoCorasickBuilder::new()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(if few { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA }))
        .build(literals)
        .ok()
}

/// Literals by one window of four bytes each.
#[derive(Debug, Default)]
struct Windows {
    /// A set bit: some window has this hash.
    bitmap: Box<[u64]>,
    by_window: hashbrown::HashMap<u32, Vec<Windowed>>,
}

/// A literal known by its window.
#[derive(Debug)]
struct Windowed {
    bytes: Box<[u8]>,
    /// Where in the literal its window ends.
    end: usize,
    literal: u32,
}

impl Windows {
    fn new<'l>(literals: impl Iterator<Item = (u32, &'l [u8])>) -> Windows {
        let mut by_window: hashbrown::HashMap<u32, Vec<Windowed>> = hashbrown::HashMap::new();
        for (literal, bytes) in literals {
            let mut best = None;
            for (start, window) in bytes.windows(WINDOW_BYTES).enumerate() {
                let key = window.iter().fold(0, |key, byte| push(key, *byte));
                let shared = by_window.get(&key).map_or(0, Vec::len);
                let better = (shared, u32::MAX - worth(window), key, start);
                best = Some(best.map_or(better, |best: (usize, u32, u32, usize)| best.min(better)));
            }
            let Some((_, _, key, start)) = best else { continue };
            let windowed = Windowed { bytes: bytes.into(), end: start + WINDOW_BYTES, literal };
            by_window.entry(key).or_default().push(windowed);
        }
        let mut bitmap = Vec::new();
        if !by_window.is_empty() {
            bitmap.resize(1 << (BITMAP_LOG2 - 6), 0u64);
        }
        for key in by_window.keys() {
            let (word, bit) = place(*key);
            if let Some(word) = bitmap.get_mut(word) {
                *word |= bit;
            }
        }
        Windows { bitmap: bitmap.into(), by_window }
    }

    #[inline]
    fn scan(&self, haystack: &[u8], found: &mut impl FnMut(usize)) {
        if self.bitmap.is_empty() {
            return;
        }
        let mut key = 0;
        for (at, byte) in haystack.iter().enumerate() {
            key = push(key, *byte);
            let (word, bit) = place(key);
            if self.bitmap.get(word).is_some_and(|word| word & bit != 0) {
                self.compare(key, haystack, at + 1, found);
            }
        }
    }

    /// Tells of the literals whose window is `key` and which stand in `haystack` with the window's end at `end`.
    fn compare(&self, key: u32, haystack: &[u8], end: usize, found: &mut impl FnMut(usize)) {
        let Some(candidates) = self.by_window.get(&key) else { return };
        for candidate in candidates {
            let start = end.checked_sub(candidate.end);
            let there = start.and_then(|start| haystack.get(start..)?.get(..candidate.bytes.len()));
            if there.is_some_and(|there| there.eq_ignore_ascii_case(&candidate.bytes)) {
                found(usize::try_from(candidate.literal).unwrap_or(usize::MAX));
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        let literals: usize = self.by_window.values().flatten().map(|windowed| windowed.bytes.len() + 40).sum();
        self.bitmap.len() * 8 + self.by_window.capacity() * 32 + literals
    }
}

/// The last four bytes in lower case, the newest lowest.
#[inline]
fn push(key: u32, byte: u8) -> u32 {
    key << 8 | u32::from(byte.to_ascii_lowercase())
}

/// Where a window's bit stands in the bitmap. The multiplier is that of Fibonacci hashing.
#[inline]
fn place(key: u32) -> (usize, u64) {
    let hash = key.wrapping_mul(0x9e37_79b1) >> (32 - BITMAP_LOG2);
    (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
}

/// The part of a pattern that is best looked for, in lower case, and how good it is.
#[must_use]
pub fn literal_of(pattern: &[u8]) -> (Vec<u8>, u32) {
    let width = pattern.len().min(LITERAL_BYTES_MAX);
    let best = pattern.windows(width.max(1)).max_by_key(|window| worth(window)).unwrap_or(pattern);
    (best.to_ascii_lowercase(), worth(best))
}

/// Rare bytes count more, and a byte that repeats the one before it counts little.
fn worth(window: &[u8]) -> u32 {
    let mut previous = None;
    let mut sum = 0;
    for byte in window {
        sum += if previous == Some(byte) { 1 } else { 2 + u32::from(rarity(*byte)) };
        previous = Some(byte);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_in_any_case_is_found() {
        let entries = [(b"abc".to_vec(), 0), (b"bc".to_vec(), 1), (b"abc".to_vec(), 2), (b"x".to_vec(), 3)];
        let (prefilter, left) = Prefilter::build(&entries);
        assert!(left.is_empty());
        let mut rules = Vec::new();
        prefilter.scan(b"..aBC", |literal| rules.extend_from_slice(prefilter.rules(literal)));
        rules.sort_unstable();
        assert_eq!(rules, [0, 1, 2]);
    }

    proptest::proptest! {
        #[test]
        fn it_finds_what_a_search_for_each_literal_finds(
            literals in proptest::collection::vec(proptest::collection::vec(b'a'..b'e', 1..9), 0..30),
            haystack in proptest::collection::vec(proptest::prop_oneof![b'a'..b'e', b'A'..b'E'], 0..60),
        ) {
            let entries: Vec<(Vec<u8>, u32)> = literals.iter().cloned().zip(0..).collect();
            let (prefilter, left) = Prefilter::build(&entries);
            assert!(left.is_empty());
            let mut found = std::collections::BTreeSet::new();
            prefilter.scan(&haystack, |literal| found.extend(prefilter.rules(literal)));
            let lower = haystack.to_ascii_lowercase();
            let there = |literal: &[u8]| lower.windows(literal.len()).any(|window| window == literal);
            let expected = entries.iter().filter(|(literal, _)| there(literal)).map(|(_, rule)| *rule).collect();
            proptest::prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_rare_part_of_a_long_pattern_is_chosen() {
        let (literal, _) = literal_of(b"GET /index.html HTTP/1.1\r\n\x90\x91\x92\x93");
        assert!(literal.ends_with(b"\x90\x91\x92\x93"));
        assert_eq!(literal_of(b"Ab").0, b"ab");
    }
}
