//! EtherNet/IP on port 44818, and the CIP messages that it carries: each message is a transaction. Suricata 7 tells no
//! records of it, and neither do we.

mod cip;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Datagram, Datagrams, Message, Messages};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::plan::{NumberTest, Toward};
use cip::Service;

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Enip,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Stream::default()),
};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Enip,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Datagrams::<Enip>::default()),
};

const PORTS: [u16; 1] = [44_818];
const HEADER_BYTES: usize = 24;
/// A longer message is none.
const BODY_BYTES_MAX: usize = 32 << 10;
const SEND_RR_DATA: u16 = 0x6f;
const SEND_UNIT_DATA: u16 = 0x70;
const CONNECTED: u16 = 0xb1;
const UNCONNECTED: u16 = 0xb2;
/// Items of one message.
const ITEM_COUNT_MAX: usize = 16;

/// Command and length of the body.
fn header(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut reader = Reader::little_endian(bytes.get(..HEADER_BYTES)?);
    Some((reader.u16()?, reader.length16()?))
}

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let known = |command: u16| matches!(command, 0 | 1 | 4 | 0x63..=0x66 | 0x6f | 0x70 | 0x72 | 0x73);
    let first = Reader::little_endian(bytes).u16();
    match (on_port(context, AppProto::Enip, &PORTS), first, header(bytes)) {
        (true, Some(command), _) if !known(command) => Guess::No,
        (true, _, None) => Guess::More,
        (true, _, Some((_, length))) if length <= BODY_BYTES_MAX => Guess::Yes,
        _ => Guess::No,
    }
}

#[derive(Debug)]
struct Enip {
    command: u16,
    services: Vec<Service>,
}

impl Enip {
    fn of(command: u16, body: &[u8]) -> Enip {
        let mut services = Vec::new();
        if [SEND_RR_DATA, SEND_UNIT_DATA].contains(&command) {
            let mut reader = Reader::little_endian(body);
            let _ = items(&mut reader, &mut services);
        }
        Enip { command, services }
    }
}

fn items(reader: &mut Reader<'_>, services: &mut Vec<Service>) -> Option<()> {
    let (_interface, _timeout, count) = (reader.u32()?, reader.u16()?, reader.length16()?);
    for _ in 0..count.min(ITEM_COUNT_MAX) {
        let (kind, length) = (reader.u16()?, reader.length16()?);
        let data = reader.take(length)?;
        match kind {
            CONNECTED => cip::read(data.get(2..)?, services),
            UNCONNECTED => cip::read(data, services),
            _ => {}
        }
    }
    Some(())
}

impl Message for Enip {
    fn number(&self, field: Field, test: NumberTest) -> bool {
        field == Field::EnipCommand && test.accepts(self.command.into())
    }

    fn accepts(&self, test: &AppTest) -> bool {
        matches!(test, AppTest::Cip(test) if self.services.iter().any(|service| service.satisfies(test)))
    }

    fn record(&self) -> Option<AppRecord> {
        None
    }

    fn heap_bytes(&self) -> usize {
        self.services.iter().map(Service::heap_bytes).sum()
    }
}

impl Datagram for Enip {
    fn read(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Option<(Enip, Vec<&'static str>)> {
        let (command, _) = header(bytes)?;
        Some((Enip::of(command, bytes.get(HEADER_BYTES..).unwrap_or_default()), Vec::new()))
    }
}

#[derive(Debug, Default)]
struct Stream {
    messages: Messages<Enip>,
}

impl Parser for Stream {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            let count_max = context.limits.transaction_count_max(AppProto::Enip);
            if self.messages.is_crowded(toward, count_max) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let Some((command, length)) = header(rest) else { return Step::Taken { consumed, wanted: HEADER_BYTES } };
            if length > BODY_BYTES_MAX {
                return Step::Failed;
            }
            let Some(body) = rest.get(HEADER_BYTES..HEADER_BYTES + length) else {
                return Step::Taken { consumed, wanted: HEADER_BYTES + length };
            };
            self.messages.say(toward, Enip::of(command, body), Vec::new(), count_max);
            consumed += HEADER_BYTES + length;
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.messages
    }

    fn heap_bytes(&self) -> usize {
        self.messages.heap_bytes()
    }
}
