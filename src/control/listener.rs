//! The ctnetlink thread: DESTROY frees what hangs on a flow and tells its last account; lost events lead to a sweep.
//!
//! DESTROY is a signal to free memory, not the end of the flow. It may be read before packets of its entry that still wait
//! in a queue, or after the first packets of the tuple's next incarnation, so it frees only what it really names
//! ([`destroy::decide`]). What no event will ever name (entries that were never confirmed, entries from before us) is
//! found by the sweep: a dump of the kernel's table marks what lives, the silent rest goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::commands::Requests;
use super::worker::now;
use crate::kernel::conntrack::destroy::{self, Decision, Held};
use crate::kernel::conntrack::{ConntrackError, ConntrackSocket, Event, Listener, Mirror};
use crate::kernel::memory::CalmThread;
use crate::output::sink::Sink;
use crate::packet::conntrack::{Conntrack, Fate};
use crate::packet::event::{Events, FlowEnd};
use crate::packet::fate::FateStore;
use crate::packet::flow::Flow;
use crate::packet::flow::shards::FlowShards;
use crate::packet::ingress::Timestamp;
use crate::packet::tell;

const RECEIVE_TIMEOUT: Duration = Duration::from_millis(200);
/// Events are gathered for so long: to be woken for each costs us, and the packet that made it, more than the event itself.
/// What the mirror does not know yet it asks for.
const GATHER: Duration = Duration::from_millis(2);
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
/// A flow may wait for its first verdict for so long before a sweep takes its absence from the kernel's table seriously.
const SWEEP_GRACE_MICROS: u64 = 5_000_000;

/// What the thread has counted.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    pub new: AtomicU64,
    pub destroyed: AtomicU64,
    pub freed: AtomicU64,
    /// Connections that ended after they had been cleared.
    pub bypassed: AtomicU64,
    /// DESTROY events of flows that we never saw, or of another incarnation.
    pub kept: AtomicU64,
    pub lost: AtomicU64,
    pub sweeps: AtomicU64,
    pub swept: AtomicU64,
    pub errors: AtomicU64,
}

/// See the module.
pub struct FlowListener {
    pub listener: Listener,
    pub socket: ConntrackSocket,
    pub flows: Arc<FlowShards>,
    pub store: FateStore,
    /// Kept up to date where the kernel has no NFQA_CT.
    pub mirror: Option<Arc<Mirror>>,
    pub sink: Sink,
    pub counters: Arc<ListenerCounters>,
    pub sweep_interval: Duration,
    pub stop: Arc<AtomicBool>,
    pub requests: Arc<Requests>,
    pub calm: CalmThread,
}

