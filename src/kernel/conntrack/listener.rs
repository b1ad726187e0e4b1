//! ctnetlink events: an own socket for an own thread that never blocks on anything else.
//!
//! With `NETLINK_BROADCAST_ERROR` the kernel keeps an entry whose DESTROY did not fit into our buffer and tries again
//! (`nf_ct_delete`, `ecache_work_evict_list`), so a DESTROY is late but never lost. NEW and UPDATE are repeated only with
//! the entry's next event, which may never come: for them, a drop that the socket counted is a loss.

use std::io;
use std::time::Duration;

use super::attributes::parse_conntrack;
use super::{ConntrackError, cta};
use crate::kernel::netlink::batch::BatchBuffers;
use crate::kernel::netlink::socket::Socket;
use crate::kernel::netlink::wire::{Message, Messages, NLM_F_CREATE};
use crate::packet::conntrack::Conntrack;

/// Events taken with one system call.
const BATCH_COUNT_MAX: usize = 64;
/// An event is a few hundred bytes; a helper's or security label's extras stay well below this.
const EVENT_BYTES_MAX: usize = 4096;

/// What to hear, and how hard to try. DESTROY is always heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    pub new: bool,
    pub update: bool,
    /// As the kernel accounts it, an event costs about 1 KiB.
    pub receive_buffer_bytes: usize,
    /// Have the kernel repeat DESTROY until it is delivered. Only tests want otherwise.
    pub repeat_until_delivered: bool,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        ListenerOptions { new: false, update: false, receive_buffer_bytes: 32 << 20, repeat_until_delivered: true }
    }
}

/// What the kernel tells. The fields present differ by kind, see `ctnetlink_conntrack_event`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The entry was confirmed: after the verdict on its first packet.
    New(Conntrack),
    Update(Conntrack),
    /// The entry was removed, up to a minute after it expired. Carries final counters and times, but no labels.
    Destroy(Conntrack),
    /// Events went missing (at least this many drops): what we hold must be compared with a dump.
    Lost(u32),
}

/// What one call of [`Listener::receive`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub events: usize,
    /// The batch was full: more is probably waiting.
    pub more: bool,
}

/// The event socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    batch: BatchBuffers,
    options: ListenerOptions,
    timeout: Option<Duration>,
    drops: u32,
    receive_buffer_bytes: usize,
}

impl Listener {
    /// Opens the socket in the network namespace of the calling thread and subscribes. Do this before the queue rules
    /// go in: with `nf_conntrack_events` 2, entries created earlier never send an event (`nf_ct_ecache_ext_add`).
    pub fn open(options: ListenerOptions) -> Result<Listener, ConntrackError> {
        let socket = Socket::open().map_err(ConntrackError::Open)?;
        let receive_buffer_bytes =
            socket.force_receive_buffer(options.receive_buffer_bytes).map_err(ConntrackError::Open)?;
        if options.repeat_until_delivered {
            socket.set_broadcast_error().map_err(ConntrackError::Open)?;
        }
        socket.set_no_enobufs().map_err(ConntrackError::Open)?;
        let groups = [
            (true, cta::GROUP_DESTROY, "destroy"),
            (options.new, cta::GROUP_NEW, "new"),
            (options.update, cta::GROUP_UPDATE, "update"),
        ];
        for (_, number, group) in groups.into_iter().filter(|group| group.0) {
            socket.join(number).map_err(|source| ConntrackError::Join { group, source })?;
        }
        let batch = BatchBuffers::new(BATCH_COUNT_MAX, EVENT_BYTES_MAX).map_err(ConntrackError::Open)?;
        Ok(Listener { socket, batch, options, timeout: None, drops: 0, receive_buffer_bytes })
    }

    /// What the kernel granted, in bytes as it accounts them: less than asked without CAP_NET_ADMIN.
    #[must_use]
    pub fn receive_buffer_bytes(&self) -> usize {
        self.receive_buffer_bytes
    }

    /// Messages that found the buffer full so far. With repetition, a DESTROY among them is only late.
    #[must_use]
    pub fn drops(&self) -> u32 {
        self.drops
    }

    /// Waits up to `timeout` for events, then hands over a batch of them, in the kernel's order, [`Event::Lost`] last.
    /// `each` must be quick: what is not read in time fills the kernel's table, for undelivered entries stay in it.
    pub fn receive(&mut self, timeout: Duration, mut each: impl FnMut(Event)) -> Result<Received, ConntrackError> {
        let count = match self.fill(timeout) {
            // Only without NETLINK_NO_ENOBUFS; the drops below say the same.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => 0,
            other => other.map_err(ConntrackError::Events)?,
        };
        let mut received = Received { events: 0, more: count == self.batch.capacity() };
        for datagram in (0..count).filter_map(|slot| self.batch.datagram(slot)) {
            for event in Messages::new(datagram.bytes).filter_map(|message| read(&message)) {
                received.events = received.events.saturating_add(1);
                each(event);
            }
        }
        if let Some(lost) = self.newly_lost()? {
            each(Event::Lost(lost));
        }
        Ok(received)
    }

    fn fill(&mut self, timeout: Duration) -> io::Result<usize> {
        if timeout.is_zero() {
            return self.batch.try_receive(&self.socket);
        }
        if self.timeout != Some(timeout) {
            self.socket.set_receive_timeout(timeout)?;
            self.timeout = Some(timeout);
        }
        self.batch.receive(&self.socket)
    }

    /// Drops since the last look, if they mean loss. When only DESTROY is heard and repeated, they mean lateness.
    fn newly_lost(&mut self) -> Result<Option<u32>, ConntrackError> {
        let drops = self.socket.drops().map_err(ConntrackError::Events)?;
        let fresh = drops.wrapping_sub(self.drops);
        self.drops = drops;
        let only_late = self.options.repeat_until_delivered && !self.options.new && !self.options.update;
        Ok((fresh != 0 && !only_late).then_some(fresh))
    }
}

fn read(message: &Message<'_>) -> Option<Event> {
    if !matches!(message.kind, cta::MSG_NEW | cta::MSG_DELETE) {
        return None;
    }
    let (nfgen, attrs) = message.netfilter()?;
    let entry = parse_conntrack(attrs, nfgen.family)?;
    Some(match message.kind {
        cta::MSG_DELETE => Event::Destroy(entry),
        // UPDATE has the same message type and lacks this flag.
        _ if message.flags & NLM_F_CREATE != 0 => Event::New(entry),
        _ => Event::Update(entry),
    })
}
