//! The list of a flow's transactions, and what detection remembers of each.

use std::collections::VecDeque;

use super::{AppRecord, FilePiece, Transaction};
use crate::packet::detect::Failure;
use crate::rules::keyword::buffers::BUFFERS;
use crate::rules::plan::{SideSet, Toward};

/// What detection remembers of one transaction and side.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// [`Slot::version`] when rules last looked.
    pub seen_version: u32,
    /// The flow was established then: rules ask for that, and data may come with the first SYN (RFC 7413).
    pub seen_established: bool,
    /// Rules that matched already: each matches a transaction once. Ascending.
    pub matched: Vec<u32>,
    /// Rules that the prefilter found in some buffer, and that have not matched yet. Ascending.
    pub candidates: Vec<Remembered>,
    /// By view of a buffer (`rules::ruleset::Lens`): how many bytes or instances the prefilter has seen.
    pub scanned: Vec<(u16, u32)>,
    /// Generation of the rule set whose numbers these are.
    pub generation: u64,
}

/// A rule that may yet match a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub rule: u32,
    /// Why it did not so far, where that is good for the next time.
    pub failure: Option<Failure>,
}

/// Transactions that one message may open beyond the limit of its flow: the commands of an SMB2 compound.
pub const BURST_COUNT_MAX: usize = 64;

/// A transaction with its number and its history.
#[derive(Debug)]
pub struct Slot<T> {
    /// EVE `tx_id`, from 0.
    pub id: u64,
    pub data: T,
    to_server: Side,
    to_client: Side,
}

#[derive(Debug, Default)]
struct Side {
    version: u32,
    inspection: Inspection,
}

impl Side {
    /// Something that rules have not seen.
    fn has_news(&self) -> bool {
        self.version != self.inspection.seen_version
    }
}

impl<T> Slot<T> {
    /// Something new can be seen from this side's bytes: rules look again.
    pub fn touch(&mut self, toward: Toward) {
        let side = self.side(toward);
        side.version = side.version.wrapping_add(1);
    }

    fn side(&mut self, toward: Toward) -> &mut Side {
        match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        }
    }
}

/// The transactions of one flow, oldest first.
#[derive(Debug)]
pub struct Transactions<T> {
    slots: VecDeque<Slot<T>>,
    next_id: u64,
    /// Transactions that gave way before they were done.
    pub evicted: u64,
}

impl<T> Default for Transactions<T> {
    fn default() -> Self {
        Transactions { slots: VecDeque::new(), next_id: 0, evicted: 0 }
    }
}

impl<T> Transactions<T> {
    /// A list whose first transaction gets this number.
    #[must_use]
    pub fn numbered_from(next_id: u64) -> Transactions<T> {
        Transactions { next_id, ..Transactions::default() }
    }

    /// Whether the next transaction would push out one of which rules have not yet seen all that this side has said. A
    /// parser then stops in front of it ([`Step::Taken`](super::Step::Taken)), and gets the rest when they have.
    #[must_use]
    pub fn is_crowded(&self, toward: Toward, count_max: usize) -> bool {
        let oldest = self.slots.front().filter(|_| self.slots.len() >= count_max.max(1));
        oldest.is_some_and(|slot| {
            let side = if toward == Toward::Server { &slot.to_server } else { &slot.to_client };
            side.has_news()
        })
    }

    fn give_up_oldest(&mut self) {
        self.evicted += u64::from(self.slots.pop_front().is_some());
    }

    /// Begins a transaction. With `count_max` there already, the oldest is given up.
    pub fn open(&mut self, data: T, count_max: usize) -> &mut Slot<T> {
        while self.slots.len() >= count_max.max(1) {
            self.give_up_oldest();
        }
        self.push(data)
    }

    /// Begins one of several transactions of this side's message, in which its parser cannot stop: what rules have not
    /// seen gives way only when there are [`BURST_COUNT_MAX`] more than `count_max`.
    pub fn open_in_burst(&mut self, toward: Toward, data: T, count_max: usize) -> &mut Slot<T> {
        let hard_max = count_max.max(1).saturating_add(BURST_COUNT_MAX);
        while self.slots.len() >= count_max.max(1) {
            if self.is_crowded(toward, count_max) && self.slots.len() < hard_max {
                break;
            }
            self.give_up_oldest();
        }
        self.push(data)
    }

    fn push(&mut self, data: T) -> &mut Slot<T> {
        let id = self.next_id;
        self.next_id += 1;
        if self.slots.is_empty() {
            // The room for four that would be made otherwise is mostly never used.
            self.slots.reserve_exact(1);
        }
        let slot = Slot { id, data, to_server: Side::default(), to_client: Side::default() };
        self.slots.push_back_mut(slot)
    }

