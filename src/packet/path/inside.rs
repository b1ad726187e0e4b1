//! A packet inside the packet: judged as if it had come by itself, with a connection of its own.

use super::{Path, World};
use crate::packet::decode::inner::Inner;
use crate::packet::decode::{self, Headers};
use crate::packet::detect;
use crate::packet::event::{Events, FlowEnd};
use crate::packet::flow::Flow;
use crate::packet::ingress::{Ingress, Timestamp};
use crate::packet::tell::{self, Moment};
use crate::packet::tracking::EntryEnd;
use crate::packet::tunnel::{Carrier, Ended};
use crate::packet::verdict::{self, Verdict};

impl Path {
    /// The packet that this packet of `flow` carries. What becomes of it becomes of the one around it, and of no other.
    pub(super) fn judge_inside(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        flow: &mut Flow,
        inner: Inner<'_>,
        events: &mut Events,
    ) -> Verdict {
        let carrier = Carrier::around(moment.packet.carrier, moment.headers, inner.kind);
        let packet = packet_of(&inner, &carrier, moment.packet);
        let headers = inner.decoded.headers.filter(|_| usize::from(carrier.depth) < decode::LAYER_COUNT_MAX);
        self.counters.tunnelled += 1;
        self.detect.begin(detect::events::of(inner.decoded.anomalies));
        let Some(headers) = headers else {
            let inside = Moment { packet: &packet, headers: &Headers::UNKNOWN, now: moment.now };
            return self.apply_rules(world, inside, None, None, events).of_carrier();
        };
        let tunnel = world.flows.tunnels().of(flow);
        let mut networks = tunnel.enter();
        let network = (inner.kind, inner.network);
        let (inside, expired) = tunnel.network(&mut networks, network, moment.now);
        tell_ended(expired, moment.now, events);
        let Some(inside) = inside else {
            let inside_moment = Moment { packet: &packet, headers: &headers, now: moment.now };
            return self.judge_beyond_cap(world, inside_moment, events).of_carrier();
        };
        tell_ended(inside.track(&headers), moment.now, events);
        let verdict = match inside.tracker.current() {
            Some(tracked) => {
                let packet = Ingress { conntrack: Some(tracked), ..packet };
                let inside_moment = Moment { packet: &packet, headers: &headers, now: moment.now };
                let mut place = super::Place { table: &mut inside.flows, tunnel: tunnel.number(), inherited: None };
                self.judge_tracked(world, inside_moment, tracked, &mut place, events)
            }
            None => {
                let inside_moment = Moment { packet: &packet, headers: &headers, now: moment.now };
                self.judge_alone(world, inside_moment, Verdict::ACCEPT, events)
            }
        };
        tell_ended(inside.settle(self.policy.goes_on(verdict)), moment.now, events);
        networks.leave(network);
        verdict.of_carrier()
    }

    /// The packets inside one that has no flow, each by itself.
    pub(super) fn judge_inside_alone(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        mut verdict: Verdict,
        events: &mut Events,
    ) -> Verdict {
        let mut next = moment.headers.inner(&self.tunnels);
        let (mut around, mut carrier) = (*moment.headers, None);
        for _ in 1..decode::LAYER_COUNT_MAX {
            let Some(inner) = next else { break };
            let carried = Carrier::around(carrier.as_ref(), &around, inner.kind);
            let headers = inner.decoded.headers.unwrap_or(Headers::UNKNOWN);
            let packet = packet_of(&inner, &carried, moment.packet);
            self.counters.tunnelled += 1;
            self.detect.begin(detect::events::of(inner.decoded.anomalies));
            let inside = Moment { packet: &packet, headers: &headers, now: moment.now };
            verdict = verdict::either(verdict, self.apply_rules(world, inside, None, None, events).of_carrier());
            next = headers.inner(&self.tunnels);
            (around, carrier) = (headers, Some(carried));
        }
        verdict
    }
}

/// The inner packet as if a feeder had handed it over. Tags of the frames around it come before its own.
fn packet_of<'i>(inner: &Inner<'i>, carrier: &'i Carrier, outer: &Ingress<'i>) -> Ingress<'i> {
    let mut vlan = outer.vlan;
    for tag in inner.frame.vlan.into_iter().flatten() {
        if let Some(free) = vlan.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(tag);
        }
    }
    Ingress {
        bytes: inner.frame.network,
        ethertype: inner.frame.ethertype,
        vlan,
        source_mac: inner.frame.source_mac.or(outer.source_mac),
        ethernet: inner.frame.ethernet,
        gso: false,
        full_len: u32::try_from(inner.frame.network.len()).unwrap_or(u32::MAX),
        conntrack: None,
        noted: inner.decoded.anomalies,
        carrier: Some(carrier),
        ..*outer
    }
}

fn tell_ended(ended: Vec<Ended>, now: Timestamp, events: &mut Events) {
    for (mut flow, destroyed) in ended {
        let reason = match destroyed.end {
            EntryEnd::CaptureEnded => FlowEnd::Shutdown,
            EntryEnd::Expired | EntryEnd::Removed => FlowEnd::Timeout,
        };
        tell::flow_ended(&mut flow, &destroyed.entry, now, reason, events);
    }
}
