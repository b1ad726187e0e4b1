//! RPC calls to NFS and their replies, as far as the names in them.

use super::names::{PROCEDURES_2, PROCEDURES_3, PROCEDURES_4};
use crate::packet::app::reader::Reader;

const CALL: u32 = 0;
const REPLY: u32 = 1;
const RPC_VERSION: u32 = 2;
pub const NFS: u32 = 100_003;
const NAME_BYTES_MAX: usize = 255;
const HANDLE_BYTES_2: usize = 32;
const HANDLE_BYTES_MAX: usize = 128;
/// Operations of one compound call.
const OPERATION_COUNT_MAX: usize = 32;

/// A call; what is not in it is empty.
#[derive(Debug, Default)]
pub struct Call {
    pub xid: u32,
    pub version: u32,
    pub procedure: u32,
    pub handle: Vec<u8>,
    pub name: Vec<u8>,
    /// The other name of a rename.
    pub to: Option<Vec<u8>>,
    /// Version 4: operations of a compound call.
    pub operations: Vec<u32>,
}

pub struct Reply {
    pub xid: u32,
    /// `None`: RPC refused the call.
    pub status: Option<u32>,
}

/// Whether bytes begin a call to NFS; `None`: more are needed.
pub fn is_call(bytes: &[u8]) -> Option<bool> {
    let mut reader = Reader::big_endian(bytes);
    let _xid = reader.u32()?;
    let fields = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
    Some(matches!(fields, (CALL, RPC_VERSION, NFS, 2..=4)))
}

/// Whether bytes begin a reply of RPC.
pub fn is_reply(bytes: &[u8]) -> bool {
    let mut reader = Reader::big_endian(bytes);
    let mut fields = || Some((reader.u32()?, reader.u32()?, reader.u32()?));
    matches!(fields(), Some((_, REPLY, 0 | 1)))
}

/// Bytes with their length before them, in steps of four.
fn opaque<'b>(reader: &mut Reader<'b>, bytes_max: usize) -> Option<&'b [u8]> {
    let length = reader.length32()?;
    let bytes = (length <= bytes_max).then(|| reader.take(length))??;
    reader.skip((4 - length % 4) % 4)?;
    Some(bytes)
}

/// What stands behind credentials and verifier.
fn skip_authentication(reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..2 {
        let _flavour = reader.u32()?;
        opaque(reader, 400)?;
    }
    Some(())
}

impl Call {
    /// A call to NFS; its names are left out if they are not there.
    pub fn read(bytes: &[u8]) -> Option<Call> {
        if is_call(bytes) != Some(true) {
            return None;
        }
        let mut reader = Reader::big_endian(bytes);
        let xid = reader.u32()?;
        reader.skip(12)?;
        let mut call = Call { xid, version: reader.u32()?, procedure: reader.u32()?, ..Call::default() };
        let _ = skip_authentication(&mut reader).and_then(|()| call.arguments(&mut reader));
        Some(call)
    }

    fn arguments(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        match self.version {
            2 if self.procedure == 0 => {}
            2 => {
                self.handle = reader.take(HANDLE_BYTES_2)?.to_vec();
                if matches!(self.procedure, 4 | 9..=11 | 13..=15) {
                    self.name = opaque(reader, NAME_BYTES_MAX)?.to_vec();
                }
                if self.procedure == 11 {
                    reader.skip(HANDLE_BYTES_2)?;
                    self.to = Some(opaque(reader, NAME_BYTES_MAX)?.to_vec());
                }
            }
            3 if self.procedure == 0 => {}
            3 => {
                self.handle = opaque(reader, HANDLE_BYTES_MAX)?.to_vec();
                if matches!(self.procedure, 3 | 8..=14) {
                    self.name = opaque(reader, NAME_BYTES_MAX)?.to_vec();
                }
                if self.procedure == 14 {
                    opaque(reader, HANDLE_BYTES_MAX)?;
                    self.to = Some(opaque(reader, NAME_BYTES_MAX)?.to_vec());
                }
            }
            _ if self.procedure == 1 => self.compound(reader)?,
            _ => {}
        }
        Some(())
    }

    /// Operations, until one whose length nobody has told us.
    fn compound(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let _tag = opaque(reader, NAME_BYTES_MAX)?;
        let (_minor, count) = (reader.u32()?, reader.length32()?);
        for _ in 0..count.min(OPERATION_COUNT_MAX) {
            let operation = reader.u32()?;
            self.operations.push(operation);
            match operation {
                // ACCESS
                3 => reader.skip(4)?,
                // GETATTR: a bitmap
                9 => {
                    let words = reader.length32()?;
                    reader.skip(words.checked_mul(4)?)?;
                }
                // LOOKUP, REMOVE
                15 | 28 => self.name = opaque(reader, NAME_BYTES_MAX)?.to_vec(),
                // PUTFH
                22 => self.handle = opaque(reader, HANDLE_BYTES_MAX)?.to_vec(),
                // GETFH, LOOKUPP, PUTPUBFH, PUTROOTFH, READLINK, RESTOREFH, SAVEFH
                10 | 16 | 23 | 24 | 27 | 31 | 32 => {}
                // RENAME
                29 => {
                    self.name = opaque(reader, NAME_BYTES_MAX)?.to_vec();
                    self.to = Some(opaque(reader, NAME_BYTES_MAX)?.to_vec());
                }
                // SEQUENCE
                53 => reader.skip(32)?,
                _ => return None,
            }
        }
        Some(())
    }

    pub fn procedure_name(&self) -> &'static str {
        let names = match self.version {
            2 => PROCEDURES_2,
            3 => PROCEDURES_3,
            _ => PROCEDURES_4,
        };
        usize::try_from(self.procedure).ok().and_then(|at| names.get(at)).copied().unwrap_or("UNKNOWN")
    }

    pub fn heap_bytes(&self) -> usize {
        let to = self.to.as_ref().map_or(0, Vec::len);
        self.handle.len() + self.name.len() + to + 4 * self.operations.len()
    }
}

impl Reply {
    pub fn read(bytes: &[u8]) -> Option<Reply> {
        let mut reader = Reader::big_endian(bytes);
        let (xid, kind, refused) = (reader.u32()?, reader.u32()?, reader.u32()?);
        if kind != REPLY {
            return None;
        }
        let mut status = || {
            let _flavour = reader.u32()?;
            opaque(&mut reader, 400)?;
            let accepted = reader.u32()?;
            (accepted == 0).then(|| reader.u32())?
        };
        Some(Reply { xid, status: (refused == 0).then(&mut status).flatten() })
    }
}
