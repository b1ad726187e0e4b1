//! Bytes that were forwarded ahead of their turn: segments by their place in the stream, never overlapping.

use std::collections::BTreeMap;

use crate::packet::pool::MemoryPool;

/// Segments of one direction that may wait. Neighbours are joined, so that only holes make segments.
pub const SEGMENT_COUNT_MAX: usize = 4096;

/// What a segment costs besides its bytes, roughly: its entry in the tree and its allocation.
const SEGMENT_COST_BYTES: usize = 64;

/// Positions count from the first byte of the stream.
#[derive(Debug, Default)]
pub(super) struct Queue {
    segments: BTreeMap<u64, Vec<u8>>,
    heap_bytes: usize,
}

/// Why bytes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This direction holds as much as it may.
    Limit,
    /// All streams together do.
    Memcap,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.segments.len() >= SEGMENT_COUNT_MAX
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    #[cfg(test)]
    pub(super) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Segments that begin in front of `end`, from the one that reaches into `start` on.
    fn touching(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let first = self.segments.range(..=start).next_back().filter(|(at, bytes)| end_of(**at, bytes) > start);
        let from = first.map_or(start, |(at, _)| *at);
        self.segments.range(from..end.max(from)).map(|(at, bytes)| (*at, bytes.as_slice()))
    }

    /// Whether `bytes` at `start` contradict what waits.
    pub(super) fn contradicts(&self, start: u64, bytes: &[u8]) -> bool {
        self.touching(start, end_of(start, bytes)).any(|(at, waiting)| {
            let from = at.max(start);
            let theirs = slice_from(waiting, from - at);
            let ours = slice_from(bytes, from - start);
            let both = theirs.len().min(ours.len());
            theirs.get(..both) != ours.get(..both)
        })
    }

    /// Hands out, in order and with their positions, the bytes from `from` on that stand without a hole: those that wait,
    /// and between them those of `bytes` (which begin at `start`). What waits was forwarded first and takes precedence.
    /// Returns where they end; `None` if `emit` did not want more.
    pub(super) fn join(
        &self,
        from: u64,
        start: u64,
        bytes: &[u8],
        mut emit: impl FnMut(u64, &[u8]) -> bool,
    ) -> Option<u64> {
        let end = end_of(start, bytes);
        let mut at = from;
        for (begin, waiting) in self.touching(from, u64::MAX) {
            if begin > at {
                // A hole, which the new bytes may fill.
                if start > at || end <= at {
                    return Some(at);
                }
                let filling = begin.min(end);
                let piece = slice_from(bytes, at - start).get(..to_len(filling - at)).unwrap_or_default();
                if !emit(at, piece) {
                    return None;
                }
                at = filling;
                if at < begin {
                    return Some(at);
                }
            }
            let piece = slice_from(waiting, at.saturating_sub(begin));
            if !emit(at, piece) {
                return None;
            }
            at = at.max(end_of(begin, waiting));
        }
        if start <= at && at < end {
            if !emit(at, slice_from(bytes, at - start)) {
                return None;
            }
            at = end;
        }
        Some(at)
    }

    /// The end of the last hole that begins in front of `acked`: everything that waits behind it follows without a hole,
    /// as far as it is acknowledged.
    pub(super) fn end_of_last_hole(&self, position: u64, acked: u64) -> u64 {
        let (mut at, mut target) = (position, position);
        for (begin, waiting) in self.touching(position, acked) {
            if begin > at {
                target = begin;
            }
            at = at.max(end_of(begin, waiting));
        }
        if at < acked { acked } else { target }
    }

    /// Takes those of `bytes` that do not wait already.
    pub(super) fn insert(
        &mut self,
        start: u64,
        bytes: &[u8],
        room_bytes: usize,
        pool: &MemoryPool,
    ) -> Result<(), Refused> {
        let end = end_of(start, bytes);
        let mut holes = Vec::new();
        let mut at = start;
        for (begin, waiting) in self.touching(start, end) {
            if begin > at {
                holes.push((at, begin));
            }
            at = at.max(end_of(begin, waiting));
        }
        if at < end {
            holes.push((at, end));
        }
        for (from, to) in holes {
            let piece = slice_from(bytes, from - start).get(..to_len(to - from)).unwrap_or_default();
            self.insert_into_hole(from, piece, room_bytes, pool)?;
        }
        Ok(())
    }

    fn insert_into_hole(
        &mut self,
        start: u64,
        bytes: &[u8],
        room_bytes: usize,
        pool: &MemoryPool,
    ) -> Result<(), Refused> {
        let more = bytes.len().saturating_add(SEGMENT_COST_BYTES);
        if self.heap_bytes.saturating_add(more) > room_bytes {
            return Err(Refused::Limit);
        }
        let neighbour = self.segments.range_mut(..start).next_back().filter(|(at, held)| end_of(**at, held) == start);
        if let Some((_, held)) = neighbour {
            let before = held.capacity();
            // Doubling, so that many small neighbours cost no more than their bytes.
            let wanted = held.len().saturating_add(bytes.len());
            let capacity = if wanted <= before { before } else { wanted.max(before.saturating_mul(2)) };
            if !pool.take(capacity - before) {
                return Err(Refused::Memcap);
            }
            held.reserve_exact(capacity.saturating_sub(held.len()));
            held.extend_from_slice(bytes);
            pool.follow(capacity, held.capacity());
            self.heap_bytes = self.heap_bytes.saturating_add(held.capacity().saturating_sub(before));
            return Ok(());
        }
        if self.segments.len() >= SEGMENT_COUNT_MAX {
            return Err(Refused::Limit);
        }
        if !pool.take(more) {
            return Err(Refused::Memcap);
        }
        self.segments.insert(start, bytes.to_vec());
        self.heap_bytes = self.heap_bytes.saturating_add(more);
        Ok(())
    }

    /// What begins in front of `position` has had its turn.
    pub(super) fn forget_before(&mut self, position: u64, pool: &MemoryPool) {
        while let Some(first) = self.segments.first_entry() {
            if *first.key() >= position {
                return;
            }
            let (at, held) = first.remove_entry();
            self.discharge(held.capacity(), pool);
            let rest = slice_from(&held, position - at);
            if !rest.is_empty() && pool.take(rest.len().saturating_add(SEGMENT_COST_BYTES)) {
                self.heap_bytes = self.heap_bytes.saturating_add(rest.len().saturating_add(SEGMENT_COST_BYTES));
                self.segments.insert(position, rest.to_vec());
            }
        }
    }

    fn discharge(&mut self, capacity: usize, pool: &MemoryPool) {
        let cost = capacity.saturating_add(SEGMENT_COST_BYTES);
        pool.give_back(cost);
        self.heap_bytes = self.heap_bytes.saturating_sub(cost);
    }

    pub(super) fn free(&mut self, pool: &MemoryPool) {
        pool.give_back(self.heap_bytes);
        *self = Queue::default();
    }
}

fn end_of(start: u64, bytes: &[u8]) -> u64 {
    start.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

fn to_len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn slice_from(bytes: &[u8], skipped: u64) -> &[u8] {
    bytes.get(to_len(skipped)..).unwrap_or_default()
}
