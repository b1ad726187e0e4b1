use std::net::Ipv4Addr;

use super::*;
use crate::packet::conntrack::TcpState;
use crate::packet::decode::{Tcp, decode};

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [198, 51, 100, 2];
const ROUTER: [u8; 4] = [203, 0, 113, 3];

const SYN: u8 = Tcp::SYN;
const ACK: u8 = Tcp::ACK;
const FIN: u8 = Tcp::FIN;
const RST: u8 = Tcp::RST;

fn ipv4(src: [u8; 4], dst: [u8; 4], protocol: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(src.iter().chain(&dst).chain(body));
    packet
}

fn ports(src: u16, dst: u16) -> Vec<u8> {
    [src.to_be_bytes(), dst.to_be_bytes()].concat()
}

/// A segment between client port 40000 and server port 80.
#[derive(Clone, Copy)]
struct Segment {
    from_client: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    len: usize,
}

fn client(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment { from_client: true, flags, seq, ack, len: 0 }
}

fn server(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment { from_client: false, flags, seq, ack, len: 0 }
}

impl Segment {
    fn with(self, len: usize) -> Segment {
        Segment { len, ..self }
    }

    fn packet(self) -> Vec<u8> {
        let (src, dst, src_port, dst_port) =
            if self.from_client { (CLIENT, SERVER, 40000, 80) } else { (SERVER, CLIENT, 80, 40000) };
        let mut body = ports(src_port, dst_port);
        body.extend(self.seq.to_be_bytes());
        body.extend(self.ack.to_be_bytes());
        body.extend([0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        body.resize(20 + self.len, 0x61);
        ipv4(src, dst, 6, &body)
    }
}

fn udp(from_client: bool) -> Vec<u8> {
    let (src, dst, src_port, dst_port) =
        if from_client { (CLIENT, SERVER, 5000, 53) } else { (SERVER, CLIENT, 53, 5000) };
    ipv4(src, dst, 17, &[ports(src_port, dst_port), vec![0, 8, 0, 0]].concat())
}

fn icmp(src: [u8; 4], dst: [u8; 4], icmp_type: u8, code: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![icmp_type, code, 0, 0];
    body.extend(id.to_be_bytes());
    body.extend([0, 1]);
    body.extend(payload);
    ipv4(src, dst, 1, &body)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// Tracks a packet and accepts it; what the data plane would have seen.
fn pass(table: &mut SimulatedConntrack, packet: &[u8], seconds: u64) -> Option<(Conntrack, CtInfo)> {
    judge(table, packet, seconds, true)
}

fn judge(table: &mut SimulatedConntrack, packet: &[u8], seconds: u64, accept: bool) -> Option<(Conntrack, CtInfo)> {
    table.advance(at(seconds));
    let decoded = decode(packet, 0x0800);
    assert!(decoded.headers.is_some());
    table.track(&decoded.headers.unwrap());
    let seen = table.current().map(|tracked| (*tracked.entry, tracked.info));
    table.settle(accept);
    seen
}

fn ends(table: &mut SimulatedConntrack) -> Vec<EntryEnd> {
    table.take_destroyed().map(|destroyed| destroyed.end).collect()
}

fn state(seen: Option<(Conntrack, CtInfo)>) -> Option<TcpState> {
    seen.and_then(|(entry, _)| entry.tcp).map(|tcp| tcp.state)
}

/// SYN, SYN/ACK, ACK: client at 101, server at 501.
fn handshake(table: &mut SimulatedConntrack, seconds: u64) -> Conntrack {
    pass(table, &client(SYN, 100, 0).packet(), seconds);
    pass(table, &server(SYN | ACK, 500, 101).packet(), seconds);
    pass(table, &client(ACK, 101, 501).packet(), seconds).unwrap().0
}

#[test]
fn a_handshake_shows_what_the_kernel_shows_at_forward() {
    let mut table = SimulatedConntrack::default();
    let (entry, info) = pass(&mut table, &client(SYN, 100, 0).packet(), 0).unwrap();
    assert_eq!((info, entry.status.0, entry.start_ns, entry.timeout_s), (CtInfo::New, 0, None, Some(120)));
    assert_eq!(entry.tcp.unwrap().state, TcpState::SynSent);
    assert_eq!(entry.orig.src, Ipv4Addr::from(CLIENT));
    assert_eq!((entry.orig.src_port, entry.orig.dst_port, entry.reply), (40000, 80, entry.orig.inverted()));
    assert_eq!(entry.counters_orig, Some(Counters { packets: 1, bytes: 40 }));

    let (entry, info) = pass(&mut table, &server(SYN | ACK, 500, 101).packet(), 1).unwrap();
    assert_eq!((info, entry.status.0), (CtInfo::EstablishedReply, CtStatus::CONFIRMED | CtStatus::SEEN_REPLY));
    assert_eq!((entry.tcp.unwrap().state, entry.timeout_s), (TcpState::SynRecv, Some(60)));
    assert_eq!(entry.start_ns, Some(at(0).micros * 1000));

    let (entry, info) = pass(&mut table, &client(ACK, 101, 501).packet(), 2).unwrap();
    let all = CtStatus::CONFIRMED | CtStatus::SEEN_REPLY | CtStatus::ASSURED;
    assert_eq!((info, entry.status.0), (CtInfo::Established, all));
    assert_eq!((entry.tcp.unwrap().state, entry.timeout_s), (TcpState::Established, Some(432_000)));

    let (entry, _) = pass(&mut table, &server(ACK, 501, 101).with(10).packet(), 3).unwrap();
    assert_eq!(entry.counters_orig, Some(Counters { packets: 2, bytes: 80 }));
    assert_eq!(entry.counters_reply, Some(Counters { packets: 2, bytes: 90 }));
    assert_eq!(table.len(), 1);
}

#[test]
fn window_scale_and_sack_come_from_the_options() {
    let mut table = SimulatedConntrack::default();
    let mut syn = client(SYN, 100, 0).with(8).packet();
    syn[32] = 0x70;
    syn[40..48].copy_from_slice(&[3, 3, 7, 4, 2, 1, 1, 0]);
    let tcp = pass(&mut table, &syn, 0).unwrap().0.tcp.unwrap();
    assert_eq!((tcp.wscale_orig, tcp.flags_orig, tcp.flags_reply), (7, 3, 0));
}

/// `tcp_in_window` takes the highest edge for what is acknowledged.
#[test]
fn what_selectively_acknowledges_bytes_that_were_never_sent_is_invalid() {
    let with_options = |segment: Segment, options: &[u8]| {
        let mut packet = segment.with(options.len() + segment.len).packet();
        packet[32] = (0x50 + options.len() / 4 * 16) as u8;
        packet[40..40 + options.len()].copy_from_slice(options);
        packet
    };
    let sack = |left: u32, right: u32| [&[1, 1, 5, 10][..], &left.to_be_bytes(), &right.to_be_bytes()].concat();
    for permitted in [true, false] {
        let mut table = SimulatedConntrack::default();
        let option: &[u8] = if permitted { &[4, 2, 1, 1] } else { &[1, 1, 1, 1] };
        pass(&mut table, &with_options(client(SYN, 100, 0), option), 0).unwrap();
        pass(&mut table, &with_options(server(SYN | ACK, 500, 101), option), 0).unwrap();
        pass(&mut table, &client(ACK, 101, 501).packet(), 0).unwrap();
        pass(&mut table, &server(ACK, 501, 101).with(40).packet(), 0).unwrap();
        let data = client(ACK, 101, 501).with(10);
        assert!(pass(&mut table, &with_options(data, &sack(521, 541)), 1).is_some(), "sent");
        assert_eq!(pass(&mut table, &with_options(data, &sack(521, 542)), 1).is_none(), permitted);
        assert_eq!(pass(&mut table, &with_options(data, &sack(100_000, 200_000)), 1).is_none(), permitted);
        assert!(pass(&mut table, &data.packet(), 2).is_some());
    }
}

#[test]
fn segments_move_the_state_machine() {
    use TcpState::{Close, CloseWait, Established, FinWait, LastAck, SynRecv, SynSent, SynSent2, TimeWait};
    type Script = (&'static str, &'static [(Segment, Option<TcpState>)]);
    let (c, s) = (true, false);
    let seg = |from_client, flags, seq, ack| Segment { from_client, flags, seq, ack, len: 0 };
    let open = [
        (seg(c, SYN, 100, 0), Some(SynSent)),
        (seg(s, SYN | ACK, 500, 101), Some(SynRecv)),
        (seg(c, ACK, 101, 501), Some(Established)),
    ];
    type Steps = Vec<(Segment, Option<TcpState>)>;
    let closing: Vec<(&str, Steps)> = vec![
        (
            "the client closes first",
            vec![
                (seg(c, FIN | ACK, 101, 501), Some(FinWait)),
                (seg(s, ACK, 501, 102), Some(CloseWait)),
                (seg(s, FIN | ACK, 501, 102), Some(LastAck)),
                (seg(c, ACK, 102, 502), Some(TimeWait)),
            ],
        ),
        (
            "both at once",
            vec![
                (seg(c, FIN | ACK, 101, 501), Some(FinWait)),
                (seg(s, FIN | ACK, 501, 101), Some(LastAck)),
                (seg(c, ACK, 102, 502), Some(TimeWait)),
            ],
        ),
        (
            "a reset where the other side waits",
            vec![(seg(c, RST, 101, 0), Some(Close)), (seg(s, ACK, 501, 101), Some(Close))],
        ),
        ("a reset from the past", vec![(seg(s, RST, 400, 0), None), (seg(c, ACK, 101, 501), Some(Established))]),
        (
            "a reset from the future",
            vec![(seg(s, RST, 9000, 0), Some(Established)), (seg(c, ACK, 101, 501), Some(Established))],
        ),
        (
            "no such flags",
            vec![(seg(c, SYN | FIN, 101, 501), None), (seg(c, 0, 101, 501), None), (seg(c, FIN, 101, 0), None)],
        ),
        (
            "a SYN in a living connection",
            vec![(seg(c, SYN, 7000, 0), Some(Established)), (seg(c, ACK, 101, 501), Some(Established))],
        ),
    ];
    for (name, script) in closing {
        let mut table = SimulatedConntrack::default();
        for (step, (segment, expected)) in open.iter().chain(&script).enumerate() {
            assert_eq!(state(pass(&mut table, &segment.packet(), 0)), *expected, "{name}, segment {step}");
        }
    }
    let opening: &[Script] = &[
        (
            "simultaneous open",
            &[
                (Segment { from_client: true, flags: SYN, seq: 1, ack: 0, len: 0 }, Some(SynSent)),
                (Segment { from_client: false, flags: SYN, seq: 9, ack: 0, len: 0 }, Some(SynSent2)),
                (Segment { from_client: true, flags: SYN | ACK, seq: 1, ack: 10, len: 0 }, Some(SynRecv)),
            ],
        ),
        (
            "half of a connection",
            &[
                (Segment { from_client: true, flags: SYN, seq: 1, ack: 0, len: 0 }, Some(SynSent)),
                (Segment { from_client: true, flags: ACK, seq: 2, ack: 10, len: 0 }, None),
            ],
        ),
        ("a SYN/ACK of nobody", &[(Segment { from_client: false, flags: SYN | ACK, seq: 1, ack: 2, len: 0 }, None)]),
        ("a FIN of nobody", &[(Segment { from_client: true, flags: FIN | ACK, seq: 1, ack: 2, len: 0 }, None)]),
        ("a reset of nobody", &[(Segment { from_client: true, flags: RST, seq: 1, ack: 2, len: 0 }, None)]),
    ];
    for (name, script) in opening {
        let mut table = SimulatedConntrack::default();
        for (step, (segment, expected)) in script.iter().enumerate() {
            assert_eq!(state(pass(&mut table, &segment.packet(), 0)), *expected, "{name}, segment {step}");
        }
    }
}

#[test]
fn midstream_is_picked_up_only_when_loose() {
    let mut loose = SimulatedConntrack::new(true, ENTRY_COUNT_MAX);
    // The server's side is seen first: it becomes the original direction.
    let (entry, info) = pass(&mut loose, &server(ACK, 501, 101).with(5).packet(), 0).unwrap();
    assert_eq!((info, entry.orig.src_port, entry.timeout_s), (CtInfo::New, 80, Some(300)));
    assert_eq!(entry.tcp.unwrap().state, TcpState::Established);
    let (entry, info) = pass(&mut loose, &client(ACK, 101, 506).packet(), 0).unwrap();
    assert_eq!(info, CtInfo::EstablishedReply);
    assert!(!entry.status.has(CtStatus::ASSURED), "an answer is not yet an answered answer");
    let (entry, _) = pass(&mut loose, &server(ACK, 506, 101).packet(), 0).unwrap();
    assert!(entry.status.has(CtStatus::ASSURED));
    assert_eq!(entry.timeout_s, Some(432_000));

    let mut strict = SimulatedConntrack::new(false, ENTRY_COUNT_MAX);
    assert_eq!(pass(&mut strict, &server(ACK, 501, 101).with(5).packet(), 0), None);
    assert!(strict.is_empty());
}

#[test]
fn a_refused_connection_is_gone_at_once() {
    let mut table = SimulatedConntrack::default();
    pass(&mut table, &client(SYN, 100, 0).packet(), 0);
    let (entry, info) = pass(&mut table, &server(RST | ACK, 0, 101).packet(), 0).unwrap();
    assert_eq!(info, CtInfo::EstablishedReply);
    assert!(entry.status.has(CtStatus::DYING | CtStatus::SEEN_REPLY));
    assert_eq!(ends(&mut table), [EntryEnd::Removed]);
    assert!(table.is_empty());
}

#[test]
fn a_syn_after_the_end_is_a_new_incarnation() {
    let closed_by_fin = [client(FIN | ACK, 101, 501), server(FIN | ACK, 501, 102), client(ACK, 102, 502)];
    let closed_by_reset = [client(RST, 101, 0)];
    for (name, closing) in [("FIN", &closed_by_fin[..]), ("RST of the client", &closed_by_reset[..])] {
        let mut table = SimulatedConntrack::default();
        let old = handshake(&mut table, 0);
        for segment in closing {
            pass(&mut table, &segment.packet(), 1);
        }
        table.advance(at(2));
        let packet = client(SYN, 9000, 0).packet();
        table.track(&decode(&packet, 0x0800).headers.unwrap());
        let gone: Vec<_> = table.take_destroyed().collect();
        assert_eq!(gone.len(), 1, "{name}: told before the packet that replaces it");
        assert_eq!((gone[0].entry.id, gone[0].end, gone[0].at), (old.id, EntryEnd::Removed, at(2)));
        let new = *table.current().unwrap().entry;
        table.settle(true);
        assert_eq!(new.orig, old.orig);
        assert_ne!(new.id, old.id, "{name}");
        assert_eq!((new.tcp.unwrap().state, new.status.0), (TcpState::SynSent, 0));
    }
}

#[test]
fn a_server_that_reset_is_believed_when_it_answers_again() {
    let mut table = SimulatedConntrack::default();
    let old = handshake(&mut table, 0);
    pass(&mut table, &server(RST, 501, 0).packet(), 1);
    // The kernel does not trust this SYN: only the answer shows that both sides begin anew.
    assert_eq!(state(pass(&mut table, &client(SYN, 9000, 0).packet(), 2)), Some(TcpState::Close));
    let (entry, _) = pass(&mut table, &server(SYN | ACK, 700, 9001).packet(), 2).unwrap();
    assert_eq!((entry.id, entry.tcp.unwrap().state), (old.id, TcpState::SynRecv));
}

#[test]
fn a_dropped_first_packet_leaves_nothing_behind() {
    let mut table = SimulatedConntrack::default();
    let first = judge(&mut table, &client(SYN, 100, 0).packet(), 0, false).unwrap();
    assert!(table.is_empty() && ends(&mut table).is_empty());
    let (again, info) = pass(&mut table, &client(SYN, 100, 0).packet(), 1).unwrap();
    assert_eq!((info, again.status.0), (CtInfo::New, 0));
    assert_ne!(again.id, first.0.id);
    // A later packet has moved the entry, dropped or not.
    judge(&mut table, &server(SYN | ACK, 500, 101).packet(), 1, false);
    assert_eq!(state(pass(&mut table, &client(ACK, 101, 501).packet(), 1)), Some(TcpState::Established));
}

#[test]
fn a_repeated_syn_neither_counts_nor_prolongs() {
    let mut table = SimulatedConntrack::default();
    pass(&mut table, &client(SYN, 100, 0).packet(), 0);
    let (entry, info) = pass(&mut table, &client(SYN, 100, 0).packet(), 100).unwrap();
    assert_eq!((info, entry.timeout_s, entry.counters_orig.unwrap().packets), (CtInfo::New, Some(20), 1));
    table.advance(at(121));
    assert_eq!(ends(&mut table), [EntryEnd::Expired]);
}

#[test]
fn udp_becomes_a_stream_after_two_seconds() {
    let mut table = SimulatedConntrack::default();
    let (entry, info) = pass(&mut table, &udp(true), 0).unwrap();
    assert_eq!((info, entry.timeout_s), (CtInfo::New, Some(30)));
    let (entry, info) = pass(&mut table, &udp(true), 1).unwrap();
    assert_eq!((info, entry.status.0), (CtInfo::New, CtStatus::CONFIRMED), "without an answer it stays new");
    let (entry_2, info) = pass(&mut table, &udp(false), 2).unwrap();
    assert_eq!((info, entry_2.timeout_s, entry_2.id), (CtInfo::EstablishedReply, Some(30), entry.id));
    let (entry, info) = pass(&mut table, &udp(true), 3).unwrap();
    assert_eq!((info, entry.timeout_s), (CtInfo::Established, Some(120)));
    assert!(entry.status.has(CtStatus::ASSURED));
}

#[test]
fn entries_expire_when_packet_time_says_so() {
    let mut table = SimulatedConntrack::default();
    pass(&mut table, &udp(true), 0);
    pass(&mut table, &udp(true), 20);
    table.advance(at(49));
    assert_eq!(table.len(), 1);
    table.advance(at(500));
    let gone: Vec<_> = table.take_destroyed().collect();
    assert_eq!((gone.len(), gone[0].end, gone[0].at), (1, EntryEnd::Expired, at(50)));
    assert_eq!((gone[0].entry.timeout_s, gone[0].entry.stop_ns), (None, Some(at(50).micros * 1000)));
    let (entry, info) = pass(&mut table, &udp(true), 500).unwrap();
    assert_eq!(info, CtInfo::New);
    assert_ne!(entry.id, gone[0].entry.id);
}

#[test]
fn a_shorter_timeout_rings_earlier_and_time_does_not_go_back() {
    let mut table = SimulatedConntrack::default();
    handshake(&mut table, 0);
    pass(&mut table, &client(RST, 101, 0).packet(), 10);
    table.advance(at(5));
    assert_eq!(table.len(), 1);
    table.advance(at(20));
    assert_eq!(ends(&mut table), [EntryEnd::Expired]);
    assert!(table.is_empty());
}

#[test]
fn echoes_and_their_answers_are_one_entry() {
    let mut table = SimulatedConntrack::default();
    let (entry, info) = pass(&mut table, &icmp(CLIENT, SERVER, 8, 0, 7, b"x"), 0).unwrap();
    assert_eq!((info, entry.orig.src_port, entry.orig.dst_port, entry.reply.dst_port), (CtInfo::New, 7, 0x0800, 0));
    let (answered, info) = pass(&mut table, &icmp(SERVER, CLIENT, 0, 0, 7, b"x"), 0).unwrap();
    assert_eq!((info, answered.id), (CtInfo::EstablishedReply, entry.id));
    assert_eq!(pass(&mut table, &icmp(SERVER, CLIENT, 0, 0, 8, b"x"), 0), None, "an answer to nothing");
    let other = pass(&mut table, &icmp(CLIENT, SERVER, 8, 0, 8, b"x"), 0).unwrap().0;
    assert_ne!(other.id, entry.id);
}

#[test]
fn icmp_errors_belong_to_the_connection_that_they_quote() {
    let mut table = SimulatedConntrack::default();
    let syn = client(SYN, 100, 0).packet();
    let entry = pass(&mut table, &syn, 0).unwrap().0;
    let unreachable = icmp(ROUTER, CLIENT, 3, 1, 0, &syn[..28]);
    let (related, info) = pass(&mut table, &unreachable, 1).unwrap();
    assert_eq!((info, related.id), (CtInfo::RelatedReply, entry.id));
    assert_eq!(related.counters_orig, entry.counters_orig, "an error is not counted");
    assert!(!related.status.has(CtStatus::SEEN_REPLY));

    pass(&mut table, &server(SYN | ACK, 500, 101).packet(), 1);
    let about_the_answer = icmp(ROUTER, SERVER, 11, 0, 0, &server(SYN | ACK, 500, 101).packet()[..28]);
    assert_eq!(pass(&mut table, &about_the_answer, 1).unwrap().1, CtInfo::Related);

    let to_somebody_else = icmp(ROUTER, ROUTER, 3, 1, 0, &syn[..28]);
    assert_eq!(pass(&mut table, &to_somebody_else, 1), None);
    let about_nothing = icmp(ROUTER, CLIENT, 3, 1, 0, &udp(true)[..28]);
    assert_eq!(pass(&mut table, &about_nothing, 1), None);
    let cut = icmp(ROUTER, CLIENT, 3, 1, 0, &syn[..22]);
    assert_eq!(pass(&mut table, &cut, 1), None);
}

#[test]
fn other_protocols_have_their_timeouts() {
    let mut table = SimulatedConntrack::default();
    for (protocol, body, timeout_s) in
        [(50, vec![0; 20], 600), (47, vec![0, 0, 0x88, 0xcc], 30), (132, vec![0; 12], 10)]
    {
        let (entry, info) = pass(&mut table, &ipv4(CLIENT, SERVER, protocol, &body), 0).unwrap();
        assert_eq!((info, entry.timeout_s, entry.orig.src_port), (CtInfo::New, Some(timeout_s), 0), "{protocol}");
    }
    assert_eq!(pass(&mut table, &ipv4(CLIENT, SERVER, 17, &[0; 7]), 0), None, "a header that does not parse");
    let too_long = ipv4(CLIENT, SERVER, 17, &[ports(1, 2), vec![0, 9, 0, 0]].concat());
    assert_eq!(pass(&mut table, &too_long, 0), None, "a UDP length behind the packet's end");
}

#[test]
fn neighbour_discovery_is_untracked() {
    let mut table = SimulatedConntrack::default();
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 58, 255];
    packet.extend([0u8; 31]);
    packet.push(1);
    packet.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    table.track(&decode(&packet, 0x86dd).headers.unwrap());
    assert!(table.current().is_none());
    packet[40] = 128;
    table.track(&decode(&packet, 0x86dd).headers.unwrap());
    assert!(table.current().is_some());
}

#[test]
fn a_connection_with_itself_is_one_entry_and_always_original() {
    let mut table = SimulatedConntrack::default();
    let packet = ipv4(CLIENT, CLIENT, 17, &[ports(9, 9), vec![0, 8, 0, 0]].concat());
    pass(&mut table, &packet, 0);
    let (entry, info) = pass(&mut table, &packet, 1).unwrap();
    assert_eq!((info, entry.counters_orig.unwrap().packets), (CtInfo::New, 2));
    table.end();
    assert_eq!(ends(&mut table), [EntryEnd::CaptureEnded]);
}

#[test]
fn a_full_table_gives_up_what_is_not_assured() {
    let mut table = SimulatedConntrack::new(true, 2);
    let kept = handshake(&mut table, 0);
    pass(&mut table, &udp(true), 0);
    assert_eq!(table.len(), 2);
    pass(&mut table, &icmp(CLIENT, SERVER, 8, 0, 1, b""), 0);
    assert_eq!((table.len(), ends(&mut table)), (2, vec![EntryEnd::Removed]));
    assert_eq!(pass(&mut table, &client(ACK, 101, 501).packet(), 1).unwrap().0.id, kept.id);

    let mut full = SimulatedConntrack::new(true, 1);
    handshake(&mut full, 0);
    assert!(pass(&mut full, &udp(true), 0).is_some(), "seen with an entry that then finds no room");
    assert_eq!((full.len(), ends(&mut full)), (1, vec![]));
}

#[test]
fn the_end_of_the_capture_ends_all_entries_oldest_first() {
    let mut table = SimulatedConntrack::default();
    let first = pass(&mut table, &udp(true), 0).unwrap().0;
    let second = pass(&mut table, &client(SYN, 1, 0).packet(), 1).unwrap().0;
    table.end();
    let gone: Vec<_> = table.take_destroyed().map(|gone| (gone.entry.id, gone.end)).collect();
    assert_eq!(gone, [(first.id, EntryEnd::CaptureEnded), (second.id, EntryEnd::CaptureEnded)]);
    assert!(table.is_empty());
}

#[test]
fn slots_and_alarms_are_reused_without_mixing_incarnations() {
    let mut table = SimulatedConntrack::default();
    let mut ids = std::collections::HashSet::new();
    for round in 0..1000 {
        assert!(ids.insert(pass(&mut table, &udp(true), round * 31).unwrap().0.id));
        assert_eq!(table.len(), 1);
    }
    table.end();
    assert_eq!(ends(&mut table).len(), 1000);
    assert_eq!(table.slots.len(), 1);
}
