//! Rules about the bytes of a TCP stream.
//!
//! What such a rule looks into is the window: older bytes of the direction, then those that this packet completes. It
//! matches when the window satisfies it and the older bytes alone did not. The prefilter sees only the new end of the
//! window; rules whose literal was found before, but not yet the rest of what they ask for, are remembered with the flow
//! for as long as the literal may stand in the window.

use super::{Buffers, Candidate, DetectThread, Failure, FlowView};
use crate::packet::conntrack::Direction;
use crate::packet::stream::StreamView;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{HeaderProtocol, Reach, Rule};
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
    /// Nobody looks at it: it is encrypted, or stands behind the depth.
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
    rules: Vec<Waiting>,
    overflowed: bool,
}

/// A rule whose literal was seen. Places count from the beginning of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    rule: u32,
    /// The end of the bytes in which the literal stands.
    end: u64,
    /// Fresh bytes from here on are no part of a match with it.
    until: u64,
    /// Why it did not match, and in which window: its begin in the stream.
    failure: Option<(Failure, u64)>,
}

impl Waiting {
    fn concerns(&self, stream: StreamView<'_>) -> bool {
        self.end > stream.begins && self.until > stream.begins.saturating_add(stream.fresh_from as u64)
    }

    /// Whether it fails for what it failed for before.
    fn fails_again(&mut self, rules: &RuleSet, stream: StreamView<'_>, limit_reached: &mut u64) -> bool {
        let (Some((failure, begins)), Some(rule)) = (self.failure, rules.rule(self.rule)) else { return false };
        self.failure = stream.begins.checked_sub(begins).and_then(|slid| {
            let again = failure.slid(slid).again(rule, stream.window, limit_reached)?;
            Some((again, stream.begins))
        });
        self.failure.is_some()
    }
}

