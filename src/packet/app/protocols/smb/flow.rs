//! What an SMB connection has been told so far: its trees, open files, pipes, and the transactions that stand.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::ntlmssp::narrow;
use super::transaction::{Detail, Label, Negotiated, SmbTransaction, Status};
use super::transfer::{Handle, Transfer};
use crate::packet::app::protocols::dcerpc::call::Call;
use crate::packet::app::protocols::dcerpc::interfaces::Interfaces;
use crate::packet::app::protocols::dcerpc::pdu::{self, HEADER_BYTES, Header, kind};
use crate::packet::app::{ParseContext, Slot, Transactions};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

/// Trees, open files and so on of one connection, each; for one more, another is forgotten.
const REMEMBERED_COUNT_MAX: usize = 1024;
/// Pipes that nobody was seen to open. Beyond so many they are read, but nothing is remembered of them.
const STRANGE_PIPE_COUNT_MAX: usize = 64;
/// Bytes of a pipe's message that wait for the rest: the longest fragment of DCERPC.
const PIPE_BYTES_MAX: usize = 65_535;

/// A map that forgets one entry for another when it is full: nobody can tell which.
#[derive(Debug)]
pub struct Remembered<K, V>(HashMap<K, V>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Remembered(HashMap::new())
    }
}

impl<K: Eq + Hash + Copy, V> Remembered<K, V> {
    pub fn insert(&mut self, key: K, value: V) {
        if self.0.len() >= REMEMBERED_COUNT_MAX && !self.0.contains_key(&key) {
            let other = self.0.keys().next().copied();
            other.and_then(|other| self.0.remove(&other));
        }
        self.0.insert(key, value);
    }

    /// Its table, and what hangs on each value.
    fn heap_bytes(&self, of_value: impl Fn(&V) -> usize) -> usize {
        self.0.capacity() * size_of::<(K, V)>() + self.0.values().map(of_value).sum::<usize>()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub name: Vec<u8>,
    pub is_pipe: bool,
}

/// One open pipe: what was bound on it, and the beginning of a message in each direction.
#[derive(Debug, Default)]
struct Pipe {
    interfaces: Arc<Interfaces>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Pipe {
    fn heap_bytes(&self) -> usize {
        self.to_server.capacity() + self.to_client.capacity() + self.interfaces.heap_bytes()
    }
}

/// Where file data that goes on in later bytes belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub tx: u64,
    pub offset: u64,
}

#[derive(Debug, Default)]
pub struct SmbFlow {
    pub transactions: Transactions<SmbTransaction>,
    pub negotiated: Arc<Negotiated>,
    /// By session and tree.
    pub trees: Remembered<(u64, u32), Tree>,
    pub names: Remembered<Handle, Vec<u8>>,
    /// CREATEs that wait for their answer: the name, and the handle that stands in for it inside of a chain.
    pub creating: Remembered<u64, (Vec<u8>, Handle)>,
    /// READs that wait for their answer: of which file, and where.
    pub reads: Remembered<u64, (Handle, u64)>,
    /// CLOSEs that wait for their answer.
    pub closing: Remembered<u64, Handle>,
    pipes: Remembered<Handle, Pipe>,
}

impl SmbFlow {
    pub fn open(
        &mut self,
        label: Label,
        toward: Toward,
        detail: Detail,
        context: &ParseContext<'_>,
    ) -> &mut Slot<SmbTransaction> {
        let id = self.transactions.opened() + 1;
        let tx = SmbTransaction::new(id, label, detail, &self.negotiated);
        self.transactions.open_in_burst(toward, tx, context.limits.transaction_count_max(AppProto::Smb))
    }

    /// A transaction whose request is whole.
    pub fn request(&mut self, label: Label, detail: Detail, context: &ParseContext<'_>) -> &mut Slot<SmbTransaction> {
        let slot = self.open(label, Toward::Server, detail, context);
        slot.data.request_done = true;
        slot.touch(Toward::Server);
        slot
    }

