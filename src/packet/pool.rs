//! Memory that many flows share: what all of them hold, and how much they may.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by all threads.
#[derive(Debug)]
pub struct MemoryPool {
    bytes: AtomicU64,
    bytes_max: u64,
}

impl MemoryPool {
    #[must_use]
    pub fn new(bytes_max: u64) -> MemoryPool {
        MemoryPool { bytes: AtomicU64::new(0), bytes_max }
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

    /// More is held than may be.
    pub(super) fn is_over(&self) -> bool {
        self.bytes() > self.bytes_max
    }

    /// Sets `bytes` aside; `false`: there is no room for them.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.bytes_max;
        if !fits {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Follows a holder from one size to another without asking.
    pub(super) fn follow(&self, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(0) => {}
            Some(more) => {
                self.bytes.fetch_add(u64::try_from(more).unwrap_or(0), Ordering::Relaxed);
            }
            None => self.give_back(before.saturating_sub(after)),
        }
    }
}
