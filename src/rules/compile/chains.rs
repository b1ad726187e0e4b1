//! The tests of a buffer as chains that can be judged independently.

use crate::rules::plan::{Amount, BufferTest, ByteTest, Chain, Content, IsDataAt, NumberForm, Step};

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
    let extent = extent(&tests).and_then(|extent| u32::try_from(extent).ok());
    let ending = tests.iter().position(|test| match test {
        BufferTest::Content(content) => content.endswith && !content.negated,
        _ => false,
    });
    let ascends = tests.iter().all(ascends);
    Chain {
        steps: tests.into_iter().zip(anchors).map(|(test, anchors)| Step { test, anchors }).collect(),
        extent,
        ascends,
        ending: ending.and_then(|at| u8::try_from(at).ok()),
    }
}

/// Whether a later match before the test never makes its own match come earlier.
fn ascends(test: &BufferTest) -> bool {
    let is_number = |amount: &Option<Amount>| !matches!(amount, Some(Amount::Variable(_)));
    match test {
        BufferTest::Content(content) => is_number(&content.distance) && is_number(&content.within),
        test => !test.moves() && !test.uses_variables(),
    }
}

/// How far from the beginning of the first content the tests may look, at most; `None` where that is anywhere.
fn extent(tests: &[BufferTest]) -> Option<i64> {
    let (first, rest) = tests.split_first()?;
    let BufferTest::Content(first) = first else { return None };
    if first.negated || first.is_relative() || first.endswith {
        return None;
    }
    // The furthest place where the match before may end.
    let mut position = i64::try_from(first.pattern.len()).ok()?;
    let mut extent = position;
    for test in rest {
        let end = position.checked_add(reach(test)?)?;
        extent = extent.max(end);
        if test.moves() {
            position = end.max(0);
        }
    }
    Some(extent)
}

/// How far behind the match before a relative test may look.
fn reach(test: &BufferTest) -> Option<i64> {
    let number = |amount: Amount| match amount {
        Amount::Number(number) => Some(number),
        Amount::Variable(_) => None,
    };
    match test {
        BufferTest::Content(Content { distance, within: Some(within), endswith: false, .. }) => {
            distance.map_or(Some(0), number)?.checked_add(number(*within)?)
        }
        BufferTest::IsDataAt(IsDataAt { amount, relative: true, .. }) => number(*amount)?.checked_add(1),
        BufferTest::ByteTest(ByteTest { number: read, offset, relative: true, .. }) => {
            let count = number(read.count).filter(|count| *count > 0 || !matches!(read.form, NumberForm::Text(_)))?;
            number(*offset)?.checked_add(count)
        }
        BufferTest::Pcre(pcre) if pcre.relative && pcre.hint.begins_at_once => {
            // And a byte behind it, where it asks for the end of a word.
            i64::try_from(pcre.hint.reach_bytes_max?.checked_add(1)?).ok()
        }
        _ => None,
    }
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
