//! RFB, which VNC speaks (RFC 6143): the handshake, one transaction a connection.
//!
//! ```text
//!  server: version          types (3.7 on) or type (3.3)      challenge          result     init
//!  client:          version                          choice            response       init        messages: not read
//! ```

pub mod record;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::hex;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{Framebuffer, PixelFormat, RfbRecord, RfbVersion, Vnc};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Rfb,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Rfb::default()),
};

/// Bytes of a desktop's name, or of the reason of a failure.
const TEXT_BYTES_MAX: usize = 4096;
const SECRET_BYTES: usize = 16;
const VERSION_BYTES: usize = 12;

const MALFORMED: &str = "rfb.malformed_message";
const CONFUSED: &str = "rfb.confused_state";

fn recognise(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Guess {
    const BEGINNING: &[u8] = b"RFB 00";
    let seen = bytes.len().min(BEGINNING.len());
    match bytes.get(..seen) == BEGINNING.get(..seen) {
        true if seen == BEGINNING.len() => Guess::Yes,
        true => Guess::More,
        false => Guess::No,
    }
}

/// What a side says next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Version,
    /// What the other side has not said yet decides it.
    Unknown,
    SecurityTypes,
    SecurityType,
    Choice,
    Challenge,
    Response,
    Result,
    Reason,
    ClientInit,
    ServerInit,
    /// Messages, which are not read.
    Messages,
}

#[derive(Debug, Default)]
struct Handshake {
    record: RfbRecord,
    security_result: Option<u32>,
    name: Option<Vec<u8>>,
    events: Vec<&'static str>,
    done: bool,
    told: bool,
}

impl Transaction for Handshake {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::RFB_NAME if nth == 0 => self.name.as_deref(),
            _ => None,
        }
    }

    /// The type is asked of the client, who mostly chooses it, and the result of the server: each matches once.
    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        let AppTest::Number { field, test } = test else { return false };
        let number = match (field, toward) {
            (Field::RfbSecurityType, Toward::Server) => self.record.authentication.security_type,
            (Field::RfbSecurityResult, Toward::Client) => self.security_result,
            _ => None,
        };
        number.is_some_and(|number| test.accepts(number.into()))
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

#[derive(Debug)]
struct Rfb {
    transactions: Transactions<Handshake>,
    server: Next,
    client: Next,
    /// 3, 7 or 8, as the client has chosen.
    minor: u8,
}

impl Default for Rfb {
    fn default() -> Self {
        Rfb { transactions: Transactions::default(), server: Next::Version, client: Next::Version, minor: 0 }
    }
}

/// How a message was read.
enum Read {
    /// It has so many bytes.
    Whole(usize),
    Waiting,
    Wrong(&'static str),
}

impl Rfb {
    /// Reads one message of the side whose turn `next` is.
    fn read(&mut self, next: Next, bytes: &[u8], context: &ParseContext<'_>) -> Read {
        let mut reader = Reader::big_endian(bytes);
        let read = match next {
            Next::Version => self.version(&mut reader, context),
            Next::SecurityTypes => self.security_types(&mut reader),
            Next::SecurityType => reader.u32().map(|kind| self.security_type(kind)),
            Next::Choice => reader.u8().map(|kind| self.security_type(kind.into())),
            Next::Challenge | Next::Response => self.secret(next, &mut reader),
            Next::Result => reader.u32().map(|result| self.result(result)),
            Next::Reason => self.reason(&mut reader),
            Next::ClientInit => reader.u8().map(|shared| {
                self.handshake(|handshake| handshake.record.screen_shared = Some(shared != 0));
                self.client = Next::Messages;
                if self.server == Next::Unknown {
                    self.server = Next::ServerInit;
                }
                Ok(())
            }),
            Next::ServerInit => self.server_init(&mut reader),
            Next::Unknown | Next::Messages => None,
        };
        match read {
            Some(Ok(())) => Read::Whole(bytes.len() - reader.remaining()),
            Some(Err(event)) => Read::Wrong(event),
            None => Read::Waiting,
        }
    }

    fn handshake(&mut self, change: impl FnOnce(&mut Handshake)) {
        if let Some(slot) = self.transactions.last_mut() {
            change(&mut slot.data);
        }
    }

    fn version(&mut self, reader: &mut Reader<'_>, context: &ParseContext<'_>) -> Option<Result<(), &'static str>> {
        let line: [u8; VERSION_BYTES] = reader.array()?;
        let ([b'R', b'F', b'B', b' ', major @ .., b'\n'], true) = (&line, line.is_ascii()) else {
            return Some(Err(MALFORMED));
        };
        let Some((major, minor)) = std::str::from_utf8(major).ok().and_then(|digits| digits.split_once('.')) else {
            return Some(Err(MALFORMED));
        };
        let version = RfbVersion { major: major.to_owned(), minor: minor.to_owned() };
        if self.server == Next::Version {
            self.transactions.open(Handshake::default(), context.limits.transaction_count_max(AppProto::Rfb));
            self.handshake(|handshake| handshake.record.server_protocol_version = Some(version));
            self.server = Next::Unknown;
            return Some(Ok(()));
        }
        self.minor = match version.minor.as_str() {
            "007" => 7,
            "008" => 8,
            _ => 3,
        };
        self.client = Next::Unknown;
        self.server = if self.minor == 3 { Next::SecurityType } else { Next::SecurityTypes };
        self.handshake(|handshake| handshake.record.client_protocol_version = Some(version));
        Some(Ok(()))
    }

