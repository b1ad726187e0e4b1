//! Segments by hand: each case is one thing that TCP does, or that somebody does to it.

use super::*;
use crate::packet::decode::Tcp;

/// A connection and what came of its segments.
pub(super) struct Line {
    pub streams: Streams,
    pub config: StreamConfig,
    pub pool: Arc<MemoryPool>,
    /// What the application layer was given, per direction, gaps as `~`.
    pub heard: [Vec<u8>; 2],
}

impl Line {
    pub fn with(config: StreamConfig, pool: MemoryPool) -> Line {
        let pool = Arc::new(pool);
        Line { streams: Streams::new(Arc::clone(&pool)), config, pool, heard: [Vec::new(), Vec::new()] }
    }

    fn new() -> Line {
        Line::with(StreamConfig::default(), MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT))
    }

    /// The handshake is done; the client's first byte has number 101, the server's 501.
    fn open() -> Line {
        let mut line = Line::new();
        line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
        let mut answer = segment(Toward::Client, 500, Tcp::SYN | Tcp::ACK, b"");
        answer.ack = 101;
        line.give(answer);
        line
    }

    pub fn judge(&mut self, segment: Segment<'_>, accepted: bool) -> Arrival {
        let mut arrival = self.streams.arrive(&segment, &self.config);
        let [to_server, to_client] = &mut self.heard;
        let heard = match segment.toward {
            Toward::Server => to_server,
            Toward::Client => to_client,
        };
        if arrival.gap.is_some() {
            heard.push(b'~');
        }
        heard.extend_from_slice(self.streams.fresh(&segment, &mut arrival));
        self.streams.settle(&segment, &mut arrival, accepted, &self.config);
        arrival
    }

    fn give(&mut self, segment: Segment<'_>) -> Arrival {
        self.judge(segment, true)
    }

    fn drop(&mut self, segment: Segment<'_>) -> Arrival {
        self.judge(segment, false)
    }

    /// Data toward the server; `at` counts from the stream's first byte.
    fn data(&mut self, at: i32, payload: &[u8]) -> Arrival {
        self.give(to_server(at, payload))
    }

    /// The server acknowledges everything in front of `at`.
    fn ack(&mut self, at: u32) -> Arrival {
        let mut ack = segment(Toward::Client, 501, Tcp::ACK, b"");
        ack.ack = 101 + at;
        self.give(ack)
    }

    fn window(&mut self, at: i32, payload: &[u8]) -> (Vec<u8>, usize) {
        let segment = to_server(at, payload);
        let mut arrival = self.streams.arrive(&segment, &self.config);
        let view = self.streams.view(&segment, &arrival).map(|view| (view.window.to_vec(), view.fresh_from));
        self.streams.settle(&segment, &mut arrival, true, &self.config);
        view.unwrap_or_default()
    }

    fn heard(&self) -> &str {
        std::str::from_utf8(&self.heard[0]).unwrap()
    }

    fn assert_charged(&self) {
        assert_eq!(self.pool.bytes() as usize, charged(&self.streams), "the pool knows what is held");
    }
}

fn charged(streams: &Streams) -> usize {
    [&streams.to_server, &streams.to_client].iter().map(|half| half.charged_bytes()).sum()
}

pub(super) fn segment(toward: Toward, seq: u32, flags: u8, payload: &[u8]) -> Segment<'_> {
    Segment { toward, seq, ack: 0, flags, urgent: 0, payload }
}

fn to_server(at: i32, payload: &[u8]) -> Segment<'_> {
    let mut data = segment(Toward::Server, 101u32.wrapping_add_signed(at), Tcp::ACK, payload);
    data.ack = 501;
    data
}

#[test]
fn bytes_in_order_are_heard_in_order() {
    let mut line = Line::open();
    for (at, payload) in [(0, "one "), (4, "two "), (8, "three")] {
        assert_eq!(line.data(at, payload.as_bytes()).data, Data::Joined);
    }
    assert_eq!(line.heard(), "one two three");
    assert_eq!(line.streams.position(Toward::Server), 13);
    line.assert_charged();
}

#[test]
fn what_fills_a_hole_brings_what_waited() {
    let mut line = Line::open();
    assert_eq!(line.data(4, b"two ").data, Data::Queued);
    assert_eq!(line.data(12, b"four").data, Data::Queued);
    assert_eq!(line.heard(), "");
    line.data(0, b"one ");
    assert_eq!(line.heard(), "one two ");
    line.data(8, b"3333");
    assert_eq!(line.heard(), "one two 3333four");
    assert!(line.streams.to_server.queue_is_empty());
    line.assert_charged();
}

