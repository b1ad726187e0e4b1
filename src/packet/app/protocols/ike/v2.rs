//! Version 2: the first exchange is in the clear, and says which algorithms are proposed and chosen.

use super::names::{AUTHENTICATION, ENCRYPTION, ESN, GROUP, NOTIFICATIONS, PAYLOADS, PRF, name};
use super::record::{Algorithms, Ikev2};
use super::{Head, IkeMessage, LIST_COUNT_MAX, MALFORMED, payloads};
use crate::packet::app::reader::Reader;
use crate::rules::plan::Toward;

const INITIATOR: u8 = 0x08;
const SECURITY_ASSOCIATION: u8 = 33;
const NOTIFY: u8 = 41;
/// Payloads from here on are encrypted.
const ENCRYPTED: u8 = 46;
/// Notifications below are errors.
const STATUS_FIRST: u16 = 16_384;
const AUTHENTICATION_HEADER: u8 = 2;

/// What the responder has chosen.
#[derive(Debug)]
pub struct Known {
    encryption: u16,
    prf: u16,
    authentication: u16,
    group: u16,
    esn: u16,
}

impl Default for Known {
    fn default() -> Self {
        Known { encryption: 11, prf: 0, authentication: 0, group: 0, esn: 0 }
    }
}

/// A transform: its kind and number.
type Transform = (u8, u16);

impl Known {
    pub fn read(
        &mut self,
        head: &Head,
        reader: &mut Reader<'_>,
        toward: Toward,
    ) -> (IkeMessage, Vec<&'static str>) {
        let mut message = IkeMessage::default();
        let mut events = Vec::new();
        let mut record = head.record();
        let mut ikev2 = Ikev2::default();
        let (found, whole) = match head.next {
            ENCRYPTED => (vec![(ENCRYPTED, &[][..])], true),
            next => payloads(next, reader),
        };
        if !whole {
            events.push(MALFORMED);
        }
        for (kind, data) in found {
            record.payload.push(name(PAYLOADS, kind.into()).to_owned());
            match kind {
                SECURITY_ASSOCIATION => self.association(data, toward, &mut message, &mut events),
                NOTIFY => {
                    if let Some(kind) = data.get(2..).and_then(|rest| rest.first_chunk()).map(|it| u16::from_be_bytes(*it)) {
                        ikev2.errors += u32::from(kind < STATUS_FIRST);
                        ikev2.notify.push(name(NOTIFICATIONS, kind).to_owned());
                    }
                }
                _ => {}
            }
        }
        let initiator = head.flags & INITIATOR != 0;
        record.role = Some(if initiator { "initiator" } else { "responder" });
        record.algorithms = (!initiator).then(|| self.algorithms());
        record.ikev2 = Some(ikev2);
        message.record = Some(record);
        events.sort_unstable();
        events.dedup();
        (message, events)
    }

    fn algorithms(&self) -> Algorithms {
        Algorithms {
            alg_enc: name(ENCRYPTION, self.encryption).to_owned(),
            alg_auth: name(AUTHENTICATION, self.authentication).to_owned(),
            alg_prf: name(PRF, self.prf).to_owned(),
            alg_dh: name(GROUP, self.group).to_owned(),
            alg_esn: name(ESN, self.esn).to_owned(),
        }
    }

    fn association(
        &mut self,
        data: &[u8],
        toward: Toward,
        message: &mut IkeMessage,
        events: &mut Vec<&'static str>,
    ) {
        let mut reader = Reader::big_endian(data);
        for _ in 0..LIST_COUNT_MAX {
            let Some((more, protocol, transforms)) = proposal(&mut reader) else { return events.push(MALFORMED) };
            judge(protocol, &transforms, events);
            if toward == Toward::Client {
                for (kind, number) in transforms {
                    self.choose(kind, number, message);
                }
            }
            if !more {
                return;
            }
        }
    }

    fn choose(&mut self, kind: u8, number: u16, message: &mut IkeMessage) {
        let (place, name) = match kind {
            1 => (&mut self.encryption, "alg_enc"),
            2 => (&mut self.prf, "alg_prf"),
            3 => (&mut self.authentication, "alg_auth"),
            4 => (&mut self.group, "alg_dh"),
            5 => (&mut self.esn, "alg_esn"),
            _ => return,
        };
        *place = number;
        message.chosen.0.push((name, number.into(), ""));
    }
}

/// Whether more follow, the protocol, and the transforms.
fn proposal(reader: &mut Reader<'_>) -> Option<(bool, u8, Vec<Transform>)> {
    let (more, _reserved, length) = (reader.u8()?, reader.u8()?, reader.length16()?);
    let mut body = Reader::big_endian(reader.take(length.checked_sub(4)?)?);
    let (_number, protocol, spi_bytes, count) = (body.u8()?, body.u8()?, body.u8()?, body.u8()?);
    body.skip(spi_bytes.into())?;
    let mut transforms = Vec::new();
    for _ in 0..usize::from(count).min(LIST_COUNT_MAX) {
        let (_more, _reserved, length) = (body.u8()?, body.u8()?, body.length16()?);
        let mut transform = Reader::big_endian(body.take(length.checked_sub(4)?)?);
        let (kind, _reserved, number) = (transform.u8()?, transform.u8()?, transform.u16()?);
        transforms.push((kind, number));
    }
    Some((more != 0, protocol, transforms))
}

/// What is weak about a proposal.
fn judge(protocol: u8, transforms: &[Transform], events: &mut Vec<&'static str>) {
    for (kind, number) in transforms {
        match (kind, number) {
            (1, 1..=9 | 11) => events.push("ike.weak_crypto_enc"),
            (2, 0) | (4, 0) => events.push("ike.invalid_proposal"),
            (2, 1 | 2) => events.push("ike.weak_crypto_prf"),
            (3, 1..=7) => events.push("ike.weak_crypto_auth"),
            (4, 1 | 2 | 5 | 22) => events.push("ike.weak_crypto_dh"),
            (1..=5, _) => {}
            _ => events.push("ike.unknown_proposal"),
        }
    }
    let has = |wanted: fn(&Transform) -> bool| transforms.iter().any(wanted);
    if !has(|(kind, _)| *kind == 4) {
        events.push("ike.weak_crypto_no_dh");
    }
    if protocol == AUTHENTICATION_HEADER {
        events.push("ike.no_encryption");
    }
    // Ciphers that protect integrity themselves need nothing beside them.
    let seals = |(kind, number): &Transform| *kind == 1 && matches!(number, 14..=16 | 18..=20 | 25..=28);
    if !has(|(kind, number)| *kind == 3 && *number != 0) && !has(seals) {
        events.push("ike.weak_crypto_no_auth");
    }
}
