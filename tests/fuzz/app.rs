//! Application protocols: a conversation in turns, whole and in single bytes, through the application layer.

use tidegate::packet::app::protocols::parsed;
use tidegate::packet::app::{AppCounters, AppLayer, AppLimits, Hashes, ParseContext};
use tidegate::packet::ingress::Timestamp;
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
    converse(*port, turns, usize::MAX, false);
    converse(*port, turns, 1, false);
    converse(*port, turns, 7, false);
}

/// As [`fuzz_stream`], but each turn is a datagram.
pub fn fuzz_datagrams(data: &[u8]) {
    let Some((port, turns)) = data.split_first() else { return };
    converse(*port, turns, usize::MAX, true);
}

/// Ports beyond 255 that protocols are known by, in place of the highest numbers.
fn server_port(chosen: u8) -> u16 {
    const HIGH: [u16; 9] = [502, 20_000, 44_818, 2049, 5432, 389, 3389, 500, 6881];
    let high = chosen.checked_sub(240).and_then(|at| HIGH.get(usize::from(at)));
    high.copied().unwrap_or(u16::from(chosen))
}

fn converse(port: u8, data: &[u8], piece: usize, datagrams: bool) {
    let limits = AppLimits { transaction_count_max: TRANSACTION_COUNT_MAX, ..AppLimits::default() };
    let context = ParseContext {
        position: 0,
        now: Timestamp::from_micros(1),
        client: std::net::IpAddr::from([10, 0, 0, 1]),
        client_port: 40_000,
        server_port: server_port(port),
        limits: &limits,
        hashes: Hashes { md5: true, ..Hashes::default() },
    };
    let (mut app, mut counters) = (AppLayer::default(), AppCounters::default());
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let toward = if length & 0x80 == 0 { Toward::Server } else { Toward::Client };
        let length = match usize::from(length & 0x7f) {
            0x7f => after.len(),
            length => length.min(after.len()),
        };
        let (turn, after) = after.split_at(length);
        if datagrams {
            app.receive_datagram(toward, turn, &context, parsed(), &mut counters);
        } else {
            for piece in turn.chunks(piece.min(turn.len()).max(1)) {
                app.receive_stream(toward, piece, &context, parsed(), &mut counters);
            }
        }
        look_at_everything(&mut app);
        assert!(app.heap_bytes() <= HEAP_BYTES_MAX, "{} bytes", app.heap_bytes());
        rest = after;
    }
    for toward in [Toward::Server, Toward::Client] {
        app.gap(toward, 10, &context, &mut counters);
        app.close(toward, &context, parsed(), &mut counters);
    }
    app.settle(true, &mut |_, _, _| {});
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
