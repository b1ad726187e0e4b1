//! Rules meet packets: which rules match, and what the first of them in action order decides.
//!
//! ```text
//!  group (protocol, direction) --> prefilter over the payload --> candidates, in the order of judgement
//!                             \--> rules without a literal, by port --/          |
//!     for each: flow, ports, addresses, header fields, memory, buffers  <--------/
//!     match: leaves its flowbits, counts toward its threshold, decides if nobody decided before
//! ```
//!
//! A rule is judged whole, so what the prefilter finds is never more than a hint. Nothing here allocates while rules
//! do not match; the scratch of a [`DetectThread`] grows to its working size and stays.
//!
//! Rules about transactions are judged in the same order as the others, on each transaction that has something new
//! (`transaction`). The payload of a segment that belongs to a stream is the window that ends with it ([`StreamView`]).

mod again;
mod buffer;
mod collect;
mod encoded;
pub mod events;
mod growth;
mod header;
mod known_addresses;
mod outcome;
mod state;
mod stream;
mod tag;
mod threshold;
mod transaction;
mod transform;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use super::app::AppView;
use super::conntrack::Direction;
use super::decode::{Headers, Tcp, Transport};
use super::event::Variable;
use super::flow::measure::Measured;
use super::ingress::{ChecksumStatus, Ingress, Timestamp, VlanTags};
use super::stream::StreamView;
use crate::packet::decode::link::ETHERTYPE_ARP;
use crate::rules::events::PacketEvents;
use crate::rules::meta::RuleAction;
use crate::rules::plan::{FlowMeasure, FlowTest, HeaderProtocol, Rule, Toward, VariableScope};
use crate::rules::reputation::Reputation;
use crate::rules::ruleset::RuleSet;

use growth::FailedAt;
pub use growth::Failure;
pub use outcome::{Decision, Match, Outcome, Ruling};
pub use stream::PayloadPlace;

pub use state::{FlowDetectState, SharedCounters, SharedDetectState};

use buffer::Evaluation;
use collect::{Candidate, class, sifted};
use known_addresses::KnownAddresses;
use outcome::{Hit, decide};
use threshold::Said;
use transform::Scratch;

/// Matches kept of one packet, as Suricata's `packet-alert-max`.
const MATCH_COUNT_MAX: usize = 15;

/// One worker's scratch for judging packets.
#[derive(Debug, Default)]
pub struct DetectThread {
    candidates: Vec<Candidate>,
    /// By literal: the number of the packet that saw it last.
    seen: Vec<u32>,
    packet_number: u32,
    hits: Vec<Hit>,
    /// Oddities of the packet that is judged next.
    noted: PacketEvents,
    /// The packet was judged before, and only its transactions have something new.
    only_transactions: bool,
    /// Rules whose literal stands in what the packet adds to its stream, ascending.
    in_stream: Vec<u32>,
    /// Those of them that will not match with what is there.
    settled: Vec<u32>,
    /// Rules that are told a second time (`again`).
    again: Vec<u32>,
    /// The rule that is judged looked at a stream and may yet match when so many more bytes of it are there.
    unfinished: Option<usize>,
    /// The rule that is judged matched a stream.
    matched_in_stream: bool,
    /// For what the rule that is judged did not match.
    failed: Option<FailedAt>,
    /// Why it did not match the window, where that is good for the next time.
    failure: Option<Failure>,
    /// What rules that matched have captured in this packet.
    variables: Vec<Variable>,
    /// The same of the rule that is judged.
    captured: Vec<(VariableScope, Variable)>,
    scratch: Scratch,
    known_addresses: KnownAddresses,
    counters: DetectCounters,
}

/// What a worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectCounters {
    /// Rules judged, after the prefilter.
    pub candidates: u64,
    pub matches: u64,
    /// Rules given up because their contents could stand in too many combinations of places.
    pub limit_reached: u64,
    /// Matches beyond those that one packet may have.
    pub overflow: u64,
    /// A transaction had more rules to remember than it may.
    pub remembered_overflow: u64,
}

impl DetectCounters {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &DetectCounters) {
        let DetectCounters { candidates, matches, limit_reached, overflow, remembered_overflow } = *other;
        self.candidates = self.candidates.saturating_add(candidates);
        self.matches = self.matches.saturating_add(matches);
        self.limit_reached = self.limit_reached.saturating_add(limit_reached);
        self.overflow = self.overflow.saturating_add(overflow);
        self.remembered_overflow = self.remembered_overflow.saturating_add(remembered_overflow);
    }
}

/// What the rules may know of the packet's flow.
pub struct FlowView<'f> {
    pub direction: Direction,
    /// TCP: the handshake is complete. Otherwise: both sides have spoken.
    pub established: bool,
    pub measured: Measured,
    pub state: &'f mut FlowDetectState,
    /// The application layer; `None` while no protocol is recognised.
    pub app: Option<AppView<'f>>,
    /// No protocol was recognised, and none will be.
    pub app_failed: bool,
    /// The stream that the packet adds to; `None`: it adds nothing.
    pub stream: Option<StreamView<'f>>,
    pub payload: PayloadPlace,
    /// The packet is of a recording that is only looked at.
    pub recorded: bool,
}

