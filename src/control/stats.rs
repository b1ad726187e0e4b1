//! One picture of everything that is counted, made when somebody asks: the stats record, `tidegate status`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::gate::Mode;
use super::ledger::Ledger;
use super::listener::ListenerCounters;
use super::worker::{Published, WorkerCounters, now};
use crate::kernel::nft;
use crate::kernel::queue::proc::{self, KernelCounters};
use crate::output::eve;
use crate::output::eve::stats::{
    AppStats, CaptureStats, ClearedStats, ConntrackStats, DecoderStats, DetectStats, EngineStats, FateStats, FlowStats,
    IpsStats, QueueStats, StatsSnapshot, StreamStats, TcpStats,
};
use crate::output::sink::Sink;
use crate::packet::app::AppCounters;
use crate::packet::counters::PathCounters;
use crate::packet::detect::DetectCounters;
use crate::packet::fate::FateStore;
use crate::packet::flow::shards::FlowShards;
use crate::packet::pool::MemoryPool;
use crate::packet::stream::StreamCounters;
use crate::packet::verdict::Reason;

/// A queue and the counters that its worker publishes.
#[derive(Clone, Debug)]
pub struct QueueWatch {
    pub number: u16,
    pub port_id: u32,
    pub published: Arc<Published>,
}

/// Everything that a snapshot is made of.
pub struct Statistics {
    pub started: Instant,
    pub queues: Vec<QueueWatch>,
    pub flows: Arc<FlowShards>,
    /// What all streams hold.
    pub streams: Arc<MemoryPool>,
    pub transactions: Arc<MemoryPool>,
    pub listener: Arc<ListenerCounters>,
    pub sink: Sink,
    /// Our table counts what is offered. `None` when somebody else's rules feed us.
    pub gate_installed: bool,
    pub ledger: Arc<Ledger>,
    pub mode: Mode,
    /// Where fates stand.
    pub store: FateStore,
    pub in_force: arc_swap::ArcSwap<InForce>,
}

/// The rule set that judges.
#[derive(Clone, Debug)]
pub struct InForce {
    pub engine: EngineStats,
    pub generation: u64,
    pub hash: u64,
}

impl Statistics {
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let mut sum = WorkerCounters::default();
        let mut queues = Vec::with_capacity(self.queues.len());
        for watch in &self.queues {
            let counters = watch.published.read();
            sum.path.add(&counters.path);
            sum.stream.add(&counters.stream);
            sum.app.add(&counters.app);
            sum.detect.add(&counters.detect);
            sum.queue.packets = sum.queue.packets.saturating_add(counters.queue.packets);
            sum.queue.overruns = sum.queue.overruns.saturating_add(counters.queue.overruns);
            sum.panics = sum.panics.saturating_add(counters.panics);
            let kernel = proc::kernel_counters(watch.number, watch.port_id).ok().flatten().unwrap_or_default();
            queues.push(queue_stats(watch.number, &counters, &kernel));
        }
        let counters = self.gate_installed.then(|| nft::read_counters().ok()).flatten();
        let mut stats = of_path(&sum.path);
        stats.timestamp = now();
        stats.uptime = self.started.elapsed().as_secs();
        stats.capture = CaptureStats {
            kernel_packets: sum.queue.packets,
            kernel_drops: queues.iter().map(|queue| queue.kernel_drops.saturating_add(queue.user_drops)).sum(),
            errors: sum.queue.overruns.saturating_add(sum.panics),
        };
        add_streams(&mut stats, &sum.stream, &self.streams);
        add_app(&mut stats, &sum.app, &self.transactions);
        add_detect(&mut stats, &sum.detect);
        stats.flow.active = self.flows.count() as u64;
        if let Some(counters) = counters {
            stats.flow_bypassed.pkts = counters.fate_passed.packets;
            stats.flow_bypassed.bytes = counters.fate_passed.bytes;
        }
        stats.flow_bypassed.closed = self.listener.bypassed.load(Ordering::Relaxed);
        let in_force = self.in_force.load();
        stats.detect.engines = vec![in_force.engine.clone()];
        stats.fates = FateStats {
            store: self.store.name(),
            generation: in_force.generation,
            ruleset: eve::ruleset_name(in_force.hash).unwrap_or_default(),
            offloaded: counters.map_or(0, |counters| counters.offloaded.packets),
            ..stats.fates
        };
        stats.ledger = self.ledger.picture();
        self.add_events(&mut stats.conntrack);
        stats.output = self.sink.counters();
        stats.queues = queues;
        stats
    }

    fn add_events(&self, conntrack: &mut ConntrackStats) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        conntrack.events_new = read(&self.listener.new);
        conntrack.events_destroy = read(&self.listener.destroyed);
        conntrack.events_lost = read(&self.listener.lost);
        conntrack.sweeps = read(&self.listener.sweeps);
        conntrack.swept = read(&self.listener.swept);
    }
}