#[test]
fn a_dropped_segment_has_never_been() {
    let mut line = Line::open();
    line.data(4, b"two ");
    let dropped = line.drop(to_server(0, b"one "));
    assert_eq!(dropped.data, Data::Joined);
    assert_eq!(line.streams.position(Toward::Server), 0);
    let again = line.streams.arrive(&to_server(0, b"ONE "), &line.config);
    assert!(!again.conflict, "what was dropped contradicts nothing");
    let mut again = again;
    line.streams.settle(&to_server(0, b"ONE "), &mut again, true, &line.config);
    assert_eq!(line.streams.position(Toward::Server), 8);
    assert_eq!(line.heard(), "one two ", "the application layer hears nothing twice");
    line.data(8, b"more");
    assert_eq!(line.heard(), "one two more");
    line.assert_charged();
}

#[test]
fn a_dropped_first_segment_sets_no_beginning() {
    let mut line = Line::new();
    line.drop(segment(Toward::Server, 7777, Tcp::SYN, b""));
    assert!(!line.streams.has_begun(Toward::Server));
    line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
    assert_eq!(line.data(0, b"hello").data, Data::Joined);
}

#[test]
fn retransmissions_bring_nothing_and_their_new_ends_do() {
    let mut line = Line::open();
    line.data(0, b"hello ");
    let same = line.data(0, b"hello ");
    assert_eq!((same.data, same.conflict, same.overlap), (Data::Old, false, true));
    assert!(same.events.has(StreamEvent::Retransmission));
    let longer = line.data(3, b"lo world");
    assert_eq!((longer.data, longer.conflict), (Data::Joined, false));
    assert_eq!(line.heard(), "hello world");
}

#[test]
fn contradictions_are_conflicts_until_they_are_acknowledged() {
    let mut line = Line::open();
    line.data(0, b"harmless");
    let other = line.drop(to_server(0, b"attack!!"));
    assert!(other.conflict && other.events.has(StreamEvent::OverlapDifferentData));
    let tail = line.drop(to_server(7, b"Smore"));
    assert!(tail.conflict, "one byte is enough");
    assert_eq!(line.streams.position(Toward::Server), 8);
    line.ack(8);
    let late = line.data(0, b"attack!!");
    assert!(!late.conflict, "the receiver has these bytes and will not take others");
}

#[test]
fn one_contradicting_byte_at_the_end_is_no_keep_alive_while_it_is_under_way() {
    let mut line = Line::open();
    line.data(0, b"attacX");
    assert!(line.drop(to_server(5, b"k")).conflict);
    line.ack(6);
    let keep_alive = line.data(5, b"\0");
    assert!(!keep_alive.conflict && !keep_alive.events.has(StreamEvent::OverlapDifferentData));
    assert_eq!(keep_alive.data, Data::Old);
}

#[test]
fn what_waits_may_not_be_contradicted_either() {
    let mut line = Line::open();
    line.data(4, b"tack");
    let filler = line.drop(to_server(0, b"attaX"));
    assert!(filler.conflict);
    let good = line.data(0, b"atta");
    assert!(!good.conflict);
    assert_eq!(line.streams.position(Toward::Server), 8);
}

#[test]
fn where_policy_lets_a_conflict_pass_the_first_bytes_stay() {
    let mut line = Line::open();
    line.data(4, b"4567");
    line.data(0, b"abXXYYYYzz");
    assert_eq!(line.heard(), "abXX4567zz");
}

#[test]
fn acknowledged_bytes_leave_only_the_window() {
    let mut line = Line::open();
    line.config.window_bytes = 8;
    let big = vec![b'x'; 40_000];
    line.data(0, &big);
    assert!(line.streams.heap_bytes() >= 40_000);
    line.ack(40_000);
    assert!(line.streams.heap_bytes() < 100, "{}", line.streams.heap_bytes());
    let (window, fresh) = line.window(40_000, b"new");
    assert_eq!((window.as_slice(), fresh), (b"xxxxxxxxnew".as_slice(), 8));
    line.ack(40_003);
    line.streams.forget_window(Toward::Server, &line.config);
    assert!(line.streams.is_empty());
    line.assert_charged();
}

