//! SMB2 and SMB3 in clear ([MS-SMB2]): one header, one command, and possibly another behind it.

use super::flow::{Place, SmbFlow, Tree};
use super::names;
use super::ntlmssp::{narrow, token};
use super::transaction::{Create, Detail, Label, Negotiate, SessionSetup, Status, TreeConnect};
use super::transfer::Handle;
use crate::packet::app::ParseContext;
use crate::packet::app::transactions::BURST_COUNT_MAX;
use crate::packet::app::reader::Reader;
use crate::rules::plan::Toward;
use std::sync::Arc;

pub const HEADER_BYTES: usize = 64;
/// Commands of one record that are read: those that rules still see when none has given way to another.
const CHAIN_COUNT_MAX: usize = BURST_COUNT_MAX;
/// Dialects of one NEGOTIATE that are kept.
const DIALECT_COUNT_MAX: usize = 64;
/// Bytes of a path that are kept.
pub const NAME_BYTES_MAX: usize = 4096;

mod command {
    pub const NEGOTIATE: u16 = 0;
    pub const SESSION_SETUP: u16 = 1;
    pub const TREE_CONNECT: u16 = 3;
    pub const TREE_DISCONNECT: u16 = 4;
    pub const CREATE: u16 = 5;
    pub const CLOSE: u16 = 6;
    pub const READ: u16 = 8;
    pub const WRITE: u16 = 9;
    pub const IOCTL: u16 = 11;
    pub const CANCEL: u16 = 12;
    pub const GET_INFO: u16 = 16;
    pub const SET_INFO: u16 = 17;
}

mod status {
    pub const PENDING: u32 = 0x0000_0103;
    pub const BUFFER_OVERFLOW: u32 = 0x8000_0005;
}

const FLAG_RESPONSE: u32 = 1;
const FLAG_ASYNC: u32 = 2;
const FLAG_RELATED: u32 = 4;

const FSCTL_PIPE_TRANSCEIVE: u32 = 0x0011_c017;
const SHARE_OF_PIPES: u8 = 2;
const OPTION_DIRECTORY: u32 = 0x0000_0001;
const OPTION_DELETE_ON_CLOSE: u32 = 0x0000_1000;
const INFO_FILE: u8 = 1;
const LEVEL_RENAME: u8 = 10;
const LEVEL_DISPOSITION: u8 = 13;

struct Header {
    label: Label,
    status: u32,
    flags: u32,
    /// Bytes from this header to the next; 0: it is the last.
    next: usize,
}

impl Header {
    fn read(message: &[u8]) -> Option<Header> {
        let mut reader = Reader::little_endian(message);
        reader.skip(4)?;
        let size = reader.u16()?;
        reader.skip(2)?;
        let status = reader.u32()?;
        let command = reader.u16()?;
        reader.skip(2)?;
        let flags = reader.u32()?;
        let next = reader.length32()?;
        let message_id = reader.u64()?;
        reader.skip(4)?;
        let tree_id = reader.u32()?;
        let session_id = reader.u64()?;
        reader.skip(16)?;
        let tree_id = if flags & FLAG_ASYNC != 0 { 0 } else { tree_id };
        let label = Label { version: 2, command, session_id, tree_id, message_id };
        (usize::from(size) == HEADER_BYTES).then_some(Header { label, status, flags, next })
    }
}

/// What the commands of one record hand on to those after them.
#[derive(Default)]
struct Chain {
    session_id: u64,
    tree_id: u32,
    handle: Handle,
}

const NO_HANDLE: Handle = [0xff; 16];

/// File data that a record announces, and where what is there of it begins and belongs.
pub struct Announced {
    pub place: Place,
    /// Bytes of the record that belong to the file, from the first on.
    pub bytes: usize,
    /// Where they begin in the record.
    pub start: usize,
}

