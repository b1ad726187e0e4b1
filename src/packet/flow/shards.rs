//! The flows of all workers: shards by key, each behind a lock that is uncontended in the normal case.
//!
//! With our own queue rules both directions of a connection meet in one queue, so a shard's lock is taken by one worker
//! and, on DESTROY, by the listener. As the target of somebody else's rule (CPU fanout) two workers may see one flow:
//! still correct, only slower. A poisoned lock is taken all the same: the flows behind it are plain values.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Flow;
use super::table::FlowTable;
use crate::packet::app::expected::Expected;
use crate::packet::conntrack::FlowKey;
use crate::packet::ingress::Timestamp;
use crate::packet::tunnel::Tunnels;

/// A power of two, several times the number of workers that anybody runs.
const SHARD_COUNT: usize = 64;

/// All flows.
#[derive(Debug)]
pub struct FlowShards {
    shards: Box<[Mutex<FlowTable>; SHARD_COUNT]>,
    hash: foldhash::fast::RandomState,
    expected: Expected,
    tunnels: Tunnels,
}

impl FlowShards {
    /// At most about `flow_count_max` flows: the cap is divided among the shards.
    #[must_use]
    pub fn new(flow_count_max: usize) -> FlowShards {
        let per_shard = flow_count_max.div_ceil(SHARD_COUNT);
        FlowShards {
            shards: Box::new(std::array::from_fn(|_| Mutex::new(FlowTable::new(per_shard)))),
            hash: foldhash::fast::RandomState::default(),
            expected: Expected::default(),
            tunnels: Tunnels::new(flow_count_max),
        }
    }

    /// The connections that others have announced.
    #[must_use]
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The connections inside of others.
    #[must_use]
    pub fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// The shard that holds `key`, for as long as the guard lives.
    pub fn lock(&self, key: &FlowKey) -> MutexGuard<'_, FlowTable> {
        #[allow(clippy::indexing_slicing)] // an array of SHARD_COUNT, indexed modulo SHARD_COUNT
        take(&self.shards[self.hash.hash_one(key) as usize % SHARD_COUNT])
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| take(shard).len()).sum()
    }

    pub fn remove(&self, key: &FlowKey) -> Option<Box<Flow>> {
        self.lock(key).remove(key)
    }

    /// A flow that was found under a provisional key is known by its true one from now on. A flow that stands there
    /// already stays.
    pub fn rename(&self, from: &FlowKey, to: &FlowKey) {
        let Some(mut flow) = self.lock(from).remove(from) else { return };
        flow.key = *to;
        self.lock(to).adopt(flow);
    }

    /// See [`FlowTable::sweep`]. One shard is locked at a time.
    pub fn sweep(&self, sweep: u32, started: Timestamp) -> Vec<Box<Flow>> {
        self.shards.iter().flat_map(|shard| take(shard).sweep(sweep, started)).collect()
    }

    /// How many parts [`Self::for_each_in`] knows.
    pub const PART_COUNT: usize = SHARD_COUNT;

    /// Visits the flows of one part: nobody waits longer than that takes.
    pub fn for_each_in(&self, part: usize, visit: impl FnMut(&Flow)) {
        if let Some(shard) = self.shards.get(part) {
            take(shard).iter().for_each(visit);
        }
    }

    /// Visits every flow, a shard at a time.
    pub fn for_each(&self, mut visit: impl FnMut(&Flow)) {
        for shard in self.shards.iter() {
            take(shard).iter().for_each(&mut visit);
        }
    }
}

fn take(shard: &Mutex<FlowTable>) -> MutexGuard<'_, FlowTable> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
