//! Streams through the whole path: the same attack however its segments come.

use proptest::prelude::*;

use super::tests::{Bench, entry, rule_set, stream_pool};
use super::*;
use crate::packet::app::EncryptionHandling;
use crate::packet::app::protocols::tls::samples;
use crate::packet::conntrack::{CtInfo, CtStatus, FateMask, TcpState, TcpTrack};
use crate::packet::event::Event;
use crate::packet::verdict::{OnTrouble, Reason};
use crate::rules::plan::Toward;
use etherparse::PacketBuilder;

const RULES: &str = r#"
drop tcp any any -> any 53 (msg:"two words"; flow:to_server; content:"evil"; content:"payload"; distance:0; sid:1;)
drop tcp any any -> any 53 (msg:"at the beginning"; content:"STARTSWITH"; depth:10; sid:2;)
alert tcp any any -> any 53 (msg:"count me"; content:"once"; sid:3;)
alert tcp any any -> any 53 (msg:"packet"; dsize:>3; content:"once"; sid:4;)
alert tcp-stream any any -> any 53 (msg:"stream only"; content:"wide"; sid:5;)
alert tcp any any -> any 53 (msg:"stream event"; stream-event:reassembly_overlap_different_data; sid:6;)
"#;

struct Line {
    bench: Bench,
    seq: u32,
}

impl Line {
    fn new(policy: Policy) -> Line {
        let mut bench = Bench::new(policy);
        bench.rules = rule_set(RULES, 1);
        Line { bench, seq: 1000 }
    }

    fn ips() -> Line {
        Line::new(Policy { stream_overlap: OnTrouble::Drop, ..Policy::default() })
    }

    fn at(&mut self, at: usize, payload: &[u8]) -> Action {
        let mut bytes = Vec::new();
        let seq = self.seq.wrapping_add(at as u32);
        let packet = PacketBuilder::ipv4([192, 168, 1, 10], [10, 0, 0, 1], 64).tcp(4000, 53, seq, 65_000).ack(1).psh();
        packet.write(&mut bytes, payload).unwrap();
        self.bench.judge(&bytes, Some((&entry(CtStatus::CONFIRMED), CtInfo::New))).action
    }

    fn alerts(&mut self, sid: u32) -> usize {
        let wanted = format!("alert:{sid}");
        self.bench.told().iter().filter(|told| told.split(':').take(2).collect::<Vec<_>>().join(":") == wanted).count()
    }
}

#[test]
fn an_attack_in_single_bytes_is_stopped_at_its_last_one() {
    let mut line = Line::ips();
    let attack = b"some evil with a payload";
    for (at, byte) in attack.iter().enumerate() {
        let action = line.at(at, &[*byte]);
        let last = at + 1 == attack.len();
        assert_eq!(action != Action::Accept, last, "byte {at}");
    }
}

#[test]
fn an_alert_shows_the_bytes_that_matched_wherever_they_came() {
    let mut line = Line::ips();
    line.bench.path = Path::new(
        Policy::default(),
        FateMask::default(),
        Copies { payload_bytes_max: 16, packet: false },
        AppConfig::default(),
    );
    let shown = |line: &mut Line| {
        let alert = line.bench.events.drain(..).find_map(|event| match event {
            Event::Alert(alert) => Some((alert.in_stream, alert.payload.escape_ascii().to_string())),
            _ => None,
        });
        alert.unwrap()
    };
    line.at(0, b"some evil with a");
    line.at(16, b" payload");
    assert_eq!(shown(&mut line), (true, "l with a payload".to_owned()), "the end of the stream so far");
    let mut line = Line::new(Policy::default());
    line.bench.path = Path::new(
        Policy::default(),
        FateMask::default(),
        Copies { payload_bytes_max: 4, packet: false },
        AppConfig::default(),
    );
    line.bench.rules = rule_set("alert tcp-pkt any any -> any 53 (content:\"abc\"; sid:1;)", 1);
    line.at(0, b"abcdef");
    assert_eq!(shown(&mut line), (false, "abcd".to_owned()), "the beginning of the packet");
}

