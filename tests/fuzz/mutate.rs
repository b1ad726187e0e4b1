//! Changes that parsers do not expect, a few at a time, reproducible from a seed.

pub struct Mutator {
    state: u64,
}

/// Lengths, counts and offsets at which arithmetic goes wrong.
const EDGES: [u32; 12] = [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

const LENGTH_MAX: usize = 4096;

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed }
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len().max(1)))
    }

    /// One to eight changes to `bytes`; `other` is where foreign bytes come from.
    pub fn mutate(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, other);
        }
        bytes.truncate(LENGTH_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len().max(1));
        let edge = EDGES[self.below(EDGES.len())];
        match self.below(9) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            1 => overwrite(bytes, at, &[self.next() as u8]),
            2 => overwrite(bytes, at, &[edge as u8]),
            3 => overwrite(bytes, at, &(edge as u16).to_be_bytes()),
            4 => overwrite(bytes, at, &if at.is_multiple_of(2) { edge.to_be_bytes() } else { edge.to_le_bytes() }),
            5 => bytes.truncate(at),
            6 => {
                let end = (at + self.below(64)).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                insert(bytes, at, &piece);
            }
            7 => {
                let end = (at + self.below(16)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            _ => {
                let start = self.below(other.len().max(1)).min(other.len());
                let end = (start + self.below(64)).min(other.len());
                insert(bytes, at, &other[start..end]);
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (slot, byte) in bytes.iter_mut().skip(at).zip(with) {
        *slot = *byte;
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, piece.iter().copied());
}
