//! Rules about the bytes of a TCP stream.
//!
//! What such a rule looks into is the window: older bytes of the direction, then those that this packet completes. It
//! matches when the window satisfies it and the older bytes alone did not. The prefilter sees only the new end of the
//! window; rules whose literal was found before, but not yet the rest of what they ask for, are remembered with the flow
//! for as long as the literal may stand in the window.

use super::{Buffers, Candidate, DetectThread, FlowView};
use crate::packet::conntrack::Direction;
use crate::packet::stream::StreamView;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{Amount, BufferTest, HeaderProtocol, JumpFrom, Rule};
use crate::rules::prefilter::LITERAL_BYTES_MAX;
use crate::rules::ruleset::{Group, RuleSet};
use crate::rules::sieve::Sifted;

/// Rules remembered for one direction; beyond it the prefilter looks through the whole window again.
const UNFINISHED_COUNT_MAX: usize = 64;

/// How a packet's payload stands to its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadPlace {
    /// It is no part of a stream, or says something that the stream does not show: rules about streams look at it.
    #[default]
    Alone,
    /// All of it stands in the window.
    Shown,
    /// It waits for its turn, or stands in the window only in part.
    InStream,
    /// It repeats what rules have judged.
    Repeated,
    /// It is encrypted: nobody looks at it.
    Hidden,
}

/// Rules of one flow whose literal was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    generation: u64,
    ways: [Way; 2],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Way {
    /// The rule, and the end of the bytes in which its literal stands.
    rules: Vec<(u32, u64)>,
    overflowed: bool,
}

impl Unfinished {
    fn way(&self, direction: Direction, generation: u64) -> Option<&Way> {
        let [original, reply] = &self.ways;
        (self.generation == generation).then_some(match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        })
    }

    fn way_mut(&mut self, direction: Direction, generation: u64) -> &mut Way {
        if self.generation != generation {
            *self = Unfinished { generation, ..Unfinished::default() };
        }
        let [original, reply] = &mut self.ways;
        match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }
}

impl Way {
    fn add(&mut self, rule: u32, end: u64, window_begins: u64) {
        self.rules.retain(|(_, end)| *end > window_begins);
        if let Some((_, known)) = self.rules.iter_mut().find(|(known, _)| *known == rule) {
            *known = end;
        } else if self.rules.len() < UNFINISHED_COUNT_MAX {
            self.rules.push((rule, end));
        } else {
            self.overflowed = true;
        }
    }
}

impl DetectThread {
    /// Adds the rules whose literal stands in what the packet adds, and those that wait for the rest.
    pub(super) fn collect_in_stream(
        &mut self,
        rules: &RuleSet,
        group: &Group,
        stream: StreamView<'_>,
        flow: &FlowView<'_>,
        packet: &Sifted,
    ) {
        let waiting = flow.state.unfinished().and_then(|all| all.way(flow.direction, rules.generation()));
        let from = match waiting {
            Some(way) if way.overflowed => 0,
            _ => stream.fresh_from.saturating_sub(LITERAL_BYTES_MAX - 1),
        };
        let still = waiting.into_iter().flat_map(|way| &way.rules).filter(|(_, end)| *end > stream.begins);
        self.candidates.extend(still.map(|(rule, _)| Candidate::on_packet(*rule)));
        self.next_packet(rules);
        self.in_stream.clear();
        let (seen, number, found) = (&mut self.seen, self.packet_number, &mut self.in_stream);
        group.payload.scan(stream.window.get(from..).unwrap_or_default(), |literal| {
            if let Some(last) = seen.get_mut(literal)
                && *last != number
            {
                *last = number;
                found.extend(group.payload.rules(literal).iter().filter(|rule| rules.lets_through(**rule, packet)));
            }
        });
        self.in_stream.sort_unstable();
        self.candidates.extend(self.in_stream.iter().map(|rule| Candidate::on_packet(*rule)));
    }

