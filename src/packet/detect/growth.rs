//! What need not be judged again when a buffer grows.
//!
//! Bodies and streams come in pieces, and a rule that has found its literal is judged with each piece until it matches.
//! What has failed once mostly fails again: the chain that failed is asked first, and only where the new bytes may have
//! changed something.

use super::buffer::Evaluation;
use crate::rules::plan::{Amount, BufferPlan, BufferTest, Chain, Content, Rule};

/// The chain for which a rule did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The places of the plan in the rule, and of the chain in the plan.
    plan: u8,
    chain: u8,
    /// The content of the chain that is missing; 0: the chain does not begin.
    missing: u8,
    /// In front of this place of the buffer what is missing will not begin, however the buffer grows.
    pub from: u32,
}

impl Failure {
    /// `chain` of `plan` failed on all of `buffer`. `None` where nothing can be told.
    pub(super) fn new(rule: &Rule, at: FailedAt, buffer: &[u8]) -> Option<Failure> {
        let tests = rule.buffers.get(at.plan).filter(|plan| is_followed(plan))?;
        let failed = tests.chains.get(at.chain)?;
        let (missing, from) = match at.given_up {
            true => (0, give_up(failed, buffer)?),
            false => missing(failed, buffer, 0).or_else(|| Some((0, resume(failed, buffer, 0, at.went_beyond)?)))?,
        };
        Some(Failure {
            plan: at.plan.try_into().ok()?,
            chain: at.chain.try_into().ok()?,
            missing: missing.try_into().ok()?,
            from: from.try_into().ok()?,
        })
    }

    /// The same where the buffer has lost its first `count` bytes.
    pub(super) fn slid(self, count: u64) -> Failure {
        Failure { from: u32::try_from(u64::from(self.from).saturating_sub(count)).unwrap_or(0), ..self }
    }

    pub(super) fn plan(self, rule: &Rule) -> Option<&BufferPlan> {
        rule.buffers.get(usize::from(self.plan))
    }

    /// The failure as it is when the chain fails on the grown buffer, too. What is given up is counted.
    pub(super) fn again(self, rule: &Rule, buffer: &[u8], limit_reached: &mut u64) -> Option<Failure> {
        let chain = self.plan(rule)?.chains.get(usize::from(self.chain))?;
        let from = usize::try_from(self.from).ok()?;
        if self.missing > 0 {
            let BufferTest::Content(content) = &chain.steps.get(usize::from(self.missing))?.test else { return None };
            let is_missing = buffer.get(from..).is_none_or(|fresh| content.pattern.find(fresh).is_none());
            return is_missing.then(|| self.known_from(end_of_search(content, buffer).max(from))).flatten();
        }
        let mut evaluation = Evaluation::default();
        if evaluation.matches_from(chain, buffer, from) {
            return None;
        }
        if evaluation.limit_reached() {
            *limit_reached += 1;
            return self.known_from(give_up(chain, buffer)?.max(from));
        }
        match missing(chain, buffer, from) {
            Some((missing, from)) => Failure { missing: missing.try_into().ok()?, ..self }.known_from(from),
            None => self.known_from(resume(chain, buffer, from, evaluation.went_beyond)?),
        }
    }

    fn known_from(self, from: usize) -> Option<Failure> {
        Some(Failure { from: from.try_into().ok()?, ..self })
    }
}

/// Which chain of which plan was the first to fail, and whether because it had too many places to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedAt {
    pub plan: usize,
    pub chain: usize,
    pub given_up: bool,
    /// A boundless step of the chain was asked.
    pub went_beyond: bool,
}

/// Whether its bytes alone decide, as they are.
fn is_followed(plan: &BufferPlan) -> bool {
    plan.settled_by_bytes && plan.transforms.is_empty()
}

/// The content that is missing behind the first place of the first one, where each between them only has to come somewhere:
/// then it is missing behind all later places, too. Which step it is, and from where on it may yet begin. `None`: something
/// else is missing, or the first one.
fn missing(chain: &Chain, buffer: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut steps = chain.steps.iter().enumerate();
    let (_, first) = steps.next()?;
    let mut position = first_end(&first.test, buffer, from)?;
    for (number, step) in steps {
        match &step.test {
            BufferTest::Content(content) if comes_somewhere_behind(content) => {
                let Some(Amount::Number(distance)) = content.distance else { return None };
                let begin = position.saturating_add_signed(isize::try_from(distance).ok()?);
                let found = buffer.get(begin..).and_then(|rest| content.pattern.find(rest));
                let Some(found) = found else { return Some((number, end_of_search(content, buffer).max(begin))) };
                position = begin + found + content.pattern.len();
            }
            // It only narrows what matches.
            test if !test.moves() => {}
            _ => return None,
        }
    }
    None
}

/// Where the first content of a chain ends if it stands where it first can.
fn first_end(test: &BufferTest, buffer: &[u8], from: usize) -> Option<usize> {
    let content = test.content()?;
    if content.negated || content.endswith || test.uses_variables() {
        return None;
    }
    let (begin, end) = Evaluation::default().window(content, buffer.len(), 0);
    let begin = begin.max(from);
    Some(begin + content.pattern.find(buffer.get(begin..end)?)? + content.pattern.len())
}

/// All places in front of this one have been looked at.
fn end_of_search(content: &Content, buffer: &[u8]) -> usize {
    buffer.len().saturating_sub(content.pattern.len().saturating_sub(1))
}

/// The same for a chain that had too many places to try: what stands in `buffer` will not be tried with every byte that is
/// added, only what comes.
fn give_up(chain: &Chain, buffer: &[u8]) -> Option<usize> {
    match &chain.steps.first()?.test {
        BufferTest::Content(content) if is_anywhere(content) => Some(end_of_search(content, buffer)),
        _ => None,
    }
}

/// Where a chain that has failed on `buffer` from `from` on, in a boundless step or in front of all, may begin to match when
/// bytes are added.
fn resume(chain: &Chain, buffer: &[u8], from: usize, went_beyond: bool) -> Option<usize> {
    let place = match (&chain.steps.first()?.test, chain.steps.len()) {
        (BufferTest::Content(content), _) if is_anywhere(content) => {
            let Some(first) = content.pattern.find(buffer.get(from..)?) else {
                return Some(end_of_search(content, buffer).max(from));
            };
            let extent = chain.extent.filter(|_| !went_beyond).and_then(|extent| usize::try_from(extent).ok());
            let settled = extent.map_or(0, |extent| buffer.len().saturating_sub(extent));
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

fn comes_somewhere_behind(content: &Content) -> bool {
    content.is_anywhere_behind() && !content.endswith && matches!(content.distance, Some(Amount::Number(_)))
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
