//! One pass over a buffer finds the rules that could match in it.
//!
//! Each rule gives one literal that must be in the buffer for the rule to match. All literals of a group are looked for
//! at once, without regard to case: what is found only makes a rule a candidate, and the engine then evaluates it whole.
//!
//! A literal is known by a window of its bytes: four of them, or all where it is shorter. For each width there is a bitmap
//! that stays in the caches and says of nearly every place of a buffer that no window begins there; where it cannot, a
//! table leads to the few literals with that window, and these are compared. The windows of long literals are chosen so
//! that few literals share one. `docs/decisions/0006-prefilter-by-windows.md` has what this was measured against.

use std::collections::HashMap;

use super::plan::rarity;

/// Bytes of a literal that the prefilter looks for: more costs memory and finds little more.
pub const LITERAL_BYTES_MAX: usize = 12;
/// Bits of a bitmap for each window in it, to the power of two: one place in 64 is looked at in vain.
const SPARSE_LOG2: u32 = 6;
/// The largest bitmap has this many bits to the power of two: 32 KiB.
const BITMAP_LOG2_MAX: u32 = 18;
const BITMAP_LOG2_MIN: u32 = 9;

/// Looks for the literals of many rules.
#[derive(Debug, Default)]
pub struct Prefilter {
    four: Windows<4>,
    three: Windows<3>,
    two: Windows<2>,
    one: Bytes,
    /// Rules by literal, ascending.
    rules: Box<[Box<[u32]>]>,
}

impl Prefilter {
    /// `entries` are literals in lower case, none of them empty, and the rules that they make candidates. Gives back the
    /// rules that it could not take.
    #[must_use]
    pub fn build(entries: &[(Vec<u8>, u32)]) -> (Prefilter, Vec<u32>) {
        let mut index: HashMap<&[u8], usize> = HashMap::new();
        let mut literals: Vec<&[u8]> = Vec::new();
        let mut rules: Vec<Vec<u32>> = Vec::new();
        let mut refused = Vec::new();
        for (literal, rule) in entries {
            if literal.is_empty() {
                refused.push(*rule);
                continue;
            }
            let at = *index.entry(literal).or_insert_with(|| {
                literals.push(literal);
                rules.push(Vec::new());
                literals.len() - 1
            });
            if let Some(list) = rules.get_mut(at) {
                list.push(*rule);
            }
        }
        let prefilter = Prefilter {
            four: Windows::new(&literals, |length| length >= 4),
            three: Windows::new(&literals, |length| length == 3),
            two: Windows::new(&literals, |length| length == 2),
            one: Bytes::new(&literals),
            rules: rules.into_iter().map(Vec::into_boxed_slice).collect(),
        };
        (prefilter, refused)
    }

    /// The literals, in no order that means anything.
    pub fn literals(&self) -> impl Iterator<Item = &[u8]> {
        let Prefilter { four, three, two, one, .. } = self;
        let all = [&four.literals, &three.literals, &two.literals];
        let longer = all.into_iter().flat_map(|literals| literals.iter()).map(|literal| &*literal.bytes);
        longer.chain(one.0.iter().map(|(byte, _)| std::slice::from_ref(byte)))
    }

    /// How many different literals it knows; they are numbered from 0.
    #[must_use]
    pub fn literal_count(&self) -> usize {
        self.rules.len()
    }

    /// Calls `found` with the number of each literal in `haystack`, at least once. Not for each place: bytes and runs of a
    /// byte are told once, because binary protocols are full of zeros.
    #[inline]
    pub fn scan(&self, haystack: &[u8], mut found: impl FnMut(usize)) {
        self.four.scan(haystack, &mut found);
        self.three.scan(haystack, &mut found);
        self.two.scan(haystack, &mut found);
        self.one.scan(haystack, &mut found);
    }

    /// The rules of a literal, ascending.
    #[must_use]
    pub fn rules(&self, literal: usize) -> &[u32] {
        self.rules.get(literal).map_or(&[], |rules| rules)
    }

    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let lists: usize = self.rules.iter().map(|rules| rules.len() * 4 + 16).sum();
        let windows =
            [self.four.memory_bytes(), self.three.memory_bytes(), self.two.memory_bytes(), self.one.memory_bytes()];
        lists + windows.iter().sum::<usize>()
    }
}

/// Literals of one byte, in lower case.
#[derive(Debug, Default)]
struct Bytes(Box<[(u8, u32)]>);

