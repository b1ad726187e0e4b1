//! GET, update, delete, dump, and the sysctls.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use tidegate::kernel::conntrack::attributes::{put_tuple, put_zone};
use tidegate::kernel::conntrack::sysctl::Sysctl;
use tidegate::kernel::conntrack::{ConntrackSocket, EntryUpdate, Outcome, cta};
use tidegate::kernel::netlink::socket::Socket;
use tidegate::kernel::netlink::wire::{Builder, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NfGen};
use tidegate::packet::conntrack::{ConntrackId, CtStatus, FlowKey, Tuple};
use tidegate::packet::fate::ConntrackWrite;

use crate::namespace::{nft, run, sysctl, table_count};

pub const CASES: &[crate::Case] = &[
    ("get_finds_an_entry_by_either_tuple", get_finds_an_entry_by_either_tuple),
    ("get_sees_nat_in_the_tuples", get_sees_nat_in_the_tuples),
    ("zones_are_part_of_the_identity", zones_are_part_of_the_identity),
    ("a_masked_mark_leaves_foreign_bits", a_masked_mark_leaves_foreign_bits),
    ("marks_are_updated_in_batches", marks_are_updated_in_batches),
    ("delete_wants_the_right_incarnation", delete_wants_the_right_incarnation),
    ("a_filtered_dump_brings_marked_entries_only", a_filtered_dump_brings_marked_entries_only),
    ("a_large_table_is_dumped_in_seconds", a_large_table_is_dumped_in_seconds),
    ("sysctls_are_reported_and_set", sysctls_are_reported_and_set),
    ("without_the_capability_the_error_is_clear", without_the_capability_the_error_is_clear),
];

/// Sends a UDP datagram and its answer. Returns the tuple of the first.
pub fn udp_exchange(client: &str, server: &str) -> Tuple {
    let server = UdpSocket::bind(server).unwrap();
    let client = UdpSocket::bind(client).unwrap();
    let (from, to) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    client.send_to(b"ask", to).unwrap();
    let mut buffer = [0; 16];
    let (_, back) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"answer", back).unwrap();
    client.recv_from(&mut buffer).unwrap();
    udp_tuple(from, to)
}

pub fn udp_tuple(from: SocketAddr, to: SocketAddr) -> Tuple {
    Tuple { src: from.ip(), dst: to.ip(), protocol: 17, src_port: from.port(), dst_port: to.port() }
}

fn key(orig: Tuple) -> FlowKey {
    FlowKey { zone: 0, orig }
}

fn get_finds_an_entry_by_either_tuple() {
    let mut socket = ConntrackSocket::open().unwrap();
    for (client, server) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
        let orig = udp_exchange(client, server);
        let entry = socket.get(&key(orig)).unwrap().expect("the entry stands in the table");
        assert_eq!((entry.orig, entry.reply, entry.zone), (orig, orig.inverted(), 0));
        assert!(entry.status.has(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY));
        assert!(entry.timeout_s.is_some_and(|seconds| seconds > 0));
        let by_reply = socket.get_by_reply(0, &orig.inverted()).unwrap().unwrap();
        assert_eq!((by_reply.id, by_reply.orig), (entry.id, orig));
        // One hash holds both directions, but each of these asks for one of them.
        assert_eq!(socket.get(&key(orig.inverted())).unwrap(), None);
        assert_eq!(socket.get_by_reply(0, &orig).unwrap(), None);
        assert_eq!(socket.get(&key(Tuple { src_port: 1, ..orig })).unwrap(), None, "absence is a value");
    }
}

fn get_sees_nat_in_the_tuples() {
    run("ip", &["addr", "add", "10.0.0.1/32", "dev", "lo"]);
    run("ip", &["addr", "add", "10.1.0.2/32", "dev", "lo"]);
    run("ip", &["addr", "add", "10.1.0.9/32", "dev", "lo"]);
    run("ip", &["route", "add", "192.0.2.1/32", "dev", "lo"]);
    nft("table ip nat { chain out { type nat hook output priority -100; ip daddr 192.0.2.1 udp dport 53 dnat to 10.1.0.2:5300; }
         chain post { type nat hook postrouting priority 100; ip daddr 10.1.0.2 snat to 10.1.0.9; }\n }");
    let server = UdpSocket::bind("10.1.0.2:5300").unwrap();
    let client = UdpSocket::bind("10.0.0.1:0").unwrap();
    let seen_by_client = "192.0.2.1:53".parse().unwrap();
    client.send_to(b"ask", seen_by_client).unwrap();
    let mut buffer = [0; 16];
    let (_, seen_by_server) = server.recv_from(&mut buffer).unwrap();

    let orig = udp_tuple(client.local_addr().unwrap(), seen_by_client);
    let reply = udp_tuple(server.local_addr().unwrap(), seen_by_server);
    let entry = ConntrackSocket::open().unwrap().get(&key(orig)).unwrap().unwrap();
    assert_eq!(entry.reply, reply);
    assert_eq!(reply.dst, Ipv4Addr::new(10, 1, 0, 9));
    assert!(entry.status.has(CtStatus::SRC_NAT | CtStatus::DST_NAT));
    assert!(!entry.status.has(CtStatus::SEEN_REPLY));
}

