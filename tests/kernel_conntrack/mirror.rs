//! The mirror behind a real queue: packets of real sockets are held before their connection is confirmed.
//!
//! ```text
//!  client ─ output: dnat ─ NFQUEUE (priority 0) ─ postrouting: snat, confirm ─ lo ─ server, and back the same way
//!                             │ gate thread: mirror.track(), verdict                 ctnetlink ─ listener thread: apply()
//! ```

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate::kernel::conntrack::mirror::Found;
use tidegate::kernel::conntrack::{ConntrackSocket, Event, Listener, ListenerOptions, Mirror, MirrorOptions};
use tidegate::packet::conntrack::{CtInfo, Direction};
use tidegate::packet::decode::{Transport, decode};
use tidegate::packet::ingress::{Hook, Ingress, Timestamp};

use crate::events::{delete_all, everything};
use crate::namespace::{nft, run, sysctl, table_count};
use crate::requests::udp_tuple;

pub const CASES: &[crate::Case] = &[
    ("packets_meet_their_connection_through_both_nats", packets_meet_their_connection_through_both_nats),
    ("a_burst_of_first_packets_is_one_connection", a_burst_of_first_packets_is_one_connection),
    ("a_tuple_reopened_at_once_is_a_new_connection", a_tuple_reopened_at_once_is_a_new_connection),
    ("icmp_errors_are_related", icmp_errors_are_related),
    ("ten_thousand_connections_leave_nothing", ten_thousand_connections_leave_nothing),
    ("ten_thousand_connections_leave_nothing_when_events_are_lost", nothing_is_left_when_events_are_lost),
    ("connections_from_before_are_known", connections_from_before_are_known),
];

/// What a packet showed and what the mirror said of it.
#[derive(Clone, Copy, Debug)]
struct Passed {
    src_port: u16,
    tcp_flags: Option<u8>,
    found: Option<Found>,
}

