//! Rules about transactions: which are worth judging on which, and whether they match.
//!
//! A transaction is looked at when it has something new from the side whose packet this is. The prefilter sees each
//! buffer once, and only the new end of a growing one; what it has found is remembered with the transaction until the
//! rule matches, because the rest of what the rule asks for may come with a later packet.

use super::buffer::Evaluation;
use super::growth::{FailedAt, Failure};
use super::{Buffers, Candidate, DetectThread, FlowView};
use crate::packet::app::{Inspection, Remembered, Transaction, TxView};
use crate::rules::app::{AppProto, AppTest, FileTest, ProtocolOf};
use crate::rules::lens::{AppGroup, Lens};
use crate::rules::plan::{Absence, BufferPlan, FileStoring, Rule, StoreScope, Toward};
use crate::rules::prefilter::LITERAL_BYTES_MAX;
use crate::rules::ruleset::RuleSet;
use crate::rules::sieve::Sifted;

/// Instances of one buffer that rules look into: more than any parser keeps.
const INSTANCE_COUNT_MAX: usize = 2048;

/// Rules that a transaction remembers, per side, because their literal was found and they have not matched yet. With more
/// nothing is remembered, and the prefilter looks through all of its buffers again when there is something new.
const REMEMBERED_COUNT_MAX: usize = 1024;

/// Rules that a transaction remembers, per side, because they have matched. What matches beyond it is told again each time.
const MATCHED_COUNT_MAX: usize = 1024;
/// The files that a match stores.
fn store_files(rule: &Rule, storing: FileStoring, tx: &mut dyn Transaction) {
    let asked = rule.app.iter().find_map(|test| match test {
        AppTest::File(tests) if storing.scope == StoreScope::File => Some(&tests[..]),
        _ => None,
    });
    tx.each_file(&mut |toward, file| {
        if storing.sides.has(toward) && file.accepts(asked.unwrap_or_default()) {
            file.store();
        }
    });
}

/// The sides whose bytes a question is put to: that of the packet, or those that a rule about both sides means.
fn sides_of(said: Option<Toward>, rule: &Rule, toward: Toward) -> impl Iterator<Item = Toward> + use<> {
    let (first, second) = match (rule.spans_sides, said) {
        (false, _) => (toward, None),
        (true, Some(side)) => (side, None),
        (true, None) => (Toward::Server, Some(Toward::Client)),
    };
    std::iter::once(first).chain(second)
}

fn test_side(test: &AppTest) -> Option<Toward> {
    let AppTest::File(tests) = test else { return None };
    tests.iter().find_map(|test| match test {
        FileTest::From(side) => Some(*side),
        _ => None,
    })
}

/// Whether the flow speaks a protocol that the rule's header and its `app-layer-protocol` allow.
pub(super) fn flow_speaks(rule: &Rule, flow: Option<&FlowView<'_>>) -> bool {
    let app = flow.and_then(|flow| flow.app.as_ref());
    let protocol = app.map(|app| app.protocol);
    let before = app.and_then(|app| app.before);
    let fresh = app.is_some_and(|app| app.is_new);
    let failed = flow.is_some_and(|flow| flow.app_failed);
    let header = rule.header.app.is_empty() || protocol.is_some_and(|protocol| rule.header.app.contains(protocol));
    header
        && rule.app.iter().all(|test| match test {
            AppTest::Protocol { when_found: true, .. } if !fresh => false,
            AppTest::Protocol { protocol: Some(wanted), negated, of: ProtocolOf::Side(toward), .. } => {
                let spoken = app.and_then(|app| app.spoken.by(*toward));
                spoken.is_some_and(|spoken| wanted.contains(spoken) != *negated)
            }
            AppTest::Protocol { protocol: Some(wanted), negated, of, .. } => {
                let is = |protocol: AppProto| wanted.contains(protocol);
                match (of, protocol, before) {
                    (ProtocolOf::Original, _, Some(before)) => is(before) != *negated,
                    (ProtocolOf::Either, Some(protocol), Some(before)) => (is(protocol) || is(before)) != *negated,
                    (_, Some(protocol), _) => is(protocol) != *negated,
                    (_, None, _) => *negated && failed,
                }
            }
            AppTest::Protocol { protocol: None, negated, .. } => (protocol.is_some() || failed) && failed != *negated,
            _ => true,
        })
}

