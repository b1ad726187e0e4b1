//! Synchronous requests: ask about an entry, change it, delete it, read the whole table.
//!
//! ctnetlink handles a request inside our `send` (`nfnetlink_rcv_msg`), so its answer is there when we look. One socket
//! serves one thread; a worker, the listener and the sweeper each have their own.

use std::time::Duration;

use super::attributes::{family_of, parse_conntrack, put_mark, put_tuple, put_write, put_zone};
use super::{ConntrackError, cta};
use crate::kernel::netlink::socket::Socket;
use crate::kernel::netlink::wire::{
    Builder, Message, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NfGen,
};
use crate::packet::conntrack::{Conntrack, ConntrackId, Direction, FlowKey, Tuple};
use crate::packet::fate::ConntrackWrite;

/// A dump's datagrams hold at most 32 KiB (`netlink_recvmsg`), all other answers far less.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for the acknowledgements of a whole batch.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// Updates in one `send`.
const UPDATE_BATCH_COUNT_MAX: usize = 128;
/// How often a dump that the kernel calls inconsistent is started again.
const DUMP_ATTEMPT_COUNT_MAX: u32 = 4;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// ENOENT: no such entry, not yet confirmed, or of another incarnation. Normal life.
    Gone,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryUpdate {
    pub key: FlowKey,
    pub write: ConntrackWrite,
}

/// What a dump brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpSummary {
    /// Entries handed to the caller in the last attempt.
    pub entries: u64,
    pub attempts: u32,
    /// False when the kernel called each attempt inconsistent.
    pub consistent: bool,
}

/// A socket for requests to `nf_conntrack_netlink` of the network namespace that it was opened in.
#[derive(Debug)]
pub struct ConntrackSocket {
    socket: Socket,
    pub(super) request: Builder,
    answer: Vec<u8>,
    seq: u32,
}

impl ConntrackSocket {
    pub fn open() -> Result<ConntrackSocket, ConntrackError> {
        let socket = Socket::open().map_err(ConntrackError::Open)?;
        socket.set_cap_ack().map_err(ConntrackError::Open)?;
        socket.force_receive_buffer(RECEIVE_BUFFER_BYTES).map_err(ConntrackError::Open)?;
        socket.set_receive_timeout(ANSWER_TIMEOUT).map_err(ConntrackError::Open)?;
        Ok(ConntrackSocket { socket, request: Builder::default(), answer: vec![0; ANSWER_BYTES_MAX], seq: 0 })
    }

    /// The entry whose original tuple this is (`ctnetlink_get_conntrack`). Unconfirmed entries are not found.
    pub fn get(&mut self, key: &FlowKey) -> Result<Option<Conntrack>, ConntrackError> {
        Ok(self
            .find(key.zone, &key.orig)?
            .filter(|(_, direction)| *direction == Direction::Original)
            .map(|found| found.0))
    }

    /// The entry whose reply tuple this is. `zone` is that of the reply direction.
    pub fn get_by_reply(&mut self, zone: u16, reply: &Tuple) -> Result<Option<Conntrack>, ConntrackError> {
        Ok(self.find(zone, reply)?.filter(|(_, direction)| *direction == Direction::Reply).map(|found| found.0))
    }

    /// The entry that has this tuple in either direction, and in which: one hash holds both (`nf_conntrack_find_get`).
    pub fn find(&mut self, zone: u16, tuple: &Tuple) -> Result<Option<(Conntrack, Direction)>, ConntrackError> {
        const WHAT: &str = "get";
        let seq = self.begin(1);
        let message = self.request.begin(cta::MSG_GET, NLM_F_REQUEST, seq, nfgen(family_of(tuple)));
        put_tuple(&mut self.request, cta::TUPLE_ORIG, tuple);
        put_zone(&mut self.request, zone);
        self.request.end(message);
        self.send(WHAT)?;
        let entry = self.answers(WHAT, |message| match message.kind {
            _ if message.seq != seq => None,
            NLMSG_ERROR => Some(match message.error_code() {
                Some(libc::ENOENT) => Ok(None),
                code => Err(ConntrackError::refused(WHAT, code.unwrap_or(libc::EBADMSG))),
            }),
            _ => Some(Ok(parse(message))),
        })??;
        Ok(entry.and_then(|entry| Some((entry, direction_of(&entry, tuple)?))))
    }

