//! Records of application protocols for the goldens: each with every field that it can have.

use std::sync::Arc;

use crate::packet::app::AppRecord;
use crate::packet::app::protocols::dns::message::Message;
use crate::packet::app::protocols::dns::record::{DnsRecord, Form};

/// By the name of the golden.
pub fn records() -> Vec<(&'static str, AppRecord)> {
    vec![("dns-query", dns(Form::Query(0), &dns_query())), ("dns-answer", dns(Form::Answer, &dns_answer()))]
}

/// What stands beside an alert.
pub fn alerted() -> Vec<(&'static str, AppRecord)> {
    vec![
        ("alert-dns-query", dns(Form::AlertedQuery, &dns_query())),
        ("alert-dns-answer", dns(Form::AlertedAnswer, &dns_answer())),
    ]
}

fn dns(form: Form, bytes: &[u8]) -> AppRecord {
    AppRecord::Dns(Box::new(DnsRecord { tx_id: 2, message: Arc::new(Message::read(bytes).unwrap()), form }))
}

fn dns_query() -> Vec<u8> {
    [&[0x12, 0x34, 0x01, 0x40, 0, 1, 0, 0, 0, 0, 0, 0], &b"\x04WwW.\x00\x00\x1c\x00\x01"[..]].concat()
}

/// One answer of each kind that EVE treats apart.
fn dns_answer() -> Vec<u8> {
    let mut bytes = b"\x12\x34\x87\xc3\x00\x01\x00\x09\x00\x01\x00\x00\x01a\x00\x00\xff\x00\x01".to_vec();
    let mut add = |rrtype: u8, data: &[u8]| {
        bytes.extend([0xc0, 12, 0, rrtype, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        bytes.extend_from_slice(data);
    };
    add(1, &[192, 0, 2, 1]);
    add(28, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    add(5, b"\x01c\xc0\x0c");
    add(16, b"\x03one\x03t\xffo");
    add(15, b"\x00\x0a\x02mx\xc0\x0c");
    add(6, b"\x02ns\xc0\x0c\x04root\x00\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05");
    add(33, b"\x00\x01\x00\x02\x00\x50\x03srv\x00");
    add(44, b"\x01\x02\xab\xcd");
    add(46, b"\x00\x01");
    add(2, b"\x02ns\xc0\x0c");
    bytes
}
