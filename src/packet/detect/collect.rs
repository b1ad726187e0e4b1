//! Which rules are worth judging on a packet.

use super::{Buffers, DetectThread, FlowView, PayloadPlace, header};
use crate::packet::conntrack::Direction;
use crate::packet::decode::link::ETHERTYPE_ARP;
use crate::packet::decode::{Headers, Transport};
use crate::rules::ruleset::{AddressFacts, Class, Group, RuleSet};
use crate::rules::sieve::{PacketFacts, Sifted};

/// A rule worth judging, on the packet or on a transaction. The order is that of judgement.
///
/// One number, because packets may have hundreds of them to sort: the rule, then 0 or the transaction's place from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    pub(super) fn on_packet(rule: u32) -> Candidate {
        Candidate(u64::from(rule) << 32)
    }

    pub(super) fn on_transaction(rule: u32, at: usize) -> Candidate {
        Candidate(u64::from(rule) << 32 | u64::from(u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)))
    }

    pub(super) fn rule(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    /// The transaction's place in the flow's list.
    pub(super) fn transaction(self) -> Option<usize> {
        usize::try_from(self.0 & 0xffff_ffff).ok()?.checked_sub(1)
    }
}

pub(super) fn class(headers: &Headers<'_>) -> Class {
    match headers.transport {
        Transport::Tcp(_) => Class::Tcp,
        Transport::Udp(_) => Class::Udp,
        Transport::Icmp(_) if headers.ip.version == 6 => Class::Icmpv6,
        Transport::Icmp(_) => Class::Icmpv4,
        Transport::Sctp { .. } => Class::Sctp,
        Transport::Other => Class::Other,
    }
}

/// The packet as sieves know it.
pub(super) fn sifted(buffers: &Buffers<'_>, flow: Option<&FlowView<'_>>, [src, dst]: [AddressFacts; 2]) -> Sifted {
    let (src_port, dst_port) = buffers.headers.ports();
    let version = if buffers.headers.ip.version == 4 { PacketFacts::IPV4 } else { PacketFacts::IPV6 };
    let empty = buffers.payload.is_empty() && flow.is_none_or(|flow| flow.stream.is_none());
    let payload = if empty { PacketFacts::NO_PAYLOAD } else { PacketFacts::default() };
    let flow_facts = flow.map_or(PacketFacts::NO_FLOW, |flow| {
        let way = match flow.direction {
            Direction::Original => PacketFacts::TO_SERVER,
            Direction::Reply => PacketFacts::TO_CLIENT,
        };
        way.with(if flow.established { PacketFacts::ESTABLISHED } else { PacketFacts::NOT_ESTABLISHED })
    });
    let app = flow.and_then(|flow| flow.app.as_ref()).map(|app| app.protocol);
    let tcp = buffers.headers.tcp();
    let acknowledges = match tcp {
        Some(tcp) if tcp.ack != 0 => PacketFacts::ACKNOWLEDGES,
        _ => PacketFacts::default(),
    };
    Sifted {
        facts: version.with(payload).with(flow_facts).with(acknowledges),
        src_port,
        dst_port,
        payload_size: u16::try_from(header::payload_size(buffers.headers)).unwrap_or(u16::MAX),
        tcp_flags: tcp.map_or(0, |tcp| tcp.flags),
        tcp_window: tcp.map_or(0, |tcp| tcp.window),
        app,
        src_sets: src.sets,
        dst_sets: dst.sets,
    }
}

impl DetectThread {
    /// Adds the rules worth judging on the packet.
    pub(super) fn collect(
        &mut self,
        rules: &RuleSet,
        buffers: &Buffers<'_>,
        flow: Option<&mut FlowView<'_>>,
        packet: &Sifted,
        about: [AddressFacts; 2],
    ) {
        let worth = |rule: &&u32| rules.lets_through(**rule, packet);
        let on_packet = |rule: &u32| Candidate::on_packet(*rule);
        if !buffers.events.is_empty() {
            self.candidates.extend(rules.by_event().iter().map(on_packet));
        }
        let below_ip = buffers.ethertype == ETHERTYPE_ARP || !buffers.ethernet.is_empty();
        if buffers.headers.is_unknown() && !below_ip {
            return;
        }
        if header::is_odd(&buffers.headers.ip) {
            self.candidates.extend(rules.by_odd_header().iter().filter(worth).map(on_packet));
        }
        let group = rules.group(class(buffers.headers), flow.as_ref().map(|flow| flow.toward()));
        let candidates = &mut self.candidates;
        rules.look_at_places(group, buffers.payload, 0, packet, |rule| candidates.push(Candidate::on_packet(rule)));
        if let Some((stream, flow)) = flow.and_then(|flow| flow.stream.zip(Some(flow))) {
            self.collect_in_stream(rules, group, stream, flow, packet);
            if flow.payload == PayloadPlace::Shown {
                self.collect_always(rules, group, buffers, packet, about);
                return;
            }
        } else {
            self.in_stream.clear();
        }
        self.collect_always(rules, group, buffers, packet, about);
        if group.payload.literal_count() > 0 && !buffers.payload.is_empty() {
            self.next_packet(rules);
            let (seen, number, candidates) = (&mut self.seen, self.packet_number, &mut self.candidates);
            let wanted = |literal| rules.found(group, literal, packet).next().is_some();
            group.payload.scan(buffers.payload, wanted, |literal| {
                if let Some(last) = seen.get_mut(literal)
                    && *last != number
                {
                    *last = number;
                    candidates.extend(rules.found(group, literal, packet).map(Candidate::on_packet));
                }
            });
        }
    }

    /// Rules that no literal announces.
    fn collect_always(
        &mut self,
        rules: &RuleSet,
        group: &Group,
        buffers: &Buffers<'_>,
        packet: &Sifted,
        [src, dst]: [AddressFacts; 2],
    ) {
        let worth = |rule: &&u32| rules.lets_through(**rule, packet);
        let candidates = &mut self.candidates;
        rules.always(group, packet, |rule| candidates.push(Candidate::on_packet(rule)));
        for list in rules.by_address(buffers.headers.ip.src.is_ipv4(), src, dst) {
            self.candidates.extend(list.iter().filter(worth).map(|rule| Candidate::on_packet(*rule)));
        }
    }

    /// Starts a new packet number, so that no literal counts as seen.
    pub(super) fn next_packet(&mut self, rules: &RuleSet) {
        let wanted = rules.literal_count_max();
        if self.seen.len() < wanted || self.packet_number == u32::MAX {
            self.seen.clear();
            self.seen.resize(wanted, 0);
            self.packet_number = 0;
        }
        self.packet_number += 1;
    }
}