impl DetectThread {
    /// Adds the rules worth judging on the flow's transactions.
    pub(super) fn collect_on_transactions(&mut self, rules: &RuleSet, flow: &mut FlowView<'_>, packet: &Sifted) {
        let (toward, established) = (flow.toward(), flow.established);
        let Some(app) = &mut flow.app else { return };
        for at in 0..app.count() {
            let Some((protocol, mut tx)) = app.transaction(at, toward) else { continue };
            let group = rules.lenses().group(protocol, toward);
            if tx.inspection.generation != rules.generation() {
                *tx.inspection = Inspection { generation: rules.generation(), ..Inspection::default() };
            }
            let Inspection { seen_version, seen_established, .. } = tx.inspection;
            if tx.version == *seen_version && (*seen_established || !established || tx.version == 0) {
                continue;
            }
            (*seen_version, *seen_established) = (tx.version, established);
            self.look_through(rules, group, &mut tx, toward);
            let Inspection { matched, candidates, .. } = &*tx.inspection;
            let worth = (candidates.iter().map(|known| &known.rule).chain(&group.always))
                .filter(|rule| rules.lets_through(**rule, packet) && matched.binary_search(rule).is_err());
            self.candidates.extend(worth.map(|rule| Candidate::on_transaction(*rule, at)));
            if tx.inspection.candidates.len() > REMEMBERED_COUNT_MAX {
                self.counters.remembered_overflow += 1;
                tx.inspection.candidates = Vec::new();
                tx.inspection.scanned.clear();
            }
        }
    }

    /// The prefilter over what is new in the transaction's buffers.
    fn look_through(&mut self, rules: &RuleSet, group: &AppGroup, tx: &mut TxView<'_>, toward: Toward) {
        let before = tx.inspection.candidates.len();
        for number in &group.lenses {
            let Some(lens) = rules.lenses().get(*number) else { continue };
            let at = tx.inspection.scanned.iter().position(|(lens, _)| lens == number);
            let scanned = at.and_then(|at| tx.inspection.scanned.get(at)).map_or(0, |(_, scanned)| *scanned);
            let now = self.scan(rules, lens, tx, toward, scanned);
            if now == scanned {
                continue;
            }
            match at.and_then(|at| tx.inspection.scanned.get_mut(at)) {
                Some((_, scanned)) => *scanned = now,
                None => tx.inspection.scanned.push((*number, now)),
            }
        }
        if tx.inspection.candidates.len() > before {
            // Of two, the one that knows something stays.
            tx.inspection.candidates.sort_unstable_by_key(|known| (known.rule, known.failure.is_none()));
            tx.inspection.candidates.dedup_by_key(|known| known.rule);
        }
    }

    /// Scans what one lens shows beyond `scanned`; returns how much is scanned now: bytes of a growing buffer, otherwise
    /// instances.
    fn scan(&mut self, rules: &RuleSet, lens: &Lens, tx: &mut TxView<'_>, toward: Toward, scanned: u32) -> u32 {
        if lens.buffer.info().growing {
            return self.scan_growing(rules, lens, tx, toward, scanned);
        }
        let mut nth = usize::try_from(scanned).unwrap_or(usize::MAX);
        while nth < INSTANCE_COUNT_MAX {
            let Some(bytes) = tx.data.buffer(lens.buffer, toward, nth) else { break };
            self.find_candidates(rules, lens, bytes, &mut tx.inspection.candidates);
            nth += 1;
        }
        u32::try_from(nth).unwrap_or(scanned)
    }

