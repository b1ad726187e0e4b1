//! SSH until it is encrypted (RFC 4253): banners, and the algorithms that both sides offer.
//!
//! ```text
//!  lines until one begins with SSH- --> binary packets: KEXINIT gives HASSH --> NEWKEYS: the rest is opaque
//! ```

pub mod record;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use md5::{Digest, Md5};

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{SshRecord, SshSide};

pub static SSH: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Ssh,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Ssh::default()),
};

const MAGIC: &[u8] = b"SSH-";
/// A banner with its line end (RFC 4253, 4.2); Suricata allows no more, either.
const BANNER_BYTES_MAX: usize = 256;
/// A packet in front of encryption (RFC 4253, 6.1), with its length.
const PACKET_BYTES_MAX: usize = 35_000;
const MESSAGE_KEXINIT: u8 = 20;
const MESSAGE_NEWKEYS: u8 = 21;
const COOKIE_BYTES: usize = 16;
const NAME_LIST_COUNT: usize = 10;

fn recognise(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Guess {
    let shorter = bytes.len().min(MAGIC.len());
    match bytes.get(..shorter) == MAGIC.get(..shorter) {
        true if shorter == MAGIC.len() => Guess::Yes,
        true => Guess::More,
        false => Guess::No,
    }
}

#[derive(Debug, Default)]
struct Ssh {
    transactions: Transactions<SshTransaction>,
    to_server: Phase,
    to_client: Phase,
}

/// How far one side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Banner,
    /// Packets, of which so many bytes are still passed over.
    Packets {
        skip: usize,
    },
    Encrypted,
}

/// One connection is one transaction.
#[derive(Debug, Default)]
struct SshTransaction {
    sides: SshRecord,
    events: Vec<&'static str>,
    closed: [bool; 2],
    told: bool,
}

impl SshTransaction {
    fn side(&self, toward: Toward) -> &SshSide {
        match toward {
            Toward::Server => &self.sides.client,
            Toward::Client => &self.sides.server,
        }
    }

    fn side_mut(&mut self, toward: Toward) -> &mut SshSide {
        match toward {
            Toward::Server => &mut self.sides.client,
            Toward::Client => &mut self.sides.server,
        }
    }

    fn note(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }
}

impl Parser for Ssh {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if self.transactions.opened() == 0 {
            self.transactions.open(SshTransaction::default(), context.limits.transaction_count_max(AppProto::Ssh));
        }
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let step = match self.phase(toward) {
                Phase::Banner => self.banner(toward, rest),
                Phase::Packets { skip } => self.packet(toward, rest, skip),
                Phase::Encrypted => return self.encrypted(bytes),
            };
            match step {
                Read::Took(taken) => consumed += taken,
                Read::Wants(wanted) => return Step::Taken { consumed, wanted },
                Read::Broken => return Step::Failed,
            }
        }
    }

    fn close(&mut self, toward: Toward, _: &ParseContext<'_>) {
        if let Some(slot) = self.transactions.last_mut() {
            let [to_server, to_client] = &mut slot.data.closed;
            match toward {
                Toward::Server => *to_server = true,
                Toward::Client => *to_client = true,
            }
        }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        let of_side = |side: &SshSide| side.proto.len() + side.software.len() + side.hassh_string.len() + 32;
        let sides =
            self.transactions.iter().map(|slot| of_side(&slot.data.sides.client) + of_side(&slot.data.sides.server));
        size_of::<Ssh>() + sides.sum::<usize>()
    }
}

/// What came of looking at the next bytes.
enum Read {
    Took(usize),
    /// Nothing yet: so many bytes are wanted, or, with 0, any more.
    Wants(usize),
    Broken,
}

impl Ssh {
    fn phase(&mut self, toward: Toward) -> Phase {
        match toward {
            Toward::Server => self.to_server,
            Toward::Client => self.to_client,
        }
    }

    fn enter(&mut self, toward: Toward, phase: Phase) {
        match toward {
            Toward::Server => self.to_server = phase,
            Toward::Client => self.to_client = phase,
        }
    }

    /// Once both sides are encrypted, nothing is left to read.
    fn encrypted(&self, bytes: &[u8]) -> Step {
        match (self.to_server, self.to_client) {
            (Phase::Encrypted, Phase::Encrypted) => Step::Opaque,
            _ => Step::all(bytes),
        }
    }

    /// Lines in front of the banner are the server's to say (RFC 4253, 4.2).
    fn banner(&mut self, toward: Toward, bytes: &[u8]) -> Read {
        let searched = bytes.get(..BANNER_BYTES_MAX).unwrap_or(bytes);
        let Some(end) = memchr::memchr(b'\n', searched) else {
            if searched.len() < BANNER_BYTES_MAX {
                return Read::Wants(0);
            }
            self.note("ssh.long_banner", toward);
            return Read::Broken;
        };
        let line = searched.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(said) = line.strip_prefix(MAGIC) {
            self.take_banner(toward, said);
            self.enter(toward, Phase::Packets { skip: 0 });
        } else if toward == Toward::Server {
            self.note("ssh.invalid_banner", toward);
            return Read::Broken;
        }
        Read::Took(end + 1)
    }

