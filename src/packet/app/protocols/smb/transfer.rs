//! A file that READ or WRITE carries, piece by piece, in any order.

use std::collections::BTreeMap;

use crate::packet::app::{File, ParseContext};
use crate::rules::plan::Toward;

/// Bytes of one file that wait for what stands before them.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Pieces of one file that wait.
const WAITING_COUNT_MAX: usize = 256;

/// What names an open file on a connection: SMB2's identifier, or SMB1's number with its session.
pub type Handle = [u8; 16];

#[derive(Debug)]
pub struct Transfer {
    pub handle: Handle,
    /// WRITE goes to the server, READ comes to the client.
    pub toward: Toward,
    pub share: Vec<u8>,
    pub file: File,
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
}

impl Transfer {
    #[must_use]
    pub fn new(handle: Handle, toward: Toward, name: &[u8], share: &[u8], context: &ParseContext<'_>) -> Transfer {
        Transfer {
            handle,
            toward,
            share: share.to_vec(),
            file: File::open(name, context.hashes),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
        }
    }

    /// Whether bytes at this place were seen already.
    #[must_use]
    pub fn overlaps(&self, offset: u64) -> bool {
        offset < self.file.size()
    }

    /// Takes bytes that stand at `offset`. What was seen first stays.
    pub fn take(&mut self, offset: u64, bytes: &[u8], context: &ParseContext<'_>) {
        if offset > self.file.size() {
            return self.wait(offset, bytes);
        }
        self.append(offset, bytes, context);
        while let Some(piece) = self.waiting.first_entry() {
            if *piece.key() > self.file.size() {
                break;
            }
            let (offset, bytes) = piece.remove_entry();
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes.len());
            self.append(offset, &bytes, context);
        }
    }

    fn append(&mut self, offset: u64, bytes: &[u8], context: &ParseContext<'_>) {
        let known = usize::try_from(self.file.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        if let Some(fresh) = bytes.get(known..).filter(|fresh| !fresh.is_empty()) {
            self.file.append(fresh, context.limits.body_bytes_max);
        }
    }

    fn wait(&mut self, offset: u64, bytes: &[u8]) {
        if self.waiting_bytes.saturating_add(bytes.len()) > WAITING_BYTES_MAX {
            return;
        }
        let follows = |(at, piece): &(&u64, &mut Vec<u8>)| {
            u64::try_from(piece.len()).is_ok_and(|length| at.checked_add(length) == Some(offset))
        };
        if let Some((_, piece)) = self.waiting.range_mut(..=offset).next_back().filter(follows) {
            piece.extend_from_slice(bytes);
        } else if self.waiting.len() < WAITING_COUNT_MAX && !self.waiting.contains_key(&offset) {
            self.waiting.insert(offset, bytes.to_vec());
        } else {
            return;
        }
        self.waiting_bytes += bytes.len();
    }

    /// No more will come. What still waits shows that something is missing.
    pub fn close(&mut self, truncated: bool) {
        self.file.close(truncated || !self.waiting.is_empty());
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.file.heap_bytes() + self.waiting_bytes + self.share.capacity()
    }
}