impl FlowView<'_> {
    /// Whether rules have not yet judged a packet of this flow that went this way. Asking is judging.
    fn is_first_of_its_way(&mut self) -> bool {
        self.state.note_way(self.direction)
    }

    fn toward(&self) -> Toward {
        match self.direction {
            Direction::Original => Toward::Server,
            Direction::Reply => Toward::Client,
        }
    }
}

/// The buffers that rules look into.
#[derive(Clone, Copy, Debug)]
struct Buffers<'p> {
    payload: &'p [u8],
    headers: &'p Headers<'p>,
    events: PacketEvents,
    checksum: ChecksumStatus,
    vlan: VlanTags,
    ethertype: u16,
    ethernet: &'p [u8],
    reputation: &'p Reputation,
}

impl DetectThread {
    #[must_use]
    pub fn new() -> DetectThread {
        DetectThread::default()
    }

    #[must_use]
    pub fn counters(&self) -> DetectCounters {
        self.counters
    }

    /// Judges one packet by all rules. `flow` is `None` where conntrack knows no connection: then only rules that ask
    /// nothing of a flow can match.
    pub fn inspect<'s>(
        &'s mut self,
        rules: &'s RuleSet,
        ingress: &Ingress<'_>,
        headers: &Headers<'_>,
        mut flow: Option<FlowView<'_>>,
        shared: &SharedDetectState,
        now: Timestamp,
    ) -> Outcome<'s> {
        self.hits.clear();
        self.variables.clear();
        let events = std::mem::take(&mut self.noted);
        let hidden = flow.as_ref().is_some_and(|flow| flow.payload == PayloadPlace::Hidden);
        let buffers = Buffers {
            payload: if hidden { &[] } else { headers.payload },
            headers,
            events,
            checksum: ingress.checksum,
            vlan: ingress.vlan,
            ethertype: ingress.ethertype,
            ethernet: ingress.ethernet,
            reputation: rules.reputation(),
        };
        self.candidates.clear();
        let about = self.known_addresses.about(rules, headers.ip.src, headers.ip.dst);
        let packet = sifted(&buffers, flow.as_ref(), about);
        let only_transactions = std::mem::take(&mut self.only_transactions);
        if !only_transactions {
            self.collect(rules, &buffers, flow.as_mut(), &packet, about);
        }
        if let Some(flow) = &mut flow {
            self.collect_on_transactions(rules, flow, &packet);
            if !only_transactions {
                self.collect_again(rules.generation(), flow);
            }
        }
        self.candidates.sort_unstable();
        self.candidates.dedup();
        let first = flow.as_mut().is_none_or(FlowView::is_first_of_its_way);
        // What Suricata has no flows for meets each rule with every packet.
        let once = !matches!(headers.transport, Transport::Other);
        let is_syn = headers.tcp().is_some_and(|tcp| tcp.has(Tcp::SYN));
        let tagged = !only_transactions && state::count_tags(headers, flow.as_mut(), shared, now);
        let (mut decision, mut bypass) = (Decision::None, false);
        for at in 0..self.candidates.len() {
            let Some(candidate) = self.candidates.get(at).copied() else { break };
            let Some(rule) = rules.rule(candidate.rule()) else { continue };
            if !first && (rule.ip_only && once || rule.flow_start) || rule.flow_start && flow.is_none() {
                continue;
            }
            self.counters.candidates += 1;
            let again = candidate.transaction().is_none() && self.is_told_again(candidate.rule());
            if !self.judge(rule, &buffers, flow.as_ref(), shared, now, again) {
                self.keep_unfinished(rules, candidate.rule(), flow.as_mut());
                continue;
            }
            let transaction = match candidate.transaction() {
                None => None,
                Some(at) => match self.judge_transaction(rule, candidate.rule(), at, &buffers, flow.as_mut()) {
                    Some(id) => Some(id),
                    None => continue,
                },
            };
            self.counters.matches += 1;
            if transaction.is_none() && !again {
                self.keep_for_again(rule, candidate.rule(), rules.generation(), flow.as_mut());
            }
            state::apply(&rule.effects, headers, &mut flow, shared, now);
            self.keep_variables(flow.as_mut());
            state::add_tags(rule, headers, flow.as_mut(), shared, now);
            bypass |= rule.bypass;
            let said = threshold::count(rule, headers, flow.as_mut(), shared, now);
            if said == Said::Nothing {
                continue;
            }
            let by_rate = threshold::action_by_rate(rule, headers, flow.as_mut(), shared, now);
            let action = by_rate.unwrap_or(rule.action());
            let alert = said == Said::Alert && !rule.noalert && (by_rate.is_none() || action != RuleAction::Pass);
            // Most servers take no data from a SYN, and its sender knows that.
            let in_stream = self.matched_in_stream && !is_syn || transaction.is_some();
            self.remember(Hit { rule: candidate.rule(), alert, in_stream, transaction, by_rate });
            decision = decide(decision, action);
            if decision == Decision::Pass {
                break;
            }
        }
        if bypass && decision == Decision::None {
            decision = Decision::Bypass;
        }
        Outcome { rules, hits: &self.hits, variables: &self.variables, decision, tagged }
    }

    /// What the rule that just matched has captured belongs to the packet or to its flow from now on.
    fn keep_variables(&mut self, mut flow: Option<&mut FlowView<'_>>) {
        for (scope, variable) in self.captured.drain(..) {
            match (scope, flow.as_mut()) {
                (VariableScope::Flow, Some(flow)) => flow.state.set_variable(variable),
                (VariableScope::Flow, None) => {}
                (VariableScope::Packet, _) => state::set_variable(&mut self.variables, variable),
            }
        }
    }

    fn remember(&mut self, hit: Hit) {
        if self.hits.len() < MATCH_COUNT_MAX {
            self.hits.push(hit);
        } else {
            self.counters.overflow += 1;
        }
    }

    /// Begins a packet, of which these oddities are known.
    pub fn begin(&mut self, events: PacketEvents) {
        self.noted = events;
    }

    /// The next call of [`DetectThread::inspect`] is about the packet that was judged last, whose transactions have
    /// something new.
    pub fn look_at_transactions_only(&mut self) {
        self.only_transactions = true;
    }

    /// Tells of an oddity of the packet that [`DetectThread::inspect`] is given next.
    pub fn note(&mut self, events: PacketEvents) {
        self.noted.merge(events);
    }

    /// Whether `rule` matches: the cheap questions first.
    fn judge(
        &mut self,
        rule: &Rule,
        buffers: &Buffers<'_>,
        flow: Option<&FlowView<'_>>,
        shared: &SharedDetectState,
        now: Timestamp,
        again: bool,
    ) -> bool {
        self.unfinished = None;
        self.failure = None;
        self.matched_in_stream = again;
        let has_payload = !buffers.payload.is_empty() || flow.is_some_and(|flow| flow.stream.is_some()) || again;
        if rule.needs_payload && !has_payload || !fits(rule, buffers, flow, shared, now) {
            return false;
        }
        // A rule about transactions has all its buffers judged together, on one.
        if rule.on_transactions || again {
            return true;
        }
        match flow {
            Some(flow) if rule.needs_payload && rule.looks_at_stream() => self.matches_in_stream(rule, buffers, flow),
            _ => self.matches_in(rule, buffers),
        }
    }

    /// Whether everything that the rule asks of buffers holds for these.
    fn matches_in(&mut self, rule: &Rule, buffers: &Buffers<'_>) -> bool {
        let mut evaluation = Evaluation::default();
        let failed = rule.buffers.iter().position(|plan| {
            !buffers.bytes(plan.buffer).is_some_and(|bytes| self.plan_matches(&mut evaluation, plan, bytes))
        });
        self.counters.limit_reached += u64::from(evaluation.limit_reached());
        self.failed = failed.map(|plan| evaluation.failed_at(plan));
        self.captured = evaluation.captured;
        failed.is_none()
    }
}

