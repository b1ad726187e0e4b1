//! Application protocols: a conversation in turns, whole and in single bytes, through the application layer.

use std::sync::OnceLock;

use tidegate::packet::app::protocols::{ProtocolInfo, REGISTRY, Transport, parsed};
use tidegate::packet::app::{AppCounters, AppLayer, AppLimits, Hashes, ParseContext};
use tidegate::packet::ingress::Timestamp;
use tidegate::rules::app::AppProto;
use tidegate::rules::keyword::buffers::Buffer;
use tidegate::rules::plan::Toward;

/// Transactions of a conversation that are looked at: a fuzzer's time is short.
const TRANSACTION_COUNT_MAX: usize = 32;
/// What a flow may hold, whatever is said: transactions, files and pending bytes.
const HEAP_BYTES_MAX: usize = 64 << 20;

/// A first byte chooses the server's port. Then turns: a length byte, whose top bit says who speaks (set: the server),
/// with 0x7f for "all that follows", and so many bytes.
pub fn fuzz_stream(data: &[u8]) {
    let Some((port, turns)) = data.split_first() else { return };
    // How the bytes are cut must not matter to the caps.
    for piece in [usize::MAX, 1, 7] {
        converse(*port, turns, piece, Transport::Tcp, AppLayer::default());
        for layer in named(Transport::Tcp) {
            converse(*port, turns, piece, Transport::Tcp, layer);
        }
    }
}

/// As [`fuzz_stream`], but each turn is a datagram.
pub fn fuzz_datagrams(data: &[u8]) {
    let Some((port, turns)) = data.split_first() else { return };
    converse(*port, turns, usize::MAX, Transport::Udp, AppLayer::default());
    for layer in named(Transport::Udp) {
        converse(*port, turns, usize::MAX, Transport::Udp, layer);
    }
}

/// The parser that `TIDEGATE_FUZZ_PARSER` names, as rules do (`http1`, `dns`): it gets all bytes, whatever they look like.
fn named(transport: Transport) -> impl Iterator<Item = AppLayer> {
    static NAMED: OnceLock<Vec<&ProtocolInfo>> = OnceLock::new();
    let infos = NAMED.get_or_init(|| {
        let Ok(name) = std::env::var("TIDEGATE_FUZZ_PARSER") else { return Vec::new() };
        let is_it = |info: &&&ProtocolInfo| info.protocol.name() == name.strip_suffix('1').unwrap_or(&name);
        let found: Vec<&ProtocolInfo> = REGISTRY.iter().filter(is_it).copied().collect();
        assert!(!found.is_empty(), "TIDEGATE_FUZZ_PARSER: no parser is called {name}");
        found
    });
    let infos = infos.iter().filter(move |info| info.transports.contains(&transport));
    infos.map(|info| AppLayer::speaking(info, &mut AppCounters::default()))
}

/// The protocols that a corpus file's turns are taken for, from the first one on.
pub fn spoken(data: &[u8], transport: Transport) -> Vec<AppProto> {
    let Some((port, turns)) = data.split_first() else { return Vec::new() };
    converse(*port, turns, usize::MAX, transport, AppLayer::default())
}

/// Ports beyond 255 that protocols are known by, in place of the highest numbers.
fn server_port(chosen: u8) -> u16 {
    const HIGH: [u16; 11] = [502, 20_000, 44_818, 2049, 5432, 389, 3389, 500, 6881, 5355, 5353];
    let high = chosen.checked_sub(240).and_then(|at| HIGH.get(usize::from(at)));
    high.copied().unwrap_or(u16::from(chosen))
}

fn converse(port: u8, data: &[u8], piece: usize, transport: Transport, mut app: AppLayer) -> Vec<AppProto> {
    let limits = AppLimits { transaction_count_max: TRANSACTION_COUNT_MAX, ..AppLimits::default() };
    let context = ParseContext {
        position: 0,
        now: Timestamp::from_micros(1),
        client: std::net::IpAddr::from([10, 0, 0, 1]),
        client_port: 40_000,
        server_port: server_port(port),
        limits: &limits,
        wants_frames: true,
        wants_sides: true,
        marks: None,
        hashes: Hashes { md5: true, ..Hashes::default() },
        heard: &[],
    };
    let (mut counters, mut spoken) = (AppCounters::default(), Vec::new());
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let toward = if length & 0x80 == 0 { Toward::Server } else { Toward::Client };
        let length = match usize::from(length & 0x7f) {
            0x7f => after.len(),
            length => length.min(after.len()),
        };
        let (turn, after) = after.split_at(length);
        if transport == Transport::Udp {
            app.receive_datagram(toward, turn, &context, parsed(), &mut counters);
        } else {
            for piece in turn.chunks(piece.min(turn.len()).max(1)) {
                app.receive_stream(toward, piece, &context, parsed(), &mut counters);
            }
        }
        spoken.extend(app.protocol());
        look_at_everything(&mut app);
        assert!(app.heap_bytes() <= HEAP_BYTES_MAX, "{} bytes", app.heap_bytes());
        rest = after;
    }
    for toward in [Toward::Server, Toward::Client] {
        app.gap(toward, 10, &context, &mut counters);
        app.close(toward, &context, parsed(), &mut counters);
    }
    app.settle(true, &mut |_, _, _| {});
    spoken
}

fn look_at_everything(app: &mut AppLayer) {
    let Some(mut view) = app.view() else { return };
    for at in 0..view.count() {
        for toward in [Toward::Server, Toward::Client] {
            let Some((_, tx)) = view.transaction(at, toward) else { continue };
            for (buffer, _) in Buffer::all().filter(|(buffer, _)| buffer.is_app()) {
                let _ = (tx.data.buffer(buffer, toward, 0), tx.data.buffer(buffer, toward, 1));
            }
            let _ = (tx.data.events(), tx.data.record(), tx.data.is_done(toward));
        }
    }
    app.settle(false, &mut |_, _, _| {});
}
