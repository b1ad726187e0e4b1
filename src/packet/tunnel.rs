//! What runs inside tunnels: connections of which the kernel knows nothing.
//!
//! ```text
//!  outer flow A ──┐
//!  outer flow B ──┴─ Tunnel (its two ends) ── Inside (kind, virtual network) ── tracker + flows
//! ```
//!
//! conntrack tracks the outer connection only, so for the packets inside we do as the kernel would: an entry each, with
//! the same timeouts (`packet::tracking`), and a flow that hangs on it. VXLAN and Geneve put the two directions of an inner
//! connection into two outer ones, and ECMP may spread them further; so a tunnel is what runs between two hosts,
//! and it is shared by the outer flows that carry it. With the last of them it is freed, and its flows with it.
//!
//! A flow inside can be condemned, but not by the kernel: [`crate::packet::verdict::Verdict::of_carrier`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::decode::Headers;
use super::decode::inner::TunnelKind;
use super::flow::Flow;
use super::flow::table::FlowTable;
use super::ingress::Timestamp;
use super::tracking::{self, DestroyedEntry, SimulatedConntrack};

/// Flows inside all tunnels together. Beyond it an old one without an answer makes room, or `policy.flow-memcap` decides.
pub const INNER_FLOW_COUNT_MAX: usize = 131_072;

/// Virtual networks of one tunnel in which something lives. A packet of another is judged as one beyond the flow table.
const NETWORK_COUNT_MAX: usize = 4096;

/// How often networks that are silent are looked at for what has expired.
const SWEEP_MICROS: u64 = 1_000_000;

/// Below so many tunnels nobody looks for those that are gone.
const REGISTRY_SWEEP_MIN: usize = 256;

/// What carries a packet: the outermost headers around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// 0 where the protocol has no ports.
    pub src_port: u16,
    pub dst_port: u16,
    pub protocol: u8,
    /// Tunnels around the packet, from 1.
    pub depth: u8,
    /// The innermost tunnel.
    pub kind: TunnelKind,
}

impl Carrier {
    /// Of a packet that is inside one with these headers, which may be inside another.
    #[must_use]
    pub fn around(outer: Option<&Carrier>, headers: &Headers<'_>, kind: TunnelKind) -> Carrier {
        let (src_port, dst_port) = headers.ports();
        match outer {
            Some(outer) => Carrier { depth: outer.depth.saturating_add(1), kind, ..*outer },
            None => Carrier {
                src: headers.ip.src,
                dst: headers.ip.dst,
                src_port,
                dst_port,
                protocol: headers.ip.protocol,
                depth: 1,
                kind,
            },
        }
    }
}

/// The tunnels that are in use.
#[derive(Debug)]
pub struct Tunnels {
    known: Mutex<Registry>,
    made: AtomicU64,
    flows: Arc<FlowBudget>,
}

#[derive(Debug, Default)]
struct Registry {
    tunnels: HashMap<TunnelKey, Weak<Tunnel>, foldhash::fast::RandomState>,
    sweep_at: usize,
}

/// Two hosts, in no order. `within` is the number of the tunnel that they are seen in, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TunnelKey {
    within: u64,
    zone: u16,
    ends: [IpAddr; 2],
}

/// How many flows there may be inside tunnels, and are.
#[derive(Debug)]
struct FlowBudget {
    count: AtomicUsize,
    count_max: usize,
}

impl Tunnels {
    #[must_use]
    pub fn new(flow_count_max: usize) -> Tunnels {
        let count_max = flow_count_max.min(INNER_FLOW_COUNT_MAX);
        Tunnels {
            known: Mutex::default(),
            made: AtomicU64::new(0),
            flows: Arc::new(FlowBudget { count: AtomicUsize::new(0), count_max }),
        }
    }

    /// The tunnel that `flow` carries, for as long as any flow that carries it lives.
    pub fn of(&self, flow: &mut Flow) -> Arc<Tunnel> {
        if let Some(tunnel) = flow.tunnel() {
            return Arc::clone(tunnel);
        }
        let (one, other) = (flow.key.orig.src, flow.key.orig.dst);
        let key = TunnelKey { within: flow.within(), zone: flow.key.zone, ends: [one.min(other), one.max(other)] };
        let mut registry = take(&self.known);
        let tunnel = registry.tunnels.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let tunnel = Arc::new(Tunnel {
                number: self.made.fetch_add(1, Ordering::Relaxed).saturating_add(1),
                inside: Mutex::default(),
                flows: Arc::clone(&self.flows),
            });
            registry.remember(key, &tunnel);
            tunnel
        });
        flow.carry(Arc::clone(&tunnel));
        tunnel
    }

    /// Flows inside tunnels.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.flows.count.load(Ordering::Relaxed)
    }
}

