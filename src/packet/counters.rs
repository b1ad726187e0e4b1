//! What one worker has counted. Plain numbers, published once a batch.

use super::decode::anomaly::{Anomalies, Anomaly};
use super::decode::{Headers, Transport, protocol};
use super::ingress::Ingress;
use super::verdict::{Action, Clearing, Reason, Verdict};

/// Sums over everything that one [`super::path::Path`] has judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters {
    pub packets: u64,
    pub bytes: u64,
    /// Something about the headers was odd, or a header was broken.
    pub anomalous: u64,
    pub undecodable: u64,
    pub anomalies: AnomalyCounts,
    pub ipv4: u64,
    pub ipv6: u64,
    pub tcp: u64,
    pub udp: u64,
    pub icmp: u64,
    pub icmpv6: u64,
    pub sctp: u64,
    pub other: u64,
    /// Super-packets.
    pub gso: u64,
    /// Packets inside others.
    pub tunnelled: u64,
    /// Of a protocol that conntrack tracks, without an entry: INVALID, or the admin said `notrack`.
    pub invalid: u64,
    /// Of a protocol that conntrack never tracks.
    pub untracked: u64,
    /// ICMP errors about a connection.
    pub related: u64,
    /// Flows made, and those that stood in the kernel's table before we saw their first packet.
    pub flows: u64,
    pub flows_midstream: u64,
    pub flows_tcp: u64,
    pub flows_udp: u64,
    pub flows_icmp: u64,
    pub flows_icmpv6: u64,
    /// New connections that met a full flow table.
    pub flow_memcap: u64,
    pub accepted: u64,
    pub dropped: u64,
    pub rejected: u64,
    pub drop_reasons: [u64; Reason::COUNT],
    pub alerts: u64,
    pub alerts_suppressed: u64,
    /// Fates handed to the kernel, and those handed over again because it did not show them.
    pub fates_written: u64,
    pub fates_repeated: u64,
    /// Packets of settled connections that came up although the entry shows the fate: no rules stand before the queue, or
    /// they waited in it.
    pub fates_shown: u64,
    /// Connections that an older rule set had cleared and that were looked into again.
    pub fates_reconsidered: u64,
    /// Connections cleared, in the order of [`Clearing::ALL`].
    pub cleared: [u64; Clearing::COUNT],
}

/// How often each [`Anomaly`] was seen, in the order of [`Anomaly::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnomalyCounts([u64; Anomaly::ALL.len()]);

impl Default for AnomalyCounts {
    fn default() -> Self {
        AnomalyCounts([0; Anomaly::ALL.len()])
    }
}

impl AnomalyCounts {
    /// Those that occurred, with their EVE names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Anomaly::ALL.iter().zip(self.0).filter(|(_, count)| *count > 0).map(|(anomaly, count)| (anomaly.name(), count))
    }
}