    /// The transaction that this response belongs to, now done. `None` if its request was not seen.
    pub fn answer(&mut self, label: Label, status: Status) -> Option<&mut Slot<SmbTransaction>> {
        let negotiated = Arc::clone(&self.negotiated);
        let slot = self.transactions.iter_mut().find(|slot| {
            let tx = &slot.data;
            !tx.response_done
                && !matches!(tx.detail, Detail::File(_))
                && tx.label.version == label.version
                && tx.label.command == label.command
                && tx.label.message_id == label.message_id
        })?;
        slot.data.status = Some(status);
        slot.data.response_done = true;
        slot.data.negotiated = negotiated;
        slot.touch(Toward::Client);
        Some(slot)
    }

    /// An oddity that belongs to the newest transaction, or to one of its own.
    pub fn raise(&mut self, label: Label, toward: Toward, event: &'static str, context: &ParseContext<'_>) {
        let slot = self.open(label, toward, Detail::None, context);
        slot.data.raise(event);
        slot.data.request_done = true;
        slot.data.response_done = true;
        slot.touch(toward);
    }

    /// The share behind a tree, and whether it is one of pipes.
    #[must_use]
    pub fn tree(&self, label: &Label) -> Option<&Tree> {
        self.trees.get(&(label.session_id, label.tree_id))
    }

    /// Whether what is written to or read from here is a named pipe's. On an unknown tree the bytes tell.
    #[must_use]
    pub fn is_pipe(&self, label: &Label, data: &[u8]) -> bool {
        match self.tree(label) {
            Some(tree) => tree.is_pipe,
            None => Header::read(data).is_some(),
        }
    }

    /// File data that stands at `offset`. Returns where the bytes behind it belong.
    pub fn file_data(
        &mut self,
        label: Label,
        toward: Toward,
        handle: Handle,
        offset: u64,
        data: &[u8],
        context: &ParseContext<'_>,
    ) -> Place {
        let known = self.file(handle, toward).map(|slot| slot.id);
        let id = known.unwrap_or_else(|| {
            let name = self.names.get(&handle).cloned().unwrap_or_default();
            let share = self.tree(&label).map(|tree| tree.name.clone()).unwrap_or_default();
            let transfer = Transfer::new(handle, toward, &name, &share, context);
            self.open(label, toward, Detail::File(Box::new(transfer)), context).id
        });
        let place = Place { tx: id, offset };
        if let Some(slot) = self.transactions.by_id(id)
            && let Detail::File(transfer) = &slot.data.detail
            && transfer.overlaps(offset)
        {
            slot.data.raise("smb.file_overlap");
            // Events are both sides' concern.
            slot.touch(Toward::Server);
            slot.touch(Toward::Client);
        }
        self.more_file_data(place, data, context)
    }

    /// File data that continues at `place`.
    pub fn more_file_data(&mut self, place: Place, data: &[u8], context: &ParseContext<'_>) -> Place {
        if let Some(slot) = self.transactions.by_id(place.tx)
            && let Detail::File(transfer) = &mut slot.data.detail
        {
            transfer.take(place.offset, data, context);
            let toward = transfer.toward;
            slot.touch(toward);
        }
        let taken = u64::try_from(data.len()).unwrap_or(u64::MAX);
        Place { offset: place.offset.saturating_add(taken), ..place }
    }

    fn file(&mut self, handle: Handle, toward: Toward) -> Option<&mut Slot<SmbTransaction>> {
        self.transactions.iter_mut().find(|slot| match &slot.data.detail {
            Detail::File(transfer) => transfer.file.is_open() && transfer.handle == handle && transfer.toward == toward,
            _ => false,
        })
    }

    /// The file is closed: no more of it goes this way.
    pub fn close_file(&mut self, handle: Handle, toward: Toward) {
        let Some(slot) = self.file(handle, toward) else { return };
        if let Detail::File(transfer) = &mut slot.data.detail {
            transfer.close(false);
        }
        slot.data.status = Some(Status::Nt(0));
        slot.data.request_done = true;
        slot.data.response_done = true;
        slot.touch(toward);
    }

    /// The server has named the file that a chain of requests opened.
    pub fn rename_handle(&mut self, from: Handle, to: Handle) {
        for slot in self.transactions.iter_mut() {
            if let Detail::File(transfer) = &mut slot.data.detail
                && transfer.handle == from
            {
                transfer.handle = to;
            }
        }
    }

