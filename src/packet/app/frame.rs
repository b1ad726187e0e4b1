//! Frames: stretches of a protocol's bytes that rules look into as they are (`frame`), each a transaction of its own.
//!
//! A parser says where they are, with [`ParseContext::mark`] and its like; nothing is kept unless some rule asks for frames.

use std::cell::RefCell;

use super::record::AppRecord;
use super::transactions::{Transactions, TxList};
use super::{ParseContext, Transaction};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{SideSet, Toward};

/// Bytes of one frame that rules may look into.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// Frames of one flow that are not judged yet, or not at their end.
const FRAME_COUNT_MAX: usize = 64;
/// Frames are numbered apart from transactions.
const FIRST_ID: u64 = 1 << 63;

/// The frames of one flow; nothing hangs on it while there are none.
#[derive(Debug, Default)]
pub struct Frames(Option<Box<Transactions<Frame>>>);

/// What frames are marked in while a parser reads.
pub type Marks = RefCell<Frames>;

impl Frames {
    pub(super) fn list(&mut self) -> Option<&mut dyn TxList> {
        self.0.as_deref_mut().map(|list| list as &mut dyn TxList)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let list = self.0.iter().flat_map(|list| list.iter());
        list.map(|slot| size_of_val(slot) + slot.data.bytes.capacity()).sum()
    }

    /// The rules have seen them.
    pub(super) fn settle(&mut self, ended: bool, unread: SideSet) {
        if let Some(list) = &mut self.0 {
            list.settle(ended, unread, &mut |_, _| {});
            if ended || list.is_empty() {
                self.0 = None;
            }
        }
    }

    fn add(&mut self, kind: Buffer, toward: Toward, bytes: &[u8], complete: bool) {
        let list = self.0.get_or_insert_with(|| Box::new(Transactions::numbered_from(FIRST_ID)));
        let mut frame = Frame { kind, toward, bytes: Vec::new(), size: 0, complete };
        frame.append(bytes);
        list.open(frame, FRAME_COUNT_MAX).touch(toward);
    }

    fn grow(&mut self, kind: Buffer, toward: Toward, bytes: &[u8]) {
        let is_it = |frame: &Frame| frame.kind == kind && frame.toward == toward && !frame.complete;
        let open = self.0.iter_mut().flat_map(|list| list.iter_mut()).find(|slot| is_it(&slot.data));
        match open {
            Some(slot) => {
                slot.data.append(bytes);
                slot.touch(toward);
            }
            None => self.add(kind, toward, bytes, false),
        }
    }

    fn end(&mut self, kind: Buffer, toward: Toward) {
        let frames = self.0.iter_mut().flat_map(|list| list.iter_mut());
        for slot in frames.filter(|slot| slot.data.kind == kind && slot.data.toward == toward) {
            slot.data.complete = true;
        }
    }
}

impl ParseContext<'_> {
    /// A frame that is whole.
    pub fn mark(&self, kind: Buffer, toward: Toward, bytes: &[u8]) {
        if let Some(marks) = self.marks.filter(|_| !bytes.is_empty()) {
            marks.borrow_mut().add(kind, toward, bytes, true);
        }
    }

    /// More of the frame of this kind that was begun last, or the beginning of one.
    pub fn grow_mark(&self, kind: Buffer, toward: Toward, bytes: &[u8]) {
        if let Some(marks) = self.marks.filter(|_| !bytes.is_empty()) {
            marks.borrow_mut().grow(kind, toward, bytes);
        }
    }

    /// What was begun of this kind is complete.
    pub fn end_mark(&self, kind: Buffer, toward: Toward) {
        if let Some(marks) = self.marks {
            marks.borrow_mut().end(kind, toward);
        }
    }
}

/// One frame.
#[derive(Debug)]
pub struct Frame {
    kind: Buffer,
    toward: Toward,
    bytes: Vec<u8>,
    /// Bytes so far, those that are not kept included.
    size: u64,
    complete: bool,
}

/// EVE `frame`, beside an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRecord {
    /// As rules name it, without the protocol.
    pub kind: &'static str,
    pub toward: Toward,
    /// Bytes so far.
    pub length: u64,
    pub complete: bool,
}

impl Frame {
    fn append(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let room = FRAME_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

impl Transaction for Frame {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        (buffer == self.kind && toward == self.toward && nth == 0).then_some(&self.bytes)
    }

    /// Nothing can be said of other buffers, not even that they are absent.
    fn has_all_of(&self, _buffer: Buffer, _toward: Toward) -> bool {
        false
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.complete
    }

    fn record(&self) -> Option<AppRecord> {
        let name = self.kind.info().name.trim_start_matches("frame:");
        let kind = name.split_once('.').map_or(name, |(_, kind)| kind);
        let (toward, complete) = (self.toward, self.complete);
        Some(AppRecord::Frame(Box::new(FrameRecord { kind, toward, length: self.size, complete })))
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_grow_until_they_end_and_keep_no_more_than_they_may() {
        let mut frames = Frames::default();
        frames.grow(Buffer::FRAME_HTTP1_REQUEST, Toward::Server, b"GET ");
        frames.grow(Buffer::FRAME_HTTP1_REQUEST, Toward::Server, &vec![b'a'; 2 * FRAME_BYTES_MAX]);
        frames.settle(false, SideSet::default());
        frames.end(Buffer::FRAME_HTTP1_REQUEST, Toward::Server);
        let tx = frames.list().unwrap().view(0, Toward::Server).unwrap();
        assert_eq!(tx.data.buffer(Buffer::FRAME_HTTP1_REQUEST, Toward::Server, 0).unwrap().len(), FRAME_BYTES_MAX);
        assert_eq!(tx.data.buffer(Buffer::FRAME_HTTP1_REQUEST, Toward::Client, 0), None);
        let length = 4 + 2 * FRAME_BYTES_MAX as u64;
        let told = FrameRecord { kind: "request", toward: Toward::Server, length, complete: true };
        assert_eq!((tx.id, tx.data.record()), (FIRST_ID, Some(AppRecord::Frame(Box::new(told)))));
        frames.settle(false, SideSet::default());
        assert!(frames.list().is_none() && frames.heap_bytes() == 0);
        for _ in 0..2 * FRAME_COUNT_MAX {
            frames.add(Buffer::FRAME_SIP_PDU, Toward::Client, b"x", true);
        }
        assert_eq!(frames.list().unwrap().count(), FRAME_COUNT_MAX);
    }
}