impl PathCounters {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &PathCounters) {
        let PathCounters {
            packets,
            bytes,
            anomalous,
            undecodable,
            anomalies,
            ipv4,
            ipv6,
            tcp,
            udp,
            icmp,
            icmpv6,
            sctp,
            other: others,
            gso,
            tunnelled,
            invalid,
            untracked,
            related,
            flows,
            flows_midstream,
            flows_tcp,
            flows_udp,
            flows_icmp,
            flows_icmpv6,
            flow_memcap,
            accepted,
            dropped,
            rejected,
            drop_reasons,
            alerts,
            alerts_suppressed,
            fates_written,
            fates_repeated,
            fates_shown,
            fates_reconsidered,
            cleared,
        } = other;
        self.packets += packets;
        self.bytes += bytes;
        self.anomalous += anomalous;
        self.undecodable += undecodable;
        for (sum, count) in self.anomalies.0.iter_mut().zip(anomalies.0) {
            *sum += count;
        }
        self.ipv4 += ipv4;
        self.ipv6 += ipv6;
        self.tcp += tcp;
        self.udp += udp;
        self.icmp += icmp;
        self.icmpv6 += icmpv6;
        self.tunnelled += tunnelled;
        self.sctp += sctp;
        self.other += others;
        self.gso += gso;
        self.invalid += invalid;
        self.untracked += untracked;
        self.related += related;
        self.flows += flows;
        self.flows_midstream += flows_midstream;
        self.flows_tcp += flows_tcp;
        self.flows_udp += flows_udp;
        self.flows_icmp += flows_icmp;
        self.flows_icmpv6 += flows_icmpv6;
        self.flow_memcap += flow_memcap;
        self.accepted += accepted;
        self.dropped += dropped;
        self.rejected += rejected;
        for (sum, count) in self.drop_reasons.iter_mut().zip(drop_reasons) {
            *sum += count;
        }
        self.alerts += alerts;
        self.alerts_suppressed += alerts_suppressed;
        self.fates_written += fates_written;
        self.fates_repeated += fates_repeated;
        self.fates_shown += fates_shown;
        self.fates_reconsidered += fates_reconsidered;
        for (sum, count) in self.cleared.iter_mut().zip(cleared) {
            *sum += count;
        }
    }

    /// How often a connection was cleared so.
    #[must_use]
    pub fn cleared_by(&self, why: Clearing) -> u64 {
        let counts = Clearing::ALL.iter().zip(self.cleared);
        counts.filter(|(clearing, _)| **clearing == why).map(|(_, count)| count).sum()
    }

    pub(super) fn count_clearing(&mut self, why: Clearing) {
        for (clearing, count) in Clearing::ALL.iter().zip(&mut self.cleared) {
            *count += u64::from(*clearing == why);
        }
    }

    pub(super) fn count_packet(&mut self, packet: &Ingress<'_>) {
        self.packets += 1;
        self.bytes += u64::from(packet.full_len);
        self.gso += u64::from(packet.gso);
    }

    pub(super) fn count_anomalies(&mut self, anomalies: Anomalies) {
        if anomalies == Anomalies::NONE {
            return;
        }
        self.anomalous += 1;
        self.undecodable += u64::from(anomalies.is_broken());
        for anomaly in anomalies.iter() {
            if let Some(count) = self.anomalies.0.get_mut(anomaly as usize) {
                *count += 1;
            }
        }
    }

    pub(super) fn count_headers(&mut self, headers: &Headers<'_>) {
        *(if headers.ip.version == 4 { &mut self.ipv4 } else { &mut self.ipv6 }) += 1;
        *match headers.transport {
            Transport::Tcp(_) => &mut self.tcp,
            Transport::Udp(_) => &mut self.udp,
            Transport::Icmp(_) if headers.ip.version == 4 => &mut self.icmp,
            Transport::Icmp(_) => &mut self.icmpv6,
            Transport::Sctp { .. } => &mut self.sctp,
            Transport::Other => &mut self.other,
        } += 1;
    }

    pub(super) fn count_flow(&mut self, protocol: u8, midstream: bool) {
        self.flows += 1;
        self.flows_midstream += u64::from(midstream);
        match protocol {
            protocol::TCP => self.flows_tcp += 1,
            protocol::UDP => self.flows_udp += 1,
            protocol::ICMP => self.flows_icmp += 1,
            protocol::ICMPV6 => self.flows_icmpv6 += 1,
            _ => {}
        }
    }

    pub(super) fn count_verdict(&mut self, verdict: Verdict) {
        let action = verdict.action;
        match action {
            Action::Accept => self.accepted += 1,
            Action::Drop(_) => self.dropped += 1,
            Action::Repeat(_) => self.rejected += 1,
        }
        if let Some(reason) = action.reason()
            && let Some(count) = self.drop_reasons.get_mut(reason as usize)
        {
            *count += 1;
        }
    }

    /// How many packets were dropped for `reason`.
    #[must_use]
    pub fn drops_for(&self, reason: Reason) -> u64 {
        self.drop_reasons.get(reason as usize).copied().unwrap_or(0)
    }
}
