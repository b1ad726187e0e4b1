//! What the application layers of all flows hold together, and the cap on it.
//!
//! Counting exactly with every packet would cost more than it is worth. Each layer counts anew when it may have grown by
//! a share of what it held, so the sum is right to within that share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a layer may grow by before it is counted again, and the share of what it holds that is allowed beyond.
const SLACK_BYTES: usize = 1024;
const SLACK_SHARE: usize = 8;

/// Shared by all threads.
#[derive(Debug)]
pub struct AppPool {
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Default for AppPool {
    fn default() -> Self {
        AppPool::new(AppPool::BYTES_MAX_DEFAULT)
    }
}

impl AppPool {
    /// 2 KiB for each of 500,000 flows, as many as are known at once.
    pub const BYTES_MAX_DEFAULT: u64 = 1 << 30;

    #[must_use]
    pub fn new(bytes_max: u64) -> AppPool {
        AppPool { bytes: AtomicU64::new(0), bytes_max }
    }

    /// Held now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    fn is_full(&self) -> bool {
        self.bytes() > self.bytes_max
    }
}

/// One layer's share of the pool, given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share {
    pool: Option<Arc<AppPool>>,
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
    pub(super) fn count(&mut self, pool: &Arc<AppPool>, bytes: usize) -> bool {
        let pool = self.pool.get_or_insert_with(|| Arc::clone(pool));
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.fresh = 0;
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes >= before {
            pool.bytes.fetch_add(size(bytes - before), Ordering::Relaxed);
        } else {
            pool.bytes.fetch_sub(size(before - bytes), Ordering::Relaxed);
        }
        bytes <= before || !pool.is_full()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.bytes.fetch_sub(u64::try_from(self.bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back_and_only_growth_meets_the_cap() {
        let pool = Arc::new(AppPool::new(1000));
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
