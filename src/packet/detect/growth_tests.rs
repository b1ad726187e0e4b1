use proptest::prelude::*;

use super::super::oracle::{option, payload};
use super::super::tests::Bench;
use super::*;

/// The first plan and chain that fail; every buffer of these rules is the payload.
fn failed(rule: &Rule, buffer: &[u8]) -> Option<FailedAt> {
    let mut evaluation = Evaluation::default();
    rule.buffers.iter().enumerate().find_map(|(plan, tests)| {
        let chain = tests.chains.iter().position(|chain| !evaluation.matches(chain, buffer))?;
        Some(FailedAt { chain, ..evaluation.failed_at(plan) })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    /// However a buffer grows, and whatever it loses in front: a rule that is not judged again would have failed.
    #[test]
    fn what_is_not_judged_again_would_fail(
        options in prop::collection::vec(option(), 1..5),
        pieces in prop::collection::vec((payload(), 0..8_usize), 1..7),
    ) {
        let bench = Bench::of(&format!("alert tcp any any -> any any ({} sid:1;)", options.join(" ")));
        for rule in bench.set.rules() {
            let may_slide = !rule.stream.asks_for_places;
            let (mut window, mut failure): (Vec<u8>, Option<Failure>) = (Vec::new(), None);
            for (piece, lost) in &pieces {
                let lost = if may_slide { (*lost).min(window.len()) } else { 0 };
                window.drain(..lost);
                window.extend(piece);
                let failed = failed(rule, &window);
                failure = failure.and_then(|failure| failure.slid(lost as u64).again(rule, &window, &mut 0));
                prop_assert!(failure.is_none() || failed.is_some(), "{failure:?} on {:?}", window.escape_ascii().to_string());
                if failure.is_none() {
                    failure = failed.and_then(|at| Failure::new(rule, at, &window));
                }
            }
        }
    }
}

#[test]
fn a_chain_without_end_goes_on_with_what_is_missing_and_a_bounded_one_at_its_length() {
    let bench = Bench::of(
        "alert tcp any any -> any any (content:\"ab\"; content:\"cd\"; distance:0; sid:1;)\n\
         alert tcp any any -> any any (content:\"ab\"; content:\"cd\"; distance:1; within:4; sid:2;)\n\
         alert tcp any any -> any any (pcre:\"/x[ab]*y/\"; sid:3;)\n\
         alert tcp any any -> any any (content:\"zz\"; content:\"ab\"; sid:4;)",
    );
    let buffer = b"..ab....................ab..............";
    let at = FailedAt { plan: 0, chain: 0, given_up: false, went_beyond: false };
    let mut from: Vec<(u32, u32)> = (bench.set.rules().iter())
        .map(|rule| (rule.meta.sid, Failure::new(rule, at, buffer).map_or(0, |failure| failure.from)))
        .collect();
    from.sort_unstable();
    let length = u32::try_from(buffer.len()).unwrap();
    assert_eq!(from, [(1, length - 1), (2, length - 7), (3, length), (4, length - 1)]);
}

#[test]
fn what_had_too_many_places_is_not_tried_with_every_byte_that_comes() {
    let bench = Bench::of(
        "alert tcp any any -> any any (content:\"ab\"; content:\"q\"; distance:0; within:5; content:\"zz\"; distance:0; \
         within:5; sid:1;)",
    );
    let rule = &bench.set.rules()[0];
    let mut buffer = b"abq".repeat(4_000);
    let mut evaluation = Evaluation::default();
    assert!(!evaluation.matches(&rule.buffers[0].chains[0], &buffer));
    let given_up = evaluation.failed_at(0);
    assert!(given_up.given_up);
    let mut failure = Failure::new(rule, given_up, &buffer).unwrap();
    let mut limit_reached = 0;
    for _ in 0..100 {
        buffer.push(b'.');
        failure = failure.again(rule, &buffer, &mut limit_reached).unwrap();
    }
    assert_eq!(limit_reached, 0, "only what comes is tried");
    buffer.extend(b"abqzz");
    assert_eq!(failure.again(rule, &buffer, &mut limit_reached), None, "and that may match");
}
