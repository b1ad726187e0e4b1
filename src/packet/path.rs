//! THE PAGE: one packet, from the kernel's hands back into the kernel's hands.
//!
//! Every stage is one call here. A packet is decoded, finds its flow by conntrack identity, meets the flow's fate if that
//! is settled, is judged by the rules, and leaves as a verdict. Nothing here allocates unless something happened.

mod connection;
mod disowned;
mod inside;
mod related;

use std::sync::Arc;

use self::related::Inherited;
use super::app::{APP_MEMCAP_BYTES_DEFAULT, AppConfig, AppCounters};
use super::conntrack::{CtStatus, Fate};
use super::counters::PathCounters;
use super::decode::inner::TunnelPorts;
use super::decode::link::ETHERTYPE_ARP;
use super::decode::{self, Headers, Transport};
use super::detect::{self, Decision, DetectCounters, DetectThread, FlowView, PayloadPlace, Ruling, SharedDetectState};
use super::event::{Events, FlowEnd};
use super::fate::FateStore;
use super::flow::Flow;
use super::flow::shards::FlowShards;
use super::flow::table::{Attach, FlowTable};
use super::followed::Followed;
use super::ingress::{Ingress, Timestamp, Tracked};
use super::pool::MemoryPool;
use super::stream::{STREAM_MEMCAP_BYTES_DEFAULT, StreamConfig, StreamCounters};
use super::tell::{self, Copies, Moment};
use super::verdict::{self, Action, Clearing, Policy, Verdict};
use crate::rules::ruleset::RuleSet;

/// What all workers share while a batch is judged.
#[derive(Clone, Copy)]
pub struct World<'w> {
    pub rules: &'w RuleSet,
    pub flows: &'w FlowShards,
    pub shared: &'w SharedDetectState,
}

/// One worker's way of judging packets: its settings, its scratch memory and its counters.
pub struct Path {
    policy: Policy,
    fates: FateStore,
    copies: Copies,
    detect: DetectThread,
    counters: PathCounters,
    app: AppConfig,
    app_counters: AppCounters,
    app_pool: Arc<MemoryPool>,
    stream: StreamConfig,
    stream_pool: Arc<MemoryPool>,
    stream_counters: StreamCounters,
    tunnels: TunnelPorts,
}

/// Where a packet's flow stands: in the kernel's world, or in that of a tunnel.
struct Place<'t> {
    table: &'t mut FlowTable,
    /// The tunnel's number, 0 outside of tunnels.
    tunnel: u64,
    /// What has become of the connection that announced this one, if that is settled.
    inherited: Option<Inherited>,
}