fn zones_are_part_of_the_identity() {
    let mut socket = ConntrackSocket::open().unwrap();
    let [tuple] = [tuple_number(1)];
    create(&[(0, tuple), (7, tuple)]);
    assert_eq!(table_count(), 2);
    let zoned = socket.get(&FlowKey { zone: 7, orig: tuple }).unwrap().unwrap();
    assert_eq!(zoned.key(), FlowKey { zone: 7, orig: tuple });
    assert_eq!(socket.delete(&zoned.key(), zoned.id).unwrap(), Outcome::Done);
    assert_eq!(socket.get(&FlowKey { zone: 7, orig: tuple }).unwrap(), None);
    assert_eq!(socket.get(&key(tuple)).unwrap().unwrap().zone, 0);
}

fn bits(mark: u32, mask: u32) -> ConntrackWrite {
    ConntrackWrite { mark: Some((mark, mask)), labels: None }
}

fn a_masked_mark_leaves_foreign_bits() {
    let mut socket = ConntrackSocket::open().unwrap();
    let orig = udp_exchange("127.0.0.1:0", "127.0.0.1:0");
    let mark = |socket: &mut ConntrackSocket| socket.get(&key(orig)).unwrap().unwrap().mark;
    assert_eq!(socket.update(&key(orig), &bits(0x1234_5678, u32::MAX)).unwrap(), Outcome::Done);
    assert_eq!(mark(&mut socket), 0x1234_5678);
    // Ours become 2, bits that do not belong to us stay though we ask for all of them.
    assert_eq!(socket.update(&key(orig), &bits(!0x0500_0000, 0x0700_0000)).unwrap(), Outcome::Done);
    assert_eq!(mark(&mut socket), 0x1234_5678 & !0x0700_0000 | 0x0200_0000);
    let absent = key(Tuple { src_port: 1, ..orig });
    assert_eq!(socket.update(&absent, &bits(1, 1)).unwrap(), Outcome::Gone);
    assert_eq!(socket.get(&absent).unwrap(), None, "an update never creates");
}

fn marks_are_updated_in_batches() {
    let mut socket = ConntrackSocket::open().unwrap();
    let tuples: Vec<Tuple> = (0..1000).map(tuple_number).collect();
    create(&tuples.iter().map(|tuple| (0, *tuple)).collect::<Vec<_>>());
    let absent = Tuple { protocol: 6, ..tuples[500] };
    let mut updates: Vec<EntryUpdate> =
        tuples.iter().map(|tuple| EntryUpdate { key: key(*tuple), write: bits(4, 6) }).collect();
    updates[500].key.orig = absent;
    let mut outcomes = vec![None; updates.len()];
    socket.update_many(&updates, |index, outcome| outcomes[index] = Some(outcome.unwrap())).unwrap();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome, Some(if index == 500 { Outcome::Gone } else { Outcome::Done }), "{index}");
    }
    let mut marked = 0;
    socket.dump(|entry| marked += usize::from(entry.mark == 4)).unwrap();
    assert_eq!(marked, 999);
}

fn delete_wants_the_right_incarnation() {
    let mut socket = ConntrackSocket::open().unwrap();
    let orig = udp_exchange("127.0.0.1:0", "127.0.0.1:0");
    let other = udp_exchange("127.0.0.1:0", "127.0.0.1:0");
    let id = socket.get(&key(orig)).unwrap().unwrap().id;
    assert_eq!(socket.delete(&key(orig), ConntrackId(!id.0)).unwrap(), Outcome::Gone);
    assert!(socket.get(&key(orig)).unwrap().is_some());
    assert_eq!(socket.delete(&key(orig), id).unwrap(), Outcome::Done);
    assert_eq!(socket.get(&key(orig)).unwrap(), None);
    assert!(socket.get(&key(other)).unwrap().is_some(), "nothing else was flushed");
}

fn a_filtered_dump_brings_marked_entries_only() {
    let mut socket = ConntrackSocket::open().unwrap();
    let orig: Vec<Tuple> = (0..4).map(|_| udp_exchange("127.0.0.1:0", "127.0.0.1:0")).collect();
    for (tuple, mark) in orig.iter().zip([0x0100_0007, 0x0200_0007, 0x0300_0000, 0]) {
        socket.update(&key(*tuple), &bits(mark, u32::MAX)).unwrap();
    }
    let mut found = Vec::new();
    let summary = socket.dump_marked(0x0200_0000, 0x0700_0000, |entry| found.push(entry.orig)).unwrap();
    assert_eq!((found, summary.entries, summary.consistent), (vec![orig[1]], 1, true));
    let mut all = 0;
    assert_eq!(socket.dump(|_| all += 1).unwrap().entries, 4);
    assert_eq!(all, 4);
}

