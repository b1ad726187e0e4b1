//! Version 1: payloads in the clear until keys are there.

use super::names::{ATTRIBUTES, PAYLOADS_1, name};
use super::record::{Attributes, Ikev1, Ikev1Side};
use super::{Head, IkeMessage, LIST_COUNT_MAX, MALFORMED, payloads};
use crate::packet::app::message::hex;
use crate::packet::app::reader::Reader;
use crate::rules::plan::Toward;

const ENCRYPTED: u8 = 1;
const INTERNET: u32 = 1;

/// What earlier messages of the flow have said.
#[derive(Debug, Default)]
pub struct Known {
    doi: Option<u32>,
    client: Ikev1Side,
    server: Ikev1Side,
    chosen: Attributes,
}

impl Known {
    pub fn heap_bytes(&self) -> usize {
        let texts = |side: &Ikev1Side| {
            let both = [&side.key_exchange_payload, &side.nonce_payload];
            both.into_iter().flatten().map(String::len).sum::<usize>()
        };
        texts(&self.client) + texts(&self.server)
    }

    pub fn read(
        &mut self,
        head: &Head,
        reader: &mut Reader<'_>,
        toward: Toward,
    ) -> (IkeMessage, Vec<&'static str>) {
        let mut message = IkeMessage::default();
        let mut events = Vec::new();
        let mut record = head.record();
        let encrypted = head.flags & ENCRYPTED != 0;
        let mut proposals = Vec::new();
        if !encrypted {
            let (found, whole) = payloads(head.next, reader);
            if !whole {
                events.push(MALFORMED);
            }
            for (kind, data) in found {
                let kind_name = name(PAYLOADS_1, kind.into()).to_owned();
                if !record.payload.contains(&kind_name) {
                    record.payload.push(kind_name);
                }
                match kind {
                    1 => match self.association(data) {
                        Some(transforms) => proposals = transforms,
                        None => events.push(MALFORMED),
                    },
                    4 => message.key_exchange = Some(data.to_vec()),
                    10 => message.nonce = Some(data.to_vec()),
                    13 => message.vendors.push(hex(data)),
                    _ => {}
                }
            }
        }
        self.remember(&message, toward);
        if toward == Toward::Client && !proposals.is_empty() {
            if proposals.len() > 1 {
                events.push("ike.multiple_server_proposal");
            }
            message.chosen = proposals.first().cloned().unwrap_or_default();
            self.chosen = message.chosen.clone();
        }
        record.chosen = self.chosen.clone();
        let offered = if toward == Toward::Server { proposals } else { Vec::new() };
        record.ikev1 = Some(Ikev1 {
            doi: self.doi,
            encrypted_payloads: encrypted,
            client: (!encrypted).then(|| Ikev1Side { proposals: offered, ..self.client.clone() }),
            server: (!encrypted).then(|| self.server.clone()),
            vendor_ids: message.vendors.clone(),
        });
        message.record = Some(record);
        (message, events)
    }

    fn remember(&mut self, message: &IkeMessage, toward: Toward) {
        let side = if toward == Toward::Server { &mut self.client } else { &mut self.server };
        if let Some(key) = &message.key_exchange {
            side.key_exchange_payload = Some(hex(key));
            side.key_exchange_payload_length = Some(key.len());
        }
        if let Some(nonce) = &message.nonce {
            side.nonce_payload = Some(hex(nonce));
            side.nonce_payload_length = Some(nonce.len());
        }
    }

    /// The transforms of all proposals; `None` if they are broken.
    fn association(&mut self, data: &[u8]) -> Option<Vec<Attributes>> {
        let mut reader = Reader::big_endian(data);
        let doi = reader.u32()?;
        self.doi = Some(doi);
        if doi != INTERNET {
            return Some(Vec::new());
        }
        let _situation = reader.u32()?;
        let mut transforms = Vec::new();
        // The kind of the first is not written anywhere: it is a proposal.
        let (proposals, mut whole) = payloads(2, &mut reader);
        for (_, proposal) in proposals {
            let mut reader = Reader::big_endian(proposal);
            let (_number, _protocol, spi_bytes, _count) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
            reader.skip(spi_bytes.into())?;
            let (found, all) = payloads(3, &mut reader);
            whole &= all;
            let room = LIST_COUNT_MAX.saturating_sub(transforms.len());
            for (_, transform) in found.into_iter().take(room) {
                transforms.push(attributes(transform)?);
            }
        }
        whole.then_some(transforms)
    }
}

fn attributes(transform: &[u8]) -> Option<Attributes> {
    let mut reader = Reader::big_endian(transform);
    let (_number, _id, _reserved) = (reader.u8()?, reader.u8()?, reader.u16()?);
    let mut found: Vec<(&'static str, u32, &'static str)> = Vec::new();
    while !reader.is_empty() && found.len() < LIST_COUNT_MAX {
        let kind = reader.u16()?;
        let (number, short) = match kind & 0x8000 {
            0 => {
                let data = reader.length16().and_then(|length| reader.take(length))?;
                (<[u8; 4]>::try_from(data).map(u32::from_be_bytes).ok(), 0)
            }
            _ => {
                let short = reader.u16()?;
                (Some(short.into()), short)
            }
        };
        let known = ATTRIBUTES.iter().find(|(number, ..)| *number == kind & 0x7fff);
        if let (Some((_, attribute, values)), Some(number)) = (known, number)
            && found.iter().all(|(other, ..)| other != attribute)
        {
            found.push((*attribute, number, name(values, short)));
        }
    }
    Some(Attributes(found))
}
