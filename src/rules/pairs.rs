//! Places of a buffer where a window of some literal may begin, told by two bytes.

/// Places that are picked before they are looked at.
const CHUNK_PLACES: usize = 256;
/// Bytes behind a place that tell whether it is inside of a run.
const BEHIND: usize = 3;
/// A bit for each pair of bytes.
const WORDS: usize = (1 << 16) / 64;

/// Pairs of bytes, in any case.
#[derive(Debug, Default)]
pub(super) struct Pairs(Option<Box<[u64; WORDS]>>);

impl Pairs {
    /// `pairs` are in lower case.
    pub(super) fn of(pairs: impl Iterator<Item = [u8; 2]>) -> Pairs {
        let mut bits = None;
        for [first, second] in pairs {
            let bits = bits.get_or_insert_with(|| Box::new([0; WORDS]));
            for first in [first, first.to_ascii_uppercase()] {
                for second in [second, second.to_ascii_uppercase()] {
                    let (word, bit) = place([first, second]);
                    if let Some(word) = bits.get_mut(word) {
                        *word |= 1 << bit;
                    }
                }
            }
        }
        Pairs(bits)
    }

    /// Calls `look` with each place of `haystack` where one of the pairs stands, ascending; but for the inside of runs: places
    /// where the byte before and the three behind are all the same.
    ///
    /// Whether a place is picked cannot be foreseen, and a processor that guesses wrong loses more time than it takes to
    /// write each place down and to count on only where it is wanted.
    #[inline]
    pub(super) fn pick(&self, haystack: &[u8], mut look: impl FnMut(usize)) {
        let Some(bits) = self.0.as_deref() else { return };
        let mut picked = [0_u8; CHUNK_PLACES];
        // Other than the first four bytes.
        let mut before = haystack.first_chunk().map_or(0, |first| !u32::from_le_bytes(*first));
        let mut from = 0;
        while let Some(rest) = haystack.get(from..).filter(|rest| rest.len() > 1) {
            let chunk = rest.get(..CHUNK_PLACES + BEHIND).unwrap_or(rest);
            let (mut at, mut count) = (0_u8, 0);
            for four in chunk.array_windows::<4>() {
                if let Some(next) = picked.get_mut(count % CHUNK_PLACES) {
                    *next = at;
                }
                let [first, second, ..] = *four;
                let now = u32::from_le_bytes(*four);
                count += usize::from(stands(bits, [first, second]) & (now != before));
                (at, before) = (at.wrapping_add(1), now);
            }
            // The last places of all have no three bytes behind them.
            if chunk.len() < CHUNK_PLACES + BEHIND {
                for pair in chunk.array_windows::<2>().skip(usize::from(at)).take(CHUNK_PLACES - usize::from(at)) {
                    if let Some(next) = picked.get_mut(count % CHUNK_PLACES) {
                        *next = at;
                    }
                    count += usize::from(stands(bits, *pair));
                    at = at.wrapping_add(1);
                }
            }
            for at in picked.iter().take(count) {
                look(from + usize::from(*at));
            }
            from += CHUNK_PLACES;
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        if self.0.is_some() { WORDS * 8 } else { 0 }
    }
}

#[inline]
fn stands(bits: &[u64; WORDS], pair: [u8; 2]) -> bool {
    let (word, bit) = place(pair);
    bits.get(word).is_some_and(|word| word >> bit & 1 != 0)
}

/// The word and the bit of a pair.
#[inline]
fn place(pair: [u8; 2]) -> (usize, u32) {
    let pair = u16::from_le_bytes(pair);
    (usize::from(pair >> 6), u32::from(pair & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn each_place_of_a_pair_is_picked_but_for_the_inside_of_runs(
            pairs in proptest::collection::vec(proptest::prelude::any::<[u8; 2]>(), 0..3),
            haystack in proptest::collection::vec(proptest::prop_oneof![b'a'..b'd', proptest::prelude::Just(b'a')], 0..600),
        ) {
            let mut lower: Vec<[u8; 2]> = pairs.iter().map(|pair| pair.map(|byte| byte.to_ascii_lowercase())).collect();
            lower.extend([*b"ab", *b"aa"]);
            let mut picked = Vec::new();
            Pairs::of(lower.iter().copied()).pick(&haystack, |at| picked.push(at));
            let stands = |at: &usize| haystack.get(*at..).and_then(<[u8]>::first_chunk).is_some_and(|pair| lower.contains(pair));
            let inside = |at: &usize| {
                at.checked_sub(1).and_then(|before| haystack.get(before..at + 4)).is_some_and(|run| run.iter().all(|byte| *byte == run[0]))
            };
            let expected: Vec<usize> = (0..haystack.len()).filter(stands).filter(|at| !inside(at)).collect();
            proptest::prop_assert_eq!(picked, expected);
        }
    }

    #[test]
    fn case_does_not_count() {
        let mut picked = Vec::new();
        Pairs::of([*b"k\xff"].into_iter()).pick(b"K\xff k\xff", |at| picked.push(at));
        assert_eq!(picked, [0, 3]);
    }
}
