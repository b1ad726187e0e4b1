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
    let mut flow = flow_view(Direction::Original, true, state);
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
