//! The queue against this kernel: real packets of real sockets, in a network namespace of its own per scenario.
//!
//! ```text
//!  sender ── 127.0.0.1 ──► OUTPUT: -j NFQUEUE --queue-num 7 --queue-bypass ──► ... ──► INPUT ──► receiver
//!                                              │      ▲
//!                                              ▼      │
//!                                           the queue under test
//! ```
//!
//! Needs root, iptables and the NFQUEUE target; a scenario that cannot run is reported as ignored, by name.
//! Each scenario runs in a child of this program, so that it may drop capabilities and leave no namespace behind.

// A test says what it expects by panicking, also in the helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod inside;
mod lane;
mod measure;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use tidegate::kernel::queue::{Answer, ConntrackWrite, Disposition, Queue, QueueConfig, QueueError, proc};
use tidegate::packet::conntrack::{Direction, Labels};
use tidegate::packet::ingress::{ChecksumStatus, Hook};

use inside::{Needs, Scenario, without_net_admin};
use lane::{Lane, NUMBER, PORT, iptables, open, rule_packets, run, serve};

const SOON: Duration = Duration::from_millis(100);
const MS: Duration = Duration::from_millis(1);

const SCENARIOS: &[Scenario] = &[
    ("accepts_are_merged_and_arrive_in_order", accepts_are_merged_and_arrive_in_order, Needs::Nothing),
    ("answers_given_in_any_order_leave_in_order", answers_given_in_any_order_leave_in_order, Needs::Nothing),
    ("drops_and_marks_hit_exactly_their_packets", drops_and_marks_hit_exactly_their_packets, Needs::Nothing),
    ("a_repeated_packet_passes_once_its_mark_is_set", a_repeated_packet_passes_once_its_mark_is_set, Needs::Nothing),
    ("everything_around_the_packet_is_read", everything_around_the_packet_is_read, Needs::Nothing),
    ("ipv6_is_read_too", ipv6_is_read_too, Needs::Nothing),
    ("super_packets_come_whole", super_packets_come_whole, Needs::Nothing),
    ("the_entry_comes_along_or_its_lack_is_reported", the_entry_comes_along_or_its_lack_is_reported, Needs::Nothing),
    ("the_entry_can_be_written_with_a_verdict", the_entry_can_be_written_with_a_verdict, Needs::GlueCt),
    ("a_full_receive_buffer_lets_packets_pass", a_full_receive_buffer_lets_packets_pass, Needs::Nothing),
    ("a_full_queue_lets_packets_pass", a_full_queue_lets_packets_pass, Needs::Nothing),
    ("a_second_owner_is_told_about_the_first", a_second_owner_is_told_about_the_first, Needs::Nothing),
    ("without_the_capability_it_says_so", without_the_capability_it_says_so, Needs::Nothing),
    ("refused_verdicts_leave_nothing_hanging", refused_verdicts_leave_nothing_hanging, Needs::Nothing),
    ("verdicts_for_flushed_packets_are_normal_life", verdicts_for_flushed_packets_are_normal_life, Needs::Nothing),
    ("unanswered_packets_are_accepted_and_counted", unanswered_packets_are_accepted_and_counted, Needs::Nothing),
    ("a_panic_leaves_no_packet_behind", a_panic_leaves_no_packet_behind, Needs::Nothing),
    ("a_drain_answers_all_that_is_left", a_drain_answers_all_that_is_left, Needs::Nothing),
    ("a_dropped_queue_accepts_what_waits", a_dropped_queue_accepts_what_waits, Needs::Nothing),
    ("opening_under_traffic_forgets_nothing", opening_under_traffic_forgets_nothing, Needs::Nothing),
    ("four_idle_queues_cost_little_also_after_a_load", four_idle_queues_cost_little_also_after_a_load, Needs::Nothing),
    ("a_silent_queue_returns_in_time", a_silent_queue_returns_in_time, Needs::Nothing),
    ("the_nfq_crate_sees_the_same", the_nfq_crate_sees_the_same, Needs::Nothing),
    ("a_warm_loop_allocates_nothing", a_warm_loop_allocates_nothing, Needs::Nothing),
    ("measure_against_the_nfq_crate", measure::against_the_nfq_crate, Needs::Measurement),
];