impl Bytes {
    fn new(literals: &[&[u8]]) -> Bytes {
        let single = literals.iter().zip(0u32..).filter_map(|(literal, number)| match literal {
            [byte] => Some((*byte, number)),
            _ => None,
        });
        Bytes(single.collect())
    }

    #[inline]
    fn scan(&self, haystack: &[u8], found: &mut impl FnMut(usize)) {
        if self.0.is_empty() {
            return;
        }
        let mut there = [false; 256];
        for byte in haystack {
            if let Some(there) = there.get_mut(usize::from(*byte)) {
                *there = true;
            }
        }
        let has = |byte: u8| there.get(usize::from(byte)).is_some_and(|there| *there);
        for (byte, literal) in self.0.iter().filter(|(byte, _)| has(*byte) || has(byte.to_ascii_uppercase())) {
            debug_assert!(!byte.is_ascii_uppercase());
            found(usize::try_from(*literal).unwrap_or(usize::MAX));
        }
    }

    fn memory_bytes(&self) -> usize {
        self.0.len() * 8
    }
}

/// Literals by one window of `WIDTH` bytes each.
#[derive(Debug, Default)]
struct Windows<const WIDTH: usize> {
    /// A set bit: some window has this hash. Empty: there are no windows.
    bitmap: Box<[u64]>,
    bitmap_log2: u32,
    /// Open addressing; its length is a power of two, and at most half of it is taken.
    slots: Box<[Slot]>,
    /// Literals with one window stand together.
    literals: Box<[Windowed]>,
}

/// The literals that have one window; `count` 0 is an empty slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u32,
    first: u32,
    count: u32,
}

/// A literal known by its window.
#[derive(Debug)]
struct Windowed {
    /// The first eight bytes as a number, letters without case; `mask` covers those that there are.
    head: u64,
    mask: u64,
    bytes: Box<[u8]>,
    /// Where in the literal its window begins.
    at: usize,
    literal: u32,
}

impl Windowed {
    fn new(bytes: &[u8], at: usize, literal: u32) -> Windowed {
        let mut first = [0; 8];
        let mut mask = [0; 8];
        for ((first, mask), byte) in first.iter_mut().zip(&mut mask).zip(bytes) {
            (*first, *mask) = (*byte, 0xff);
        }
        let mask = u64::from_le_bytes(mask);
        Windowed { head: folded(first) & mask, mask, bytes: bytes.into(), at, literal }
    }

    #[inline]
    fn stands_at(&self, haystack: &[u8], start: usize) -> bool {
        let Some(there) = haystack.get(start..) else { return false };
        if let Some(first) = there.first_chunk::<8>()
            && folded(*first) & self.mask != self.head
        {
            return false;
        }
        there.get(..self.bytes.len()).is_some_and(|there| there.eq_ignore_ascii_case(&self.bytes))
    }
}

/// Eight bytes as a number: letters lose their case, and some other bytes are taken for one another.
#[inline]
fn folded(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes) | 0x2020_2020_2020_2020
}

impl<const WIDTH: usize> Windows<WIDTH> {
    /// Takes the literals whose length `wanted` accepts; it must not accept lengths below `WIDTH`.
    fn new(literals: &[&[u8]], wanted: impl Fn(usize) -> bool) -> Windows<WIDTH> {
        let mut by_window: HashMap<u32, Vec<Windowed>> = HashMap::new();
        let numbered = literals.iter().zip(0u32..).filter(|(literal, _)| wanted(literal.len()));
        for (bytes, literal) in numbered {
            let windows = bytes.array_windows::<WIDTH>().enumerate();
            let best = windows.map(|(at, window)| {
                let key = key(window);
                let shared = by_window.get(&key).map_or(0, Vec::len);
                (is_run(window), shared, u32::MAX - worth(window), key, at)
            });
            if let Some((_, _, _, key, at)) = best.min() {
                by_window.entry(key).or_default().push(Windowed::new(bytes, at, literal));
            }
        }
        Windows::filed(by_window)
    }

