//! Places of a buffer where a window of some literal may begin, told by two bytes, and then by a third.

use super::windows::folded;

/// Places that are picked before they are looked at.
const CHUNK_PLACES: usize = 256;
/// These places and what a window at the last of them is told by.
const CHUNK_BYTES: usize = CHUNK_PLACES + 4;
/// Places that are asked about together.
const BLOCK_PLACES: usize = 8;
/// The bytes of a block and those behind it that belong to a window at one of its places.
const BLOCK_BYTES: usize = BLOCK_PLACES + 4;
/// All pairs of bytes.
const PAIRS: usize = 1 << 16;
/// A bit for each pair.
const WORDS: usize = PAIRS / 32;

/// The third bytes that stand behind pairs: a word for each of so many hashes of a pair, to the power of two.
const THIRDS_LOG2: u32 = 11;
const THIRDS: usize = 1 << THIRDS_LOG2;

/// How long the buffers are that are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Few bytes each, many kinds of them: small tables stay in the caches.
    Short,
    /// Payloads and bodies: a table of 64 KiB costs half the instructions for a place, and they use few of its lines.
    Long,
}

/// What windows begin with, in any case.
#[derive(Debug, Default)]
pub(super) struct Begins(Option<Box<Tables>>);

#[derive(Debug)]
struct Tables {
    pairs: [u32; WORDS],
    /// The same, a byte for each pair: 1 or 0.
    pair_bytes: Option<Box<[u8; PAIRS]>>,
    thirds: [u64; THIRDS],
}