fn main() -> ExitCode {
    inside::main(SCENARIOS)
}

fn accepts_are_merged_and_arrive_in_order() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..120);
    let served = serve(&mut queue, 120, |_| Answer::ACCEPT);
    assert_eq!(lane.received(120), (0..120).collect::<Vec<_>>());
    assert_eq!((served.accepted, served.packets, served.id_gaps), (120, 120, 0));
    assert_eq!(served.verdict_messages, served.batches, "one message for a batch of plain accepts");
    assert!(served.batches <= 2, "{served:?}");
    assert_eq!(served.verdict_errors.total(), 0);
    assert_eq!(served.bytes, 120 * (20 + 8 + 4));
}

fn answers_given_in_any_order_leave_in_order() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..50);
    let received = queue.receive(SOON).unwrap();
    assert_eq!(received.packets, 50);
    let (inbox, mut answers) = queue.split();
    let mut tickets: Vec<_> = inbox.map(|(_, ticket)| ticket).collect();
    while let Some(ticket) = tickets.pop() {
        answers.accept(ticket);
    }
    answers.flush().unwrap();
    assert_eq!(lane.received(50), (0..50).collect::<Vec<_>>());
    assert_eq!((queue.counters().verdict_messages, queue.counters().orphans), (1, 0));
}

fn drops_and_marks_hit_exactly_their_packets() {
    let lane = Lane::new();
    // The mark that the packets come with, and counters for the marks that they leave with.
    iptables("-t mangle -A OUTPUT -p udp -j MARK --set-mark 0x1234");
    lane.queue_output();
    for mark in ["0x1234", "0x77"] {
        iptables(&format!("-t mangle -A POSTROUTING -p udp -m mark --mark {mark}"));
    }
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..60);
    let served = serve(&mut queue, 60, |seq| match seq {
        seq if seq % 3 == 0 => Answer::DROP,
        seq if seq % 5 == 0 => Answer::ACCEPT.with_packet_mark(0x77),
        _ => Answer::ACCEPT,
    });
    let passed: Vec<u32> = (0..60).filter(|seq| seq % 3 != 0).collect();
    assert_eq!(lane.received(passed.len()), passed);
    assert_eq!((served.accepted, served.dropped), (40, 20));
    assert_eq!(rule_packets("mangle", "POSTROUTING"), [32, 8], "a plain accept keeps the mark, 5, 10, 20, ... lose it");
}

