//! FTP: commands with their replies, and the data connections that they announce.
//!
//! A transaction is a command with its reply; the greeting is one without a command. What PORT, EPRT, PASV and EPSV agree
//! on is announced when RETR or STOR says what it is for ([`crate::packet::app::expected`]).

mod address;
pub mod data;
pub mod record;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::expected::{Announcement, Opener, Transfer};
use crate::packet::app::greeting;
use crate::packet::app::{AppRecord, ParseContext, Parser, Slot, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::FtpRecord;

pub static INFO: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Ftp,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Ftp::default()),
};

/// Suricata's `ftp.max-line-length`: what is longer is cut, and told.
const LINE_BYTES_MAX: usize = 4096;
/// Lines of one reply that are kept.
const REPLY_LINE_COUNT_MAX: usize = 64;
/// Data connections that wait for the path to take note of them.
const ANNOUNCED_COUNT_MAX: usize = 16;

/// How a client begins, greeted or not.
const BEGINNINGS: [&[u8]; 8] = [b"USER ", b"PASS ", b"PORT ", b"EPRT ", b"EPSV", b"FEAT\r", b"AUTH TLS", b"AUTH SSL"];

fn recognise(toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let spoken = || greeting::FTP.recognise(&greeting::SMTP, toward, bytes, context);
    if toward == Toward::Client {
        return spoken();
    }
    let fits = |word: &[u8]| {
        let shared = word.len().min(bytes.len());
        bytes.get(..shared).zip(word.get(..shared)).is_some_and(|(begin, word)| begin.eq_ignore_ascii_case(word))
    };
    match BEGINNINGS.into_iter().find(|word| fits(word)) {
        Some(word) if bytes.len() >= word.len() => Guess::Yes,
        Some(_) => Guess::More,
        None => spoken(),
    }
}

/// Which side waits for the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Active,
    Passive,
}

#[derive(Debug, Default)]
struct Ftp {
    transactions: Transactions<FtpTx>,
    /// Commands without a whole reply, those included that have given way to later ones.
    unanswered: usize,
    client: Line,
    server: Line,
    /// What was agreed on for the next transfer.
    agreed: Option<(Mode, u16)>,
    announced: Vec<Announcement>,
}

/// A line that is on its way.
#[derive(Debug, Default)]
struct Line {
    /// Bytes that hold no end of line: not looked at again.
    scanned: usize,
    /// It was longer than is kept: the rest is skipped.
    skipping: bool,
}

impl Line {
    /// The next line without its end, the bytes it takes, and whether it was cut.
    fn next<'b>(&mut self, bytes: &'b [u8]) -> Option<(Option<&'b [u8]>, usize, bool)> {
        let head = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
        let found = memchr::memchr(b'\n', head.get(self.scanned..).unwrap_or_default()).map(|at| at + self.scanned);
        self.scanned = 0;
        let skipped = self.skipping;
        let Some(at) = found else {
            if head.len() < LINE_BYTES_MAX {
                self.scanned = head.len();
                return None;
            }
            self.skipping = true;
            return Some(((!skipped).then_some(head), head.len(), true));
        };
        self.skipping = false;
        let line = head.get(..at).unwrap_or_default();
        Some(((!skipped).then_some(line.strip_suffix(b"\r").unwrap_or(line)), at + 1, false))
    }
}

impl Parser for Ftp {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if self.transactions.is_crowded(toward, context.limits.transaction_count_max(AppProto::Ftp)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let lines = match toward {
                Toward::Server => &mut self.client,
                Toward::Client => &mut self.server,
            };
            let Some((line, taken, cut)) = lines.next(rest) else { break };
            consumed += taken;
            let Some(line) = line else { continue };
            match toward {
                Toward::Server => self.command(line, cut, context),
                Toward::Client => {
                    if self.reply(line, cut, context) {
                        return Step::Changed { consumed, to: Some(AppProto::Tls) };
                    }
                }
            }
        }
        Step::Taken { consumed, wanted: 0 }
    }

    fn gap(&mut self, toward: Toward, _missing: u64, _context: &ParseContext<'_>) -> Step {
        // What comes first is the rest of a line.
        let line = Line { scanned: 0, skipping: true };
        match toward {
            Toward::Server => self.client = line,
            Toward::Client => self.server = line,
        }
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn take_announced(&mut self) -> Vec<Announcement> {
        std::mem::take(&mut self.announced)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| slot.data.heap_bytes()).sum()
    }
}

