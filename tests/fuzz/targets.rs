//! What is fuzzed. Each target takes any bytes, and panics when a promise is broken.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use tidegate::control::replay::capture::Capture;
use tidegate::control::replay::{Feeder, ReplayOptions, ReplaySink, VerifyChecksums};
use tidegate::packet::decode::anomaly::Anomalies;
use tidegate::packet::decode::link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, LinkType};
use tidegate::packet::decode::{Headers, LAYER_COUNT_MAX, Transport, checksum, decode, icmp};
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::packet::pool::MemoryPool;
use tidegate::packet::stream::{Segment, StreamConfig, Streams};
use tidegate::packet::tracking::DestroyedEntry;
use tidegate::packet::verdict::{Action, Reason};
use tidegate::rules::plan::Toward;

/// An IP packet: every slice of every layer lies within it.
pub fn fuzz_decode(data: &[u8]) {
    for ethertype in [ETHERTYPE_IPV4, ETHERTYPE_IPV6] {
        let mut layers = 0;
        for layer in decode(data, ethertype).layers() {
            layers += 1;
            if let Some(headers) = layer.headers {
                check_headers(&headers, data);
            }
        }
        assert!((1..=LAYER_COUNT_MAX).contains(&layers));
    }
}

fn check_headers(headers: &Headers<'_>, data: &[u8]) {
    let ip = headers.ip;
    check_within(ip.header, data);
    check_within(ip.options, ip.header);
    check_within(headers.payload, data);
    match headers.transport {
        Transport::Tcp(tcp) => {
            check_within(tcp.header, data);
            check_within(tcp.options, tcp.header);
            assert!(tcp.parsed_options().count() <= tcp.options.len());
        }
        Transport::Udp(udp) => check_within(udp.header, data),
        Transport::Icmp(message) => {
            check_within(message.header, data);
            if let Some(quoted) = icmp::quoted(ip.version, headers.payload) {
                check_within(quoted.transport, headers.payload);
            }
        }
        Transport::Sctp { .. } | Transport::Other => {}
    }
    let _ = (checksum::network(&ip), checksum::transport(headers));
}

fn check_within(inner: &[u8], outer: &[u8]) {
    let (inner_range, outer_range) = (inner.as_ptr_range(), outer.as_ptr_range());
    assert!(inner.is_empty() || (outer_range.start <= inner_range.start && inner_range.end <= outer_range.end));
}

/// A captured frame, its first byte the number of the link type: what is left lies within it.
pub fn fuzz_link(data: &[u8]) {
    let Some((number, frame)) = data.split_first() else { return };
    for number in [u32::from(*number), u32::from(*number) + 256] {
        let mut anomalies = Anomalies::NONE;
        let stripped = LinkType::from_number(number).and_then(|link| link.strip(frame, &mut anomalies));
        if let Some(stripped) = stripped {
            check_within(stripped.network, frame);
        }
    }
}

/// A capture file: frames end, hold no more than the file does, and nothing follows an error.
pub fn fuzz_capture(data: &[u8]) {
    let Ok(mut capture) = Capture::of_reader(Path::new("fuzz"), Cursor::new(data.to_vec())) else { return };
    let (mut frames, mut bytes) = (0, 0);
    let failed = loop {
        match capture.next_frame() {
            Ok(Some(frame)) => {
                frames += 1;
                bytes += frame.bytes.len();
            }
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(bytes <= data.len() && frames <= data.len() / 16, "more came out than went in");
    assert!(!failed || matches!(capture.next_frame(), Ok(None)));
}

/// A capture file through the whole replay, with packets dropped here and there: every entry that began has ended.
pub fn fuzz_replay(data: &[u8]) {
    for checksums in [VerifyChecksums::All, VerifyChecksums::None] {
        let Ok(capture) = Capture::of_reader(Path::new("fuzz"), Cursor::new(data.to_vec())) else { return };
        let mut ledger = Ledger::default();
        let mut feeder = Feeder::new(ReplayOptions { checksums, ..ReplayOptions::default() });
        feeder.capture(capture, &mut ledger);
        let summary = feeder.finish(&mut ledger);
        assert!(summary.packets <= summary.frames);
        assert!(ledger.alive.is_empty(), "entries without an end");
    }
}

/// Entries in the table, by id, as a data plane would know them.
#[derive(Default)]
struct Ledger {
    alive: HashMap<u32, u64>,
    packets: u64,
}

impl ReplaySink for Ledger {
    fn packet(&mut self, packet: &Ingress<'_>, _now: Timestamp) -> Action {
        self.packets += 1;
        fuzz_decode(packet.bytes);
        let dropped = self.packets.is_multiple_of(5);
        if let Some(tracked) = packet.conntrack {
            let first = !tracked.entry.status.is_confirmed();
            assert_eq!(first, !self.alive.contains_key(&tracked.entry.id.0));
            if !(first && dropped) {
                *self.alive.entry(tracked.entry.id.0).or_default() += 1;
            }
        }
        if dropped { Action::Drop(Reason::Rules) } else { Action::Accept }
    }

    fn destroyed(&mut self, destroyed: &DestroyedEntry) {
        assert!(self.alive.remove(&destroyed.entry.id.0).is_some());
    }
}

/// Segments of one connection, nine bytes of header each (way and verdict, flags, urgent pointer, sequence number,
/// acknowledgement, length), under small caps: they hold, what is shown is a stretch of the stream, nothing stays behind.
pub fn fuzz_stream(data: &[u8]) {
    let pool = Arc::new(MemoryPool::new(3000));
    let config = StreamConfig { depth_bytes: 8000, window_bytes: 64, held_bytes_max: 1500, ..StreamConfig::default() };
    let mut streams = Streams::new(Arc::clone(&pool));
    let mut rest = data;
    while let Some((header, behind)) = rest.split_first_chunk::<9>() {
        let [way, flags, urgent, seq_high, seq_low, ack_high, ack_low, len_high, len_low] = *header;
        let len = usize::from(u16::from_be_bytes([len_high & 3, len_low])).min(behind.len());
        let (payload, behind) = behind.split_at(len);
        rest = behind;
        // Around the place where sequence numbers wrap.
        let number = |high, low| u32::MAX.wrapping_sub(30_000).wrapping_add(u32::from(u16::from_be_bytes([high, low])));
        let segment = Segment {
            toward: if way & 1 == 0 { Toward::Server } else { Toward::Client },
            seq: number(seq_high, seq_low),
            ack: number(ack_high, ack_low),
            flags,
            urgent: u16::from(urgent),
            payload,
        };
        let before = streams.position(segment.toward);
        let mut arrival = streams.arrive(&segment, &config);
        if let Some(view) = streams.view(&segment, &arrival) {
            assert!(view.fresh_from <= config.window_bytes && view.fresh_from < view.window.len());
            assert!(streams.fresh(&segment, &mut arrival).len() <= view.window.len() - view.fresh_from);
        }
        let accepted = way & 2 == 0;
        streams.settle(&segment, &mut arrival, accepted, &config);
        let after = streams.position(segment.toward);
        assert!(after >= before && (accepted || after == before || arrival.gap.is_some()));
        assert!(pool.bytes() <= pool.bytes_max());
        assert!(streams.heap_bytes() <= 16 << 10, "{}", streams.heap_bytes());
        if way & 4 != 0 {
            streams.forget_window(segment.toward, &config);
        }
    }
    drop(streams);
    assert_eq!(pool.bytes(), 0);
}
