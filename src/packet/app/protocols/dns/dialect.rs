//! What differs between the protocols that speak DNS's messages: port, names of events, record.

use super::message::{HEADER_BYTES, Header, Message};
use super::record::{DnsRecord, LlmnrRecord, MdnsRecord};
use super::{Guess, PREFIX_BYTES};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext};
use crate::rules::app::AppProto;

#[derive(Debug)]
pub(super) struct Dialect {
    pub protocol: AppProto,
    /// Where it is looked for, on either side: Suricata's `detection-ports`.
    port: u16,
    /// Opcodes from here on are not assigned.
    first_unassigned_opcode: u8,
    events: Events,
    pub record: fn(DnsRecord) -> AppRecord,
}

/// Full names of events.
#[derive(Debug)]
struct Events {
    malformed_data: &'static str,
    not_request: &'static str,
    not_response: &'static str,
    z_flag_set: &'static str,
    invalid_opcode: &'static str,
    name_too_long: &'static str,
    infinite_loop: &'static str,
    too_many_labels: &'static str,
    invalid_authorities: &'static str,
    invalid_additionals: &'static str,
}

macro_rules! events_of {
    ($protocol:literal) => {
        Events {
            malformed_data: concat!($protocol, ".malformed_data"),
            not_request: concat!($protocol, ".not_request"),
            not_response: concat!($protocol, ".not_response"),
            z_flag_set: concat!($protocol, ".z_flag_set"),
            invalid_opcode: concat!($protocol, ".invalid_opcode"),
            name_too_long: concat!($protocol, ".name_too_long"),
            infinite_loop: concat!($protocol, ".infinite_loop"),
            too_many_labels: concat!($protocol, ".too_many_labels"),
            invalid_authorities: concat!($protocol, ".invalid_authorities"),
            invalid_additionals: concat!($protocol, ".invalid_additionals"),
        }
    };
}

pub(super) static DNS: Dialect = Dialect {
    protocol: AppProto::Dns,
    port: 53,
    first_unassigned_opcode: 7,
    events: events_of!("dns"),
    record: |record| AppRecord::Dns(Box::new(record)),
};

/// RFC 4795 knows no opcode but the standard query.
pub(super) static LLMNR: Dialect = Dialect {
    protocol: AppProto::Llmnr,
    port: 5355,
    first_unassigned_opcode: 1,
    events: events_of!("llmnr"),
    record: |record| AppRecord::Llmnr(Box::new(LlmnrRecord(record))),
};

/// Everybody asks and answers in one group: who opened the flow says nothing of who is asked.
pub(super) static MDNS: Dialect = Dialect {
    protocol: AppProto::Mdns,
    port: 5353,
    first_unassigned_opcode: 1,
    events: events_of!("mdns"),
    record: |record| AppRecord::Mdns(Box::new(MdnsRecord(record))),
};

impl Dialect {
    pub fn recognise_datagram(&self, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
        let fits = on_port(context, self.protocol, &[self.port]) && Message::read(bytes).is_some_and(|read| !read.oddities.cut_off);
        if fits { Guess::Yes } else { Guess::No }
    }

    pub fn recognise_stream(&self, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
        if !on_port(context, self.protocol, &[self.port]) {
            return Guess::No;
        }
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Guess::More };
        let length = usize::from(u16::from_be_bytes(*prefix));
        if rest.len() < HEADER_BYTES {
            return if length < HEADER_BYTES { Guess::No } else { Guess::More };
        }
        let plausible = match rest.get(..length) {
            Some(whole) => Message::read(whole).is_some_and(|message| !message.oddities.cut_off),
            None => Header::read(rest).is_some_and(|header| header.is_plausible(length)),
        };
        if plausible { Guess::Yes } else { Guess::No }
    }

    pub fn events_of(&self, message: &Message, from_server: bool) -> Vec<&'static str> {
        let (header, odd, names) = (&message.header, &message.oddities, &self.events);
        [
            (odd.cut_off || odd.bad_data, names.malformed_data),
            (!from_server && header.is_response(), names.not_request),
            (from_server && !header.is_response(), names.not_response),
            (header.has_z(), names.z_flag_set),
            (header.opcode() >= self.first_unassigned_opcode, names.invalid_opcode),
            (odd.long_name, names.name_too_long),
            (odd.name_loop, names.infinite_loop),
            (odd.many_labels, names.too_many_labels),
            (odd.bad_authorities, names.invalid_authorities),
            (odd.bad_additionals, names.invalid_additionals),
        ]
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name))
        .collect()
    }
}
