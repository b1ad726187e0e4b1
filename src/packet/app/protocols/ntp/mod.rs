//! NTP, versions 3 and 4 (RFC 5905): each message is a transaction. Suricata tells records of it from version 9 on.

pub mod record;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Datagram, Datagrams, Message};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext};
use crate::rules::app::{AppProto, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};
use record::NtpRecord;

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Ntp,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Datagrams::<Ntp>::default()),
};

const PORTS: [u16; 1] = [123];
const HEADER_BYTES: usize = 48;
const REFERENCE_ID_AT: usize = 12;
/// Control messages and private ones have another form.
const MODES: std::ops::RangeInclusive<u8> = 1..=5;

#[derive(Debug)]
struct Ntp {
    version: u8,
    mode: u8,
    stratum: u8,
    reference_id: [u8; 4],
}

impl Ntp {
    fn of(bytes: &[u8]) -> Option<Ntp> {
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [first, stratum, ..] = *header;
        let reference_id = *header.get(REFERENCE_ID_AT..)?.first_chunk()?;
        let ntp = Ntp { version: first >> 3 & 7, mode: first & 7, stratum, reference_id };
        ([3, 4].contains(&ntp.version) && MODES.contains(&ntp.mode)).then_some(ntp)
    }
}

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    if on_port(context, AppProto::Ntp, &PORTS) && Ntp::of(bytes).is_some() { Guess::Yes } else { Guess::No }
}

impl Datagram for Ntp {
    fn read(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Option<(Ntp, Vec<&'static str>)> {
        let unreadable = Ntp { version: 0, mode: 0, stratum: 0, reference_id: [0; 4] };
        Some(match Ntp::of(bytes) {
            Some(ntp) => (ntp, Vec::new()),
            None => (unreadable, vec!["ntp.malformed_data"]),
        })
    }
}

impl Message for Ntp {
    fn buffer(&self, buffer: Buffer, nth: usize) -> Option<&[u8]> {
        (buffer == Buffer::NTP_REFERENCE_ID && nth == 0 && self.version > 0).then_some(&self.reference_id)
    }

    fn number(&self, field: Field, test: NumberTest) -> bool {
        let number = match field {
            Field::NtpVersion => self.version,
            Field::NtpMode => self.mode,
            Field::NtpStratum => self.stratum,
            _ => return false,
        };
        self.version > 0 && test.accepts(number.into())
    }

    fn record(&self) -> Option<AppRecord> {
        let Ntp { version, mode, stratum, reference_id } = *self;
        (version > 0).then(|| {
            let reference_id = reference_id.map(|byte| format!("{byte:02x}")).join(":");
            NtpRecord { version, mode, stratum, reference_id }.into()
        })
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::app::testing::Conversation;
    use crate::rules::app::AppTest;

    #[test]
    fn a_message_shows_version_mode_stratum_and_reference() {
        let mut bytes = [0; 48];
        bytes[..2].copy_from_slice(&[0x24, 2]);
        bytes[12..16].copy_from_slice(b"LOCL");
        let mut talk = Conversation::with(123);
        talk.datagram(Toward::Client, &bytes);
        assert_eq!(talk.buffers(0, Buffer::NTP_REFERENCE_ID, Toward::Client), ["LOCL"]);
        let mut view = talk.app.view().unwrap();
        let (_, tx) = view.transaction(0, Toward::Client).unwrap();
        for (field, number) in [(Field::NtpVersion, 4), (Field::NtpMode, 4), (Field::NtpStratum, 2)] {
            let holds =
                |number| tx.data.accepts(&AppTest::Number { field, test: NumberTest::Equal(number) }, Toward::Client);
            assert!(holds(number) && !holds(number + 1), "{field:?}");
        }
        talk.datagram(Toward::Server, b"short");
        assert_eq!(talk.events(), ["ntp.malformed_data"]);
    }

    #[test]
    fn other_ports_versions_and_modes_are_not_ntp() {
        for (port, first) in [(124, 0x23), (123, 0x13), (123, 0x26), (123, 0x20)] {
            let mut bytes = [0; 48];
            bytes[0] = first;
            assert_eq!(Conversation::with(port).datagram(Toward::Server, &bytes).app.protocol(), None, "{first:x}");
        }
    }
}
