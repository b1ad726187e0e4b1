//! IKE, versions 1 (RFC 2409) and 2 (RFC 7296), on port 500: each message is a transaction; what the server has chosen
//! stays with the flow.

mod names;
pub mod record;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Message, Messages};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};
use record::{Attributes, IkeRecord};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Ike,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Ike::default()),
};

const PORTS: [u16; 1] = [500];
/// Payloads, proposals, transforms and attributes of one message, each kind.
const LIST_COUNT_MAX: usize = 64;

/// The header that both versions share.
#[derive(Clone, Copy, Debug)]
struct Head {
    init_spi: u64,
    resp_spi: u64,
    next: u8,
    major: u8,
    minor: u8,
    exchange: u8,
    flags: u8,
    message_id: u32,
    length: u32,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Option<Head> {
        let (init_spi, resp_spi, next, version) = (reader.u64()?, reader.u64()?, reader.u8()?, reader.u8()?);
        let (exchange, flags, message_id, length) = (reader.u8()?, reader.u8()?, reader.u32()?, reader.u32()?);
        let (major, minor) = (version >> 4, version & 0x0f);
        Some(Head { init_spi, resp_spi, next, major, minor, exchange, flags, message_id, length })
    }

    fn record(&self) -> IkeRecord {
        IkeRecord {
            version_major: self.major,
            version_minor: self.minor,
            init_spi: format!("{:016x}", self.init_spi),
            resp_spi: format!("{:016x}", self.resp_spi),
            message_id: self.message_id,
            exchange_type: self.exchange,
            ..IkeRecord::default()
        }
    }
}

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let ours = on_port(context, AppProto::Ike, &PORTS).then(|| Head::read(&mut Reader::big_endian(bytes))).flatten();
    let plausible = ours.is_some_and(|head| match head.major {
        1 => true,
        2 => {
            let whole = usize::try_from(head.length) == Ok(bytes.len());
            head.minor == 0 && (34..=37).contains(&head.exchange) && whole
        }
        _ => false,
    });
    if plausible { Guess::Yes } else { Guess::No }
}

/// Payloads one behind the other: the kind of each stands in the one before.
fn payloads<'b>(mut next: u8, reader: &mut Reader<'b>) -> (Vec<(u8, &'b [u8])>, bool) {
    let mut found = Vec::new();
    while next != 0 && found.len() < LIST_COUNT_MAX {
        let mut one = || {
            let (following, _reserved, length) = (reader.u8()?, reader.u8()?, reader.length16()?);
            Some((following, reader.take(length.checked_sub(4)?)?))
        };
        let Some((following, data)) = one() else { return (found, false) };
        found.push((next, data));
        next = following;
    }
    (found, true)
}

/// What a message shows to rules.
#[derive(Debug, Default)]
struct IkeMessage {
    record: Option<IkeRecord>,
    vendors: Vec<String>,
    nonce: Option<Vec<u8>>,
    key_exchange: Option<Vec<u8>>,
    /// Of the server, in this message.
    chosen: Attributes,
}

impl Message for IkeMessage {
    fn buffer(&self, buffer: Buffer, nth: usize) -> Option<&[u8]> {
        let record = self.record.as_ref()?;
        match buffer {
            Buffer::IKE_VENDOR => self.vendors.get(nth).map(String::as_bytes),
            _ if nth > 0 => None,
            Buffer::IKE_INIT_SPI => Some(record.init_spi.as_bytes()),
            Buffer::IKE_RESP_SPI => Some(record.resp_spi.as_bytes()),
            Buffer::IKE_NONCE_PAYLOAD => self.nonce.as_deref(),
            Buffer::IKE_KEY_EXCHANGE_PAYLOAD => self.key_exchange.as_deref(),
            _ => None,
        }
    }

    fn number(&self, field: Field, test: NumberTest) -> bool {
        let number = match field {
            Field::IkeExchangeType => self.record.as_ref().map(|record| usize::from(record.exchange_type)),
            Field::IkeNonceLength => self.nonce.as_ref().map(Vec::len),
            Field::IkeKeyExchangeLength => self.key_exchange.as_ref().map(Vec::len),
            _ => None,
        };
        number.is_some_and(|number| test.accepts(number as u64))
    }

    fn accepts(&self, test: &AppTest) -> bool {
        let AppTest::IkeChosen { name, value } = test else { return false };
        self.chosen.0.iter().any(|(known, number, _)| known == name && number == value)
    }

    fn record(&self) -> Option<AppRecord> {
        self.record.clone().map(AppRecord::from)
    }

    fn heap_bytes(&self) -> usize {
        let binary = [&self.nonce, &self.key_exchange].into_iter().flatten().map(Vec::len).sum::<usize>();
        // They stand in the record as digits, too.
        4 * (binary + self.vendors.iter().map(String::len).sum::<usize>()) + 1024
    }
}

#[derive(Debug, Default)]
struct Ike {
    messages: Messages<IkeMessage>,
    first: v1::Known,
    second: v2::Known,
}

impl Parser for Ike {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut reader = Reader::big_endian(bytes);
        let (message, events) = match Head::read(&mut reader) {
            Some(head) if head.major == 1 => self.first.read(&head, &mut reader, toward),
            Some(head) if head.major == 2 => self.second.read(&head, &mut reader, toward),
            _ => (IkeMessage::default(), vec![MALFORMED]),
        };
        self.messages.say(toward, message, events, context.limits.transaction_count_max(AppProto::Ike));
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.messages
    }

    fn heap_bytes(&self) -> usize {
        self.messages.heap_bytes() + self.first.heap_bytes()
    }
}

const MALFORMED: &str = "ike.malformed_data";