fn a_repeated_packet_passes_once_its_mark_is_set() {
    let lane = Lane::new();
    iptables(&format!("-A OUTPUT -p udp -m mark ! --mark 1 -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..5);
    let served = serve(&mut queue, 5, |_| Answer::REPEAT.with_packet_mark(1));
    assert_eq!(lane.received(5), [0, 1, 2, 3, 4]);
    assert_eq!((served.repeated, served.packets), (5, 5));
    assert_eq!(queue.receive(SOON).unwrap().packets, 0, "the rule did not match twice");
}

fn everything_around_the_packet_is_read() {
    let lane = Lane::new();
    iptables("-t mangle -A INPUT -p udp -j MARK --set-mark 0xcafe");
    iptables(&format!("-A INPUT -p udp -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send([7]);
    assert_eq!(queue.receive(SOON).unwrap().packets, 1);
    let (inbox, mut answers) = queue.split();
    for (packet, ticket) in inbox {
        let ingress = packet.ingress();
        assert_eq!((packet.id, ingress.hook, ingress.ethertype), (1, Hook::Input, 0x0800));
        assert_eq!((ingress.in_ifindex, ingress.out_ifindex), (1, 0), "the loopback is the first interface");
        assert_eq!((ingress.mark, ingress.full_len, ingress.gso), (0xcafe, 32, false));
        assert_eq!(ingress.source_mac, Some([0; 6]));
        assert_eq!((&ingress.bytes[..2], &ingress.bytes[28..]), (&[0x45, 0][..], &[0, 0, 0, 7][..]));
        answers.accept(ticket);
    }
    answers.flush().unwrap();
    assert_eq!(lane.received(1), [7]);
}

fn ipv6_is_read_too() {
    let lane = Lane::at("[::1]");
    run("ip6tables", &format!("-w -A OUTPUT -p udp -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send([1]);
    assert_eq!(queue.receive(SOON).unwrap().packets, 1);
    let (inbox, mut answers) = queue.split();
    for (packet, ticket) in inbox {
        let ingress = packet.ingress();
        assert_eq!((ingress.ethertype, ingress.hook, ingress.out_ifindex), (0x86dd, Hook::Output, 1));
        assert_eq!((ingress.bytes[0] >> 4, ingress.bytes.len()), (6, 52));
        answers.accept(ticket);
    }
    answers.flush().unwrap();
    assert_eq!(lane.received(1), [1]);
}

fn super_packets_come_whole() {
    const BYTES: usize = 1_000_000;
    run("ip", "link set lo up mtu 1500");
    iptables(&format!("-A INPUT -p tcp --dport {PORT} -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));
    let mut queue = open(QueueConfig::new(NUMBER));
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    let reader = thread::spawn(move || std::io::copy(&mut listener.accept().unwrap().0, &mut std::io::sink()).unwrap());
    let writer = thread::spawn(|| {
        TcpStream::connect(("127.0.0.1", PORT)).unwrap().write_all(&vec![7; BYTES]).unwrap();
    });
    let (mut supers, mut longest) = (0, 0);
    while !reader.is_finished() {
        queue.receive(SOON).unwrap();
        let (inbox, mut answers) = queue.split();
        for (packet, ticket) in inbox {
            let ingress = packet.ingress();
            assert_eq!(ingress.full_len as usize, ingress.bytes.len());
            if ingress.gso {
                assert_eq!(ingress.checksum, ChecksumStatus::NotReady);
                supers += 1;
            }
            longest = longest.max(ingress.bytes.len());
            answers.accept(ticket);
        }
        answers.flush().unwrap();
    }
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), BYTES as u64);
    assert!(supers > 5 && longest > 3000, "{supers} super-packets, the longest of {longest} bytes");
    assert!(queue.counters().packets < 600, "667 full segments came as {} packets", queue.counters().packets);
}

fn the_entry_comes_along_or_its_lack_is_reported() {
    let lane = Lane::new();
    iptables("-A OUTPUT -m conntrack --ctstate NEW");
    lane.queue_output();
    let (mut queue, report) = Queue::open(&QueueConfig::new(NUMBER)).unwrap();
    assert!(report.flags.fail_open && report.flags.gso && report.read_back, "{report}");
    assert_eq!(report.flags.conntrack, !report.refused.conntrack);
    assert!(report.receive_buffer_bytes >= 32 << 20, "{report}");
    assert!(report.flags.conntrack || report.to_string().contains("refused by this kernel: conntrack"));
    lane.send([1]);
    assert_eq!(queue.receive(SOON).unwrap().packets, 1);
    let (inbox, mut answers) = queue.split();
    for (packet, ticket) in inbox {
        let ingress = packet.ingress();
        assert_eq!(ingress.conntrack.is_some(), report.flags.conntrack);
        if let Some(tracked) = ingress.conntrack {
            assert_eq!((tracked.entry.orig.dst_port, tracked.entry.orig.protocol), (PORT, 17));
            assert_eq!(tracked.info.direction(), Direction::Original);
            assert!(!tracked.entry.status.is_confirmed());
        }
        answers.accept(ticket);
    }
    answers.flush().unwrap();
    assert_eq!(lane.received(1), [1]);
}

/// Packet 0 opens the connection and has others' bits in its mark and labels; each answer changes bits of ours alone.
fn the_entry_can_be_written_with_a_verdict() {
    let lane = Lane::new();
    iptables("-t mangle -A OUTPUT -p udp -m conntrack --ctstate NEW -j CONNMARK --set-xmark 0x5/0xf");
    run("nft", "add table ip labels");
    run("nft", "add chain ip labels any { type filter hook output priority -140 ; }");
    run("nft", "add rule ip labels any ct label set 9");
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    let mut others = Labels::default();
    others.0[1] = 0x02;
    let mut ours = Labels::default();
    ours.0[15] = 0x80;
    let mut both = others;
    both.0[15] = 0x80;
    let none = Labels::default();
    let mark = |mark| ConntrackWrite { mark: Some((mark, 0x0700_0000)), labels: None };
    let label = |bits| ConntrackWrite { mark: None, labels: Some((bits, ours)) };
    // What the packet's entry holds, and what it is answered with.
    let steps = [
        (0x0000_0005, others, Answer::ACCEPT.with_conntrack(mark(0x0100_0000))),
        (0x0100_0005, others, Answer::DROP.with_conntrack(mark(0x0200_0000))),
        (0x0200_0005, others, Answer::ACCEPT.with_conntrack(label(ours))),
        (0x0200_0005, both, Answer::ACCEPT.with_conntrack(mark(0xffff_ffff))),
        (0x0700_0005, both, Answer::ACCEPT.with_conntrack(label(none))),
        (0x0700_0005, others, Answer::ACCEPT),
    ];
    for (step, (mark, labels, answer)) in (0..).zip(steps) {
        lane.send([step]);
        assert_eq!(queue.receive(SOON).unwrap().packets, 1);
        let (inbox, mut answers) = queue.split();
        for (packet, ticket) in inbox {
            let entry = packet.conntrack.unwrap().0;
            assert_eq!((entry.mark, entry.labels), (mark, Some(labels)), "step {step}");
            assert_eq!(entry.status.is_confirmed(), step > 0);
            answers.give(ticket, answer);
        }
        answers.flush().unwrap();
    }
    assert_eq!(lane.received(5), [0, 2, 3, 4, 5]);
}

fn a_full_receive_buffer_lets_packets_pass() {
    const SENT: u32 = 2000;
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig { receive_buffer_bytes: 64 << 10, ..QueueConfig::new(NUMBER) });
    // Nobody reads: what does not fit goes through at once, though out of order.
    lane.send(0..SENT);
    let port_id = queue.port_id();
    let overrun = proc::kernel_counters(NUMBER, port_id).unwrap().unwrap();
    let queued = overrun.waiting;
    assert!((10..SENT / 2).contains(&queued), "{overrun:?}");
    assert_eq!(overrun.socket_drops, SENT - queued, "each was counted by the socket");
    assert_eq!((overrun.queue_dropped, overrun.user_dropped), (0, 0), "none was dropped");

    // The gap shows with the first packet behind it.
    let served = serve(&mut queue, queued as usize, |_| Answer::ACCEPT);
    assert_eq!(served.id_gaps, 0);
    lane.send([SENT]);
    let served = serve(&mut queue, 1, |_| Answer::ACCEPT);
    assert_eq!(served.id_gaps, u64::from(SENT - queued));
    lane.expect_any_order(0..SENT + 1);
}

fn a_full_queue_lets_packets_pass() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig { length_packets: 10, ..QueueConfig::new(NUMBER) });
    lane.send(0..100);
    assert_eq!(proc::queue(NUMBER).unwrap().unwrap().waiting, 10);
    let served = serve(&mut queue, 10, |_| Answer::ACCEPT);
    assert_eq!((served.packets, served.id_gaps), (10, 0), "a full queue leaves no gap");
    lane.expect_any_order(0..100);
}

fn a_second_owner_is_told_about_the_first() {
    let queue = open(QueueConfig::new(NUMBER));
    let error = Queue::open(&QueueConfig::new(NUMBER)).unwrap_err();
    let QueueError::Owned { number, port_id, owner } = &error else { panic!("{error}") };
    assert_eq!((*number, *port_id), (NUMBER, queue.port_id()));
    assert_eq!(owner.as_ref().unwrap().pid, std::process::id());
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    let number = queue.number();
    assert_eq!(proc::queue(number).unwrap().unwrap().port_id, queue.port_id(), "the first is unharmed");
    queue.close();
    assert_eq!(proc::queue(number).unwrap(), None);
    Queue::open(&QueueConfig::new(NUMBER)).unwrap();
}

fn without_the_capability_it_says_so() {
    without_net_admin(|| {
        let error = Queue::open(&QueueConfig::new(NUMBER)).unwrap_err();
        assert!(matches!(error, QueueError::Capability { number: NUMBER }), "{error}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"));
    });
}

fn refused_verdicts_leave_nothing_hanging() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..5);
    without_net_admin(|| serve(&mut queue, 5, |_| Answer::ACCEPT));
    assert_eq!(queue.receive(SOON).unwrap().packets, 0);
    assert_eq!(queue.counters().verdict_errors.permission, 1, "the kernel refuses the send as a whole");
    assert_eq!(proc::queue(NUMBER).unwrap().unwrap().waiting, 5);
    let drained = queue.drain(Duration::from_secs(1), |_| Answer::ACCEPT).unwrap();
    assert_eq!((drained.packets, drained.waiting), (0, 0));
    assert_eq!(lane.received(5), [0, 1, 2, 3, 4]);
}