    fn take_banner(&mut self, toward: Toward, said: &[u8]) {
        let Some(slot) = self.transactions.last_mut() else { return };
        let dash = memchr::memchr(b'-', said);
        let side = slot.data.side_mut(toward);
        side.proto = said.get(..dash.unwrap_or(said.len())).unwrap_or_default().into();
        let rest = dash.and_then(|dash| said.get(dash + 1..)).unwrap_or_default();
        let software = memchr::memchr(b' ', rest).and_then(|end| rest.get(..end)).unwrap_or(rest);
        side.software = software.into();
        if dash.is_none() {
            slot.data.note("ssh.invalid_banner");
        }
        slot.touch(toward);
    }

    fn packet(&mut self, toward: Toward, bytes: &[u8], skip: usize) -> Read {
        if bytes.is_empty() {
            return Read::Wants(0);
        }
        if skip > 0 {
            let taken = skip.min(bytes.len());
            self.enter(toward, Phase::Packets { skip: skip - taken });
            return Read::Took(taken);
        }
        let Some((length, body)) = bytes.split_first_chunk::<4>() else { return Read::Wants(4) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if !(2..=PACKET_BYTES_MAX).contains(&length) {
            self.note("ssh.invalid_record", toward);
            return Read::Broken;
        }
        let [padding, message, ..] = *body else { return Read::Wants(6) };
        match message {
            MESSAGE_NEWKEYS => {
                self.enter(toward, Phase::Encrypted);
                Read::Took(4)
            }
            MESSAGE_KEXINIT => {
                let Some(body) = body.get(..length) else { return Read::Wants(length + 4) };
                let payload = length.checked_sub(usize::from(padding)).and_then(|end| body.get(2..end));
                self.take_algorithms(toward, payload.unwrap_or_default());
                Read::Took(length + 4)
            }
            _ => {
                self.enter(toward, Phase::Packets { skip: length });
                Read::Took(4)
            }
        }
    }

    /// HASSH: key exchange, encryption, MAC and compression of this side's own direction.
    fn take_algorithms(&mut self, toward: Toward, payload: &[u8]) {
        let Some(lists) = name_lists(payload) else { return self.note("ssh.invalid_record", toward) };
        let [kex, _, encryption_cs, encryption_sc, mac_cs, mac_sc, compression_cs, compression_sc, ..] = lists;
        let parts = match toward {
            Toward::Server => [kex, encryption_cs, mac_cs, compression_cs],
            Toward::Client => [kex, encryption_sc, mac_sc, compression_sc],
        };
        let text = parts.join(&b';');
        let mut hex = String::with_capacity(32);
        for byte in Md5::digest(&text) {
            let _ = write!(hex, "{byte:02x}");
        }
        let Some(slot) = self.transactions.last_mut() else { return };
        let side = slot.data.side_mut(toward);
        side.hassh_string = text.into();
        side.hassh = hex;
        slot.touch(toward);
    }

    fn note(&mut self, event: &'static str, toward: Toward) {
        if let Some(slot) = self.transactions.last_mut() {
            slot.data.note(event);
            slot.touch(toward);
        }
    }
}

/// The name-lists of a KEXINIT (RFC 4253, 7.1).
fn name_lists(payload: &[u8]) -> Option<[&[u8]; NAME_LIST_COUNT]> {
    let mut lists = [&[][..]; NAME_LIST_COUNT];
    let mut reader = Reader::big_endian(payload.get(COOKIE_BYTES..)?);
    for list in &mut lists {
        let length = usize::try_from(reader.u32()?).ok()?;
        *list = reader.take(length)?;
    }
    Some(lists)
}

impl Transaction for SshTransaction {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        let side = self.side(toward);
        let bytes: &[u8] = match buffer {
            _ if nth > 0 => return None,
            Buffer::SSH_PROTO => &side.proto,
            Buffer::SSH_SOFTWARE => &side.software,
            Buffer::SSH_HASSH | Buffer::SSH_HASSH_SERVER => side.hassh.as_bytes(),
            Buffer::SSH_HASSH_STRING | Buffer::SSH_HASSH_SERVER_STRING => &side.hassh_string,
            _ => return None,
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, toward: Toward) -> bool {
        let [to_server, to_client] = self.closed;
        match toward {
            Toward::Server => to_server,
            Toward::Client => to_client,
        }
    }

    fn record(&self) -> Option<AppRecord> {
        Some(AppRecord::Ssh(Box::new(self.sides.clone())))
    }

    /// Told when both banners and both offers are there, or never will be.
    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        let whole = |side: &SshSide| !side.software.is_empty() && !side.hassh.is_empty();
        let due = ended || whole(&self.sides.client) && whole(&self.sides.server);
        if !due || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}
