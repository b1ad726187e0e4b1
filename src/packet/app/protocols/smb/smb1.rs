//! SMB1 ([MS-CIFS], [MS-SMB]): a header, then a command that may have another chained behind it (AndX).

use super::flow::{SmbFlow, Tree};
use super::ntlmssp::{narrow, token};
use super::record::Services;
use super::smb2::{Announced, NAME_BYTES_MAX, unix_seconds};
use super::transaction::{Create, Detail, Label, Negotiate, SessionSetup, Status, TreeConnect};
use super::transfer::Handle;
use crate::packet::app::ParseContext;
use crate::packet::app::reader::Reader;
use crate::rules::plan::Toward;
use std::sync::Arc;

pub const HEADER_BYTES: usize = 32;
/// Commands of one record that are read.
const CHAIN_COUNT_MAX: usize = 16;
/// Dialects of one NEGOTIATE that are kept.
const DIALECT_COUNT_MAX: usize = 64;
const DIALECT_BYTES_MAX: usize = 128;

mod command {
    pub const CLOSE: u8 = 0x04;
    pub const RENAME: u8 = 0x07;
    pub const WRITE: u8 = 0x0b;
    pub const TRANS: u8 = 0x25;
    pub const TRANS_SECONDARY: u8 = 0x26;
    pub const WRITE_AND_CLOSE: u8 = 0x2c;
    pub const OPEN_ANDX: u8 = 0x2d;
    pub const READ_ANDX: u8 = 0x2e;
    pub const WRITE_ANDX: u8 = 0x2f;
    pub const TRANS2: u8 = 0x32;
    pub const TRANS2_SECONDARY: u8 = 0x33;
    pub const LOCKING_ANDX: u8 = 0x24;
    pub const TREE_DISCONNECT: u8 = 0x71;
    pub const NEGOTIATE: u8 = 0x72;
    pub const SESSION_SETUP: u8 = 0x73;
    pub const LOGOFF_ANDX: u8 = 0x74;
    pub const TREE_CONNECT: u8 = 0x75;
    pub const NT_TRANS_SECONDARY: u8 = 0xa1;
    pub const NT_CREATE: u8 = 0xa2;
    pub const NT_CANCEL: u8 = 0xa4;
    pub const NONE: u8 = 0xff;
}

const FLAG_RESPONSE: u8 = 0x80;
const FLAG2_UNICODE: u16 = 0x8000;
const FLAG2_NT_STATUS: u16 = 0x4000;

/// What TRANS asks of a named pipe: write, and read the answer.
const TRANSACT_PIPE: u16 = 0x26;
const OPTION_DIRECTORY: u32 = 0x0000_0001;
const OPTION_DELETE_ON_CLOSE: u32 = 0x0000_1000;
const BUFFER_OVERFLOW: Status = Status::Nt(0x8000_0005);

struct Header {
    label: Label,
    command: u8,
    status: Status,
    is_response: bool,
    unicode: bool,
}

impl Header {
    fn read(message: &[u8]) -> Option<Header> {
        let mut reader = Reader::little_endian(message);
        reader.skip(4)?;
        let command = reader.u8()?;
        let status: [u8; 4] = reader.array()?;
        let flags = reader.u8()?;
        let flags2 = reader.u16()?;
        reader.skip(12)?;
        let tree_id = u32::from(reader.u16()?);
        let process = u64::from(reader.u16()?);
        let session_id = u64::from(reader.u16()?);
        let multiplex = u64::from(reader.u16()?);
        let [class, _, low, high] = status;
        let status = match flags2 & FLAG2_NT_STATUS {
            0 => Status::Dos(class, u16::from_le_bytes([low, high])),
            _ => Status::Nt(u32::from_le_bytes(status)),
        };
        let message_id = process << 16 | multiplex;
        Some(Header {
            label: Label { version: 1, command: command.into(), session_id, tree_id, message_id },
            command,
            status,
            is_response: flags & FLAG_RESPONSE != 0,
            unicode: flags2 & FLAG2_UNICODE != 0,
        })
    }

