//! SMTP: commands and replies, mails by DATA and BDAT, and the change to TLS.
//!
//! A transaction is a mail with its envelope, or what was said when none came of it. Only the client's side has buffers;
//! replies decide what its bytes mean: whether DATA was taken, whether TLS begins.

pub mod record;
mod tx;

use std::collections::VecDeque;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::greeting;
use crate::packet::app::mime::{Mime, MimePlan, Piece};
use crate::packet::app::{ParseContext, Parser, Slot, Step, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use tx::SmtpTx;

pub static INFO: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Smtp,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Smtp::default()),
};

/// A longer line of a command or reply is told (RFC 5321 allows 512 with its end).
const COMMAND_BYTES_MAX: usize = 510;
/// Bytes of a line that are waited for; what is longer comes in pieces.
const LINE_BYTES_MAX: usize = 4096;
/// Commands that wait for their replies.
const PIPELINE_MAX: usize = 256;
const RECIPIENT_COUNT_MAX: usize = 128;

/// Suricata's patterns: how a client begins; behind a greeting any word of SMTP will do.
fn recognise(toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let spoken = || greeting::SMTP.recognise(&greeting::FTP, toward, bytes, context);
    if toward == Toward::Client {
        return spoken();
    }
    let fits = |word: &[u8]| {
        let shared = word.len().min(bytes.len());
        bytes.get(..shared).is_some_and(|begin| word.get(..shared).is_some_and(|word| word.eq_ignore_ascii_case(begin)))
    };
    match [b"EHLO", b"HELO", b"QUIT"].into_iter().any(|word| fits(word)) {
        true if bytes.len() >= 4 => Guess::Yes,
        true => Guess::More,
        false => spoken(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Data,
    StartTls,
    Bdat,
    Reset,
    /// The mail itself: its end is answered, too.
    Mail,
    Other,
}

/// What the client's next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Command,
    /// Lines up to a lone dot.
    Data,
    /// So many bytes, whatever they are.
    Chunk { left: u64, last: bool },
}

/// One side's lines.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes at the beginning of what comes next that hold no end of line: not looked at again.
    scanned: usize,
    /// The line has begun in an earlier piece.
    within: bool,
}

impl Lines {
    /// The next line or piece of one, with the bytes it takes; `None` while its end is not there.
    fn next<'b>(&mut self, bytes: &'b [u8]) -> Option<(Piece<'b>, usize)> {
        // Cut at the same place however the bytes came.
        let head = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
        let unseen = head.get(self.scanned..).unwrap_or_default();
        let found = memchr::memchr(b'\n', unseen).map(|at| at + self.scanned);
        let begins = !self.within;
        let Some(at) = found else {
            if head.len() < LINE_BYTES_MAX {
                self.scanned = head.len();
                return None;
            }
            // A CR at the end may belong to the line's end.
            let text = head.strip_suffix(b"\r").unwrap_or(head);
            (self.scanned, self.within) = (0, true);
            return Some((Piece { text, end: &[], begins }, text.len()));
        };
        (self.scanned, self.within) = (0, false);
        let line = bytes.get(..at).unwrap_or_default();
        let length = line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len);
        let (text, end) = bytes.get(..at + 1).unwrap_or_default().split_at(length);
        Some((Piece { text, end, begins }, at + 1))
    }
}

#[derive(Debug, Default)]
struct Smtp {
    transactions: Transactions<SmtpTx>,
    helo: Option<Vec<u8>>,
    mode: Mode,
    pipeline: VecDeque<Command>,
    /// Replies may answer other commands than we think. No refusal is believed any more.
    unmatched: bool,
    /// Lines have come since DATA, which its reply may turn into commands.
    data_begun: bool,
    greeted: bool,
    client: Lines,
    server: Lines,
    /// The beginning of a line that its chunk has cut.
    chunk_held: Vec<u8>,
    chunk_lines: Lines,
    /// The bytes behind a chunk were not looked at yet.
    behind_chunk: bool,
}

