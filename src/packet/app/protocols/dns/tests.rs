use proptest::prelude::*;

use super::*;
use crate::packet::app::testing::{Conversation, cut_up, whole};
use crate::rules::plan::NumberTest;

/// A header with these flags and counts.
fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let words = [0x1234, flags, counts[0], counts[1], counts[2], counts[3]];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn name(text: &str) -> Vec<u8> {
    let mut name = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        name.push(label.len() as u8);
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    name
}

fn query(text: &str, rrtype: u16) -> Vec<u8> {
    [header(0x0100, [1, 0, 0, 0]), name(text), rrtype.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

fn record(name: &[u8], rrtype: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [name, &rrtype.to_be_bytes(), &[0, 1], &60_u32.to_be_bytes(), &length, data].concat()
}

/// A response to `www.example.com A` whose names all point to the question.
fn response() -> Vec<u8> {
    let pointer = [0xc0, 12];
    [
        header(0x8180, [1, 2, 1, 0]),
        name("www.example.com"),
        vec![0, 1, 0, 1],
        record(&pointer, message::rrtype::A, &[192, 0, 2, 1]),
        record(&pointer, message::rrtype::TXT, b"\x02hi\x05there"),
        record(&[0xc0, 16], message::rrtype::NS, &[3, b'n', b's', b'1', 0xc0, 16]),
    ]
    .concat()
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

#[test]
fn names_are_labels_with_dots_as_sent() {
    let long = "a".repeat(63);
    let many = [long.as_str(); 20].join(".");
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("case is kept", name("WWW.Example.com"), "WWW.Example.com"),
        ("the root is empty", vec![0], ""),
        ("any byte may stand in a label", vec![3, b'a', 0, b'.', 0], "a\\x00."),
        ("cut at 1025 bytes", name(&many), &many[..message::NAME_BYTES_MAX]),
    ];
    for (what, wire, text) in cases {
        let bytes = [header(0, [1, 0, 0, 0]), wire, vec![0, 1, 0, 1]].concat();
        let message = Message::read(&bytes).unwrap();
        assert!(!message.oddities.cut_off, "{what}");
        assert_eq!(message.queries[0].name.escape_ascii().to_string(), text, "{what}");
        assert_eq!(message.queries[0].rrtype, 1, "{what}");
    }
}

#[test]
fn a_response_is_read_with_its_pointers() {
    let message = Message::read(&response()).unwrap();
    assert_eq!(message.oddities, message::Oddities::default());
    assert_eq!(message.answers[0].name, b"www.example.com");
    assert_eq!(message.answers[0].data, message::Data::Address(vec![192, 0, 2, 1]));
    assert_eq!(message.answers[1].data, message::Data::Texts(vec![b"hi".to_vec(), b"there".to_vec()]));
    assert_eq!(message.authorities[0].name, b"example.com");
    assert_eq!(message.authorities[0].data, message::Data::Name(b"ns1.example.com".to_vec()));
}

#[test]
fn damage_is_named_and_what_was_read_stays() {
    let question = [name("a.b"), vec![0, 1, 0, 1]].concat();
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        ("cut in the question", [header(0, [2, 0, 0, 0]), question.clone(), vec![1]].concat(), &["dns.malformed_data"]),
        ("an unassigned opcode", [header(0x4800, [1, 0, 0, 0]), question.clone()].concat(), &["dns.invalid_opcode"]),
        ("Z", [header(0x0040, [1, 0, 0, 0]), question.clone()].concat(), &["dns.z_flag_set"]),
        ("a label of a reserved kind", [header(0, [1, 0, 0, 0]), vec![0x80, 0, 0]].concat(), &["dns.malformed_data"]),
        (
            "a pointer to itself, at once",
            [header(0, [1, 0, 0, 0]), vec![0xc0, 12, 0, 1, 0, 1]].concat(),
            &["dns.malformed_data", "dns.infinite_loop"],
        ),
        (
            "two pointers in a ring",
            [header(0, [1, 0, 0, 0]), vec![1, b'a', 0xc0, 12, 0, 1, 0, 1]].concat(),
            &["dns.too_many_labels"],
        ),
        (
            "an authority that ends early",
            [header(0, [1, 0, 1, 0]), question.clone(), vec![0, 0]].concat(),
            &["dns.invalid_authorities"],
        ),
        (
            "an additional that ends early",
            [header(0, [1, 0, 0, 1]), question.clone(), vec![0, 0]].concat(),
            &["dns.invalid_additionals"],
        ),
        (
            "record data that is none",
            [header(0, [1, 1, 0, 0]), question, record(&[0], message::rrtype::SOA, &[1])].concat(),
            &["dns.malformed_data"],
        ),
    ];
    for (what, bytes, events) in cases {
        let message = Message::read(&bytes).unwrap();
        assert_eq!(DNS.events_of(&message, message.header.is_response()), events, "{what}");
        if what.starts_with("cut") {
            assert_eq!(message.queries.len(), 1);
        }
    }
    assert_eq!(Message::read(&header(0, [60, 0, 0, 0])), None, "counts beyond the message");
}

/// 64 KiB of records that all name one long name.
#[test]
fn a_message_keeps_no_more_than_its_share() {
    let labels: Vec<u8> = name(&["x".repeat(63).as_str(); 15].join("."));
    let mut bytes = [header(0x8180, [1, 5000, 0, 0]), labels, vec![0, 1, 0, 1]].concat();
    for _ in 0..5000 {
        bytes.extend(record(&[0xc0, 12], 99, &[]));
    }
    let message = Message::read(&bytes).unwrap();
    assert_eq!(message.answers.len(), 5000, "each record is seen, whatever its name");
    assert!(message.oddities.long_name);
    assert!(message.heap_bytes() < 5000 * size_of::<Record>() + (300 << 10), "{}", message.heap_bytes());
}

#[test]
fn each_message_is_a_transaction_of_its_own() {
    let mut talk = Conversation::with(53);
    talk.datagram(Toward::Server, &query("www.example.com", 1));
    assert_eq!(talk.app.protocol(), Some(AppProto::Dns));
    assert_eq!(talk.buffers(0, Buffer::DNS_QUERY, Toward::Server), ["www.example.com"]);
    assert_eq!(talk.records(false).len(), 1, "one record, told once");
    talk.datagram(Toward::Client, &response());
    assert_eq!(talk.buffers(0, Buffer::DNS_QUERY, Toward::Client), [""; 0], "a response asks nothing");
    assert_eq!(talk.buffers(0, Buffer::DNS_ANSWER_NAME, Toward::Client), ["www.example.com"; 2]);
    let told = talk.records(false);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("1 Dns"), "{told:?}");
    assert!(talk.everything().iter().all(|seen| !seen.contains("example")), "both are gone");
}