    /// SMB1's file numbers are the session's.
    fn handle(&self, file: u16) -> Handle {
        let mut handle = [0; 16];
        let [low, high] = file.to_le_bytes();
        let [a, b, c, d, ..] = self.label.session_id.to_le_bytes();
        for (at, byte) in handle.iter_mut().zip([low, high, a, b, c, d]) {
            *at = byte;
        }
        handle
    }
}

/// A command's numbers and what follows them.
struct Block<'m> {
    /// The whole message, which offsets count from.
    message: &'m [u8],
    words: &'m [u8],
    data: &'m [u8],
    /// Where `data` begins in the message.
    data_start: usize,
}

impl<'m> Block<'m> {
    fn read(message: &'m [u8], start: usize) -> Option<Block<'m>> {
        let mut reader = Reader::little_endian(message.get(start..)?);
        let words = usize::from(reader.u8()?) * 2;
        let words = reader.take(words)?;
        // A record that is cut off, and some commands without bytes, have no count.
        let count = reader.length16().unwrap_or(0);
        let data = reader.rest();
        let data = data.get(..count).unwrap_or(data);
        Some(Block { message, words, data, data_start: start + 1 + words.len() + 2 })
    }

    fn words(&self) -> Reader<'m> {
        Reader::little_endian(self.words)
    }

    /// The words behind those that chain the next command.
    fn words_behind_andx(&self) -> Option<Reader<'m>> {
        let mut reader = self.words();
        reader.skip(4)?;
        Some(reader)
    }

    /// Bytes of the message from an offset that the sender gives.
    fn at(&self, offset: usize, length: usize) -> Option<&'m [u8]> {
        let bytes = self.message.get(offset..).filter(|_| offset >= HEADER_BYTES)?;
        Some(bytes.get(..length).unwrap_or(bytes))
    }

    /// The texts in the data from `from` on, each ended by a zero.
    fn texts(&self, from: usize, unicode: bool) -> Texts<'m> {
        let rest = self.data.get(from..).unwrap_or_default();
        Texts { rest, at: self.data_start + from, unicode }
    }
}

/// Texts of a message, one after the other.
struct Texts<'m> {
    rest: &'m [u8],
    at: usize,
    unicode: bool,
}

impl Texts<'_> {
    fn next_ascii(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.iter().position(|byte| *byte == 0).unwrap_or(self.rest.len());
        let text = self.rest.get(..end.min(NAME_BYTES_MAX))?.to_vec();
        self.skip((end + 1).min(self.rest.len()));
        Some(text)
    }

    /// UTF-16 begins at an even place of the message.
    fn next(&mut self) -> Option<Vec<u8>> {
        if !self.unicode {
            return self.next_ascii();
        }
        if self.at % 2 == 1 {
            self.skip(1.min(self.rest.len()));
        }
        let units = self.rest.chunks_exact(2).position(|unit| unit == [0, 0]);
        let end = units.map_or(self.rest.len(), |units| units * 2);
        let text = narrow(self.rest.get(..end.min(NAME_BYTES_MAX))?);
        self.skip((end + 2).min(self.rest.len()));
        Some(text)
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
        self.at += count;
    }
}

/// Whether commands of this kind chain another.
fn chains(command: u8) -> bool {
    use command::{
        LOCKING_ANDX, LOGOFF_ANDX, NT_CREATE, OPEN_ANDX, READ_ANDX, SESSION_SETUP, TREE_CONNECT, WRITE_ANDX,
    };
    matches!(
        command,
        LOCKING_ANDX | OPEN_ANDX | READ_ANDX | WRITE_ANDX | SESSION_SETUP | LOGOFF_ANDX | TREE_CONNECT | NT_CREATE
    )
}

