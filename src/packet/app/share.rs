//! What the application layers of all flows hold together, and the cap on it.
//!
//! Counting exactly with every packet would cost more than it is worth. Each layer counts anew when it may have grown by
//! a share of what it held, so the sum is right to within that share.

use std::sync::Arc;

use crate::packet::pool::MemoryPool;

/// What all application layers may hold together: 2 KiB for each of 500,000 flows, as many as are known at once.
pub const APP_MEMCAP_BYTES_DEFAULT: u64 = 1 << 30;

/// Bytes that a layer may grow by before it is counted again, and the share of what it holds that is allowed beyond.
const SLACK_BYTES: usize = 1024;
const SLACK_SHARE: usize = 8;

/// One layer's share of the pool, given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share {
    pool: Option<Arc<MemoryPool>>,
    bytes: usize,
    /// Bytes that came since they were counted.
    fresh: usize,
}

impl Share {
    pub(super) fn note(&mut self, fresh: usize) {
        self.fresh = self.fresh.saturating_add(fresh);
    }

    /// Whether it is time to count. `idle`: it holds little now, and may have held much.
    pub(super) fn is_due(&self, idle: bool) -> bool {
        let grown = self.fresh > SLACK_BYTES + self.bytes / SLACK_SHARE;
        self.pool.is_none() || grown || idle && self.bytes > SLACK_BYTES
    }

    /// Takes note of what is held. `false`: the pool is full, and this layer has grown.
    pub(super) fn count(&mut self, pool: &Arc<MemoryPool>, bytes: usize) -> bool {
        let pool = self.pool.get_or_insert_with(|| Arc::clone(pool));
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.fresh = 0;
        pool.follow(before, bytes);
        bytes <= before || !pool.is_over()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back_and_only_growth_meets_the_cap() {
        let pool = Arc::new(MemoryPool::new(1000));
        let (mut one, mut other) = (Share::default(), Share::default());
        assert!(one.is_due(false) && one.count(&pool, 900));
        assert!(!other.count(&pool, 200), "1100 of 1000");
        assert!(one.count(&pool, 850), "it shrinks");
        assert!(!one.is_due(false) && !one.is_due(true));
        one.note(SLACK_BYTES + 200);
        assert!(one.is_due(false));
        drop(other);
        assert_eq!(pool.bytes(), 850);
        drop(one);
        assert_eq!(pool.bytes(), 0);
    }
}
