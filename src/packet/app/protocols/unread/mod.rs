//! Protocols that are recognised, and no more: rules can ask for them, flows are named by them, and contents are looked for
//! in their streams as in any other.

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Message, Messages};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, TxList};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

pub static IMAP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Imap,
    transports: &[Transport::Tcp],
    recognise: |toward, bytes, _| recognise_imap(toward, bytes),
    parser: || Box::new(Unread::default()),
};

pub static TELNET: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Telnet,
    transports: &[Transport::Tcp],
    recognise: |_, bytes, context| recognise_telnet(bytes, context),
    parser: || Box::new(Unread::default()),
};

/// How an IMAP server speaks without being asked, whatever the case.
const UNTAGGED: [&[u8]; 10] = [
    b"* OK ",
    b"* NO ",
    b"* BAD ",
    b"* PREAUTH ",
    b"* BYE ",
    b"* LIST ",
    b"* ESEARCH ",
    b"* STATUS ",
    b"* FLAGS ",
    b"* CAPABILITY ",
];

/// What clients begin with, behind a tag of their own.
const COMMANDS: [&[u8]; 7] =
    [b"CAPABILITY\r", b"LOGIN ", b"AUTHENTICATE ", b"STARTTLS\r", b"NOOP\r", b"ID ", b"LOGOUT\r"];

/// A client's tag is no longer than this, or it is none.
const TAG_BYTES_MAX: usize = 16;

fn recognise_imap(toward: Toward, bytes: &[u8]) -> Guess {
    if toward == Toward::Client {
        return any_begins(&UNTAGGED, bytes);
    }
    let window = bytes.get(..=TAG_BYTES_MAX).unwrap_or(bytes);
    let tag_bytes = window.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'.').count();
    match bytes.get(tag_bytes) {
        None if tag_bytes <= TAG_BYTES_MAX => Guess::More,
        Some(b' ') if tag_bytes > 0 => any_begins(&COMMANDS, bytes.get(tag_bytes + 1..).unwrap_or_default()),
        _ => Guess::No,
    }
}

fn any_begins(words: &[&[u8]], bytes: &[u8]) -> Guess {
    let fits = |word: &&&[u8]| {
        let shared = word.len().min(bytes.len());
        word.get(..shared).zip(bytes.get(..shared)).is_some_and(|(word, seen)| word.eq_ignore_ascii_case(seen))
    };
    match words.iter().find(fits) {
        Some(word) if bytes.len() >= word.len() => Guess::Yes,
        Some(_) => Guess::More,
        None => Guess::No,
    }
}

const TELNET_PORTS: [u16; 1] = [23];
/// What begins an option's negotiation, and the verbs behind it (RFC 854).
const INTERPRET_AS_COMMAND: u8 = 0xff;
const VERBS: std::ops::RangeInclusive<u8> = 0xfb..=0xfe;

/// On its port anything is telnet; elsewhere two options that are negotiated at the beginning.
fn recognise_telnet(bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    if on_port(context, AppProto::Telnet, &TELNET_PORTS) {
        return if bytes.len() > 1 { Guess::Yes } else { Guess::More };
    }
    let is_option = |bytes: &[u8]| {
        matches!(bytes, [INTERPRET_AS_COMMAND, verb, option] if VERBS.contains(verb) && *option < 0x40)
    };
    match bytes.first_chunk::<6>() {
        Some(head) if head.chunks_exact(3).all(is_option) => Guess::Yes,
        Some(_) => Guess::No,
        None if bytes.first() == Some(&INTERPRET_AS_COMMAND) => Guess::More,
        None => Guess::No,
    }
}

/// Nothing of it is looked into.
#[derive(Debug, Default)]
struct Unread {
    none: Messages<Nothing>,
}

#[derive(Debug)]
enum Nothing {}

impl Message for Nothing {
    fn record(&self) -> Option<AppRecord> {
        match *self {}
    }

    fn heap_bytes(&self) -> usize {
        match *self {}
    }
}

impl Parser for Unread {
    fn parse(&mut self, _toward: Toward, bytes: &[u8], _context: &ParseContext<'_>) -> Step {
        Step::all(bytes)
    }

    fn gap(&mut self, _toward: Toward, _missing: u64, _context: &ParseContext<'_>) -> Step {
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.none
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::app::testing::Conversation;

    #[test]
    fn imap_is_known_from_either_side() {
        for (toward, bytes, is_imap) in [
            (Toward::Client, &b"* OK [CAPABILITY IMAP4rev1] ready\r\n"[..], true),
            (Toward::Client, b"* ok x\r\n", true),
            (Toward::Client, b"* what\r\n", false),
            (Toward::Server, b"1 capability\r\n", true),
            (Toward::Server, b"a001 LOGIN me secret\r\n", true),
            (Toward::Server, b"a001 SELECT\r\n", false),
            (Toward::Server, b"GET / HTTP/1.0\r\n", false),
            (Toward::Server, b" LOGIN me\r\n", false),
        ] {
            let mut talk = Conversation::with(143);
            talk.stream(toward, bytes);
            assert_eq!(talk.app.protocol() == Some(AppProto::Imap), is_imap, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_byte_at_a_time_imap_is_known_too() {
        let mut talk = Conversation::with(1430);
        for byte in b"* OK x" {
            talk.stream(Toward::Client, &[*byte]);
        }
        assert_eq!(talk.app.protocol(), Some(AppProto::Imap));
    }

    #[test]
    fn telnet_is_known_by_port_or_by_its_options() {
        for (port, bytes, is_telnet) in [
            (23, &b"login: "[..], true),
            (24, b"login: ", false),
            (24, b"\xff\xfd\x18\xff\xfd\x20", true),
            (24, b"\xff\xfd\x18\xff\xf0\x20", false),
        ] {
            let mut talk = Conversation::with(port);
            talk.stream(Toward::Client, bytes);
            assert_eq!(talk.app.protocol() == Some(AppProto::Telnet), is_telnet, "{port} {}", bytes.escape_ascii());
        }
    }
}
