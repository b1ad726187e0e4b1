//! BitTorrent's distributed hash table (BEP 5) over UDP: each message is a transaction.

mod bencode;
pub mod record;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Datagram, Datagrams, Message, hex};
use crate::packet::app::{AppRecord, ParseContext};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use bencode::Value;
use record::{BittorrentDhtRecord, DhtError, DhtRequest, DhtResponse, Node, Peer};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::BittorrentDht,
    transports: &[Transport::Udp],
    recognise: |_, bytes, _| {
        if BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning)) { Guess::Yes } else { Guess::No }
    },
    parser: || Box::new(Datagrams::<Dht>::default()),
};

/// Suricata's patterns: queries, answers and errors; keys of dictionaries stand in order.
const BEGINNINGS: [&[u8]; 4] = [b"d1:ad2:id20:", b"d1:rd2:id20:", b"d2:ip", b"d1:eli20"];
/// Nodes and peers of one answer that are told.
const PEER_COUNT_MAX: usize = 64;
const NODE_ID_BYTES: usize = 20;
/// Bytes of a token, an identifier or a text that are told.
const FIELD_BYTES_MAX: usize = 64;

#[derive(Debug)]
struct Dht {
    record: BittorrentDhtRecord,
}

impl Message for Dht {
    fn record(&self) -> Option<AppRecord> {
        Some(self.record.clone().into())
    }

    fn heap_bytes(&self) -> usize {
        let response = self.record.response.as_ref();
        response.map_or(0, |response| {
            (response.nodes.len() + response.nodes6.len()) * size_of::<Node>()
                + response.values.as_ref().map_or(0, |values| values.len() * size_of::<Peer>())
        })
    }
}

impl Datagram for Dht {
    fn read(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Option<(Self, Vec<&'static str>)> {
        Some(match Value::read(bytes).as_ref().and_then(account) {
            Some(record) => (Dht { record }, Vec::new()),
            None => (Dht { record: BittorrentDhtRecord::default() }, vec!["bittorrent_dht.malformed_packet"]),
        })
    }
}

/// What a message says; `None` if it lacks what every message has.
fn account(message: &Value<'_>) -> Option<BittorrentDhtRecord> {
    let request_type = message.of(b"q").and_then(Value::bytes).map(text);
    let record = BittorrentDhtRecord {
        transaction_id: hex_of(message, b"t")?,
        client_version: hex_of(message, b"v"),
        request: request_type.as_ref().and(message.of(b"a")).and_then(request),
        request_type,
        response: message.of(b"r").and_then(response),
        error: message.of(b"e").and_then(error),
    };
    (record.request.is_some() || record.response.is_some() || record.error.is_some()).then_some(record)
}

fn request(arguments: &Value<'_>) -> Option<DhtRequest> {
    let number = |key: &[u8]| arguments.of(key).and_then(Value::number);
    Some(DhtRequest {
        id: hex_of(arguments, b"id")?,
        target: hex_of(arguments, b"target"),
        info_hash: hex_of(arguments, b"info_hash"),
        token: hex_of(arguments, b"token"),
        implied_port: number(b"implied_port"),
        port: number(b"port"),
    })
}

fn response(answer: &Value<'_>) -> Option<DhtResponse> {
    let values = match answer.of(b"values") {
        Some(Value::List(values)) => {
            Some(values.iter().filter_map(|value| peer(value.bytes()?)).take(PEER_COUNT_MAX).collect())
        }
        _ => None,
    };
    Some(DhtResponse {
        id: hex_of(answer, b"id")?,
        nodes: nodes(answer.of(b"nodes"), NODE_ID_BYTES + 6),
        nodes6: nodes(answer.of(b"nodes6"), NODE_ID_BYTES + 18),
        values,
        token: hex_of(answer, b"token"),
    })
}

fn error(error: &Value<'_>) -> Option<DhtError> {
    let Value::List(parts) = error else { return None };
    let (number, message) = (parts.first()?.number()?, parts.get(1)?.bytes()?);
    Some(DhtError { num: number, msg: text(message) })
}

fn nodes(value: Option<&Value<'_>>, each_bytes: usize) -> Vec<Node> {
    let bytes = value.and_then(Value::bytes).unwrap_or_default();
    let node = |bytes: &[u8]| {
        let (id, place) = bytes.split_at_checked(NODE_ID_BYTES)?;
        Some(Node { id: hex(id), peer: peer(place)? })
    };
    bytes.chunks_exact(each_bytes).take(PEER_COUNT_MAX).filter_map(node).collect()
}

/// An address of either family, and a port behind it.
fn peer(bytes: &[u8]) -> Option<Peer> {
    let (address, port) = bytes.split_last_chunk::<2>()?;
    let ip = match address.len() {
        4 => IpAddr::from(*address.first_chunk::<4>()?),
        16 => IpAddr::from(*address.first_chunk::<16>()?),
        _ => return None,
    };
    Some(Peer { ip, port: u16::from_be_bytes(*port) })
}

fn hex_of(value: &Value<'_>, key: &[u8]) -> Option<String> {
    let bytes = value.of(key)?.bytes()?;
    Some(hex(bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes)).into_owned()
}
