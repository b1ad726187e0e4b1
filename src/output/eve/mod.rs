//! EVE: one JSON object a line, with Suricata's field names.
//!
//! The structs of this module *are* the schema: one record a file, fields in Suricata's order. What Suricata has no
//! field for stands in two objects that a consumer with a strict schema can drop: `conntrack` (the kernel's view: both
//! tuples, NAT, state) and `tidegate` (rule set generation, fate). `docs/eve.md` names every field; a test compares.

mod alert;
mod anomaly;
mod app;
#[cfg(test)]
mod app_tests;
mod conntrack;
mod dcerpc;
mod dns;
mod drop;
mod envelope;
mod fileinfo;
mod flow;
mod ftp;
mod http;
mod http2;
mod krb5;
pub mod live;
mod quic;
mod sip;
mod smb;
mod smtp;
mod snmp;
mod ssh;
pub mod stats;
mod tagged;
#[cfg(test)]
pub mod tests;
mod tls;
mod tunnel;
mod variables;

use std::collections::HashMap;

use serde::Serialize;

use super::spec::{DropFlows, EveLog};
use super::text::Clock;
use crate::packet::event::Event;
use crate::packet::verdict::Reason;
use stats::StatsSnapshot;

/// Finds the name of an interface by its index. Asked once a minute per index at most.
pub type InterfaceLookup = Box<dyn FnMut(u32) -> Option<String> + Send>;

/// What is needed to write any record, and is the same for all of them.
pub struct Context {
    pub clock: Clock,
    pub interfaces: Interfaces,
    /// `pcap_filename` of every record, when replaying.
    pub pcap_filename: Option<String>,
}

/// Interface names, remembered until [`Interfaces::forget`].
pub struct Interfaces {
    lookup: InterfaceLookup,
    known: HashMap<u32, Option<String>>,
}

impl Context {
    /// For records that are shown and not logged: times are local, interfaces have no names.
    #[must_use]
    pub fn of_lists() -> Context {
        Context { clock: Clock::local(), interfaces: Interfaces::new(Box::new(|_| None)), pcap_filename: None }
    }
}

impl Interfaces {
    pub fn new(lookup: InterfaceLookup) -> Interfaces {
        Interfaces { lookup, known: HashMap::new() }
    }

    /// `None` for index 0, and for one that nobody knows.
    pub fn name(&mut self, ifindex: u32) -> Option<String> {
        if ifindex == 0 {
            return None;
        }
        let lookup = &mut self.lookup;
        self.known.entry(ifindex).or_insert_with(|| lookup(ifindex)).clone()
    }

    /// Indices are given to other interfaces and names change: called now and then.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

/// Appends the record of `event` and a newline to `out`. False if this log does not want it.
pub fn write_event(out: &mut Vec<u8>, event: &Event, log: &EveLog, context: &mut Context) -> bool {
    match event {
        Event::Alert(event) => match &log.types.alert {
            Some(options) => line(out, &alert::record(event, options, log, context)),
            None => false,
        },
        Event::Drop(event) => match &log.types.drop {
            Some(options) if options.flows == DropFlows::Start && event.reason == Reason::FlowDrop => false,
            Some(options) => line(out, &drop::record(event, *options, log, context)),
            None => false,
        },
        Event::Flow(event) => log.types.flow && line(out, &flow::record(event, log, context)),
        Event::App(event) => {
            log.types.app.contains(event.record.event_type()) && line(out, &app::record(event, log, context))
        }
        Event::Tagged(event) => {
            log.types.alert.is_some_and(|alert| alert.tagged_packets) && line(out, &tagged::record(event, log, context))
        }
        Event::FilePiece(_) | Event::Block(_) => false,
        Event::Anomaly(event) => log.types.anomaly && line(out, &anomaly::record(event, log, context)),
    }
}

/// Appends the `stats` record and a newline to `out`. False if this log does not want it.
pub fn write_stats(out: &mut Vec<u8>, stats: &StatsSnapshot, log: &EveLog, context: &mut Context) -> bool {
    log.types.stats && line(out, &stats::record(stats, context))
}

fn line(out: &mut Vec<u8>, record: &impl Serialize) -> bool {
    let start = out.len();
    if serde_json::to_writer(&mut *out, record).is_err() {
        out.truncate(start);
        return false;
    }
    out.push(b'\n');
    true
}

/// The object `tidegate`: what neither Suricata nor conntrack has a word for.
#[derive(Serialize)]
struct Tidegate {
    /// Generation of the rule set that judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// That rule set by its contents: 64 bits of a SHA-256, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    ruleset: Option<String>,
    /// The fate that the connection ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    fate: Option<&'static str>,
    /// What decided that nobody looks into it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_by: Option<&'static str>,
    /// Whose counters these are: `kernel` or `tidegate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_by: Option<&'static str>,
    /// How many times, or how many packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// A rule set's hash as it is written everywhere; nothing for 0.
#[must_use]
pub fn ruleset_name(hash: u64) -> Option<String> {
    (hash != 0).then(|| format!("{hash:016x}"))
}

const NOTHING: Tidegate =
    Tidegate { generation: None, ruleset: None, fate: None, cleared_by: None, counted_by: None, count: None };