/// Whether the record that begins like this carries file data that can be read as it comes.
#[must_use]
pub fn carries_file_data(beginning: &[u8]) -> bool {
    Header::read(beginning).is_some_and(|header| {
        matches!((header.command, header.is_response), (command::READ_ANDX, true) | (command::WRITE_ANDX, false))
            && beginning.get(HEADER_BYTES + 1) == Some(&command::NONE)
    })
}

/// One record. Where file data goes on behind the end of `record`, says so.
pub fn record(flow: &mut SmbFlow, toward: Toward, record: &[u8], context: &ParseContext<'_>) -> Option<Announced> {
    let malformed = |flow: &mut SmbFlow| {
        flow.raise(Label { version: 1, ..Label::default() }, toward, "smb.malformed_data", context);
    };
    let Some(mut header) = Header::read(record) else {
        malformed(flow);
        return None;
    };
    match (toward, header.is_response) {
        (Toward::Server, true) => flow.raise(header.label, toward, "smb.response_to_server", context),
        (Toward::Client, false) => flow.raise(header.label, toward, "smb.request_to_client", context),
        _ => {}
    }
    if header.is_response != (toward == Toward::Client) {
        return None;
    }
    let mut start = HEADER_BYTES;
    for _ in 0..CHAIN_COUNT_MAX {
        let Some(block) = Block::read(record, start) else {
            malformed(flow);
            return None;
        };
        let announced = match header.is_response {
            false => Request { flow, header: &header, block: &block, context }.read(),
            true => Response { flow, header: &header, block: &block, context }.read(),
        };
        let next = block.words().array::<4>();
        match next {
            Some([next, _, low, high]) if chains(header.command) && next != command::NONE => {
                let offset = usize::from(u16::from_le_bytes([low, high]));
                // Chains run forward only.
                if offset <= start {
                    return announced;
                }
                (header.command, header.label.command, start) = (next, next.into(), offset);
            }
            _ => return announced,
        }
    }
    None
}

struct Request<'r> {
    flow: &'r mut SmbFlow,
    header: &'r Header,
    block: &'r Block<'r>,
    context: &'r ParseContext<'r>,
}