impl Ftp {
    fn command(&mut self, line: &[u8], cut: bool, context: &ParseContext<'_>) {
        let line = line.trim_ascii_start();
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (word, argument) = line.split_at(end);
        let argument = argument.trim_ascii();
        let mut tx = FtpTx { command: Some(word.to_vec()), argument: argument.to_vec(), ..FtpTx::default() };
        match &word.to_ascii_uppercase()[..] {
            b"PORT" => self.agree(&mut tx, address::port(argument), context),
            b"EPRT" => self.agree(&mut tx, address::extended_port(argument), context),
            b"PASV" | b"EPSV" => tx.asks_passive = true,
            b"RETR" => self.announce("RETR", argument),
            b"STOR" => self.announce("STOR", argument),
            b"AUTH" => tx.asks_tls = argument.eq_ignore_ascii_case(b"TLS") || argument.eq_ignore_ascii_case(b"SSL"),
            _ => {}
        }
        if cut {
            tx.events.push("ftp.request_command_too_long");
        }
        let count_max = context.limits.transaction_count_max(AppProto::Ftp);
        // The greeting is no command, and may still be there.
        let waiting = self.transactions.iter().filter(|slot| slot.data.command.is_some()).count();
        if waiting >= count_max {
            tx.events.push("ftp.too_many_transactions");
        }
        self.transactions.open(tx, count_max.saturating_add(1)).touch(Toward::Server);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// PORT or EPRT: the server will open a connection to the client, or to somebody else.
    fn agree(&mut self, tx: &mut FtpTx, place: Option<address::Place>, context: &ParseContext<'_>) {
        let Some(place) = place else { return };
        tx.bounces = place.address.is_some_and(|address| address != context.client);
        tx.mode = Some(Mode::Active);
        tx.dynamic_port = Some(place.port);
        self.agreed = Some((Mode::Active, place.port));
    }

    fn announce(&mut self, command: &'static str, file_name: &[u8]) {
        let Some((mode, port)) = self.agreed.take() else { return };
        let opener = match mode {
            Mode::Active => Opener::Server,
            Mode::Passive => Opener::Client,
        };
        if self.announced.len() < ANNOUNCED_COUNT_MAX {
            let transfer = Transfer { command, file_name: file_name.to_vec() };
            self.announced.push(Announcement { opener, port, transfer });
        }
    }

    /// What the next reply belongs to: the oldest command without a whole one. The greeting answers none, and neither does
    /// what answers a command that has given way.
    fn replied(&mut self, context: &ParseContext<'_>) -> &mut Slot<FtpTx> {
        let waiting = self.transactions.iter().filter(|slot| slot.data.is_waiting()).count();
        let is_orphan = self.unanswered > waiting;
        // What comes unasked, as a greeting does, waits for the rest of itself.
        self.unanswered = self.unanswered.max(1);
        self.transactions.find_or_open(
            |slot| !slot.data.answered && slot.data.is_orphan == is_orphan,
            || FtpTx { is_orphan, asks_passive: is_orphan, ..FtpTx::default() },
            context.limits.transaction_count_max(AppProto::Ftp).saturating_add(1),
        )
    }

    /// Whether TLS begins.
    fn reply(&mut self, line: &[u8], cut: bool, context: &ParseContext<'_>) -> bool {
        let slot = self.replied(context);
        let tx = &mut slot.data;
        let code = line.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit));
        let is_last = code.is_some() && line.get(3) != Some(&b'-');
        tx.keep_reply(code, line);
        if cut && !tx.events.contains(&"ftp.response_command_too_long") {
            tx.events.push("ftp.response_command_too_long");
        }
        let mut agreed = None;
        if let (true, Some(code)) = (tx.asks_passive, code) {
            agreed = match code {
                b"227" => address::passive(line),
                b"229" => address::extended_passive(line),
                _ => None,
            };
            if let Some(place) = &agreed {
                (tx.mode, tx.dynamic_port) = (Some(Mode::Passive), Some(place.port));
            }
        }
        // 1xx announces another reply to the same command.
        tx.answered = is_last && code.is_none_or(|code| !code.starts_with(b"1"));
        let encrypts = tx.answered && tx.asks_tls && code == Some(b"234");
        let answered = usize::from(tx.answered);
        slot.touch(Toward::Client);
        self.unanswered = self.unanswered.saturating_sub(answered);
        if let Some(place) = agreed {
            self.agreed = Some((Mode::Passive, place.port));
        }
        encrypts
    }
}

