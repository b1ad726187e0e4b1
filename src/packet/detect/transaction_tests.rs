//! What a transaction remembers stays within its caps, and what is forgotten is found again.

use std::fmt::Write as _;

use super::*;
use crate::packet::app::testing::Conversation;
use crate::packet::conntrack::Direction;
use crate::packet::detect::FlowDetectState;
use crate::packet::detect::tests::{Bench, flow_view, tcp};

/// Rules whose literals all stand in one body, and that ask for something that comes later.
fn many(asked_for: &str) -> String {
    (0..2 * REMEMBERED_COUNT_MAX).fold(String::new(), |mut rules, number| {
        let _ = writeln!(
            rules,
            "alert http any any -> any any (http.request_body; content:\"<literal {number:05}>\"; fast_pattern; \
             content:\"{asked_for}\"; sid:{};)",
            number + 1
        );
        rules
    })
}

fn literals() -> String {
    (0..2 * REMEMBERED_COUNT_MAX).fold(String::new(), |mut body, number| {
        let _ = write!(body, "<literal {number:05}>");
        body
    })
}

fn request() -> Conversation {
    let mut conversation = Conversation::with(80);
    conversation.stream(Toward::Server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    conversation
}

fn judge(bench: &mut Bench, conversation: &mut Conversation, state: &mut FlowDetectState) -> Vec<u32> {
    judge_toward(Toward::Server, bench, conversation, state)
}

fn judge_toward(
    toward: Toward,
    bench: &mut Bench,
    conversation: &mut Conversation,
    state: &mut FlowDetectState,
) -> Vec<u32> {
    let direction = match toward {
        Toward::Server => Direction::Original,
        Toward::Client => Direction::Reply,
    };
    let mut flow = flow_view(direction, true, state);
    flow.app = conversation.app.view();
    bench.sids_in(&tcp(b"x"), flow)
}

fn remembered(conversation: &mut Conversation) -> (usize, usize) {
    let mut view = conversation.app.view().unwrap();
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    (tx.inspection.candidates.capacity(), tx.inspection.matched.capacity())
}

#[test]
fn rules_that_wait_are_forgotten_beyond_the_cap_and_found_again() {
    let mut bench = Bench::of(&many("late"));
    let (mut conversation, mut state) = (request(), FlowDetectState::default());
    conversation.stream(Toward::Server, literals().as_bytes());
    assert!(judge(&mut bench, &mut conversation, &mut state).is_empty(), "what they ask for is not there yet");
    assert_eq!(remembered(&mut conversation).0, 0, "more than may be remembered");
    assert!(bench.counters().remembered_overflow > 0);
    conversation.stream(Toward::Server, b" late");
    assert_eq!(judge(&mut bench, &mut conversation, &mut state).len(), 15, "as many as one packet may have");
}

#[test]
fn rules_that_matched_are_remembered_up_to_the_cap() {
    let mut bench = Bench::of(&many("literal"));
    let (mut conversation, mut state) = (request(), FlowDetectState::default());
    conversation.stream(Toward::Server, literals().as_bytes());
    assert_eq!(judge(&mut bench, &mut conversation, &mut state).len(), 15);
    assert!(remembered(&mut conversation).1 <= MATCHED_COUNT_MAX);
    assert!(bench.counters().matches > MATCHED_COUNT_MAX as u64, "the others are not held back");
}

/// Both sides of a request and its answer, each in its turn: which rules match when.
fn both_sides(rules: &str) -> [Vec<u32>; 3] {
    let mut bench = Bench::whole(rules);
    let (mut conversation, mut state) = (Conversation::with(80), FlowDetectState::default());
    conversation.stream(Toward::Server, b"GET /download HTTP/1.1\r\nHost: x\r\nConnection: keep\r\n\r\n");
    let asked = judge(&mut bench, &mut conversation, &mut state);
    conversation.stream(
        Toward::Client,
        b"HTTP/1.1 200 OK\r\nServer: Apache\r\nConnection: close\r\nContent-Length: 3\r\n\r\na",
    );
    let answered = judge_toward(Toward::Client, &mut bench, &mut conversation, &mut state);
    conversation.stream(Toward::Client, b"bc");
    [asked, answered, judge_toward(Toward::Client, &mut bench, &mut conversation, &mut state)]
}

#[test]
fn a_rule_about_both_sides_matches_once_when_both_have_spoken() {
    let rules = r#"
alert http any any => any any (http.uri; content:"/download"; http.stat_code; content:"200"; sid:1;)
alert http any any => any any (http.uri; content:"/download"; http.stat_code; content:"404"; sid:2;)
alert http any any => any any (http.uri; content:"/upload"; http.stat_code; content:"200"; sid:3;)
alert http any any => any any (http.uri; content:"/down"; http.connection:to_client; content:"close"; sid:4;)
alert http any any => any any (http.uri; content:"/down"; http.connection:to_server; content:"close"; sid:5;)
alert http any any => any any (http.connection:to_server; content:"keep"; http.connection:to_client; content:"close"; sid:6;)
alert http any any => any any (http.uri; content:"/down"; http.server; content:"Apache"; filesize:to_client, >2; sid:7;)
alert http any any => any any (http.uri; content:"/down"; http.server; content:"Apache"; filesize:to_server, >2; sid:8;)
"#;
    assert_eq!(both_sides(rules), [vec![], vec![1, 4, 6], vec![7]]);
}

/// The server answers before all of the request is there: what the answer's file cannot satisfy, the request's file may,
/// and it grows after the rule was judged on the answer.
#[test]
fn a_rule_about_a_file_of_each_side_waits_for_both_to_grow() {
    let rules = r#"
alert http any any => any any (file.data:to_client; content:"answer"; fast_pattern; file.data:to_server; content:"asked"; sid:1;)
alert http any any => any any (file.data:to_client; content:"answer"; fast_pattern; file.data:to_server; content:"never"; sid:2;)
alert http any any => any any (file.data:to_server; content:"as"; fast_pattern; file.data:to_client; content:"more"; sid:3;)
alert http any any -> any any (file.data; content:"answer"; fast_pattern; content:"asked"; sid:4;)
"#;
    let mut bench = Bench::whole(rules);
    let (mut conversation, mut state) = (Conversation::with(80), FlowDetectState::default());
    conversation.stream(Toward::Server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nas");
    assert!(judge(&mut bench, &mut conversation, &mut state).is_empty());
    conversation.stream(Toward::Client, b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nanswer");
    assert!(judge_toward(Toward::Client, &mut bench, &mut conversation, &mut state).is_empty());
    // Looked at with the answer's next packet, not with its own.
    conversation.stream(Toward::Server, b"ked..").stream(Toward::Client, b".more");
    assert_eq!(judge_toward(Toward::Client, &mut bench, &mut conversation, &mut state), [1, 3]);
    conversation.stream(Toward::Client, b"..");
    assert!(judge_toward(Toward::Client, &mut bench, &mut conversation, &mut state).is_empty(), "told once");
}

#[test]
fn an_arrow_for_both_sides_needs_something_to_ask_of_them() {
    assert_eq!(Bench::of("alert tcp any any => any any (content:\"a\"; sid:1;)").set.len(), 0);
}

#[test]
fn the_protocol_may_be_asked_for_as_it_was_and_as_it_is() {
    let rules = r#"
alert tcp any any -> any any (app-layer-protocol:smtp,original; app-layer-protocol:tls; sid:1;)
alert tcp any any -> any any (app-layer-protocol:smtp; sid:2;)
alert tcp any any -> any any (app-layer-protocol:smtp,either; sid:3;)
alert tcp any any -> any any (app-layer-protocol:!smtp,original; sid:4;)
alert tcp any any -> any any (app-layer-protocol:tls; prefilter; sid:5;)
"#;
    let mut bench = Bench::whole(rules);
    let (mut conversation, mut state) = (Conversation::with(25), FlowDetectState::default());
    conversation.stream(Toward::Client, b"220 mail\r\n").stream(Toward::Server, b"EHLO a\r\n");
    conversation.stream(Toward::Client, b"250 STARTTLS\r\n").stream(Toward::Server, b"STARTTLS\r\n");
    assert_eq!(judge(&mut bench, &mut conversation, &mut state), [2, 3]);
    conversation.records(false);
    conversation.stream(Toward::Client, b"220 go\r\n");
    assert_eq!(judge(&mut bench, &mut conversation, &mut state), [1, 3, 5]);
    conversation.records(false);
    assert_eq!(judge(&mut bench, &mut conversation, &mut state), [1, 3], "only with the packet that told it");
}

#[test]
fn frames_are_looked_into_as_they_come() {
    let rules = r#"
alert http any any -> any any (frame:request; content:"POST /a"; startswith; content:"evil"; sid:1;)
alert tcp any any -> any any (frame:http1.request; content:"GET"; startswith; sid:2;)
alert http1 any any -> any any (flow:to_client; frame:http1.response; content:"HTTP"; sid:3;)
alert http any any -> any any (http.uri; content:!"nowhere"; sid:4;)
"#;
    let mut bench = Bench::whole(rules);
    let (mut conversation, mut state) = (request_a(), FlowDetectState::default());
    assert_eq!(judge(&mut bench, &mut conversation, &mut state), [4], "once for the request, and not for its frame");
    conversation.records(false);
    conversation.stream(Toward::Server, b"evilGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(judge(&mut bench, &mut conversation, &mut state), [1, 2, 4]);
    conversation.records(false);
    assert_eq!(judge(&mut bench, &mut conversation, &mut state), [0; 0]);
    assert_eq!(Bench::of("alert tcp any any -> any any (frame:http1.nothing; content:\"a\"; sid:1;)").set.len(), 0);
}

fn request_a() -> Conversation {
    let mut conversation = Conversation::with(80);
    conversation.wants_frames = true;
    conversation.stream(Toward::Server, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
    conversation
}
