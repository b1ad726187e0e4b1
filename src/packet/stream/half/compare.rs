//! What a segment repeats against what was forwarded.

use super::{Half, len_of, offset_of};
use crate::packet::stream::Arrival;
use crate::packet::stream::events::StreamEvent;

impl Half {
    /// Old bytes against those that we have. What the receiver has acknowledged it will not take again.
    pub(super) fn compare_old(&self, start: i64, old: &[u8], nothing_new: bool, arrival: &mut Arrival) {
        let end = start.saturating_add(len_of(old));
        // A keep-alive: the byte in front of the next, whatever it is.
        let keep_alive = nothing_new && old.len() == 1 && end == i64::try_from(self.position).unwrap_or(i64::MAX);
        let oldest = self.oldest_kept();
        let acked = i64::try_from(self.acked.min(self.position)).unwrap_or(i64::MAX);
        if start.max(acked) < end.min(oldest) {
            arrival.events.add(StreamEvent::OverlapUnverified);
        }
        // Where no acknowledgement is ever seen, such a byte looks like one that the receiver may still take.
        if keep_alive && (!self.answered || end <= acked) {
            return;
        }
        let mut at = start.max(oldest);
        while at < end {
            // Between urgent bytes what is kept is what was sent.
            let urgent = self.urgent().iter().map(|at| i64::try_from(*at).unwrap_or(i64::MAX)).find(|u| *u >= at);
            let to = urgent.unwrap_or(i64::MAX).min(end);
            let theirs = old.get(offset_of(start, at)..offset_of(start, to)).unwrap_or_default();
            let from = self.kept_index(at);
            let ours = self.kept.as_slice().get(from..from.saturating_add(theirs.len())).unwrap_or_default();
            if theirs != ours {
                arrival.events.add(StreamEvent::OverlapDifferentData);
                // Bytes that the receiver has acknowledged are beyond harm.
                let safe = offset_of(at, acked).min(theirs.len());
                arrival.conflict |= theirs.get(safe..) != ours.get(safe.min(ours.len())..);
            }
            at = to.saturating_add(1).max(at.saturating_add(1));
        }
    }

    /// Where the kept bytes begin.
    pub(super) fn oldest_kept(&self) -> i64 {
        let mut oldest = i64::try_from(self.position.saturating_sub(self.kept.len() as u64)).unwrap_or(i64::MAX);
        for at in self.urgent().iter().rev().filter(|at| **at < self.position) {
            if i64::try_from(*at).unwrap_or(i64::MAX) >= oldest {
                oldest -= 1;
            }
        }
        oldest
    }

    /// Index in `kept` of the byte at position `at`, which is no urgent one.
    fn kept_index(&self, at: i64) -> usize {
        let at = u64::try_from(at).unwrap_or(0);
        let urgent_between = self.urgent().iter().filter(|u| **u >= at && **u < self.position).count();
        let back = usize::try_from(self.position.saturating_sub(at)).unwrap_or(usize::MAX);
        self.kept.len().saturating_sub(back.saturating_sub(urgent_between))
    }
}