impl FlowListener {
    /// Until told to stop.
    pub fn run(mut self) {
        let mut sweep_number = 0;
        let mut last_sweep = Instant::now();
        let mut last_expiry = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let lost = self.receive();
            if last_expiry.elapsed() >= EXPIRY_INTERVAL {
                self.expire_unborn();
                last_expiry = Instant::now();
            }
            let asked = self.requests.take_sweep();
            if lost || asked || last_sweep.elapsed() >= self.sweep_interval {
                sweep_number += 1;
                self.sweep(sweep_number);
                last_sweep = Instant::now();
            }
        }
    }

    /// One batch of events. Says whether some went missing.
    fn receive(&mut self) -> bool {
        let mut lost = false;
        let FlowListener { listener, socket, flows, store, mirror, sink, counters, .. } = self;
        let result = listener.receive(RECEIVE_TIMEOUT, |event| {
            let formerly = mirror.as_ref().and_then(|mirror| mirror.apply(&event));
            match event {
                Event::New(_) => add(&counters.new, 1),
                // Nobody asks for these.
                Event::Update(_) => {}
                Event::Destroy(entry) => {
                    add(&counters.destroyed, 1);
                    if let Some(formerly) = formerly {
                        flows.rename(&formerly, &entry.key());
                    }
                    match free(flows, socket, &entry).or_else(|| never_seen(flows, *store, &entry)) {
                        Some(mut flow) => {
                            add(&counters.freed, 1);
                            add(&counters.bypassed, u64::from(flow.fate == Fate::Pass));
                            let mut events = Events::new();
                            tell::flow_ended(&mut flow, &entry, now(), end_reason(&entry), &mut events);
                            sink.events(&mut events);
                        }
                        None => add(&counters.kept, 1),
                    }
                }
                Event::Lost(count) => {
                    add(&counters.lost, u64::from(count));
                    lost = true;
                }
            }
        });
        match result {
            Ok(received) if received.events == 0 => self.calm.note_calm(),
            Ok(received) if !received.more => std::thread::sleep(GATHER),
            Ok(_) => {}
            Err(error) => {
                add(&counters.errors, 1);
                tracing::warn!("conntrack events: {error}");
                std::thread::sleep(RECEIVE_TIMEOUT);
            }
        }
        lost
    }

    /// Compares what we hold with the kernel's table.
    fn sweep(&mut self, number: u32) {
        let started = now();
        let found = match self.mark_living(number) {
            Ok(consistent) => consistent,
            Err(error) => {
                add(&self.counters.errors, 1);
                tracing::warn!("conntrack sweep: {error}");
                false
            }
        };
        if !found {
            return;
        }
        add(&self.counters.sweeps, 1);
        let before = Timestamp::from_micros(started.micros.saturating_sub(SWEEP_GRACE_MICROS));
        for mut flow in self.flows.sweep(number, before) {
            add(&self.counters.swept, 1);
            let entry = flow.last_entry();
            let mut events = Events::new();
            tell::flow_ended(&mut flow, &entry, now(), FlowEnd::Timeout, &mut events);
            self.sink.events(&mut events);
        }
    }

    /// One dump serves both: it marks our flows, and shows the mirror what it still has to hold.
    fn mark_living(&mut self, number: u32) -> Result<bool, ConntrackError> {
        let FlowListener { socket, flows, mirror, .. } = self;
        let mirrored = mirror.as_ref().map(|mirror| (mirror, mirror.begin_sweep()));
        let summary = socket.dump(|entry| {
            flows.lock(&entry.key()).mark_found(&entry.key(), number);
            if let Some((mirror, run)) = &mirrored {
                mirror.found(run, entry);
            }
        })?;
        if let (Some((mirror, run)), true) = (mirrored, summary.consistent) {
            mirror.end_sweep(run, now(), |_| ());
        }
        Ok(summary.consistent)
    }

    /// Stand-ins of the mirror that nothing became of: the kernel never confirmed their connection.
    fn expire_unborn(&self) {
        let Some(mirror) = &self.mirror else { return };
        mirror.expire(now(), |key| {
            let mut table = self.flows.lock(&key);
            if table.get(&key).is_some_and(|flow| !flow.confirmed) {
                table.remove(&key);
            }
        });
    }
}

/// Takes out the flow that `entry`'s DESTROY names, if it names one that we hold.
fn free(flows: &FlowShards, socket: &mut ConntrackSocket, entry: &Conntrack) -> Option<Box<Flow>> {
    let key = entry.key();
    let held = held(flows.lock(&key).get(&key)?);
    let decision = match destroy::decide(&held, entry, now()) {
        Decision::AskKernel => {
            let living = socket.get(&key).ok()?;
            destroy::decide_by_answer(&held, living.as_ref(), now())
        }
        decided => decided,
    };
    if decision != Decision::Free {
        return None;
    }
    let mut table = flows.lock(&key);
    // Between the look and now the next incarnation may have taken the key.
    let unchanged =
        table.get(&key).is_some_and(|flow| flow.conntrack_id == held.id && flow.start_ns() == held.start_ns);
    if unchanged { table.remove(&key) } else { None }
}

/// A former run decided what becomes of it, and the kernel did it: no packet of it ever came to us.
fn never_seen(flows: &FlowShards, store: FateStore, entry: &Conntrack) -> Option<Box<Flow>> {
    let fate = store.decode(entry);
    if fate == Fate::Inspect || flows.lock(&entry.key()).get(&entry.key()).is_some() {
        return None;
    }
    let start = entry.start_ns.map_or_else(now, |ns| Timestamp::from_micros(ns / 1000));
    let mut flow = Flow::new(entry, 0, start);
    flow.fate = fate;
    Some(Box::new(flow))
}

fn held(flow: &Flow) -> Held {
    // An answer proves that the entry was confirmed, also when its reset ended the entry before anybody could show it to
    // us (`nf_conntrack_tcp_packet` kills a connection whose only reply is a reset).
    let confirmed = flow.confirmed || flow.seen_to_client.packets > 0;
    Held { id: flow.conntrack_id, start_ns: flow.start_ns(), last_packet: flow.last_seen, confirmed }
}

fn end_reason(entry: &Conntrack) -> FlowEnd {
    // A remaining timeout means that somebody removed the entry before its time (`ctnetlink_conntrack_event`).
    if entry.timeout_s.is_some() { FlowEnd::Forced } else { FlowEnd::Timeout }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
