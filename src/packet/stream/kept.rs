//! The last bytes of one direction, in order: what detection sees in front of new bytes, and what retransmissions are
//! compared with until the receiver has acknowledged them.

use crate::packet::pool::MemoryPool;

/// Below this capacity nothing is given back before the buffer is empty.
const SMALL_BYTES: usize = 16 << 10;
/// The least that is allocated. Most requests and answers come in one segment and wait for no other: more room than they
/// need is held by every connection that waits.
const FIRST_BYTES: usize = 64;

/// A byte queue in one allocation: grows at its end, is cut at its front, all in amortised linear time.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// Where what is kept begins in `bytes`.
    start: usize,
}

impl Kept {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// `false`: the pool has no room, and nothing was added.
    #[must_use]
    pub(super) fn push(&mut self, bytes: &[u8], pool: &MemoryPool) -> bool {
        if self.bytes.capacity().saturating_sub(self.bytes.len()) < bytes.len() {
            self.compact();
            if !self.grow(bytes.len(), pool) {
                return false;
            }
        }
        self.bytes.extend_from_slice(bytes);
        true
    }

    fn grow(&mut self, more: usize, pool: &MemoryPool) -> bool {
        let (len, before) = (self.bytes.len(), self.bytes.capacity());
        let needed = len.saturating_add(more);
        if needed <= before {
            return true;
        }
        let wanted = needed.max(before.saturating_mul(2)).max(FIRST_BYTES);
        let granted = [wanted, needed].into_iter().find(|capacity| pool.take(capacity - before));
        let Some(granted) = granted else { return false };
        self.bytes.reserve_exact(granted - len);
        pool.follow(granted, self.bytes.capacity());
        true
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Takes back what was pushed beyond `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start.saturating_add(len));
    }

    /// Leaves the last `len` bytes, and memory in proportion to them.
    pub(super) fn keep_last(&mut self, len: usize, pool: &MemoryPool) {
        self.start = self.start.max(self.bytes.len().saturating_sub(len));
        if self.len() == 0 {
            self.free(pool);
        } else if self.start >= self.bytes.len() / 2 {
            // At least as many bytes have gone as are moved.
            self.compact();
            let before = self.bytes.capacity();
            if before > SMALL_BYTES && self.bytes.len() <= before / 8 {
                self.bytes.shrink_to(self.bytes.len() * 2);
                pool.follow(before, self.bytes.capacity());
            }
        }
    }

    pub(super) fn free(&mut self, pool: &MemoryPool) {
        pool.give_back(self.bytes.capacity());
        *self = Kept::default();
    }
}
