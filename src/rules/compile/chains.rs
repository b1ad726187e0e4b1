//! The tests of a buffer as chains that can be judged independently.

use crate::rules::plan::{Amount, BufferTest, ByteTest, Chain, Content, IsDataAt, Neighbour, NumberForm, Step};

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
    let (bounded_count, extent) = extent(&tests);
    let steps = tests.iter().enumerate().map(|(at, test)| Step {
        test: test.clone(),
        anchors: is_anchor(&tests, at),
        neighbour: neighbour(&tests, at),
        end_bytes: end_bytes(&tests, at),
        boundless: at >= bounded_count,
    });
    let ending =
        tests.iter().position(|test| test.content().is_some_and(|content| content.endswith && !content.negated));
    Chain {
        steps: steps.collect(),
        extent: extent.and_then(|extent| u32::try_from(extent).ok()),
        ascends: tests.iter().all(ascends),
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

/// The content behind the one at `at`, if a place of that leaves it only one.
fn neighbour(tests: &[BufferTest], at: usize) -> Option<Neighbour> {
    let (BufferTest::Content(one), BufferTest::Content(next)) = (tests.get(at)?, tests.get(at + 1)?) else {
        return None;
    };
    let Amount::Number(distance) = next.distance.unwrap_or(Amount::Number(0)) else { return None };
    let Some(Amount::Number(within)) = next.within else { return None };
    let (length, room) = (one.pattern.len(), usize::try_from(within).ok()?);
    if one.negated || next.negated || one.endswith || next.endswith || room != next.pattern.len() {
        return None;
    }
    let distance = length.checked_add(usize::try_from(distance).ok()?)?;
    Some(Neighbour { distance: distance.try_into().ok()?, leads: next.pattern.rarity() > one.pattern.rarity() })
}

/// How near to the end of the buffer the content at `at` must end, if the next test asks that.
fn end_bytes(tests: &[BufferTest], at: usize) -> Option<u32> {
    let (BufferTest::Content(_), BufferTest::IsDataAt(test)) = (tests.get(at)?, tests.get(at + 1)?) else {
        return None;
    };
    match test {
        IsDataAt { amount: Amount::Number(amount), relative: true, negated: true } => u32::try_from(*amount).ok(),
        _ => None,
    }
}

/// How many tests in a row look no further than so far from the beginning of the first content, and how far that is.
fn extent(tests: &[BufferTest]) -> (usize, Option<i64>) {
    let Some(first) = tests.first().and_then(BufferTest::content) else { return (0, None) };
    let Ok(length) = i64::try_from(first.pattern.len()) else { return (0, None) };
    if first.negated || first.is_relative() || first.endswith {
        return (0, None);
    }
    // The furthest place where the match before may end.
    let (mut position, mut extent) = (length, length);
    for (at, test) in tests.iter().enumerate().skip(1) {
        let Some(end) = reach(test).and_then(|reach| position.checked_add(reach)) else {
            // The first byte of an expression is looked at before it runs.
            return (at, position.max(extent).checked_add(1));
        };
        extent = extent.max(end);
        if test.moves() {
            position = end.max(0);
        }
    }
    (tests.len(), Some(extent))
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