#[test]
fn a_forgotten_window_is_not_seen_again_while_its_bytes_are_held() {
    let mut line = Line::open();
    line.data(0, b"secret");
    line.streams.forget_window(Toward::Server, &line.config);
    assert!(!line.streams.is_empty(), "not acknowledged yet");
    assert_eq!(line.window(6, b"next"), (b"next".to_vec(), 0));
    assert!(line.drop(to_server(0, b"sEcret")).conflict);
}

#[test]
fn bytes_that_the_receiver_has_and_we_never_saw_are_a_gap() {
    let mut line = Line::open();
    line.data(0, b"abc");
    line.data(10, b"klm");
    assert_eq!(line.data(20, b"uvw").data, Data::Queued);
    assert!(line.ack(13).events.has(StreamEvent::AckUnseen));
    let next = line.data(23, b"xyz");
    assert_eq!(next.gap, Some(7));
    assert_eq!(line.heard(), "abc~klm");
    line.ack(26);
    let next = line.data(26, b"!");
    assert_eq!(next.gap, Some(7));
    assert_eq!(line.heard(), "abc~klm~uvwxyz!");
    line.assert_charged();
}

#[test]
fn an_acknowledgement_that_overtakes_its_data_in_a_capture_makes_no_gap() {
    let mut line = Line::open();
    line.data(0, b"abc");
    line.ack(6);
    assert_eq!(line.data(3, b"def").gap, None);
    assert_eq!(line.heard(), "abcdef");
}

#[test]
fn sequence_numbers_wrap() {
    let mut line = Line::new();
    line.give(segment(Toward::Server, u32::MAX - 4, Tcp::SYN, b""));
    line.give(segment(Toward::Server, 2, Tcp::ACK, b"ghi"));
    line.give(segment(Toward::Server, u32::MAX - 3, Tcp::ACK, b"abcdef"));
    assert_eq!(line.heard(), "abcdefghi");
}

#[test]
fn the_middle_of_a_connection_begins_with_its_first_data() {
    let mut line = Line::new();
    line.give(segment(Toward::Server, 899, Tcp::ACK, b""));
    assert!(!line.streams.has_begun(Toward::Server), "a bare ACK may be a keep-alive");
    line.give(segment(Toward::Server, 900, Tcp::ACK, b"hello"));
    let before = line.give(segment(Toward::Server, 890, Tcp::ACK, b"0123456789"));
    assert_eq!(before.data, Data::Unread);
    assert!(before.look_at_packet() && before.events.has(StreamEvent::SegmentBeforeBase));
    line.give(segment(Toward::Server, 905, Tcp::ACK, b" there"));
    assert_eq!(line.heard(), "hello there");
}

#[test]
fn data_in_a_syn_is_data() {
    let mut line = Line::new();
    let syn = line.give(segment(Toward::Server, 100, Tcp::SYN, b"GET"));
    assert!(syn.events.has(StreamEvent::SynData));
    let mut answer = segment(Toward::Client, 500, Tcp::SYN | Tcp::ACK, b"");
    answer.ack = 101;
    line.give(answer);
    assert!(line.drop(to_server(0, b"PUT /")).conflict, "a server that ignored it may be given nothing else");
    line.data(0, b"GET /");
    assert_eq!(line.heard(), "GET /");
}

#[test]
fn of_several_syns_the_answered_one_counts() {
    let mut line = Line::new();
    line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
    let other = line.give(segment(Toward::Server, 900_000, Tcp::SYN, b""));
    assert!(other.events.has(StreamEvent::SynResendDifferent));
    let mut answer = segment(Toward::Client, 500, Tcp::SYN | Tcp::ACK, b"");
    answer.ack = 101;
    line.give(answer);
    line.give(segment(Toward::Server, 77_000, Tcp::SYN, b""));
    assert_eq!(line.data(0, b"attack").data, Data::Joined);
}

#[test]
fn a_syn_in_the_middle_changes_nothing() {
    let mut line = Line::open();
    line.data(0, b"abc");
    line.give(segment(Toward::Server, 40_000, Tcp::SYN, b""));
    line.data(3, b"def");
    assert_eq!(line.heard(), "abcdef");
}

