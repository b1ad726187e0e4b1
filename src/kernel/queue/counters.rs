//! What one queue has seen and done. Plain numbers of the thread that serves it.

/// Totals since the queue was opened. The owner publishes copies; nothing here is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Packets read, and their bytes as copied, from the network header.
    pub packets: u64,
    pub bytes: u64,
    /// Receives that brought at least one packet.
    pub batches: u64,

    /// Every packet read is counted in exactly one of these four once it is answered.
    pub accepted: u64,
    pub dropped: u64,
    pub repeated: u64,
    pub requeued: u64,
    /// Accepted because the judge gave no answer. Part of `accepted`, as the next two are.
    pub orphans: u64,
    /// Accepted because the message could not be parsed.
    pub malformed: u64,
    /// Accepted because the packet did not fit our buffer, which is larger than what the kernel may send.
    pub truncated: u64,
    /// Inspected without a conntrack entry because that could not be parsed.
    pub malformed_conntrack: u64,

    /// Packet ids that never reached us: the receive buffer was full, and fail-open let them pass (or they were dropped).
    pub id_gaps: u64,
    /// Messages that are neither packets nor errors, or packets without an id: nothing to answer.
    pub unknown_messages: u64,
    /// `ENOBUFS` of a receive; not to be expected with NETLINK_NO_ENOBUFS.
    pub overruns: u64,

    /// Verdict messages sent; accepts that were merged count as one.
    pub verdict_messages: u64,
    /// Sends that failed and were tried again.
    pub send_retries: u64,
    pub verdict_errors: VerdictErrors,
}

impl QueueCounters {
    /// Accepted without having been judged.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.orphans.saturating_add(self.malformed).saturating_add(self.truncated)
    }

    /// Answered with anything but an accept.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.dropped.saturating_add(self.repeated).saturating_add(self.requeued)
    }
}

/// Verdicts that the kernel refused, by errno.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictErrors {
    /// ENOENT: the packet was flushed meanwhile (a device went down, somebody deleted a base chain). Normal life.
    pub not_found: u64,
    /// ENODEV: the queue is not bound any more.
    pub not_bound: u64,
    /// EPERM: CAP_NET_ADMIN is gone, or the queue belongs to another socket.
    pub permission: u64,
    /// Anything else: such packets are answered again, with a plain accept.
    pub other: u64,
}

impl VerdictErrors {
    /// Counts one. True when the packet still waits for an answer that the kernel would take.
    pub(super) fn count(&mut self, errno: i32) -> bool {
        let (counter, waits) = match errno {
            libc::ENOENT => (&mut self.not_found, false),
            libc::ENODEV => (&mut self.not_bound, false),
            libc::EPERM => (&mut self.permission, false),
            _ => (&mut self.other, true),
        };
        *counter = counter.saturating_add(1);
        waits
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.not_found.saturating_add(self.not_bound).saturating_add(self.permission).saturating_add(self.other)
    }
}

/// Tells how many packet ids were skipped. Ids count from 1 at each bind, in steps of 1, and wrap.
#[derive(Debug, Default)]
pub(super) struct IdSequence {
    last: u32,
}

impl IdSequence {
    /// How many ids lie between the last one and this. 0 for one from the past.
    pub(super) fn gap_before(&mut self, id: u32) -> u32 {
        let step = id.wrapping_sub(self.last);
        if step > u32::MAX / 2 {
            return 0;
        }
        self.last = id;
        step.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_across_the_wrap() {
        let cases: &[(&[u32], &[u32])] =
            &[(&[1, 2, 3], &[0, 0, 0]), (&[1, 5, 6], &[0, 3, 0]), (&[3], &[2]), (&[1, 3, 2, 4], &[0, 1, 0, 0])];
        for (ids, gaps) in cases {
            let mut sequence = IdSequence::default();
            assert_eq!(ids.iter().map(|id| sequence.gap_before(*id)).collect::<Vec<_>>(), *gaps, "{ids:?}");
        }
        let mut sequence = IdSequence { last: u32::MAX - 1 };
        assert_eq!([u32::MAX, 0, 2].map(|id| sequence.gap_before(id)), [0, 0, 1]);
    }

    #[test]
    fn errors_are_sorted_by_errno() {
        let mut errors = VerdictErrors::default();
        let waits = [libc::ENOENT, libc::ENODEV, libc::EPERM, libc::EINVAL, libc::ENOMEM].map(|e| errors.count(e));
        assert_eq!(waits, [false, false, false, true, true]);
        assert_eq!(errors, VerdictErrors { not_found: 1, not_bound: 1, permission: 1, other: 2 });
        assert_eq!(errors.total(), 5);
    }
}