impl Begins {
    /// `windows` are in lower case, of at least two bytes.
    pub(super) fn of<'w>(windows: impl Iterator<Item = &'w [u8]>, length: Length) -> Begins {
        let mut tables: Option<Box<Tables>> = None;
        for window in windows {
            let tables = tables
                .get_or_insert_with(|| Box::new(Tables { pairs: [0; WORDS], pair_bytes: None, thirds: [0; THIRDS] }));
            let [first, second, ref rest @ ..] = *window else { continue };
            for first in [first, first.to_ascii_uppercase()] {
                for second in [second, second.to_ascii_uppercase()] {
                    let (word, bit) = place([first, second]);
                    if let Some(word) = tables.pairs.get_mut(word) {
                        *word |= 1 << bit;
                    }
                }
            }
            let (word, bit) = third_place([first, second, rest.first().copied().unwrap_or(0), 0]);
            if let Some(word) = tables.thirds.get_mut(word) {
                *word |= if rest.is_empty() { u64::MAX } else { 1 << bit };
            }
        }
        if let (Some(tables), Length::Long) = (&mut tables, length) {
            tables.spread();
        }
        Begins(tables)
    }

    /// Calls `look` with each place of `haystack` where one of the windows may begin, ascending; but for blocks inside of
    /// runs: eight places, with the byte before and four behind, that are all the same.
    ///
    /// Whether a place is picked cannot be foreseen, and a processor that guesses wrong loses more time than it takes to
    /// write each place down and to count on only where it is wanted.
    #[inline]
    pub(super) fn pick(&self, haystack: &[u8], mut look: impl FnMut(usize)) {
        let Some(tables) = self.0.as_deref() else { return };
        let mut picked = [0_u8; CHUNK_PLACES];
        let mut before = None;
        let mut from = 0;
        while let Some(rest) = haystack.get(from..).filter(|rest| rest.len() >= BLOCK_BYTES) {
            let (places, count) = match &tables.pair_bytes {
                Some(bytes) => pick_in_chunk(&**bytes, rest, before, &mut picked),
                None => pick_in_chunk(&tables.pairs, rest, before, &mut picked),
            };
            let kept = match rest.first_chunk() {
                Some(chunk) => tables.keep(chunk, &mut picked, count),
                None => tables.keep(&filled(rest), &mut picked, count),
            };
            for at in picked.iter().take(kept) {
                look(from + usize::from(*at));
            }
            before = rest.get(places.wrapping_sub(1)).copied();
            from += places;
        }
        for (pair, at) in haystack.get(from..).unwrap_or_default().array_windows::<2>().zip(from..) {
            if tables.pairs.stands(*pair) {
                look(at);
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let bytes = |tables: &Tables| if tables.pair_bytes.is_some() { PAIRS } else { 0 };
        self.0.as_deref().map_or(0, |tables| size_of::<Tables>() + bytes(tables))
    }
}

/// A set of pairs.
trait Pairs {
    fn stands(&self, pair: [u8; 2]) -> bool;
}

impl Pairs for [u32; WORDS] {
    #[inline]
    fn stands(&self, pair: [u8; 2]) -> bool {
        let (word, bit) = place(pair);
        self.get(word).is_some_and(|word| word >> bit & 1 != 0)
    }
}

impl Pairs for [u8; PAIRS] {
    #[inline]
    fn stands(&self, pair: [u8; 2]) -> bool {
        self.get(usize::from(u16::from_le_bytes(pair))).is_some_and(|byte| *byte != 0)
    }
}

/// Writes down the places that are picked in the first chunk of `rest`, which the byte `before` stands in front of. Returns
/// how many places it has looked at, and how many are picked.
///
/// A function of its own, because inside of another the table's address does not stay in a register.
#[inline(never)]
fn pick_in_chunk(
    pairs: &impl Pairs,
    rest: &[u8],
    mut before: Option<u8>,
    picked: &mut [u8; CHUNK_PLACES],
) -> (usize, usize) {
    let (mut at, mut count) = (0_usize, 0);
    while at < CHUNK_PLACES
        && let Some(block) = rest.get(at..).and_then(<[u8]>::first_chunk::<BLOCK_BYTES>)
    {
        if !(is_run(block) && before == block.first().copied()) {
            for (pair, at) in block.array_windows::<2>().take(BLOCK_PLACES).zip(at..) {
                if let Some(next) = picked.get_mut(count % CHUNK_PLACES) {
                    *next = at.to_le_bytes()[0];
                }
                count += usize::from(pairs.stands(*pair));
            }
        }
        before = block.get(BLOCK_PLACES - 1).copied();
        at += BLOCK_PLACES;
    }
    (at, count)
}

impl Tables {
    /// Of the first `count` places in `chunk` leaves those whose third byte fits, in front; returns how many they are. As with
    /// picking, nothing is guessed.
    #[inline(never)]
    fn keep(&self, chunk: &[u8; CHUNK_BYTES], picked: &mut [u8; CHUNK_PLACES], count: usize) -> usize {
        let mut kept = 0;
        for next in 0..count.min(CHUNK_PLACES) {
            let at = picked.get(next).copied().unwrap_or(0);
            if let Some(place) = picked.get_mut(kept % CHUNK_PLACES) {
                *place = at;
            }
            let there = chunk.get(usize::from(at)..).and_then(<[u8]>::first_chunk);
            kept += usize::from(there.is_some_and(|there| third_stands(&self.thirds, *there)));
        }
        kept
    }

    /// Gives each pair a byte.
    fn spread(&mut self) {
        let mut bytes: Box<[u8; PAIRS]> = Box::new([0; PAIRS]);
        for (byte, pair) in bytes.iter_mut().zip(0..=u16::MAX) {
            *byte = u8::from(self.pairs.stands(pair.to_le_bytes()));
        }
        self.pair_bytes = Some(bytes);
    }
}

/// What is left of a buffer, and zeros behind its end.
fn filled(rest: &[u8]) -> [u8; CHUNK_BYTES] {
    let mut chunk = [0; CHUNK_BYTES];
    if let Some(begin) = chunk.get_mut(..rest.len()) {
        begin.copy_from_slice(rest);
    }
    chunk
}

/// Whether all bytes are the same.
#[inline]
fn is_run(block: &[u8; BLOCK_BYTES]) -> bool {
    let [a, b, c, d, e, f, g, h, behind @ ..] = *block;
    let places = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    places == places.rotate_left(8) && behind == [a, b, c, d]
}

#[inline]
fn third_stands(thirds: &[u64; THIRDS], there: [u8; 4]) -> bool {
    let (word, bit) = third_place(there);
    thirds.get(word).is_some_and(|word| word >> bit & 1 != 0)
}

/// The word of a pair and the bit of the byte behind it, whatever the case; the fourth byte does not count.
#[inline]
fn third_place(there: [u8; 4]) -> (usize, u32) {
    let there = u32::from_le_bytes(there);
    let pair = folded(there) & 0xffff;
    let third = there >> 16;
    // Letters and digits each have a bit of their own.
    let bit = third & !((third & 0x40) >> 1) & 63;
    (usize::try_from(pair.wrapping_mul(0x9e37_79b1) >> (32 - THIRDS_LOG2)).unwrap_or(0), bit)
}

/// The word and the bit of a pair.
#[inline]
fn place(pair: [u8; 2]) -> (usize, u32) {
    let pair = u16::from_le_bytes(pair);
    (usize::from(pair >> 5), u32::from(pair & 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn each_place_of_a_window_is_picked_but_for_blocks_inside_of_runs(
            windows in proptest::collection::vec(proptest::collection::vec(b'a'..b'd', 2..5), 0..3),
            pieces in proptest::collection::vec((b'a'..b'd', 1..40_usize), 0..40),
            length in proptest::prop_oneof![proptest::strategy::Just(Length::Short), proptest::strategy::Just(Length::Long)],
        ) {
            let haystack: Vec<u8> = pieces.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
            let mut lower = windows;
            lower.extend([b"ab".to_vec(), b"aaa".to_vec()]);
            let mut picked = Vec::new();
            Begins::of(lower.iter().map(Vec::as_slice), length).pick(&haystack, |at| picked.push(at));
            proptest::prop_assert!(picked.is_sorted_by(|one, other| one < other));
            let stands = |at: &usize| lower.iter().any(|window| haystack.get(*at..).is_some_and(|there| there.starts_with(window)));
            // Such a place has the same byte before it and three times behind.
            let inside = |at: usize| {
                at.checked_sub(1).and_then(|before| haystack.get(before..at + 4)).is_some_and(|run| run.iter().all(|byte| *byte == run[0]))
            };
            for at in (0..haystack.len()).filter(stands) {
                proptest::prop_assert!(picked.contains(&at) || inside(at), "{at}");
            }
        }
    }

    #[test]
    fn case_does_not_count() {
        let mut picked = Vec::new();
        Begins::of([&b"k\xffz"[..]].into_iter(), Length::Short)
            .pick(b"K\xffZ............ k\xff. k\xffz..........", |at| picked.push(at));
        assert_eq!(picked, [0, 20]);
    }

    #[test]
    fn a_long_run_is_looked_at_where_it_begins_and_where_it_ends() {
        let mut picked = Vec::new();
        Begins::of([&[0, 0][..]].into_iter(), Length::Long).pick(&[0; 1000], |at| picked.push(at));
        assert!(picked.starts_with(&[0, 1]) && picked.ends_with(&[997, 998]) && picked.len() < 32, "{picked:?}");
    }
}