fn verdicts_for_flushed_packets_are_normal_life() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    run("nft", "add table ip other");
    run("nft", "add chain ip other any { type filter hook output priority 7 ; }");
    lane.send(0..5);
    assert_eq!(queue.receive(SOON).unwrap().packets, 5);
    // Any base chain that goes takes all queued packets of the namespace with it.
    run("nft", "delete table ip other");
    let (inbox, mut answers) = queue.split();
    for (place, (_, ticket)) in inbox.enumerate() {
        answers.give(ticket, if place == 2 { Answer::DROP } else { Answer::ACCEPT });
    }
    answers.flush().unwrap();
    lane.send([9]);
    let served = serve(&mut queue, 1, |_| Answer::ACCEPT);
    assert_eq!(served.verdict_errors.not_found, 3, "a batch, a drop and a batch");
    assert_eq!(served.verdict_errors.total(), 3);
    assert_eq!(lane.received(1), [9]);
}

fn unanswered_packets_are_accepted_and_counted() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..10);
    assert_eq!(queue.receive(SOON).unwrap().packets, 10);
    let (inbox, mut answers) = queue.split();
    for (packet, ticket) in inbox.take(6) {
        if packet.id % 2 == 0 {
            answers.accept(ticket);
        }
    }
    answers.flush().unwrap();
    assert_eq!(lane.received(10), (0..10).collect::<Vec<_>>());
    assert_eq!((queue.counters().accepted, queue.counters().orphans), (10, 7));

    // A batch that nobody looks at is answered by the next receive.
    lane.send(10..12);
    assert_eq!(queue.receive(SOON).unwrap().packets, 2);
    assert_eq!(queue.receive(SOON).unwrap().packets, 0);
    assert_eq!(lane.received(2), [10, 11]);
    assert_eq!(queue.counters().orphans, 9);
}

