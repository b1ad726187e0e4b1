//! TCP segments become ordered bytes, inline: judged when they arrive, before the receiver gets them.
//!
//! ```text
//!                          position
//!   forwarded, in order       |        forwarded ahead of their turn
//!   ...[ window ][ not acked ]|   hole   [ queued ]  hole  [ queued ]
//!      `------- kept -------' ^
//!                             a segment that begins here (or in front) brings fresh bytes, and with them the queued
//!                             ones that it makes contiguous: it is held until all of them are judged
//! ```
//!
//! Three things are held of a direction: the *window*, older bytes that detection sees in front of fresh ones; what the
//! receiver has *not acknowledged*, because a retransmission may yet replace it; and what is *queued*. All of it is
//! bytes that were forwarded, and they are the truth: a segment that contradicts them is a conflict, and what was
//! dropped has never been. Once acknowledged, bytes are beyond harm, and only the window stays.
//!
//! conntrack has refused what does not fit the connection (checksum, window) before a segment gets here. Where it has
//! not looked (replay), such segments contradict the truth, wait in the queue, or are old: never fresh.
//!
//! [`Streams::arrive`] puts a segment in its place, [`Streams::view`] and [`Streams::fresh`] show what it adds, and
//! [`Streams::settle`] is told the verdict.

mod config;
mod counters;
pub mod events;
mod half;
mod kept;
mod queue;
mod rare;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::{STREAM_MEMCAP_BYTES_DEFAULT, StreamConfig, Urgent};
pub use counters::StreamCounters;
use events::{StreamEvent, StreamEvents};
use half::{Half, Plan};
use queue::Refused;

use crate::packet::decode::Tcp;
use crate::packet::pool::MemoryPool;
use crate::rules::plan::Toward;

/// Both directions of one TCP connection. Nothing hangs on it while nothing is held.
#[derive(Debug)]
pub struct Streams {
    to_server: Half,
    to_client: Half,
    pool: Arc<MemoryPool>,
    /// What was told of this connection already: each oddity once.
    told: StreamEvents,
    /// The number behind a SYN of the client's that is none of this connection.
    asked: Option<u32>,
}

/// One segment as its header and its flow describe it.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'p> {
    pub toward: Toward,
    pub seq: u32,
    pub ack: u32,
    /// TCP's flags as in [`Tcp::flags`].
    pub flags: u8,
    pub urgent: u16,
    pub payload: &'p [u8],
}

impl<'p> Segment<'p> {
    #[must_use]
    pub fn of(tcp: &Tcp<'_>, payload: &'p [u8], toward: Toward) -> Segment<'p> {
        Segment { toward, seq: tcp.seq, ack: tcp.ack, flags: tcp.flags, urgent: tcp.urgent, payload }
    }

    fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }
}

/// What became of a segment's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// There is none.
    #[default]
    None,
    /// All of it, or its new part, follows the bytes before it.
    Joined,
    /// The same, but there is no memory to hold it for later.
    JoinedUnkept,
    /// It is ahead of its turn, and will be shown once it is joined.
    Queued,
    /// All of it was forwarded before.
    Old,
    /// It stands behind the depth, and nobody is to look at it.
    Beyond,
    /// It is not part of the stream: beyond the depth, out of place, old without anything to compare it with, or there was
    /// no room.
    Unread,
}

impl Data {
    fn of(payload: &[u8], otherwise: Data) -> Data {
        if payload.is_empty() { Data::None } else { otherwise }
    }
}

