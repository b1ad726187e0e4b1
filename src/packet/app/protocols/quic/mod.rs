//! QUIC, as far as everybody can read it: versions, and the hellos in its Initial packets.
//!
//! ```text
//!  datagram --> packets (header.rs) --> Initial opened (keys.rs) --> CRYPTO frames (frames.rs) --> TLS hello --> tx
//!                                   \-> Google's, in the clear   --> tags (google.rs) -------------------------/
//! ```
//!
//! As in Suricata, each packet with a long header is a transaction, until its side has said hello; what comes then can
//! be read by the two ends alone. A client that begins another connection on the same flow is heard again.

pub mod frames;
pub mod google;
pub mod header;
pub mod keys;
pub mod record;
mod transaction;

#[cfg(test)]
mod tests;

use super::tls::hello::{Hello, Role};
use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{EncryptionHandling, ParseContext, Parser, Step, TlsSettings, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use frames::{CryptoStream, TooLong};
use google::GoogleHello;
use header::{Kind, Packet};
use keys::{From, Keys};
use transaction::QuicTx;

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Quic,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::<Quic>::default(),
};

/// Where Suricata looks for it.
const PORTS: [u16; 2] = [443, 80];
/// Packets of one flow that are looked into: each may cost a decryption. A handshake has a dozen.
const PACKET_COUNT_MAX: u16 = 256;
/// Handshakes of one flow at the same time; the oldest gives way.
const CONNECTION_COUNT_MAX: usize = 4;
/// The header of a TLS message: its kind and length.
const MESSAGE_HEADER_BYTES: usize = 4;

const FAILED_DECRYPT: &str = "quic.failed_decrypt";
const ERROR_ON_DATA: &str = "quic.error_on_data";
const CRYPTO_TOO_LONG: &str = "quic.crypto_frag_too_long";

fn recognise(_toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let ours = PORTS.contains(&context.server_port) || PORTS.contains(&context.client_port);
    match Packet::read(bytes) {
        Some((packet, _)) if packet.is_sure() || ours && packet.is_plausible() => Guess::Yes,
        _ => Guess::No,
    }
}

#[derive(Debug, Default)]
struct Quic {
    transactions: Transactions<QuicTx>,
    /// The last one that began stands last.
    connections: Vec<Connection>,
    packets: u16,
}

/// One handshake. A client may have several on the same addresses and ports.
#[derive(Debug)]
struct Connection {
    keys: Box<Keys>,
    /// What the keys are made of: the id that the client first gave the server.
    first_id: Vec<u8>,
    /// What each side wants to be called.
    client_id: Vec<u8>,
    server_id: Vec<u8>,
    client: Side,
    server: Side,
}

#[derive(Debug, Default)]
struct Side {
    crypto: CryptoStream,
    has_hello: bool,
}

/// What the TLS messages of a side amount to so far.
enum Said {
    Nothing,
    Hello(Box<Hello>),
    /// It begins with something else.
    Else,
}

impl Side {
    /// Takes the frames of one packet.
    fn listen(&mut self, role: Role, payload: &[u8], tx: QuicTx, settings: TlsSettings) -> QuicTx {
        let mut too_long = false;
        let read = frames::read(payload, &mut |frame| too_long |= self.crypto.add(frame) == Err(TooLong));
        let tx = tx.with_event(read.is_err().then_some(ERROR_ON_DATA)).with_event(too_long.then_some(CRYPTO_TOO_LONG));
        match self.said(role) {
            Said::Nothing => tx,
            Said::Else => tx.with_event(Some(ERROR_ON_DATA)),
            Said::Hello(hello) => {
                *self = Side { has_hello: true, ..Side::default() };
                tx.with_hello(hello, settings)
            }
        }
    }

    fn said(&self, role: Role) -> Said {
        let mut bytes = self.crypto.joined();
        let Some([kind, high, middle, low]) = bytes.split_off(..MESSAGE_HEADER_BYTES) else { return Said::Nothing };
        if *kind != hello_kind(role) {
            return Said::Else;
        }
        let length = u32::from_be_bytes([0, *high, *middle, *low]);
        match usize::try_from(length).ok().and_then(|length| bytes.get(..length)) {
            Some(body) => Said::Hello(Box::new(Hello::read(role, body))),
            None => Said::Nothing,
        }
    }
}

/// The number of the TLS message.
fn hello_kind(role: Role) -> u8 {
    match role {
        Role::Client => 1,
        Role::Server => 2,
    }
}

impl Connection {
    fn begun_by(packet: &Packet<'_>, keys: Keys) -> Connection {
        Connection {
            keys: Box::new(keys),
            first_id: packet.destination.to_vec(),
            client_id: packet.source.to_vec(),
            server_id: Vec::new(),
            client: Side::default(),
            server: Side::default(),
        }
    }