    /// Hands every confirmed entry of the namespace to `each`: both families, all zones. Nothing is allocated per entry.
    ///
    /// An entry may come more than once, when the table was resized or the dump started again meanwhile.
    pub fn dump(&mut self, each: impl FnMut(&Conntrack)) -> Result<DumpSummary, ConntrackError> {
        self.dump_filtered(None, each)
    }

    /// As [`Self::dump`], of the entries with `mark & mask == wanted` only; the kernel filters
    /// (`ctnetlink_filter_match`).
    pub fn dump_marked(
        &mut self,
        wanted: u32,
        mask: u32,
        each: impl FnMut(&Conntrack),
    ) -> Result<DumpSummary, ConntrackError> {
        self.dump_filtered(Some((wanted, mask)), each)
    }

    /// Changes bits of the mark or of the labels. Raises an UPDATE event. Not for unconfirmed entries: [`Outcome::Gone`].
    ///
    /// The kernel ignores `CTA_ID` here: whatever incarnation of the tuple lives is changed.
    pub fn update(&mut self, key: &FlowKey, write: &ConntrackWrite) -> Result<Outcome, ConntrackError> {
        self.change("update", cta::MSG_NEW, key, |request| put_write(request, write))
    }

    /// Deletes the entry if it is still the incarnation `id` (`ctnetlink_del_conntrack` compares it). The connection
    /// itself goes on: its next packet makes a new entry.
    pub fn delete(&mut self, key: &FlowKey, id: ConntrackId) -> Result<Outcome, ConntrackError> {
        self.change("delete", cta::MSG_DELETE, key, |request| request.attr_be32(cta::ID, id.0))
    }

    /// Changes many entries, [`UPDATE_BATCH_COUNT_MAX`] with one `send`. `each` hears the index and outcome of each; one
    /// that fails does not stop the others.
    pub fn update_many(
        &mut self,
        updates: &[EntryUpdate],
        mut each: impl FnMut(usize, Result<Outcome, ConntrackError>),
    ) -> Result<(), ConntrackError> {
        let mut done = 0;
        for batch in updates.chunks(UPDATE_BATCH_COUNT_MAX) {
            self.update_batch(batch, |index, outcome| each(done + index, outcome))?;
            done += batch.len();
        }
        Ok(())
    }

    fn update_batch(
        &mut self,
        batch: &[EntryUpdate],
        mut each: impl FnMut(usize, Result<Outcome, ConntrackError>),
    ) -> Result<(), ConntrackError> {
        const WHAT: &str = "update";
        let first = self.begin(batch.len());
        for (update, seq) in batch.iter().zip((0..).map(|index| first.wrapping_add(index))) {
            put_change(&mut self.request, cta::MSG_NEW, seq, &update.key, |request| put_write(request, &update.write));
        }
        self.send(WHAT)?;
        let mut waiting = batch.len();
        self.answers(WHAT, |message| {
            let index = usize::try_from(message.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
            if index < batch.len() && message.kind == NLMSG_ERROR {
                each(index, outcome(WHAT, message));
                waiting = waiting.saturating_sub(1);
            }
            (waiting == 0).then_some(())
        })
    }

    fn change(
        &mut self,
        what: &'static str,
        kind: u16,
        key: &FlowKey,
        put: impl FnOnce(&mut Builder),
    ) -> Result<Outcome, ConntrackError> {
        let seq = self.begin(1);
        put_change(&mut self.request, kind, seq, key, put);
        self.send(what)?;
        self.answers(what, |message| {
            (message.seq == seq && message.kind == NLMSG_ERROR).then(|| outcome(what, message))
        })?
    }

    fn dump_filtered(
        &mut self,
        mark: Option<(u32, u32)>,
        mut each: impl FnMut(&Conntrack),
    ) -> Result<DumpSummary, ConntrackError> {
        let mut summary = DumpSummary { entries: 0, attempts: 0, consistent: false };
        while !summary.consistent && summary.attempts < DUMP_ATTEMPT_COUNT_MAX {
            summary.attempts += 1;
            (summary.entries, summary.consistent) = self.dump_once(mark, &mut each)?;
        }
        Ok(summary)
    }

    /// How many entries came, and whether the kernel calls them consistent.
    fn dump_once(
        &mut self,
        mark: Option<(u32, u32)>,
        each: &mut impl FnMut(&Conntrack),
    ) -> Result<(u64, bool), ConntrackError> {
        const WHAT: &str = "dump";
        let seq = self.begin(1);
        let message = self.request.begin(cta::MSG_GET, NLM_F_REQUEST | NLM_F_DUMP, seq, nfgen(0));
        if let Some((mark, mask)) = mark {
            put_mark(&mut self.request, mark, mask);
        }
        self.request.end(message);
        self.send(WHAT)?;
        let (mut entries, mut interrupted) = (0u64, false);
        self.answers(WHAT, |message| {
            if message.seq != seq {
                return None;
            }
            interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_DONE | NLMSG_ERROR => Some(match message.error_code() {
                    Some(0) | None => Ok(()),
                    Some(code) => Err(ConntrackError::refused(WHAT, code)),
                }),
                _ => {
                    if let Some(entry) = parse(message) {
                        entries = entries.saturating_add(1);
                        each(&entry);
                    }
                    None
                }
            }
        })??;
        Ok((entries, !interrupted))
    }

