use std::collections::BTreeSet;

use crate::packet::app::testing::{Conversation, context};
use crate::packet::app::{AppCounters, AppLayer, AppLimits};
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// What gives way goes by uninspected, so somebody must be told.
#[test]
fn transactions_that_give_way_are_counted() {
    let mut talk = Conversation::with(80);
    talk.limits.transaction_count_max = 2;
    for _ in 0..5 {
        talk.stream(Toward::Server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_eq!(talk.counters.transactions_evicted, 3);
    assert_eq!(talk.counters.parser_errors, 0);
}

/// What comes as one piece waits until rules have seen what is in front of it.
#[test]
fn transactions_give_way_to_no_other_before_rules_have_seen_them() {
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
    let limits = AppLimits { transaction_count_max: 2, ..AppLimits::default() };
    let context = context(&limits, 40_000, 80);
    let (mut app, mut counters) = (AppLayer::default(), AppCounters::default());
    let enabled = AppProtoSet::of(&AppProto::ALL);
    app.receive_stream(Toward::Server, &ask, &context, enabled, &mut counters);
    app.close(Toward::Server, &context, enabled, &mut counters);
    let mut seen = Vec::new();
    loop {
        let mut view = app.view().expect("a protocol");
        for at in 0..view.count() {
            let (_, tx) = view.transaction(at, Toward::Server).expect("a transaction");
            tx.inspection.seen_version = tx.version;
            seen.push(tx.id);
        }
        if !app.waits_for_rules(Toward::Server) {
            break;
        }
        app.go_on(Toward::Server, &context, enabled, &mut counters);
    }
    seen.dedup();
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (0..5).collect());
    assert_eq!((counters.transactions_evicted, counters.parser_errors), (3, 0));
}

/// Whoever does not let rules look still gets all that came.
#[test]
fn a_parser_does_not_wait_for_rules_that_never_look() {
    let limits = AppLimits { transaction_count_max: 2, ..AppLimits::default() };
    let context = context(&limits, 40_000, 80);
    let (mut app, mut counters) = (AppLayer::default(), AppCounters::default());
    let enabled = AppProtoSet::of(&AppProto::ALL);
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    for _ in 0..3 {
        app.receive_stream(Toward::Server, &ask, &context, enabled, &mut counters);
    }
    let mut rounds = 0;
    while app.waits_for_rules(Toward::Server) {
        app.go_on(Toward::Server, &context, enabled, &mut counters);
        rounds += 1;
    }
    assert!(rounds <= 9, "{rounds}");
    assert_eq!((counters.transactions_evicted, app.heap_bytes() < 64 << 10), (7, true));
}

/// On a connection that lives long the answers reach the depth first. The requests are told, and do not pile up.
#[test]
fn transactions_wait_for_nothing_beyond_the_depth() {
    let mut talk = Conversation::with(80);
    talk.stream(Toward::Server, b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(talk.records(false), [""; 0], "it waits for the answer");
    talk.app.stop_reading(Toward::Client);
    assert_eq!(talk.records(false).len(), 1);
    for _ in 0..5 {
        talk.stream(Toward::Server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(talk.records(false).len(), 1);
        assert!(talk.app.view().is_none_or(|view| view.count() == 0), "nothing is left");
    }
}

#[test]
fn a_datagram_that_cannot_be_read_is_counted() {
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    let mut talk = Conversation::with(53);
    talk.datagram(Toward::Server, query).datagram(Toward::Server, &query[..14]);
    assert_eq!(talk.counters.datagrams_unread, 1);
}

const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04evil\x03com\0\0\x01\0\x01";

/// What stands in front of a query on the same ports does not hide it.
#[test]
fn no_datagram_decides_for_those_behind_it() {
    let sip = b"OPTIONS sip:a SIP/2.0\r\n\r\n".to_vec();
    let quic = [&[0xc0, 0, 0, 0, 1, 8][..], &[7; 8], &[0, 0, 0x44, 0xb0], &[9; 1200]].concat();
    let cases = [("junk", vec![b"x".to_vec(); 300]), ("SIP", vec![sip.clone()]), ("QUIC", vec![quic.clone()])];
    for (what, before) in cases {
        let mut talk = Conversation::with(53);
        before.iter().for_each(|datagram| {
            talk.datagram(Toward::Server, datagram);
        });
        talk.datagram(Toward::Server, QUERY);
        assert_eq!(talk.app.protocol(), Some(AppProto::Dns), "{what}");
        assert_eq!(talk.buffers(0, Buffer::DNS_QUERY, Toward::Server), ["evil.com"], "{what}");
    }
    let mut talk = Conversation::with(53);
    for _ in 0..1000 {
        talk.datagram(Toward::Server, &sip).datagram(Toward::Server, QUERY).datagram(Toward::Server, &quic);
        talk.records(false);
    }
    assert_eq!(talk.counters.protocol_changes, 2999, "told, and");
    assert!(talk.app.heap_bytes() < 1 << 20, "no memory a change: {}", talk.app.heap_bytes());
    assert_eq!(talk.counters.flows[AppProto::Dns as usize], 1);
}

/// A parser that takes nothing of many small segments is given up before it costs more than it may.
#[test]
fn bytes_are_not_given_again_without_end() {
    let mut talk = Conversation::with(21);
    talk.stream(Toward::Client, b"220 ready\r\n").stream(Toward::Server, b"USER a\r\n");
    for _ in 0..60_000 {
        talk.stream(Toward::Server, b"x");
    }
    let kept = talk.app.heap_bytes();
    assert!(kept < 128 << 10, "{kept} bytes");
    assert!(talk.app.to_server.held().map_or(0, |held| held.given_again) <= super::AGAIN_BYTES_MAX);
}
