//! Flows by key, with a cap. One table is one shard; nobody else looks inside while a packet is judged.

use super::Flow;
use crate::packet::conntrack::{Conntrack, FlowKey};
use crate::packet::crowd::{Crowd, Keyed, Place};
use crate::packet::ingress::Timestamp;

/// What a packet's conntrack entry led to.
#[derive(Debug)]
pub enum Attach<'t> {
    /// The flow, and the one that stood on the same key before it, if the kernel has meanwhile made a new entry.
    ///
    /// `is_new`: made by this packet.
    Flow { flow: &'t mut Flow, is_new: bool, replaced: Option<Box<Flow>> },
    /// The table is at its cap and the connection is not in it.
    Full,
}

/// One shard of the flows.
#[derive(Debug, Default)]
pub struct FlowTable {
    flows: Crowd<Flow>,
    count_max: usize,
}

impl Keyed for Flow {
    type Key = FlowKey;

    fn key(&self) -> &FlowKey {
        &self.key
    }
}

impl FlowTable {
    #[must_use]
    pub fn new(count_max: usize) -> FlowTable {
        FlowTable { count_max, ..FlowTable::default() }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// From now on at most `count_max` flows.
    pub fn limit_to(&mut self, count_max: usize) {
        self.count_max = count_max;
    }

    /// The flow of `entry`, made if need be.
    pub fn attach(&mut self, entry: &Conntrack, in_ifindex: u32, now: Timestamp) -> Attach<'_> {
        let is_full = self.flows.len() >= self.count_max;
        match self.flows.place(&entry.key()) {
            Place::Taken(flow) => {
                if flow.is_same_incarnation(entry, now) {
                    flow.refresh(entry, now);
                    return Attach::Flow { flow, is_new: false, replaced: None };
                }
                let replaced = Box::new(std::mem::replace(flow, Flow::new(entry, in_ifindex, now)));
                Attach::Flow { flow, is_new: true, replaced: Some(replaced) }
            }
            Place::Free(_) if is_full => Attach::Full,
            Place::Free(place) => {
                let flow = place.fill(Box::new(Flow::new(entry, in_ifindex, now)));
                Attach::Flow { flow, is_new: true, replaced: None }
            }
        }
    }

    #[must_use]
    pub fn get(&self, key: &FlowKey) -> Option<&Flow> {
        self.flows.get(key)
    }

    pub fn get_mut(&mut self, key: &FlowKey) -> Option<&mut Flow> {
        self.flows.get_mut(key)
    }

    pub fn remove(&mut self, key: &FlowKey) -> Option<Box<Flow>> {
        self.flows.remove(key)
    }

    /// Takes a flow over under the key that it now has, unless another stands there.
    pub fn adopt(&mut self, flow: Box<Flow>) {
        if let Place::Free(place) = self.flows.place(&flow.key) {
            place.fill(flow);
        }
    }

    /// A first packet was dropped: its entry vanishes without any event, and so does the flow, unless another packet
    /// of the same burst was accepted and may yet be confirmed.
    pub fn forget_unborn(&mut self, key: &FlowKey) {
        if self.get(key).is_some_and(|flow| !flow.confirmed && !flow.any_accepted) {
            self.remove(key);
        }
    }

    /// The kernel's table holds `key`: notes it for [`FlowTable::sweep`].
    pub fn mark_found(&mut self, key: &FlowKey, sweep: u32) {
        if let Some(flow) = self.get_mut(key) {
            flow.sweep_mark = sweep;
        }
    }

    /// Takes out every flow that sweep number `sweep` did not find and that was silent since before `started`.
    pub fn sweep(&mut self, sweep: u32, started: Timestamp) -> Vec<Box<Flow>> {
        self.flows.take_out(|flow| flow.sweep_mark != sweep && flow.last_seen < started)
    }

    /// Every flow, for `tidegate flows` and for the end of a replay.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::conntrack::{ConntrackId, CtStatus, Tuple};

    fn entry(port: u16, id: u32, status: u32) -> Conntrack {
        let orig = Tuple { protocol: 17, src_port: port, dst_port: 53, ..Tuple::UNSPECIFIED };
        let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
        entry.id = ConntrackId(id);
        entry.status = CtStatus(status);
        entry
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_burst_of_first_packets_is_one_flow() {
        let mut table = FlowTable::new(10);
        for id in 0..4 {
            assert!(matches!(table.attach(&entry(1, id, 0), 0, at(1)), Attach::Flow { replaced: None, .. }));
        }
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn the_cap_holds_and_known_flows_stay_reachable() {
        let mut table = FlowTable::new(2);
        for port in 0..5 {
            let attached = table.attach(&entry(port, 1, 0), 0, at(1));
            assert_eq!(matches!(attached, Attach::Full), port >= 2);
        }
        assert!(matches!(table.attach(&entry(0, 1, 0), 0, at(1)), Attach::Flow { .. }));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_dropped_first_packet_leaves_nothing_but_an_accepted_sibling_stays() {
        let mut table = FlowTable::new(10);
        let unborn = entry(1, 1, 0);
        let _ = table.attach(&unborn, 0, at(1));
        table.forget_unborn(&unborn.key());
        assert!(table.is_empty());

        let Attach::Flow { flow, .. } = table.attach(&unborn, 0, at(1)) else { panic!("full") };
        flow.any_accepted = true;
        table.forget_unborn(&unborn.key());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_sweep_takes_what_the_kernel_no_longer_has() {
        let mut table = FlowTable::new(10);
        for port in 0..4 {
            let _ = table.attach(&entry(port, 1, CtStatus::CONFIRMED), 0, at(u64::from(port)));
        }
        table.mark_found(&entry(0, 1, 0).key(), 7);
        let gone = table.sweep(7, at(3));
        assert_eq!(gone.len(), 2, "port 0 was found, port 3 is too fresh to say");
        assert_eq!(table.len(), 2);
    }
}