#[test]
fn rules_ask_for_numbers() {
    let tx = |bytes: &[u8]| {
        let message = Message::read(bytes).unwrap();
        let is_response = message.header.is_response();
        DnsTransaction { tx_id: 0, dialect: &DNS, message: Arc::new(message), is_response, events: Vec::new(), told: 0 }
    };
    let asks = |field, number| AppTest::Number { field, test: NumberTest::Equal(number) };
    let (request, response) = (tx(&query("a", 16)), tx(&response()));
    assert!(request.accepts(&asks(Field::DnsRrtype, 16), Toward::Server));
    assert!(response.accepts(&asks(Field::DnsRrtype, 16), Toward::Client), "one of the answers");
    assert!(!response.accepts(&asks(Field::DnsRrtype, 2), Toward::Client), "an authority is no answer");
    assert!(response.accepts(&asks(Field::DnsRcode, 0), Toward::Client));
    assert!(!request.accepts(&asks(Field::DnsOpcode, 4), Toward::Server));
}

#[test]
fn it_is_looked_for_on_its_port_only_and_on_either_side() {
    let asked = query("a.example", 1);
    let mut elsewhere = Conversation::with(5300);
    elsewhere.datagram(Toward::Server, &asked);
    assert_eq!(elsewhere.app.protocol(), None);

    let mut answer_first = Conversation { client_port: 53, ..Conversation::with(40_000) };
    answer_first.datagram(Toward::Server, &response()).datagram(Toward::Client, &asked);
    assert_eq!(answer_first.app.protocol(), Some(AppProto::Dns));
    assert_eq!(answer_first.events(), [""; 0], "the sides are only swapped");
}

#[test]
fn a_stream_goes_on_behind_a_gap() {
    let mut talk = Conversation::with(53);
    talk.stream(Toward::Server, &prefixed(&query("one.example", 1)));
    talk.gap(Toward::Server, 100);
    talk.stream(Toward::Server, b"the rest of something");
    talk.stream(Toward::Server, &prefixed(&query("two.example", 1)));
    assert_eq!(talk.buffers(1, Buffer::DNS_QUERY, Toward::Server), ["two.example"]);
}

proptest! {
    #[test]
    fn any_segmentation_gives_the_same(cuts in proptest::collection::vec(any::<u8>(), 1..8)) {
        let asked = [prefixed(&query("one.example", 1)), prefixed(&query("two.example", 28))].concat();
        let turns = [(Toward::Server, asked), (Toward::Client, prefixed(&response()))];
        prop_assert_eq!(cut_up(53, &turns, &cuts), whole(53, &turns));
    }

    #[test]
    fn any_bytes_are_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Some(message) = Message::read(&bytes) {
            prop_assert!(message.answers.len() <= bytes.len() / 11 + 1);
            prop_assert!(message.heap_bytes() <= (300 << 10) + bytes.len() * size_of::<Record>());
        }
    }
}

#[test]
fn llmnr_is_dns_on_its_own_port() {
    let mut talk = Conversation::with(5355);
    talk.datagram(Toward::Server, &query("workstation", 1)).datagram(Toward::Client, &response());
    assert_eq!(talk.app.protocol(), Some(AppProto::Llmnr));
    assert_eq!(talk.buffers(0, Buffer::LLMNR_QUERY_NAME, Toward::Server), ["workstation"]);
    let names = talk.buffers(1, Buffer::LLMNR_RESPONSE_NAME, Toward::Client);
    assert_eq!(names, ["www.example.com", "www.example.com", "www.example.com", "example.com"]);
    talk.datagram(Toward::Server, &[header(0x0800, [1, 0, 0, 0]), name("x"), vec![0, 1, 0, 1]].concat());
    assert_eq!(talk.events(), ["llmnr.invalid_opcode"]);
}
