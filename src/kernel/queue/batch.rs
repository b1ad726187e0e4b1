//! A batch of packets, split in two: the inbox to read from and the answers to write down.
//!
//! Each packet comes with a [`Ticket`], and only giving an answer consumes it. Answers are written down in the packets'
//! places, whatever order they are given in, and sent in the packets' order with one system call. A place that is still
//! empty then (a ticket was dropped, the judge panicked) is an accept.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::kernel::netlink::batch::BatchBuffers;
use crate::kernel::netlink::socket::Socket;
use crate::kernel::tally::Slot;

use super::answer::{Answer, Outbox};
use super::counters::QueueCounters;
use super::error::QueueError;
use super::packet::{self, Packet};

/// A packet that was received: which datagram holds it, and the id under which it must be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub datagram: usize,
    pub id: u32,
}

/// What reading the packets of one batch has shown. Both halves of the batch look at it, hence the cells.
#[derive(Debug, Default)]
pub(super) struct Seen {
    bytes: Cell<u64>,
    malformed: Cell<u64>,
    truncated: Cell<u64>,
    malformed_conntrack: Cell<u64>,
}

/// The right, and the duty, to answer one packet.
#[derive(Debug)]
#[must_use = "a packet without an answer is accepted and counted as an orphan"]
pub struct Ticket<'q> {
    place: usize,
    id: u32,
    batch: PhantomData<&'q Waiting>,
}

/// The packets of a batch, in the kernel's order. What cannot be parsed is left out: it will be accepted and counted.
#[derive(Debug)]
pub struct Inbox<'q> {
    pub(super) buffers: &'q BatchBuffers,
    pub(super) waiting: &'q [Waiting],
    pub(super) place: usize,
    pub(super) seen: &'q Seen,
}

impl<'q> Iterator for Inbox<'q> {
    type Item = (Packet<'q>, Ticket<'q>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = self.place;
            let waiting = self.waiting.get(place)?;
            self.place = place.saturating_add(1);
            let datagram = self.buffers.datagram(waiting.datagram)?;
            if datagram.truncated {
                add(&self.seen.truncated, 1);
                continue;
            }
            let Some(packet) = packet::parse(datagram.bytes) else {
                add(&self.seen.malformed, 1);
                continue;
            };
            add(&self.seen.bytes, packet.bytes().len() as u64);
            add(&self.seen.malformed_conntrack, u64::from(packet.conntrack_malformed));
            return Some((packet, Ticket { place, id: waiting.id, batch: PhantomData }));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.waiting.len().saturating_sub(self.place)))
    }
}

/// Where the answers of a batch are written down. Dropped without [`Answers::flush`], it sends what it has.
#[derive(Debug)]
pub struct Answers<'q> {
    pub(super) number: u16,
    pub(super) socket: &'q Socket,
    pub(super) waiting: &'q [Waiting],
    /// One place per waiting packet; empty once the batch is answered.
    pub(super) given: &'q mut Vec<Option<Answer>>,
    pub(super) seen: &'q Seen,
    pub(super) outbox: &'q mut Outbox,
    pub(super) counters: &'q mut QueueCounters,
    pub(super) tally: Option<&'q Slot>,
}

impl<'q> Answers<'q> {
    /// Writes down the answer to one packet. Nothing is sent yet.
    pub fn give(&mut self, ticket: Ticket<'q>, answer: Answer) {
        let is_ours = self.waiting.get(ticket.place).is_some_and(|waiting| waiting.id == ticket.id);
        if let Some(place) = self.given.get_mut(ticket.place).filter(|_| is_ours) {
            *place = Some(answer);
        }
    }

    pub fn accept(&mut self, ticket: Ticket<'q>) {
        self.give(ticket, Answer::ACCEPT);
    }

    pub fn drop(&mut self, ticket: Ticket<'q>) {
        self.give(ticket, Answer::DROP);
    }

    /// Sends the answers of the whole batch, with an accept for each packet that got none.
    ///
    /// # Errors
    /// The kernel did not take them, not even one by one and after a pause. They are kept, and the next flush or
    /// receive tries again; until then no further packets are read.
    pub fn flush(mut self) -> Result<(), QueueError> {
        self.settle()
    }

    fn settle(&mut self) -> Result<(), QueueError> {
        self.count_batch();
        let places = self.waiting.iter().zip(self.given.drain(..));
        let answers = places.map(|(waiting, given)| (waiting.id, given.unwrap_or(Answer::ACCEPT)));
        self.outbox.put_batch(answers, self.counters);
        if let Some(tally) = self.tally {
            tally.answering(self.counters);
        }
        self.outbox
            .send(self.socket, self.counters)
            .map_err(|source| QueueError::Send { number: self.number, source })?;
        if let Some(tally) = self.tally {
            tally.answered(self.counters);
        }
        Ok(())
    }

    fn count_batch(&mut self) {
        let counters = &mut *self.counters;
        let unanswered = self.given.iter().filter(|given| given.is_none()).count() as u64;
        let (malformed, truncated) = (self.seen.malformed.take(), self.seen.truncated.take());
        let orphans = unanswered.saturating_sub(malformed).saturating_sub(truncated);
        for (counter, more) in [
            (&mut counters.bytes, self.seen.bytes.take()),
            (&mut counters.malformed, malformed),
            (&mut counters.truncated, truncated),
            (&mut counters.malformed_conntrack, self.seen.malformed_conntrack.take()),
            (&mut counters.orphans, orphans),
        ] {
            *counter = counter.saturating_add(more);
        }
    }
}

impl Drop for Answers<'_> {
    /// Also on the way out of a panic: the packets must not wait for a judge that is gone. A failed send stays in the
    /// outbox for the next receive.
    fn drop(&mut self) {
        if !self.given.is_empty() {
            let _ = self.settle();
        }
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().saturating_add(more));
}