    /// Empties the request buffer and takes `count` sequence numbers, of which it returns the first.
    pub(super) fn begin(&mut self, count: usize) -> u32 {
        self.request.clear();
        let first = self.seq.wrapping_add(1);
        self.seq = self.seq.wrapping_add(u32::try_from(count).unwrap_or(u32::MAX));
        first
    }

    pub(super) fn send(&mut self, request: &'static str) -> Result<(), ConntrackError> {
        self.socket.send(self.request.as_bytes()).map_err(|source| ConntrackError::Send { request, source })
    }

    /// Shows `last` every message that arrives until it says that this was the last one. Answers to earlier requests
    /// that were given up are told apart by their sequence number, which is for `last` to check.
    pub(super) fn answers<T>(
        &mut self,
        request: &'static str,
        mut last: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Result<T, ConntrackError> {
        loop {
            let received = self.socket.receive(&mut self.answer);
            let len = received
                .map_err(|source| ConntrackError::Receive { request, source })?
                .ok_or(ConntrackError::Silent { request, seconds: ANSWER_TIMEOUT.as_secs() })?;
            let datagram = self.answer.get(..len).unwrap_or_default();
            if let Some(result) = Messages::new(datagram).find_map(|message| last(&message)) {
                return Ok(result);
            }
        }
    }
}

fn put_change(request: &mut Builder, kind: u16, seq: u32, key: &FlowKey, put: impl FnOnce(&mut Builder)) {
    let message = request.begin(kind, NLM_F_REQUEST | NLM_F_ACK, seq, nfgen(family_of(&key.orig)));
    // Never without a tuple: a DELETE without one flushes the whole table.
    put_tuple(request, cta::TUPLE_ORIG, &key.orig);
    put_zone(request, key.zone);
    put(request);
    request.end(message);
}

fn outcome(what: &'static str, message: &Message<'_>) -> Result<Outcome, ConntrackError> {
    match message.error_code() {
        Some(0) => Ok(Outcome::Done),
        Some(libc::ENOENT) => Ok(Outcome::Gone),
        code => Err(ConntrackError::refused(what, code.unwrap_or(libc::EBADMSG))),
    }
}

fn parse(message: &Message<'_>) -> Option<Conntrack> {
    let (nfgen, attrs) = message.netfilter()?;
    parse_conntrack(attrs, nfgen.family)
}

fn direction_of(entry: &Conntrack, tuple: &Tuple) -> Option<Direction> {
    if entry.orig == *tuple { Some(Direction::Original) } else { (entry.reply == *tuple).then_some(Direction::Reply) }
}

fn nfgen(family: u8) -> NfGen {
    NfGen { family, version: 0, res_id: 0 }
}
