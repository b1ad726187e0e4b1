//! NFQUEUE: the kernel hands us packets, and we hand each of them back exactly once.
//!
//! ```text
//!  open ──► receive ──► split ─┬─► Inbox    (Packet, Ticket), (Packet, Ticket), ...
//!            ▲                 └─► Answers  give(ticket, answer) ... flush: one send, in the packets' order
//!            └──────────────────────────────────────────────────┘
//!  stop: the rule goes first, then drain, then close
//! ```
//!
//! Two subtleties rule this module. A packet that is read waits in the kernel *for ever* until it is answered, so every
//! way out of a batch, a panic included, ends in an answer. And a batch verdict applies to everything up to its id, so
//! answers leave in the order of the packets and never later than a younger packet's.
//!
//! A queue is served by one thread. The kernel names its owner by the socket's port id; a second owner is refused.

mod answer;
mod batch;
mod config;
mod counters;
mod error;
mod message;
mod open;
mod packet;
pub mod proc;

use std::time::{Duration, Instant};

pub use crate::packet::fate::ConntrackWrite;
pub use answer::{Answer, Disposition};
pub use batch::{Answers, Inbox, Ticket};
pub use config::{Flags, QueueConfig, QueueReport};
pub use counters::{QueueCounters, VerdictErrors};
pub use error::{Owner, QueueError};
pub use packet::{Packet, packet_id, parse};

use self::answer::Outbox;
use self::batch::{Seen, Waiting};
use self::counters::IdSequence;
use crate::kernel::netlink::batch::BatchBuffers;
use crate::kernel::netlink::socket::Socket;
use crate::kernel::netlink::wire::{Builder, Messages, NLMSG_ERROR};
use crate::kernel::tally::Slot;

/// While draining, silence of this length twice in a row means that nothing is on its way any more.
const DRAIN_PAUSE: Duration = Duration::from_millis(10);

/// A bound queue, its socket and its buffers. Nothing is allocated after opening.
///
/// Dropped, it accepts what it holds and what waits in its socket, then unbinds: with the rule's bypass flag, traffic
/// goes on.
#[derive(Debug)]
pub struct Queue {
    number: u16,
    length_packets: u32,
    socket: Socket,
    buffers: BatchBuffers,
    timeout: Duration,
    waiting: Vec<Waiting>,
    given: Vec<Option<Answer>>,
    seen: Seen,
    outbox: Outbox,
    ids: IdSequence,
    counters: QueueCounters,
    /// Where answers are counted beyond our end.
    tally: Option<Slot>,
    /// Packets that came with the acknowledgement of our configuration: the first receive hands them out.
    held: Option<Received>,
}

/// What a receive brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets to be judged; 0 after a timeout or a signal.
    pub packets: usize,
    /// Packet ids missing before or among them: lost to a full receive buffer.
    pub lost: u32,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Packets that were still answered.
    pub packets: usize,
    /// Packets that the kernel still holds; 0 unless the time was up, most likely because a rule still queues.
    pub waiting: u32,
}

impl Queue {
    /// Binds the queue and brings it into service: whole packets, flags, length, in one message.
    ///
    /// Best before any rule sends packets here. The kernel publishes the queue a moment before it sets the copy mode
    /// (`nfqnl_recv_config`), and drops what another CPU queues in between: microseconds, but out of our reach.
    ///
    /// A flag that the kernel refuses is left out and reported; everything else that it refuses is an error.
    ///
    /// # Errors
    /// [`QueueError::Owned`] names the owner of a queue that is taken, [`QueueError::Capability`] a lack of
    /// CAP_NET_ADMIN.
    pub fn open(config: &QueueConfig) -> Result<(Queue, QueueReport), QueueError> {
        open::open(config)
    }

    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The owner's name in `/proc/net/netfilter/nfnetlink_queue`; for [`proc::kernel_counters`].
    #[must_use]
    pub fn port_id(&self) -> u32 {
        self.socket.port_id()
    }

    #[must_use]
    pub fn counters(&self) -> &QueueCounters {
        &self.counters
    }

    /// From now on answers are counted in `slot`, too.
    pub fn count_in(&mut self, slot: Slot) {
        self.tally = Some(slot);
    }

    /// Waits up to `timeout` for packets and takes as many as there are, at most a batch. What is left of the batch
    /// before is answered first.
    ///
    /// # Errors
    /// [`QueueError::Send`] when that answer cannot be sent: nothing was read, and the next call tries again.
    pub fn receive(&mut self, timeout: Duration) -> Result<Received, QueueError> {
        self.settle()?;
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        self.fill(timeout)?;
        Ok(self.sort())
    }

    /// The two halves of the batch that was received: packets to read, and their answers.
    pub fn split(&mut self) -> (Inbox<'_>, Answers<'_>) {
        // An answered batch holds no places; its packets must not be handed out again.
        let waiting = self.waiting.get(..self.given.len()).unwrap_or_default();
        let inbox = Inbox { buffers: &self.buffers, waiting, place: 0, seen: &self.seen };
        let answers = Answers {
            number: self.number,
            socket: &self.socket,
            waiting,
            given: &mut self.given,
            seen: &self.seen,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            tally: self.tally.as_ref(),
        };
        (inbox, answers)
    }