impl Registry {
    fn remember(&mut self, key: TunnelKey, tunnel: &Arc<Tunnel>) {
        if self.tunnels.len() >= self.sweep_at {
            self.tunnels.retain(|_, known| known.strong_count() > 0);
            self.sweep_at = self.tunnels.len().saturating_mul(2).max(REGISTRY_SWEEP_MIN);
        }
        self.tunnels.insert(key, Arc::downgrade(tunnel));
    }
}

/// All that runs between two hosts in packets of theirs.
#[derive(Debug)]
pub struct Tunnel {
    /// From 1.
    number: u64,
    inside: Mutex<Networks>,
    flows: Arc<FlowBudget>,
}

/// What runs in a tunnel, by how it is carried and in which virtual network.
#[derive(Debug, Default)]
pub struct Networks {
    all: HashMap<(TunnelKind, u32), Inside, foldhash::fast::RandomState>,
    swept: Timestamp,
}

impl Networks {
    /// A network in which nothing has come to live is not kept: its packets are free to make, and its numbers too.
    pub fn leave(&mut self, network: (TunnelKind, u32)) {
        if self.all.get(&network).is_some_and(|inside| inside.flows.is_empty() && inside.tracker.is_empty()) {
            self.all.remove(&network);
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Tunnel {
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Nobody else is in the tunnel until the guard is dropped. Locks are taken from the outermost tunnel inwards.
    pub fn enter(&self) -> MutexGuard<'_, Networks> {
        take(&self.inside)
    }

    /// One network of the tunnel (`None`: there are too many), and what has expired in it and, now and then, in others.
    /// When the packet has been judged, [`Networks::leave`] it.
    pub fn network<'n>(
        &self,
        networks: &'n mut Networks,
        (kind, network): (TunnelKind, u32),
        now: Timestamp,
    ) -> (Option<&'n mut Inside>, Vec<Ended>) {
        let mut ended = Vec::new();
        if now.micros_since(networks.swept) >= SWEEP_MICROS {
            networks.swept = now;
            networks.all.retain(|_, inside| {
                inside.advance(now, &mut ended);
                !inside.flows.is_empty()
            });
        }
        if networks.all.len() >= NETWORK_COUNT_MAX && !networks.all.contains_key(&(kind, network)) {
            return (None, ended);
        }
        let inside = networks.all.entry((kind, network)).or_insert_with(|| {
            // Entries of two networks must not look like one: their tuples may be alike.
            let first = self.number.wrapping_mul(0x0100_0193) ^ u64::from(network);
            Inside {
                tracker: SimulatedConntrack::new(true, tracking::ENTRY_COUNT_MAX).numbered_from(first),
                flows: FlowTable::new(0),
                counted: 0,
                budget: Arc::clone(&self.flows),
            }
        });
        inside.advance(now, &mut ended);
        (Some(inside), ended)
    }

    /// The last outer flow is gone: so is everything inside.
    #[must_use]
    pub fn end(self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for mut inside in self.inside.into_inner().unwrap_or_else(PoisonError::into_inner).all.into_values() {
            inside.tracker.end();
            inside.take_ended(&mut ended);
        }
        ended
    }
}

/// A flow that is over, and its entry as it was last.
pub type Ended = (Box<Flow>, DestroyedEntry);

/// The connections in one network of a tunnel.
#[derive(Debug)]
pub struct Inside {
    pub tracker: SimulatedConntrack,
    pub flows: FlowTable,
    /// Flows that stand in the budget.
    counted: usize,
    budget: Arc<FlowBudget>,
}

impl Inside {
    /// Tracks a packet, as [`SimulatedConntrack::track`] does. If it may need a flow and there is no room, makes some.
    #[must_use]
    pub fn track(&mut self, headers: &Headers<'_>) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.tracker.track(headers);
        self.take_ended(&mut ended);
        if self.room() == 0 {
            self.tracker.drop_early();
            self.take_ended(&mut ended);
        }
        self.flows.limit_to(self.flows.len().saturating_add(self.room()));
        ended
    }

    /// Ends the packet that was tracked last; `accepted` as for [`SimulatedConntrack::settle`].
    pub fn settle(&mut self, accepted: bool) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.tracker.settle(accepted);
        self.take_ended(&mut ended);
        ended
    }

    fn advance(&mut self, now: Timestamp, ended: &mut Vec<Ended>) {
        self.tracker.advance(now);
        self.take_ended(ended);
    }

    fn take_ended(&mut self, ended: &mut Vec<Ended>) {
        for destroyed in self.tracker.take_destroyed() {
            ended.extend(self.flows.remove(&destroyed.entry.key()).map(|flow| (flow, destroyed)));
        }
        self.count();
    }

    fn room(&self) -> usize {
        self.budget.count_max.saturating_sub(self.budget.count.load(Ordering::Relaxed))
    }

    fn count(&mut self) {
        let len = self.flows.len();
        self.budget.count.fetch_add(len, Ordering::Relaxed);
        self.budget.count.fetch_sub(self.counted, Ordering::Relaxed);
        self.counted = len;
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.budget.count.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

fn take<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
