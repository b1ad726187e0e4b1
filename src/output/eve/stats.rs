//! `event_type: stats`: counters since the start. Suricata's groups where the thing is the same; what it has no word
//! for stands in `stats.ledger`, `stats.conntrack`, `stats.fates`, `stats.queues` and `stats.output`.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Context;
use super::envelope::Head;
use crate::packet::ingress::Timestamp;
use crate::packet::verdict::{Clearing, Reason};

#[derive(Serialize)]
pub struct StatsRecord<'s> {
    #[serde(flatten)]
    head: Head,
    stats: &'s StatsSnapshot,
}

pub fn record<'s>(stats: &'s StatsSnapshot, context: &mut Context) -> StatsRecord<'s> {
    StatsRecord { head: Head::at(stats.timestamp, "stats", context), stats }
}

/// All counters at one moment. Plain numbers, summed by whoever owns them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatsSnapshot {
    #[serde(skip)]
    pub timestamp: Timestamp,
    /// Seconds since the start.
    pub uptime: u64,
    pub capture: CaptureStats,
    pub decoder: DecoderStats,
    pub tcp: TcpStats,
    pub streams: StreamStats,
    pub app: AppStats,
    pub flow: FlowStats,
    pub flow_bypassed: BypassStats,
    pub detect: DetectStats,
    pub ips: IpsStats,
    pub ledger: LedgerStats,
    pub conntrack: ConntrackStats,
    pub fates: FateStats,
    pub output: OutputStats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueStats>,
}

/// What the kernel says of our queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CaptureStats {
    /// Packets that the kernel handed to us.
    pub kernel_packets: u64,
    /// Packets that the kernel dropped because a queue was full or a message could not be delivered.
    pub kernel_drops: u64,
    /// Receive errors, overruns included.
    pub errors: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecoderStats {
    pub pkts: u64,
    pub bytes: u64,
    pub invalid: u64,
    pub ipv4: u64,
    pub ipv6: u64,
    pub tcp: u64,
    pub udp: u64,
    pub sctp: u64,
    pub icmpv4: u64,
    pub icmpv6: u64,
    pub gre: u64,
    pub ipv4_in_ipv6: u64,
    pub ipv6_in_ipv6: u64,
    pub avg_pkt_size: u64,
    pub max_pkt_size: u64,
}

/// TCP streams: segments unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TcpStats {
    /// Connections that were followed.
    pub sessions: u64,
    pub syn: u64,
    pub synack: u64,
    pub rst: u64,
    /// Connections that were followed from their middle.
    pub midstream_pickups: u64,
    pub ack_unseen_data: u64,
    /// Not held, because all streams together hold as much as they may.
    pub segment_memcap_drop: u64,
    /// Directions that were followed to the depth.
    pub stream_depth_reached: u64,
    pub reassembly_gap: u64,
    pub overlap: u64,
    pub overlap_diff_data: u64,
    /// Not held, because their direction holds as much as it may.
    pub insert_data_normal_fail: u64,
    pub urgent_oob_data: u64,
    /// Bytes that all streams hold now.
    pub reassembly_memuse: u64,
}

/// What Suricata has no word for, in segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamStats {
    /// They came ahead of their turn.
    pub out_of_order: u64,
    /// Repeated bytes that nothing was left to compare with.
    pub overlap_unverified: u64,
}

/// Application protocols, in flows unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AppStats {
    pub recognised: u64,
    /// They speak no protocol that we know: rules look at their streams and packets only.
    pub unrecognised: u64,
    /// A parser gave up: the rest goes by without it.
    pub parser_errors: u64,
    /// Transactions that gave way to newer ones before they were done.
    pub transactions_evicted: u64,
    pub datagrams_unread: u64,
    /// Datagrams that spoke another protocol than the one before them on their flow.
    pub protocol_changes: u64,
    /// Flows that are no longer parsed because `app-layer.memcap` was reached.
    pub memcap: u64,
    /// Bytes that transactions hold now, roughly.
    pub memuse: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowStats {
    /// Flows seen since the start.
    pub total: u64,
    /// Flows known now.
    pub active: u64,
    pub tcp: u64,
    pub udp: u64,
    pub icmpv4: u64,
    pub icmpv6: u64,
    /// New flows that met a full table.
    pub memcap: u64,
}

/// Connections whose rest the kernel passes without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BypassStats {
    /// Of those, how many have ended.
    pub closed: u64,
    pub pkts: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DetectStats {
    pub engines: Vec<EngineStats>,
    pub alert: u64,
    /// Alerts over the limit of one packet.
    pub alert_queue_overflow: u64,
    /// Alerts held back by thresholds.
    pub alerts_suppressed: u64,
    /// Rules given up on a buffer because their contents could stand in too many combinations of places.
    pub limit_reached: u64,
    /// Transactions with more rules to remember than they may: their buffers are looked through again.
    pub remembered_overflow: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EngineStats {
    pub id: u32,
    pub rules_loaded: u64,
    pub rules_failed: u64,
    pub rules_skipped: u64,
}

/// Verdicts, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IpsStats {
    pub accepted: u64,
    pub blocked: u64,
    pub rejected: u64,
    pub replaced: u64,
    pub drop_reason: DropReasons,
}

