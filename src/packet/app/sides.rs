//! What each side of a connection begins like, asked of each alone. A parser is chosen by whichever side is understood first;
//! this is for rules that ask about one side, and for sides that do not fit together.

use super::ParseContext;
use super::protocols::{self, Transport};
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::plan::Toward;

/// First bytes of a side that are asked.
const HEAD_BYTES_MAX: usize = 2048;

/// Both sides, where some rule wants to know.
#[derive(Debug, Default)]
pub struct Sides {
    to_server: Side,
    to_client: Side,
}

#[derive(Debug)]
enum Side {
    /// So far it says nothing sure.
    Heard(Vec<u8>),
    Judged(Option<AppProto>),
}

impl Default for Side {
    fn default() -> Self {
        Side::Heard(Vec::new())
    }
}

/// What each side was recognised as, if it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    pub to_server: Option<AppProto>,
    pub to_client: Option<AppProto>,
}

impl Sides {
    /// More bytes of one side. True if with them both are known, and not as the same.
    pub fn hear(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>, enabled: AppProtoSet) -> bool {
        let side = match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        };
        let Side::Heard(head) = side else { return false };
        let room = HEAD_BYTES_MAX.saturating_sub(head.len());
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let is_full = head.len() >= HEAD_BYTES_MAX;
        let Some(judged) = protocols::judge_side(Transport::Tcp, toward, head, context, enabled, is_full) else {
            return false;
        };
        *side = Side::Judged(judged);
        let Spoken { to_server, to_client } = self.spoken();
        to_server.zip(to_client).is_some_and(|(one, other)| one != other)
    }

    #[must_use]
    pub fn spoken(&self) -> Spoken {
        let of = |side: &Side| match side {
            Side::Heard(_) => None,
            Side::Judged(protocol) => *protocol,
        };
        Spoken { to_server: of(&self.to_server), to_client: of(&self.to_client) }
    }

    /// Heap that it holds.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let of = |side: &Side| match side {
            Side::Heard(head) => head.capacity(),
            Side::Judged(_) => 0,
        };
        of(&self.to_server) + of(&self.to_client)
    }
}

impl Spoken {
    #[must_use]
    pub fn by(self, toward: Toward) -> Option<AppProto> {
        match toward {
            Toward::Server => self.to_server,
            Toward::Client => self.to_client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::app::testing::Conversation;

    #[test]
    fn sides_are_asked_each_for_itself() {
        let mut talk = Conversation::with(80);
        talk.wants_sides = true;
        talk.stream(Toward::Server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for byte in b"SSH-2.0-x\r\n" {
            talk.stream(Toward::Client, &[*byte]);
        }
        let spoken = talk.app.view().unwrap().spoken;
        assert_eq!((spoken.to_server, spoken.to_client), (Some(AppProto::Http1), Some(AppProto::Ssh)));
        assert!(talk.app.take_oddities().has(crate::packet::app::Oddity::Mismatch));
        assert!(talk.app.take_oddities().is_empty(), "told once");
    }

    #[test]
    fn nobody_asks_for_them_unless_some_rule_does() {
        let mut talk = Conversation::with(80);
        talk.stream(Toward::Server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(talk.app.view().unwrap().spoken, Spoken::default());
    }

    #[test]
    fn a_server_does_not_begin_with_an_answer() {
        let mut talk = Conversation::with(80);
        talk.stream(Toward::Client, b"HTTP/1.1 200 OK\r\n\r\n");
        assert!(talk.app.take_oddities().has(crate::packet::app::Oddity::WrongDirection));
    }

    #[test]
    fn what_follows_starttls_is_tls_or_odd() {
        for (hello, odd) in [(&b"\x16\x03\x01\0\x05\x01\0\0\x01\0"[..], false), (b"not a bit of it", true)] {
            let mut talk = Conversation::with(110);
            talk.stream(Toward::Client, b"+OK ready\r\n");
            talk.stream(Toward::Server, b"STLS\r\n").stream(Toward::Client, b"+OK\r\n").stream(Toward::Server, hello);
            assert_eq!(talk.app.take_oddities().has(crate::packet::app::Oddity::NoTls), odd);
        }
    }
}
