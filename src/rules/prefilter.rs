//! One pass over a buffer finds the rules that could match in it.
//!
//! Each rule gives one literal that must be in the buffer for the rule to match. All literals of a group are looked for
//! at once, in lower case: what is found only makes a rule a candidate, and the engine then evaluates it whole. Behind
//! this small interface stands the aho-corasick crate, to be replaced by what a measurement may favour.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::plan::rarity;

/// Bytes of a literal that the prefilter looks for: more costs memory and finds little more.
const LITERAL_BYTES_MAX: usize = 12;
/// Below so many literals the faster automaton is worth its memory.
const DENSE_LITERAL_COUNT_MAX: usize = 300;

/// Looks for the literals of many rules.
#[derive(Debug, Default)]
pub struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// Rules by literal, ascending.
    rules: Box<[Box<[u32]>]>,
}

impl Prefilter {
    /// `entries` are literals and the rules that they make candidates. Gives back the rules it could not take.
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
        if literals.is_empty() {
            return (Prefilter::default(), Vec::new());
        }
        let kind = if literals.len() <= DENSE_LITERAL_COUNT_MAX {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let built = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&literals);
        match built {
            Ok(automaton) => {
                let rules = rules.into_iter().map(Vec::into_boxed_slice).collect();
                (Prefilter { automaton: Some(automaton), rules }, Vec::new())
            }
            Err(_) => (Prefilter::default(), rules.into_iter().flatten().collect()),
        }
    }

    /// How many different literals it knows; they are numbered from 0.
    #[must_use]
    pub fn literal_count(&self) -> usize {
        self.rules.len()
    }

    /// Calls `found` with the number of each literal in `haystack`, once for each place where it stands.
    #[inline]
    pub fn scan(&self, haystack: &[u8], mut found: impl FnMut(usize)) {
        let Some(automaton) = &self.automaton else { return };
        if let Ok(matches) = automaton.try_find_overlapping_iter(haystack) {
            for literal in matches {
                found(literal.pattern().as_usize());
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
        lists + self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage)
    }
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

    #[test]
    fn the_rare_part_of_a_long_pattern_is_chosen() {
        let (literal, _) = literal_of(b"GET /index.html HTTP/1.1\r\n\x90\x91\x92\x93");
        assert!(literal.ends_with(b"\x90\x91\x92\x93"));
        assert_eq!(literal_of(b"Ab").0, b"ab");
    }
}
