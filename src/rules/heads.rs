//! Literals that stand at one place of the payload, or nowhere.
//!
//! `content:"|02 00 00 00|"; depth:4` asks for the first bytes of a payload. To look for them everywhere would find them
//! in every other packet of a binary protocol; here each such place is asked once, whatever the payload's length.

use std::ops::Range;

use hashbrown::HashMap;

use super::alphabet::Alphabet;
use super::prefilter::LITERAL_BYTES_MAX;
use super::windows::{LiteralBytes, filled, folded, spread};

/// Bits of the bitmap for each literal, to the power of two.
const SPARSE_LOG2: u32 = 5;
const BITMAP_LOG2_MIN: u32 = 9;
const BITMAP_LOG2_MAX: u32 = 18;
/// Bytes of a literal that make its key.
const KEY_BYTES_MAX: usize = 4;

/// Literals with a place of their own, and the rules that each makes candidates.
#[derive(Debug, Default)]
pub struct Heads {
    /// Ascending.
    spots: Box<[Spot]>,
    /// A set bit: something with this hash stands somewhere. Empty: there are no literals.
    bitmap: Box<[u64]>,
    /// Takes a hash of 32 bits down to the place of its bit.
    bitmap_shift: u32,
    /// Which of `literals` have a key: they stand together.
    by_key: HashMap<Key, Range<u32>, foldhash::fast::FixedState>,
    literals: Box<[Head]>,
    /// Rules by literal, ascending, one list behind the other.
    rules: Box<[u32]>,
}

/// Where something is asked for, counted from the beginning of the payload, and which bytes of it are the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    at: u16,
    /// The bits of these bytes in the first four.
    mask: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(Place, u32);

/// What stands at one place.
#[derive(Debug)]
struct Spot {
    at: u16,
    /// The bytes with which something begins there, in any case: most payloads have another.
    first: Alphabet,
    places: Box<[Place]>,
}

#[derive(Debug)]
struct Head {
    literal: LiteralBytes,
    rules: Range<u32>,
}

/// A literal in lower case, not empty, the place where it must stand, and the rule that asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub at: u16,
    pub literal: Vec<u8>,
    pub rule: u32,
}