impl Path {
    #[must_use]
    pub fn new(policy: Policy, fates: impl Into<FateStore>, copies: Copies, app: AppConfig) -> Path {
        Path {
            policy,
            fates: fates.into(),
            copies,
            detect: DetectThread::default(),
            counters: PathCounters::default(),
            app,
            app_counters: AppCounters::default(),
            app_pool: Arc::new(MemoryPool::new(APP_MEMCAP_BYTES_DEFAULT)),
            stream: StreamConfig::default(),
            stream_pool: Arc::new(MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT)),
            stream_counters: StreamCounters::default(),
            tunnels: TunnelPorts::STANDARD,
        }
    }

    /// Which tunnels over UDP are opened.
    #[must_use]
    pub fn opening(mut self, tunnels: TunnelPorts) -> Path {
        self.tunnels = tunnels;
        self
    }

    /// How streams are followed, and whose memory they take.
    #[must_use]
    pub fn following(mut self, stream: StreamConfig, pool: Arc<MemoryPool>) -> Path {
        self.stream = stream;
        self.stream_pool = pool;
        self
    }

    /// Whose memory transactions take.
    #[must_use]
    pub fn remembering_in(mut self, pool: Arc<MemoryPool>) -> Path {
        self.app_pool = pool;
        self
    }

    #[must_use]
    pub fn stream_counters(&self) -> &StreamCounters {
        &self.stream_counters
    }

    #[must_use]
    pub fn app_counters(&self) -> &AppCounters {
        &self.app_counters
    }

    #[must_use]
    pub fn detect_counters(&self) -> DetectCounters {
        self.detect.counters()
    }

    #[must_use]
    pub fn counters(&self) -> &PathCounters {
        &self.counters
    }

    /// Judges one packet. What is worth telling is left in `events`.
    pub fn inspect(&mut self, world: World<'_>, packet: &Ingress<'_>, now: Timestamp, events: &mut Events) -> Verdict {
        self.counters.count_packet(packet);
        let decoded = decode::decode_ingress(packet);
        let anomalies = decoded.anomalies.and(packet.noted);
        self.counters.count_anomalies(anomalies);
        self.detect.begin(detect::events::of(anomalies));
        let verdict = match decoded.headers {
            // Not IP at all is not an error: a bridge hands us ARP and the like.
            None if anomalies.is_empty() && !is_below_ip(packet) => Verdict::ACCEPT,
            None if anomalies.is_empty() => {
                let moment = Moment { packet, headers: &Headers::UNKNOWN, now };
                self.judge_alone(world, moment, Verdict::ACCEPT, events)
            }
            None => {
                let moment = Moment { packet, headers: &Headers::UNKNOWN, now };
                self.judge_alone(world, moment, self.policy.undecodable(), events)
            }
            Some(headers) => {
                self.counters.count_headers(&headers);
                let moment = Moment { packet, headers: &headers, now };
                self.judge(world, moment, events)
            }
        };
        self.counters.count_verdict(verdict);
        verdict
    }

    /// A packet that is not for us to answer, such as a fragment that waits for the others: only rules about oddities and
    /// about what is below IP see it.
    pub fn look_at(&mut self, world: World<'_>, packet: &Ingress<'_>, now: Timestamp, events: &mut Events) {
        let decoded = decode::decode_ingress(packet);
        let oddities = detect::events::of(decoded.anomalies.and(packet.noted));
        if !oddities.is_empty() || is_below_ip(packet) {
            self.detect.begin(oddities);
            let moment = Moment { packet, headers: &Headers::UNKNOWN, now };
            let _ = self.detect_layer(world, moment, None, None, events);
        }
    }

    fn judge(&mut self, world: World<'_>, moment: Moment<'_, '_>, events: &mut Events) -> Verdict {
        match moment.packet.conntrack {
            None => self.judge_flowless(world, moment, events),
            Some(tracked) => {
                let inherited = self.inherited_fate(world, tracked);
                let mut table = world.flows.lock(&tracked.entry.key());
                let mut place = Place { table: &mut table, tunnel: 0, inherited };
                self.judge_tracked(world, moment, tracked, &mut place, events)
            }
        }
    }

    fn judge_tracked(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        tracked: Tracked<'_>,
        place: &mut Place<'_>,
        events: &mut Events,
    ) -> Verdict {
        if is_icmp_error(tracked, moment.headers) {
            self.judge_related(world, moment, tracked, place, events)
        } else {
            self.judge_in_flow(world, moment, tracked, place, events)
        }
    }

    /// The normal case: the packet belongs to a connection.
    fn judge_in_flow(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        tracked: Tracked<'_>,
        place: &mut Place<'_>,
        events: &mut Events,
    ) -> Verdict {
        let key = tracked.entry.key();
        let Place { table, tunnel, inherited } = place;
        let Attach::Flow { flow, is_new, replaced } = table.attach(tracked.entry, moment.packet.in_ifindex, moment.now)
        else {
            return self.judge_beyond_cap(world, moment, events);
        };
        if let Some(replaced) = replaced {
            let last_known = *tracked.entry;
            let mut replaced = replaced;
            tell::flow_ended(&mut replaced, &last_known, moment.now, FlowEnd::Timeout, events);
        }
        if is_new {
            self.adopt(flow, tracked, world);
            flow.carried_by(moment.packet.carrier, *tunnel);
        }
        self.counters.fates_reconsidered += u64::from(flow.reconsider(world.rules.generation()));
        if let Some(inherited) = inherited {
            inherited.pass_on(flow);
        }
        flow.count(tracked.info.direction(), moment.headers);

        let verdict = match flow.fate {
            Fate::Inspect => self.look_into(world, moment, flow, tracked, events),
            fate => self.enforce(fate, flow, tracked, moment, events),
        };
        if self.policy.goes_on(verdict) {
            flow.note_accepted();
        } else {
            table.forget_unborn(&key);
        }
        if is_new && tracked.entry.status.has(CtStatus::DYING) {
            // The last packet of an entry whose DESTROY was heard before: nobody will ever name this flow again.
            table.remove(&key);
        }
        verdict
    }

    /// The connection's bytes, its transactions, then the rules on all of it.
    fn look_into(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        events: &mut Events,
    ) -> Verdict {
        let inner = moment.headers.inner(&self.tunnels);
        self.begin_anew(flow, tracked, moment, events);
        let mut followed = self.follow(flow, tracked, moment);
        if inner.is_none() {
            self.advance_app(world, flow, tracked, moment, followed.as_mut());
        }
        let by_rules = self.apply_rules(world, moment, Some((flow, tracked)), followed.as_ref(), events);
        let by_rules = self.judge_rest(world, by_rules, flow, tracked, moment, followed.as_ref(), events);
        let verdict = match &mut followed {
            Some(followed) => self.settle_stream(by_rules, flow, tracked, moment, followed, events),
            None => by_rules,
        };
        let verdict = self.meet_trouble(verdict, flow, tracked, moment, followed.is_some(), events);
        self.note_acknowledged(flow);
        if let Some(app) = &mut flow.app {
            tell::due_records(app, flow.id, tracked, moment, events);
        }
        if let Some(app) = &mut flow.app {
            app.account(&self.app_pool, &mut self.app_counters);
        }
        self.forget_what_is_over(flow);
        let verdict = self.clear_if_opaque(flow, verdict, moment);
        let verdict = self.clear_if_elephant(flow, tracked, verdict, moment);
        match inner {
            Some(inner) if verdict.fate.is_none() && self.policy.goes_on(verdict) => {
                verdict::either(verdict, self.judge_inside(world, moment, flow, inner, events))
            }
            _ => verdict,
        }
    }

    /// A flow that is new to us: what the kernel's entry already says of its fate holds.
    fn adopt(&mut self, flow: &mut Flow, tracked: Tracked<'_>, world: World<'_>) {
        self.counters.count_flow(flow.key.orig.protocol, flow.midstream);
        flow.generation = world.rules.generation();
        flow.fate = self.fates.decode_for(tracked.entry, flow.generation);
        let was_cleared = self.fates.decode(tracked.entry) == Fate::Pass;
        self.counters.fates_reconsidered += u64::from(was_cleared && flow.fate == Fate::Inspect);
    }

    /// The rest of a connection whose fate is known. Normally nftables ends it before it reaches us; until the kernel
    /// shows the fate, we enforce it here and write it again.
    fn enforce(
        &mut self,
        fate: Fate,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, '_>,
        events: &mut Events,
    ) -> Verdict {
        // What the kernel finishes without us needs no streams; if they are wanted again they begin anew.
        flow.stream = None;
        let shown = self.fates.decode_for(tracked.entry, flow.generation);
        let mut verdict = self.policy.settled(fate, shown);
        if flow.cleared_by.is_some_and(|why| !self.policy.leaves_to_kernel(why)) {
            verdict.fate = None;
        }
        self.counters.fates_shown += u64::from(shown == fate);
        self.counters.fates_repeated += u64::from(verdict.fate.is_some());
        events.extend(tell::policy_drop(verdict, moment, Some((flow, tracked))));
        verdict
    }

    /// No connection: packet rules judge it, then the policy for what conntrack refused or never tracks.
    fn judge_flowless(&mut self, world: World<'_>, moment: Moment<'_, '_>, events: &mut Events) -> Verdict {
        let policy = if moment.headers.is_of_tracked_protocol() {
            self.counters.invalid += 1;
            if let Some(verdict) = self.judge_disowned(world, moment, events) {
                return verdict;
            }
            self.policy.invalid()
        } else {
            self.counters.untracked += 1;
            self.policy.untracked()
        };
        self.judge_alone(world, moment, policy, events)
    }

    /// A new connection met a full flow table: judged without state, then by policy.
    fn judge_beyond_cap(&mut self, world: World<'_>, moment: Moment<'_, '_>, events: &mut Events) -> Verdict {
        self.counters.flow_memcap += 1;
        self.judge_alone(world, moment, self.policy.flow_table_full(), events)
    }

    fn judge_alone(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        policy: Verdict,
        events: &mut Events,
    ) -> Verdict {
        let by_rules = self.apply_rules(world, moment, None, None, events);
        let by_rules = self.judge_inside_alone(world, moment, by_rules, events);
        if by_rules.action != Action::Accept {
            return by_rules;
        }
        events.extend(tell::policy_drop(policy, moment, None));
        policy
    }

    /// Rules on one packet, with its flow or alone.
    fn apply_rules(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        mut flow: Option<(&mut Flow, Tracked<'_>)>,
        followed: Option<&Followed<'_>>,
        events: &mut Events,
    ) -> Verdict {
        let of = flow.as_mut().map(|(flow, on)| (&mut **flow, *on));
        let ruling = self.detect_layer(world, moment, of, followed, events);
        let verdict = self.policy.rules(ruling, flow.is_some());
        let why = if ruling.decision == Decision::Bypass { Clearing::BypassRule } else { Clearing::PassRule };
        match &mut flow {
            Some((flow, _)) => self.keep_fate(flow, verdict, why, moment),
            None => verdict,
        }
    }

    /// One layer's headers and payload against the rules.
    fn detect_layer(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        flow: Option<(&mut Flow, Tracked<'_>)>,
        followed: Option<&Followed<'_>>,
        events: &mut Events,
    ) -> Ruling {
        let Moment { packet, headers, now } = moment;
        let (mut flow, tracked) = match flow {
            Some((flow, tracked)) => (Some(flow), Some(tracked)),
            None => (None, None),
        };
        let view = match (&mut flow, tracked) {
            (Some(flow), Some(tracked)) => Some(FlowView {
                direction: tracked.info.direction(),
                established: flow.is_established(tracked, headers.payload) && self.may_be_established(flow),
                measured: flow.measured(tracked.entry, now),
                app_failed: flow.app.as_ref().is_some_and(|app| app.has_failed()),
                app: flow.app.as_mut().and_then(|app| app.view()),
                state: &mut flow.detect,
                stream: followed
                    .filter(|followed| !followed.hidden)
                    .zip(flow.stream.as_deref())
                    .and_then(|(followed, streams)| followed.view(streams)),
                payload: followed.map_or(PayloadPlace::Alone, Followed::payload_place),
                recorded: self.policy.passive,
            }),
            _ => None,
        };
        let outcome = self.detect.inspect(world.rules, packet, headers, view, world.shared, now);
        if outcome.tagged && !outcome.matches().any(|found| found.alert) {
            let of = flow.as_deref().zip(tracked);
            events.push(tell::tagged(moment, of));
        }
        if outcome.is_empty() {
            return Ruling::default();
        }
        let ruling = outcome.ruling();
        let verdict = self.policy.rules(ruling, flow.is_some());
        self.counters.alerts +=
            tell::matches(outcome, verdict, moment, self.copies, flow.zip(tracked), followed, events);
        ruling
    }
}

/// Not IP, and yet there are rules for such: ARP, and whatever comes with its Ethernet header.
fn is_below_ip(packet: &Ingress<'_>) -> bool {
    packet.ethertype == ETHERTYPE_ARP || !packet.ethernet.is_empty()
}

/// conntrack hands an ICMP error the entry of the connection that it is about. A connection that a helper expected is
/// RELATED, too, but is a connection of its own.
fn is_icmp_error(tracked: Tracked<'_>, headers: &Headers<'_>) -> bool {
    tracked.info.is_related() && matches!(headers.transport, Transport::Icmp(_))
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "path_inside_tests.rs"]
mod inside_tests;

#[cfg(test)]
#[path = "path_stream_tests.rs"]
mod stream_tests;