/// As a passive sensor counts: the packet, and once more the beginning of the stream.
#[test]
fn of_a_recording_the_beginning_of_a_stream_is_told_twice() {
    let answered = |line: &mut Line| {
        let mut bytes = Vec::new();
        let packet = PacketBuilder::ipv4([10, 0, 0, 1], [192, 168, 1, 10], 64).tcp(53, 4000, 1, 65_000).ack(1010);
        packet.write(&mut bytes, &[]).unwrap();
        let _ = line.bench.judge(&bytes, Some((&entry(CtStatus::CONFIRMED), CtInfo::EstablishedReply)));
    };
    for (passive, more) in [(true, 1), (false, 0)] {
        let mut line = Line::new(Policy { passive, ..Policy::default() });
        line.bench.rules = rule_set("alert tcp any any -> any 53 (content:\"once\"; depth:4; sid:3;)", 1);
        line.at(0, b"once more.");
        line.at(10, b" and");
        assert_eq!(line.alerts(3), 1, "nobody has acknowledged it");
        answered(&mut line);
        line.at(14, b" then");
        line.at(19, b" once");
        assert_eq!(line.alerts(3), more);
    }
}

#[test]
fn what_conntrack_disowns_while_it_waits_for_the_handshake_is_followed() {
    let mut line = Line::ips();
    let mut opening = entry(CtStatus::CONFIRMED);
    let syn = |seq| {
        let mut bytes = Vec::new();
        let packet = PacketBuilder::ipv4([192, 168, 1, 10], [10, 0, 0, 1], 64).tcp(4000, 53, seq, 1).syn();
        packet.write(&mut bytes, &[]).unwrap();
        bytes
    };
    opening.tcp = Some(in_state(TcpState::SynSent));
    assert_eq!(line.bench.judge(&syn(70_000), Some((&opening, CtInfo::New))).action, Action::Accept);
    assert_eq!(line.bench.judge(&syn(999), None), Verdict::ACCEPT, "the one before never arrives");
    assert_eq!(line.bench.judge(&line_segment(0, b"some ev"), None), Verdict::ACCEPT);
    let stopped = line.bench.judge(&line_segment(7, b"il payload"), None);
    assert_eq!((stopped.action.reason(), stopped.fate), (Some(Reason::Rules), None), "there is no entry to write to");
    assert_eq!(line.bench.judge(&line_segment(7, b"il"), None).action.reason(), Some(Reason::FlowDrop));
}

#[test]
fn what_conntrack_disowns_of_a_living_connection_is_followed_where_the_receiver_takes_it() {
    let mut open = entry(CtStatus::CONFIRMED);
    open.tcp = Some(in_state(TcpState::Established));
    let known = Some((&open, CtInfo::Established));
    let mut line = Line::ips();
    assert_eq!(line.bench.judge(&line_segment(0, b"xx"), known), Verdict::ACCEPT);
    assert_eq!(line.bench.judge(&line_segment(2, b"some ev"), None), Verdict::ACCEPT);
    let stopped = line.bench.judge(&line_segment(9, b"il payload"), None);
    assert_eq!((stopped.action.reason(), stopped.fate), (Some(Reason::Rules), None), "there is no entry to write to");
    assert_eq!(line.bench.judge(&line_segment(90_000_000, b"il"), None).action.reason(), Some(Reason::FlowDrop));

    // What the receiver ignores is none of it.
    let mut line = Line::ips();
    assert_eq!(line.bench.judge(&line_segment(0, b"some "), known), Verdict::ACCEPT);
    let far = line_segment(90_000_000, b"STARTSWITH");
    assert_eq!(line.bench.judge(&far, None).action, Action::Drop(Reason::Rules), "alone");
    assert_eq!(line.bench.judge(&line_segment(5, b"good"), known), Verdict::ACCEPT);
}