/// What a segment means for its stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    pub data: Data,
    /// So many bytes in front of the fresh ones were received and never seen by us: they are skipped.
    pub gap: Option<u64>,
    /// With this segment the direction is complete up to its FIN.
    pub ended: bool,
    /// It repeats bytes, the same or others.
    pub overlap: bool,
    /// It contradicts bytes that were forwarded and that the receiver may not have yet.
    pub conflict: bool,
    /// It points at urgent data.
    pub urgent: bool,
    /// It could not be held because all streams together hold as much as they may.
    pub memcap: bool,
    /// It could not be held because its direction holds as much as it may.
    pub limit: bool,
    /// With this segment the direction has reached the depth (known after [`Streams::settle`]).
    pub depth_reached: bool,
    pub events: StreamEvents,
    /// Bytes appended to what is kept.
    fresh_bytes: usize,
    /// Bytes at the payload's end that are fresh but not kept.
    unkept: usize,
    /// The application layer was given them.
    fed: bool,
    plan: Plan,
}

impl Arrival {
    fn refuse(&mut self, refused: Refused) {
        match refused {
            Refused::Limit => {
                self.limit = true;
                self.events.add(StreamEvent::InsertLimit);
            }
            Refused::Memcap => {
                self.memcap = true;
                self.events.add(StreamEvent::InsertMemcap);
            }
        }
    }

    /// The packet's payload says something that the stream does not show.
    #[must_use]
    pub fn look_at_packet(&self) -> bool {
        self.data == Data::Unread || self.conflict || self.urgent
    }

    /// Where in the stream the bytes in order end with this segment.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.plan.position
    }

    /// The whole payload stands in what [`Streams::view`] shows.
    #[must_use]
    pub fn shows_payload(&self) -> bool {
        matches!(self.data, Data::Joined | Data::JoinedUnkept) && !self.overlap && !self.urgent
    }
}

/// The joined bytes of a stream as far as they are kept, up to what a segment completes.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'f> {
    pub window: &'f [u8],
    /// Where in the stream the window begins; 0: at its first byte.
    pub begins: u64,
    /// Where in `window` the bytes begin that rules have not seen before.
    pub fresh_from: usize,
}

impl<'f> StreamView<'f> {
    #[must_use]
    pub fn fresh(&self) -> &'f [u8] {
        self.window.get(self.fresh_from..).unwrap_or_default()
    }

    /// Where in the stream the window ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.begins.saturating_add(self.window.len() as u64)
    }
}

impl Streams {
    #[must_use]
    pub fn new(pool: Arc<MemoryPool>) -> Streams {
        Streams { to_server: Half::default(), to_client: Half::default(), pool, told: StreamEvents::NONE, asked: None }
    }

    /// The server answers a SYN of another connection than this one: both ends have begun anew.
    #[must_use]
    pub fn is_outlived_by(&self, segment: &Segment<'_>) -> bool {
        let answers = segment.toward == Toward::Client && segment.has(Tcp::SYN | Tcp::ACK);
        answers && self.asked == Some(segment.ack)
    }

    /// Whether the receiver takes this segment, whatever conntrack says of it: it brings bytes to where it waits, and
    /// acknowledges what was sent.
    #[must_use]
    pub fn are_continued_by(&self, segment: &Segment<'_>) -> bool {
        let (this, other) = match segment.toward {
            Toward::Server => (&self.to_server, &self.to_client),
            Toward::Client => (&self.to_client, &self.to_server),
        };
        let brings = !segment.payload.is_empty() || segment.has(Tcp::FIN);
        let plain = segment.has(Tcp::ACK) && segment.flags & (Tcp::SYN | Tcp::RST) == 0;
        let known = this.has_begun() || other.has_begun();
        known && brings && plain && this.awaits(segment) && other.has_sent(segment.ack)
    }

    /// A segment is about to be judged.
    pub fn arrive(&mut self, segment: &Segment<'_>, config: &StreamConfig) -> Arrival {
        let Streams { to_server, to_client, pool, .. } = self;
        let (this, other) = match segment.toward {
            Toward::Server => (to_server, to_client),
            Toward::Client => (to_client, to_server),
        };
        let mut ack_unseen = false;
        if segment.has(Tcp::ACK) {
            ack_unseen = other.acknowledge(segment.ack, segment.has(Tcp::SYN), config, pool);
        }
        let two_sided = segment.has(Tcp::SYN) || this.has_begun() && other.has_begun();
        if !two_sided && !config.async_oneside && !config.midstream {
            return Arrival { data: Data::of(segment.payload, Data::Unread), ..Arrival::default() };
        }
        let mut arrival = this.receive(segment, config, pool);
        let first = segment.seq.wrapping_add(1);
        let asks = segment.toward == Toward::Server && segment.has(Tcp::SYN) && !arrival.plan.placed;
        if asks && !this.begins_with(first) {
            self.asked = Some(first);
        }
        if ack_unseen {
            arrival.events.add(StreamEvent::AckUnseen);
        }
        arrival
    }

