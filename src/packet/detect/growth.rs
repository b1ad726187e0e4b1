//! What need not be judged again when a buffer grows.
//!
//! Bodies and streams come in pieces, and a rule that has found its literal is judged with each piece until it matches.
//! What has failed once mostly fails again: the chain that failed is asked first, and only where the new bytes may have
//! changed something.

use super::buffer::Evaluation;
use crate::rules::plan::{BufferPlan, BufferTest, Chain, Content, Rule};

/// The chain for which a rule did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The places of the plan in the rule, and of the chain in the plan.
    plan: u8,
    chain: u8,
    /// In front of this place of the buffer the chain will not begin to match, however the buffer grows.
    pub from: u32,
}

impl Failure {
    /// `chain` of `plan` failed on all of `buffer`. `None` where nothing can be told.
    pub(super) fn new(rule: &Rule, plan: usize, chain: usize, buffer: &[u8]) -> Option<Failure> {
        let tests = rule.buffers.get(plan).filter(|plan| is_followed(plan))?;
        let from = resume(tests.chains.get(chain)?, buffer, 0)?;
        Some(Failure { plan: plan.try_into().ok()?, chain: chain.try_into().ok()?, from: from.try_into().ok()? })
    }

    /// The same where the buffer has lost its first `count` bytes.
    pub(super) fn slid(self, count: u64) -> Failure {
        Failure { from: u32::try_from(u64::from(self.from).saturating_sub(count)).unwrap_or(0), ..self }
    }

    pub(super) fn plan(self, rule: &Rule) -> Option<&BufferPlan> {
        rule.buffers.get(usize::from(self.plan))
    }

    /// The failure as it is when the chain fails on the grown buffer, too.
    pub(super) fn again(self, rule: &Rule, buffer: &[u8]) -> Option<Failure> {
        let chain = self.plan(rule)?.chains.get(usize::from(self.chain))?;
        let from = usize::try_from(self.from).ok()?;
        let mut evaluation = Evaluation::default();
        if evaluation.matches_from(chain, buffer, from) || evaluation.limit_reached() {
            return None;
        }
        let from = resume(chain, buffer, from)?;
        Some(Failure { from: from.try_into().ok()?, ..self })
    }
}

/// Whether its bytes alone decide, as they are.
fn is_followed(plan: &BufferPlan) -> bool {
    plan.settled_by_bytes && plan.transforms.is_empty()
}

/// Where a chain that has failed on `buffer` from `from` on may begin to match when bytes are added.
fn resume(chain: &Chain, buffer: &[u8], from: usize) -> Option<usize> {
    let place = match (&chain.steps.first()?.test, chain.steps.len()) {
        (BufferTest::Content(content), _) if is_anywhere(content) => {
            let Some(first) = content.pattern.find(buffer.get(from..)?) else {
                return Some(buffer.len().saturating_sub(content.pattern.len().saturating_sub(1)).max(from));
            };
            let settled = chain
                .extent
                .map_or(0, |extent| buffer.len().saturating_sub(usize::try_from(extent).unwrap_or(usize::MAX)));
            settled.max(from + first)
        }
        (BufferTest::Pcre(pcre), 1) if !(pcre.negated || pcre.relative || pcre.hint.begins_at_once) => {
            let bounded = pcre.hint.reach_bytes_max.map(|most| buffer.len().saturating_sub(most));
            let outside = pcre
                .hint
                .alphabet
                .as_ref()
                .map(|alphabet| buffer.iter().rposition(|byte| !alphabet.contains(*byte)).map_or(0, |at| at + 1));
            bounded.max(outside)?.max(from)
        }
        _ => return None,
    };
    Some(place)
}

fn is_anywhere(content: &Content) -> bool {
    !content.negated
        && !content.is_relative()
        && !content.startswith
        && !content.endswith
        && content.offset.is_none()
        && content.depth.is_none()
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
