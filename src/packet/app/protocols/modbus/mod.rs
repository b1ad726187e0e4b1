//! Modbus over TCP, on port 502: a request with its response is a transaction.

mod pdu;
pub mod record;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use pdu::Pdu;
use record::ModbusRecord;

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Modbus,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Modbus::default()),
};

const PORTS: [u16; 1] = [502];
/// What the length field counts begins behind it.
const HEADER_BYTES: usize = 6;
/// Unit and function, at least; 253 bytes of function and data, at most.
const LENGTHS: std::ops::RangeInclusive<usize> = 2..=254;

/// Transaction, protocol, and the length of what follows.
fn header(reader: &mut Reader<'_>) -> Option<(u16, u16, usize)> {
    Some((reader.u16()?, reader.u16()?, reader.length16()?))
}

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    if !on_port(context, AppProto::Modbus, &PORTS) {
        return Guess::No;
    }
    match header(&mut Reader::big_endian(bytes)) {
        None => Guess::More,
        Some((_, 0, length)) if LENGTHS.contains(&length) => Guess::Yes,
        Some(_) => Guess::No,
    }
}

#[derive(Debug, Default)]
struct Exchange {
    request: Option<Pdu>,
    response: Option<Pdu>,
    /// Nothing more is expected.
    done: bool,
    events: Vec<&'static str>,
    told: bool,
}

impl Transaction for Exchange {
    fn buffer(&self, _: Buffer, _: Toward, _: usize) -> Option<&[u8]> {
        None
    }

    /// What was asked for is asked of the client's side alone: it matches once.
    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            AppTest::Modbus(test) if toward == Toward::Server => self.request.as_ref().is_some_and(|request| request.satisfies(test)),
            _ => false,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.done
    }

    fn record(&self) -> Option<AppRecord> {
        let told = |pdu: &Option<Pdu>| pdu.as_ref().map(|pdu| pdu.message.clone());
        Some(ModbusRecord { request: told(&self.request), response: told(&self.response) }.into())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if !(self.done || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Modbus {
    exchanges: Transactions<Exchange>,
}

impl Modbus {
    fn request(&mut self, pdu: Pdu, mut events: Vec<&'static str>, context: &ParseContext<'_>) {
        let count_max = context.limits.transaction_count_max(AppProto::Modbus);
        if self.exchanges.len() >= count_max {
            events.push("modbus.flooded");
        }
        let exchange = Exchange { request: Some(pdu), events, ..Exchange::default() };
        self.exchanges.open(exchange, count_max).touch(Toward::Server);
    }

    fn response(&mut self, pdu: Pdu, mut events: Vec<&'static str>, context: &ParseContext<'_>) {
        let waiting = self.exchanges.iter_mut().find(|slot| {
            let asked = slot.data.request.as_ref().filter(|_| !slot.data.done);
            asked.is_some_and(|request| pdu.answers(request))
        });
        let Some(slot) = waiting else {
            events.push("modbus.unsolicited_response");
            let exchange = Exchange { response: Some(pdu), events, done: true, ..Exchange::default() };
            self.exchanges.open(exchange, context.limits.transaction_count_max(AppProto::Modbus)).touch(Toward::Client);
            return;
        };
        if slot.data.request.as_ref().is_some_and(|request| pdu.contradicts(request)) {
            events.push("modbus.value_mismatch");
        }
        slot.data.events.extend(events);
        slot.data.response = Some(pdu);
        slot.data.done = true;
        slot.touch(Toward::Client);
    }
}

impl Parser for Modbus {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.exchanges.is_crowded(toward, context.limits.transaction_count_max(AppProto::Modbus)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let mut reader = Reader::big_endian(rest);
            let Some((id, protocol, length)) = header(&mut reader) else {
                return Step::Taken { consumed, wanted: HEADER_BYTES };
            };
            let mut events = Vec::new();
            if protocol != 0 {
                events.push("modbus.invalid_protocol_id");
            }
            if !LENGTHS.contains(&length) {
                events.push("modbus.invalid_length");
                let exchange = Exchange { events, done: true, told: true, ..Exchange::default() };
                self.exchanges.open(exchange, context.limits.transaction_count_max(AppProto::Modbus)).touch(toward);
                return Step::Failed;
            }
            let Some(body) = reader.take(length) else {
                return Step::Taken { consumed, wanted: HEADER_BYTES + length };
            };
            consumed += HEADER_BYTES + length;
            let Some(pdu) = Pdu::read(id, protocol, body, toward, &mut events) else { continue };
            match toward {
                Toward::Server => self.request(pdu, events, context),
                Toward::Client => self.response(pdu, events, context),
            }
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.exchanges
    }

    fn heap_bytes(&self) -> usize {
        let data = |pdu: &Option<Pdu>| pdu.as_ref().map_or(0, |pdu| pdu.values.len());
        self.exchanges.iter().map(|slot| size_of_val(slot) + data(&slot.data.request) + data(&slot.data.response)).sum()
    }
}
