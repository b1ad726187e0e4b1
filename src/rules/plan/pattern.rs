//! Bytes to look for, and how they are found.

/// Bytes to look for, with the rarest of them to look for first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Lower case if `nocase`.
    bytes: Box<[u8]>,
    nocase: bool,
    /// The places of the rarest byte and of another rare one.
    rare_at: [u16; 2],
    /// Its first eight bytes as a number, and which of them there are: most places are told by these.
    head: u64,
    mask: u64,
}

/// Places that are asked about together.
const BLOCK_PLACES: usize = 32;

/// A byte that has been met again within so many is met often here.
const NEAR_BYTES: usize = 64;

/// So many blocks are looked through by two bytes before the rarest is tried alone again.
const BLOCK_COUNT_MAX: usize = 32;

impl Pattern {
    #[must_use]
    pub fn new(bytes: &[u8], nocase: bool) -> Pattern {
        let bytes: Box<[u8]> = if nocase { bytes.to_ascii_lowercase().into() } else { bytes.into() };
        let rarest = bytes.iter().enumerate().max_by_key(|(_, byte)| rarity(**byte)).map_or(0, |(at, _)| at);
        // The same byte elsewhere would say little where that one stands in a row.
        let other = (bytes.iter().enumerate().filter(|(at, _)| *at != rarest))
            .max_by_key(|(_, byte)| (bytes.get(rarest) != Some(*byte), rarity(**byte)));
        let rare_at = [rarest, other.map_or(rarest, |(at, _)| at)].map(|at| u16::try_from(at).unwrap_or(0));
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(&bytes) {
            (*head, *mask) = (*byte, 0xff);
        }
        let mask = u64::from_le_bytes(mask);
        let head = (u64::from_le_bytes(head) | case(nocase)) & mask;
        Pattern { bytes, nocase, rare_at, head, mask }
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[must_use]
    pub fn nocase(&self) -> bool {
        self.nocase
    }

    /// How seldom its rarest byte is met.
    #[must_use]
    pub fn rarity(&self) -> u8 {
        let [rarest, _] = self.rare_at;
        self.bytes.get(usize::from(rarest)).map_or(0, |byte| rarity(*byte))
    }

    /// Where the pattern first begins in `haystack`.
    #[must_use]
    pub fn find(&self, haystack: &[u8]) -> Option<usize> {
        let last_start = haystack.len().checked_sub(self.bytes.len())?;
        let (rare_at, rare) = self.rare(0)?;
        if last_start == 0 {
            return self.is_at(haystack, 0).then_some(0);
        }
        let mut start = 0;
        while start <= last_start {
            let window = haystack.get(start + rare_at..=last_start + rare_at)?;
            let found = if self.nocase && rare.is_ascii_alphabetic() {
                memchr::memchr2(rare, rare.to_ascii_uppercase(), window)
            } else {
                memchr::memchr(rare, window)
            };
            let passed = found?;
            start += passed;
            if self.is_at(haystack, start) {
                return Some(start);
            }
            start += 1;
            if passed < NEAR_BYTES {
                start = self.pass_over(haystack, start);
            }
        }
        None
    }

    /// The next place from `start` on where both rare bytes stand, or one in front of which there is none.
    fn pass_over(&self, haystack: &[u8], mut start: usize) -> usize {
        let (Some(one), Some(other)) = (self.rare(0), self.rare(1)) else { return start };
        let block = |at: usize| haystack.get(at..).and_then(<[u8]>::first_chunk::<BLOCK_PLACES>);
        let (one_case, other_case) = (self.case_of(one.1), self.case_of(other.1));
        for _ in 0..BLOCK_COUNT_MAX {
            let (Some(ones), Some(others)) = (block(start + one.0), block(start + other.0)) else { break };
            let stand = |(a, b): (&u8, &u8)| (a | one_case == one.1) & (b | other_case == other.1);
            if ones.iter().zip(others).fold(false, |any, pair| any | stand(pair)) {
                return start + ones.iter().zip(others).position(stand).unwrap_or(0);
            }
            start += BLOCK_PLACES;
        }
        start
    }

    /// The place and the value of one of the two rare bytes.
    fn rare(&self, which: usize) -> Option<(usize, u8)> {
        let at = usize::from(*self.rare_at.get(which)?);
        Some((at, *self.bytes.get(at)?))
    }

    /// The bit in which the byte in either case differs, if case does not count for it.
    fn case_of(&self, byte: u8) -> u8 {
        if self.nocase && byte.is_ascii_alphabetic() { 0x20 } else { 0 }
    }

    /// Whether the pattern begins at `start`.
    #[must_use]
    #[inline]
    pub fn is_at(&self, haystack: &[u8], start: usize) -> bool {
        let Some(rest) = haystack.get(start..) else { return false };
        if let Some(first) = rest.first_chunk::<8>()
            && (u64::from_le_bytes(*first) | case(self.nocase)) & self.mask != self.head
        {
            return false;
        }
        let Some(window) = rest.get(..self.bytes.len()) else { return false };
        if self.nocase { window.eq_ignore_ascii_case(&self.bytes) } else { window == &*self.bytes }
    }
}

/// The bit in which letters of both cases differ, in each of eight bytes, if case does not count. Some other bytes are taken
/// for one another, too.
#[inline]
fn case(nocase: bool) -> u64 {
    if nocase { 0x2020_2020_2020_2020 } else { 0 }
}

/// How seldom a byte is met in traffic, roughly: 0 is everywhere.
#[must_use]
pub fn rarity(byte: u8) -> u8 {
    match byte {
        0 | b' ' => 1,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 2,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'f' | b'g' | b'w' | b'b' => 3,
        b'\r' | b'\n' | 0xff | b'/' | b'.' | b'-' | b'=' | b':' | b'0'..=b'9' => 4,
        b'y' | b'v' | b'k' | b'x' | b'j' | b'q' | b'z' | 1 => 5,
        b'A'..=b'Z' | b'"' | b';' | b',' | b'<' | b'>' | b'(' | b')' | b'&' | b'_' => 6,
        0x20..=0x7e => 7,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Long enough for blocks, of few different bytes, so that there are many vain stops.
        #[test]
        fn the_first_place_is_found(pattern in "[abC@`\\x00]{1,5}", haystack in "[abcABC@`\\x00]{0,300}", nocase: bool) {
            let (bytes, haystack) = (pattern.as_bytes(), haystack.as_bytes());
            let stands = |window: &[u8]| match nocase {
                true => window.eq_ignore_ascii_case(bytes),
                false => window == bytes,
            };
            let first = haystack.windows(bytes.len()).position(stands);
            prop_assert_eq!(Pattern::new(bytes, nocase).find(haystack), first);
        }

        #[test]
        fn what_stands_behind_many_near_misses_is_found(misses in 0..400_usize, behind in 0..70_usize, nocase: bool) {
            let haystack = [&b"xQ".repeat(misses)[..], b"xyzQy", &b"q".repeat(behind)].concat();
            let found = Pattern::new(b"xyzQy", nocase).find(&haystack);
            prop_assert_eq!(found, Some(2 * misses));
        }
    }
}