    /// The bytes that the segment makes visible, behind older ones; `None` if there are none.
    #[must_use]
    pub fn view<'s>(&'s self, segment: &Segment<'s>, arrival: &Arrival) -> Option<StreamView<'s>> {
        if arrival.unkept > 0 {
            let skipped = segment.payload.len().saturating_sub(arrival.unkept);
            let window = segment.payload.get(skipped..)?;
            return Some(StreamView { window, begins: arrival.plan.begins(window.len()), fresh_from: 0 });
        }
        if arrival.fresh_bytes == 0 {
            return None;
        }
        let half = self.half(segment.toward);
        let older = half.window().min(arrival.plan.kept_before);
        let window = half.kept().get(arrival.plan.kept_before.saturating_sub(older)..)?;
        Some(StreamView { window, begins: arrival.plan.begins(window.len()), fresh_from: older })
    }

    /// The new bytes for the application layer: each byte of the stream once, whatever became of its packet.
    #[must_use]
    pub fn fresh<'s>(&'s self, segment: &Segment<'s>, arrival: &mut Arrival) -> &'s [u8] {
        let Some(view) = self.view(segment, arrival) else { return &[] };
        arrival.fed = true;
        view.fresh().get(self.half(segment.toward).fed_before(arrival)..).unwrap_or_default()
    }

    /// The verdict on the segment is known. What was dropped leaves no trace.
    pub fn settle(&mut self, segment: &Segment<'_>, arrival: &mut Arrival, accepted: bool, config: &StreamConfig) {
        let (half, pool) = self.half_mut(segment.toward);
        half.settle(segment, arrival, accepted, config, pool);
    }

    /// What came before concerns nobody any more: an application transaction is complete.
    pub fn forget_window(&mut self, toward: Toward, config: &StreamConfig) {
        let (half, pool) = self.half_mut(toward);
        half.forget_window(config, pool);
    }

    /// Of `events` those that were not told of this connection before; they count as told from now on.
    pub fn to_tell(&mut self, events: StreamEvents) -> StreamEvents {
        let news = events.without(self.told);
        self.told.add_all(news);
        news
    }

    /// Neither direction is followed any further.
    #[must_use]
    pub fn is_beyond_depth(&self) -> bool {
        self.to_server.depth_reached && self.to_client.depth_reached
    }

    /// Bytes of a direction in order so far, those behind gaps included.
    #[must_use]
    pub fn position(&self, toward: Toward) -> u64 {
        self.half(toward).position()
    }

    /// The receiver has what stands in front of this.
    #[must_use]
    pub fn acknowledged(&self, toward: Toward) -> u64 {
        self.half(toward).acknowledged()
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap_bytes() == 0
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.to_server.heap_bytes() + self.to_client.heap_bytes()
    }

    /// The direction's place in the sequence space is known.
    #[must_use]
    pub fn has_begun(&self, toward: Toward) -> bool {
        self.half(toward).has_begun()
    }

    fn half(&self, toward: Toward) -> &Half {
        match toward {
            Toward::Server => &self.to_server,
            Toward::Client => &self.to_client,
        }
    }

    fn half_mut(&mut self, toward: Toward) -> (&mut Half, &MemoryPool) {
        match toward {
            Toward::Server => (&mut self.to_server, &self.pool),
            Toward::Client => (&mut self.to_client, &self.pool),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.to_server.free(&self.pool);
        self.to_client.free(&self.pool);
    }
}
