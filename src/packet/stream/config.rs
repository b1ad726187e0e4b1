//! How far streams are followed, and the memory that they may take together.

use std::sync::atomic::{AtomicU64, Ordering};

/// The settings of all streams. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Reassembly ends here, per direction; 0: never. Suricata's `stream.reassembly.depth`.
    pub depth_bytes: u64,
    /// Rules look at what comes behind the depth packet by packet. Otherwise nobody looks at it.
    pub look_beyond_depth: bool,
    /// Older bytes that detection sees in front of new ones.
    pub window_bytes: usize,
    /// Bytes that one direction may hold: out of order, not acknowledged, and the window.
    pub held_bytes_max: usize,
    pub urgent: Urgent,
    /// Follow connections that are older than we are. Suricata's `stream.midstream`.
    pub midstream: bool,
    /// Follow connections of which one side alone is seen. Suricata's `stream.async-oneside`.
    pub async_oneside: bool,
    /// A connection is cleared when both directions have reached the depth. Suricata's `stream.bypass`.
    pub bypass: bool,
}

/// Where the byte stands that the urgent pointer names (`stream.reassembly.urgent.policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgent {
    /// Beside the stream, as sockets deliver it unless they ask otherwise (RFC 6093). Rules look at the packet as it is,
    /// too.
    #[default]
    OutOfBand,
    /// In the stream like any other.
    Inline,
}

impl Default for StreamConfig {
    fn default() -> Self {
        StreamConfig {
            depth_bytes: 1 << 20,
            look_beyond_depth: true,
            window_bytes: 4096,
            held_bytes_max: 1 << 20,
            urgent: Urgent::OutOfBand,
            midstream: true,
            async_oneside: true,
            bypass: false,
        }
    }
}

/// What all streams of all threads hold together, and how much they may.
#[derive(Debug)]
pub struct StreamPool {
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Default for StreamPool {
    fn default() -> Self {
        StreamPool::new(StreamPool::BYTES_MAX_DEFAULT)
    }
}

impl StreamPool {
    /// Suricata's default of `stream.reassembly.memcap`.
    pub const BYTES_MAX_DEFAULT: u64 = 256 << 20;

    #[must_use]
    pub fn new(bytes_max: u64) -> StreamPool {
        StreamPool { bytes: AtomicU64::new(0), bytes_max }
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

    /// Follows a container from one capacity to another without asking.
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