/// Mirror, listener thread and gate thread.
struct Rig {
    mirror: Arc<Mirror>,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    passed: Arc<Mutex<Vec<Passed>>>,
    /// Packets that the gate collects before it lets any of them go.
    hold: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Rig {
    fn start(options: ListenerOptions) -> Rig {
        let mut rig = Rig {
            mirror: Arc::new(Mirror::new(MirrorOptions { priority: Some(0), ..MirrorOptions::default() })),
            stop: Arc::default(),
            lost: Arc::default(),
            passed: Arc::default(),
            hold: Arc::new(AtomicU64::new(1)),
            threads: Vec::new(),
        };
        let listener = Listener::open(options).unwrap();
        rig.mirror.fill(&mut ConntrackSocket::open().unwrap()).unwrap();
        let (mirror, stop, lost) = (rig.mirror.clone(), rig.stop.clone(), rig.lost.clone());
        rig.threads.push(std::thread::spawn(move || listen(listener, &mirror, &stop, &lost)));

        let mut queue = nfq::Queue::open().unwrap();
        queue.bind(QUEUE).unwrap();
        queue.set_queue_max_len(QUEUE, 4096).unwrap();
        queue.set_nonblocking(true);
        let (mirror, stop, passed, hold) = (rig.mirror.clone(), rig.stop.clone(), rig.passed.clone(), rig.hold.clone());
        rig.threads.push(std::thread::spawn(move || gate(queue, &mirror, &stop, &passed, &hold)));
        run("iptables", &["-A", "OUTPUT", "-j", "NFQUEUE", "--queue-num", "77"]);
        rig
    }

    fn passed(&self) -> Vec<Passed> {
        std::mem::take(&mut self.passed.lock().unwrap())
    }

    /// Waits until `done`, for the threads to catch up.
    fn wait(&self, what: &str, done: impl Fn(&Rig) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.mirror.counters());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_until_empty(&self) {
        self.wait("the kernel's table is not empty", |_| table_count() == 0);
        self.wait("the mirror is not empty", |rig| rig.mirror.counters().entries == 0);
    }

    fn end(self) {
        run("iptables", &["-F", "OUTPUT"]);
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

const QUEUE: u16 = 77;

fn listen(mut listener: Listener, mirror: &Mirror, stop: &AtomicBool, lost: &AtomicU64) {
    let mut socket = ConntrackSocket::open().unwrap();
    while !stop.load(Ordering::Relaxed) {
        let mut lost_now = 0;
        let received = listener.receive(Duration::from_millis(20), |event| match event {
            Event::Lost(count) => lost_now += u64::from(count),
            event => drop(mirror.apply(&event)),
        });
        received.unwrap();
        if lost_now > 0 {
            lost.fetch_add(lost_now, Ordering::Relaxed);
            mirror.sweep(&mut socket, now(), |_| ()).unwrap();
        }
    }
}

fn gate(mut queue: nfq::Queue, mirror: &Mirror, stop: &AtomicBool, passed: &Mutex<Vec<Passed>>, hold: &AtomicU64) {
    let mut socket = ConntrackSocket::open().unwrap();
    let mut held = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut message) = queue.recv() else {
            std::thread::sleep(Duration::from_micros(50));
            continue;
        };
        passed.lock().unwrap().push(track(mirror, &mut socket, message.get_payload()));
        message.set_verdict(nfq::Verdict::Accept);
        held.push(message);
        if held.len() as u64 >= hold.load(Ordering::Relaxed) {
            held.drain(..).for_each(|message| queue.verdict(message).unwrap());
        }
    }
}

fn track(mirror: &Mirror, socket: &mut ConntrackSocket, bytes: &[u8]) -> Passed {
    let packet = Ingress { hook: Hook::Output, ..Ingress::bare(bytes, 0x0800) };
    let found = mirror.track(socket, &packet, now()).unwrap();
    let (src_port, tcp_flags) = match decode(bytes, 0x0800).headers.unwrap().transport {
        Transport::Tcp(tcp) => (tcp.src_port, Some(tcp.flags)),
        Transport::Udp(udp) => (udp.src_port, None),
        _ => (0, None),
    };
    Passed { src_port, tcp_flags, found }
}

fn now() -> Timestamp {
    Timestamp::from_micros(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap())
}

/// Fewer under emulation, where the clock is worth nothing.
fn connection_count() -> u32 {
    if std::env::var_os("TIDEGATE_EMULATED").is_some() { 200 } else { 10_000 }
}

fn packets_meet_their_connection_through_both_nats() {
    for address in ["10.0.0.1/32", "10.1.0.2/32", "10.1.0.9/32"] {
        run("ip", &["addr", "add", address, "dev", "lo"]);
    }
    run("ip", &["route", "add", "192.0.2.1/32", "dev", "lo"]);
    nft("table ip nat { chain out { type nat hook output priority -100; ip daddr 192.0.2.1 udp dport 53 dnat to 10.1.0.2:5300; }
         chain post { type nat hook postrouting priority 100; ip daddr 10.1.0.2 snat to 10.1.0.9; }\n }");
    let rig = Rig::start(everything());
    let server = UdpSocket::bind("10.1.0.2:5300").unwrap();
    let client = UdpSocket::bind("10.0.0.1:0").unwrap();
    let orig = udp_tuple(client.local_addr().unwrap(), "192.0.2.1:53".parse().unwrap());
    let shown = udp_tuple(client.local_addr().unwrap(), server.local_addr().unwrap());
    let exchange = |round: u32| {
        client.send_to(b"ask", "192.0.2.1:53").unwrap();
        let mut buffer = [0; 16];
        let (_, back) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(back.ip().to_string(), "10.1.0.9");
        server.send_to(b"answer", back).unwrap();
        let (_, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(from.to_string(), "192.0.2.1:53");
        let passed = rig.passed();
        let [ask, answer] = passed[..] else { panic!("{passed:?}") };
        let (ask, answer) = (ask.found.unwrap(), answer.found.unwrap());
        assert_eq!(answer.info, CtInfo::EstablishedReply);
        assert_eq!(ask.info, if round == 0 { CtInfo::New } else { CtInfo::Established });
        [ask, answer]
    };
    let mut formerly = Vec::new();
    for round in 0..100 {
        let packets = exchange(round);
        assert!(round > 0 || (packets[0].entry.orig == shown && !packets[0].entry.status.is_confirmed()));
        for found in packets {
            formerly.extend(found.formerly.map(|key| key.orig));
            let wanted = if formerly.is_empty() { shown } else { orig };
            assert_eq!(found.entry.orig, wanted, "round {round}");
        }
        if round > 2 && !formerly.is_empty() {
            break;
        }
        // The NEW event is on its way.
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(formerly, [shown], "said once");
    let [ask, _] = exchange(100);
    assert_eq!(
        ask.entry.reply,
        udp_tuple(server.local_addr().unwrap(), format!("10.1.0.9:{}", ask.entry.reply.dst_port).parse().unwrap())
    );
    delete_all();
    rig.wait_until_empty();
    rig.end();
}

/// Four datagrams wait together, each with an entry of its own in the kernel, of which one survives.
fn a_burst_of_first_packets_is_one_connection() {
    let rig = Rig::start(everything());
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let orig = udp_tuple(client.local_addr().unwrap(), server.local_addr().unwrap());
    rig.hold.store(4, Ordering::Relaxed);
    for _ in 0..4 {
        client.send_to(b"ask", server.local_addr().unwrap()).unwrap();
    }
    for _ in 0..4 {
        server.recv_from(&mut [0; 8]).unwrap();
    }
    let passed = rig.passed();
    assert_eq!(passed.len(), 4);
    for packet in passed {
        let found = packet.found.unwrap();
        assert_eq!((found.entry.orig, found.info), (orig, CtInfo::New));
        assert!(!found.entry.status.is_confirmed());
    }
    assert_eq!(table_count(), 1);
    assert_eq!(rig.mirror.counters().entries, 1);
    delete_all();
    rig.wait_until_empty();
    rig.end();
}

/// The same client port again and again, each connection ended by a reset: the next SYN kills the kernel's entry.
fn a_tuple_reopened_at_once_is_a_new_connection() {
    const COUNT: usize = 50;
    let rig = Rig::start(everything());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..COUNT {
        let mut client = connect_from(39_999, &server);
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(b"ask").unwrap();
        accepted.read_exact(&mut [0; 3]).unwrap();
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        assert!(accepted.read(&mut [0; 1]).is_err(), "reset");
    }
    let passed = rig.passed();
    let (mut opened, mut ignored) = (0, 0);
    for packet in &passed {
        let flags = packet.tcp_flags.unwrap();
        // A reset may wait in the queue while the next SYN kills its entry.
        let Some(found) = packet.found else {
            assert!(flags & 4 != 0, "{packet:?}");
            continue;
        };
        let from_client = packet.src_port == 39_999;
        let wanted = if from_client { Direction::Original } else { Direction::Reply };
        assert_eq!(found.info.direction(), wanted, "{packet:?}");
        if flags == 2 && found.info == CtInfo::Established {
            // A packet of the server (a delayed acknowledgement, a repeated SYN-ACK) went through conntrack while those
            // before it waited in our queue: either the reset is no longer the last thing that the kernel saw, or it was
            // not at the sequence number that the kernel asks of one and closed nothing. The kernel ignores the SYN then
            // and keeps the entry (`nf_conntrack_tcp_packet`), as GET has told the mirror. Only where everything is slow;
            // events are late then, too, so the state may be of any time.
            ignored += 1;
        } else if flags == 2 {
            opened += 1;
            assert_eq!(found.info, CtInfo::New, "{packet:?}");
        } else {
            assert_ne!(found.info, CtInfo::New, "{packet:?}");
        }
    }
    assert!(opened + ignored >= COUNT, "a SYN may be repeated, none is missing: {opened} + {ignored}");
    assert!(opened > COUNT / 2, "{ignored} SYNs of {COUNT} were ignored");
    delete_all();
    rig.wait_until_empty();
    rig.end();
}

fn connect_from(port: u16, server: &TcpListener) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&client, true).unwrap();
    bind(&client, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)).unwrap();
    connect(&client, &server.local_addr().unwrap()).unwrap();
    client.into()
}