    /// A rule that looked at the stream and did not match is looked at again when there is more.
    pub(super) fn keep_unfinished(&mut self, rules: &RuleSet, number: u32, flow: Option<&mut FlowView<'_>>) {
        if !self.unfinished || self.in_stream.binary_search(&number).is_err() {
            return;
        }
        let Some(flow) = flow else { return };
        let Some(stream) = flow.stream else { return };
        let end = stream.begins.saturating_add(stream.window.len() as u64);
        let way = flow.state.unfinished_mut().way_mut(flow.direction, rules.generation());
        way.add(number, end, stream.begins);
    }

    /// Whether a rule about streams matches: in the window, or in the packet where that says something of its own.
    pub(super) fn matches_in_stream(&mut self, rule: &Rule, buffers: &Buffers<'_>, flow: &FlowView<'_>) -> bool {
        let mut placed = None;
        if let Some(stream) = flow.stream {
            // Places count from the beginning of the stream; where the window begins elsewhere there are none.
            let shown = stream.begins == 0 || !*placed.get_or_insert_with(|| asks_for_places(rule));
            if shown && self.is_new_in_window(rule, buffers, stream) {
                self.matched_in_stream = true;
                return true;
            }
            self.unfinished = shown && may_continue(rule);
        }
        let packet_too = match flow.payload {
            PayloadPlace::Alone | PayloadPlace::Hidden => true,
            // As in Suricata, places count from the beginning of each packet, too.
            PayloadPlace::Shown | PayloadPlace::InStream => placed.unwrap_or_else(|| asks_for_places(rule)),
            PayloadPlace::Repeated => false,
        };
        let stream_only = rule.flow.stream == Some(true) || rule.header.protocol == HeaderProtocol::TcpStream;
        packet_too && !stream_only && self.matches_in(rule, buffers)
    }

    fn is_new_in_window(&mut self, rule: &Rule, buffers: &Buffers<'_>, stream: StreamView<'_>) -> bool {
        let old = stream.window.get(..stream.fresh_from).unwrap_or_default();
        if !self.matches_in(rule, &Buffers { payload: stream.window, ..*buffers }) {
            return false;
        }
        let captured = std::mem::take(&mut self.captured);
        let new = old.is_empty() || !self.matches_in(rule, &Buffers { payload: old, ..*buffers }) || {
            let reaches_back = stream.fresh_from.saturating_sub(reach(rule));
            let fresh = stream.window.get(reaches_back..).unwrap_or_default();
            self.matches_in(rule, &Buffers { payload: fresh, ..*buffers })
        };
        self.captured = captured;
        new
    }
}

/// Whether a test is about a place in the payload and not only about what stands where relative to what.
fn asks_for_places(rule: &Rule) -> bool {
    payload_tests(rule).any(|test| match test {
        BufferTest::Content(content) => {
            !content.is_relative() && (content.startswith || content.depth.is_some() || !is_start(content.offset))
        }
        BufferTest::IsDataAt(test) => !test.relative,
        BufferTest::ByteTest(test) => !test.relative,
        BufferTest::ByteJump(jump) => !jump.relative || jump.from != JumpFrom::Here,
        BufferTest::ByteExtract(extract) => !extract.relative,
        BufferTest::ByteMath(math) => !math.relative,
        BufferTest::Size(_) => true,
        _ => false,
    })
}

fn is_start(offset: Option<Amount>) -> bool {
    matches!(offset, None | Some(Amount::Number(0)))
}

/// How far in front of fresh bytes a match may begin that old bytes alone do not make: known where a rule asks for one
/// content.
fn reach(rule: &Rule) -> usize {
    let mut tests = payload_tests(rule);
    match (tests.next(), tests.next()) {
        (Some(BufferTest::Content(content)), None) if !content.negated => content.pattern.len().saturating_sub(1),
        _ => 0,
    }
}

/// A rule that asks for its literal alone has nothing to wait for.
fn may_continue(rule: &Rule) -> bool {
    payload_tests(rule).nth(1).is_some()
}

fn payload_tests(rule: &Rule) -> impl Iterator<Item = &BufferTest> {
    let plans = rule.buffers.iter().filter(|plan| plan.buffer == Buffer::PAYLOAD);
    plans.flat_map(|plan| &plan.chains).flat_map(|chain| &chain.steps).map(|step| &step.test)
}
