//! A living connection as `tidegate flows --json` shows it, in the words of the `flow` event that will end it.

use serde::Serialize;

use super::Context;
use super::conntrack::ConntrackObject;
use crate::packet::conntrack::{Conntrack, Counters, Fate};
use crate::packet::ingress::Timestamp;

/// An entry of the kernel's table, with what we add to it.
#[derive(Clone, Copy, Debug)]
pub struct LiveFlow<'f> {
    pub entry: &'f Conntrack,
    /// `NEW`, `FATE` or `DESTROY`, where events are shown and not the table.
    pub change: Option<&'static str>,
    pub fate: Fate,
    /// The conntrack entry says so, too: the kernel enforces the fate without us.
    pub fate_in_kernel: bool,
    pub flow_id: Option<u64>,
    pub generation: Option<u64>,
    pub last_sid: Option<u32>,
    pub app_proto: Option<&'f str>,
    pub counted: Option<Counted>,
    /// Nobody knows without `nf_conntrack_timestamp` and without a gate.
    pub started: Option<Timestamp>,
}

/// Packets and bytes of both directions. Nobody counts without `nf_conntrack_acct` and without a gate.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub to_server: Counters,
    pub to_client: Counters,
    /// `kernel` or `tidegate`.
    pub by: &'static str,
}

/// One JSON object, without a line break.
#[must_use]
pub fn json(live: &LiveFlow<'_>, context: &mut Context) -> String {
    let record = LiveRecord {
        change: live.change,
        flow_id: live.flow_id,
        app_proto: live.app_proto,
        flow: live.counted.map(|counted| LiveCounts {
            pkts_toserver: counted.to_server.packets,
            pkts_toclient: counted.to_client.packets,
            bytes_toserver: counted.to_server.bytes,
            bytes_toclient: counted.to_client.bytes,
            start: live.started.map(|start| context.clock.iso(start)),
        }),
        conntrack: ConntrackObject::of(live.entry, context),
        tidegate: LiveFate {
            fate: live.fate,
            fate_in_kernel: live.fate_in_kernel,
            generation: live.generation,
            last_sid: live.last_sid,
            timeout: live.entry.timeout_s,
            counted_by: live.counted.map(|counted| counted.by),
        },
    };
    // Nothing in it can fail to be written.
    serde_json::to_string(&record).unwrap_or_default()
}

#[derive(Serialize)]
struct LiveRecord<'f> {
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<LiveCounts>,
    conntrack: ConntrackObject,
    tidegate: LiveFate,
}

#[derive(Serialize)]
struct LiveCounts {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
}

#[derive(Serialize)]
struct LiveFate {
    fate: Fate,
    fate_in_kernel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sid: Option<u32>,
    /// Seconds until the entry expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_by: Option<&'static str>,
}
