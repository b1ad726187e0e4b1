use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

const REGISTER: &[u8] = b"REGISTER sip:192.0.2.1;transport=TCP SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nv: SIP/2.0/TCP b\r\n\
    User-Agent: phone\r\nl: 4\r\n\r\nbody";
const OK: &[u8] = b"SIP/2.0 200 OK then\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_request_and_its_response_fill_their_buffers() {
    let mut talk = Conversation::with(5060);
    talk.stream(Toward::Server, REGISTER).stream(Toward::Client, OK);
    let cases = [
        (0, Buffer::SIP_METHOD, Toward::Server, vec!["REGISTER"]),
        (0, Buffer::SIP_URI, Toward::Server, vec!["sip:192.0.2.1;transport=TCP"]),
        (0, Buffer::SIP_REQUEST_LINE, Toward::Server, vec!["REGISTER sip:192.0.2.1;transport=TCP SIP/2.0"]),
        (0, Buffer::SIP_PROTOCOL, Toward::Server, vec!["SIP/2.0"]),
        (0, Buffer::SIP_VIA, Toward::Server, vec!["SIP/2.0/TCP a", "SIP/2.0/TCP b"]),
        (0, Buffer::SIP_USER_AGENT, Toward::Server, vec!["phone"]),
        (0, Buffer::SIP_METHOD, Toward::Client, vec![]),
        (1, Buffer::SIP_STAT_CODE, Toward::Client, vec!["200"]),
        (1, Buffer::SIP_STAT_MSG, Toward::Client, vec!["OK then"]),
        (1, Buffer::SIP_RESPONSE_LINE, Toward::Client, vec!["SIP/2.0 200 OK then"]),
    ];
    for (at, buffer, toward, wanted) in cases {
        assert_eq!(talk.buffers(at, buffer, toward), wanted, "{}", buffer.info().name);
    }
    assert_eq!(talk.records(false).len(), 2);
}

#[test]
fn other_protocols_with_the_same_methods_are_not_sip() {
    for head in [&b"OPTIONS * HTTP/1.1\r\n"[..], b"OPTIONS rtsp://a RTSP/1.0\r\n", b"INVITED", b"hello"] {
        assert_eq!(Conversation::with(5060).datagram(Toward::Server, head).app.protocol(), None);
    }
}

proptest! {
    #[test]
    fn segmentation_changes_nothing(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        let turns: Vec<Chunk> = vec![
            (Toward::Server, [REGISTER, b"\r\n\r\n", REGISTER].concat()),
            (Toward::Client, [OK, OK].concat()),
        ];
        prop_assert_eq!(cut_up(5060, &turns, &cuts), whole(5060, &turns));
    }
}