    fn filed(by_window: HashMap<u32, Vec<Windowed>>) -> Windows<WIDTH> {
        if by_window.is_empty() {
            return Windows::default();
        }
        let slot_count = (by_window.len() * 2).next_power_of_two();
        let bitmap_log2 = (slot_count.ilog2() + SPARSE_LOG2).clamp(BITMAP_LOG2_MIN, BITMAP_LOG2_MAX);
        let mut windows = Windows {
            bitmap: vec![0; 1 << (bitmap_log2 - 6)].into(),
            bitmap_log2,
            slots: vec![Slot::default(); slot_count].into(),
            literals: Box::default(),
        };
        let mut literals = Vec::new();
        let mut sorted: Vec<(u32, Vec<Windowed>)> = by_window.into_iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        for (key, mut same) in sorted {
            let (word, bit) = windows.place(key);
            if let Some(word) = windows.bitmap.get_mut(word) {
                *word |= bit;
            }
            let slot = Slot {
                key,
                first: u32::try_from(literals.len()).unwrap_or(u32::MAX),
                count: u32::try_from(same.len()).unwrap_or(u32::MAX),
            };
            let free = windows.probe(key).find(|at| windows.slots.get(*at).is_some_and(|slot| slot.count == 0));
            if let Some(place) = free.and_then(|at| windows.slots.get_mut(at)) {
                *place = slot;
            }
            literals.append(&mut same);
        }
        windows.literals = literals.into();
        windows
    }

    #[inline]
    fn scan(&self, haystack: &[u8], found: &mut impl FnMut(usize)) {
        if self.bitmap.is_empty() {
            return;
        }
        let mut last: Option<[u8; WIDTH]> = None;
        for (at, window) in haystack.array_windows::<WIDTH>().enumerate() {
            let key = key(window);
            let (word, bit) = self.place(key);
            if self.bitmap.get(word).is_some_and(|word| word & bit != 0) {
                // Only a run has the same window twice on end. A literal that is known by the window of a run is that
                // run, and nothing else: it stood at the run's first place, or stands nowhere in it.
                if last != Some(*window) {
                    self.compare(key, haystack, at, found);
                }
                last = is_run(window).then_some(*window);
            } else {
                last = None;
            }
        }
    }

    /// Tells of the literals whose window is `key` and which stand in `haystack` with their window at `at`.
    fn compare(&self, key: u32, haystack: &[u8], at: usize, found: &mut impl FnMut(usize)) {
        let taken = self.probe(key).map_while(|at| self.slots.get(at).filter(|slot| slot.count > 0));
        let Some(slot) = taken.into_iter().find(|slot| slot.key == key) else { return };
        let (Ok(first), Ok(count)) = (usize::try_from(slot.first), usize::try_from(slot.count)) else { return };
        for candidate in self.literals.get(first..).unwrap_or_default().iter().take(count) {
            let start = at.checked_sub(candidate.at);
            if start.is_some_and(|start| candidate.stands_at(haystack, start)) {
                found(usize::try_from(candidate.literal).unwrap_or(usize::MAX));
            }
        }
    }

    /// Where a window's bit stands in the bitmap.
    #[inline]
    fn place(&self, key: u32) -> (usize, u64) {
        let hash = spread(key) >> (32 - self.bitmap_log2);
        (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
    }

    /// The slots where a window may stand, in the order in which they are tried.
    fn probe(&self, key: u32) -> impl Iterator<Item = usize> + use<WIDTH> {
        let mask = self.slots.len().wrapping_sub(1);
        let start = usize::try_from(spread(key) >> 7).unwrap_or(0);
        (0..=mask).map(move |step| start.wrapping_add(step) & mask)
    }

    fn memory_bytes(&self) -> usize {
        let literals: usize = self.literals.iter().map(|windowed| windowed.bytes.len() + 64).sum();
        self.bitmap.len() * 8 + self.slots.len() * 12 + literals
    }
}

/// Whether it is one byte again and again.
#[inline]
fn is_run(window: &[u8]) -> bool {
    window.windows(2).all(|pair| matches!(pair, [one, other] if one == other))
}

/// A window as a number. Letters lose their case, and some other bytes are taken for one another: the literals that share
/// a key are compared in full.
#[inline]
fn key<const WIDTH: usize>(window: &[u8; WIDTH]) -> u32 {
    let mut bytes = [0; 4];
    for (byte, of_window) in bytes.iter_mut().zip(window) {
        *byte = *of_window;
    }
    u32::from_le_bytes(bytes) | 0x2020_2020
}

/// Fibonacci hashing: the upper bits depend on all bits of the key.
#[inline]
fn spread(key: u32) -> u32 {
    key.wrapping_mul(0x9e37_79b1)
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