/// One record, from its first header on. Where file data goes on behind the end of `record`, says so.
pub fn record(flow: &mut SmbFlow, toward: Toward, record: &[u8], context: &ParseContext<'_>) -> Option<Announced> {
    let mut chain = Chain::default();
    let mut message = record;
    for _ in 0..CHAIN_COUNT_MAX {
        let Some(mut header) = Header::read(message) else {
            flow.raise(Label { version: 2, ..Label::default() }, toward, "smb.malformed_data", context);
            return None;
        };
        if header.flags & FLAG_RELATED != 0 {
            header.label.session_id = chain.session_id;
            header.label.tree_id = chain.tree_id;
        }
        (chain.session_id, chain.tree_id) = (header.label.session_id, header.label.tree_id);
        let this = match header.next {
            0 => message,
            next => message.get(..next).unwrap_or(message),
        };
        let is_response = header.flags & FLAG_RESPONSE != 0;
        let announced = match (toward, is_response) {
            (Toward::Server, false) => Request { flow, header: &header, message: this, context }.read(&mut chain),
            (Toward::Client, true) => Response { flow, header: &header, message: this, context }.read(),
            (Toward::Server, true) => {
                flow.raise(header.label, toward, "smb.response_to_server", context);
                None
            }
            (Toward::Client, false) => {
                flow.raise(header.label, toward, "smb.request_to_client", context);
                None
            }
        };
        let rest = match header.next {
            0 => return announced,
            next if next < HEADER_BYTES => return announced,
            next => message.get(next..),
        };
        match rest {
            Some(rest) if !rest.is_empty() => message = rest,
            _ => return announced,
        }
    }
    None
}

/// Whether the record that begins like this is a single READ response or WRITE, whose data can be read as it comes.
#[must_use]
pub fn carries_file_data(beginning: &[u8]) -> bool {
    Header::read(beginning).is_some_and(|header| {
        let is_response = header.flags & FLAG_RESPONSE != 0;
        header.next == 0
            && matches!((header.label.command, is_response), (command::READ, true) | (command::WRITE, false))
    })
}

struct Request<'r> {
    flow: &'r mut SmbFlow,
    header: &'r Header,
    message: &'r [u8],
    context: &'r ParseContext<'r>,
}