    /// Instances of a growing buffer come one after the other (attachments of a mail): only the last one grows. Counts
    /// bytes over all of them.
    fn scan_growing(&mut self, rules: &RuleSet, lens: &Lens, tx: &mut TxView<'_>, toward: Toward, scanned: u32) -> u32 {
        let scanned = usize::try_from(scanned).unwrap_or(usize::MAX);
        let mut before: usize = 0;
        for nth in 0..INSTANCE_COUNT_MAX {
            let Some(bytes) = tx.data.buffer(lens.buffer, toward, nth) else { break };
            let end = before.saturating_add(bytes.len());
            if end > scanned {
                // A transform may change what was there before, too.
                let from = match lens.transforms.is_empty() {
                    true => scanned.saturating_sub(before).saturating_sub(LITERAL_BYTES_MAX - 1),
                    false => 0,
                };
                self.find_candidates(rules, lens, bytes.get(from..).unwrap_or_default(), &mut tx.inspection.candidates);
            }
            before = end;
        }
        u32::try_from(before.max(scanned)).unwrap_or(u32::MAX)
    }

    fn find_candidates(&mut self, rules: &RuleSet, lens: &Lens, bytes: &[u8], found: &mut Vec<Remembered>) {
        self.next_packet(rules);
        let (seen, number) = (&mut self.seen, self.packet_number);
        let bytes = match lens.transforms.is_empty() {
            true => bytes,
            false => match self.scratch.apply(&lens.transforms, bytes) {
                Some(bytes) => bytes,
                None => return,
            },
        };
        let all = |_| true;
        lens.prefilter.scan(bytes, all, |literal| {
            if let Some(last) = seen.get_mut(literal)
                && *last != number
            {
                *last = number;
                let rules = lens.prefilter.rules(literal).iter();
                found.extend(rules.map(|rule| Remembered { rule: *rule, failure: None }));
            }
        });
    }

    /// Whether a rule about transactions matches the `at`th; then its number. It will not match that one again.
    pub(super) fn judge_transaction(
        &mut self,
        rule: &Rule,
        number: u32,
        at: usize,
        buffers: &Buffers<'_>,
        flow: Option<&mut FlowView<'_>>,
    ) -> Option<u64> {
        let flow = flow?;
        let toward = flow.toward();
        let (_, tx) = flow.app.as_mut()?.transaction(at, toward)?;
        let asked = rule.app.iter().all(|test| match test {
            AppTest::Protocol { .. } => true,
            AppTest::Event(name) => tx.data.events().contains(name),
            test => sides_of(test_side(test), rule, toward).any(|side| tx.data.accepts(test, side)),
        });
        if !asked {
            return None;
        }
        if fails_again(rule, number, tx.data, tx.inspection, toward, &mut self.counters.limit_reached) {
            return None;
        }
        let mut evaluation = Evaluation::default();
        evaluation.dce_is_little_endian = tx.data.is_little_endian(toward);
        let failed = rule.buffers.iter().position(|plan| match plan.buffer.is_app() {
            true => !sides_of(plan.side.or(plan.buffer.info().toward), rule, toward)
                .any(|side| self.some_instance_matches(&mut evaluation, plan, &tx, side)),
            false => !buffers.bytes(plan.buffer).is_some_and(|bytes| self.plan_matches(&mut evaluation, plan, bytes)),
        });
        self.counters.limit_reached += u64::from(evaluation.limit_reached());
        if let Some(plan) = failed {
            note_failure(rule, number, evaluation.failed_at(plan), tx.data, tx.inspection, toward);
            return None;
        }
        self.captured = evaluation.captured;
        if let Some(storing) = rule.filestore {
            store_files(rule, storing, tx.data);
        }
        self.remember_match(&mut tx.inspection.matched, number);
        if rule.spans_sides {
            let generation = tx.inspection.generation;
            if tx.other.generation != generation {
                *tx.other = Inspection { generation, ..Inspection::default() };
            }
            self.remember_match(&mut tx.other.matched, number);
        }
        forget(&mut tx.inspection.candidates, number);
        let id = tx.id;
        if let (Some(FileStoring { sides, scope: StoreScope::Flow }), Some(app)) = (rule.filestore, &mut flow.app) {
            *app.stored_sides = app.stored_sides.or(sides);
        }
        Some(id)
    }