/// A SYN that conntrack ignores, and the answer that makes it see: the entry stays, the connection is another.
#[test]
fn a_connection_that_begins_on_the_entry_of_another_is_followed_from_its_beginning() {
    let state = |state| {
        let mut entry = entry(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY);
        entry.tcp = Some(in_state(state));
        entry
    };
    let client = |seq: u32| PacketBuilder::ipv4([192, 168, 1, 10], [10, 0, 0, 1], 64).tcp(4000, 53, seq, 60_000);
    let answer = |seq: u32, ack: u32| {
        let mut bytes = Vec::new();
        let packet = PacketBuilder::ipv4([10, 0, 0, 1], [192, 168, 1, 10], 64).tcp(53, 4000, seq, 60_000);
        packet.syn().ack(ack).write(&mut bytes, &[]).unwrap();
        bytes
    };
    // The kernel's state says it, or our own memory of the SYN alone.
    for resynced in [TcpState::SynRecv, TcpState::CloseWait] {
        let mut line = Line::ips();
        let mut judge = |packet: &[u8], of: TcpState, info| line.bench.judge(packet, Some((&state(of), info)));
        let made = |packet: etherparse::PacketBuilderStep<etherparse::TcpHeader>, payload: &[u8]| {
            let mut bytes = Vec::new();
            packet.write(&mut bytes, payload).unwrap();
            bytes
        };
        for (first, server_first) in [(150_000, 9_000), (50_000, 700_000)] {
            let is_second = first == 50_000;
            let opening = if is_second { TcpState::CloseWait } else { TcpState::SynSent };
            let answered = if is_second { resynced } else { TcpState::SynRecv };
            assert_eq!(judge(&made(client(first - 1).syn(), b""), opening, CtInfo::New), Verdict::ACCEPT);
            assert_eq!(judge(&answer(server_first - 1, first), answered, CtInfo::EstablishedReply), Verdict::ACCEPT);
            let (after, info) = (TcpState::Established, CtInfo::Established);
            let data = |at: u32, payload: &[u8]| made(client(first + at).ack(server_first), payload);
            if is_second {
                assert_eq!(judge(&data(0, b"some ev"), after, info), Verdict::ACCEPT);
                assert_eq!(judge(&data(7, b"il payload"), after, info).action.reason(), Some(Reason::Rules));
            } else {
                assert_eq!(judge(&data(0, b"harmless and not acknowledged"), after, info), Verdict::ACCEPT);
            }
        }
    }
}

fn in_state(state: TcpState) -> TcpTrack {
    TcpTrack { state, wscale_orig: 0, wscale_reply: 0, flags_orig: 0, flags_reply: 0 }
}

/// A segment of the client's; `at` counts from its first byte.
fn line_segment(at: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packet = PacketBuilder::ipv4([192, 168, 1, 10], [10, 0, 0, 1], 64).tcp(4000, 53, 1000 + at as u32, 1).ack(1);
    packet.write(&mut bytes, payload).unwrap();
    bytes
}

#[test]
fn what_fills_the_hole_of_an_attack_is_held() {
    let mut line = Line::ips();
    assert_eq!(line.at(0, b"ev"), Action::Accept);
    assert_eq!(line.at(8, b"load"), Action::Accept);
    assert_eq!(line.at(4, b" pay"), Action::Accept);
    assert_ne!(line.at(2, b"il"), Action::Accept);
}

#[test]
fn a_literal_seen_before_waits_for_the_rest_of_its_rule() {
    let mut line = Line::ips();
    assert_eq!(line.at(0, b"xx evil xx"), Action::Accept);
    for at in 0..30 {
        assert_eq!(line.at(10 + at * 100, &[b'.'; 100]), Action::Accept);
    }
    assert_ne!(line.at(3010, b"payload"), Action::Accept, "still in the window");

    let mut line = Line::ips();
    assert_eq!(line.at(0, b"xx evil xx"), Action::Accept);
    for at in 0..50 {
        assert_eq!(line.at(10 + at * 100, &[b'.'; 100]), Action::Accept);
    }
    assert_eq!(line.at(5010, b"payload"), Action::Accept, "beyond the window");
}

#[test]
fn places_count_from_the_beginning_of_the_stream() {
    let mut line = Line::ips();
    assert_eq!(line.at(0, b"START"), Action::Accept);
    assert_ne!(line.at(5, b"SWITH"), Action::Accept);
    let mut line = Line::ips();
    assert_eq!(line.at(0, &[b'x'; 5000]), Action::Accept);
    assert_eq!(line.at(5000, b"START"), Action::Accept);
    assert_eq!(line.at(5005, b"SWITH"), Action::Accept);
}

