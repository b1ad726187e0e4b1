//! `queue:` the NFQUEUE side of the gate, a thread per queue.

use super::report::Report;
use super::section::Section;

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
    /// `7400-7403`, `7400:7403` or `7400`.
    #[must_use]
    pub fn parse(text: &str) -> Option<QueueNumbers> {
        let (first, last) = text.split_once(['-', ':']).unwrap_or((text, text));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(QueueNumbers { first, last })
    }

    /// How many queues, so how many threads.
    #[must_use]
    pub fn count(self) -> u16 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl Queue {
    /// Reads over what is there already: `nfq.fail-open` may have spoken.
    pub(super) fn read(&mut self, mut section: Section<'_>, report: &mut Report) {
        section.read("numbers", NUMBERS_EXPECTED, &mut self.numbers, report, |text| {
            QueueNumbers::parse(text).filter(|numbers| numbers.count() <= QUEUE_COUNT_MAX)
        });
        section.read_number("length", 1..=1 << 20, &mut self.length_packets, report);
        section.read_size("receive-buffer", 64 << 10..=1 << 30, &mut self.receive_buffer_bytes, report);
        section.read_bool("fail-open", &mut self.fail_open, report);
        section.read_bool("gso", &mut self.gso, report);
        section.finish(report);
    }
}

/// A thread a queue.
const QUEUE_COUNT_MAX: u16 = 256;

const NUMBERS_EXPECTED: &str = "a range of at most 256 queue numbers, such as 7400-7403";
