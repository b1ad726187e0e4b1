//! One direction of a connection: where its bytes stand, which of them are held, and what a segment adds.

mod compare;
mod fit;

use super::config::{StreamConfig, Urgent};
use super::events::{StreamEvent, StreamEvents};
use super::kept::Kept;
use super::queue::{Queue, Refused};
use super::rare::{Rare, push_without_urgent};
use super::{Arrival, Data, Segment};
use crate::packet::decode::Tcp;
use crate::packet::pool::MemoryPool;

/// A sequence number further ahead is none of this connection: no window is larger.
const AHEAD_MAX: i64 = 1 << 30;
/// Where no acknowledgement has ever been seen (one-sided routes), so many bytes are held for comparison: more than a
/// sender's first flight.
const UNANSWERED_BYTES_MAX: u64 = 32 << 10;
/// Urgent bytes that are kept apart among the bytes that are held.
const URGENT_COUNT_MAX: usize = 64;
/// A filled hole whose filler is dropped again and again makes us read what waits behind it each time.
const UNDONE_BYTES_MAX: usize = 4 << 20;

/// Positions count from the first byte after the SYN, or from the first byte that we saw.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Sequence number of the byte at `position`; `None` before the first segment.
    next: Option<u32>,
    /// What came before this has been forwarded in order, or lies behind a gap.
    position: u64,
    /// The receiver has everything in front of this. Beyond `position`: it has bytes that we never saw.
    acked: u64,
    kept: Kept,
    /// Older bytes among `kept` that detection may still see.
    window: usize,
    /// Where the FIN stands.
    fin: Option<u64>,
    /// The receiver has it.
    fin_acked: bool,
    /// What a direction without disorder does not have.
    rare: Option<Box<Rare>>,
    /// The application layer has been given what stands in front of this, be it dropped since.
    fed: u64,
    answered: bool,
    pub(super) depth_reached: bool,
    pub(super) ended: bool,
    reset: bool,
    went_on_after_reset: bool,
}

/// What [`Half::receive`] leaves for [`Half::settle`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// The segment belongs somewhere.
    pub(super) placed: bool,
    /// Sequence number at the position before the segment.
    base: Option<u32>,
    /// Where the bytes in order end with this segment.
    pub(super) position: u64,
    pub(super) kept_before: usize,
    /// The urgent byte that has not had its turn.
    urgent_ahead: Option<u64>,
    joined_from_queue: bool,
    /// Where a FIN stands that the receiver may take.
    fin: Option<u64>,
    /// Where the segment's payload begins and ends.
    start: u64,
    end: u64,
}

impl Plan {
    /// The position of the first of `len` bytes that end with this segment.
    pub(super) fn begins(&self, len: usize) -> u64 {
        self.position.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX))
    }
}

impl Half {
    pub(super) fn heap_bytes(&self) -> usize {
        self.kept.heap_bytes() + self.rare.as_ref().map_or(0, |rare| size_of::<Rare>() + rare.heap_bytes())
    }

    /// What the pool was asked for.
    #[cfg(test)]
    pub(super) fn charged_bytes(&self) -> usize {
        self.kept.heap_bytes() + self.queue().map_or(0, Queue::heap_bytes)
    }

    #[cfg(test)]
    pub(super) fn queue_is_empty(&self) -> bool {
        self.queue().is_none()
    }

    #[cfg(test)]
    pub(super) fn queued_segments(&self) -> usize {
        self.queue().map_or(0, Queue::segment_count)
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acked
    }

    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// The kept bytes that end at the last one joined.
    pub(super) fn kept(&self) -> &[u8] {
        self.kept.as_slice()
    }

    /// How many of the bytes that `arrival` adds were given to the application layer before.
    pub(super) fn fed_before(&self, arrival: &Arrival) -> usize {
        let added = arrival.fresh_bytes.max(arrival.unkept) as u64;
        let begin = arrival.plan.position.saturating_sub(added);
        usize::try_from(self.fed.saturating_sub(begin)).unwrap_or(usize::MAX)
    }

    /// What waits for its turn, if anything does.
    fn queue(&self) -> Option<&Queue> {
        self.rare.as_ref()?.queue.as_ref()
    }

