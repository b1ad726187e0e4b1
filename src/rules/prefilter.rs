//! One pass over a buffer finds the rules that could match in it.
//!
//! Each rule gives literals of which one must be in the buffer for the rule to match. All literals of a group are looked
//! for at once, without regard to case: what is found only makes a rule a candidate, and the engine then evaluates it whole.
//!
//! A literal is known by a window of its bytes: four of them, or all where it is shorter. First the places are picked where
//! some window's first bytes stand ([`Begins`]), then each of these is asked of the windows of each width
//! ([`Windows`]). `docs/decisions/0006-prefilter-by-windows.md` has what this was measured against.

use std::collections::HashMap;
use std::ops::Range;

use super::begins::Begins;
pub use super::begins::Length;
use super::common::common_bytes;
use super::plan::rarity;
use super::windows::{Windows, folded};

/// Bytes of a literal that the prefilter looks for: more costs memory and finds little more.
pub const LITERAL_BYTES_MAX: usize = 12;

/// Looks for the literals of many rules.
#[derive(Debug, Default)]
pub struct Prefilter {
    begins: Begins,
    four: Windows<4>,
    three: Windows<3>,
    two: Windows<2>,
    one: Bytes,
    /// Rules by literal, ascending, one list behind the other.
    rules: Box<[u32]>,
    /// Where each literal's list begins and ends.
    lists: Box<[(u32, u32)]>,
}

impl Prefilter {
    /// `entries` are literals in lower case, none of them empty, and the rules that they make candidates. Gives back the
    /// rules that it could not take.
    #[must_use]
    pub fn build(entries: &[(Vec<u8>, u32)], length: Length) -> (Prefilter, Vec<u32>) {
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
        let (four, three, two) = (
            Windows::<4>::new(&literals, |length| length >= 4),
            Windows::<3>::new(&literals, |length| length == 3),
            Windows::<2>::new(&literals, |length| length == 2),
        );
        let prefilter = Prefilter {
            begins: Begins::of(four.windows().chain(three.windows()).chain(two.windows()), length),
            four,
            three,
            two,
            one: Bytes::new(&literals),
            lists: lists(&rules),
            rules: rules.concat().into(),
        };
        (prefilter, refused)
    }

    /// The literals, in no order that means anything.
    pub fn literals(&self) -> impl Iterator<Item = &[u8]> {
        let Prefilter { four, three, two, one, .. } = self;
        let longer = four.literals().chain(three.literals()).chain(two.literals());
        longer.chain(one.0.iter().map(|(byte, _)| std::slice::from_ref(byte)))
    }

    /// How many different literals it knows; they are numbered from 0.
    #[must_use]
    pub fn literal_count(&self) -> usize {
        self.lists.len()
    }

    /// Calls `found` with the number of each literal in `haystack`, at least once. Not for each place: bytes and runs of a
    /// byte are told once, because binary protocols are full of zeros.
    ///
    /// Literals of one byte stand nearly everywhere: those that are not `wanted` are not looked for.
    #[inline]
    pub fn scan(&self, haystack: &[u8], wanted: impl Fn(usize) -> bool, mut found: impl FnMut(usize)) {
        self.begins.pick(haystack, |at| match haystack.get(at..).and_then(<[u8]>::first_chunk) {
            Some(there) => self.look(folded(u32::from_le_bytes(*there)), haystack, at, &mut found),
            None => {
                self.three.look(haystack, at, &mut found);
                self.two.look(haystack, at, &mut found);
            }
        });
        self.one.scan(haystack, wanted, &mut found);
    }

    /// The literals with a window at `at`, where `key` stands.
    #[inline(always)]
    fn look(&self, key: u32, haystack: &[u8], at: usize, found: &mut impl FnMut(usize)) {
        let (four, three, two) = (self.four.may_have(key), self.three.may_have(key), self.two.may_have(key));
        // Most places that were picked end here: one question is guessed right more often than three.
        if !(four | three | two) {
            return;
        }
        if four {
            self.four.compare(key, haystack, at, found);
        }
        if three {
            self.three.compare(key, haystack, at, found);
        }
        if two {
            self.two.compare(key, haystack, at, found);
        }
    }

