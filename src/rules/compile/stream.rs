//! What can be told beforehand of a rule that looks into streams.

use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{Amount, BufferPlan, BufferTest, Content, FastPattern, JumpFrom, Reach, StreamShape};
use crate::rules::prefilter::LITERAL_BYTES_MAX;

pub(super) fn stream_shape(buffers: &[BufferPlan]) -> StreamShape {
    let mut tests = payload_tests(buffers);
    let first_two = (tests.next(), tests.next());
    StreamShape {
        asks_for_places: payload_tests(buffers).any(is_about_a_place),
        told_twice: contents(buffers).any(is_placed) && !contents(buffers).any(|content| content.endswith),
        // A rule that asks for its literal alone has nothing to wait for.
        may_wait: !matches!(first_two, (Some(BufferTest::Content(content)), None) if is_whole_literal(content)),
        reach: match first_two {
            (Some(test), None) => reach(test),
            _ => Reach::default(),
        },
    }
}

/// Whether the prefilter looks for all of it: what is longer may be cut behind the part that it looks for.
fn is_whole_literal(content: &Content) -> bool {
    content.pattern.len() <= LITERAL_BYTES_MAX && !matches!(content.fast_pattern, FastPattern::Chop { .. })
}

/// Whether a test is about a place in the payload and not only about what stands where relative to what.
fn is_about_a_place(test: &BufferTest) -> bool {
    match test {
        BufferTest::Content(content) => !content.is_relative() && asks_for_place(content),
        BufferTest::IsDataAt(test) => !test.relative,
        BufferTest::ByteTest(test) => !test.relative,
        BufferTest::ByteJump(jump) => !jump.relative || jump.from != JumpFrom::Here,
        BufferTest::ByteExtract(extract) => !extract.relative,
        BufferTest::ByteMath(math) => !math.relative,
        BufferTest::Size(_) => true,
        _ => false,
    }
}

fn is_placed(content: &Content) -> bool {
    content.depth.is_some() || content.offset.is_some() || content.startswith
}

fn asks_for_place(content: &Content) -> bool {
    content.is_relative() || content.startswith || content.depth.is_some() || !is_start(content.offset)
}

fn is_start(offset: Option<Amount>) -> bool {
    matches!(offset, None | Some(Amount::Number(0)))
}

/// Of a rule that asks for nothing else.
fn reach(test: &BufferTest) -> Reach {
    match test {
        BufferTest::Content(content) if !content.negated && !asks_for_place(content) => {
            let back = content.pattern.len().saturating_sub(1);
            Reach { within: Some(back), exactly: back }
        }
        BufferTest::Pcre(pcre) if !pcre.negated => {
            Reach { within: pcre.hint.match_bytes_max.map(|most| most.saturating_sub(1)), exactly: 0 }
        }
        _ => Reach::default(),
    }
}

fn contents(buffers: &[BufferPlan]) -> impl Iterator<Item = &Content> {
    payload_tests(buffers).filter_map(|test| match test {
        BufferTest::Content(content) => Some(content),
        _ => None,
    })
}

fn payload_tests(buffers: &[BufferPlan]) -> impl Iterator<Item = &BufferTest> {
    let plans = buffers.iter().filter(|plan| plan.buffer == Buffer::PAYLOAD);
    plans.flat_map(|plan| &plan.chains).flat_map(|chain| &chain.steps).map(|step| &step.test)
}
