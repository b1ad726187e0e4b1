//! LDAP (RFC 4511) over TCP, and over UDP as Windows domains use it: a request with its responses is a transaction, its
//! reader the crate `ldap-parser`.

mod read;
pub mod record;
#[cfg(test)]
mod tests;

use ldap_parser::FromBer;
use ldap_parser::ldap::{LdapMessage, ProtocolOp};

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field, LdapResponses, LdapTest};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{LdapRecord, Message};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Ldap,
    transports: &[Transport::Tcp],
    recognise: |_, bytes, context| recognise(bytes, context),
    parser: || Box::new(Ldap { stream: true, ..Ldap::default() }),
};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Ldap,
    transports: &[Transport::Udp],
    recognise: |_, bytes, context| recognise(bytes, context),
    parser: || Box::new(Ldap::default()),
};

/// Directories, and the global catalogue.
const PORTS: [u16; 2] = [389, 3268];
/// Bytes of one message that are looked into.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Responses of one request that are kept; the last one is, whatever.
const RESPONSE_COUNT_MAX: usize = 64;
/// Tag and length of a message, and the tag, length and value of its number.
const HEAD_BYTES_MAX: usize = 12;
const SEQUENCE: u8 = 0x30;
/// The extended operation that begins TLS (RFC 4511, 4.14.1).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// The length of tag and length, and of what they are for. `None`: they are not whole.
fn head(bytes: &[u8]) -> Option<Result<(usize, usize), NotLdap>> {
    let (tag, length) = (*bytes.first()?, *bytes.get(1)?);
    Some(match (tag, length) {
        (SEQUENCE, 0..=0x7f) => Ok((2, length.into())),
        (SEQUENCE, 0x81..=0x84) => {
            let octets = usize::from(length & 0x7f);
            let body = bytes.get(2..2 + octets)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            Ok((2 + octets, body))
        }
        _ => Err(NotLdap),
    })
}

struct NotLdap;

/// A sequence that begins with a number, and an operation behind it.
fn recognise(bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    if !on_port(context, AppProto::Ldap, &PORTS) {
        return Guess::No;
    }
    let (head_bytes, _) = match head(bytes) {
        Some(Ok(head)) => head,
        Some(Err(NotLdap)) => return Guess::No,
        None => return Guess::More,
    };
    let number = bytes.get(head_bytes..).unwrap_or_default();
    let operation = match number {
        [2, length @ 1..=4, rest @ ..] => rest.get(usize::from(*length)),
        [] | [2] => None,
        _ => return Guess::No,
    };
    match operation {
        Some(0x42 | 0x4a | 0x50 | 0x60..=0x79) => Guess::Yes,
        Some(_) => Guess::No,
        None if bytes.len() < HEAD_BYTES_MAX => Guess::More,
        None => Guess::No,
    }
}

#[derive(Debug, Default)]
struct Exchange {
    message_id: u32,
    record: LdapRecord,
    response_count: u32,
    done: bool,
    told: bool,
    events: Vec<&'static str>,
}

impl Exchange {
    /// The values of all responses, whatever each has: some have none.
    fn nth_of<'e, T>(&'e self, nth: usize, of: impl Fn(&'e Message) -> Option<T>) -> Option<T> {
        self.record.responses.iter().filter_map(of).nth(nth)
    }

    fn satisfies(&self, test: &LdapTest) -> bool {
        let responses = self.record.responses.iter();
        let values: Vec<Option<u64>> = match test.asks {
            LdapResponses::Operation => responses.map(|response| Some(response.operation_number.into())).collect(),
            LdapResponses::ResultCode => {
                responses.map(|response| Some(response.outcome()?.code.into())).collect()
            }
        };
        test.accepts(&values)
    }
}

