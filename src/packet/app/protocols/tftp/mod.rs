//! TFTP (RFC 1350): the requests to port 69. What follows goes to a port that the server chooses, and is not read.

pub mod record;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Datagram, Datagrams, Message};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use record::TftpRecord;

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Tftp,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Datagrams::<TftpRecord>::default()),
};

/// Suricata's `detection-ports`.
const PORTS: [u16; 1] = [69];
const MESSAGE_BYTES_MIN: usize = 4;
const MODES: [&str; 3] = ["netascii", "mail", "octet"];

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let plausible = bytes.len() >= MESSAGE_BYTES_MIN && bytes.first() == Some(&0);
    if on_port(context, AppProto::Tftp, &PORTS) && plausible { Guess::Yes } else { Guess::No }
}

/// The text before the next zero byte, and what follows.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (head, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(head).ok()?.to_owned(), rest.get(1..)?))
}

impl Datagram for TftpRecord {
    fn read(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Option<(TftpRecord, Vec<&'static str>)> {
        let (packet, rest) = match bytes {
            [0, 1, rest @ ..] => ("read", rest),
            [0, 2, rest @ ..] => ("write", rest),
            _ => return None,
        };
        let (file, rest) = text(rest)?;
        let mode = text(rest)?.0.to_ascii_lowercase();
        MODES.contains(&mode.as_str()).then_some((TftpRecord { packet, file, mode }, Vec::new()))
    }
}

impl Message for TftpRecord {
    fn record(&self) -> Option<AppRecord> {
        Some(self.clone().into())
    }

    fn heap_bytes(&self) -> usize {
        self.file.len() + self.mode.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::app::testing::Conversation;
    use crate::rules::app::AppProto;
    use crate::rules::plan::Toward;

    #[test]
    fn requests_are_told_and_nothing_else_is() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"\0\x01rfc1350.txt\0OCTET\0", Some(r#"packet: "read", file: "rfc1350.txt", mode: "octet""#)),
            (b"\0\x02a\0netascii\0blksize\x00512\0", Some(r#"packet: "write", file: "a", mode: "netascii""#)),
            (b"\0\x01a\0binary\0", None),
            (b"\0\x01no-end", None),
            (b"\0\x03\0\x01data", None),
            (b"\0\x01\xff\xfe\0octet\0", None),
        ];
        for (bytes, expected) in cases {
            let mut talk = Conversation::with(69);
            talk.datagram(Toward::Server, bytes);
            assert_eq!(talk.app.protocol(), Some(AppProto::Tftp));
            let records = talk.records(false);
            match expected {
                Some(expected) => assert!(records.concat().contains(expected), "{records:?}"),
                None => assert!(records.is_empty(), "{records:?}"),
            }
        }
        assert_eq!(Conversation::with(70).datagram(Toward::Server, b"\0\x01a\0octet\0").app.protocol(), None);
    }
}