#[test]
fn a_fin_ends_a_direction_when_everything_before_it_has_come() {
    let mut line = Line::open();
    let mut fin = to_server(3, b"def");
    fin.flags |= Tcp::FIN;
    assert!(!line.give(fin).ended);
    assert!(line.data(0, b"abc").ended);
    assert!(!line.data(0, b"abc").ended, "told once");
    let after = line.data(6, b"ghi");
    assert!(after.events.has(StreamEvent::DataAfterFin));
    assert_eq!(line.heard(), "abcdefghi", "a FIN that the receiver never got must hide nothing");
}

fn fin(at: i32, payload: &[u8]) -> Segment<'_> {
    let mut fin = to_server(at, payload);
    fin.flags |= Tcp::FIN;
    fin
}

#[test]
fn a_fin_in_front_of_what_was_forwarded_ends_nothing() {
    let mut line = Line::open();
    line.data(0, b"att");
    assert!(!line.give(fin(2, b"")).ended, "the receiver takes it for a repetition");
    assert!(!line.give(fin(0, b"at")).ended);
    let after = line.data(3, b"ack");
    assert!(!after.conflict && !after.events.has(StreamEvent::DataAfterFin));
    line.data(8, b"behind");
    assert!(!line.give(fin(6, b"XX")).ended, "and so does what waits");
    assert!(line.give(fin(14, b"")).ended);
    assert_eq!(line.heard(), "attackXXbehind");
}

#[test]
fn a_byte_in_the_place_of_a_fin_contradicts_it_until_that_is_acknowledged() {
    let mut line = Line::open();
    line.data(0, b"att");
    assert!(line.give(fin(3, b"")).ended);
    assert!(line.drop(to_server(3, b"a")).conflict, "one byte is enough");
    assert!(line.drop(to_server(0, b"attack")).conflict);
    assert!(!line.give(fin(0, b"att")).conflict, "sent again");
    line.ack(3);
    assert!(line.drop(to_server(3, b"ack")).conflict, "the byte in front of it was acknowledged");
    line.ack(4);
    assert!(!line.data(3, b"\0").conflict, "a keep-alive stands there");
}

#[test]
fn a_dropped_fin_has_never_been() {
    let mut line = Line::open();
    line.data(0, b"att");
    line.drop(fin(3, b""));
    assert!(!line.data(3, b"ack").conflict);
    assert!(line.give(fin(6, b"")).ended);
}

#[test]
fn without_acknowledgements_no_fin_is_the_end() {
    let mut line = Line::new();
    line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
    line.data(0, b"att");
    assert!(!line.give(fin(3, b"")).ended);
    assert!(!line.data(3, b"ack").conflict);
    assert_eq!(line.heard(), "attack");
}

#[test]
fn nothing_is_held_of_a_direction_that_ended_and_was_acknowledged() {
    let mut line = Line::open();
    let mut last = to_server(0, b"bye");
    last.flags |= Tcp::FIN;
    line.give(last);
    line.ack(4);
    assert!(line.streams.is_empty());
}

#[test]
fn a_reset_hides_nothing() {
    let mut line = Line::open();
    line.data(0, b"att");
    line.give(segment(Toward::Server, 104, Tcp::RST, b""));
    assert!(line.data(3, b"ack").events.has(StreamEvent::DataAfterReset));
    assert_eq!(line.heard(), "attack");
}

#[test]
fn what_a_reset_carries_is_no_part_of_the_stream() {
    let mut line = Line::open();
    line.data(0, b"one ");
    let mut reset = to_server(4, b"why");
    reset.flags |= Tcp::RST;
    let arrival = line.give(reset);
    assert_eq!(arrival.data, Data::Unread);
    assert!(arrival.look_at_packet(), "rules see it as a packet");
    assert_eq!(line.data(4, b"two").data, Data::Joined);
    assert_eq!(line.heard(), "one two");
}

#[test]
fn a_side_that_goes_on_after_its_reset_is_told_once() {
    let mut line = Line::open();
    line.give(segment(Toward::Server, 101, Tcp::RST, b""));
    let suspected = |arrival: Arrival| arrival.events.has(StreamEvent::SuspectedRstInject);
    assert!(!suspected(line.ack(0)), "the other side may");
    assert!(suspected(line.drop(to_server(0, b"a"))));
    assert!(suspected(line.data(0, b"a")), "the one before never went on");
    assert!(!suspected(line.data(1, b"b")));
}