/// As many as fit beside the default `nf_conntrack_max` of 262,144. Prints what it measured.
fn a_large_table_is_dumped_in_seconds() {
    let emulated = std::env::var_os("TIDEGATE_EMULATED").is_some();
    let count: u32 = if emulated { 5_000 } else { 200_000 };
    let began = Instant::now();
    let all: Vec<(u16, Tuple)> = (0..count).map(|number| (0, tuple_number(number))).collect();
    create(&all);
    let created = began.elapsed();
    assert_eq!(table_count(), u64::from(count));
    let mut socket = ConntrackSocket::open().unwrap();
    let (mut seen, mut sum) = (0u64, 0u64);
    let began = Instant::now();
    let mut summary = None;
    let allocated = allocation_counter::measure(|| {
        let dumped = socket.dump(|entry| {
            seen += 1;
            sum += u64::from(entry.orig.src_port);
        });
        summary = Some(dumped.unwrap());
    });
    let (dumped, summary) = (began.elapsed(), summary.unwrap());
    assert!(allocated.count_total < 10, "{} allocations", allocated.count_total);
    assert_eq!((seen, summary.entries, summary.consistent), (u64::from(count), u64::from(count), true));
    assert_eq!(sum, all.iter().map(|(_, tuple)| u64::from(tuple.src_port)).sum::<u64>());
    let rate = |elapsed: std::time::Duration| f64::from(count) / elapsed.as_secs_f64();
    println!("created {:.0} entries/s, dumped {:.0} entries/s", rate(created), rate(dumped));
    assert!(emulated || rate(dumped) > 10_000.0, "a million entries would take minutes");
    let began = Instant::now();
    for (_, tuple) in &all[..2000] {
        assert!(socket.get(&key(*tuple)).unwrap().is_some());
    }
    println!("one GET in a full table: {:.1} us", began.elapsed().as_secs_f64() * 1e6 / 2000.0);
}

fn sysctls_are_reported_and_set() {
    for (sysctl_of, before) in Sysctl::ALL.into_iter().zip([2, 0, 0]) {
        sysctl(sysctl_of.name(), before);
        let looked = sysctl_of.report();
        assert_eq!((looked.was, looked.is_on()), (u8::try_from(before).ok(), false));
        let report = sysctl_of.turn_on();
        assert_eq!((report.was, report.is), (u8::try_from(before).ok(), Some(1)), "{}", sysctl_of.name());
        assert!(report.is_on() && report.error.is_none());
        assert_eq!(sysctl_of.turn_on().was, Some(1));
    }
    udp_exchange("127.0.0.1:0", "127.0.0.1:0");
    let mut entries = Vec::new();
    ConntrackSocket::open().unwrap().dump(|entry| entries.push(*entry)).unwrap();
    let [entry] = entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.counters_orig.unwrap().packets, entry.counters_reply.unwrap().packets), (1, 1));
    assert_eq!(entry.counters_orig.unwrap().bytes, 20 + 8 + 3);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let age = now.saturating_sub(u128::from(entry.start_ns.unwrap()));
    assert!(age < 10_000_000_000, "started {age} ns ago");
}

fn without_the_capability_the_error_is_clear() {
    let orig = udp_exchange("127.0.0.1:0", "127.0.0.1:0");
    caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
    let mut socket = ConntrackSocket::open().unwrap();
    let error = socket.update(&key(orig), &bits(1, 1)).unwrap_err().to_string();
    assert!(error.contains("CAP_NET_ADMIN"), "{error}");
    let error = tidegate::kernel::conntrack::Listener::open(Default::default()).unwrap_err().to_string();
    assert!(error.contains("CAP_NET_ADMIN"), "{error}");
}

/// Distinct UDP tuples of a made-up network.
pub fn tuple_number(number: u32) -> Tuple {
    Tuple {
        src: Ipv4Addr::from(0x0a00_0000 + number / 50_000).into(),
        dst: Ipv4Addr::new(192, 0, 2, 1).into(),
        protocol: 17,
        src_port: u16::try_from(10_000 + number % 50_000).unwrap(),
        dst_port: 53,
    }
}

/// Creates entries as `conntrack -I` does, but many with one `send` (`ctnetlink_create_conntrack`).
pub fn create(entries: &[(u16, Tuple)]) {
    let socket = Socket::open().unwrap();
    let mut request = Builder::default();
    for chunk in entries.chunks(1000) {
        request.clear();
        for (zone, orig) in chunk {
            let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
            let message = request.begin(cta::MSG_NEW, flags, 0, NfGen { family: 2, version: 0, res_id: 0 });
            put_tuple(&mut request, cta::TUPLE_ORIG, orig);
            put_tuple(&mut request, cta::TUPLE_REPLY, &orig.inverted());
            put_zone(&mut request, *zone);
            request.attr_be32(cta::TIMEOUT, 300);
            request.end(message);
        }
        socket.send(request.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        assert_eq!(socket.try_receive(&mut answer).unwrap(), None, "only errors are answered");
    }
}
