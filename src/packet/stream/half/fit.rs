//! Numbers against what is known of a direction: where it began, where it ends, and what its receiver waits for.

use super::{Half, len_of, low_bits};
use crate::packet::decode::Tcp;
use crate::packet::stream::{Arrival, Segment};

/// Windows are rarely larger: so far ahead of what was acknowledged, and so far behind it, a receiver looks at what comes.
const WINDOW_BYTES_MAX: i64 = 16 << 20;

impl Half {
    /// The first byte of the direction has this number.
    pub(in crate::packet::stream) fn begins_with(&self, seq: u32) -> bool {
        self.next.is_some_and(|next| next.wrapping_sub(low_bits(self.position)) == seq)
    }

    /// The segment ends behind what the receiver has, and begins in its window. Beyond the depth nobody counts.
    pub(in crate::packet::stream) fn awaits(&self, segment: &Segment<'_>) -> bool {
        let Some(start) = self.place_of(segment.seq).filter(|_| !self.depth_reached) else { return true };
        let acked = i64::try_from(self.acked).unwrap_or(i64::MAX);
        let len = len_of(segment.payload).saturating_add(i64::from(segment.has(Tcp::FIN)));
        start.saturating_add(len) > acked && start <= acked.saturating_add(WINDOW_BYTES_MAX)
    }

    /// The side may be acknowledged like this: not more than it sent, and not what was acknowledged long ago.
    pub(in crate::packet::stream) fn has_sent(&self, ack: u32) -> bool {
        let Some(at) = self.place_of(ack).filter(|_| !self.depth_reached) else { return true };
        let end = i64::try_from(self.position.max(self.acked)).unwrap_or(i64::MAX);
        // The FIN takes a number of its own.
        at <= end.saturating_add(1) && at >= end.saturating_sub(WINDOW_BYTES_MAX)
    }

    /// The position of a sequence number; `None` before the first segment.
    fn place_of(&self, seq: u32) -> Option<i64> {
        let next = self.next?;
        Some(i64::from(seq.wrapping_sub(next).cast_signed()).saturating_add_unsigned(self.position))
    }

    /// A FIN has a number like a byte. One whose number a forwarded byte has is a repetition to the receiver, and ends
    /// nothing; a byte where a FIN was forwarded contradicts it.
    ///
    /// Where no acknowledgement is ever seen nobody can say whether a FIN has arrived: only the flow's end is one then.
    pub(super) fn note_end(&self, segment: &Segment<'_>, (start, end): (i64, i64), arrival: &mut Arrival) {
        let position = arrival.plan.position;
        if segment.has(Tcp::FIN) {
            arrival.plan.fin = u64::try_from(end).ok().filter(|fin| *fin >= position);
        }
        let fin = arrival.plan.fin.or(self.fin);
        arrival.ended = self.answered && !self.ended && fin == Some(position);
        let sent = self.fin.filter(|_| self.answered && !self.fin_acked).and_then(|fin| i64::try_from(fin).ok());
        arrival.conflict |= sent.is_some_and(|fin| (start..end).contains(&fin));
    }
}
