//! The tests of a buffer as chains that can be judged independently.

use crate::rules::plan::{BufferTest, Chain, Step};

/// Cuts the tests of a buffer into chains that can be judged independently, cheapest first.
pub(super) fn chains(tests: Vec<BufferTest>) -> Box<[Chain]> {
    let mut chains: Vec<Vec<BufferTest>> = Vec::new();
    if tests.iter().any(BufferTest::uses_variables) {
        // Variables tie everything together: one chain, in the order of the rule.
        chains.push(tests);
    } else {
        let mut position = None;
        for test in tests {
            let at = match (position, test.is_relative()) {
                (Some(at), true) => at,
                _ => {
                    chains.push(Vec::new());
                    chains.len() - 1
                }
            };
            if test.is_relative() || test.moves() {
                position = Some(at);
            }
            if let Some(chain) = chains.get_mut(at) {
                chain.push(test);
            }
        }
    }
    let mut chains: Vec<Chain> = chains.into_iter().map(chain).collect();
    chains.sort_by_key(cost);
    chains.into()
}

fn chain(tests: Vec<BufferTest>) -> Chain {
    let anchors: Vec<bool> = (0..tests.len()).map(|at| is_anchor(&tests, at)).collect();
    Chain { steps: tests.into_iter().zip(anchors).map(|(test, anchors)| Step { test, anchors }).collect() }
}

/// Whether another place for the test at `at` could save the tests after it, up to and including the next one that
/// sets a position of its own.
///
/// A content that only has to come somewhere after (`distance` alone) is served best by the first place, and so is
/// `isdataat`; without this, chains of them would be tried in every combination of places.
fn is_anchor(tests: &[BufferTest], at: usize) -> bool {
    if !tests.get(at).is_some_and(BufferTest::moves) {
        return false;
    }
    for test in tests.iter().skip(at + 1) {
        let first_place_is_best = match test {
            BufferTest::Content(content) => !content.negated && content.within.is_none() && !content.endswith,
            BufferTest::IsDataAt(test) => !test.negated,
            _ => false,
        };
        if test.is_relative() && !first_place_is_best {
            return true;
        }
        if test.moves() {
            return false;
        }
    }
    false
}

/// What a chain costs to judge, roughly: sizes, then single bytes, then searches, the longest pattern first.
fn cost(chain: &Chain) -> (u8, usize) {
    let kind = match chain.steps.first().map(|step| &step.test) {
        Some(BufferTest::Size(_)) | None => 0,
        Some(BufferTest::IsDataAt(_)) => 1,
        Some(BufferTest::Content(content)) if content.startswith => 2,
        Some(BufferTest::ByteTest(_)) => 3,
        Some(BufferTest::Content(content)) if content.negated => 6,
        Some(BufferTest::Pcre(_) | BufferTest::Base64(_)) => 7,
        Some(BufferTest::Asn1(_)) => 8,
        // What they change stays changed, so everything else is asked before.
        Some(BufferTest::DataSet { .. } | BufferTest::DataReputation { .. }) => 9,
        Some(BufferTest::Content(_)) => 5,
        Some(_) => 4,
    };
    let longest = chain.steps.iter().map(|step| match &step.test {
        BufferTest::Content(content) => content.pattern.len(),
        _ => 0,
    });
    (kind, usize::MAX - longest.max().unwrap_or(0))
}
