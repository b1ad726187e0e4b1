//! PostgreSQL, protocol version 3: a request with all that answers it is a transaction.

pub mod record;
#[cfg(test)]
mod tests;
mod wire;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{PgsqlRecord, Request, Response};
use wire::{LENGTH_BYTES, Sasl};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Pgsql,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Pgsql::default()),
};

const PORTS: [u16; 1] = [5432];
/// Bytes of one message that are looked into.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Its type stands in front of a message's length.
const HEAD_BYTES: usize = 1 + LENGTH_BYTES;
/// Types of messages, from either side.
const REQUESTS: &[u8] = b"BCcDdEFfHPpQSX";
const RESPONSES: &[u8] = b"123AcCdDEGHIKnNRsStTvVWZ";

/// A beginning with the user's name is known anywhere, anything else on the port of PostgreSQL.
fn recognise(toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let ours = on_port(context, AppProto::Pgsql, &PORTS);
    if toward == Toward::Server {
        let Some((length, number)) = wire::startup_head(bytes) else {
            return if ours { Guess::More } else { Guess::No };
        };
        let names_user = bytes.get(8..13) == Some(b"user\0");
        if wire::is_startup(length, number) && (ours || names_user) {
            return Guess::Yes;
        }
    }
    let types = if toward == Toward::Server { REQUESTS } else { RESPONSES };
    match bytes {
        _ if !ours => Guess::No,
        [b'S' | b'N'] if toward == Toward::Client => Guess::Yes,
        [kind, 0, 0, ..] if types.contains(kind) => Guess::Yes,
        [kind, ..] if types.contains(kind) && bytes.len() < 3 => Guess::More,
        _ => Guess::No,
    }
}

#[derive(Debug, Default)]
struct Exchange {
    record: PgsqlRecord,
    done: bool,
    told: bool,
    events: Vec<&'static str>,
}