#[test]
fn numbers_without_their_meaning_are_noted() {
    let mut line = Line::open();
    let mut broken = segment(Toward::Server, 101, 0, b"");
    broken.ack = 7;
    assert!(line.give(broken).events.has(StreamEvent::BrokenAck));
    line.data(0, b"abc");
    assert!(!line.data(0, b"abc").events.has(StreamEvent::SpuriousRetransmission), "it may have been lost");
    line.ack(3);
    assert!(line.data(0, b"abc").events.has(StreamEvent::SpuriousRetransmission));
}

#[test]
fn urgent_bytes_stand_beside_the_stream_unless_told_otherwise() {
    let mut line = Line::open();
    let first = line.give(urgent(0, b"atXta", 3));
    assert!(first.urgent && first.look_at_packet());
    line.data(5, b"ck");
    assert_eq!(line.heard(), "attack");
    assert!(!line.data(0, b"atXtack").conflict);
    assert!(line.drop(to_server(0, b"atXtaCk")).conflict);
    assert!(!line.data(0, b"atYta").conflict, "nobody keeps what stands beside the stream");

    // The pointer may come long before the byte.
    line.give(urgent(7, b"", 4));
    line.data(7, b" a l");
    line.data(11, b"!ine");
    assert_eq!(line.heard(), "attack a !ine");

    let mut inline = Line::open();
    inline.config.urgent = Urgent::Inline;
    inline.give(urgent(0, b"atXta", 3));
    assert_eq!(inline.heard(), "atXta");
}

fn urgent(at: i32, payload: &[u8], pointer: u16) -> Segment<'_> {
    let mut data = to_server(at, payload);
    data.flags |= Tcp::URG;
    data.urgent = pointer;
    data
}

#[test]
fn of_urgent_bytes_that_wait_the_last_alone_stands_beside_the_stream() {
    let mut line = Line::open();
    for (at, letter) in [(2, b"t"), (3, b"a"), (4, b"c"), (5, b"k")] {
        line.give(urgent(at, letter, 1));
    }
    line.give(urgent(6, b" it!", 4));
    line.data(0, b"at");
    assert_eq!(line.heard(), "attack it");
    assert!(line.data(0, b"attack it?").events.has(StreamEvent::Retransmission));
}

#[test]
fn the_pointer_of_a_dropped_segment_has_never_been() {
    let mut line = Line::open();
    line.give(urgent(2, b"X", 1));
    line.drop(urgent(3, b"tack", 1));
    line.data(3, b"tack");
    line.data(0, b"at");
    assert_eq!(line.heard(), "attack");
}

#[test]
fn many_urgent_bytes_count_as_inline_in_the_end() {
    let mut line = Line::open();
    let mut told = false;
    for at in 0..100 {
        let mut data = to_server(2 * at, b"un");
        data.flags |= Tcp::URG;
        data.urgent = 1;
        told |= line.give(data).events.has(StreamEvent::UrgentLimit);
    }
    assert!(told);
    assert_eq!(line.heard(), "n".repeat(65) + &"un".repeat(35));
}

#[test]
fn beyond_the_depth_nothing_is_followed_and_nothing_held() {
    let mut line = Line::open();
    line.config.depth_bytes = 10;
    assert!(line.data(0, b"0123456789ab").depth_reached);
    assert!(line.streams.is_empty());
    let beyond = line.data(12, b"cdef");
    assert_eq!((beyond.data, beyond.depth_reached), (Data::Unread, false));
    line.config.look_beyond_depth = false;
    assert_eq!(line.data(10, b"D").data, Data::Beyond);
    line.config.look_beyond_depth = true;
    assert!(!line.streams.is_beyond_depth());
    line.give(segment(Toward::Client, 501, Tcp::ACK, b"0123456789"));
    assert!(line.streams.is_beyond_depth());
    assert_eq!(line.ack(100).gap, None);
}

#[test]
fn a_direction_holds_no_more_than_it_may() {
    let mut line = Line::open();
    line.config.held_bytes_max = 1000;
    assert_eq!(line.data(10, &[b'x'; 900]).data, Data::Queued);
    let much = line.data(2000, &[b'y'; 900]);
    assert_eq!((much.data, much.limit), (Data::Unread, true));
    assert!(much.events.has(StreamEvent::InsertLimit) && much.look_at_packet());
    line.data(0, &[b'z'; 10]);
    assert_eq!(line.heard().len(), 910);
}