#[test]
fn bytes_are_alerted_once() {
    let mut line = Line::ips();
    line.at(0, b"once");
    assert_eq!(line.alerts(3), 1);
    line.at(4, b" and more");
    line.at(0, b"once");
    line.at(13, b" and ");
    assert_eq!(line.alerts(3), 0, "old bytes are old, and so are repeated ones");
    line.at(18, b"on");
    line.at(20, b"ce");
    assert_eq!(line.alerts(3), 1);
}

#[test]
fn rules_about_packets_look_at_packets_and_rules_about_streams_do_not() {
    let mut line = Line::ips();
    line.at(0, b"on");
    line.at(2, b"ce");
    assert_eq!(line.alerts(4), 0);
    line.at(4, b"once");
    assert_eq!(line.alerts(4), 1);
    line.at(100, b"wide");
    assert_eq!(line.alerts(5), 0, "it waits for its turn");
    line.at(8, &[b'.'; 92]);
    assert_eq!(line.alerts(5), 1);
}

#[test]
fn contradictions_are_dropped_or_told_by_policy() {
    let mut line = Line::ips();
    assert_eq!(line.at(0, b"harmless"), Action::Accept);
    assert_eq!(line.at(0, b"harmful!"), Action::Drop(crate::packet::verdict::Reason::StreamOverlap));
    assert_eq!(line.at(0, b"harmless"), Action::Accept);
    let told = line.bench.told();
    assert!(told.contains(&"drop:stream overlap".to_owned()) && told.contains(&"anomaly".to_owned()), "{told:?}");
    assert!(told.contains(&"alert:6".to_owned()), "{told:?}");

    let mut line = Line::new(Policy::default());
    assert_eq!(line.at(0, b"harmless words"), Action::Accept);
    assert_eq!(line.at(0, b"harmful! words"), Action::Accept);
    assert_ne!(line.at(0, b"evil   payload"), Action::Accept, "what passes is looked at");
}

#[test]
fn a_cleared_connection_holds_nothing_and_begins_anew() {
    let mut line = Line::ips();
    line.bench.rules = rule_set("pass tcp any any -> any any (content:\"trusted\"; sid:9;)", 1);
    assert_eq!(line.at(0, b"trusted"), Action::Accept);
    assert_eq!(line.at(7, b"evil pay"), Action::Accept);
    line.bench.rules = rule_set(RULES, 2);
    assert_eq!(line.at(5000, b"evil pay"), Action::Accept);
    assert_ne!(line.at(5008, b"load"), Action::Accept);
}

/// The prefilter looks for a part of a long content: it may have come with an earlier segment than the rest.
#[test]
fn a_content_longer_than_what_the_prefilter_looks_for_may_be_cut_anywhere() {
    let long = "one content of many more bytes";
    for options in ["", "nocase;", "startswith;", "depth:30;", "offset:0; depth:30;", "fast_pattern:20,8;"] {
        for size in [1, 2, 7, 11, 12, 13, 18, 29] {
            let mut line = Line::ips();
            line.bench.rules =
                rule_set(&format!("drop tcp any any -> any 53 (content:\"{long}\"; {options} sid:1;)"), 1);
            let pieces = long.as_bytes().chunks(size).zip((0..).step_by(size));
            let last = pieces.map(|(piece, at)| line.at(at, piece)).last();
            assert_ne!(last, Some(Action::Accept), "{options} in pieces of {size}");
        }
    }
}

#[test]
fn beyond_the_depth_packets_are_judged_one_by_one_or_the_connection_is_cleared() {
    for bypass in [false, true] {
        let mut line = Line::ips();
        let config = StreamConfig { depth_bytes: 1000, bypass, ..StreamConfig::default() };
        line.bench.path = Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default())
            .following(config, stream_pool());
        assert_eq!(line.at(0, &[b'x'; 1000]), Action::Accept);
        assert_eq!(line.at(1000, b"evil pay"), Action::Accept);
        assert_eq!(line.at(1008, b"load"), Action::Accept);
        assert_ne!(line.at(1012, b"evil payload"), Action::Accept, "one direction alone clears nothing");
    }
}