/// Whether all that the rule asks for besides contents holds.
fn fits(
    rule: &Rule,
    buffers: &Buffers<'_>,
    flow: Option<&FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> bool {
    flow_fits(rule.flow, flow)
        && protocol_fits(rule.header.protocol, buffers, flow)
        && rule.packet.iter().all(|test| header::accepts(test, buffers))
        && header::addresses_fit(rule, buffers.headers, flow.map(FlowView::toward))
        && transaction::flow_speaks(rule, flow)
        && measures_fit(&rule.measures, flow)
        && state::accepts(&rule.state, buffers.headers, flow, shared, now)
}

fn flow_fits(test: FlowTest, flow: Option<&FlowView<'_>>) -> bool {
    let Some(flow) = flow else { return !test.needs_flow() };
    test.toward.is_none_or(|wanted| wanted == flow.toward())
        && test.established.is_none_or(|wanted| wanted == flow.established)
}

fn measures_fit(measures: &[FlowMeasure], flow: Option<&FlowView<'_>>) -> bool {
    measures.is_empty() || flow.is_some_and(|flow| measures.iter().all(|measure| flow.measured.accepts(*measure)))
}

fn protocol_fits(protocol: HeaderProtocol, buffers: &Buffers<'_>, flow: Option<&FlowView<'_>>) -> bool {
    match protocol {
        HeaderProtocol::Ether => return !buffers.ethernet.is_empty(),
        HeaderProtocol::Arp => return buffers.ethertype == ETHERTYPE_ARP,
        _ if buffers.headers.is_unknown() => return protocol == HeaderProtocol::PktHdr,
        _ => {}
    }
    let narrower = match protocol {
        HeaderProtocol::Ipv4 => buffers.headers.ip.version == 4,
        HeaderProtocol::Ipv6 => buffers.headers.ip.version == 6,
        HeaderProtocol::Igmp => buffers.headers.ip.protocol == 2,
        // A segment without data is no part of the stream.
        HeaderProtocol::TcpStream => !buffers.payload.is_empty() || flow.is_some_and(|flow| flow.stream.is_some()),
        _ => true,
    };
    narrower && protocol.concerns(class(buffers.headers))
}