impl Transaction for Exchange {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        let request = self.record.request.as_ref();
        match buffer {
            Buffer::LDAP_REQUEST_DN if nth == 0 => request?.dn(),
            Buffer::LDAP_REQUEST_ATTRIBUTE_TYPE => request?.attribute_type(nth),
            Buffer::LDAP_RESPONSES_DN => self.nth_of(nth, Message::dn),
            Buffer::LDAP_RESPONSES_MESSAGE => self.nth_of(nth, |response| Some(&*response.outcome()?.message.0)),
            Buffer::LDAP_RESPONSES_ATTRIBUTE_TYPE => {
                let responses = self.record.responses.iter();
                let types = responses.flat_map(|response| (0..).map_while(|at| response.attribute_type(at)));
                types.into_iter().nth(nth)
            }
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            AppTest::Number { field: Field::LdapRequestOperation, test } if toward == Toward::Server => {
                self.record.request.as_ref().is_some_and(|request| test.accepts(request.operation_number.into()))
            }
            AppTest::Number { field: Field::LdapResponseCount, test } if toward == Toward::Client => {
                test.accepts(self.response_count.into())
            }
            AppTest::Ldap(test) if toward == Toward::Client => self.satisfies(test),
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
        Some(self.record.clone().into())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        let empty = self.record == LdapRecord::default();
        if empty || !(self.done || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Ldap {
    stream: bool,
    exchanges: Transactions<Exchange>,
    /// The number of the request that asks for TLS.
    asks_tls: Option<u32>,
    /// Bytes of a message that is too long, by side.
    skip: [usize; 2],
}

impl Ldap {
    /// A message that is whole. True if TLS begins behind it.
    fn message(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Result<bool, NotLdap> {
        let (_, message) = LdapMessage::from_ber(bytes).map_err(|_| NotLdap)?;
        let number = message.protocol_op.tag().0;
        if is_request(number) {
            self.request(&message, context);
            return Ok(false);
        }
        let agrees = message.protocol_op.result().is_some_and(|result| result.result_code.0 == 0);
        let starts_tls = self.asks_tls == Some(message.message_id.0) && number == EXTENDED_RESPONSE && agrees;
        self.response(&message, context);
        Ok(starts_tls)
    }

    fn request(&mut self, message: &LdapMessage<'_>, context: &ParseContext<'_>) {
        let count_max = context.limits.transaction_count_max(AppProto::Ldap);
        let mut events = Vec::new();
        if self.exchanges.len() >= count_max {
            events.push("ldap.too_many_transactions");
        }
        if let ProtocolOp::ExtendedRequest(extended) = &message.protocol_op
            && extended.request_name.0 == START_TLS
        {
            self.asks_tls = Some(message.message_id.0);
        }
        let is_unanswered = matches!(message.protocol_op, ProtocolOp::UnbindRequest | ProtocolOp::AbandonRequest(_));
        let record = LdapRecord { request: Some(read::message(message, true)), responses: Vec::new() };
        let message_id = message.message_id.0;
        let exchange = Exchange { message_id, record, done: is_unanswered, events, ..Exchange::default() };
        self.exchanges.open(exchange, count_max).touch(Toward::Server);
    }

    fn response(&mut self, message: &LdapMessage<'_>, context: &ParseContext<'_>) {
        let message_id = message.message_id.0;
        let unsolicited = || Exchange { message_id, events: vec!["ldap.request_not_found"], ..Exchange::default() };
        let slot = self.exchanges.find_or_open(
            |slot| !slot.data.done && slot.data.message_id == message_id,
            unsolicited,
            context.limits.transaction_count_max(AppProto::Ldap),
        );
        let exchange = &mut slot.data;
        let response = read::message(message, exchange.record.request.is_none());
        exchange.response_count = exchange.response_count.saturating_add(1);
        if exchange.record.responses.len() >= RESPONSE_COUNT_MAX {
            exchange.record.responses.pop();
        }
        exchange.record.responses.push(response);
        let goes_on = matches!(
            message.protocol_op,
            ProtocolOp::SearchResultEntry(_) | ProtocolOp::SearchResultReference(_) | ProtocolOp::IntermediateResponse(_)
        );
        exchange.done = !goes_on;
        slot.touch(Toward::Client);
    }

    fn malformed(&mut self, toward: Toward, context: &ParseContext<'_>) -> Step {
        let exchange = Exchange { events: vec!["ldap.invalid_data"], done: true, ..Exchange::default() };
        self.exchanges.open(exchange, context.limits.transaction_count_max(AppProto::Ldap)).touch(toward);
        Step::Failed
    }
}

const EXTENDED_RESPONSE: u32 = 24;

fn is_request(operation: u32) -> bool {
    matches!(operation, 0 | 2 | 3 | 6 | 8 | 10 | 12 | 14 | 16 | 23)
}

impl Parser for Ldap {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let side = usize::from(toward == Toward::Client);
        let mut consumed = 0;
        if let Some(skip) = self.skip.get_mut(side) {
            consumed = (*skip).min(bytes.len());
            *skip -= consumed;
        }
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.exchanges.is_crowded(toward, context.limits.transaction_count_max(AppProto::Ldap)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let (head_bytes, body_bytes) = match head(rest) {
                Some(Ok(head)) => head,
                Some(Err(NotLdap)) => return self.malformed(toward, context),
                None if self.stream => return Step::Taken { consumed, wanted: 0 },
                None => return self.malformed(toward, context),
            };
            let length = head_bytes.saturating_add(body_bytes);
            if length > MESSAGE_BYTES_MAX && self.stream {
                let seen = length.min(rest.len());
                if let Some(skip) = self.skip.get_mut(side) {
                    *skip = length - seen;
                }
                consumed += seen;
                continue;
            }
            let Some(whole) = rest.get(..length) else {
                return if self.stream { Step::Taken { consumed, wanted: length } } else { self.malformed(toward, context) };
            };
            consumed += length;
            match self.message(whole, context) {
                Ok(false) => {}
                Ok(true) => return Step::Changed { consumed, to: Some(AppProto::Tls) },
                Err(NotLdap) => return self.malformed(toward, context),
            }
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.exchanges
    }

    fn heap_bytes(&self) -> usize {
        let held = |exchange: &Exchange| exchange.record.responses.len() * (size_of::<Message>() + 128);
        self.exchanges.iter().map(|slot| size_of_val(slot) + held(&slot.data)).sum()
    }
}
