//! Answers, and how they become messages: plain accepts merged, all others one by one, in the order of the packets.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::kernel::conntrack::attributes::put_write;
use crate::kernel::netlink::socket::Socket;
use crate::kernel::netlink::wire::{Builder, HEADER_BYTES, NLM_F_REQUEST};
use crate::packet::fate::ConntrackWrite;

use super::counters::QueueCounters;
use super::message::{self, nfqa};

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NF_QUEUE: u32 = 3;
const NF_REPEAT: u32 = 4;
/// `NF_VERDICT_FLAG_QUEUE_BYPASS`: accept where nobody listens on the other queue.
const QUEUE_BYPASS: u32 = 0x8000;

/// The longest verdict message: header, verdict, packet mark, conntrack mark and labels with their masks.
const VERDICT_BYTES_MAX: usize = 100;
/// A send that fails for want of memory is tried so often, this long apart: at most 50 ms in all.
const SEND_TRIES_MAX: u32 = 25;
const SEND_PAUSE: Duration = Duration::from_millis(2);

/// What is to happen to one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    pub disposition: Disposition,
    /// Replaces the packet's mark, all 32 bits. `None` leaves the mark that the packet came with.
    pub packet_mark: Option<u32>,
    /// Written into the connection's entry, also with a drop. The kernel reports no error of it.
    pub conntrack: Option<ConntrackWrite>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// On to the next base chain of the hook.
    Accept,
    Drop,
    /// Through our base chain again, under a new id. Loops unless something that a rule tests has changed.
    Repeat,
    /// Into another queue; on to the next base chain where nobody listens there.
    Requeue {
        queue: u16,
    },
}

impl Answer {
    pub const ACCEPT: Answer = Answer { disposition: Disposition::Accept, packet_mark: None, conntrack: None };
    pub const DROP: Answer = Answer { disposition: Disposition::Drop, ..Answer::ACCEPT };
    pub const REPEAT: Answer = Answer { disposition: Disposition::Repeat, ..Answer::ACCEPT };

    pub fn with_packet_mark(self, mark: u32) -> Answer {
        Answer { packet_mark: Some(mark), ..self }
    }

    pub fn with_conntrack(self, write: ConntrackWrite) -> Answer {
        Answer { conntrack: Some(write), ..self }
    }
}

/// Verdict messages that wait to be sent. Bytes leave it only when the kernel has taken them.
#[derive(Debug)]
pub(super) struct Outbox {
    number: u16,
    builder: Builder,
    /// Bytes of `builder` that the kernel has already taken, one message at a time.
    sent: usize,
}

impl Outbox {
    /// Room for the verdicts of `batch` packets, and as many repeated ones, without allocation.
    pub fn new(number: u16, batch: usize) -> Outbox {
        let bytes = batch.saturating_mul(2).saturating_mul(VERDICT_BYTES_MAX);
        Outbox { number, builder: Builder::with_capacity(bytes), sent: 0 }
    }