/// What the data plane alone has counted: all there is in a replay.
#[must_use]
pub fn of_path(path: &PathCounters) -> StatsSnapshot {
    StatsSnapshot {
        decoder: decoder(path),
        flow: FlowStats {
            total: path.flows,
            tcp: path.flows_tcp,
            udp: path.flows_udp,
            icmpv4: path.flows_icmp,
            icmpv6: path.flows_icmpv6,
            memcap: path.flow_memcap,
            ..FlowStats::default()
        },
        detect: DetectStats { alert: path.alerts, alerts_suppressed: path.alerts_suppressed, ..DetectStats::default() },
        ips: ips(path),
        conntrack: ConntrackStats {
            untracked: path.untracked,
            invalid: path.invalid,
            fates_written: path.fates_written,
            fates_failed: path.fates_repeated,
            ..ConntrackStats::default()
        },
        fates: FateStats {
            shown: path.fates_shown,
            reinspected: path.fates_reconsidered,
            cleared: ClearedStats::new(path.cleared),
            ..FateStats::default()
        },
        ..StatsSnapshot::default()
    }
}

/// What streams have seen and hold.
pub fn add_streams(stats: &mut StatsSnapshot, stream: &StreamCounters, pool: &MemoryPool) {
    stats.streams = StreamStats { out_of_order: stream.queued, overlap_unverified: stream.overlap_unverified };
    stats.tcp = TcpStats {
        sessions: stream.sessions,
        syn: stream.syn,
        synack: stream.synack,
        rst: stream.rst,
        midstream_pickups: stream.midstream_pickups,
        ack_unseen_data: stream.ack_unseen_data,
        segment_memcap_drop: stream.segment_memcap_drop,
        stream_depth_reached: stream.stream_depth_reached,
        reassembly_gap: stream.reassembly_gap,
        overlap: stream.overlap,
        overlap_diff_data: stream.overlap_diff_data,
        insert_data_normal_fail: stream.insert_data_normal_fail,
        urgent_oob_data: stream.urgent_oob_data,
        reassembly_memuse: pool.bytes(),
    };
}

/// What the rules had to do, and where they met a limit.
pub fn add_detect(stats: &mut StatsSnapshot, detect: &DetectCounters) {
    stats.detect.alert_queue_overflow = detect.overflow;
    stats.detect.limit_reached = detect.limit_reached;
    stats.detect.remembered_overflow = detect.remembered_overflow;
}

/// What parsers have read, and what they let go by.
pub fn add_app(stats: &mut StatsSnapshot, app: &AppCounters, pool: &MemoryPool) {
    stats.app = AppStats {
        recognised: app.flows.iter().copied().fold(0, u64::saturating_add),
        unrecognised: app.flows_failed,
        parser_errors: app.parser_errors,
        transactions_evicted: app.transactions_evicted,
        datagrams_unread: app.datagrams_unread,
        protocol_changes: app.protocol_changes,
        memcap: app.memcap,
        memuse: pool.bytes(),
    };
}

fn queue_stats(number: u16, counters: &WorkerCounters, kernel: &KernelCounters) -> QueueStats {
    QueueStats {
        id: number,
        received: counters.queue.packets,
        accepted: counters.queue.accepted,
        blocked: counters.queue.dropped,
        waiting: u64::from(kernel.waiting),
        kernel_drops: u64::from(kernel.queue_dropped),
        user_drops: u64::from(kernel.user_dropped),
        overruns: u64::from(kernel.socket_drops),
        malformed: counters.queue.malformed.saturating_add(counters.queue.truncated),
        orphans: counters.queue.orphans,
        verdict_errors: counters.queue.verdict_errors.total(),
    }
}

fn decoder(path: &PathCounters) -> DecoderStats {
    DecoderStats {
        pkts: path.packets,
        bytes: path.bytes,
        invalid: path.undecodable,
        ipv4: path.ipv4,
        ipv6: path.ipv6,
        tcp: path.tcp,
        udp: path.udp,
        sctp: path.sctp,
        icmpv4: path.icmp,
        icmpv6: path.icmpv6,
        avg_pkt_size: path.bytes.checked_div(path.packets).unwrap_or(0),
        ..DecoderStats::default()
    }
}

fn ips(path: &PathCounters) -> IpsStats {
    let mut stats =
        IpsStats { accepted: path.accepted, blocked: path.dropped, rejected: path.rejected, ..IpsStats::default() };
    for reason in Reason::ALL {
        stats.drop_reason.add(reason, path.drops_for(reason));
    }
    stats
}