    fn is_meant_by_client(&self, packet: &Packet<'_>) -> bool {
        self.first_id == packet.destination || self.server_id == packet.destination
    }

    fn heap_bytes(&self) -> usize {
        let ids = self.first_id.capacity() + self.client_id.capacity() + self.server_id.capacity();
        size_of::<Connection>()
            + size_of::<Keys>()
            + ids
            + self.client.crypto.heap_bytes()
            + self.server.crypto.heap_bytes()
    }
}

impl Quic {
    /// One packet with a long header.
    fn take(&mut self, toward: Toward, packet: &Packet<'_>, context: &ParseContext<'_>) {
        let tx = match toward {
            Toward::Server => self.take_from_client(packet, context),
            Toward::Client => self.take_from_server(packet, context),
        };
        if let Some(tx) = tx {
            self.transactions.open(tx, context.limits.transaction_count_max(AppProto::Quic)).touch(toward);
        }
    }

    fn take_from_client(&mut self, packet: &Packet<'_>, context: &ParseContext<'_>) -> Option<QuicTx> {
        let tx = QuicTx::new(Toward::Server, packet.version);
        let settings = context.limits.tls;
        if packet.kind != Kind::Initial {
            return (!self.has_heard_client()).then_some(tx);
        }
        if !keys::is_protected(packet.version) {
            return Some(tx.with_google_hello(GoogleHello::find(packet.payload())));
        }
        let known = self.connections.iter_mut().rev().find(|connection| connection.is_meant_by_client(packet));
        if let Some(connection) = known
            && let Some(payload) = connection.keys.open(From::Client, packet)
        {
            return match connection.client.has_hello {
                true => None,
                false => Some(connection.client.listen(Role::Client, &payload, tx, settings)),
            };
        }
        let keys = Keys::of(packet.version, packet.destination)?;
        if let Some(payload) = keys.open(From::Client, packet) {
            if packet.version.is_google() {
                return Some(tx.with_google_hello(GoogleHello::find(&payload)));
            }
            let mut connection = Connection::begun_by(packet, keys);
            let tx = connection.client.listen(Role::Client, &payload, tx, settings);
            if self.connections.len() >= CONNECTION_COUNT_MAX {
                self.connections.remove(0);
            }
            self.connections.push(connection);
            return Some(tx);
        }
        // A client may call the server otherwise before it was told to.
        let last = self.connections.last_mut().filter(|connection| !connection.client.has_hello);
        match last.and_then(|last| Some((last.keys.open(From::Client, packet)?, last))) {
            Some((payload, connection)) => Some(connection.client.listen(Role::Client, &payload, tx, settings)),
            None => (!self.has_heard_client()).then(|| tx.with_event(Some(FAILED_DECRYPT))),
        }
    }

    fn take_from_server(&mut self, packet: &Packet<'_>, context: &ParseContext<'_>) -> Option<QuicTx> {
        let tx = QuicTx::new(Toward::Client, packet.version);
        let meant = self.connections.iter().rposition(|connection| connection.client_id == packet.destination);
        let Some(connection) = meant.and_then(|at| self.connections.get_mut(at)) else { return Some(tx) };
        if connection.server.has_hello {
            return None;
        }
        connection.server_id = packet.source.to_vec();
        match (packet.kind, meant) {
            (Kind::Initial, _) => Some(match connection.keys.open(From::Server, packet) {
                Some(payload) => connection.server.listen(Role::Server, &payload, tx, context.limits.tls),
                None => tx.with_event(Some(FAILED_DECRYPT)),
            }),
            // The client says its hello again, to the id that the Retry names, and in the keys that follow from it.
            (Kind::Retry, Some(at)) => {
                self.connections.remove(at);
                Some(tx)
            }
            _ => Some(tx),
        }
    }

    fn has_heard_client(&self) -> bool {
        self.connections.iter().any(|connection| connection.client.has_hello)
    }
}

impl Parser for Quic {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut rest = bytes;
        while let Some((packet, after)) = Packet::read(rest) {
            if packet.kind == Kind::Short || self.packets >= PACKET_COUNT_MAX {
                break;
            }
            self.packets += 1;
            self.take(toward, &packet, context);
            rest = after;
        }
        if self.is_encrypted() && context.limits.tls.encryption == EncryptionHandling::Bypass {
            return Step::Opaque;
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn is_encrypted(&self) -> bool {
        let heard = |connection: &Connection| connection.client.has_hello && connection.server.has_hello;
        self.connections.last().is_some_and(heard)
    }

    fn heap_bytes(&self) -> usize {
        let connections: usize = self.connections.iter().map(Connection::heap_bytes).sum();
        let transactions: usize = self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.heap_bytes()).sum();
        size_of::<Quic>() + connections + transactions
    }
}