    /// Bytes written to or read from a pipe: DCERPC's fragments, one after the other. Returns whether they are.
    pub fn pipe_data(
        &mut self,
        label: Label,
        toward: Toward,
        handle: Handle,
        data: &[u8],
        status: Option<Status>,
        context: &ParseContext<'_>,
    ) -> bool {
        let mut pipe = self.pipes.remove(&handle).unwrap_or_default();
        let kept = match toward {
            Toward::Server => &mut pipe.to_server,
            Toward::Client => &mut pipe.to_client,
        };
        let mut bytes = std::mem::take(kept);
        bytes.extend_from_slice(data);
        let mut at = 0;
        let mut is_dcerpc = true;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let Some(header) = Header::read(rest) else {
                is_dcerpc = rest.len() < HEADER_BYTES && rest.first() == Some(&5);
                break;
            };
            let Some(fragment) = rest.get(..header.fragment_bytes) else { break };
            self.fragment(label, toward, handle, &header, fragment, &mut pipe.interfaces, status, context);
            at += header.fragment_bytes;
            rest = bytes.get(at..).unwrap_or_default();
        }
        if is_dcerpc && rest.len() <= PIPE_BYTES_MAX {
            bytes.drain(..at.min(bytes.len()));
            match toward {
                Toward::Server => pipe.to_server = bytes,
                Toward::Client => pipe.to_client = bytes,
            }
        }
        let is_known = self.names.get(&handle).is_some() || self.pipes.0.len() < STRANGE_PIPE_COUNT_MAX;
        if is_known {
            self.pipes.insert(handle, pipe);
        }
        is_dcerpc
    }

    #[expect(clippy::too_many_arguments)] // one step of `pipe_data`
    fn fragment(
        &mut self,
        label: Label,
        toward: Toward,
        handle: Handle,
        header: &Header,
        fragment: &[u8],
        interfaces: &mut Arc<Interfaces>,
        status: Option<Status>,
        context: &ParseContext<'_>,
    ) {
        let asks = matches!(header.kind, kind::REQUEST | kind::BIND | kind::ALTER_CONTEXT);
        if !asks && !pdu::answers(header.kind) {
            return;
        }
        let known = self.transactions.iter().find(|slot| match &slot.data.detail {
            Detail::Dcerpc { handle: pipe, call } => *pipe == handle && call.concerns(header),
            _ => false,
        });
        let id = match known.map(|slot| slot.id) {
            Some(id) => id,
            // The answer to what was not seen.
            None if !asks => return,
            None => {
                let call = Box::new(Call { in_pipe: true, ..Call::new(header.call_id) });
                self.open(label, toward, Detail::Dcerpc { handle, call }, context).id
            }
        };
        let Some(slot) = self.transactions.by_id(id) else { return };
        let tx = &mut slot.data;
        if let Detail::Dcerpc { call, .. } = &mut tx.detail {
            let readable = call.take(header, fragment, interfaces, context);
            tx.request_done = call.request.done;
            tx.response_done = call.response.done;
            if !readable {
                tx.raise("smb.malformed_data");
            }
        }
        tx.status = status.or(tx.status);
        slot.touch(toward);
    }

    /// The names and kind of a share, when the request names it: `\\server\IPC$` is one of pipes.
    #[must_use]
    pub fn share_name(name: &[u8]) -> (Vec<u8>, bool) {
        let mut name = narrow(name);
        let is_pipe =
            name.len() >= 4 && name.get(name.len() - 4..).is_some_and(|end| end.eq_ignore_ascii_case(b"IPC$"));
        if name.len() > 1 {
            name.remove(0);
        }
        (name, is_pipe)
    }

    /// A message was begun in this pipe.
    #[cfg(test)]
    pub fn waits_in(&self, handle: Handle) -> bool {
        self.pipes.get(&handle).is_some_and(|pipe| !pipe.to_server.is_empty())
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let transactions: usize =
            self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.heap_bytes()).sum();
        let remembered = self.trees.heap_bytes(|tree| tree.name.capacity())
            + self.names.heap_bytes(Vec::capacity)
            + self.creating.heap_bytes(|(name, _)| name.capacity())
            + self.reads.heap_bytes(|_| 0)
            + self.closing.heap_bytes(|_| 0);
        transactions + remembered + self.pipes.heap_bytes(Pipe::heap_bytes)
    }
}
