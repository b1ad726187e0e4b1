use proptest::prelude::*;

use super::super::oracle::{option, payload};
use super::super::tests::Bench;
use super::*;

/// The first plan and chain that fail; every buffer of these rules is the payload.
fn failed(rule: &Rule, buffer: &[u8]) -> Option<(usize, usize)> {
    let mut evaluation = Evaluation::default();
    rule.buffers.iter().enumerate().find_map(|(plan, tests)| {
        tests.chains.iter().position(|chain| !evaluation.matches(chain, buffer)).map(|chain| (plan, chain))
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
                failure = failure.and_then(|failure| failure.slid(lost as u64).again(rule, &window));
                prop_assert!(failure.is_none() || failed.is_some(), "{failure:?} on {:?}", window.escape_ascii().to_string());
                if failure.is_none() {
                    failure = failed.and_then(|(plan, chain)| Failure::new(rule, plan, chain, &window));
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
    let mut from: Vec<(u32, u32)> = (bench.set.rules().iter())
        .map(|rule| (rule.meta.sid, Failure::new(rule, 0, 0, buffer).map_or(0, |failure| failure.from)))
        .collect();
    from.sort_unstable();
    let length = u32::try_from(buffer.len()).unwrap();
    assert_eq!(from, [(1, length - 1), (2, length - 7), (3, length), (4, length - 1)]);
}
