//! From what happened to the events that tell it. Runs only when something did.

use std::sync::Arc;

use super::app::{AppLayer, FilePiece, Told};
use super::conntrack::{Conntrack, CtStatus, Fate, TcpState};
use super::decode::checksum::{self, Checksum};
use super::decode::{Headers, Transport};
use super::detect::Outcome;
use super::event::{
    AlertEvent, AnomalyEvent, AppEvent, BlockEvent, CapturedVariables, DropEvent, Event, Events, FilePieceEvent,
    FlowEnd, FlowEvent, FlowState, FlowSummary, PacketFacts, TaggedEvent, TcpFlowFacts,
};
use super::facts;
use super::flow::Flow;
use super::followed::Followed;
use super::ingress::{ChecksumStatus, Ingress, Timestamp, Tracked};
use super::stream::events::StreamEvents;
use super::tunnel::Tunnel;
use super::verdict::{Action, Verdict};
use crate::rules::block::{BlockOrder, BlockSide};

/// At most so many bytes of a payload or packet go into an alert (EVE `payload`, `packet`): a super-packet has 64 KiB, and
/// a flood of alerts must not fill the memory with copies.
const COPY_BYTES_MAX: usize = 16 << 10;

/// What alerts carry of the packet besides its headers: only what some output will write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// At most so much of the payload; 0 where no output writes it.
    pub payload_bytes_max: usize,
    pub packet: bool,
}

/// A packet, one of its layers, and when.
#[derive(Clone, Copy)]
pub struct Moment<'m, 'p> {
    pub packet: &'m Ingress<'p>,
    pub headers: &'m Headers<'p>,
    pub now: Timestamp,
}

impl Moment<'_, '_> {
    /// Whether the receiver throws it away for a checksum that is wrong.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.packet.checksum == ChecksumStatus::NotVerified
            && (checksum::network(&self.headers.ip) == Checksum::Bad
                || checksum::transport(self.headers) == Checksum::Bad)
    }
}