    fn remember_match(&mut self, matched: &mut Vec<u32>, number: u32) {
        match matched.binary_search(&number) {
            Err(_) if matched.len() >= MATCHED_COUNT_MAX => self.counters.remembered_overflow += 1,
            Err(place) => matched.insert(place, number),
            Ok(_) => {}
        }
    }

    fn some_instance_matches(
        &mut self,
        evaluation: &mut Evaluation,
        plan: &BufferPlan,
        tx: &TxView<'_>,
        toward: Toward,
    ) -> bool {
        let instances = || (0..INSTANCE_COUNT_MAX).map_while(|nth| tx.data.buffer(plan.buffer, toward, nth));
        if plan.absence != Absence::Fails && instances().next().is_none() {
            return tx.data.has_all_of(plan.buffer, toward);
        }
        if plan.absence == Absence::Required {
            return false;
        }
        for bytes in instances() {
            if self.plan_matches(evaluation, plan, bytes) {
                return true;
            }
        }
        false
    }

    /// Whether everything that the rule asks of one buffer holds for these bytes.
    pub(super) fn plan_matches(&mut self, evaluation: &mut Evaluation, plan: &BufferPlan, bytes: &[u8]) -> bool {
        let bytes = match plan.transforms.is_empty() {
            true => bytes,
            false => match self.scratch.apply(&plan.transforms, bytes) {
                Some(bytes) => bytes,
                None => return false,
            },
        };
        let failed = plan.chains.iter().position(|chain| !evaluation.matches(chain, bytes));
        evaluation.failed_chain = failed.unwrap_or(0);
        failed.is_none()
    }
}

/// The only instance of a buffer that grows.
fn growing<'t>(tx: &'t dyn Transaction, plan: &BufferPlan, toward: Toward) -> Option<&'t [u8]> {
    let alone = plan.buffer.is_app() && plan.buffer.info().growing && tx.buffer(plan.buffer, toward, 1).is_none();
    alone.then(|| tx.buffer(plan.buffer, toward, 0)).flatten()
}

/// Whether the rule fails for what it failed for before.
fn fails_again(
    rule: &Rule,
    number: u32,
    tx: &dyn Transaction,
    inspection: &mut Inspection,
    toward: Toward,
    limit_reached: &mut u64,
) -> bool {
    let candidates = &mut inspection.candidates;
    let known = candidates.binary_search_by_key(&number, |known| known.rule).ok().and_then(|at| candidates.get_mut(at));
    let Some(known) = known else { return false };
    let Some(failure) = known.failure else { return false };
    let bytes = failure.plan(rule).and_then(|plan| growing(tx, plan, toward));
    known.failure = bytes.and_then(|bytes| failure.again(rule, bytes, limit_reached));
    known.failure.is_some()
}

/// What a rule failed for is remembered; what cannot change any more ends it.
fn note_failure(
    rule: &Rule,
    number: u32,
    at: FailedAt,
    tx: &dyn Transaction,
    inspection: &mut Inspection,
    toward: Toward,
) {
    // What one side's bytes cannot satisfy, those of the other side may.
    if rule.spans_sides {
        return;
    }
    let Some(tests) = rule.buffers.get(at.plan) else { return };
    let info = tests.buffer.info();
    let of_this_side = tests.buffer.is_app() && info.toward.is_none_or(|own| own == toward);
    if tests.settled_by_bytes && of_this_side && tx.has_all_of(tests.buffer, toward) {
        forget(&mut inspection.candidates, number);
        return;
    }
    let Some(bytes) = growing(tx, tests, toward) else { return };
    let candidates = &mut inspection.candidates;
    if let Some(known) =
        candidates.binary_search_by_key(&number, |known| known.rule).ok().and_then(|at| candidates.get_mut(at))
    {
        known.failure = Failure::new(rule, at, bytes);
    }
}

fn forget(candidates: &mut Vec<Remembered>, number: u32) {
    if let Ok(place) = candidates.binary_search_by_key(&number, |known| known.rule) {
        candidates.remove(place);
    }
    if candidates.is_empty() {
        *candidates = Vec::new();
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
