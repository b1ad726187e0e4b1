//! Ending connections by their fate: the entry stays, so that nftables meets what still comes of them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::filter::{Filter, FilterText};
use crate::kernel::conntrack::{ConntrackError, ConntrackSocket, EntryUpdate, Mirror, Outcome};
use crate::packet::conntrack::Fate;
use crate::packet::fate::FateStore;
use crate::packet::flow::shards::FlowShards;
use crate::rules::Vars;

/// What became of the connections that were meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Have the fate now.
    pub condemned: u64,
    /// Had it already.
    pub already: u64,
    /// Ended before they could be.
    pub gone: u64,
    /// The kernel did not take the fate; a running gate enforces it with the next packet, and writes it again.
    pub failed: u64,
}

/// What is asked for: of a running gate in these words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KillOrder {
    pub filter: FilterText,
    /// Reset both sides instead of falling silent.
    pub reject: bool,
    /// An empty filter is meant: every connection.
    pub all: bool,
}

impl KillOrder {
    /// The fate that is meant.
    #[must_use]
    pub fn fate(&self) -> Fate {
        if self.reject { Fate::Reject } else { Fate::Drop }
    }

    /// The filter, unless it would end everything by mistake.
    pub fn filter(&self, vars: &Vars) -> Result<Filter, String> {
        if self.filter.is_empty() && !self.all {
            return Err("no filter is given: say which connections, or --all for every one".to_owned());
        }
        Filter::read(&self.filter, vars)
    }
}

/// What a running gate holds besides the kernel's table.
pub struct Gate<'g> {
    pub flows: &'g FlowShards,
    pub mirror: Option<&'g Mirror>,
    pub generation: u64,
}

/// Gives every connection that `filter` wants the fate `fate`.
///
/// With a gate, its own flow is condemned first: packets that wait in a queue with the entry as it was are dropped, too.
/// Only the two bits of the fate are written; for what is condemned the generation says nothing.
pub fn condemn(
    socket: &mut ConntrackSocket,
    filter: &Filter,
    fate: Fate,
    store: FateStore,
    gate: Option<&Gate<'_>>,
) -> Result<Condemned, ConntrackError> {
    let mut done = Condemned::default();
    let write = store.write_fate(fate);
    // A dump that is started again shows entries again.
    let mut seen = HashSet::new();
    let mut updates = Vec::new();
    socket.dump(|entry| {
        let key = entry.key();
        let marked = gate.map_or_else(|| store.decode(entry), |gate| store.decode_for(entry, gate.generation));
        let mut table = gate.map(|gate| gate.flows.lock(&key));
        let flow = table.as_mut().and_then(|table| table.get_mut(&key));
        let held = flow.as_ref().map(|flow| flow.fate).filter(|_| marked == Fate::Inspect);
        if !filter.wants(entry, held.unwrap_or(marked)) || !seen.insert(key) {
            return;
        }
        if let Some(flow) = flow {
            flow.fate = fate;
        }
        if marked == fate {
            done.already = done.already.saturating_add(1);
        } else {
            updates.push(EntryUpdate { key, write });
        }
    })?;
    let note = |index: usize, outcome| match outcome {
        Ok(Outcome::Done) => {
            done.condemned = done.condemned.saturating_add(1);
            if let (Some(mirror), Some(update)) = (gate.and_then(|gate| gate.mirror), updates.get(index)) {
                mirror.note_write(&update.key, &update.write);
            }
        }
        Ok(Outcome::Gone) => done.gone = done.gone.saturating_add(1),
        Err(_) => done.failed = done.failed.saturating_add(1),
    };
    socket.update_many(&updates, note)?;
    Ok(done)
}