fn a_panic_leaves_no_packet_behind() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..10);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        queue.receive(SOON).unwrap();
        let (inbox, mut answers) = queue.split();
        for (packet, ticket) in inbox {
            assert!(packet.id != 4, "the judge stumbles on purpose");
            answers.drop(ticket);
        }
    }));
    assert!(outcome.is_err());
    assert_eq!(lane.received(7), (3..10).collect::<Vec<_>>(), "what was judged before stays judged");
    assert_eq!((queue.counters().dropped, queue.counters().orphans), (3, 7));
    lane.send([10]);
    serve(&mut queue, 1, |_| Answer::ACCEPT);
    assert_eq!(lane.received(1), [10], "and life goes on");
}

fn a_drain_answers_all_that_is_left() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..100);
    iptables("-F OUTPUT");
    let mut judged = 0;
    let drained = queue
        .drain(Duration::from_secs(2), |_| {
            judged += 1;
            Answer::ACCEPT
        })
        .unwrap();
    assert_eq!((drained.packets, drained.waiting, judged), (100, 0, 100));
    assert_eq!(queue.close().orphans, 0);
    assert_eq!(lane.received(100), (0..100).collect::<Vec<_>>());
}

fn a_dropped_queue_accepts_what_waits() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    lane.send(0..100);
    assert_eq!(queue.receive(SOON).unwrap().packets, 64);
    drop(queue);
    assert_eq!(lane.received(100), (0..100).collect::<Vec<_>>());
    lane.send([100]);
    assert_eq!(lane.received(1), [100], "nobody listens: the rule's bypass flag");
}