    /// Answers everything that still comes, until the kernel holds no packet of this queue any more or `limit` is over.
    /// To be called once no rule queues here any longer.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub fn drain(
        &mut self,
        limit: Duration,
        mut judge: impl FnMut(&Packet<'_>) -> Answer,
    ) -> Result<Drained, QueueError> {
        let started = Instant::now();
        let mut packets = 0usize;
        let mut silences = 0;
        loop {
            let received = self.receive(DRAIN_PAUSE)?;
            let (inbox, mut answers) = self.split();
            for (packet, ticket) in inbox {
                let answer = judge(&packet);
                answers.give(ticket, answer);
            }
            answers.flush()?;
            packets = packets.saturating_add(received.packets);
            silences = if received.packets == 0 { silences + 1 } else { 0 };
            let waiting = self.waiting_in_kernel();
            if waiting == 0 && silences >= 2 {
                return Ok(Drained { packets, waiting });
            }
            if started.elapsed() >= limit {
                // Closing would drop what nobody had the time to judge.
                self.accept_forgotten();
                self.settle()?;
                return Ok(Drained { packets, waiting: self.waiting_in_kernel() });
            }
            if silences >= 2 {
                self.accept_forgotten();
            }
        }
    }

    /// Unbinds and closes. The kernel drops whatever it still holds: [`Queue::drain`] first.
    pub fn close(self) -> QueueCounters {
        self.counters
    }

    /// 0 where /proc cannot be read.
    fn waiting_in_kernel(&self) -> u32 {
        proc::queue(self.number).ok().flatten().map_or(0, |row| row.waiting)
    }

    /// When nothing more comes, what the kernel still holds was read and its answer failed: accept all of it with the
    /// next send.
    fn accept_forgotten(&mut self) {
        if let Ok(Some(row)) = proc::queue(self.number) {
            self.outbox.put_rescue(message::VERDICT_BATCH, row.id_sequence, &mut self.counters);
        }
    }

    fn settle(&mut self) -> Result<(), QueueError> {
        if self.held.is_some() || (self.given.is_empty() && self.outbox.is_empty()) {
            return Ok(());
        }
        self.split().1.flush()
    }

    fn fill(&mut self, timeout: Duration) -> Result<(), QueueError> {
        let number = self.number;
        if timeout != self.timeout && !timeout.is_zero() {
            self.socket.set_receive_timeout(timeout).map_err(|source| QueueError::Option {
                number,
                option: "SO_RCVTIMEO",
                source,
            })?;
            self.timeout = timeout;
        }
        let got =
            if timeout.is_zero() { self.buffers.try_receive(&self.socket) } else { self.buffers.receive(&self.socket) };
        match got {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.counters.overruns = self.counters.overruns.saturating_add(1);
                Ok(())
            }
            Err(source) => Err(QueueError::Receive { number, source }),
        }
    }

    /// Gives each packet of the received datagrams its place, and counts the rest.
    fn sort(&mut self) -> Received {
        self.waiting.clear();
        self.given.clear();
        let mut received = Received::default();
        for slot in 0..self.buffers.len() {
            let Some(datagram) = self.buffers.datagram(slot) else { continue };
            let Some(id) = packet::packet_id(datagram.bytes) else {
                note_other(datagram.bytes, &mut self.counters, &mut self.outbox);
                continue;
            };
            received.lost = received.lost.saturating_add(self.ids.gap_before(id));
            self.waiting.push(Waiting { datagram: slot, id });
            self.given.push(None);
        }
        received.packets = self.waiting.len();
        self.counters.packets = self.counters.packets.saturating_add(received.packets as u64);
        self.counters.batches = self.counters.batches.saturating_add(u64::from(received.packets > 0));
        self.counters.id_gaps = self.counters.id_gaps.saturating_add(u64::from(received.lost));
        received
    }

    fn sweep(&mut self) -> Result<(), QueueError> {
        self.held = None;
        self.settle()?;
        let batches = usize::try_from(self.length_packets).unwrap_or(0) / self.buffers.capacity();
        for _ in 0..=batches {
            if self.receive(Duration::ZERO)?.packets == 0 {
                break;
            }
        }
        self.settle()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.sweep();
        let mut unbind = Builder::with_capacity(64);
        message::put_unbind(&mut unbind, self.number);
        // Closing the socket does the same, unless a forked child holds it too.
        let _ = self.socket.send(unbind.as_bytes());
    }
}

/// A datagram that is no packet: mostly an error that answers a verdict of ours, between the packets.
fn note_other(datagram: &[u8], counters: &mut QueueCounters, outbox: &mut Outbox) {
    let error = Messages::new(datagram).next().filter(|message| message.kind == NLMSG_ERROR);
    let Some((kind, errno, id)) = error.and_then(|error| Some((error.error_kind()?, error.error_code()?, error.seq)))
    else {
        counters.unknown_messages = counters.unknown_messages.saturating_add(1);
        return;
    };
    let is_verdict = matches!(kind, message::VERDICT | message::VERDICT_BATCH);
    if errno != 0 && is_verdict && counters.verdict_errors.count(errno) && id != 0 {
        outbox.put_rescue(kind, id, counters);
    }
}
