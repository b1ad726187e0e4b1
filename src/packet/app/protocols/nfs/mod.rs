//! NFS, versions 2 to 4, over TCP and UDP: a call with its reply is a transaction. What is read and written is not
//! extracted; of large records only the beginning is looked at.

mod call;
mod names;
pub mod record;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use call::{Call, Reply};
use record::{NfsRecord, Rename};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Nfs,
    transports: &[Transport::Tcp],
    recognise: |toward, bytes, context| match bytes.get(MARKER_BYTES..) {
        Some(record) => recognise(toward, record, context),
        None if on_port(context, AppProto::Nfs, &PORTS) => Guess::More,
        None => Guess::No,
    },
    parser: || Box::new(Nfs::default()),
};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Nfs,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Nfs { datagrams: true, ..Nfs::default() }),
};

const PORTS: [u16; 1] = [2049];
/// Length of a record over TCP; its highest bit says that it is the last fragment.
const MARKER_BYTES: usize = 4;
/// Of a record so much is read: what calls say before their data fits.
const HEAD_BYTES_MAX: usize = 2048;
/// A longer record is none.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// A call is known anywhere, a reply on the port of NFS.
fn recognise(toward: Toward, record: &[u8], context: &ParseContext<'_>) -> Guess {
    let ours = on_port(context, AppProto::Nfs, &PORTS);
    match (toward, call::is_call(record)) {
        (Toward::Server, Some(true)) => Guess::Yes,
        (Toward::Server, None) if ours => Guess::More,
        (Toward::Client, _) if ours && call::is_reply(record) => Guess::Yes,
        _ => Guess::No,
    }
}

#[derive(Debug)]
struct Exchange {
    call: Call,
    /// The status, or that RPC refused.
    reply: Option<Option<u32>>,
    events: Vec<&'static str>,
    told: bool,
}

impl Transaction for Exchange {
    fn buffer(&self, _: Buffer, _: Toward, _: usize) -> Option<&[u8]> {
        None
    }

    /// The call is asked of the client's side alone: it matches once.
    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        if toward == Toward::Client {
            return false;
        }
        match test {
            AppTest::Number { field: Field::NfsVersion, test } => test.accepts(self.call.version.into()),
            AppTest::Number { field: Field::NfsProcedure, test } => match self.call.operations.as_slice() {
                [] => test.accepts(self.call.procedure.into()),
                operations => operations.iter().any(|operation| test.accepts((*operation).into())),
            },
            _ => false,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.reply.is_some()
    }

    fn record(&self) -> Option<AppRecord> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let call = &self.call;
        let hash = |handle: &[u8]| {
            let mut sum = flate2::Crc::new();
            sum.update(handle);
            format!("{:x}", sum.sum())
        };
        let record = NfsRecord {
            version: call.version,
            procedure: call.procedure_name(),
            filename: text(&call.name),
            hhash: (!call.handle.is_empty()).then(|| hash(&call.handle)),
            id: call.xid,
            file_tx: false,
            kind: if self.reply.is_some() { "response" } else { "request" },
            status: self.reply.flatten().map(names::status),
            rename: call.to.as_ref().map(|to| Rename { from: text(&call.name), to: text(to) }),
        };
        Some(record.into())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        // As Suricata: attributes are asked for all the time.
        let asks_attributes = self.call.version < 4 && self.call.procedure == 1;
        if asks_attributes || !(self.reply.is_some() || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Nfs {
    exchanges: Transactions<Exchange>,
    datagrams: bool,
    /// Bytes of a record that are not looked at, by side.
    skip_to_server: usize,
    skip_to_client: usize,
}

impl Nfs {
    fn record(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) {
        if let Some(call) = Call::read(bytes) {
            let exchange = Exchange { call, reply: None, events: Vec::new(), told: false };
            self.exchanges.open(exchange, context.limits.transaction_count_max(AppProto::Nfs)).touch(toward);
            return;
        }
        let Some(reply) = Reply::read(bytes) else { return };
        let waiting =
            self.exchanges.iter_mut().find(|slot| slot.data.call.xid == reply.xid && slot.data.reply.is_none());
        if let Some(slot) = waiting {
            slot.data.reply = Some(reply.status);
            slot.touch(toward);
        }
    }
}

impl Parser for Nfs {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if self.datagrams {
            self.record(toward, bytes, context);
            return Step::all(bytes);
        }
        let skip = if toward == Toward::Server { &mut self.skip_to_server } else { &mut self.skip_to_client };
        let mut consumed = (*skip).min(bytes.len());
        *skip -= consumed;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.exchanges.is_crowded(toward, context.limits.transaction_count_max(AppProto::Nfs)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let Some(marker) = Reader::big_endian(rest).length32() else {
                return Step::Taken { consumed, wanted: MARKER_BYTES };
            };
            let length = marker & 0x7fff_ffff;
            if length > RECORD_BYTES_MAX {
                return Step::Failed;
            }
            let head = length.min(HEAD_BYTES_MAX);
            let Some(record) = rest.get(MARKER_BYTES..MARKER_BYTES + head) else {
                return Step::Taken { consumed, wanted: MARKER_BYTES + head };
            };
            self.record(toward, record, context);
            let whole = MARKER_BYTES + length;
            let seen = whole.min(rest.len());
            let skip = if toward == Toward::Server { &mut self.skip_to_server } else { &mut self.skip_to_client };
            *skip = whole - seen;
            consumed += seen;
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.exchanges
    }

    fn heap_bytes(&self) -> usize {
        self.exchanges.iter().map(|slot| size_of_val(slot) + slot.data.call.heap_bytes()).sum()
    }
}