fn icmp_errors_are_related() {
    let rig = Rig::start(everything());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let orig = udp_tuple(client.local_addr().unwrap(), closed);
    client.connect(closed).unwrap();
    client.send(b"anybody?").unwrap();
    assert!(client.recv(&mut [0; 8]).is_err(), "port unreachable");
    let passed = rig.passed();
    let [ask, error] = passed[..] else { panic!("{passed:?}") };
    let (ask, error) = (ask.found.unwrap(), error.found.unwrap());
    assert_eq!((ask.entry.orig, ask.info), (orig, CtInfo::New));
    assert_eq!((error.entry.orig, error.info), (orig, CtInfo::RelatedReply));
    delete_all();
    rig.wait_until_empty();
    rig.end();
}

fn connections_from_before_are_known() {
    sysctl("nf_conntrack_events", 1);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    let rig = Rig::start(everything());
    accepted.write_all(b"late").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    let first = rig.passed()[0].found.unwrap();
    assert_eq!(first.info, CtInfo::EstablishedReply, "the client opened it, though the server was heard first");
    assert_eq!(first.entry.orig.src_port, client.local_addr().unwrap().port());
    assert_eq!(rig.mirror.counters().gets, 0);
    drop((client, accepted));
    rig.end();
}

fn ten_thousand_connections_leave_nothing() {
    let rig = Rig::start(everything());
    let began = Instant::now();
    open_and_close(connection_count());
    let packets = rig.passed();
    println!(
        "{} connections, {} packets in {:.1} s, {} GETs",
        connection_count(),
        packets.len(),
        began.elapsed().as_secs_f64(),
        rig.mirror.counters().gets
    );
    assert!(packets.iter().all(|packet| packet.found.is_some()));
    rig.wait("the mirror lags", |rig| rig.mirror.counters().entries == table_count());
    delete_all();
    rig.wait_until_empty();
    assert_eq!(rig.lost.load(Ordering::Relaxed), 0);
    rig.end();
}

fn nothing_is_left_when_events_are_lost() {
    let tiny = ListenerOptions { receive_buffer_bytes: 8 << 10, repeat_until_delivered: false, ..everything() };
    let rig = Rig::start(tiny);
    open_and_close(connection_count());
    delete_all();
    rig.wait("the kernel's table is not empty", |_| table_count() == 0);
    assert!(rig.lost.load(Ordering::Relaxed) > 0, "the buffer was meant to be too small");
    // The last loss was followed by a sweep, or is about to be.
    rig.wait("the mirror is not empty", |rig| rig.mirror.counters().entries == 0);
    rig.end();
}

fn open_and_close(count: u32) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..count {
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let (accepted, _) = server.accept().unwrap();
        // Without TIME_WAIT, so that ports do not run out.
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop((client, accepted));
    }
}
