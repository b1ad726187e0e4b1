//! Laws of reassembly, held to random segments.

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{Line, segment};
use super::*;
use crate::packet::decode::Tcp;

/// `TIDEGATE_LAW_CASES` asks for more.
const CASE_COUNT: u32 = 1000;
const BYTES: usize = 300;
const FIRST: u32 = u32::MAX - 100;

/// A piece of the stream and whether it is accepted.
#[derive(Clone, Debug)]
struct Piece {
    at: usize,
    len: usize,
    accepted: bool,
    /// Added to every byte: another content when not 0.
    twist: u8,
}

fn pieces(twisted: bool) -> impl Strategy<Value = Vec<Piece>> {
    let twist = if twisted { prop_oneof![3 => Just(0u8), 1 => 1..=255u8].boxed() } else { Just(0u8).boxed() };
    let piece = (0..BYTES, 1..60usize, prop::bool::weighted(0.9), twist).prop_map(|(at, len, accepted, twist)| Piece {
        at,
        len: len.min(BYTES - at),
        accepted,
        twist,
    });
    vec(piece, 0..60)
}

fn opened() -> Line {
    let mut line = Line::with(
        StreamConfig { window_bytes: 40, ..StreamConfig::default() },
        MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT),
    );
    line.judge(segment(Toward::Server, FIRST.wrapping_sub(1), Tcp::SYN, b""), true);
    let mut answer = segment(Toward::Client, 1, Tcp::SYN | Tcp::ACK, b"");
    answer.ack = FIRST;
    line.judge(answer, true);
    line
}

fn original() -> Vec<u8> {
    (0..BYTES).map(|at| (at * 7 + at / 13) as u8).collect()
}

fn content(piece: &Piece) -> Vec<u8> {
    original()[piece.at..piece.at + piece.len].iter().map(|byte| byte.wrapping_add(piece.twist)).collect()
}

fn piece_segment<'p>(piece: &Piece, payload: &'p [u8]) -> Segment<'p> {
    segment(Toward::Server, FIRST.wrapping_add(piece.at as u32), 0, payload)
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("TIDEGATE_LAW_CASES").ok().and_then(|count| count.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(CASE_COUNT))
}

proptest! {
    #![proptest_config(cases())]

    /// However the bytes are cut, ordered, repeated and lost, they come once and in order; what is dropped comes again.
    #[test]
    fn any_segmentation_gives_the_same_bytes(pieces in pieces(false), last_cut in 1..80usize) {
        let mut line = opened();
        let all = original();
        for piece in &pieces {
            let arrival = line.judge(piece_segment(piece, &content(piece)), piece.accepted);
            prop_assert!(!arrival.conflict);
        }
        for (nth, payload) in all.chunks(last_cut).enumerate() {
            let at = nth * last_cut;
            line.judge(segment(Toward::Server, FIRST.wrapping_add(at as u32), 0, payload), true);
        }
        prop_assert_eq!(&line.heard[0], &all);
        prop_assert_eq!(line.streams.position(Toward::Server), BYTES as u64);
    }

    /// What detection sees is a stretch of the stream that ends with the fresh bytes.
    #[test]
    fn the_window_is_a_stretch_of_the_stream(pieces in pieces(false)) {
        let mut line = opened();
        let all = original();
        for piece in &pieces {
            let payload = content(piece);
            let segment = piece_segment(piece, &payload);
            let before = line.streams.position(Toward::Server) as usize;
            let mut arrival = line.streams.arrive(&segment, &line.config);
            if let Some(view) = line.streams.view(&segment, &arrival) {
                let end = before + view.fresh().len();
                prop_assert_eq!(view.window, &all[end - view.window.len()..end]);
                prop_assert!(view.fresh_from <= 40 && view.fresh_from == before.min(40));
            }
            line.streams.settle(&segment, &mut arrival, piece.accepted, &line.config);
        }
    }

    /// The first bytes that were forwarded are the stream; a conflict is seen exactly when one is there.
    #[test]
    fn forwarded_bytes_are_the_truth(pieces in pieces(true), conflicts_pass in any::<bool>()) {
        let mut line = opened();
        let mut truth = vec![None; BYTES];
        let mut in_order = 0;
        for piece in &pieces {
            let payload = content(piece);
            let contradicts = payload.iter().enumerate()
                .any(|(nth, byte)| truth[piece.at + nth].is_some_and(|known| known != *byte));
            let segment = piece_segment(piece, &payload);
            let mut arrival = line.streams.arrive(&segment, &line.config);
            prop_assert_eq!(arrival.conflict, contradicts);
            let accepted = piece.accepted && (conflicts_pass || !arrival.conflict);
            let seen = line.streams.view(&segment, &arrival).map(|view| view.fresh().to_vec()).unwrap_or_default();
            line.streams.settle(&segment, &mut arrival, accepted, &line.config);
            if accepted {
                for (nth, byte) in payload.iter().enumerate() {
                    truth[piece.at + nth].get_or_insert(*byte);
                }
                let expected: Vec<u8> = truth[in_order..].iter().map_while(|byte| *byte).collect();
                prop_assert_eq!(&seen, &expected);
                in_order += expected.len();
            }
            prop_assert_eq!(line.streams.position(Toward::Server), in_order as u64);
        }
    }

    /// Whatever comes, caps hold, accounts are right, and in the end nothing is left.
    #[test]
    fn hostile_segments_meet_their_caps(
        segments in vec(
            (any::<bool>(), prop_oneof![0..2000u32, any::<u32>()], prop_oneof![0..2000u32, any::<u32>()],
             any::<u8>(), any::<u16>(), 0..700usize, any::<u8>(), any::<bool>()),
            0..80,
        ),
        held_bytes_max in 1..3000usize,
        pool_bytes in 0..6000u64,
        depth_bytes in prop_oneof![Just(0u64), 1..4000u64],
        forget in 0..80usize,
    ) {
        let config = StreamConfig { depth_bytes, window_bytes: 100, held_bytes_max, ..StreamConfig::default() };
        let mut line = Line::with(config, MemoryPool::new(pool_bytes));
        for (nth, (to_server, seq, ack, flags, urgent, len, byte, accepted)) in segments.into_iter().enumerate() {
            let toward = if to_server { Toward::Server } else { Toward::Client };
            let payload = vec![byte; len];
            let segment = Segment { toward, seq, ack, flags, urgent, payload: &payload };
            line.judge(segment, accepted);
            if nth == forget {
                line.streams.forget_window(toward, &line.config);
            }
            prop_assert!(line.pool.bytes() <= pool_bytes, "{} of {pool_bytes}", line.pool.bytes());
            // A buffer may be twice what it holds, and what is joined stands in two places for a moment.
            let heap = line.streams.heap_bytes();
            prop_assert!(heap <= 2 * (4 * held_bytes_max + 700 + 512) + 1500, "{heap} with {held_bytes_max}");
        }
        let Line { streams, pool, .. } = line;
        drop(streams);
        prop_assert_eq!(pool.bytes(), 0);
    }
}
