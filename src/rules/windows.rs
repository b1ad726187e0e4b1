//! Literals, each known by one window of its bytes.
//!
//! A bitmap that stays in the caches says of nearly every place of a buffer that no window begins there. Where it cannot, a
//! table leads to the few literals with that window, and these are compared.

use std::collections::HashMap;

use super::common::is_common;
use super::plan::rarity;
use super::prefilter::LITERAL_BYTES_MAX;

/// Bits of a bitmap for each window in it, to the power of two: one place in 64 is looked at in vain.
const SPARSE_LOG2: u32 = 6;
/// The largest bitmap has this many bits to the power of two: 32 KiB.
const BITMAP_LOG2_MAX: u32 = 18;
const BITMAP_LOG2_MIN: u32 = 9;
/// So many literals may share a window before another is taken that begins with bytes that are met more often.
const FEW: usize = 4;

/// Literals by one window of `WIDTH` bytes each.
#[derive(Debug, Default)]
pub(super) struct Windows<const WIDTH: usize> {
    /// A set bit: some window has this hash. Empty: there are no windows.
    bitmap: Box<[u64]>,
    /// Takes a hash of 32 bits down to the place of its bit.
    bitmap_shift: u32,
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
    bytes: LiteralBytes,
    /// Where in the literal its window begins.
    at: u8,
    literal: u32,
}

/// The bytes of a literal, in the form in which they are compared.
#[derive(Debug)]
pub(super) struct LiteralBytes {
    /// In lower case, as much as is looked for; zeros behind the end.
    bytes: [u8; LITERAL_BYTES_MAX],
    length: u8,
    numbers: Numbers,
}

impl LiteralBytes {
    pub(super) fn new(literal: &[u8]) -> LiteralBytes {
        let bytes = filled(literal);
        let length = narrow(literal.len().min(LITERAL_BYTES_MAX));
        LiteralBytes { bytes, length, numbers: Numbers::of(&bytes, length) }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn stands_at(&self, haystack: &[u8], start: usize) -> bool {
        let there = haystack.get(start..).unwrap_or_default();
        match there.first_chunk() {
            Some(there) => Numbers::of(there, self.length) == self.numbers,
            None => there.len() >= usize::from(self.length) && Numbers::of(&filled(there), self.length) == self.numbers,
        }
    }
}

/// A literal's bytes as numbers, eight and the four behind them, without those behind its end. Letters have lost their case,
/// and a few other bytes are taken for one another: a literal is a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers(u64, u32);

impl Numbers {
    #[inline]
    fn of(bytes: &[u8; LITERAL_BYTES_MAX], length: u8) -> Numbers {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        let head = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let tail = u32::from_le_bytes([i, j, k, l]);
        let bits = u32::from(length) * 8;
        let head_mask = u64::MAX >> 64_u32.saturating_sub(bits).min(63);
        let tail_mask = !u32::MAX.checked_shl(bits.saturating_sub(64)).unwrap_or(0);
        Numbers((head | (head & 0x4040_4040_4040_4040) >> 1) & head_mask, folded(tail) & tail_mask)
    }
}

/// The first bytes, and zeros behind their end.
pub(super) fn filled<const COUNT: usize>(from: &[u8]) -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    for (byte, from) in bytes.iter_mut().zip(from) {
        *byte = *from;
    }
    bytes
}