impl Heads {
    #[must_use]
    pub fn build(mut entries: Vec<Entry>) -> Heads {
        entries.retain(|entry| !entry.literal.is_empty());
        entries.iter_mut().for_each(|entry| entry.literal.truncate(LITERAL_BYTES_MAX));
        entries.sort_unstable_by_key(|entry| (key_of(entry), entry.literal.clone(), entry.rule));
        let mut heads = Heads::sized(entries.len());
        let (mut literals, mut rules, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for same in entries.chunk_by(|one, other| key_of(one) == key_of(other)) {
            let Some(key) = same.first().map(key_of) else { continue };
            places.push(key.0);
            let (word, bit) = heads.bit(key);
            heads.bitmap.get_mut(word).into_iter().for_each(|word| *word |= bit);
            let first = narrow(literals.len());
            for same in same.chunk_by(|one, other| one.literal == other.literal) {
                let from = narrow(rules.len());
                rules.extend(same.iter().map(|entry| entry.rule));
                let literal = LiteralBytes::new(same.first().map_or(&[], |entry| &entry.literal));
                literals.push(Head { literal, rules: from..narrow(rules.len()) });
            }
            heads.by_key.insert(key, first..narrow(literals.len()));
        }
        places.dedup();
        let spots =
            places.chunk_by(|one, other| one.at == other.at).map(|places| Spot::new(places, &entries)).collect();
        Heads { spots, literals: literals.into(), rules: rules.into(), ..heads }
    }

    fn sized(count: usize) -> Heads {
        let log2 = (count.next_power_of_two().ilog2() + SPARSE_LOG2).clamp(BITMAP_LOG2_MIN, BITMAP_LOG2_MAX);
        let words = if count == 0 { 0 } else { 1 << (log2 - 6) };
        Heads { bitmap: vec![0; words].into(), bitmap_shift: 32 - log2, ..Heads::default() }
    }

    /// The rules of all literals, one list behind the other.
    #[must_use]
    pub fn all_rules(&self) -> &[u32] {
        &self.rules
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spots.is_empty()
    }

    /// Calls `found` with where the rules of each literal that stands at its place in `payload` are in
    /// [`Heads::all_rules`]. Places in front of `from` are not asked.
    #[inline]
    pub fn look(&self, payload: &[u8], from: usize, mut found: impl FnMut(Range<usize>)) {
        for spot in &self.spots {
            let at = usize::from(spot.at);
            let Some(there @ [first, ..]) = payload.get(at..) else { return };
            if at < from || !spot.first.contains(*first) {
                continue;
            }
            for place in &spot.places {
                let key = Key(*place, key_at(there, place.mask));
                let (word, bit) = self.bit(key);
                if self.bitmap.get(word).is_some_and(|word| word & bit != 0) {
                    self.compare(key, there, &mut found);
                }
            }
        }
    }

    fn compare(&self, key: Key, there: &[u8], found: &mut impl FnMut(Range<usize>)) {
        let Some(same) = self.by_key.get(&key) else { return };
        for head in self.literals.get(wide(same)).unwrap_or_default() {
            if head.literal.stands_at(there, 0) {
                found(wide(&head.rules));
            }
        }
    }

    /// Where a key's bit stands in the bitmap.
    #[inline]
    fn bit(&self, Key(place, key): Key) -> (usize, u64) {
        let hash = spread(key.rotate_left(u32::from(place.at)) ^ place.mask) >> self.bitmap_shift;
        (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
    }

    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let by_key = self.by_key.capacity() * size_of::<(Key, Range<u32>)>();
        let spots: usize = self.spots.iter().map(|spot| size_of_val(spot) + size_of_val(&*spot.places)).sum();
        self.bitmap.len() * 8 + spots + by_key + size_of_val(&*self.literals) + self.rules.len() * 4
    }
}

impl Spot {
    /// `places` have one beginning.
    fn new(places: &[Place], entries: &[Entry]) -> Spot {
        let at = places.first().map_or(0, |place| place.at);
        let mut first = Alphabet::default();
        for byte in entries.iter().filter(|entry| entry.at == at).filter_map(|entry| entry.literal.first()) {
            first.add(*byte);
            first.add(byte.to_ascii_uppercase());
        }
        Spot { at, first, places: places.into() }
    }
}

fn key_of(entry: &Entry) -> Key {
    let absent = KEY_BYTES_MAX.saturating_sub(entry.literal.len());
    let mask = u32::MAX >> (8 * u32::try_from(absent).unwrap_or(0)).min(u32::BITS - 1);
    Key(Place { at: entry.at, mask }, key_at(&entry.literal, mask))
}

/// The first four bytes as a number, without regard to case, and of it what is wanted; bytes that are not there count as
/// zeros, for what is found is compared.
#[inline]
fn key_at(there: &[u8], mask: u32) -> u32 {
    let bytes = match there.first_chunk::<KEY_BYTES_MAX>() {
        Some(bytes) => *bytes,
        None => filled(there),
    };
    folded(u32::from_le_bytes(bytes)) & mask
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wide(range: &Range<u32>) -> Range<usize> {
    let wide = |place: u32| usize::try_from(place).unwrap_or(usize::MAX);
    wide(range.start)..wide(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(heads: &Heads, payload: &[u8], from: usize) -> Vec<u32> {
        let mut rules = Vec::new();
        heads.look(payload, from, |list| rules.extend_from_slice(&heads.all_rules()[list]));
        rules.sort_unstable();
        rules
    }

    fn entry(at: u16, literal: &[u8], rule: u32) -> Entry {
        Entry { at, literal: literal.to_vec(), rule }
    }

    #[test]
    fn a_literal_is_found_at_its_place_only_and_in_any_case() {
        let heads =
            Heads::build(vec![entry(0, b"user ", 1), entry(2, &[0, 0], 2), entry(2, &[0, 0], 3), entry(0, b"u", 4)]);
        assert_eq!(found(&heads, b"USER me", 0), [1, 4]);
        assert_eq!(found(&heads, b".user me", 0), [0; 0]);
        assert_eq!(found(&heads, &[1, 0, 0, 0], 0), [2, 3]);
        assert_eq!(found(&heads, &[1, 0, 0, 0], 3), [0; 0], "in front of where the search begins");
        assert_eq!(found(&heads, b"use", 0), [4], "shorter than the literal");
        assert_eq!(found(&Heads::default(), b"user me", 0), [0; 0]);
    }

    proptest::proptest! {
        #[test]
        fn it_finds_what_a_look_at_each_place_finds(
            literals in proptest::collection::vec((0..6_u16, proptest::collection::vec(b'a'..b'd', 1..9)), 0..30),
            payload in proptest::collection::vec(proptest::prop_oneof![b'a'..b'd', b'A'..b'D'], 0..20),
            from in 0..4_usize,
        ) {
            let entries = literals.iter().zip(0..).map(|((at, literal), rule)| entry(*at, literal, rule)).collect();
            let heads = Heads::build(entries);
            let lower = payload.to_ascii_lowercase();
            let stands = |(at, literal): &(u16, Vec<u8>)| {
                usize::from(*at) >= from && lower.get(usize::from(*at)..).is_some_and(|there| there.starts_with(literal))
            };
            let wanted: Vec<u32> = literals.iter().zip(0..).filter(|(literal, _)| stands(literal)).map(|(_, rule)| rule).collect();
            proptest::prop_assert_eq!(found(&heads, &payload, from), wanted);
        }
    }
}
