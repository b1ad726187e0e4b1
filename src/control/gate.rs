//! From the configuration to the table, the policy and the mode that a gate runs in.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::config::{Config, GateHook, NfqMode};
use super::ledger::Evidence;
use crate::kernel::interfaces;
use crate::kernel::nft::{GateTable, Hook, Installed, QueueMode, Queues};
use crate::output::spec::Wanted;
use crate::packet::fate::FateStore;
use crate::packet::pool::MemoryPool;
use crate::packet::tell::Copies;
use crate::packet::verdict::Policy;

const LOOPBACK: &str = "lo";

/// The table that `config` asks for, before any rules.
#[must_use]
pub fn table_of(config: &Config, fate: FateStore) -> GateTable {
    GateTable {
        hook: match config.gate.hook {
            GateHook::Forward => Hook::Forward,
            GateHook::Host => Hook::Host,
            GateHook::Prerouting => Hook::Prerouting,
        },
        priority: config.gate.priority,
        queues: Queues { first: config.queue.numbers.first, count: config.queue.numbers.count() },
        fate,
        flowtable: flowtable_of(config),
        ..GateTable::default()
    }
}

/// The devices of the flowtable, none without one: those that are named, or all but loopback that are there now.
#[must_use]
pub fn flowtable_of(config: &Config) -> Vec<String> {
    let flowtable = &config.fate.flowtable;
    match (flowtable.on, flowtable.devices.as_slice()) {
        (false, _) => Vec::new(),
        (true, []) => interfaces::all().into_iter().filter(|name| name != LOOPBACK).collect(),
        (true, named) => named.to_vec(),
    }
}

/// What the data plane does with packets that rules cannot judge.
#[must_use]
pub fn policy_of(config: &Config, table_is_ours: bool) -> Policy {
    Policy {
        invalid: config.policy.invalid,
        untracked: config.policy.untracked,
        decode_error: config.policy.decode_error,
        flow_memcap: config.policy.flow_memcap,
        stream_overlap: config.stream.overlap,
        stream_memcap: config.stream.memcap_policy,
        stream_urgent: config.stream.urgent,
        stream_midstream: config.stream.midstream_policy,
        app_error: config.policy.app_error,
        keep_passed: !config.fate.clear.pass,
        keep_bypassed: !config.fate.clear.bypass,
        elephant_bytes: config.fate.clear.elephant_bytes,
        kernel_rejects: table_is_ours,
        passive: false,
        recorded: false,
    }
}

/// The memory that all threads' streams share.
#[must_use]
pub fn stream_pool_of(config: &Config) -> Arc<MemoryPool> {
    Arc::new(MemoryPool::new(config.stream.memcap_bytes as u64))
}

/// The memory that all threads' transactions share.
#[must_use]
pub fn app_pool_of(config: &Config) -> Arc<MemoryPool> {
    Arc::new(MemoryPool::new(config.app.memcap_bytes as u64))
}

/// How much the nftables counters tell of what becomes of packets.
#[must_use]
pub fn evidence_of(config: &Config, table_is_ours: bool, whole_super_packets: bool) -> Evidence {
    match config.nfq.mode {
        _ if !table_is_ours => Evidence::Nothing,
        NfqMode::Route { .. } => Evidence::Nothing,
        _ if whole_super_packets => Evidence::Whole,
        _ => Evidence::Behind,
    }
}

/// Where the ledger's counters outlive us: beside the control socket, so each gate has its own.
#[must_use]
pub fn ledger_path(config: &Config) -> PathBuf {
    config.service.unix_command.filename.with_extension("ledger")
}

/// How the gate works on this kernel.
#[derive(Debug)]
pub struct Mode {
    /// NFQA_CT comes with each packet.
    pub conntrack_in_verdict: bool,
    pub installed: ArcSwapOption<Installed>,
}

impl Mode {
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        let xt = self.installed.load().as_ref().is_some_and(|installed| installed.mode == QueueMode::XtTarget);
        xt || !self.conntrack_in_verdict
    }

    /// One line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let conntrack = if self.conntrack_in_verdict {
            "conntrack entry with each packet"
        } else {
            "conntrack entries by ctnetlink (no NETFILTER_NETLINK_GLUE_CT here)"
        };
        let queue = self.installed.load_full().map_or_else(
            || "queued by rules of somebody else".to_owned(),
            |installed: Arc<Installed>| installed.to_string(),
        );
        let degraded = if self.is_degraded() { "degraded: " } else { "" };
        format!("{degraded}{conntrack}; {queue}")
    }
}

/// What some log will want of alerts besides headers.
#[must_use]
pub fn copies_of(config: &Config) -> Copies {
    let Wanted { payload_bytes_max, packet } = Wanted::of(&config.outputs.eve);
    Copies { payload_bytes_max, packet }
}