#[test]
fn without_memory_bytes_are_still_read_in_order() {
    let mut line = Line::with(StreamConfig::default(), MemoryPool::new(64));
    line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
    let first = line.data(0, &[b'a'; 100]);
    assert_eq!((first.data, first.memcap), (Data::JoinedUnkept, true));
    let ahead = line.data(200, b"ahead of its turn, and long enough to find no room in the pool that is left");
    assert_eq!((ahead.data, ahead.memcap), (Data::Unread, true));
    assert_eq!(line.data(100, &[b'b'; 100]).data, Data::JoinedUnkept);
    assert_eq!(line.heard(), "a".repeat(100) + &"b".repeat(100));
    assert_eq!(line.data(0, b"AAAA").data, Data::Unread, "nothing to compare with");
    assert_eq!(line.pool.bytes(), 0);
}

#[test]
fn a_one_sided_connection_is_followed_and_holds_little() {
    let mut line = Line::new();
    line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
    for at in 0..100 {
        let data = segment(Toward::Server, 101 + at * 1000, Tcp::ACK, &[b'x'; 1000]);
        assert_eq!(line.give(data).data, Data::Joined);
    }
    assert!(line.streams.heap_bytes() <= 2 * (33 << 10), "{}", line.streams.heap_bytes());
}

#[test]
fn a_connection_without_an_answer_is_not_followed_where_nobody_wants_that() {
    let mut line = Line::new();
    (line.config.async_oneside, line.config.midstream) = (false, false);
    line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
    assert_eq!(line.data(0, b"hello").data, Data::Unread);
    let mut answer = segment(Toward::Client, 500, Tcp::SYN | Tcp::ACK, b"");
    answer.ack = 101;
    line.give(answer);
    assert_eq!(line.data(0, b"hello").data, Data::Joined);
}

#[test]
fn of_two_answers_the_one_counts_that_the_client_acknowledges() {
    for (chosen, heard) in [(501, "first"), (901, "other")] {
        let mut line = Line::new();
        line.give(segment(Toward::Server, 100, Tcp::SYN, b""));
        for seq in [500, 900] {
            let mut answer = segment(Toward::Client, seq, Tcp::SYN | Tcp::ACK, b"");
            answer.ack = 101;
            line.give(answer);
        }
        let mut ack = segment(Toward::Server, 101, Tcp::ACK, b"");
        ack.ack = chosen;
        line.give(ack);
        line.give(segment(Toward::Client, chosen, Tcp::ACK, heard.as_bytes()));
        assert_eq!(line.heard[1], heard.as_bytes());
    }
}

#[test]
fn many_small_segments_ahead_of_their_turn_stay_few() {
    let mut line = Line::open();
    for at in 0..2000 {
        line.data(10 + at, b"x");
    }
    assert_eq!(line.streams.to_server.queued_segments(), 1, "neighbours are one");
    for at in 0..10_000 {
        line.data(5000 + 2 * at, b"y");
    }
    assert!(line.streams.to_server.queued_segments() <= queue::SEGMENT_COUNT_MAX);
    line.assert_charged();
    let pool = Arc::clone(&line.pool);
    drop(line);
    assert_eq!(pool.bytes(), 0, "what ends gives everything back");
}

#[test]
fn a_filler_that_is_dropped_for_ever_does_not_make_us_read_the_queue_for_ever() {
    let mut line = Line::open();
    for at in 0..15 {
        line.data(1 + at * 60_000, &vec![b'q'; 60_000]);
    }
    let mut read = 0;
    for _ in 0..100 {
        line.heard[0].clear();
        let mut arrival = line.streams.arrive(&to_server(0, b"f"), &line.config);
        read += line.streams.view(&to_server(0, b"f"), &arrival).map_or(0, |view| view.window.len());
        line.streams.settle(&to_server(0, b"f"), &mut arrival, false, &line.config);
    }
    assert!(read < 7 << 20, "{read}");
    line.assert_charged();
}

#[test]
fn an_idle_connection_costs_its_struct_alone() {
    assert!(size_of::<Streams>() <= 336, "{}", size_of::<Streams>());
    assert!(Line::open().streams.is_empty());
}

#[test]
fn each_oddity_is_told_once_a_connection() {
    let mut line = Line::open();
    let mut events = StreamEvents::NONE;
    events.add(StreamEvent::SequenceGap);
    assert!(!line.streams.to_tell(events).is_empty());
    assert!(line.streams.to_tell(events).is_empty());
}