/// Packets dropped, by [`Reason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropReasons {
    counts: [u64; Reason::ALL.len()],
}

impl DropReasons {
    pub fn add(&mut self, reason: Reason, packets: u64) {
        for (slot, candidate) in self.counts.iter_mut().zip(Reason::ALL) {
            if candidate == reason {
                *slot = slot.saturating_add(packets);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.counts)
    }
}

impl Serialize for DropReasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.counts.len()))?;
        for (reason, count) in self.iter() {
            map.serialize_entry(reason.counter(), &count)?;
        }
        map.end()
    }
}

/// The fail-open ledger: what was to be inspected, what was, and where the rest went. In packets, since our nftables
/// table was made: the runs before this one are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerStats {
    /// How long it has been kept.
    pub seconds: u64,
    /// Our nftables table counts what goes in and what comes out. Without it nobody knows what was offered, and only what
    /// the queues and their sockets tell is here.
    pub complete: bool,
    /// Offered = judged + uninspected + kernel drops + waiting.
    pub offered: u64,
    /// Answered, whether judged or not.
    pub received: u64,
    pub judged: u64,
    pub uninspected: UninspectedStats,
    /// Went in, and neither came out nor was dropped by us.
    pub kernel_drops: u64,
    /// On their way, in the kernel or with us.
    pub waiting: u64,
}

impl LedgerStats {
    /// Packets whose end, or present place, is known.
    #[must_use]
    pub fn explained(&self) -> u64 {
        [self.judged, self.uninspected.total(), self.kernel_drops, self.waiting]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// Packets that passed without being looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UninspectedStats {
    /// A queue was full.
    pub fail_open: u64,
    /// Nobody listened.
    pub bypass: u64,
    /// The receive buffer was full.
    pub overrun: u64,
    /// Received, but not understood, or given up by a bug of ours.
    pub failed: u64,
}

impl UninspectedStats {
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.fail_open, self.bypass, self.overrun, self.failed].into_iter().fold(0, u64::saturating_add)
    }
}

/// How well we follow the kernel's connection table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConntrackStats {
    pub events_new: u64,
    pub events_destroy: u64,
    /// Times that the kernel said it had to throw events away.
    pub events_lost: u64,
    /// Comparisons with the whole table, and the flows that each found gone.
    pub sweeps: u64,
    pub swept: u64,
    /// Packets without an entry.
    pub untracked: u64,
    pub invalid: u64,
    /// Connections whose fate was written, and how often it did not stick.
    pub fates_written: u64,
    pub fates_failed: u64,
}

/// What is left to the kernel to finish, and for which rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FateStats {
    /// `mark` or `label`.
    pub store: &'static str,
    /// The rule set in force, and by its contents, as alerts name it.
    pub generation: u64,
    pub ruleset: String,
    /// Packets of settled connections that came up although their entries show it.
    pub shown: u64,
    /// Connections that an older rule set had cleared and that were looked into again.
    pub reinspected: u64,
    /// Connections cleared, by reason.
    pub cleared: ClearedStats,
    /// Times that the kernel put a cleared connection into the flowtable.
    pub offloaded: u64,
}

/// Connections cleared, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClearedStats([u64; Clearing::COUNT]);

impl ClearedStats {
    /// Counts in the order of [`Clearing::ALL`].
    #[must_use]
    pub fn new(counts: [u64; Clearing::COUNT]) -> ClearedStats {
        ClearedStats(counts)
    }
}

impl Serialize for ClearedStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Clearing::COUNT))?;
        for (clearing, count) in Clearing::ALL.iter().zip(self.0) {
            map.serialize_entry(clearing.name(), &count)?;
        }
        map.end()
    }
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutputStats {
    /// Records written, summed over all logs.
    pub written: u64,
    /// Events that found the channel to the writer full.
    pub shed: u64,
    /// Records that could not be written.
    pub lost: u64,
    pub write_errors: u64,
    /// Files in the file store.
    pub files_stored: u64,
    /// Files that were too large, not whole, or refused by the disk.
    pub files_given_up: u64,
}

/// One queue, so one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    pub id: u16,
    pub received: u64,
    pub accepted: u64,
    pub blocked: u64,
    /// Packets waiting in the kernel now.
    pub waiting: u64,
    pub kernel_drops: u64,
    pub user_drops: u64,
    /// Messages that found the receive buffer full: with fail-open these packets passed.
    pub overruns: u64,
    /// Accepted because the message could not be read.
    pub malformed: u64,
    /// Accepted because the judge gave no answer.
    pub orphans: u64,
    /// Verdicts that the kernel refused; `ENOENT` (flushed meanwhile) is normal life.
    pub verdict_errors: u64,
}