#[derive(Debug, Default)]
struct FtpTx {
    command: Option<Vec<u8>>,
    argument: Vec<u8>,
    codes: Vec<Vec<u8>>,
    replies: Vec<Vec<u8>>,
    mode: Option<Mode>,
    dynamic_port: Option<u16>,
    asks_passive: bool,
    asks_tls: bool,
    /// PORT names somebody else.
    bounces: bool,
    answered: bool,
    /// The reply to a command that has given way; of what it was, only the reply tells.
    is_orphan: bool,
    told: bool,
    events: Vec<&'static str>,
}

impl FtpTx {
    fn is_waiting(&self) -> bool {
        !self.answered && !self.is_orphan
    }

    fn keep_reply(&mut self, code: Option<&[u8]>, line: &[u8]) {
        if self.replies.len() >= REPLY_LINE_COUNT_MAX {
            return;
        }
        let text = match code {
            Some(code) => {
                if !self.codes.iter().any(|known| known == code) {
                    self.codes.push(code.to_vec());
                }
                line.get(4..).unwrap_or_default()
            }
            None => line,
        };
        self.replies.push(text.to_vec());
    }

    fn heap_bytes(&self) -> usize {
        let lines: usize = self.codes.iter().chain(&self.replies).map(Vec::capacity).sum();
        size_of::<FtpTx>() + self.argument.capacity() + lines
    }

    fn ftp_record(&self) -> FtpRecord {
        FtpRecord {
            command: self.command.clone(),
            command_data: (!self.argument.is_empty()).then(|| self.argument.clone()),
            completion_codes: self.codes.clone(),
            replies: self.replies.clone(),
            dynamic_port: self.dynamic_port,
            mode: self.mode,
            reply_received: self.answered,
        }
    }
}

impl Transaction for FtpTx {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::FTP_COMMAND if nth == 0 => self.command.as_deref(),
            Buffer::FTP_COMMAND_DATA if nth == 0 => Some(&self.argument[..]).filter(|data| !data.is_empty()),
            Buffer::FTP_REPLY => self.replies.get(nth).map(Vec::as_slice),
            Buffer::FTP_COMPLETION_CODE => self.codes.get(nth).map(Vec::as_slice),
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            AppTest::FtpBounce => self.bounces && toward == Toward::Server,
            AppTest::FtpMode { passive } => self.mode == Some(if *passive { Mode::Passive } else { Mode::Active }),
            AppTest::FtpReplied { received } => self.answered == *received,
            AppTest::Number { field: Field::FtpDynamicPort, test } => {
                self.dynamic_port.is_some_and(|port| test.accepts(port.into()))
            }
            _ => false,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.answered
    }

    fn record(&self) -> Option<AppRecord> {
        Some(AppRecord::Ftp(Box::new(self.ftp_record())))
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if !(self.answered || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[cfg(test)]
mod tests;