impl Parser for Smtp {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        match toward {
            Toward::Server => self.client_bytes(bytes, context),
            Toward::Client => self.server_bytes(bytes),
        }
    }

    fn gap(&mut self, toward: Toward, missing: u64, _context: &ParseContext<'_>) -> Step {
        match (toward, self.mode) {
            (Toward::Server, Mode::Chunk { left, .. }) if left < missing => return Step::Failed,
            (Toward::Server, Mode::Chunk { left, last }) => self.mode = Mode::Chunk { left: left - missing, last },
            _ => {}
        }
        let lines = match toward {
            Toward::Server => &mut self.client,
            Toward::Client => &mut self.server,
        };
        // Whatever comes first is the rest of a line.
        *lines = Lines { scanned: 0, within: true };
        if let (Toward::Server, Some(mail)) = (toward, self.current().and_then(|slot| slot.data.mail.as_mut())) {
            mail.files_mut().filter(|file| file.is_open()).for_each(|file| file.skip(missing));
        }
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn close(&mut self, toward: Toward, _context: &ParseContext<'_>) {
        if toward == Toward::Server
            && let Some(slot) = self.current()
            && let Some(mail) = &mut slot.data.mail
        {
            mail.finish(true);
            slot.touch(Toward::Server);
        }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.chunk_held.capacity() + self.transactions.iter().map(|slot| slot.data.heap_bytes()).sum::<usize>()
    }
}

