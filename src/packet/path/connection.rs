//! The stages of a connection: its bytes in order, what they say, and what policies ask of it.

use std::sync::Arc;

use super::{Path, World};
use crate::packet::app::{AppConfig, AppLayer, ParseContext};
use crate::packet::conntrack::Fate;
use crate::packet::decode::{Tcp, Transport, protocol};
use crate::packet::detect::{self, FlowDetectState};
use crate::packet::event::Events;
use crate::packet::flow::Flow;
use crate::packet::followed::Followed;
use crate::packet::ingress::Tracked;
use crate::packet::stream::{Segment, Streams};
use crate::packet::tell::{self, Moment};
use crate::packet::verdict::{self, Action, Clearing, Verdict};
use crate::rules::plan::Toward;

impl Path {
    /// A SYN that does not fit may open the next connection on its tuple, whose entry lives on: conntrack and the two ends
    /// know that when it is answered. What we hold is about the connection before.
    pub(super) fn begin_anew(
        &mut self,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, '_>,
        events: &mut Events,
    ) {
        let by_kernel = std::mem::take(&mut flow.begins_anew);
        let segment = moment.headers.tcp().map(|tcp| Segment::of(tcp, &[], tracked.info.direction().toward()));
        let by_stream = segment.zip(flow.stream.as_ref()).is_some_and(|(segment, old)| old.is_outlived_by(&segment));
        if !by_kernel && !by_stream {
            return;
        }
        if let Some(app) = &mut flow.app {
            tell::last_records(app, flow.id, tracked, moment, events);
        }
        flow.stream = None;
        flow.app = None;
        flow.detect = FlowDetectState::default();
        flow.midstream = false;
    }