    /// The first transaction that is the one, or a new one.
    pub fn find_or_open(
        &mut self,
        is_it: impl Fn(&Slot<T>) -> bool,
        begin: impl FnOnce() -> T,
        count_max: usize,
    ) -> &mut Slot<T> {
        match self.slots.iter().position(is_it) {
            #[allow(clippy::indexing_slicing)] // it was just found there
            Some(at) => &mut self.slots[at],
            None => self.open(begin(), count_max),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many were ever opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.next_id
    }

    pub fn last_mut(&mut self) -> Option<&mut Slot<T>> {
        self.slots.back_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Slot<T>> {
        self.slots.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<T>> {
        self.slots.iter_mut()
    }

    /// The transaction with this number, if it is still there.
    pub fn by_id(&mut self, id: u64) -> Option<&mut Slot<T>> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }
}

/// A transaction as detection sees it.
#[derive(Debug)]
pub struct TxView<'t> {
    pub id: u64,
    pub data: &'t mut dyn Transaction,
    pub version: u32,
    pub inspection: &'t mut Inspection,
    /// What detection remembers of the other side.
    pub other: &'t mut Inspection,
}

/// What a transaction has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Record(AppRecord),
    /// The next bytes of a file that is stored, with the file's number in the transaction.
    Piece(u32, FilePiece),
}

/// [`Transactions`] of any protocol.
pub trait TxList {
    fn count(&self) -> usize;

    /// The `at`th transaction, from 0 for the oldest, seen from one side.
    fn view(&mut self, at: usize, toward: Toward) -> Option<TxView<'_>>;

    /// Asks each for its own records, and takes out those that are done. `emit` gets the transaction's number, too. From
    /// `unread` sides nothing more will come, whatever a transaction waits for.
    fn settle(&mut self, ended: bool, unread: SideSet, emit: &mut dyn FnMut(u64, Told));

    fn evicted(&self) -> u64;

    /// See [`Transactions::is_crowded`].
    fn is_crowded(&self, toward: Toward, count_max: usize) -> bool;

    /// Rules will not look at the oldest transaction any more than they have: it makes room.
    fn make_room(&mut self);
}

/// Records that one transaction may give at once, whatever it says.
const RECORD_COUNT_MAX: usize = 64;

impl<T: Transaction> TxList for Transactions<T> {
    fn count(&self) -> usize {
        self.slots.len()
    }

    fn view(&mut self, at: usize, toward: Toward) -> Option<TxView<'_>> {
        let Slot { id, data, to_server, to_client } = self.slots.get_mut(at)?;
        let (side, other) = match toward {
            Toward::Server => (to_server, to_client),
            Toward::Client => (to_client, to_server),
        };
        let (inspection, other) = (&mut side.inspection, &mut other.inspection);
        Some(TxView { id: *id, data, version: side.version, inspection, other })
    }

    fn settle(&mut self, ended: bool, unread: SideSet, emit: &mut dyn FnMut(u64, Told)) {
        let is_over = |data: &T, toward| unread.has(toward) || data.is_done(toward);
        let is_over = |data: &T| is_over(data, Toward::Server) && is_over(data, Toward::Client);
        for slot in &mut self.slots {
            let ended = ended || unread != SideSet::default() && is_over(&slot.data);
            for _ in 0..RECORD_COUNT_MAX {
                let Some(record) = slot.data.take_record(ended) else { break };
                emit(slot.id, Told::Record(record));
            }
            let (id, mut numbers) = (slot.id, [0, 1]);
            slot.data.each_file(&mut |toward, file| {
                let [to_server, to_client] = &mut numbers;
                let number = if toward == Toward::Server { to_server } else { to_client };
                if let Some(piece) = file.take_piece() {
                    emit(id, Told::Piece(*number, piece));
                }
                *number += 2;
            });
        }
        self.slots.retain(|slot| !is_over(&slot.data));
        if self.slots.is_empty() {
            // Connections that wait for their next request are many; what they hold counts.
            self.slots = VecDeque::new();
        }
    }

    fn evicted(&self) -> u64 {
        self.evicted
    }

    fn is_crowded(&self, toward: Toward, count_max: usize) -> bool {
        Transactions::is_crowded(self, toward, count_max)
    }

    fn make_room(&mut self) {
        self.give_up_oldest();
    }
}

/// The number of a buffer's line fits where [`Inspection::scanned`] keeps it.
const _: () = assert!(BUFFERS.len() < 256);