impl Unfinished {
    fn way(&mut self, direction: Direction, generation: u64) -> Option<&mut Way> {
        let [original, reply] = &mut self.ways;
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
    fn add(&mut self, waiting: Waiting, stream: StreamView<'_>) {
        self.rules.retain(|known| known.concerns(stream));
        if let Some(known) = self.rules.iter_mut().find(|known| known.rule == waiting.rule) {
            *known = waiting;
        } else if self.rules.len() < UNFINISHED_COUNT_MAX {
            self.rules.push(waiting);
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
        flow: &mut FlowView<'_>,
        packet: &Sifted,
    ) {
        let mut waiting = flow.state.unfinished().and_then(|all| all.way(flow.direction, rules.generation()));
        let from = match &waiting {
            Some(way) if way.overflowed => 0,
            _ => stream.fresh_from.saturating_sub(LITERAL_BYTES_MAX - 1),
        };
        self.next_packet(rules);
        self.in_stream.clear();
        let (seen, number, found) = (&mut self.seen, self.packet_number, &mut self.in_stream);
        let fresh = stream.window.get(from..).unwrap_or_default();
        let wanted = |literal| rules.found(group, literal, packet).next().is_some();
        group.payload.scan(fresh, wanted, |literal| {
            if let Some(last) = seen.get_mut(literal)
                && *last != number
            {
                *last = number;
                found.extend(rules.found(group, literal, packet));
            }
        });
        if stream.begins == 0 {
            rules.look_at_places(group, stream.window, from, packet, |rule| found.push(rule));
        }
        self.in_stream.sort_unstable();
        self.settled.clear();
        for waiting in waiting.iter_mut().flat_map(|way| &mut way.rules).filter(|waiting| waiting.concerns(stream)) {
            let found_again = self.in_stream.binary_search(&waiting.rule).is_ok();
            match waiting.fails_again(rules, stream, &mut self.counters.limit_reached) {
                true if found_again => {
                    waiting.end = stream.end();
                    self.settled.push(waiting.rule);
                }
                false if !found_again => self.candidates.push(Candidate::on_packet(waiting.rule)),
                _ => {}
            }
        }
        let open = self.in_stream.iter().filter(|rule| !self.settled.contains(rule));
        self.candidates.extend(open.map(|rule| Candidate::on_packet(*rule)));
    }

    /// A rule that looked at the stream and did not match is looked at again when there is more, for as long as what it
    /// found may be part of a match.
    pub(super) fn keep_unfinished(&mut self, rules: &RuleSet, number: u32, flow: Option<&mut FlowView<'_>>) {
        let Some(reach) = self.unfinished else { return };
        let Some(flow) = flow else { return };
        let Some(stream) = flow.stream else { return };
        let end = stream.end();
        let failure = self.failure.map(|failure| (failure, stream.begins));
        if self.in_stream.binary_search(&number).is_err() {
            let known = flow.state.unfinished().and_then(|all| all.way(flow.direction, rules.generation()));
            let known = known.into_iter().flat_map(|way| &mut way.rules).find(|known| known.rule == number);
            known.into_iter().for_each(|known| known.failure = failure);
            return;
        }
        let way = flow.state.unfinished_mut().way_mut(flow.direction, rules.generation());
        let until = end.saturating_add(u64::try_from(reach).unwrap_or(u64::MAX));
        way.add(Waiting { rule: number, end, until, failure }, stream);
    }

    /// Whether a rule about streams matches: in the window, or in the packet where that says something of its own.
    pub(super) fn matches_in_stream(&mut self, rule: &Rule, buffers: &Buffers<'_>, flow: &FlowView<'_>) -> bool {
        let mut placed = None;
        if let Some(stream) = flow.stream {
            // Places count from the beginning of the stream; where the window begins elsewhere there are none.
            let asks = *placed.insert(rule.stream.asks_for_places);
            let shown = stream.begins == 0 || !asks;
            let reach = rule.stream.reach;
            if shown && self.is_new_in_window(rule, buffers, stream, reach) {
                self.matched_in_stream = true;
                return true;
            }
            let waits = shown && rule.stream.may_wait;
            self.unfinished = waits.then(|| reach.within.unwrap_or(usize::MAX));
            // Rules that ask for one thing are searched for near the fresh bytes only as it is.
            let failed = self.failed.filter(|_| waits && reach.within.is_none() && !asks);
            self.failure = failed
                .filter(|at| rule.buffers.get(at.plan).is_some_and(|plan| plan.buffer == Buffer::PAYLOAD))
                .and_then(|at| Failure::new(rule, at, stream.window));
        }
        let packet_too = match flow.payload {
            PayloadPlace::Alone | PayloadPlace::Hidden => true,
            // As in Suricata, places count from the beginning of each packet, too.
            PayloadPlace::Shown | PayloadPlace::InStream => placed.unwrap_or(rule.stream.asks_for_places),
            PayloadPlace::Repeated => false,
        };
        let stream_only = rule.flow.stream == Some(true) || rule.header.protocol == HeaderProtocol::TcpStream;
        packet_too && !stream_only && self.matches_in(rule, buffers)
    }

    fn is_new_in_window(&mut self, rule: &Rule, buffers: &Buffers<'_>, stream: StreamView<'_>, reach: Reach) -> bool {
        let from = reach.within.map_or(0, |within| stream.fresh_from.saturating_sub(within));
        let near = stream.window.get(from..).unwrap_or_default();
        if !self.matches_in(rule, &Buffers { payload: near, ..*buffers }) {
            return false;
        }
        let failed_nowhere = self.failed;
        let old = stream.window.get(from..stream.fresh_from).unwrap_or_default();
        let captured = std::mem::take(&mut self.captured);
        let new = old.is_empty() || !self.matches_in(rule, &Buffers { payload: old, ..*buffers }) || {
            let reaches_back = stream.fresh_from.saturating_sub(reach.exactly);
            let fresh = stream.window.get(reaches_back..).unwrap_or_default();
            self.matches_in(rule, &Buffers { payload: fresh, ..*buffers })
        };
        self.captured = captured;
        self.failed = failed_nowhere;
        new
    }
}
