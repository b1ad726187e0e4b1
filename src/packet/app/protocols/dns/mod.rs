//! DNS over UDP and TCP, on port 53, and LLMNR (RFC 4795) and mDNS (RFC 6762), which speak the same on
//! ports 5355 and 5353.
//!
//! Each message is a transaction of its own, as in Suricata: a rule about DNS looks at the query when the query passes,
//! and at the answer when the answer passes. Nothing waits for the other side.

mod dialect;
pub mod message;
pub mod record;

use std::sync::Arc;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use message::{Message, Record};
use dialect::{DNS, Dialect, LLMNR, MDNS};
use record::{DnsRecord, Form};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Dns,
    transports: &[Transport::Udp],
    recognise: |_, bytes, context| DNS.recognise_datagram(bytes, context),
    parser: || Box::new(Dns::new(&DNS, Transport::Udp)),
};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Dns,
    transports: &[Transport::Tcp],
    recognise: |_, bytes, context| DNS.recognise_stream(bytes, context),
    parser: || Box::new(Dns::new(&DNS, Transport::Tcp)),
};

pub static LLMNR_UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Llmnr,
    transports: &[Transport::Udp],
    recognise: |_, bytes, context| LLMNR.recognise_datagram(bytes, context),
    parser: || Box::new(Dns::new(&LLMNR, Transport::Udp)),
};

pub static LLMNR_TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Llmnr,
    transports: &[Transport::Tcp],
    recognise: |_, bytes, context| LLMNR.recognise_stream(bytes, context),
    parser: || Box::new(Dns::new(&LLMNR, Transport::Tcp)),
};

pub static MDNS_UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Mdns,
    transports: &[Transport::Udp],
    recognise: |_, bytes, context| MDNS.recognise_datagram(bytes, context),
    parser: || Box::new(Dns::new(&MDNS, Transport::Udp)),
};

/// The length before each message in a stream.
const PREFIX_BYTES: usize = 2;

#[derive(Debug)]
struct Dns {
    dialect: &'static Dialect,
    transport: Transport,
    transactions: Transactions<DnsTransaction>,
    /// The first message was an answer: whom conntrack calls the client is the server.
    reversed: Option<bool>,
    /// Bytes are missing: the next message has to be found again.
    lost: [bool; 2],
}

impl Dns {
    fn new(dialect: &'static Dialect, transport: Transport) -> Dns {
        Dns { dialect, transport, transactions: Transactions::default(), reversed: None, lost: [false; 2] }
    }

    /// One message. False if it is none.
    fn message(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> bool {
        let Some(message) = Message::read(bytes) else { return false };
        context.mark(Buffer::FRAME_DNS_PDU, toward, bytes);
        let is_response = message.header.is_response();
        let reversed = *self.reversed.get_or_insert((toward == Toward::Server) == is_response);
        let has_sides = self.dialect.protocol != AppProto::Mdns;
        let from_server = if has_sides { (toward == Toward::Client) != reversed } else { is_response };
        let whole = !message.oddities.cut_off;
        let tx = DnsTransaction {
            tx_id: self.transactions.opened(),
            dialect: self.dialect,
            is_response,
            events: self.dialect.events_of(&message, from_server),
            // What Suricata does not take for a message has no record of its own.
            told: if whole && (from_server || !is_response) { 0 } else { usize::MAX },
            message: Arc::new(message),
        };
        self.transactions.open(tx, context.limits.transaction_count_max(self.dialect.protocol)).touch(toward);
        whole
    }

    fn is_lost(&mut self, toward: Toward) -> &mut bool {
        let [to_server, to_client] = &mut self.lost;
        match toward {
            Toward::Server => to_server,
            Toward::Client => to_client,
        }
    }

    /// The messages of a stream, each behind its length.
    fn frames(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if self.transactions.is_crowded(toward, context.limits.transaction_count_max(self.dialect.protocol)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let Some((prefix, body)) = rest.split_first_chunk::<PREFIX_BYTES>() else {
                return Step::Taken { consumed, wanted: PREFIX_BYTES };
            };
            let length = usize::from(u16::from_be_bytes(*prefix));
            let Some(message) = body.get(..length) else {
                return Step::Taken { consumed, wanted: PREFIX_BYTES + length };
            };
            if length > 0 && !self.message(toward, message, context) {
                return Step::Failed;
            }
            consumed += PREFIX_BYTES + length;
        }
    }
}

impl Parser for Dns {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if self.transport == Transport::Udp {
            return if self.message(toward, bytes, context) { Step::all(bytes) } else { Step::Failed };
        }
        if *self.is_lost(toward) {
            if self.dialect.recognise_stream(bytes, context) != Guess::Yes {
                return Step::all(bytes);
            }
            *self.is_lost(toward) = false;
        }
        self.frames(toward, bytes, context)
    }