    /// Puts a TCP segment in its place in the connection's streams.
    pub(super) fn follow<'p>(
        &mut self,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, 'p>,
    ) -> Option<Followed<'p>> {
        let tcp = moment.headers.tcp()?;
        let begins = flow.stream.is_some() || tcp.has(Tcp::SYN);
        if !self.stream.midstream && (flow.midstream || !begins) {
            return None;
        }
        if flow.stream.is_none() {
            self.stream_counters.sessions += 1;
            self.stream_counters.midstream_pickups += u64::from(!tcp.has(Tcp::SYN));
        }
        let streams = flow.stream.get_or_insert_with(|| Box::new(Streams::new(Arc::clone(&self.stream_pool))));
        let mut segment = Segment::of(tcp, moment.headers.payload, tracked.info.direction().toward());
        // Without NFQA_CT nobody tells us that conntrack has disowned it. What ends nothing must not end our stream.
        if tcp.has(Tcp::FIN) && moment.is_broken() {
            segment.flags &= !Tcp::FIN;
        }
        let arrival = streams.arrive(&segment, &self.stream);
        self.detect.note(detect::events::of_stream(arrival.events));
        let by_stream = self.policy.stream(&arrival);
        let hidden = flow.app.as_ref().is_some_and(|app| app.is_encrypted());
        Some(Followed { segment, arrival, by_stream, hidden })
    }

    /// Where connections are not picked up in their middle, the handshake of such a one was not seen, either.
    pub(super) fn may_be_established(&self, flow: &Flow) -> bool {
        self.stream.midstream || flow.stream.is_some() || flow.key.orig.protocol != protocol::TCP
    }

    /// The rules have judged: what the stream itself asks for, and what is true from now on.
    pub(super) fn settle_stream(
        &mut self,
        by_rules: Verdict,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, '_>,
        followed: &mut Followed<'_>,
        events: &mut Events,
    ) -> Verdict {
        let mut verdict = by_rules;
        if by_rules.action == Action::Accept && followed.by_stream.action != Action::Accept {
            verdict = self.keep_fate(flow, followed.by_stream, Clearing::Policy, moment);
            events.extend(tell::policy_drop(verdict, moment, Some((flow, tracked))));
        }
        let Some(streams) = &mut flow.stream else { return verdict };
        let Followed { segment, arrival, .. } = followed;
        streams.settle(segment, arrival, self.policy.goes_on(verdict), &self.stream);
        self.stream_counters.count(segment, arrival);
        if let (true, Some(app)) = (arrival.depth_reached, &mut flow.app) {
            app.stop_reading(segment.toward);
        }
        let news = streams.to_tell(arrival.events);
        let beyond = streams.is_beyond_depth();
        tell::stream_events(news, flow, tracked, moment, events);
        if beyond && self.stream.bypass && verdict == Verdict::ACCEPT {
            verdict = self.keep_fate(flow, self.policy.beyond_inspection(), Clearing::StreamDepth, moment);
        }
        verdict
    }

    /// Nobody follows the connection, or its parser has given up: what the user wants done with it.
    pub(super) fn meet_trouble(
        &mut self,
        verdict: Verdict,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, '_>,
        is_followed: bool,
        events: &mut Events,
    ) -> Verdict {
        let gave_up = flow.app.as_mut().is_some_and(|app| app.take_error());
        let by_policy = match gave_up {
            _ if verdict != Verdict::ACCEPT => return verdict,
            true => self.policy.app_error(),
            false if !is_followed && moment.headers.tcp().is_some() => self.policy.midstream(),
            false => return verdict,
        };
        let by_policy = self.keep_fate(flow, by_policy, Clearing::Policy, moment);
        events.extend(tell::policy_drop(by_policy, moment, Some((flow, tracked))));
        by_policy
    }

    /// The fate that goes with a verdict; `why` it is `Pass`, if it is. That of a packet inside another is ours alone: the
    /// kernel knows of no such.
    pub(super) fn keep_fate(
        &mut self,
        flow: &mut Flow,
        verdict: Verdict,
        why: Clearing,
        moment: Moment<'_, '_>,
    ) -> Verdict {
        let Some(fate) = verdict.fate else { return verdict };
        flow.fate = fate;
        if fate == Fate::Pass {
            flow.cleared_by = Some(why);
            self.counters.count_clearing(why);
            if !self.policy.leaves_to_kernel(why) {
                return Verdict { fate: None, ..verdict };
            }
        }
        self.counters.fates_written += u64::from(moment.packet.carrier.is_none());
        verdict
    }

    /// A connection whose parser has nothing more to read, because it is encrypted and the user wants such cleared.
    pub(super) fn clear_if_opaque(&mut self, flow: &mut Flow, verdict: Verdict, moment: Moment<'_, '_>) -> Verdict {
        if verdict != Verdict::ACCEPT || !flow.app.as_ref().is_some_and(|app| app.is_opaque()) {
            return verdict;
        }
        self.keep_fate(flow, self.policy.beyond_inspection(), Clearing::Encrypted, moment)
    }

    /// A connection that moves so much that the user would rather not look: a backup, a film.
    pub(super) fn clear_if_elephant(
        &mut self,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        verdict: Verdict,
        moment: Moment<'_, '_>,
    ) -> Verdict {
        let (moved, _) = flow.summary(tracked.entry);
        let bytes = moved.bytes_toserver.saturating_add(moved.bytes_toclient);
        if verdict != Verdict::ACCEPT || flow.fate != Fate::Inspect || !self.policy.is_elephant(bytes) {
            return verdict;
        }
        self.keep_fate(flow, self.policy.beyond_inspection(), Clearing::Elephant, moment)
    }

    /// Tells the application layer of a recording what the receivers have; see [`crate::packet::app::Parser::acknowledged`].
    pub(super) fn note_acknowledged(&self, flow: &mut Flow) {
        if let (true, Some(app), Some(streams)) = (self.policy.passive, &mut flow.app, &flow.stream) {
            for toward in [Toward::Server, Toward::Client] {
                app.acknowledged(toward, streams.acknowledged(toward));
            }
        }
    }

    /// Between two transactions no rule waits for the rest of anything.
    pub(super) fn forget_what_is_over(&mut self, flow: &mut Flow) {
        let over = flow.app.as_mut().is_some_and(|app| app.is_between_messages());
        if over && let Some(streams) = &mut flow.stream {
            streams.forget_window(Toward::Server, &self.stream);
            streams.forget_window(Toward::Client, &self.stream);
            flow.detect.forget_streams();
        }
    }

    /// More messages came with this packet than a flow may have transactions: those that rules have judged make room, and
    /// the parser goes on.
    #[allow(clippy::too_many_arguments)] // a stage of the path, with all that the stages pass on
    pub(super) fn judge_rest(
        &mut self,
        world: World<'_>,
        by_rules: Verdict,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, '_>,
        followed: Option<&Followed<'_>>,
        events: &mut Events,
    ) -> Verdict {
        let toward = tracked.info.direction().toward();
        let mut verdict = by_rules;
        while self.policy.goes_on(verdict) && flow.fate == Fate::Inspect {
            let context = app_context(&self.app, world, flow, moment, followed);
            let Some(app) = flow.app.as_mut().filter(|app| app.waits_for_rules(toward)) else { break };
            tell::due_records(app, flow.id, tracked, moment, events);
            app.go_on(toward, &context, self.app.enabled, &mut self.app_counters);
            announce(world, flow, moment);
            self.detect.look_at_transactions_only();
            let more = self.apply_rules(world, moment, Some((flow, tracked)), followed, events);
            verdict = if verdict == Verdict::ACCEPT { more } else { verdict::either(verdict, more) };
        }
        verdict
    }

    /// Gives the application layer what this packet adds.
    pub(super) fn advance_app(
        &mut self,
        world: World<'_>,
        flow: &mut Flow,
        tracked: Tracked<'_>,
        moment: Moment<'_, '_>,
        followed: Option<&mut Followed<'_>>,
    ) {
        let payload = moment.headers.payload;
        if self.app.enabled.is_empty() || payload.is_empty() && followed.is_none() {
            return;
        }
        let toward = tracked.info.direction().toward();
        let context = app_context(&self.app, world, flow, moment, followed.as_deref());
        match (moment.headers.transport, followed) {
            (Transport::Tcp(_), Some(followed)) => {
                let Some(streams) = &flow.stream else { return };
                if flow.app.is_none()
                    && !payload.is_empty()
                    && let Some(transfer) = world.flows.expected().claim(tracked.entry, moment.now)
                {
                    flow.app = Some(Box::new(AppLayer::of_transfer(transfer, &mut self.app_counters)));
                }
                followed.feed(streams, &mut flow.app, &context, self.app.enabled, &mut self.app_counters);
                let odd = flow.app.as_mut().map(|app| app.take_oddities()).unwrap_or_default();
                // Of a connection that is older than we are, nobody knows how it began.
                if !odd.is_empty() && !flow.midstream {
                    self.detect.note(detect::events::of_app(odd));
                }
                // Plain text in place of a record: this packet is looked into already.
                followed.hidden &= flow.app.as_ref().is_some_and(|app| app.is_encrypted());
                announce(world, flow, moment);
            }
            (Transport::Udp(_), _) => {
                let app = flow.app.get_or_insert_default();
                app.receive_datagram(toward, payload, &context, self.app.enabled, &mut self.app_counters);
            }
            _ => {}
        }
    }
}

/// What parsers may know of a packet that belongs to `flow`.
fn app_context<'a>(
    app: &'a AppConfig,
    world: World<'_>,
    flow: &Flow,
    moment: Moment<'_, '_>,
    followed: Option<&Followed<'_>>,
) -> ParseContext<'a> {
    ParseContext {
        position: followed.map_or(0, |followed| followed.arrival.position()),
        wants_frames: world.rules.asks_for_frames(),
        wants_sides: world.rules.asks_for_sides(),
        ..app.context(&flow.key.orig, moment.now, world.rules.hashes())
    }
}

/// Connections that this one has spoken of belong to it.
fn announce(world: World<'_>, flow: &mut Flow, moment: Moment<'_, '_>) {
    for announced in flow.app.iter_mut().flat_map(|app| app.take_announced()) {
        world.flows.expected().announce(&flow.key, &flow.reply, announced, moment.now);
    }
}