/// A number below [`LITERAL_BYTES_MAX`].
fn narrow(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

impl<const WIDTH: usize> Windows<WIDTH> {
    /// The bytes of a key that a window has.
    const KEY_MASK: u32 = u32::MAX >> (32 - 8 * WIDTH);

    /// Takes the literals whose length `wanted` accepts; it must not accept lengths below `WIDTH`.
    pub(super) fn new(literals: &[&[u8]], wanted: impl Fn(usize) -> bool) -> Windows<WIDTH> {
        let mut by_window: HashMap<u32, Vec<Windowed>> = HashMap::new();
        let numbered = literals.iter().zip(0u32..).filter(|(literal, _)| wanted(literal.len()));
        for (bytes, literal) in numbered {
            let windows = bytes.array_windows::<WIDTH>().take(LITERAL_BYTES_MAX - WIDTH + 1).enumerate();
            let best = windows.map(|(at, window)| {
                let key = key(window);
                let shared = by_window.get(&key).map_or(0, Vec::len);
                (is_run(window), is_everywhere(window), shared / FEW, commonness(window), shared, key, at)
            });
            if let Some((.., key, at)) = best.min() {
                by_window.entry(key).or_default().push(Windowed {
                    bytes: LiteralBytes::new(bytes),
                    at: narrow(at),
                    literal,
                });
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
            bitmap_shift: 32 - bitmap_log2,
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

    /// Tells of the literals which stand in `haystack` with their window at `at`.
    pub(super) fn look(&self, haystack: &[u8], at: usize, found: &mut impl FnMut(usize)) {
        let Some(window) = haystack.get(at..).and_then(<[u8]>::first_chunk::<WIDTH>) else { return };
        let key = key(window);
        if self.may_have(key) {
            self.compare(key, haystack, at, found);
        }
    }

    /// False where no literal has the window with this key; of it only the first `WIDTH` bytes count.
    #[inline]
    pub(super) fn may_have(&self, key: u32) -> bool {
        let (word, bit) = self.place(key & Self::KEY_MASK);
        self.bitmap.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The windows, in lower case.
    pub(super) fn windows(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().filter_map(|literal| literal.bytes.bytes().get(usize::from(literal.at)..)?.get(..WIDTH))
    }

    pub(super) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().map(|literal| literal.bytes.bytes())
    }

    /// Tells of the literals which stand in `haystack` with their window, which has this key, at `at`.
    pub(super) fn compare(&self, key: u32, haystack: &[u8], at: usize, found: &mut impl FnMut(usize)) {
        let key = key & Self::KEY_MASK;
        if Self::is_inside_of_run(key, haystack, at) {
            return;
        }
        let taken = self.probe(key).map_while(|at| self.slots.get(at).filter(|slot| slot.count > 0));
        let Some(slot) = taken.into_iter().find(|slot| slot.key == key) else { return };
        let (Ok(first), Ok(count)) = (usize::try_from(slot.first), usize::try_from(slot.count)) else { return };
        for candidate in self.literals.get(first..).unwrap_or_default().iter().take(count) {
            let start = at.checked_sub(usize::from(candidate.at));
            if start.is_some_and(|start| candidate.bytes.stands_at(haystack, start)) {
                found(usize::try_from(candidate.literal).unwrap_or(usize::MAX));
            }
        }
    }

    /// Only a run has the same window twice on end. A literal that is known by the window of a run is that run, and nothing
    /// else: it stood at the run's first place, or stands nowhere in it.
    #[inline]
    fn is_inside_of_run(key: u32, haystack: &[u8], at: usize) -> bool {
        let is_run = key == (key & 0xff).wrapping_mul(0x0101_0101 & Self::KEY_MASK);
        let before = || at.checked_sub(1).and_then(|before| haystack.get(before));
        is_run && before().is_some_and(|before| folded(u32::from(*before)) == key & 0xff)
    }

    /// Where a window's bit stands in the bitmap.
    #[inline]
    fn place(&self, key: u32) -> (usize, u64) {
        let hash = spread(key) >> self.bitmap_shift;
        (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
    }

    /// The slots where a window may stand, in the order in which they are tried.
    fn probe(&self, key: u32) -> impl Iterator<Item = usize> + use<WIDTH> {
        let mask = self.slots.len().wrapping_sub(1);
        let start = usize::try_from(spread(key) >> 7).unwrap_or(0);
        (0..=mask).map(move |step| start.wrapping_add(step) & mask)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bitmap.len() * 8 + size_of_val(&*self.slots) + size_of_val(&*self.literals)
    }
}

/// How often the two bytes are met with which a window begins: less is better.
fn commonness(window: &[u8]) -> u8 {
    window.iter().take(2).fold(u8::MAX, |common, byte| common.saturating_sub(rarity(*byte)))
}

/// Whether it stands in nearly every exchange.
fn is_everywhere(window: &[u8]) -> bool {
    window.first_chunk().is_some_and(|window| is_common(*window))
}

/// Whether it is one byte again and again.
#[inline]
fn is_run(window: &[u8]) -> bool {
    window.windows(2).all(|pair| matches!(pair, [one, other] if one == other))
}

/// A window as a number: the literals that share it are compared in full.
#[inline]
fn key<const WIDTH: usize>(window: &[u8; WIDTH]) -> u32 {
    let mut bytes = [0; 4];
    for (byte, of_window) in bytes.iter_mut().zip(window) {
        *byte = *of_window;
    }
    folded(u32::from_le_bytes(bytes))
}

/// Four bytes as a number: letters lose their case, and `@`, `[`, `\`, `]`, `^`, `_` are taken for what stands beside the
/// letters in lower case.
#[inline]
pub(super) fn folded(bytes: u32) -> u32 {
    bytes | (bytes & 0x4040_4040) >> 1
}

/// Fibonacci hashing: the upper bits depend on all bits of the key.
#[inline]
pub(super) fn spread(key: u32) -> u32 {
    key.wrapping_mul(0x9e37_79b1)
}