    fn security_types(&mut self, reader: &mut Reader<'_>) -> Option<Result<(), &'static str>> {
        let count = reader.u8()?;
        reader.skip(usize::from(count))?;
        (self.server, self.client) = match count {
            0 => (Next::Reason, Next::Unknown),
            _ => (Next::Unknown, Next::Choice),
        };
        Some(Ok(()))
    }

    fn security_type(&mut self, kind: u32) -> Result<(), &'static str> {
        self.handshake(|handshake| handshake.record.authentication.security_type = Some(kind));
        (self.server, self.client) = match kind {
            0 => (Next::Reason, Next::Unknown),
            // Since 3.8 there is a result also where there was nothing to prove.
            1 if self.minor == 8 => (Next::Result, Next::ClientInit),
            1 => (Next::Unknown, Next::ClientInit),
            2 => (Next::Challenge, Next::Unknown),
            _ => return Err("rfb.unimplemented_security_type"),
        };
        Ok(())
    }

    fn secret(&mut self, next: Next, reader: &mut Reader<'_>) -> Option<Result<(), &'static str>> {
        let secret = hex(reader.take(SECRET_BYTES)?);
        let is_challenge = next == Next::Challenge;
        (self.server, self.client) =
            if is_challenge { (Next::Unknown, Next::Response) } else { (Next::Result, Next::Unknown) };
        self.handshake(|handshake| {
            let vnc = handshake.record.authentication.vnc.get_or_insert_with(Vnc::default);
            *(if is_challenge { &mut vnc.challenge } else { &mut vnc.response }) = Some(secret);
        });
        Some(Ok(()))
    }

    fn result(&mut self, result: u32) -> Result<(), &'static str> {
        let (word, known) = match result {
            0 => ("OK".to_owned(), true),
            1 => ("FAIL".to_owned(), true),
            2 => ("TOOMANY".to_owned(), true),
            other => (format!("UNKNOWN ({other})"), false),
        };
        let has_reason = self.minor == 8;
        self.handshake(|handshake| {
            handshake.security_result = Some(result);
            handshake.record.authentication.security_result = Some(word);
            handshake.done = result != 0 && !has_reason;
        });
        (self.server, self.client) = match result {
            0 => (Next::Unknown, if self.client == Next::Messages { Next::Messages } else { Next::ClientInit }),
            _ if has_reason => (Next::Reason, Next::Unknown),
            _ => (Next::Messages, Next::Messages),
        };
        if self.client == Next::Messages && result == 0 {
            self.server = Next::ServerInit;
        }
        if known { Ok(()) } else { Err("rfb.unknown_security_result") }
    }

    fn reason(&mut self, reader: &mut Reader<'_>) -> Option<Result<(), &'static str>> {
        let length = reader.length32()?;
        if length > TEXT_BYTES_MAX {
            return Some(Err(MALFORMED));
        }
        let reason = String::from_utf8_lossy(reader.take(length)?).into_owned();
        self.handshake(|handshake| {
            handshake.record.server_security_failure_reason = Some(reason);
            handshake.done = true;
        });
        (self.server, self.client) = (Next::Messages, Next::Messages);
        Some(Ok(()))
    }

    fn server_init(&mut self, reader: &mut Reader<'_>) -> Option<Result<(), &'static str>> {
        let (width, height) = (reader.u16()?, reader.u16()?);
        let mut flag = || reader.u8();
        let (bits_per_pixel, depth, big_endian, true_color) = (flag()?, flag()?, flag()? != 0, flag()? != 0);
        let (red_max, green_max, blue_max) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (red_shift, green_shift, blue_shift) = (reader.u8()?, reader.u8()?, reader.u8()?);
        reader.skip(3)?;
        let length = reader.length32()?;
        if length > TEXT_BYTES_MAX {
            return Some(Err(MALFORMED));
        }
        let name = reader.take(length)?;
        let pixel_format = PixelFormat {
            bits_per_pixel,
            depth,
            big_endian,
            true_color,
            red_max,
            green_max,
            blue_max,
            red_shift,
            green_shift,
            blue_shift,
        };
        let framebuffer =
            Framebuffer { width, height, name: String::from_utf8_lossy(name).into_owned(), pixel_format };
        self.handshake(|handshake| {
            handshake.name = Some(name.to_vec());
            handshake.record.framebuffer = Some(framebuffer);
            handshake.done = true;
        });
        self.server = Next::Messages;
        Some(Ok(()))
    }

    fn note(&mut self, toward: Toward, event: &'static str) {
        if let Some(slot) = self.transactions.last_mut() {
            slot.data.events.push(event);
            slot.data.done = true;
            slot.touch(toward);
        }
    }
}

impl Parser for Rfb {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            let next = if toward == Toward::Client { self.server } else { self.client };
            match next {
                Next::Messages => return Step::all(bytes),
                // A client that speaks before the server is not one.
                Next::Version if toward == Toward::Server && self.transactions.opened() == 0 => return Step::Failed,
                _ => {}
            }
            match self.read(next, rest, context) {
                Read::Whole(length) => {
                    consumed += length;
                    if let Some(slot) = self.transactions.last_mut() {
                        slot.touch(toward);
                    }
                }
                Read::Waiting if rest.len() <= TEXT_BYTES_MAX * 2 => return Step::Taken { consumed, wanted: 0 },
                Read::Waiting => {
                    self.note(toward, CONFUSED);
                    return Step::Failed;
                }
                Read::Wrong(event) => {
                    self.note(toward, event);
                    return Step::Failed;
                }
            }
        }
        Step::Taken { consumed, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        // Texts are capped, and there is one transaction.
        self.transactions.iter().map(|slot| size_of_val(slot) + 2 * slot.data.name.as_ref().map_or(0, Vec::len)).sum()
    }
}