impl Request<'_> {
    fn read(&mut self) -> Option<Announced> {
        let label = self.header.label;
        let read = match self.header.command {
            command::NEGOTIATE => self.negotiate(),
            command::SESSION_SETUP => self.session_setup(),
            command::TREE_CONNECT => self.tree_connect(),
            command::TREE_DISCONNECT => {
                self.flow.trees.remove(&(label.session_id, label.tree_id));
                self.plain()
            }
            command::NT_CREATE => self.create(),
            command::CLOSE => self.close(),
            command::RENAME => self.rename(),
            command::READ_ANDX => self.read_file(),
            command::WRITE_ANDX | command::WRITE | command::WRITE_AND_CLOSE => match self.write() {
                Some(announced) => return announced,
                None => None,
            },
            command::TRANS => self.trans(),
            // Those that go on with another are never answered.
            command::TRANS2 | command::TRANS_SECONDARY | command::TRANS2_SECONDARY | command::NT_TRANS_SECONDARY => {
                Some(())
            }
            _ => self.plain(),
        };
        if read.is_none() {
            let slot = self.flow.request(label, Detail::None, self.context);
            slot.data.raise("smb.malformed_data");
        }
        None
    }

    fn plain(&mut self) -> Option<()> {
        let slot = self.flow.request(self.header.label, Detail::None, self.context);
        // Nobody answers this one.
        slot.data.response_done = self.header.command == command::NT_CANCEL;
        Some(())
    }

    fn negotiate(&mut self) -> Option<()> {
        let mut dialects = Vec::new();
        for dialect in self.block.data.split(|byte| *byte == 0).take(DIALECT_COUNT_MAX) {
            let Some((2, name)) = dialect.split_first() else { continue };
            dialects.push(name.get(..DIALECT_BYTES_MAX).unwrap_or(name).to_vec());
        }
        let malformed = dialects.is_empty();
        // SMB2's answer to it has no number that fits.
        let label = Label { message_id: 0, ..self.header.label };
        let detail = Detail::Negotiate(Negotiate { dialects, ..Negotiate::default() });
        let slot = self.flow.request(label, detail, self.context);
        if malformed {
            slot.data.raise("smb.negotiate_malformed_dialects");
        }
        Some(())
    }

    fn session_setup(&mut self) -> Option<()> {
        let mut words = self.block.words_behind_andx()?;
        words.skip(10)?;
        let mut setup = SessionSetup::default();
        let mut malformed = false;
        let first = words.length16()?;
        if self.block.words.len() == 24 {
            let token = token(self.block.data.get(..first).unwrap_or(self.block.data));
            (setup.ntlmssp, malformed) = (token.ntlmssp, token.malformed);
            let mut texts = self.block.texts(first, self.header.unicode);
            setup.request_host = texts.next().zip(texts.next());
        } else if self.block.words.len() == 26 {
            let second = words.length16()?;
            let mut texts = self.block.texts(first + second, self.header.unicode);
            let (user, domain) = (texts.next()?, texts.next()?);
            setup.ntlmssp = Some(super::ntlmssp::Ntlmssp { user, domain, ..Default::default() });
            setup.request_host = texts.next().zip(texts.next());
        }
        let slot = self.flow.request(self.header.label, Detail::SessionSetup(setup), self.context);
        if malformed {
            slot.data.raise("smb.malformed_ntlmssp_request");
        }
        Some(())
    }

    fn tree_connect(&mut self) -> Option<()> {
        let mut words = self.block.words_behind_andx()?;
        words.skip(2)?;
        let password = words.length16()?;
        let mut texts = self.block.texts(password, self.header.unicode);
        let (name, is_pipe) = SmbFlow::share_name(&texts.next()?);
        let services = Services { request: texts.next_ascii(), response: None };
        let tree = TreeConnect { name, is_pipe, services, ..TreeConnect::default() };
        self.flow.request(self.header.label, Detail::TreeConnect(tree), self.context);
        Some(())
    }

    fn create(&mut self) -> Option<()> {
        let mut words = self.block.words_behind_andx()?;
        words.skip(31)?;
        let (disposition, options) = (words.u32()?, words.u32()?);
        let name = self.block.texts(0, self.header.unicode).next()?;
        let message_id = self.header.label.message_id;
        self.flow.creating.insert(message_id, (name.clone(), [0xff; 16]));
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

    fn close(&mut self) -> Option<()> {
        let handle = self.header.handle(self.block.words().u16()?);
        self.flow.close_file(handle, Toward::Server);
        self.flow.closing.insert(self.header.label.message_id, handle);
        self.plain()
    }

    fn rename(&mut self) -> Option<()> {
        let mut texts = self.block.texts(1, self.header.unicode);
        let from = texts.next()?;
        texts.skip(1);
        let to = texts.next()?;
        let detail = Detail::Rename { from, to, handle: [0; 16], by_set_info: false };
        self.flow.request(self.header.label, detail, self.context);
        Some(())
    }

    fn read_file(&mut self) -> Option<()> {
        let mut words = self.block.words_behind_andx()?;
        let handle = self.header.handle(words.u16()?);
        let offset = u64::from(words.u32()?);
        words.skip(10)?;
        let high = words.u32().map_or(0, u64::from);
        self.flow.reads.insert(self.header.label.message_id, (handle, high << 32 | offset));
        Some(())
    }

    fn write(&mut self) -> Option<Option<Announced>> {
        let (file, offset, start, length) = match self.header.command {
            command::WRITE_ANDX => {
                let mut words = self.block.words_behind_andx()?;
                let (file, offset) = (words.u16()?, u64::from(words.u32()?));
                words.skip(8)?;
                let high_length = words.length16()?;
                let (length, start) = (words.length16()?, words.length16()?);
                let high = words.u32().map_or(0, u64::from);
                (file, high << 32 | offset, start, high_length << 16 | length)
            }
            command::WRITE => {
                let mut words = self.block.words();
                let (file, length) = (words.u16()?, words.length16()?);
                (file, words.u32()?.into(), self.block.data_start + 3, length)
            }
            _ => {
                let mut words = self.block.words();
                let (file, length) = (words.u16()?, words.length16()?);
                (file, words.u32()?.into(), self.block.data_start + 1, length)
            }
        };
        let label = self.header.label;
        let handle = self.header.handle(file);
        let data = self.block.at(start, length)?;
        if self.flow.is_pipe(&label, data) {
            self.flow.pipe_data(label, Toward::Server, handle, data, None, self.context);
            return Some(None);
        }
        let place = self.flow.file_data(label, Toward::Server, handle, offset, data, self.context);
        if self.header.command == command::WRITE_AND_CLOSE {
            self.flow.close_file(handle, Toward::Server);
        }
        Some(Some(Announced { place, bytes: length, start }))
    }

    fn trans(&mut self) -> Option<()> {
        let mut words = self.block.words();
        words.skip(22)?;
        let (length, start) = (words.length16()?, words.length16()?);
        let setup = words.u8()?;
        words.skip(1)?;
        let label = self.header.label;
        if setup >= 2 && words.u16()? == TRANSACT_PIPE {
            let handle = self.header.handle(words.u16()?);
            self.flow.reads.insert(label.message_id, (handle, 0));
            let data = self.block.at(start, length)?;
            if self.flow.pipe_data(label, Toward::Server, handle, data, None, self.context) {
                return Some(());
            }
        }
        self.plain()
    }
}