    fn gap(&mut self, toward: Toward, _missing: u64, _context: &ParseContext<'_>) -> Step {
        *self.is_lost(toward) = true;
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of::<DnsTransaction>() + slot.data.message.heap_bytes()).sum()
    }
}

#[derive(Debug)]
struct DnsTransaction {
    tx_id: u64,
    dialect: &'static Dialect,
    message: Arc<Message>,
    is_response: bool,
    events: Vec<&'static str>,
    /// Records of its own that were given.
    told: usize,
}

impl Transaction for DnsTransaction {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        buffer_of(&self.message, buffer, nth)
    }

    fn accepts(&self, test: &AppTest, _toward: Toward) -> bool {
        accepts(&self.message, test)
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        true
    }

    fn record(&self) -> Option<AppRecord> {
        Some(self.in_form(if self.is_response { Form::AlertedAnswer } else { Form::AlertedQuery }))
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        let count = if self.is_response { 1 } else { self.message.queries.len() };
        let at = self.told;
        if at >= count {
            return None;
        }
        self.told += 1;
        Some(self.in_form(if self.is_response { Form::Answer } else { Form::Query(at) }))
    }
}

/// The `nth` instance of a buffer of a message.
pub fn buffer_of(message: &Message, buffer: Buffer, nth: usize) -> Option<&[u8]> {
    match buffer {
        Buffer::DNS_QUERY if message.header.is_response() => None,
        Buffer::DNS_QUERY | Buffer::DNS_QUERY_NAME | Buffer::LLMNR_QUERY_NAME | Buffer::MDNS_QUERY_NAME => message.queries.get(nth).map(|query| &*query.name),
        Buffer::DNS_ANSWER_NAME | Buffer::LLMNR_ANSWER_NAME | Buffer::MDNS_ANSWER_NAME => name_at(&message.answers, nth),
        Buffer::DNS_AUTHORITY_NAME | Buffer::LLMNR_AUTHORITY_NAME | Buffer::MDNS_AUTHORITY_NAME => name_at(&message.authorities, nth),
        Buffer::DNS_ADDITIONAL_NAME | Buffer::LLMNR_ADDITIONAL_NAME | Buffer::MDNS_ADDITIONAL_NAME => name_at(&message.additionals, nth),
        Buffer::DNS_RESPONSE_NAME | Buffer::LLMNR_RESPONSE_NAME | Buffer::MDNS_RESPONSE_NAME if message.header.is_response() => {
            let records = [&message.answers, &message.authorities, &message.additionals].into_iter().flatten();
            let queries = message.queries.iter().map(|query| &*query.name);
            queries.chain(records.map(|record| &*record.name)).nth(nth)
        }
        _ => None,
    }
}

/// Whether a test of a number holds for a message.
pub fn accepts(message: &Message, test: &AppTest) -> bool {
    let AppTest::Number { field, test } = test else { return false };
    let (header, is_response) = (&message.header, message.header.is_response());
    match field {
        Field::DnsOpcode => test.accepts(header.opcode().into()),
        Field::DnsRcode => test.accepts(header.rcode().into()),
        Field::DnsRrtype if is_response => {
            message.answers.iter().any(|record| test.accepts(record.rrtype.into()))
        }
        Field::DnsRrtype => message.queries.iter().any(|query| test.accepts(query.rrtype.into())),
        #[allow(unreachable_patterns)] // other protocols' fields
        _ => false,
    }
}

fn name_at(records: &[Record], nth: usize) -> Option<&[u8]> {
    records.get(nth).map(|record| &*record.name)
}

impl DnsTransaction {
    fn in_form(&self, form: Form) -> AppRecord {
        (self.dialect.record)(DnsRecord { tx_id: self.tx_id, message: Arc::clone(&self.message), form })
    }
}

#[cfg(test)]
mod tests;