impl Request<'_> {
    fn body(&self) -> Reader<'_> {
        Reader::little_endian(self.message.get(HEADER_BYTES..).unwrap_or_default())
    }

    fn read(&mut self, chain: &mut Chain) -> Option<Announced> {
        let label = self.header.label;
        let read = match label.command {
            command::NEGOTIATE => self.negotiate(),
            command::SESSION_SETUP => self.session_setup(),
            command::TREE_CONNECT => self.tree_connect(),
            command::CREATE => self.create(chain),
            command::CLOSE => self.close(chain),
            command::READ => self.read_file(chain),
            command::WRITE => match self.write_file(chain) {
                Some(announced) => return announced,
                None => None,
            },
            command::IOCTL => self.ioctl(),
            command::SET_INFO => self.set_info(chain),
            command::GET_INFO | command::CANCEL => Some(()),
            command::TREE_DISCONNECT => {
                self.flow.trees.remove(&(label.session_id, label.tree_id));
                self.plain()
            }
            _ => self.plain(),
        };
        if read.is_none() {
            let slot = self.flow.request(label, Detail::None, self.context);
            slot.data.raise("smb.malformed_data");
        }
        None
    }

    /// A command that is told, but not read.
    fn plain(&mut self) -> Option<()> {
        self.flow.request(self.header.label, Detail::None, self.context);
        Some(())
    }

    fn negotiate(&mut self) -> Option<()> {
        let mut body = self.body();
        body.skip(2)?;
        let count = usize::from(body.u16()?);
        body.skip(8)?;
        let client_guid = body.array()?;
        body.skip(8)?;
        let numbers = std::iter::from_fn(|| body.u16()).take(count.min(DIALECT_COUNT_MAX));
        let dialects: Vec<Vec<u8>> = numbers.map(|number| names::dialect(number).into_bytes()).collect();
        let malformed = dialects.len() < count;
        let negotiate = Negotiate { dialects, client_guid: Some(client_guid), server_guid: [0; 16] };
        let slot = self.flow.request(self.header.label, Detail::Negotiate(negotiate), self.context);
        if malformed {
            slot.data.raise("smb.negotiate_malformed_dialects");
        }
        Some(())
    }

    fn session_setup(&mut self) -> Option<()> {
        let mut body = self.body();
        body.skip(12)?;
        let (offset, length) = (body.length16()?, body.length16()?);
        let blob = self.message.get(offset..)?;
        let token = token(blob.get(..length).unwrap_or(blob));
        let setup = SessionSetup { ntlmssp: token.ntlmssp, ..SessionSetup::default() };
        let slot = self.flow.request(self.header.label, Detail::SessionSetup(setup), self.context);
        if token.malformed {
            slot.data.raise("smb.malformed_ntlmssp_request");
        }
        Some(())
    }

    fn tree_connect(&mut self) -> Option<()> {
        let mut body = self.body();
        body.skip(4)?;
        let (offset, length) = (body.length16()?, body.length16()?);
        let (name, is_pipe) = SmbFlow::share_name(self.message.get(offset..)?.get(..length.min(NAME_BYTES_MAX))?);
        let tree = TreeConnect { name, is_pipe, ..TreeConnect::default() };
        self.flow.request(self.header.label, Detail::TreeConnect(tree), self.context);
        Some(())
    }

    fn create(&mut self, chain: &mut Chain) -> Option<()> {
        let mut body = self.body();
        body.skip(36)?;
        let (disposition, options) = (body.u32()?, body.u32()?);
        let (offset, length) = (body.length16()?, body.length16()?);
        let name = match length {
            0 => &[],
            _ => self.message.get(offset..)?.get(..length.min(NAME_BYTES_MAX))?,
        };
        let name = narrow(name);
        let mut stand_in = NO_HANDLE;
        stand_in.get_mut(8..)?.copy_from_slice(&self.header.label.message_id.to_le_bytes());
        chain.handle = stand_in;
        self.flow.names.insert(stand_in, name.clone());
        self.flow.creating.insert(self.header.label.message_id, (name.clone(), stand_in));
        let create = Create {
            name,
            disposition,
            delete_on_close: options & OPTION_DELETE_ON_CLOSE != 0,
            directory: options & OPTION_DIRECTORY != 0,
            ..Create::default()
        };
        self.flow.request(self.header.label, Detail::Create(Box::new(create)), self.context);
        Some(())
    }

    fn close(&mut self, chain: &Chain) -> Option<()> {
        let mut body = self.body();
        body.skip(8)?;
        let handle = resolved(body.array()?, chain);
        self.flow.close_file(handle, Toward::Server);
        self.flow.closing.insert(self.header.label.message_id, handle);
        self.plain()
    }

    fn read_file(&mut self, chain: &Chain) -> Option<()> {
        let mut body = self.body();
        body.skip(4)?;
        let length = body.u32()?;
        let offset = body.u64()?;
        let handle = resolved(body.array()?, chain);
        let most = self.flow.negotiated.max_read_size;
        if most != 0 && length > most {
            self.flow.raise(self.header.label, Toward::Server, "smb.read_request_too_large", self.context);
            return Some(());
        }
        self.flow.reads.insert(self.header.label.message_id, (handle, offset));
        Some(())
    }

    fn write_file(&mut self, chain: &Chain) -> Option<Option<Announced>> {
        let mut body = self.body();
        body.skip(2)?;
        let start = body.length16()?;
        let length = body.length32()?;
        let offset = body.u64()?;
        let handle = resolved(body.array()?, chain);
        let label = self.header.label;
        let most = usize::try_from(self.flow.negotiated.max_write_size).unwrap_or(usize::MAX);
        if most != 0 && length > most {
            self.flow.raise(label, Toward::Server, "smb.write_request_too_large", self.context);
            return Some(None);
        }
        let data = self.message.get(start..).filter(|_| start >= HEADER_BYTES)?;
        let data = data.get(..length).unwrap_or(data);
        if self.flow.is_pipe(&label, data) {
            self.flow.pipe_data(label, Toward::Server, handle, data, None, self.context);
            return Some(None);
        }
        let place = self.flow.file_data(label, Toward::Server, handle, offset, data, self.context);
        Some(Some(Announced { place, bytes: length, start }))
    }

    fn ioctl(&mut self) -> Option<()> {
        let mut body = self.body();
        body.skip(4)?;
        let function = body.u32()?;
        let handle = body.array()?;
        let (start, length) = (body.length32()?, body.length32()?);
        let label = self.header.label;
        let data = self.message.get(start..).unwrap_or_default();
        let data = data.get(..length).unwrap_or(data);
        let is_call = function == FSCTL_PIPE_TRANSCEIVE
            && self.flow.tree(&label).is_none_or(|tree| tree.is_pipe)
            && self.flow.pipe_data(label, Toward::Server, handle, data, None, self.context);
        if !is_call {
            self.flow.request(label, Detail::Ioctl { function }, self.context);
        }
        Some(())
    }

    fn set_info(&mut self, chain: &Chain) -> Option<()> {
        let mut body = self.body();
        body.skip(2)?;
        let (class, level) = (body.u8()?, body.u8()?);
        body.skip(12)?;
        let handle = resolved(body.array()?, chain);
        let name = || self.flow.names.get(&handle).cloned().unwrap_or_default();
        let detail = match (class, level) {
            (INFO_FILE, LEVEL_RENAME) => {
                body.skip(16)?;
                let length = body.length32()?;
                let to = narrow(body.take(length.min(NAME_BYTES_MAX))?);
                Detail::Rename { from: name(), to, handle, by_set_info: true }
            }
            (INFO_FILE, LEVEL_DISPOSITION) => {
                Detail::SetInfo { name: name(), delete_on_close: body.u8()? & 1 != 0, handle }
            }
            _ => return Some(()),
        };
        self.flow.request(self.header.label, detail, self.context);
        Some(())
    }
}