    /// The rules of a literal, ascending.
    #[must_use]
    pub fn rules(&self, literal: usize) -> &[u32] {
        self.rules.get(self.list(literal)).unwrap_or_default()
    }

    /// Where they stand in [`Prefilter::all_rules`].
    #[must_use]
    pub fn list(&self, literal: usize) -> Range<usize> {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        self.lists.get(literal).map_or(0..0, |(begin, end)| place(*begin)..place(*end))
    }

    /// The rules of all literals, one list behind the other.
    #[must_use]
    pub fn all_rules(&self) -> &[u32] {
        &self.rules
    }

    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let lists = self.rules.len() * 4 + self.lists.len() * 8;
        let windows =
            [self.four.memory_bytes(), self.three.memory_bytes(), self.two.memory_bytes(), self.one.memory_bytes()];
        lists + self.begins.memory_bytes() + windows.iter().sum::<usize>()
    }
}

/// Where each of the lists begins and ends when they stand one behind the other.
fn lists(rules: &[Vec<u32>]) -> Box<[(u32, u32)]> {
    let mut end = 0;
    let place = |list: &Vec<u32>| {
        let begin = end;
        end += list.len();
        (u32::try_from(begin).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
    };
    rules.iter().map(place).collect()
}

/// In a shorter buffer it costs less to write down which bytes it has than to search for each of a few dozen.
const SEARCHED_BYTES_MIN: usize = 192;

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
    fn scan(&self, haystack: &[u8], wanted: impl Fn(usize) -> bool, found: &mut impl FnMut(usize)) {
        if self.0.is_empty() {
            return;
        }
        if haystack.len() < SEARCHED_BYTES_MIN {
            let mut there = [0_u64; 4];
            for byte in haystack {
                if let Some(word) = there.get_mut(usize::from(byte >> 6)) {
                    *word |= 1 << (byte & 63);
                }
            }
            let stands = |byte: u8| there.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 != 0);
            self.tell(wanted, |byte| stands(byte) || stands(byte.to_ascii_uppercase()), found);
        } else {
            let stands = |byte: u8| match byte.to_ascii_uppercase() {
                upper if upper == byte => memchr::memchr(byte, haystack).is_some(),
                upper => memchr::memchr2(byte, upper, haystack).is_some(),
            };
            self.tell(wanted, stands, found);
        }
    }

    #[inline]
    fn tell(&self, wanted: impl Fn(usize) -> bool, stands: impl Fn(u8) -> bool, found: &mut impl FnMut(usize)) {
        for (byte, literal) in &self.0 {
            debug_assert!(!byte.is_ascii_uppercase());
            let literal = usize::try_from(*literal).unwrap_or(usize::MAX);
            if wanted(literal) && stands(*byte) {
                found(literal);
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.0.len() * 8
    }
}

/// The part of a pattern that is best looked for, in lower case, and how good it is.
#[must_use]
pub fn literal_of(pattern: &[u8]) -> (Vec<u8>, u32) {
    let width = pattern.len().clamp(1, LITERAL_BYTES_MAX);
    let common = common_bytes(pattern);
    let parts = pattern.windows(width).enumerate();
    let best = parts.map(|(from, part)| (worth(part, |at| common(from + at)), part)).max_by_key(|(worth, _)| *worth);
    let (worth, part) = best.unwrap_or((0, pattern));
    (part.to_ascii_lowercase(), worth)
}

/// Rare bytes count more; a byte that repeats the one before it counts little, and so does one that stands where it
/// stands everywhere.
fn worth(window: &[u8], common: impl Fn(usize) -> bool) -> u32 {
    let mut previous = None;
    let mut sum = 0;
    for (at, byte) in window.iter().enumerate() {
        sum += if previous == Some(byte) || common(at) { 1 } else { 2 + u32::from(rarity(*byte)) };
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
        let (prefilter, left) = Prefilter::build(&entries, Length::Long);
        assert!(left.is_empty());
        let mut rules = Vec::new();
        prefilter.scan(b"..aBC", |_| true, |literal| rules.extend_from_slice(prefilter.rules(literal)));
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
            let (prefilter, left) = Prefilter::build(&entries, Length::Long);
            assert!(left.is_empty());
            let mut found = std::collections::BTreeSet::new();
            prefilter.scan(&haystack, |_| true, |literal| found.extend(prefilter.rules(literal)));
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
