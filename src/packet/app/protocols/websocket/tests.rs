use crate::packet::app::testing::Conversation;
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

fn upgraded() -> Conversation {
    let mut talk = Conversation::with(80);
    talk.stream(Toward::Server, b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n");
    talk.stream(Toward::Client, b"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n\r\n");
    talk.records(false);
    talk
}

fn payloads(talk: &mut Conversation, toward: Toward) -> Vec<String> {
    let count = talk.app.view().unwrap().count();
    (0..count).flat_map(|at| talk.buffers(at, Buffer::WEBSOCKET_PAYLOAD, toward)).collect()
}

#[test]
fn http_leads_to_it() {
    let mut talk = upgraded();
    assert_eq!(talk.app.protocol(), Some(AppProto::Websocket));
    talk.stream(Toward::Server, b"\x81\x85\x01\x02\x03\x04igohn");
    assert_eq!(payloads(&mut talk, Toward::Server), ["hello"], "the mask is taken off");
}

#[test]
fn the_last_frame_of_a_message_has_all_of_it() {
    let mut talk = upgraded();
    for byte in b"\x01\x03one\x89\x00\x00\x03two\x80\x05three" {
        talk.stream(Toward::Client, &[*byte]);
    }
    assert_eq!(payloads(&mut talk, Toward::Client), ["one", "", "two", "onetwothree"]);
}

/// The message of RFC 7692, 7.2.3.1.
#[test]
fn compressed_messages_are_inflated() {
    let mut talk = upgraded();
    talk.stream(Toward::Client, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_eq!(payloads(&mut talk, Toward::Client), ["Hello"]);
}

#[test]
fn the_end_of_a_long_payload_is_skipped() {
    let mut talk = upgraded();
    talk.stream(Toward::Client, b"\x82\x7f\0\0\0\0\0\x01\0\0");
    for _ in 0..16 {
        talk.stream(Toward::Client, &[b'z'; 4096]);
    }
    talk.stream(Toward::Client, b"\x81\x02ab");
    assert_eq!(talk.events(), ["websocket.skip_end_of_payload"]);
    let lengths: Vec<usize> = payloads(&mut talk, Toward::Client).iter().map(String::len).collect();
    assert_eq!(lengths, [super::PAYLOAD_BYTES_MAX, 2]);
    assert_eq!(talk.counters.parser_errors, 0);
}

#[test]
fn a_bomb_is_defused() {
    use std::io::Write;
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; 8 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let length = u16::try_from(packed.len()).unwrap().to_be_bytes();
    let mut talk = upgraded();
    talk.stream(Toward::Client, &[&[0xc2, 0x7e][..], &length, &packed].concat());
    assert!(talk.app.heap_bytes() < 512 << 10, "{}", talk.app.heap_bytes());
}

#[test]
fn rules_see_all_frames_of_one_piece() {
    assert_eq!(upgraded().judged_of_burst(Toward::Server, &b"\x81\x02hi".repeat(9), false), 9);
}