    fn urgent(&self) -> &[u64] {
        self.rare.as_ref().map_or(&[], |rare| &rare.urgent)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Lets go of what is rare once it is over.
    fn tidy_up(&mut self) {
        if self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// The other side acknowledges this one's bytes.
    pub(super) fn acknowledge(&mut self, ack: u32, opens: bool, config: &StreamConfig, pool: &MemoryPool) -> bool {
        let displaced = self.rare.as_ref().and_then(|rare| rare.displaced);
        let chooses = opens || !self.answered && displaced == Some(ack);
        if chooses && self.is_untouched() {
            // Of several SYNs this is the one that was answered.
            self.next = Some(ack);
        }
        let Some(next) = self.next else { return false };
        self.answered = true;
        let mut acked = i64::from(ack.wrapping_sub(next).cast_signed());
        if acked > AHEAD_MAX {
            return true;
        }
        acked = acked.saturating_add_unsigned(self.position);
        let acked = u64::try_from(acked).unwrap_or(0);
        // The FIN takes a number of its own.
        let covers_fin = self.fin.is_some_and(|fin| acked.checked_sub(1) == Some(fin));
        self.fin_acked |= covers_fin;
        let acked = if covers_fin { acked - 1 } else { acked };
        if acked > self.acked {
            self.acked = acked;
            self.trim(config, pool);
        }
        self.acked > self.position
    }

    pub(super) fn receive(&mut self, segment: &Segment<'_>, config: &StreamConfig, pool: &MemoryPool) -> Arrival {
        let mut arrival = Arrival::default();
        if segment.has(Tcp::RST) {
            // What comes with a reset is no part of the stream: nobody reads it.
            arrival.data = Data::of(segment.payload, Data::Unread);
            return arrival;
        }
        if self.reset && !self.went_on_after_reset {
            arrival.events.add(StreamEvent::SuspectedRstInject);
        }
        if !segment.has(Tcp::ACK) && segment.ack != 0 {
            arrival.events.add(StreamEvent::BrokenAck);
        }
        if self.depth_reached {
            let data = if config.look_beyond_depth { Data::Unread } else { Data::Beyond };
            arrival.data = Data::of(segment.payload, data);
            arrival.ended = !self.ended && segment.has(Tcp::FIN);
            return arrival;
        }
        let Some((base, start)) = self.locate(segment, &mut arrival.events) else {
            arrival.data = Data::of(segment.payload, Data::Unread);
            return arrival;
        };
        if self.next.is_some_and(|next| base.is_some_and(|base| base != next)) {
            self.rare_mut().displaced = self.next;
        }
        let end = start.saturating_add(len_of(segment.payload));
        if self.acked > self.position {
            self.skip_gap(start, end, &mut arrival, pool);
        }
        arrival.plan = Plan {
            placed: true,
            base: if arrival.gap.is_some() { self.next } else { base },
            position: self.position,
            kept_before: self.kept.len(),
            urgent_ahead: self.urgent().last().copied().filter(|at| *at >= self.position),
            joined_from_queue: false,
            fin: None,
            start: u64::try_from(start).unwrap_or(0),
            end: u64::try_from(end).unwrap_or(0),
        };
        self.note_oddities(segment, start, end, &mut arrival.events);
        self.note_urgent(segment, start, config, &mut arrival);
        self.place(segment, (start, end), config, pool, &mut arrival);
        self.note_end(segment, (start, end), &mut arrival);
        arrival
    }

    /// The sequence number at our position and the position of the segment's payload, `None` if it belongs nowhere.
    fn locate(&self, segment: &Segment<'_>, events: &mut StreamEvents) -> Option<(Option<u32>, i64)> {
        let syn = segment.has(Tcp::SYN);
        let seq = segment.seq.wrapping_add(u32::from(syn));
        if syn && segment.has(Tcp::FIN) {
            events.add(StreamEvent::FinSyn);
        }
        if syn && !segment.payload.is_empty() {
            events.add(StreamEvent::SynData);
        }
        let Some(next) = self.next else {
            // A bare ACK may be a keep-alive, which stands one in front of what comes next.
            let tells = syn || !segment.payload.is_empty() || segment.has(Tcp::FIN);
            return Some((tells.then_some(seq), 0));
        };
        let ahead = i64::from(seq.wrapping_sub(next).cast_signed());
        let start = ahead.saturating_add_unsigned(self.position);
        if syn && start != 0 {
            events.add(match segment.has(Tcp::ACK) {
                true => StreamEvent::SynAckResendDifferent,
                false => StreamEvent::SynResendDifferent,
            });
            // One that was answered stands until another is.
            return (self.is_untouched() && !self.answered).then_some((Some(seq), 0));
        }
        (ahead <= AHEAD_MAX).then_some((Some(next), start))
    }

    /// Not a byte of it has come.
    fn is_untouched(&self) -> bool {
        self.position == 0 && self.queue().is_none() && self.kept.len() == 0
    }

    /// The receiver has bytes that we never saw: goes on behind the last hole, unless this segment fills it.
    fn skip_gap(&mut self, start: i64, end: i64, arrival: &mut Arrival, pool: &MemoryPool) {
        let position = i64::try_from(self.position).unwrap_or(i64::MAX);
        if start <= position && position < end {
            return;
        }
        let target = match self.queue() {
            Some(queue) => queue.end_of_last_hole(self.position, self.acked),
            None => self.acked,
        };
        let missing = target.saturating_sub(self.position);
        if missing == 0 {
            return;
        }
        arrival.gap = Some(missing);
        arrival.events.add(StreamEvent::SequenceGap);
        self.next = self.next.map(|next| next.wrapping_add(low_bits(missing)));
        self.position = target;
        self.kept.free(pool);
        self.window = 0;
        if let Some(rare) = &mut self.rare {
            rare.forget_before(target, pool);
        }
    }

    fn note_oddities(&self, segment: &Segment<'_>, start: i64, end: i64, events: &mut StreamEvents) {
        if segment.payload.is_empty() {
            return;
        }
        if start < 0 {
            events.add(StreamEvent::SegmentBeforeBase);
        }
        if self.fin.is_some_and(|fin| end > i64::try_from(fin).unwrap_or(i64::MAX)) {
            events.add(StreamEvent::DataAfterFin);
        }
        if self.reset {
            events.add(StreamEvent::DataAfterReset);
        }
    }

    fn note_urgent(&mut self, segment: &Segment<'_>, start: i64, config: &StreamConfig, arrival: &mut Arrival) {
        if !segment.has(Tcp::URG) {
            return;
        }
        arrival.urgent = true;
        if config.urgent == Urgent::Inline {
            return;
        }
        // The pointer names the byte behind the urgent one, as the BSDs and Linux understand it.
        let at = start.saturating_add(i64::from(segment.urgent.saturating_sub(1)));
        let Ok(at) = u64::try_from(at) else { return };
        if at < self.position || self.urgent().last().is_some_and(|last| *last >= at) {
            return;
        }
        if self.urgent().len() >= URGENT_COUNT_MAX {
            arrival.events.add(StreamEvent::UrgentLimit);
            return;
        }
        // A receiver knows one: the byte that an older pointer names is like any other, unless it was read before.
        let position = self.position;
        let urgent = &mut self.rare_mut().urgent;
        urgent.retain(|older| *older < position);
        urgent.push(at);
    }

    /// Compares what was there before, and joins or keeps aside what is new.
    fn place(
        &mut self,
        segment: &Segment<'_>,
        (start, end): (i64, i64),
        config: &StreamConfig,
        pool: &MemoryPool,
        arrival: &mut Arrival,
    ) {
        let position = i64::try_from(self.position).unwrap_or(i64::MAX);
        let old = segment.payload.get(..offset_of(start, position.min(end))).unwrap_or_default();
        let new = segment.payload.get(offset_of(start, position)..).unwrap_or_default();
        if !old.is_empty() {
            arrival.overlap = true;
            self.compare_old(start, old, new.is_empty(), arrival);
        }
        if new.is_empty() && !self.continues_in_queue() {
            if !old.is_empty() {
                arrival.events.add(StreamEvent::Retransmission);
                if u64::try_from(end).is_ok_and(|end| end <= self.acked) {
                    arrival.events.add(StreamEvent::SpuriousRetransmission);
                }
                let verified = !arrival.events.has(StreamEvent::OverlapUnverified) && start >= 0;
                arrival.data = if verified { Data::Old } else { Data::Unread };
            }
            return;
        }
        let new_start = arrival.plan.start.max(self.position);
        if let Some(queue) = self.queue()
            && queue.contradicts(new_start, new)
        {
            arrival.overlap = true;
            arrival.conflict = true;
            arrival.events.add(StreamEvent::OverlapDifferentData);
        }
        let reached = self.join(new_start, new, pool);
        match reached {
            Some(reached) if !new.is_empty() && arrival.plan.end > reached => {
                arrival.plan.position = reached;
                arrival.data = match self.refusal(new.len(), config, pool) {
                    None => Data::Queued,
                    Some(refused) => {
                        arrival.refuse(refused);
                        Data::Unread
                    }
                };
            }
            Some(reached) => {
                arrival.data = Data::of(new, Data::Joined);
                arrival.plan.position = reached;
                arrival.plan.joined_from_queue = self.queue().is_some();
            }
            None => self.go_without_memory(new_start, new, pool, arrival),
        }
        arrival.fresh_bytes = self.kept.len().saturating_sub(arrival.plan.kept_before);
    }

    /// Why `more` bytes ahead of their turn cannot be held.
    fn refusal(&self, more: usize, config: &StreamConfig, pool: &MemoryPool) -> Option<Refused> {
        let queued = self.queue().map_or(0, Queue::heap_bytes);
        let held = self.kept.len().saturating_add(queued).saturating_add(more);
        let full = self.queue().is_some_and(Queue::is_full);
        if full || held > config.held_bytes_max {
            return Some(Refused::Limit);
        }
        let room = pool.bytes_max().saturating_sub(pool.bytes());
        (u64::try_from(more).unwrap_or(u64::MAX) > room).then_some(Refused::Memcap)
    }

    fn continues_in_queue(&self) -> bool {
        self.queue().is_some_and(|queue| queue.join(self.position, u64::MAX, &[], |_, _| false).is_none())
    }

    /// Appends everything that now follows without a hole. `None`: there is no memory for it.
    fn join(&mut self, start: u64, bytes: &[u8], pool: &MemoryPool) -> Option<u64> {
        let Half { kept, rare, position, .. } = self;
        let (urgent, queue) = rare.as_ref().map_or((&[][..], None), |rare| (&rare.urgent[..], rare.queue.as_ref()));
        let mut push = |at: u64, piece: &[u8]| push_without_urgent(kept, urgent, at, piece, pool);
        match queue {
            Some(queue) => queue.join(*position, start, bytes, push),
            None if bytes.is_empty() || start > *position => Some(*position),
            None => push(start, bytes).then(|| start.saturating_add(bytes.len() as u64)),
        }
    }

    /// The pool is exhausted: the segment's own bytes are read where they stand, and nothing is held.
    fn go_without_memory(&mut self, start: u64, new: &[u8], pool: &MemoryPool, arrival: &mut Arrival) {
        arrival.refuse(Refused::Memcap);
        self.kept.free(pool);
        self.window = 0;
        self.free_queue(pool);
        arrival.plan.kept_before = 0;
        if start > self.position {
            arrival.data = Data::Unread;
            arrival.plan.position = self.position;
        } else {
            arrival.data = Data::JoinedUnkept;
            arrival.plan.position = start.saturating_add(new.len() as u64);
            arrival.unkept = new.len();
        }
    }

    /// The verdict is known: what was forwarded is the truth, what was dropped has never been.
    pub(super) fn settle(
        &mut self,
        segment: &Segment<'_>,
        arrival: &mut Arrival,
        accepted: bool,
        config: &StreamConfig,
        pool: &MemoryPool,
    ) {
        let plan = arrival.plan;
        if !accepted {
            if plan.placed {
                self.take_back(&plan, arrival.fed, pool);
            }
            return;
        }
        if plan.placed {
            self.advance(segment, arrival, config, pool);
        }
        self.went_on_after_reset |= arrival.events.has(StreamEvent::SuspectedRstInject);
        self.reset |= segment.has(Tcp::RST);
        self.ended |= arrival.ended;
        if config.depth_bytes > 0 && self.position >= config.depth_bytes && !self.depth_reached {
            self.depth_reached = true;
            arrival.depth_reached = true;
            arrival.events.add(StreamEvent::DepthReached);
        }
        self.window = self.window.saturating_add(arrival.fresh_bytes).min(config.window_bytes).min(self.kept.len());
        if self.depth_reached {
            self.free(pool);
        } else {
            self.trim(config, pool);
        }
    }

    fn take_back(&mut self, plan: &Plan, fed: bool, pool: &MemoryPool) {
        let undone = self.kept.len().saturating_sub(plan.kept_before);
        self.kept.truncate(plan.kept_before);
        if let Some(rare) = &mut self.rare {
            rare.urgent.retain(|at| *at < self.position);
            rare.urgent.extend(plan.urgent_ahead);
        }
        if fed {
            self.fed = self.fed.max(plan.position);
        }
        if self.kept.len() == 0 {
            self.kept.free(pool);
        }
        if plan.joined_from_queue {
            let rare = self.rare_mut();
            rare.undone_bytes = rare.undone_bytes.saturating_add(undone);
            if rare.undone_bytes > UNDONE_BYTES_MAX {
                rare.free_queue(pool);
            }
        }
    }

    fn advance(&mut self, segment: &Segment<'_>, arrival: &mut Arrival, config: &StreamConfig, pool: &MemoryPool) {
        let plan = arrival.plan;
        let progress = plan.position.saturating_sub(self.position);
        self.next = plan.base.or(self.next).map(|base| base.wrapping_add(low_bits(progress)));
        self.position = plan.position;
        if let Some(rare) = &mut self.rare {
            rare.undone_bytes = 0;
            if progress > 0 {
                rare.forget_queued_before(self.position, pool);
            }
        }
        if arrival.data == Data::Queued {
            self.enqueue(segment, arrival, config, pool);
        }
        if let Some(fin) = plan.fin
            && (self.fin.is_none() || arrival.ended)
        {
            self.fin = Some(fin);
        }
    }

    fn enqueue(&mut self, segment: &Segment<'_>, arrival: &mut Arrival, config: &StreamConfig, pool: &MemoryPool) {
        let start = arrival.plan.start.max(self.position);
        let skipped = usize::try_from(start.saturating_sub(arrival.plan.start)).unwrap_or(usize::MAX);
        let bytes = segment.payload.get(skipped..).unwrap_or_default();
        let room = config.held_bytes_max.saturating_sub(self.kept.len());
        let queue = self.rare_mut().queue.get_or_insert_default();
        if let Err(refused) = queue.insert(start, bytes, room, pool) {
            arrival.refuse(refused);
        }
        if queue.is_empty() {
            self.rare_mut().queue = None;
        }
    }

    /// Holds the window and what is not acknowledged, no more.
    fn trim(&mut self, config: &StreamConfig, pool: &MemoryPool) {
        let limit = match self.answered {
            true => u64::MAX,
            false => UNANSWERED_BYTES_MAX,
        };
        let unacked = self.position.saturating_sub(self.acked).min(limit);
        let window = if self.ended && unacked == 0 { 0 } else { self.window };
        let wanted = usize::try_from(unacked).unwrap_or(usize::MAX).max(window).min(config.held_bytes_max);
        if wanted < self.kept.len() {
            self.kept.keep_last(wanted, pool);
        }
        self.window = self.window.min(self.kept.len());
        if self.rare.is_some() {
            let oldest = self.oldest_kept();
            self.rare_mut().urgent.retain(|at| i64::try_from(*at).unwrap_or(i64::MAX) >= oldest);
            self.tidy_up();
        }
    }

    pub(super) fn forget_window(&mut self, config: &StreamConfig, pool: &MemoryPool) {
        self.window = 0;
        self.trim(config, pool);
    }

    fn free_queue(&mut self, pool: &MemoryPool) {
        if let Some(rare) = &mut self.rare {
            rare.free_queue(pool);
        }
    }

    pub(super) fn free(&mut self, pool: &MemoryPool) {
        self.kept.free(pool);
        self.free_queue(pool);
        self.window = 0;
        self.rare = None;
    }
}

fn len_of(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// How far `to` lies behind `from`, at least 0.
fn offset_of(from: i64, to: i64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(0)
}

fn low_bits(value: u64) -> u32 {
    let [.., a, b, c, d] = value.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