    /// The largest `send` that may come of it.
    pub fn capacity_for(batch: usize) -> usize {
        batch.saturating_mul(2).saturating_mul(VERDICT_BYTES_MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Appends the answers of one batch, in order.
    ///
    /// A batch verdict applies to *every* packet of the queue up to its id. That is right only because each earlier
    /// packet has been answered by an earlier message.
    pub fn put_batch(&mut self, answers: impl Iterator<Item = (u32, Answer)>, counters: &mut QueueCounters) {
        let mut run = Run::default();
        for (id, answer) in answers {
            count(counters, answer.disposition);
            if answer == Answer::ACCEPT {
                run.extend(id);
                continue;
            }
            self.put_run(&mut run, counters);
            self.put_single(id, &answer, counters);
        }
        self.put_run(&mut run, counters);
    }

    /// Accepts packets whose verdict the kernel could not make sense of. Sequence number 0: not repeated twice.
    pub fn put_rescue(&mut self, kind: u16, id: u32, counters: &mut QueueCounters) {
        self.put(
            if kind == message::VERDICT_BATCH { kind } else { message::VERDICT },
            0,
            id,
            &Answer::ACCEPT,
            counters,
        );
    }

    /// Sends everything, in order. What the kernel does not take stays for the next call.
    pub fn send(&mut self, socket: &Socket, counters: &mut QueueCounters) -> io::Result<()> {
        let Some(rest) = self.builder.as_bytes().get(self.sent..).filter(|rest| !rest.is_empty()) else {
            self.clear();
            return Ok(());
        };
        if socket.send(rest).is_err() {
            counters.send_retries = counters.send_retries.saturating_add(1);
            self.send_one_by_one(socket, counters)?;
        }
        self.clear();
        Ok(())
    }

    fn send_one_by_one(&mut self, socket: &Socket, counters: &mut QueueCounters) -> io::Result<()> {
        while let Some(message) = first_message(self.builder.as_bytes(), self.sent) {
            send_patiently(socket, message, counters)?;
            self.sent = self.sent.saturating_add(message.len());
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.builder.clear();
        self.sent = 0;
    }

    fn put_run(&mut self, run: &mut Run, counters: &mut QueueCounters) {
        let Run { packets, last_id } = std::mem::take(run);
        let kind = match packets {
            0 => return,
            1 => message::VERDICT,
            _ => message::VERDICT_BATCH,
        };
        self.put(kind, last_id, last_id, &Answer::ACCEPT, counters);
    }

    fn put_single(&mut self, id: u32, answer: &Answer, counters: &mut QueueCounters) {
        self.put(message::VERDICT, id, id, answer, counters);
    }

    /// The sequence number is the packet's id, so that an error names the packet.
    fn put(&mut self, kind: u16, seq: u32, id: u32, answer: &Answer, counters: &mut QueueCounters) {
        counters.verdict_messages = counters.verdict_messages.saturating_add(1);
        let builder = &mut self.builder;
        let message = builder.begin(kind, NLM_F_REQUEST, seq, message::nfgen(self.number));
        let [v0, v1, v2, v3] = verdict_code(answer.disposition).to_be_bytes();
        let [i0, i1, i2, i3] = id.to_be_bytes();
        builder.attr(nfqa::VERDICT_HDR, &[v0, v1, v2, v3, i0, i1, i2, i3]);
        if let Some(mark) = answer.packet_mark {
            builder.attr_be32(nfqa::MARK, mark);
        }
        if let Some(write) = &answer.conntrack {
            let nest = builder.begin_nested(nfqa::CT);
            put_write(builder, write);
            builder.end_nested(nest);
        }
        builder.end(message);
    }
}

/// Plain accepts in a row.
#[derive(Debug, Default)]
struct Run {
    packets: u32,
    last_id: u32,
}

impl Run {
    fn extend(&mut self, id: u32) {
        self.packets = self.packets.saturating_add(1);
        self.last_id = id;
    }
}

fn verdict_code(disposition: Disposition) -> u32 {
    match disposition {
        Disposition::Accept => NF_ACCEPT,
        Disposition::Drop => NF_DROP,
        Disposition::Repeat => NF_REPEAT,
        Disposition::Requeue { queue } => u32::from(queue) << 16 | QUEUE_BYPASS | NF_QUEUE,
    }
}

fn count(counters: &mut QueueCounters, disposition: Disposition) {
    let counter = match disposition {
        Disposition::Accept => &mut counters.accepted,
        Disposition::Drop => &mut counters.dropped,
        Disposition::Repeat => &mut counters.repeated,
        Disposition::Requeue { .. } => &mut counters.requeued,
    };
    *counter = counter.saturating_add(1);
}

/// The message at `at`, padding included: what we wrote is always whole.
fn first_message(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let len = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
    rest.get(..len.max(HEADER_BYTES).next_multiple_of(4))
}

fn send_patiently(socket: &Socket, message: &[u8], counters: &mut QueueCounters) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match socket.send(message) {
            Ok(()) => return Ok(()),
            Err(error) if tries >= SEND_TRIES_MAX || !is_passing(&error) => return Err(error),
            Err(_) => {}
        }
        tries += 1;
        counters.send_retries = counters.send_retries.saturating_add(1);
        sleep(SEND_PAUSE);
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