impl Smtp {
    fn client_bytes(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut rest = bytes;
        loop {
            let is_crowded = self.transactions.is_crowded(Toward::Server, context.limits.transaction_count_max(AppProto::Smtp));
            if is_crowded && self.mode == Mode::Command {
                break;
            }
            let taken = match self.mode {
                Mode::Chunk { left, last } => self.chunk(rest, left, last),
                Mode::Command | Mode::Data => {
                    let Some((piece, taken)) = self.client.next(rest) else { break };
                    match self.mode {
                        Mode::Data => self.data_line(piece),
                        _ => self.command_line(piece, context),
                    }
                    taken
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
        }
        Step::Taken { consumed: bytes.len() - rest.len(), wanted: 0 }
    }

    /// The transaction that is being talked about, if it is not over.
    fn current(&mut self) -> Option<&mut Slot<SmtpTx>> {
        self.transactions.last_mut().filter(|slot| !slot.data.done)
    }

    fn odd(&mut self, toward: Toward, event: &'static str) {
        if let Some(slot) = self.transactions.last_mut() {
            slot.data.odd(event);
            slot.touch(toward);
        }
    }

    fn expect(&mut self, command: Command) {
        match self.pipeline.len() < PIPELINE_MAX {
            true => self.pipeline.push_back(command),
            false => self.unmatched = true,
        }
    }

    fn command_line(&mut self, piece: Piece<'_>, context: &ParseContext<'_>) {
        if !piece.begins {
            return;
        }
        let line = piece.text;
        let (word, argument) = command_of(line);
        if self.current().is_none() && !matches!(word, Word::Quit | Word::Reset) {
            let helo = self.helo.clone();
            self.transactions.open(SmtpTx { helo, ..SmtpTx::default() }, context.limits.transaction_count_max(AppProto::Smtp));
        }
        self.check_command(line, word, piece.end.is_empty());
        match word {
            Word::Helo => self.say_helo(argument),
            Word::MailFrom => self.say_from(argument),
            Word::RcptTo => self.say_to(argument),
            Word::Data => self.begin_data(context),
            Word::Bdat => self.begin_chunk(argument, context),
            Word::StartTls => self.expect(Command::StartTls),
            Word::Reset => self.expect(Command::Reset),
            Word::Quit | Word::Other => self.expect(Command::Other),
        }
        if let Some(slot) = self.transactions.last_mut() {
            slot.touch(Toward::Server);
        }
    }

    fn check_command(&mut self, line: &[u8], word: Word, goes_on: bool) {
        if line.len() > COMMAND_BYTES_MAX {
            self.odd(Toward::Server, "smtp.max_command_line_len_exceeded");
        }
        if goes_on {
            self.odd(Toward::Server, "smtp.truncated_line");
        }
        if !self.greeted {
            self.odd(Toward::Server, "smtp.no_server_welcome_message");
        }
        if matches!(self.pipeline.back(), Some(Command::StartTls)) {
            self.odd(Toward::Server, "smtp.invalid_pipelined_sequence");
        }
        if std::mem::take(&mut self.behind_chunk) && word == Word::Other && !is_word(line) {
            self.odd(Toward::Server, "smtp.bdat_chunk_len_exceeded");
        }
    }

    fn say_helo(&mut self, argument: &[u8]) {
        self.expect(Command::Other);
        if self.helo.is_some() {
            return self.odd(Toward::Server, "smtp.duplicate_fields");
        }
        self.helo = Some(argument.to_vec());
        if let Some(slot) = self.current() {
            slot.data.helo = Some(argument.to_vec());
        }
    }

    fn say_from(&mut self, argument: &[u8]) {
        self.expect(Command::Other);
        match self.current() {
            Some(slot) if slot.data.mail_from.is_none() => slot.data.mail_from = Some(argument.to_vec()),
            _ => self.odd(Toward::Server, "smtp.duplicate_fields"),
        }
    }

    fn say_to(&mut self, argument: &[u8]) {
        self.expect(Command::Other);
        if let Some(slot) = self.current()
            && slot.data.rcpt_to.len() < RECIPIENT_COUNT_MAX
        {
            slot.data.rcpt_to.push(argument.to_vec());
        }
    }

    fn begin_data(&mut self, context: &ParseContext<'_>) {
        self.expect(Command::Data);
        self.begin_mail(context);
        // The reply is not waited for: a client may pipeline, and the other side may take another way. If it says no, this
        // is taken back.
        self.mode = Mode::Data;
        self.data_begun = false;
    }

    fn begin_mail(&mut self, context: &ParseContext<'_>) {
        let plan = MimePlan { inspect_max: context.limits.body_bytes_max, hashes: context.hashes };
        let Some(slot) = self.current() else { return };
        if slot.data.mail.is_none() {
            slot.data.mail = Some(Box::new(Mime::new(plan)));
        }
    }

    fn begin_chunk(&mut self, argument: &[u8], context: &ParseContext<'_>) {
        self.expect(Command::Bdat);
        let mut words = argument.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let size = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse::<u64>().ok());
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"LAST"));
        let Some(left) = size else { return self.odd(Toward::Server, "smtp.unparsable_content") };
        self.begin_mail(context);
        self.mode = Mode::Chunk { left, last };
        if left == 0 {
            self.chunk(&[], 0, last);
        }
    }

    /// One line of a mail, its dots as sent.
    fn data_line(&mut self, piece: Piece<'_>) {
        self.data_begun = true;
        let is_end = piece.begins && piece.text == b"." && !piece.end.is_empty();
        let text = match piece.begins {
            true => piece.text.strip_prefix(b".").unwrap_or(piece.text),
            false => piece.text,
        };
        if is_end {
            self.mode = Mode::Command;
            self.expect(Command::Mail);
            return self.end_mail();
        }
        self.feed(Piece { text, ..piece });
    }

    fn feed(&mut self, piece: Piece<'_>) {
        let Some(slot) = self.current() else { return };
        if let Some(mail) = &mut slot.data.mail {
            mail.piece(piece);
            let events = mail.take_events();
            events.into_iter().for_each(|event| slot.data.odd(event));
        }
        slot.touch(Toward::Server);
    }

    fn end_mail(&mut self) {
        let Some(slot) = self.current() else { return };
        if let Some(mail) = &mut slot.data.mail {
            mail.finish(false);
            let events = mail.take_events();
            events.into_iter().for_each(|event| slot.data.odd(event));
        }
        slot.data.done = true;
        slot.touch(Toward::Server);
    }

    /// What is there of a chunk; returns the bytes that it takes. Chunks may cut the mail's lines anywhere.
    fn chunk(&mut self, bytes: &[u8], left: u64, last: bool) -> usize {
        let take = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
        let is_end = left == 0 && last;
        let mut held = std::mem::take(&mut self.chunk_held);
        held.extend_from_slice(bytes.get(..take).unwrap_or_default());
        let mut rest = &held[..];
        while let Some((piece, taken)) = self.chunk_lines.next(rest) {
            self.feed(piece);
            rest = rest.get(taken..).unwrap_or_default();
        }
        if is_end && !rest.is_empty() {
            self.feed(Piece { text: rest, end: &[], begins: !self.chunk_lines.within });
        } else {
            self.chunk_held = rest.to_vec();
        }
        self.mode = Mode::Chunk { left, last };
        if left == 0 {
            self.mode = Mode::Command;
            self.behind_chunk = true;
        }
        if is_end {
            self.chunk_lines = Lines::default();
            self.end_mail();
        }
        take
    }

    fn server_bytes(&mut self, bytes: &[u8]) -> Step {
        let mut rest = bytes;
        while let Some((piece, taken)) = self.server.next(rest) {
            rest = rest.get(taken..).unwrap_or_default();
            if piece.begins && self.reply_line(piece) {
                return Step::Changed { consumed: bytes.len() - rest.len(), to: Some(AppProto::Tls) };
            }
        }
        Step::Taken { consumed: bytes.len() - rest.len(), wanted: 0 }
    }

    /// Whether TLS begins.
    fn reply_line(&mut self, piece: Piece<'_>) -> bool {
        let line = piece.text;
        if line.len() > COMMAND_BYTES_MAX {
            self.odd(Toward::Client, "smtp.max_reply_line_len_exceeded");
        }
        let code = line.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit));
        let Some(&[kind, ..]) = code else {
            self.odd(Toward::Client, "smtp.invalid_reply");
            return false;
        };
        if line.get(3) == Some(&b'-') {
            // More lines of this reply follow.
            return false;
        }
        let greets = matches!(code, Some(b"220" | b"554")) || self.pipeline.is_empty();
        if !std::mem::replace(&mut self.greeted, true) && greets {
            return false;
        }
        if code == Some(b"354") && self.pipeline.contains(&Command::Data) {
            // Nothing else is answered so.
            while self.pipeline.front().is_some_and(|command| *command != Command::Data) {
                self.pipeline.pop_front();
            }
        }
        let Some(command) = self.pipeline.pop_front() else {
            if code != Some(b"421") {
                self.odd(Toward::Client, "smtp.unable_to_match_reply_with_request");
            }
            return false;
        };
        match command {
            Command::StartTls if code == Some(b"220") => return true,
            Command::StartTls => self.odd(Toward::Client, "smtp.tls_rejected"),
            Command::Data if kind != b'3' => self.refuse_data(),
            Command::Bdat if matches!(kind, b'4' | b'5') => self.refuse_chunk(),
            Command::Reset if kind == b'2' => {
                if let Some(slot) = self.current() {
                    slot.data.done = true;
                    slot.touch(Toward::Client);
                }
            }
            _ => {}
        }
        false
    }

    /// The server does not want the mail: the client goes on with commands.
    fn refuse_data(&mut self) {
        self.odd(Toward::Client, "smtp.data_command_rejected");
        if self.mode == Mode::Data && self.may_refuse() {
            self.mode = Mode::Command;
            // The server takes for commands what we took for a mail, and answers each line.
            self.unmatched |= self.data_begun;
        }
    }

    /// The server does not know BDAT, or does not wait for the bytes: they are commands. Where that is in doubt, lines of a
    /// mail are looked for in them.
    fn refuse_chunk(&mut self) {
        if !matches!(self.mode, Mode::Chunk { .. }) || !self.pipeline.is_empty() && !self.unmatched {
            return;
        }
        self.mode = if self.may_refuse() { Mode::Command } else { Mode::Data };
        self.chunk_held = Vec::new();
        self.chunk_lines = Lines::default();
    }

    /// The reply is to the last command, as far as we know.
    fn may_refuse(&mut self) -> bool {
        // More has come behind it, as if it had been taken: what these replies answer is not sure any more.
        self.unmatched |= !self.pipeline.is_empty();
        !self.unmatched
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Helo,
    MailFrom,
    RcptTo,
    Data,
    Bdat,
    StartTls,
    Reset,
    Quit,
    Other,
}

/// The command of a line, and its first argument (BDAT: all of them).
fn command_of(line: &[u8]) -> (Word, &[u8]) {
    const WORDS: &[(&[u8], Word)] = &[
        (b"HELO ", Word::Helo),
        (b"EHLO ", Word::Helo),
        (b"MAIL FROM:", Word::MailFrom),
        (b"RCPT TO:", Word::RcptTo),
        (b"BDAT ", Word::Bdat),
        (b"STARTTLS", Word::StartTls),
        (b"DATA", Word::Data),
        (b"RSET", Word::Reset),
        (b"QUIT", Word::Quit),
    ];
    let line = line.trim_ascii_start();
    for (prefix, word) in WORDS {
        let Some((begin, rest)) = line.split_at_checked(prefix.len()) else { continue };
        if !begin.eq_ignore_ascii_case(prefix) {
            continue;
        }
        let rest = rest.trim_ascii();
        let end = rest.iter().position(|byte| byte.is_ascii_whitespace()).filter(|_| *word != Word::Bdat);
        return (*word, rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
    }
    (Word::Other, &[])
}

/// Whether a line begins as a command may.
fn is_word(line: &[u8]) -> bool {
    line.len() >= 4 && line.iter().take(4).all(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests;
