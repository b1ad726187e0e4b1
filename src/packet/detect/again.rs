//! Recordings, looked at as a passive sensor does.
//!
//! Such a sensor looks for contents with a place (`depth`, `offset`) in each packet, and once more in the stream, when the
//! receiver has acknowledged its beginning. So what begins a stream is told twice. Inline, where bytes are judged once and
//! before anybody has them, there is nothing of this.

use super::{Candidate, DetectThread, FlowView};
use crate::packet::conntrack::Direction;
use crate::packet::stream::StreamView;
use crate::rules::plan::{HeaderProtocol, Rule};

/// Rules of one flow that are told a second time; those beyond it are told once.
const AGAIN_COUNT_MAX: usize = 16;

/// A rule that has matched the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    rule: u32,
    generation: u64,
    direction: Direction,
    acknowledged: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldAgain(Vec<Again>);

impl DetectThread {
    /// Adds the rules that are due, and takes this packet for the other side's acknowledgement.
    pub(super) fn collect_again(&mut self, generation: u64, flow: &mut FlowView<'_>) {
        self.again.clear();
        let direction = flow.direction;
        let Some(ToldAgain(kept)) = flow.state.again() else { return };
        kept.retain_mut(|again| {
            let due = again.direction == direction && again.acknowledged;
            again.acknowledged |= again.direction != direction;
            if due && again.generation == generation {
                self.again.push(again.rule);
            }
            !due
        });
        self.candidates.extend(self.again.iter().map(|rule| Candidate::on_packet(*rule)));
    }

    /// The rule that is judged was told of this stream before, and its contents need not be looked for again.
    pub(super) fn is_told_again(&self, number: u32) -> bool {
        self.again.contains(&number)
    }

    /// Keeps a rule that has matched the first bytes of a stream.
    pub(super) fn keep_for_again(&self, rule: &Rule, number: u32, generation: u64, flow: Option<&mut FlowView<'_>>) {
        let Some(flow) = flow.filter(|flow| flow.recorded) else { return };
        let begins = |stream: StreamView<'_>| stream.begins == 0 && stream.fresh_from == 0;
        if flow.stream.is_some_and(begins) && is_looked_for_twice(rule) {
            let ToldAgain(kept) = flow.state.again_mut();
            if kept.len() < AGAIN_COUNT_MAX {
                kept.push(Again { rule: number, generation, direction: flow.direction, acknowledged: false });
            }
        }
    }
}

/// What asks for the end of a packet seldom finds it in a stream that goes on.
fn is_looked_for_twice(rule: &Rule) -> bool {
    let both = rule.header.protocol != HeaderProtocol::TcpStream && rule.flow.stream.is_none();
    both && rule.looks_at_stream() && rule.stream.told_twice
}
