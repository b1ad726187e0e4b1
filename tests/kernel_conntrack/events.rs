//! The listener: births, changes, deaths, and losses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tidegate::kernel::conntrack::{ConntrackSocket, Event, Listener, ListenerOptions, Outcome};
use tidegate::packet::conntrack::{Conntrack, CtStatus, TcpState, Tuple};

use crate::namespace::{run, sysctl, table_count};
use crate::requests::{create, tuple_number, udp_exchange};

/// So long may a thread wait for its turn on a busy machine, in an emulated guest.
const BUSY: Duration = Duration::from_secs(30);

pub const CASES: &[crate::Case] = &[
    ("a_tcp_connection_is_heard_from_birth_to_death", a_tcp_connection_is_heard_from_birth_to_death),
    ("destroy_alone_is_heard_alone", destroy_alone_is_heard_alone),
    ("destroy_survives_a_tiny_buffer", destroy_survives_a_tiny_buffer),
    ("lost_events_are_reported", lost_events_are_reported),
    ("waiting_ends_in_time", waiting_ends_in_time),
];

/// What a listener heard until nothing more came for a while.
pub fn drain(listener: &mut Listener, quiet: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    while listener.receive(quiet, |event| events.push(event)).unwrap().events > 0 {}
    events
}

pub fn everything() -> ListenerOptions {
    ListenerOptions { new: true, update: true, ..ListenerOptions::default() }
}

/// Opens a connection on loopback, exchanges a line, closes it. Returns its original tuple.
pub fn tcp_exchange() -> Tuple {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"ask").unwrap();
    accepted.read_exact(&mut [0; 3]).unwrap();
    accepted.write_all(b"answer").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    Tuple { src: from.ip(), dst: to.ip(), protocol: 6, src_port: from.port(), dst_port: to.port() }
}

pub fn delete_all() {
    let mut socket = ConntrackSocket::open().unwrap();
    let mut all = Vec::new();
    socket.dump(|entry| all.push((entry.key(), entry.id))).unwrap();
    for (key, id) in all {
        // Some may have expired meanwhile.
        let (Outcome::Done | Outcome::Gone) = socket.delete(&key, id).unwrap();
    }
}

fn a_tcp_connection_is_heard_from_birth_to_death() {
    sysctl("nf_conntrack_acct", 1);
    sysctl("nf_conntrack_timestamp", 1);
    let mut listener = Listener::open(everything()).unwrap();
    let orig = tcp_exchange();
    delete_all();
    let events = drain(&mut listener, Duration::from_millis(300));
    let of_state = |state| move |entry: &Conntrack| entry.tcp.is_some_and(|tcp| tcp.state == state);
    let first = events.first().copied();
    assert!(
        matches!(first, Some(Event::New(entry)) if entry.orig == orig && entry.reply == orig.inverted()),
        "{first:?}"
    );
    let updates: Vec<Conntrack> =
        events.iter().filter_map(|event| if let Event::Update(entry) = event { Some(*entry) } else { None }).collect();
    assert!(updates.iter().any(of_state(TcpState::SynRecv)), "{updates:?}");
    assert!(updates.iter().any(of_state(TcpState::Established)));
    assert!(updates.iter().any(|entry| entry.status.has(CtStatus::SEEN_REPLY | CtStatus::ASSURED)));
    let Some(Event::Destroy(last)) = events.last() else { panic!("{:?}", events.last()) };
    assert_eq!(last.orig, orig);
    assert!(last.status.has(CtStatus::DYING));
    assert!(last.counters_orig.unwrap().packets >= 4);
    assert!(last.stop_ns.unwrap() > last.start_ns.unwrap());
    assert!(matches!(first, Some(Event::New(entry)) if entry.id == last.id));
}

fn destroy_alone_is_heard_alone() {
    let mut listener = Listener::open(ListenerOptions::default()).unwrap();
    let orig = udp_exchange("[::1]:0", "[::1]:0");
    delete_all();
    let events = drain(&mut listener, Duration::from_millis(300));
    let [Event::Destroy(entry)] = events[..] else { panic!("{events:?}") };
    assert_eq!(entry.orig, orig);
}

/// 300 deaths and room for a dozen: the kernel repeats what did not fit, and none of it counts as lost.
fn destroy_survives_a_tiny_buffer() {
    let options = ListenerOptions { receive_buffer_bytes: 16 << 10, ..ListenerOptions::default() };
    let mut listener = Listener::open(options).unwrap();
    create(&(0..300).map(|number| (0, tuple_number(number))).collect::<Vec<_>>());
    run("conntrack", &["-F"]);
    let (mut heard, began) = (0, Instant::now());
    while heard < 300 && began.elapsed() < Duration::from_secs(20) {
        listener
            .receive(Duration::from_millis(500), |event| match event {
                Event::Destroy(_) => heard += 1,
                other => panic!("{other:?}"),
            })
            .unwrap();
    }
    assert_eq!(heard, 300);
    assert!(listener.drops() > 0, "the buffer was meant to be too small");
    // The kernel frees an entry shortly after it told of its end.
    while table_count() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lost_events_are_reported() {
    for repeat_until_delivered in [false, true] {
        let options = ListenerOptions { receive_buffer_bytes: 16 << 10, repeat_until_delivered, ..everything() };
        let mut listener = Listener::open(options).unwrap();
        create(&(0..300).map(|number| (0, tuple_number(number))).collect::<Vec<_>>());
        let events = drain(&mut listener, Duration::from_millis(300));
        let heard = events.iter().filter(|event| matches!(event, Event::New(_))).count();
        let lost: u32 =
            events.iter().filter_map(|event| if let Event::Lost(count) = event { Some(*count) } else { None }).sum();
        assert!(heard < 300 && lost > 0, "heard {heard}, lost {lost}");
        drop(listener);
        run("conntrack", &["-F"]);
    }
}

fn waiting_ends_in_time() {
    let mut listener = Listener::open(everything()).unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(50)] {
        let began = Instant::now();
        assert_eq!(listener.receive(wait, |event| panic!("{event:?}")).unwrap().events, 0);
        assert!(began.elapsed() >= wait && began.elapsed() < wait + BUSY);
    }
}
