//! DCERPC over TCP and UDP: calls of interfaces that were bound before.
//!
//! Fragments of a request are joined; rules see the arguments (`dce_stub_data`) grow. A call's interface is the one that
//! its context was bound to and that the server accepted. The crates that read DCERPC serve clients and trust their
//! peer; this is a plain checked reader.

pub mod call;
pub mod interfaces;
pub mod pdu;
pub mod record;
#[cfg(test)]
pub mod tests;

use std::sync::Arc;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use call::Call;
use interfaces::Interfaces;
use pdu::{Datagram, HEADER_BYTES, Header, kind};
use record::{DcerpcFlowRecord, DcerpcTransport};

pub static CONNECTION: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Dcerpc,
    transports: &[Transport::Tcp],
    recognise: recognise_connection,
    parser: || Box::new(Connection::default()),
};

pub static DATAGRAMS: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Dcerpc,
    transports: &[Transport::Udp],
    recognise: recognise_datagram,
    parser: || Box::new(Datagrams::default()),
};

fn recognise_connection(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Guess {
    if bytes.len() < HEADER_BYTES {
        let begins = bytes.iter().zip(b"\x05\x00").all(|(byte, wanted)| byte == wanted);
        return if begins { Guess::More } else { Guess::No };
    }
    if Header::read(bytes).is_some_and(|header| header.minor == 0) { Guess::Yes } else { Guess::No }
}

fn recognise_datagram(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Guess {
    if Datagram::read(bytes).is_some_and(|datagram| datagram.fragment_number == 0) { Guess::Yes } else { Guess::No }
}

/// A call of a flow, with what identifies it there.
#[derive(Debug)]
struct DceTransaction {
    call: Call,
    transport: DcerpcTransport,
    told: bool,
}

impl Transaction for DceTransaction {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        if buffer == Buffer::DCE_STUB_DATA && nth == 0 { self.call.stub(toward) } else { None }
    }

    fn accepts(&self, test: &AppTest, _toward: Toward) -> bool {
        self.call.accepts(test)
    }

    fn is_little_endian(&self, toward: Toward) -> bool {
        self.call.is_little_endian(toward)
    }

    fn is_done(&self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.call.request.done,
            Toward::Client => self.call.response.done,
        }
    }

    fn record(&self) -> Option<AppRecord> {
        let record = DcerpcFlowRecord { call: self.call.record(), transport: self.transport };
        Some(AppRecord::Dcerpc(Box::new(record)))
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        let due = ended || (self.call.request.done && self.call.response.done);
        if !due || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Connection {
    interfaces: Arc<Interfaces>,
    transactions: Transactions<DceTransaction>,
    /// Bytes are missing: the next fragment has to be found again.
    lost: [bool; 2],
}

impl Connection {
    fn fragment(&mut self, toward: Toward, header: &Header, fragment: &[u8], context: &ParseContext<'_>) {
        let tells =
            pdu::answers(header.kind) || matches!(header.kind, kind::REQUEST | kind::BIND | kind::ALTER_CONTEXT);
        if !tells {
            return;
        }
        let known = self.transactions.iter_mut().find(|slot| slot.data.call.concerns(header)).map(|slot| slot.id);
        let slot = match known.and_then(|id| self.transactions.by_id(id)) {
            Some(slot) => slot,
            None => {
                let transport = DcerpcTransport::Connection { minor: header.minor };
                let tx = DceTransaction { call: Call::new(header.call_id), transport, told: false };
                self.transactions.open(tx, context.limits.transaction_count_max(AppProto::Dcerpc))
            }
        };
        slot.data.call.take(header, fragment, &mut self.interfaces, context);
        slot.touch(toward);
    }

    fn is_lost(&mut self, toward: Toward) -> &mut bool {
        let [to_server, to_client] = &mut self.lost;
        match toward {
            Toward::Server => to_server,
            Toward::Client => to_client,
        }
    }
}

impl Parser for Connection {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if *self.is_lost(toward) {
            if Header::read(bytes).is_none() {
                return Step::all(bytes);
            }
            *self.is_lost(toward) = false;
        }
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if self.transactions.is_crowded(toward, context.limits.transaction_count_max(AppProto::Dcerpc)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            if rest.len() < HEADER_BYTES {
                return Step::Taken { consumed, wanted: HEADER_BYTES };
            }
            let Some(header) = Header::read(rest) else { return Step::Failed };
            let Some(fragment) = rest.get(..header.fragment_bytes) else {
                return Step::Taken { consumed, wanted: header.fragment_bytes };
            };
            context.mark(Buffer::FRAME_DCERPC_PDU, toward, fragment);
            let (head, data) = fragment.split_at_checked(HEADER_BYTES).unwrap_or((fragment, &[]));
            context.mark(Buffer::FRAME_DCERPC_HDR, toward, head);
            context.mark(Buffer::FRAME_DCERPC_DATA, toward, data);
            self.fragment(toward, &header, fragment, context);
            consumed += header.fragment_bytes;
        }
    }

    fn gap(&mut self, toward: Toward, _missing: u64, _context: &ParseContext<'_>) -> Step {
        *self.is_lost(toward) = true;
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.call.heap_bytes()).sum()
    }
}

#[derive(Debug, Default)]
struct Datagrams {
    transactions: Transactions<DceTransaction>,
}

impl Parser for Datagrams {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let Some(datagram) = Datagram::read(bytes) else { return Step::all(bytes) };
        let tells = matches!(datagram.kind, kind::REQUEST | kind::RESPONSE | kind::FAULT | kind::REJECT);
        if !tells {
            return Step::all(bytes);
        }
        let transport = DcerpcTransport::Datagrams { activity: datagram.activity, sequence: datagram.sequence };
        let known = self.transactions.iter_mut().find(|slot| slot.data.transport == transport).map(|slot| slot.id);
        let slot = match known.and_then(|id| self.transactions.by_id(id)) {
            Some(slot) => slot,
            None => {
                let tx = DceTransaction { call: Call::new(0), transport, told: false };
                self.transactions.open(tx, context.limits.transaction_count_max(AppProto::Dcerpc))
            }
        };
        let call = &mut slot.data.call;
        if datagram.kind == kind::REQUEST {
            call.opnum = datagram.opnum;
            call.interfaces = Arc::new(Interfaces::of_datagram(datagram.interface));
        }
        let half = if datagram.kind == kind::REQUEST { &mut call.request } else { &mut call.response };
        (half.kind, half.little) = (Some(datagram.kind), datagram.little);
        half.append(datagram.stub, context);
        half.done = !datagram.fragmented || datagram.is_last;
        slot.touch(toward);
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.call.heap_bytes()).sum()
    }
}