/// Alerts for every rule that matched, and the drop if they decided on one. Returns how many alerts.
pub fn matches(
    outcome: Outcome<'_>,
    verdict: Verdict,
    moment: Moment<'_, '_>,
    copies: Copies,
    mut flow: Option<(&mut Flow, Tracked<'_>)>,
    followed: Option<&Followed<'_>>,
    events: &mut Events,
) -> u64 {
    let summary = flow.as_ref().map(|(flow, tracked)| flow.summary(tracked.entry).0);
    let variables = CapturedVariables {
        flow: flow.as_ref().map_or_else(Vec::new, |(flow, _)| flow.detect.variables().to_vec()),
        packet: outcome.variables.to_vec(),
    };
    let packet = packet_facts(moment, flow.as_ref().map(|(flow, tracked)| (&**flow, *tracked)));
    let mut alerts = 0;
    for hit in outcome.matches().filter(|hit| hit.alert) {
        alerts += 1;
        let transaction = flow.as_mut().and_then(|(flow, _)| {
            let app = flow.app.as_mut()?;
            // A datagram that says one thing leaves no doubt which transaction a rule about packets means.
            let alone = hit.names_protocol && matches!(moment.headers.transport, Transport::Udp(_));
            let id = hit.transaction.or_else(|| app.only_transaction().filter(|_| alone))?;
            Some((id, app.record(id)?, app.files(id)))
        });
        let (transaction, files) = transaction.map(|(id, record, files)| ((id, record), files)).unzip();
        let stream = followed.filter(|_| hit.in_stream).and_then(|followed| {
            let (flow, _) = flow.as_ref()?;
            followed.view(flow.stream.as_deref()?)
        });
        events.push(Event::Alert(Box::new(AlertEvent {
            packet: packet.clone(),
            rule: Arc::clone(hit.rule),
            blocked: verdict.action != Action::Accept && hit.action.is_blocking(),
            flow: summary,
            variables: variables.clone(),
            in_stream: stream.is_some(),
            payload: match stream {
                Some(stream) => end(stream.window, copies.payload_bytes_max),
                None => beginning(moment.headers.payload, copies.payload_bytes_max),
            },
            packet_bytes: beginning(moment.packet.bytes, if copies.packet { COPY_BYTES_MAX } else { 0 }),
            generation: outcome.generation(),
            rules_hash: outcome.rules_hash(),
            app_proto: flow.as_ref().and_then(|(flow, _)| flow.app.as_ref()?.protocol()),
            transaction,
            files: files.unwrap_or_default(),
        })));
    }
    if verdict.action != Action::Accept {
        let blocking = outcome.matches().filter(|hit| hit.action.is_blocking());
        events.extend(blocking.filter_map(|hit| Some(block(hit.rule.block?, &packet))));
    }
    if let (Some((flow, _)), Some(last)) = (&mut flow, outcome.matches().last()) {
        flow.alerted |= alerts > 0;
        flow.last_sid = last.rule.sid;
    }
    if let Some(reason) = verdict.action.reason() {
        let decider = outcome.decider();
        let rule = decider.map(|hit| Arc::clone(hit.rule));
        let reject = matches!(verdict.action, Action::Repeat(_)) || decider.is_some_and(|hit| hit.action.is_reject());
        events.push(Event::Drop(Box::new(DropEvent { packet, reason, rule, reject, flow: summary })));
    }
    alerts
}

fn block(order: BlockOrder, packet: &PacketFacts) -> Event {
    let address = match order.side {
        BlockSide::Source => packet.src,
        BlockSide::Destination => packet.dst,
    };
    Event::Block(BlockEvent { address, time: order.time })
}

fn beginning(bytes: &[u8], bytes_max: usize) -> Box<[u8]> {
    let len = bytes.len().min(bytes_max).min(COPY_BYTES_MAX);
    bytes.get(..len).unwrap_or_default().into()
}

/// What completes a match in a stream stands at the end of what is seen of it.
fn end(bytes: &[u8], bytes_max: usize) -> Box<[u8]> {
    let len = bytes.len().min(bytes_max).min(COPY_BYTES_MAX);
    bytes.get(bytes.len() - len..).unwrap_or_default().into()
}

/// The record of a packet that an earlier match wants recorded.
#[must_use]
pub fn tagged(moment: Moment<'_, '_>, flow: Option<(&Flow, Tracked<'_>)>) -> Event {
    Event::Tagged(Box::new(TaggedEvent {
        packet: packet_facts(moment, flow),
        packet_bytes: beginning(moment.packet.bytes, COPY_BYTES_MAX),
    }))
}

/// The event of a drop that no rule asked for on this packet: a settled fate or a policy.
#[must_use]
pub fn policy_drop(verdict: Verdict, moment: Moment<'_, '_>, flow: Option<(&Flow, Tracked<'_>)>) -> Option<Event> {
    let reason = verdict.action.reason()?;
    Some(Event::Drop(Box::new(DropEvent {
        packet: packet_facts(moment, flow),
        reason,
        rule: None,
        reject: matches!(verdict.action, Action::Repeat(_)),
        flow: flow.map(|(flow, tracked)| flow.summary(tracked.entry).0),
    })))
}

/// A connection is over: what its transactions still have to tell, then its last account. `entry` is what the kernel said
/// last of it.
pub fn flow_ended(flow: &mut Flow, entry: &Conntrack, now: Timestamp, reason: FlowEnd, events: &mut Events) {
    let packet = flow.app.is_some().then(|| facts::of_flow(flow, entry, now));
    if let (Some(app), Some(packet)) = (&mut flow.app, packet) {
        transactions(app, flow.id, true, |_| packet.clone(), events);
    }
    events.push(flow_end(flow, entry, now, reason));
    // Whoever lets go of a tunnel last tells what ran in it.
    for (mut inner, destroyed) in flow.take_tunnel().and_then(Arc::into_inner).into_iter().flat_map(Tunnel::end) {
        flow_ended(&mut inner, &destroyed.entry, now, reason, events);
    }
}

/// The records of a packet's flow that are due.
pub fn due_records(
    app: &mut AppLayer,
    flow_id: u64,
    tracked: Tracked<'_>,
    moment: Moment<'_, '_>,
    events: &mut Events,
) {
    transactions(app, flow_id, false, |()| facts_of(flow_id, tracked, moment), events);
}

/// The records of a connection that another one on the same entry has followed.
pub fn last_records(
    app: &mut AppLayer,
    flow_id: u64,
    tracked: Tracked<'_>,
    moment: Moment<'_, '_>,
    events: &mut Events,
) {
    transactions(app, flow_id, true, |()| facts_of(flow_id, tracked, moment), events);
}

fn facts_of(flow_id: u64, tracked: Tracked<'_>, moment: Moment<'_, '_>) -> PacketFacts {
    facts::of(moment.packet, moment.headers, Some(flow_id), Some(tracked.info.direction()), moment.now)
}

fn transactions(
    app: &mut AppLayer,
    flow_id: u64,
    ended: bool,
    packet: impl Fn(()) -> PacketFacts,
    events: &mut Events,
) {
    app.settle(ended, &mut |app_proto, tx_id, told| {
        events.push(match told {
            Told::Record(record) => Event::App(Box::new(AppEvent { packet: packet(()), app_proto, tx_id, record })),
            Told::Piece(number, FilePiece { offset, bytes, end }) => {
                Event::FilePiece(Box::new(FilePieceEvent { flow_id, tx_id, number, offset, bytes, end }))
            }
        });
    });
}

/// Oddities of a connection's streams.
pub fn stream_events(
    news: StreamEvents,
    flow: &Flow,
    tracked: Tracked<'_>,
    moment: Moment<'_, '_>,
    events: &mut Events,
) {
    for event in news.iter().filter(|event| event.is_told()) {
        events.push(Event::Anomaly(Box::new(AnomalyEvent {
            timestamp: moment.now,
            packet: Some(packet_facts(moment, Some((flow, tracked)))),
            kind: "stream",
            event: event.name(),
            count: 0,
        })));
    }
}

fn flow_end(flow: &Flow, entry: &Conntrack, now: Timestamp, reason: FlowEnd) -> Event {
    let (summary, counted_by_kernel) = flow.summary(entry);
    let end = entry.stop_ns.map_or(flow.last_seen, |ns| Timestamp::from_micros(ns / 1000)).max(summary.start);
    Event::Flow(Box::new(FlowEvent {
        timestamp: now,
        flow_id: flow.id,
        in_ifindex: flow.in_ifindex,
        entry: *entry,
        carrier: flow.carrier().copied(),
        summary,
        counted_by_kernel,
        end,
        age_s: end.micros_since(summary.start) / 1_000_000,
        state: flow_state(flow, entry, &summary),
        reason,
        alerted: flow.alerted,
        fate: flow.fate,
        cleared_by: flow.cleared_by.filter(|_| flow.fate == Fate::Pass),
        generation: flow.generation,
        tcp: entry.tcp.or_else(|| flow.tcp_state.map(bare_state)).map(|tcp| TcpFlowFacts {
            flags_toserver: flow.tcp_flags_to_server,
            flags_toclient: flow.tcp_flags_to_client,
            state: Some(tcp.state),
        }),
        icmp: flow.icmp(),
        app_proto: flow.app.as_ref().and_then(|app| app.protocol()),
    }))
}

fn bare_state(state: TcpState) -> super::conntrack::TcpTrack {
    super::conntrack::TcpTrack { state, wscale_orig: 0, wscale_reply: 0, flags_orig: 0, flags_reply: 0 }
}

fn flow_state(flow: &Flow, entry: &Conntrack, summary: &FlowSummary) -> FlowState {
    if flow.fate == Fate::Pass {
        return FlowState::Bypassed;
    }
    let state = entry.tcp.map(|tcp| tcp.state).or(flow.tcp_state);
    match state {
        Some(TcpState::TimeWait | TcpState::Close | TcpState::LastAck) => FlowState::Closed,
        Some(TcpState::SynSent | TcpState::SynRecv | TcpState::SynSent2 | TcpState::None) => FlowState::New,
        Some(_) => FlowState::Established,
        None if entry.status.has(CtStatus::SEEN_REPLY) || summary.pkts_toclient > 0 => FlowState::Established,
        None => FlowState::New,
    }
}

fn packet_facts(moment: Moment<'_, '_>, flow: Option<(&Flow, Tracked<'_>)>) -> PacketFacts {
    let direction = flow.map(|(_, tracked)| tracked.info.direction());
    facts::of(moment.packet, moment.headers, flow.map(|(flow, _)| flow.id), direction, moment.now)
}
