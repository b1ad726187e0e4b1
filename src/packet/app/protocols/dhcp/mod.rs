//! DHCP for IPv4 (RFC 2131): each message is a transaction. An answer that is broadcast belongs to another connection.

pub mod record;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Datagram, Datagrams, Message};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext};
use crate::rules::app::{AppProto, Field};
use crate::rules::plan::{NumberTest, Toward};
use record::{DhcpOptions, DhcpRecord};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Dhcp,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Datagrams::<DhcpRecord>::default()),
};

/// Server and client.
const PORTS: [u16; 2] = [67, 68];
/// Where the magic number stands, and where options begin.
const COOKIE_AT: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const HARDWARE_ADDRESS_BYTES_MAX: usize = 16;
/// Addresses of one kind that are told.
const ADDRESS_COUNT_MAX: usize = 16;

const TRUNCATED: &str = "dhcp.truncated_options";
const MALFORMED: &str = "dhcp.malformed_options";

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let cookie = bytes.get(COOKIE_AT..).and_then(|rest| rest.first_chunk());
    if on_port(context, AppProto::Dhcp, &PORTS) && cookie == Some(&COOKIE) { Guess::Yes } else { Guess::No }
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn header<'b>(reader: &mut Reader<'b>) -> Option<DhcpRecord> {
    let kind = match reader.u8()? {
        1 => "request",
        2 => "reply",
        _ => "<unknown>",
    };
    reader.skip(1)?;
    let hardware_bytes = usize::from(reader.u8()?).min(HARDWARE_ADDRESS_BYTES_MAX);
    reader.skip(1)?;
    let id = reader.u32()?;
    reader.skip(4)?;
    let mut address = || reader.array().map(|octets: [u8; 4]| Ipv4Addr::from(octets));
    let (client_ip, assigned_ip, server, relay) = (address()?, address()?, address()?, address()?);
    let hardware: [u8; HARDWARE_ADDRESS_BYTES_MAX] = reader.array()?;
    reader.skip(COOKIE_AT + COOKIE.len() - 44)?;
    let is_reply = kind == "reply";
    Some(DhcpRecord {
        kind,
        id,
        client_mac: colons(hardware.get(..hardware_bytes)?),
        assigned_ip,
        client_ip,
        relay_ip: is_reply.then_some(relay),
        next_server_ip: is_reply.then_some(server),
        options: DhcpOptions::default(),
    })
}

fn options(reader: &mut Reader<'_>, options: &mut DhcpOptions, events: &mut Vec<&'static str>) {
    while let Some(code) = reader.u8() {
        match code {
            0 => continue,
            255 => return,
            _ => {}
        }
        let Some(data) = reader.u8().and_then(|length| reader.take(usize::from(length))) else {
            return events.push(TRUNCATED);
        };
        if options.read(code, data).is_none() && !events.contains(&MALFORMED) {
            events.push(MALFORMED);
        }
    }
    events.push(TRUNCATED);
}

fn addresses(data: &[u8]) -> Vec<Ipv4Addr> {
    let (octets, _) = data.as_chunks::<4>();
    octets.iter().take(ADDRESS_COUNT_MAX).map(|octets| Ipv4Addr::from(*octets)).collect()
}

impl DhcpOptions {
    /// One option; `None` if it does not have the form that its code asks for.
    fn read(&mut self, code: u8, data: &[u8]) -> Option<()> {
        let four = || <[u8; 4]>::try_from(data).ok();
        let text = || String::from_utf8_lossy(data).into_owned();
        match code {
            1 => self.subnet_mask = Some(four()?.into()),
            3 => self.routers = addresses(data),
            6 => self.dns_servers = addresses(data),
            12 => self.hostname = (!data.is_empty()).then(text),
            50 => self.requested_ip = Some(four()?.into()),
            51 => self.lease_time = Some(u32::from_be_bytes(four()?)),
            53 => self.dhcp_type = Some(message_type(*data.first()?)),
            55 => self.params = data.iter().filter_map(|code| parameter(*code)).collect(),
            58 => self.renewal_time = Some(u32::from_be_bytes(four()?)),
            59 => self.rebinding_time = Some(u32::from_be_bytes(four()?)),
            60 => self.vendor_class_identifier = Some(text()),
            61 => {
                let (_hardware_type, address) = data.split_first()?;
                self.client_id = Some(colons(address));
            }
            _ => {}
        }
        Some(())
    }
}

fn message_type(code: u8) -> &'static str {
    const NAMES: [&str; 8] = ["discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
    NAMES.get(usize::from(code).wrapping_sub(1)).copied().unwrap_or("unknown")
}

/// Parameters that a client may ask for, as far as EVE has names for them.
fn parameter(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        150 => "tftp_server_ip",
        _ => return None,
    })
}

impl Datagram for DhcpRecord {
    fn read(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Option<(DhcpRecord, Vec<&'static str>)> {
        let mut reader = Reader::big_endian(bytes);
        let mut record = header(&mut reader)?;
        let mut events = Vec::new();
        options(&mut reader, &mut record.options, &mut events);
        Some((record, events))
    }
}

impl Message for DhcpRecord {
    fn number(&self, field: Field, test: NumberTest) -> bool {
        let number = match field {
            Field::DhcpLeaseTime => self.options.lease_time,
            Field::DhcpRebindingTime => self.options.rebinding_time,
            Field::DhcpRenewalTime => self.options.renewal_time,
            _ => None,
        };
        number.is_some_and(|seconds| test.accepts(seconds.into()))
    }

    fn record(&self) -> Option<AppRecord> {
        Some(self.clone().into())
    }

    fn heap_bytes(&self) -> usize {
        // At most 255 bytes an option, of which only these are kept.
        let texts = [&self.options.client_id, &self.options.hostname, &self.options.vendor_class_identifier];
        texts.into_iter().flatten().map(String::len).sum::<usize>() + 4 * ADDRESS_COUNT_MAX + 256
    }
}