#[test]
fn beyond_the_depth_nobody_looks_where_that_is_wanted() {
    let mut line = Line::ips();
    let config = StreamConfig { depth_bytes: 1000, look_beyond_depth: false, ..StreamConfig::default() };
    line.bench.path = Path::new(Policy::default(), FateMask::default(), Copies::default(), AppConfig::default())
        .following(config, stream_pool());
    assert_eq!(line.at(0, &[b'x'; 1000]), Action::Accept);
    assert_eq!(line.at(1000, b"evil payload"), Action::Accept);
    assert_eq!(line.alerts(1), 0);
}

/// Said by the client alone, to a server that bears a line of junk and reads the next.
#[test]
fn a_claim_of_encryption_hides_nothing() {
    for encryption in [EncryptionHandling::TrackOnly, EncryptionHandling::Bypass] {
        let mut line = Line::ips();
        let mut app = AppConfig::default();
        app.limits.tls.encryption = encryption;
        line.bench.path = Path::new(Policy::default(), FateMask::default(), Copies::default(), app);
        let junk = b"\x16\x03\x01\x00\x01\x0a\x17\x03\x03\xff\xff\x0a";
        assert_eq!(line.at(0, junk), Action::Accept);
        assert_ne!(line.at(junk.len(), b"evil payload"), Action::Accept, "{encryption:?}");
    }
}

#[test]
fn an_encrypted_connection_is_cleared_where_the_user_wants_it() {
    for (encryption, cleared) in [(EncryptionHandling::Bypass, true), (EncryptionHandling::Full, false)] {
        let mut line = Line::ips();
        let mut app = AppConfig::default();
        app.limits.tls.encryption = encryption;
        line.bench.path = Path::new(Policy::default(), FateMask::default(), Copies::default(), app);
        let known = entry(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY);
        let (mut client_seq, mut server_seq) = (1000, 5000);
        let mut last = Verdict::ACCEPT;
        for (toward, payload) in samples::handshake() {
            let (client, server) = ([192, 168, 1, 10], [10, 0, 0, 1]);
            let (packet, info) = match toward {
                Toward::Server => {
                    (PacketBuilder::ipv4(client, server, 64).tcp(4000, 53, client_seq, 9000), CtInfo::Established)
                }
                Toward::Client => {
                    (PacketBuilder::ipv4(server, client, 64).tcp(53, 4000, server_seq, 9000), CtInfo::EstablishedReply)
                }
            };
            let acknowledged = if toward == Toward::Server { server_seq } else { client_seq };
            let mut bytes = Vec::new();
            packet.ack(acknowledged).write(&mut bytes, &payload).unwrap();
            *(if toward == Toward::Server { &mut client_seq } else { &mut server_seq }) += payload.len() as u32;
            last = line.bench.judge(&bytes, Some((&known, info)));
        }
        assert_eq!(last == Verdict::PASS, cleared, "{encryption:?}");
        assert_eq!(line.bench.path.counters().cleared_by(Clearing::Encrypted), u64::from(cleared));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Cut, reordered and repeated at will, the attack never gets all of its bytes past us, and never alone.
    #[test]
    fn no_segmentation_hides_an_attack(
        before in 0..200usize,
        between in 0..300usize,
        cuts in proptest::collection::vec((0..550usize, 1..80usize), 0..40),
        last_cut in 1..70usize,
    ) {
        let attack = [&vec![b'-'; before][..], b"evil", &vec![b'='; between], b"payload"].concat();
        let mut line = Line::ips();
        // The first byte is where a connection in its middle begins.
        let mut forwarded = vec![false; attack.len()];
        let mut stopped = false;
        let whole = (0..attack.len()).step_by(last_cut).map(|at| (at, last_cut));
        let pieces = std::iter::once((0, 1)).chain(cuts).chain(whole);
        for (at, len) in pieces {
            let at = at.min(attack.len() - 1);
            let piece = &attack[at..(at + len).min(attack.len())];
            match line.at(at, piece) {
                Action::Accept => forwarded[at..at + piece.len()].fill(true),
                _ => {
                    stopped = true;
                    break;
                }
            }
        }
        prop_assert!(stopped);
        prop_assert!(forwarded.iter().any(|there| !there), "every byte of it was delivered");
    }
}