impl Transaction for Exchange {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        let query = self.record.request.as_ref()?.simple_query.as_ref()?;
        (buffer == Buffer::PGSQL_QUERY && nth == 0).then_some(&query.0)
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
        let empty = self.record.request.is_none() && self.record.response.is_empty();
        if empty || !(self.done || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Pgsql {
    exchanges: Transactions<Exchange>,
    sasl: Sasl,
    /// The client has said its first message.
    started: bool,
    asked_to_encrypt: bool,
    /// Bytes of a message that is too long, by side.
    skip_to_server: usize,
    skip_to_client: usize,
}

/// What became of the bytes in front.
enum Turn {
    Taken(usize),
    Wanted(usize),
    /// From there on it is TLS.
    Encrypted(usize),
    Failed,
}

impl Pgsql {
    fn request(&mut self, request: Request, done: bool, context: &ParseContext<'_>) {
        let count_max = context.limits.transaction_count_max(AppProto::Pgsql);
        let mut events = Vec::new();
        if self.exchanges.len() >= count_max {
            events.push("pgsql.too_many_transactions");
        }
        let record = PgsqlRecord { tx_id: self.exchanges.opened(), request: Some(request), ..PgsqlRecord::default() };
        let exchange = Exchange { record, done, events, ..Exchange::default() };
        self.exchanges.open(exchange, count_max).touch(Toward::Server);
    }

    /// What is answered: the oldest request that waits, or one that nobody has seen.
    fn respond(&mut self, context: &ParseContext<'_>, note: impl FnOnce(&mut Response), done: bool) {
        let tx_id = self.exchanges.opened();
        let slot = self.exchanges.find_or_open(
            |slot| !slot.data.done,
            || Exchange { record: PgsqlRecord { tx_id, ..PgsqlRecord::default() }, ..Exchange::default() },
            context.limits.transaction_count_max(AppProto::Pgsql),
        );
        note(&mut slot.data.record.response);
        slot.data.done = done;
        slot.touch(Toward::Client);
    }

    fn read_client(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Turn {
        if !self.started {
            let Some((length, number)) = wire::startup_head(bytes) else { return Turn::Wanted(8) };
            if wire::is_startup(length, number) {
                let Some(body) = bytes.get(8..length) else { return Turn::Wanted(length) };
                self.asked_to_encrypt = matches!(number, wire::code::SSL | wire::code::GSS_ENCRYPTION);
                self.started = !self.asked_to_encrypt;
                self.request(wire::startup(body, number), number == wire::code::CANCEL, context);
                return Turn::Taken(length);
            }
            self.started = true;
        }
        self.typed(Toward::Server, bytes, context)
    }

    fn read_server(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Turn {
        if self.asked_to_encrypt && let Some(answer @ (b'S' | b'N' | b'G')) = bytes.first() {
            self.asked_to_encrypt = false;
            self.respond(context, |response| response.ssl_accepted = Some(*answer == b'S'), true);
            return if *answer == b'N' { Turn::Taken(1) } else { Turn::Encrypted(1) };
        }
        self.typed(Toward::Client, bytes, context)
    }

    /// A message with a type.
    fn typed(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Turn {
        let mut reader = Reader::big_endian(bytes);
        let (Some(kind), Some(length)) = (reader.u8(), reader.u32()) else { return Turn::Wanted(HEAD_BYTES) };
        let types = if toward == Toward::Server { REQUESTS } else { RESPONSES };
        let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(LENGTH_BYTES));
        let Some(body_bytes) = body.filter(|_| types.contains(&kind)) else { return Turn::Failed };
        let told = if toward == Toward::Server { b"QXp".contains(&kind) } else { b"RSKTCENAZI".contains(&kind) };
        let kept = if told { body_bytes.min(MESSAGE_BYTES_MAX) } else { 0 };
        let Some(body) = reader.take(kept) else { return Turn::Wanted(HEAD_BYTES + kept) };
        match toward {
            Toward::Server => {
                if let Some(request) = wire::request(kind, body, &mut self.sasl) {
                    self.request(request, kind == b'X', context);
                }
            }
            Toward::Client => self.answer(kind, body, body_bytes, context),
        }
        let rest = body_bytes - kept;
        let here = rest.min(reader.remaining());
        *self.skip(toward) = rest - here;
        Turn::Taken(HEAD_BYTES + kept + here)
    }

    fn answer(&mut self, kind: u8, body: &[u8], body_bytes: usize, context: &ParseContext<'_>) {
        let mut sasl = self.sasl;
        match kind {
            b'D' => self.respond(context, |response| {
                *response.data_rows.get_or_insert(0) += 1;
                let size = response.data_size.get_or_insert(0);
                *size = size.saturating_add(body_bytes as u64);
            }, false),
            // A step of an authentication ends what the client said before it.
            b'R' => {
                let more = body.first_chunk::<4>().is_some_and(|kind| *kind != [0; 4] && *kind != [0, 0, 0, 12]);
                self.respond(context, |response| wire::respond(kind, body, response, &mut sasl), more);
            }
            b'Z' => {
                if self.exchanges.iter().any(|slot| !slot.data.done) {
                    self.respond(context, |_| {}, true);
                }
            }
            _ => self.respond(context, |response| wire::respond(kind, body, response, &mut sasl), false),
        }
        self.sasl = sasl;
    }

    fn skip(&mut self, toward: Toward) -> &mut usize {
        match toward {
            Toward::Server => &mut self.skip_to_server,
            Toward::Client => &mut self.skip_to_client,
        }
    }
}

impl Parser for Pgsql {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let skip = self.skip(toward);
        let mut consumed = (*skip).min(bytes.len());
        *skip -= consumed;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.exchanges.is_crowded(toward, context.limits.transaction_count_max(AppProto::Pgsql)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let turn = match toward {
                Toward::Server => self.read_client(rest, context),
                Toward::Client => self.read_server(rest, context),
            };
            match turn {
                Turn::Taken(length) => consumed += length,
                Turn::Wanted(wanted) => return Step::Taken { consumed, wanted },
                Turn::Encrypted(length) => {
                    return Step::Changed { consumed: consumed + length, to: Some(AppProto::Tls) };
                }
                Turn::Failed => return Step::Failed,
            }
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.exchanges
    }

    fn heap_bytes(&self) -> usize {
        let held = |exchange: &Exchange| {
            let query = exchange.record.request.as_ref().and_then(|request| request.simple_query.as_ref());
            let parameters = exchange.record.response.parameter_status.len() * 64;
            query.map_or(0, |query| query.0.capacity()) + parameters
        };
        self.exchanges.iter().map(|slot| size_of_val(slot) + held(&slot.data)).sum()
    }
}
