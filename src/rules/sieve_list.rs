//! Rules that are held against every packet of a group, asked together.
//!
//! For each fact of a packet and each common set of addresses a word says which of up to 64 rules it leaves: a few words
//! joined leave those whose sieves are worth a look.

use super::sieve::{FACT_COUNT, Sieve, Sifted};

/// Rules of one word.
const WORD_RULE_COUNT: usize = u64::BITS as usize;
/// Numbers of sets of addresses that a sieve can ask for.
const SET_COUNT: usize = u16::BITS as usize;

/// Values of a packet's TCP flags.
const FLAGS_COUNT: usize = 1 << u8::BITS;

/// Rules with their sieves, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct SieveList(Box<[Word]>);

#[derive(Debug)]
struct Word {
    /// The rules that refuse a packet with this fact.
    refusing: [u64; FACT_COUNT],
    /// The rules that want the source, or the destination, in the set of this number.
    src_in: [u64; SET_COUNT],
    dst_in: [u64; SET_COUNT],
    /// The rules that let a packet with these TCP flags through.
    with_flags: Box<[u64; FLAGS_COUNT]>,
    rules: Box<[(u32, Sieve)]>,
}

impl SieveList {
    pub(super) fn new(rules: &[(u32, Sieve)]) -> SieveList {
        SieveList(rules.chunks(WORD_RULE_COUNT).map(Word::new).collect())
    }

    /// Calls `found` with the rules that are worth judging.
    #[inline]
    pub(super) fn sift(&self, packet: &Sifted, mut found: impl FnMut(u32)) {
        for word in &self.0 {
            let mut open = word.open(packet);
            while open != 0 {
                let at = usize::try_from(open.trailing_zeros()).unwrap_or(0);
                open &= open - 1;
                if let Some((rule, sieve)) = word.rules.get(at)
                    && sieve.lets_through(packet)
                {
                    found(*rule);
                }
            }
        }
    }
}

impl Word {
    fn new(rules: &[(u32, Sieve)]) -> Word {
        let (mut refusing, mut src_in, mut dst_in) = ([0; FACT_COUNT], [0; SET_COUNT], [0; SET_COUNT]);
        let mut with_flags = Box::new([0; FLAGS_COUNT]);
        for (at, (_, sieve)) in rules.iter().enumerate() {
            let bit = 1 << (at % WORD_RULE_COUNT);
            each_bit(sieve.refused(), &mut refusing, bit);
            let (src, dst) = sieve.sets();
            each_bit(1 << src, &mut src_in, bit);
            each_bit(1 << dst, &mut dst_in, bit);
            for (word, flags) in with_flags.iter_mut().zip(0..=u8::MAX) {
                *word |= if sieve.lets_flags_through(flags) { bit } else { 0 };
            }
        }
        Word { refusing, src_in, dst_in, with_flags, rules: rules.into() }
    }

    /// The rules that neither a fact nor a set rules out.
    #[inline]
    fn open(&self, packet: &Sifted) -> u64 {
        let from = joined(&self.src_in, packet.src_sets);
        let to = joined(&self.dst_in, packet.dst_sets);
        let flags = self.with_flags.get(usize::from(packet.tcp_flags)).copied().unwrap_or(0);
        flags & from & to & !joined(&self.refusing, packet.facts.bits())
    }
}

fn each_bit<const COUNT: usize>(bits: u16, words: &mut [u64; COUNT], rule: u64) {
    for (number, word) in words.iter_mut().enumerate() {
        if bits >> number & 1 != 0 {
            *word |= rule;
        }
    }
}

/// The words of the bits that are set, in one.
#[inline]
fn joined<const COUNT: usize>(words: &[u64; COUNT], mut bits: u16) -> u64 {
    let mut joined = 0;
    while bits != 0 {
        let number = usize::try_from(bits.trailing_zeros()).unwrap_or(0);
        bits &= bits - 1;
        joined |= words.get(number).copied().unwrap_or(0);
    }
    joined
}
