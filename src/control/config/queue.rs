//! `queue:` the NFQUEUE side of the gate, a thread per queue.

/// The section `queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub numbers: QueueNumbers,
    /// Packets that may wait in one queue.
    pub length_packets: u32,
    /// The real depth: when this is full, the kernel fails open.
    pub receive_buffer_bytes: usize,
    /// Too slow: the kernel lets packets pass instead of dropping them.
    pub fail_open: bool,
    /// Take super-packets whole instead of having the kernel split them.
    pub gso: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            numbers: QueueNumbers { first: 7400, last: 7403 },
            length_packets: 8192,
            receive_buffer_bytes: 32 << 20,
            fail_open: true,
            gso: true,
        }
    }
}

/// `7400-7403` or `7400:7403`; `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueNumbers {
    pub first: u16,
    pub last: u16,
}

impl QueueNumbers {
    /// How many queues, so how many threads.
    #[must_use]
    pub fn count(self) -> u16 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}