/// All but what another CPU sends in the moment between the queue's publication and its copy mode, inside of the kernel:
/// at most one run of neighbours per opening.
fn opening_under_traffic_forgets_nothing() {
    const ROUNDS: u32 = 20;
    const EACH: u32 = 2000;
    let lane = Lane::new();
    lane.queue_output();
    for round in 0..ROUNDS {
        let sender = lane.sender.clone();
        let range = round * EACH..(round + 1) * EACH;
        let sending = thread::spawn(move || sender.send(range));
        thread::sleep(MS);
        let mut queue = open(QueueConfig::new(NUMBER));
        while !sending.is_finished() || queue.receive(MS).unwrap().packets > 0 {
            queue.receive(MS).unwrap();
        }
        sending.join().unwrap();
        let range = round * EACH..(round + 1) * EACH;
        let missing = lane.missing(range.clone());
        let run = missing.last().map_or(0, |last| last - missing[0] + 1);
        assert_eq!(run as usize, missing.len(), "round {round}: {missing:?}");
        assert!(run < EACH / 10, "round {round}: {run} lost");
        assert_eq!(proc::queue(NUMBER).unwrap().unwrap().waiting, 0);
        assert_eq!(queue.counters().accepted, queue.counters().packets);
    }
}

fn four_idle_queues_cost_little_also_after_a_load() {
    // Exact, where statm may lag behind by some pages per thread.
    let resident_bytes = || {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let lane = Lane::new();
    lane.queue_output();
    let before = resident_bytes();
    let mut queues: Vec<Queue> = (NUMBER..NUMBER + 4).map(|number| open(QueueConfig::new(number))).collect();
    assert!(resident_bytes().saturating_sub(before) < 1 << 20);
    let mut large = vec![0; 60_000];
    large[3] = 1;
    run("ip", "link set lo mtu 65535");
    for _ in 0..3 {
        lane.sender.send_bytes(&large);
    }
    assert_eq!(queues[0].receive(SOON).unwrap().packets, 3);
    let loaded = resident_bytes();
    assert_eq!(queues[0].receive(SOON).unwrap().packets, 0);
    assert!(loaded - resident_bytes() > 100_000, "{loaded} under load, {} idle", resident_bytes());
    assert_eq!(lane.received(3), [1; 3]);
}

/// Wide bounds: an emulated kernel measures its timeouts by a clock of its own.
fn a_silent_queue_returns_in_time() {
    let mut queue = open(QueueConfig::new(NUMBER));
    for (timeout, least, most) in [(SOON, 40, 2000), (Duration::ZERO, 0, 500), (20 * MS, 5, 2000), (SOON, 40, 2000)] {
        let started = Instant::now();
        assert_eq!(queue.receive(timeout).unwrap().packets, 0);
        let waited = started.elapsed().as_millis();
        assert!((least..most).contains(&waited), "asked for {timeout:?}, waited {waited} ms");
    }
}

/// Ours reads first and hands each packet on to the other's queue: the very same packet, at the same place.
fn the_nfq_crate_sees_the_same() {
    const OTHER: u16 = 8;
    let lane = Lane::new();
    iptables("-t mangle -A OUTPUT -p udp -j MARK --set-mark 0xabcd");
    lane.queue_output();
    iptables(&format!("-A INPUT -p udp -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));
    let mut other = nfq::Queue::open().unwrap();
    other.bind(OTHER).unwrap();
    other.set_recv_gso(OTHER, true).unwrap();
    let mut queue = open(QueueConfig::new(NUMBER));
    let on = Answer { disposition: Disposition::Requeue { queue: OTHER }, ..Answer::ACCEPT };
    for length in [4, 5, 100, 1400, 9000] {
        let mut bytes = vec![0x5a; length];
        bytes[..4].copy_from_slice(&1u32.to_be_bytes());
        lane.sender.send_bytes(&bytes);
        for hook in [Hook::Output, Hook::Input] {
            assert_eq!(queue.receive(SOON).unwrap().packets, 1);
            let (inbox, mut answers) = queue.split();
            let mut ours = None;
            for (packet, ticket) in inbox {
                let ingress = packet.ingress();
                ours = Some((
                    (ingress.bytes.to_vec(), ingress.full_len as usize, ingress.ethertype, ingress.mark),
                    (ingress.in_ifindex, ingress.out_ifindex, ingress.phys_in_ifindex, ingress.phys_out_ifindex),
                    (ingress.hook, ingress.source_mac.map(|mac| mac.to_vec()), ingress.gso, packet.timestamp.is_some()),
                ));
                answers.give(ticket, on);
            }
            answers.flush().unwrap();
            let mut message = other.recv().unwrap();
            let theirs = (
                (
                    message.get_payload().to_vec(),
                    message.get_original_len(),
                    message.get_hw_protocol(),
                    message.get_nfmark(),
                ),
                (message.get_indev(), message.get_outdev(), message.get_physindev(), message.get_physoutdev()),
                (
                    Hook::from_kernel(message.get_hook()).unwrap(),
                    message.get_hw_addr().map(<[u8]>::to_vec),
                    message.is_seg_offloaded(),
                    message.get_timestamp().is_some(),
                ),
            );
            assert_eq!(ours.unwrap(), theirs);
            assert_eq!(theirs.2.0, hook);
            message.set_verdict(nfq::Verdict::Accept);
            other.verdict(message).unwrap();
        }
        assert_eq!(lane.received(1), [1]);
    }
}

fn a_warm_loop_allocates_nothing() {
    let lane = Lane::new();
    lane.queue_output();
    let mut queue = open(QueueConfig::new(NUMBER));
    let round = |queue: &mut Queue| {
        lane.send(0..100);
        let mut left = 100;
        let info = allocation_counter::measure(|| {
            while left > 0 {
                left -= queue.receive(SOON).unwrap().packets;
                let (inbox, mut answers) = queue.split();
                for (packet, ticket) in inbox {
                    let answer = match packet.id % 5 {
                        0 => Answer::DROP,
                        1 => Answer::ACCEPT.with_packet_mark(packet.ingress().mark | 1),
                        2 => Answer::ACCEPT
                            .with_conntrack(ConntrackWrite { mark: Some((1, 1)), labels: Some(Default::default()) }),
                        _ => Answer::ACCEPT,
                    };
                    answers.give(ticket, answer);
                }
                answers.flush().unwrap();
            }
        });
        lane.received(80);
        lane.nothing_is_under_way();
        info.count_total
    };
    round(&mut queue);
    assert_eq!([round(&mut queue), round(&mut queue)], [0, 0]);
}
