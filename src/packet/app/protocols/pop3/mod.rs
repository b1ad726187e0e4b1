//! POP3 (RFC 1939): a command with its response is a transaction, and so is the greeting. Mails are passed over.

pub mod record;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::Text;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{Pop3Record, Request, Response};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Pop3,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Pop3::default()),
};

/// Bytes of one line that are looked at.
const LINE_BYTES_MAX: usize = 1024;
/// Lines of one response that are told.
const DATA_LINE_COUNT_MAX: usize = 16;
/// Arguments of one command that are told.
const ARGUMENT_COUNT_MAX: usize = 8;
/// The server speaks first, and says one of these.
const GREETINGS: [&[u8]; 2] = [b"+OK", b"-ERR"];

/// A client's first word may be one of FTP, too: only the server's tells.
fn recognise(toward: Toward, bytes: &[u8], _context: &ParseContext<'_>) -> Guess {
    if toward == Toward::Server {
        return Guess::No;
    }
    for greeting in GREETINGS {
        let seen = greeting.len().min(bytes.len());
        if bytes.get(..seen) == greeting.get(..seen) {
            let ends = bytes.get(greeting.len()).is_some_and(|next| b" \r\n".contains(next));
            return match bytes.len() > greeting.len() {
                true if ends => Guess::Yes,
                true => Guess::No,
                false => Guess::More,
            };
        }
    }
    Guess::No
}

#[derive(Debug, Default)]
struct Exchange {
    record: Pop3Record,
    /// Lines follow until one that is a dot.
    is_long: bool,
    done: bool,
    told: bool,
    events: Vec<&'static str>,
}

impl Transaction for Exchange {
    fn buffer(&self, _: Buffer, _: Toward, _: usize) -> Option<&[u8]> {
        None
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
        if !(self.done || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Pop3 {
    exchanges: Transactions<Exchange>,
    /// The lines that follow end one that was too long, by side.
    in_long_line: [bool; 2],
    /// AUTH goes on: what the client says is no command.
    authenticates: bool,
}

impl Pop3 {
    fn command(&mut self, line: &[u8], cut: bool, context: &ParseContext<'_>) {
        if self.authenticates {
            return;
        }
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let Some(word) = words.next() else { return };
        let command = word.to_ascii_uppercase();
        self.authenticates = command == b"AUTH" && words.clone().next().is_some();
        let secret = matches!(&*command, b"PASS" | b"AUTH" | b"APOP");
        let args = match secret {
            true => Vec::new(),
            false => words.take(ARGUMENT_COUNT_MAX).map(Text::from).collect::<Vec<_>>(),
        };
        let listing = matches!(&*command, b"LIST" | b"UIDL") && args.is_empty();
        let is_long = listing || matches!(&*command, b"CAPA" | b"RETR" | b"TOP");
        let count_max = context.limits.transaction_count_max(AppProto::Pop3);
        let mut events = Vec::new();
        if cut {
            events.push("pop3.command_too_long");
        }
        if self.exchanges.len() >= count_max {
            events.push("pop3.too_many_transactions");
        }
        let record = Pop3Record { request: Some(Request { command: Text(command), args }), response: None };
        self.exchanges.open(Exchange { record, is_long, events, ..Exchange::default() }, count_max).touch(Toward::Server);
    }

    /// Whether TLS begins behind this line.
    fn response(&mut self, line: &[u8], cut: bool, context: &ParseContext<'_>) -> bool {
        let count_max = context.limits.transaction_count_max(AppProto::Pop3);
        let slot = self.exchanges.find_or_open(|slot| !slot.data.done, Exchange::default, count_max);
        let exchange = &mut slot.data;
        let command = exchange.record.request.as_ref().map_or(&b""[..], |request| &request.command.0);
        let starts_tls = command == b"STLS";
        let is_mail = matches!(command, b"RETR" | b"TOP");
        match &mut exchange.record.response {
            Some(response) => {
                exchange.done = line == b".";
                if !exchange.done && !is_mail && response.data.len() < DATA_LINE_COUNT_MAX {
                    response.data.push(line.into());
                }
            }
            None => {
                let Some(success) = status(line) else {
                    // The challenge of an AUTH, or nothing of this protocol.
                    if !line.starts_with(b"+ ") {
                        exchange.events.push("pop3.unknown_response");
                    }
                    return false;
                };
                if cut {
                    exchange.events.push("pop3.response_too_long");
                }
                let (status, skip) = if success { ("OK", 3) } else { ("ERR", 4) };
                let header = line.get(skip..).unwrap_or_default().trim_ascii_start().into();
                exchange.record.response = Some(Response { success, status, header, data: Vec::new() });
                exchange.done = !(exchange.is_long && success);
                self.authenticates = false;
                slot.touch(Toward::Client);
                return starts_tls && success;
            }
        }
        let done = exchange.done;
        if done {
            slot.touch(Toward::Client);
        }
        false
    }
}

fn status(line: &[u8]) -> Option<bool> {
    match line {
        [b'+', b'O' | b'o', b'K' | b'k', ..] => Some(true),
        [b'-', b'E' | b'e', b'R' | b'r', b'R' | b'r', ..] => Some(false),
        _ => None,
    }
}

impl Parser for Pop3 {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let side = usize::from(toward == Toward::Client);
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.exchanges.is_crowded(toward, context.limits.transaction_count_max(AppProto::Pop3)) {
                break;
            }
            let window = rest.get(..LINE_BYTES_MAX).unwrap_or(rest);
            let end = memchr::memchr(b'\n', window);
            if end.is_none() && window.len() < LINE_BYTES_MAX {
                break;
            }
            let taken = end.map_or(window.len(), |at| at + 1);
            let line = window.get(..end.unwrap_or(window.len())).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            consumed += taken;
            let was_cut = self.in_long_line.get_mut(side).is_some_and(|long| std::mem::replace(long, end.is_none()));
            if was_cut {
                continue;
            }
            match toward {
                Toward::Server => self.command(line, end.is_none(), context),
                Toward::Client => {
                    if self.response(line, end.is_none(), context) {
                        return Step::Changed { consumed, to: Some(AppProto::Tls) };
                    }
                }
            }
        }
        Step::Taken { consumed, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.exchanges
    }

    fn heap_bytes(&self) -> usize {
        let held = |exchange: &Exchange| {
            let lines = exchange.record.response.as_ref().map_or(0, |response| response.data.len() + 1);
            let arguments = exchange.record.request.as_ref().map_or(0, |request| request.args.len() + 1);
            (lines + arguments) * size_of::<Text>()
        };
        self.exchanges.iter().map(|slot| size_of_val(slot) + held(&slot.data)).sum()
    }
}