struct Response<'r> {
    flow: &'r mut SmbFlow,
    header: &'r Header,
    block: &'r Block<'r>,
    context: &'r ParseContext<'r>,
}

impl Response<'_> {
    fn read(&mut self) -> Option<Announced> {
        let (label, status) = (self.header.label, self.header.status);
        let request = match self.header.command {
            command::READ_ANDX | command::TRANS => self.flow.reads.remove(&label.message_id),
            _ => None,
        };
        let read = match self.header.command {
            command::NEGOTIATE => self.negotiate(),
            command::SESSION_SETUP => self.session_setup(),
            command::TREE_CONNECT if status.is_success() => self.tree_connect(),
            command::NT_CREATE if status.is_success() => self.create(),
            command::CLOSE => {
                if let Some(handle) = self.flow.closing.remove(&label.message_id) {
                    self.flow.close_file(handle, Toward::Client);
                }
                self.plain()
            }
            command::READ_ANDX => match request.filter(|_| status.is_success() || status == BUFFER_OVERFLOW) {
                Some((handle, offset)) => match self.read_file(handle, offset) {
                    Some(announced) => return announced,
                    None => None,
                },
                None => Some(()),
            },
            command::TRANS => match request.filter(|_| status.is_success() || status == BUFFER_OVERFLOW) {
                Some((handle, _)) => self.trans(handle),
                None => self.plain(),
            },
            command::WRITE_ANDX | command::WRITE | command::WRITE_AND_CLOSE if status.is_success() => Some(()),
            _ => self.plain(),
        };
        if read.is_none()
            && let Some(slot) = self.flow.answer(label, status)
        {
            slot.data.raise("smb.malformed_data");
        }
        None
    }

    fn plain(&mut self) -> Option<()> {
        self.flow.answer(self.header.label, self.header.status);
        Some(())
    }

    fn negotiate(&mut self) -> Option<()> {
        let label = Label { message_id: 0, ..self.header.label };
        let mut words = self.block.words();
        let choice = words.length16()?;
        // With extended security the server's identifier stands first in the data.
        let server_guid = (self.block.words.len() == 34).then(|| self.block.data.first_chunk::<16>()).flatten();
        let (server_guid, status) = (server_guid.copied(), self.header.status);
        let slot = self.flow.answer(label, status)?;
        let mut name = None;
        if let Detail::Negotiate(negotiate) = &mut slot.data.detail {
            negotiate.server_guid = server_guid.unwrap_or_default();
            name = negotiate.dialects.get(choice).cloned();
        }
        let id = slot.id;
        Arc::make_mut(&mut self.flow.negotiated).dialect_name = name;
        let negotiated = Arc::clone(&self.flow.negotiated);
        if let Some(slot) = self.flow.transactions.by_id(id) {
            slot.data.negotiated = negotiated;
        }
        Some(())
    }

    fn session_setup(&mut self) -> Option<()> {
        let words = self.block.words.len();
        let blob = match words {
            8 => self.block.words_behind_andx().and_then(|mut words| words.skip(2).and_then(|()| words.length16())),
            _ => None,
        };
        let mut texts = self.block.texts(blob.unwrap_or(0), self.header.unicode);
        let host = (words >= 6).then(|| texts.next().zip(texts.next())).flatten();
        if let Some(slot) = self.flow.answer(self.header.label, self.header.status)
            && let Detail::SessionSetup(setup) = &mut slot.data.detail
        {
            setup.response_host = host;
        }
        Some(())
    }

    fn tree_connect(&mut self) -> Option<()> {
        let label = self.header.label;
        let service = self.block.texts(0, false).next_ascii()?;
        let is_pipe = service == b"IPC";
        let mut name = Vec::new();
        if let Some(slot) = self.flow.answer(label, self.header.status) {
            slot.data.label.tree_id = label.tree_id;
            slot.data.label.session_id = label.session_id;
            if let Detail::TreeConnect(tree) = &mut slot.data.detail {
                tree.is_pipe = is_pipe;
                tree.services.response = Some(service);
                name.clone_from(&tree.name);
            }
        }
        self.flow.trees.insert((label.session_id, label.tree_id), Tree { name, is_pipe });
        Some(())
    }

    fn create(&mut self) -> Option<()> {
        let label = self.header.label;
        let waiting = self.flow.creating.remove(&label.message_id);
        let mut words = self.block.words_behind_andx()?;
        words.skip(1)?;
        let handle = self.header.handle(words.u16()?);
        words.skip(4)?;
        let (created, accessed, modified, changed) = (words.u64()?, words.u64()?, words.u64()?, words.u64()?);
        words.skip(12)?;
        let size = words.u64()?;
        if let Some((name, _)) = waiting {
            self.flow.names.insert(handle, name);
        }
        if let Some(slot) = self.flow.answer(label, self.header.status)
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
        let mut words = self.block.words_behind_andx()?;
        words.skip(6)?;
        let (length, start) = (words.length16()?, words.length16()?);
        let high = words.length16().unwrap_or(0);
        let length = high << 16 | length;
        let label = self.header.label;
        let data = self.block.at(start, length)?;
        if self.flow.is_pipe(&label, data) {
            let status = Some(self.header.status);
            self.flow.pipe_data(label, Toward::Client, handle, data, status, self.context);
            return Some(None);
        }
        let place = self.flow.file_data(label, Toward::Client, handle, offset, data, self.context);
        Some(Some(Announced { place, bytes: length, start }))
    }

    fn trans(&mut self, handle: Handle) -> Option<()> {
        let mut words = self.block.words();
        words.skip(12)?;
        let (length, start) = (words.length16()?, words.length16()?);
        let data = self.block.at(start, length)?;
        let status = Some(self.header.status);
        if !self.flow.pipe_data(self.header.label, Toward::Client, handle, data, status, self.context) {
            return self.plain();
        }
        Some(())
    }
}