/// In a chain, all ones stand for the file that was opened before in it.
fn resolved(handle: Handle, chain: &Chain) -> Handle {
    if handle == NO_HANDLE { chain.handle } else { handle }
}

struct Response<'r> {
    flow: &'r mut SmbFlow,
    header: &'r Header,
    message: &'r [u8],
    context: &'r ParseContext<'r>,
}

impl Response<'_> {
    fn body(&self) -> Reader<'_> {
        Reader::little_endian(self.message.get(HEADER_BYTES..).unwrap_or_default())
    }

    fn read(&mut self) -> Option<Announced> {
        let (label, status) = (self.header.label, self.header.status);
        if status == status::PENDING {
            return None;
        }
        let succeeded = status == 0;
        let read = match label.command {
            command::NEGOTIATE => self.negotiate(),
            command::TREE_CONNECT if succeeded => self.tree_connect(),
            command::CREATE => self.create(),
            command::CLOSE => {
                if let Some(handle) = self.flow.closing.remove(&label.message_id) {
                    self.flow.close_file(handle, Toward::Client);
                }
                self.plain()
            }
            command::READ => {
                let request = self.flow.reads.remove(&label.message_id);
                match request.filter(|_| succeeded || status == status::BUFFER_OVERFLOW) {
                    Some((handle, offset)) => match self.read_file(handle, offset) {
                        Some(announced) => return announced,
                        None => None,
                    },
                    None => Some(()),
                }
            }
            command::IOCTL => self.ioctl(),
            // A call over a pipe is answered by READ.
            command::WRITE if succeeded => Some(()),
            _ => self.plain(),
        };
        if read.is_none()
            && let Some(slot) = self.flow.answer(label, Status::Nt(status))
        {
            slot.data.raise("smb.malformed_data");
        }
        None
    }

    fn plain(&mut self) -> Option<()> {
        self.flow.answer(self.header.label, Status::Nt(self.header.status));
        Some(())
    }

    fn negotiate(&mut self) -> Option<()> {
        let label = self.header.label;
        if self.header.status != 0 {
            return self.plain();
        }
        let mut body = self.body();
        body.skip(4)?;
        let dialect = body.u16()?;
        body.skip(2)?;
        let server_guid = body.array()?;
        body.skip(8)?;
        let (max_read_size, max_write_size) = (body.u32()?, body.u32()?);
        let agreed = Arc::make_mut(&mut self.flow.negotiated);
        (agreed.dialect, agreed.max_read_size, agreed.max_write_size) = (dialect, max_read_size, max_write_size);
        // A server may answer SMB1's NEGOTIATE in SMB2.
        let older = Label { version: 1, command: 0x72, message_id: 0, ..label };
        let answered = match self.flow.answer(label, Status::Nt(0)) {
            Some(slot) => Some(slot.id),
            None => self.flow.answer(older, Status::Nt(0)).map(|slot| slot.id),
        };
        if let Some(slot) = answered.and_then(|id| self.flow.transactions.by_id(id))
            && let Detail::Negotiate(negotiate) = &mut slot.data.detail
        {
            negotiate.server_guid = server_guid;
        }
        Some(())
    }

    fn tree_connect(&mut self) -> Option<()> {
        let mut body = self.body();
        body.skip(2)?;
        let share_type = body.u8()?;
        let is_pipe = share_type == SHARE_OF_PIPES;
        let label = self.header.label;
        let slot = self.flow.answer(label, Status::Nt(self.header.status));
        let mut name = Vec::new();
        if let Some(slot) = slot {
            slot.data.label.tree_id = label.tree_id;
            slot.data.label.session_id = label.session_id;
            if let Detail::TreeConnect(tree) = &mut slot.data.detail {
                (tree.is_pipe, tree.share_type) = (is_pipe, share_type);
                name.clone_from(&tree.name);
            }
        }
        self.flow.trees.insert((label.session_id, label.tree_id), Tree { name, is_pipe });
        Some(())
    }

    fn create(&mut self) -> Option<()> {
        let label = self.header.label;
        let waiting = self.flow.creating.remove(&label.message_id);
        if self.header.status != 0 {
            return self.plain();
        }
        let mut body = self.body();
        body.skip(8)?;
        let (created, accessed, modified, changed) = (body.u64()?, body.u64()?, body.u64()?, body.u64()?);
        body.skip(8)?;
        let size = body.u64()?;
        body.skip(8)?;
        let handle = body.array()?;
        if let Some((name, stand_in)) = waiting {
            self.flow.rename_handle(stand_in, handle);
            self.flow.names.insert(handle, name);
        }
        if let Some(slot) = self.flow.answer(label, Status::Nt(0))
            && let Detail::Create(create) = &mut slot.data.detail
        {
            create.created = unix_seconds(created);
            create.accessed = unix_seconds(accessed);
            create.modified = unix_seconds(modified);
            create.changed = unix_seconds(changed);
            (create.size, create.handle) = (size, handle);
        }
        Some(())
    }

    fn read_file(&mut self, handle: Handle, offset: u64) -> Option<Option<Announced>> {
        let mut body = self.body();
        body.skip(2)?;
        let start = usize::from(body.u8()?);
        body.skip(1)?;
        let length = body.length32()?;
        let label = self.header.label;
        let data = self.message.get(start..).filter(|_| start >= HEADER_BYTES)?;
        let data = data.get(..length).unwrap_or(data);
        if self.flow.is_pipe(&label, data) {
            let status = Some(Status::Nt(self.header.status));
            self.flow.pipe_data(label, Toward::Client, handle, data, status, self.context);
            return Some(None);
        }
        let most = usize::try_from(self.flow.negotiated.max_read_size).unwrap_or(usize::MAX);
        if most != 0 && length > most {
            self.flow.raise(label, Toward::Client, "smb.read_response_too_large", self.context);
            return Some(None);
        }
        let place = self.flow.file_data(label, Toward::Client, handle, offset, data, self.context);
        Some(Some(Announced { place, bytes: length, start }))
    }

    fn ioctl(&mut self) -> Option<()> {
        let label = self.header.label;
        let status = Status::Nt(self.header.status);
        let mut body = self.body();
        body.skip(4)?;
        let mut read = || -> Option<(u32, Handle, usize, usize)> {
            let (function, handle) = (body.u32()?, body.array()?);
            body.skip(8)?;
            Some((function, handle, body.length32()?, body.length32()?))
        };
        if let Some((FSCTL_PIPE_TRANSCEIVE, handle, start, length)) = read()
            && (status.is_success() || self.header.status == status::BUFFER_OVERFLOW)
        {
            let data = self.message.get(start..).unwrap_or_default();
            let data = data.get(..length).unwrap_or(data);
            if self.flow.pipe_data(label, Toward::Client, handle, data, Some(status), self.context) {
                return Some(());
            }
        }
        self.plain()
    }
}

/// Windows' file times count 100 ns since 1601.
#[must_use]
pub fn unix_seconds(file_time: u64) -> u64 {
    file_time.saturating_sub(116_444_736_000_000_000) / 10_000_000
}
