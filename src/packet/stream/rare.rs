//! What a direction has only while its segments come out of order, contradict each other, or point at urgent bytes: it
//! hangs on the direction, for most never have any of it.

use super::kept::Kept;
use super::queue::Queue;
use crate::packet::pool::MemoryPool;

/// Positions count from the first byte of the stream.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Bytes ahead of their turn; `None` rather than empty.
    pub queue: Option<Queue>,
    /// Sequence number of the first byte after an earlier SYN, which another one has displaced.
    pub displaced: Option<u32>,
    /// Positions of urgent bytes, ascending: forwarded, but not part of the stream.
    pub urgent: Vec<u64>,
    /// Bytes that were joined from the queue and taken back, since something was last accepted.
    pub undone_bytes: usize,
}

impl Rare {
    pub fn heap_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, Queue::heap_bytes) + self.urgent.capacity() * size_of::<u64>()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_none() && self.displaced.is_none() && self.urgent.is_empty() && self.undone_bytes == 0
    }

    /// What stands in front of `position` is skipped.
    pub fn forget_before(&mut self, position: u64, pool: &MemoryPool) {
        self.urgent.retain(|at| *at >= position);
        if let Some(queue) = &mut self.queue {
            queue.forget_before(position, pool);
        }
    }

    /// What begins in front of `position` has had its turn.
    pub fn forget_queued_before(&mut self, position: u64, pool: &MemoryPool) {
        if let Some(queue) = &mut self.queue {
            queue.forget_before(position, pool);
            if queue.is_empty() {
                self.queue = None;
            }
        }
    }

    pub fn free_queue(&mut self, pool: &MemoryPool) {
        if let Some(mut queue) = self.queue.take() {
            queue.free(pool);
        }
    }
}

/// Appends `piece`, which stands at position `at`, without the urgent bytes in it.
pub(super) fn push_without_urgent(kept: &mut Kept, urgent: &[u64], at: u64, piece: &[u8], pool: &MemoryPool) -> bool {
    let mut rest = piece;
    let mut at = at;
    for urgent in urgent {
        let Some(before) = urgent.checked_sub(at).and_then(|before| usize::try_from(before).ok()) else { continue };
        let Some((in_stream, from_urgent)) = rest.split_at_checked(before) else { break };
        let Some((_, behind)) = from_urgent.split_first() else { break };
        if !kept.push(in_stream, pool) {
            return false;
        }
        rest = behind;
        at = urgent.saturating_add(1);
    }
    kept.push(rest, pool)
}
