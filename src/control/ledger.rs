//! The fail-open ledger: every packet that was offered to the queues was judged, passed uninspected, or was dropped by the
//! kernel. Nobody in the kernel says which, so it is worked out:
//!
//! ```text
//! offered ─► [queue] ─► behind                     counted by our nftables table
//!              │  │
//!              │  └─ accepted, refused             counted by the workers, in memory that outlives them
//!              └─ full, overrun, nobody, flushed   never counted whole by anybody
//!
//! passed unasked = behind - accepted               of which: overruns by the sockets' counters, the rest a full queue,
//!                                                  or nobody listening if it came about while we were not there
//! kernel drops   = offered - behind - refused - waiting
//! ```
//!
//! All terms grow since the table was made, over stops, upgrades and `kill -9`, so no error adds up. They are read one
//! after another while packets go by, in an order that makes both results too low rather than too high by what is under
//! way; when traffic rests they are exact.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::worker::now;
use crate::kernel::nft::{self, Counters, NftError};
use crate::kernel::queue::proc::{self, KernelCounters};
use crate::kernel::tally::{Answered, Slot, Tally, Word};
use crate::output::eve::stats::{LedgerStats, UninspectedStats};

/// At the start the counters that matter stand still, but not those that are subtracted from them.
const START_READINGS: usize = 16;

/// How much the table's counters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// What goes in and what comes out.
    Whole,
    /// The kernel splits super-packets between the two (`queue.gso: no`), so only what comes out compares with ours.
    Behind,
    /// Somebody else's rules feed us, or another program decides after us (`mode: route`).
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    tally: Arc<Tally>,
    evidence: Evidence,
    /// Number and port id.
    queues: Vec<(u16, u32)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Sockets' drops of this run, widened.
    overruns: Vec<Widened>,
    overrun_before: u64,
    /// What had passed unasked before this run and is no fail-open.
    bypass_before: u64,
}

/// A kernel counter of 32 bits that wraps.
#[derive(Clone, Copy, Debug, Default)]
struct Widened {
    last: u32,
    total: u64,
}

impl Widened {
    fn read(&mut self, value: u32) -> u64 {
        self.total = self.total.saturating_add(value.wrapping_sub(self.last).into());
        self.last = value;
        self.total
    }
}

/// What has grown: EVE `anomaly.event`, and by how many packets.
pub type Growth = (&'static str, u64);

impl Ledger {
    /// The ledger of the table that stands, or of one that will be made. `path` is where the counters outlive us; without
    /// it, or where it cannot be used, they end with this run.
    ///
    /// To be called while no queue rule is in force.
    ///
    /// # Errors
    /// When our table cannot be read, or memory is short.
    pub fn open(path: &Path, evidence: Evidence, queues: Vec<(u16, u32)>) -> anyhow::Result<Ledger> {
        let tally = match Tally::open(path) {
            Ok(tally) => tally,
            Err(error) => {
                tracing::warn!("the ledger ends with this run: cannot keep it in {}: {error}", path.display());
                Tally::in_memory()?
            }
        };
        let overruns = vec![Widened::default(); queues.len()];
        let state = Mutex::new(State { overruns, ..State::default() });
        let ledger = Ledger { tally: Arc::new(tally), evidence, queues, state };
        let table = if evidence == Evidence::Nothing { None } else { nft::table_handle()? };
        match table {
            Some(table) if ledger.tally.belongs_to(table) => {}
            table => ledger.begin(table)?,
        }
        ledger.take_over()?;
        Ok(ledger)
    }

    /// A new ledger. What a table has counted before it is nobody's to explain any more.
    fn begin(&self, table: Option<u64>) -> Result<(), NftError> {
        self.tally.begin(table.unwrap_or(0));
        self.tally.set_word(Word::Since, now().seconds());
        if table.is_some() {
            let counters = nft::read_counters()?;
            self.tally.set_word(Word::OfferedBefore, counters.offered.packets);
            self.tally.set_word(Word::AsideBefore, counters.aside.packets);
            self.tally.set_word(Word::PassedBefore, passed_at_rest()?);
        }
        Ok(())
    }

    /// What passed unasked, and what the runs before us knew no cause of: nobody listened.
    fn take_over(&self) -> Result<(), NftError> {
        let known = [Word::FailOpen, Word::Overrun].map(|word| self.tally.word(word));
        let passed = if self.tally.word(Word::Table) == 0 { 0 } else { passed_at_rest()? };
        let unasked =
            passed.saturating_sub(self.tally.word(Word::PassedBefore)).saturating_sub(self.tally.answered().accepted);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.overrun_before = known[1];
        state.bypass_before = known.into_iter().fold(unasked, u64::saturating_sub);
        Ok(())
    }

    /// Where the worker of the queue at that place counts.
    #[must_use]
    pub fn slot(&self, index: usize) -> Option<Slot> {
        self.tally.slot(index)
    }

    /// Our table stands: from now on its counters belong to this ledger.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn table_installed(&self) -> Result<(), NftError> {
        if let Some(table) = nft::table_handle()? {
            self.tally.set_word(Word::Table, table);
        }
        Ok(())
    }

    /// As it stands now.
    #[must_use]
    pub fn picture(&self) -> LedgerStats {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.counters();
        let kernel: Vec<KernelCounters> = self
            .queues
            .iter()
            .map(|(number, port_id)| proc::kernel_counters(*number, *port_id).ok().flatten().unwrap_or_default())
            .collect();
        let answered = self.tally.answered();
        let after = self.counters();

        let overrun = state.overrun(&kernel);
        let queues = Queues {
            waiting: kernel.iter().map(|queue| u64::from(queue.waiting)).sum(),
            dropped: kernel.iter().map(|queue| u64::from(queue.queue_dropped) + u64::from(queue.user_dropped)).sum(),
            overrun,
            bypass_before: state.bypass_before,
        };
        let table = before.zip(after).map(|(before, after)| Table { before, after });
        let mut stats = self.balance(table, answered, queues);
        stats.seconds = now().seconds().saturating_sub(self.tally.word(Word::Since));
        self.tally.set_word(Word::Overrun, stats.uninspected.overrun.max(self.tally.word(Word::Overrun)));
        self.tally.set_word(Word::FailOpen, stats.uninspected.fail_open.max(self.tally.word(Word::FailOpen)));
        stats
    }

    /// What has grown since this was asked last, by this run or one before it.
    #[must_use]
    pub fn growth(&self) -> Vec<Growth> {
        let LedgerStats { uninspected, kernel_drops, .. } = self.picture();
        let classes = [
            ("ledger.fail_open", Word::ToldFailOpen, uninspected.fail_open),
            ("ledger.overrun", Word::ToldOverrun, uninspected.overrun),
            ("ledger.bypass", Word::ToldBypass, uninspected.bypass),
            ("ledger.failed", Word::ToldFailed, uninspected.failed),
            ("ledger.kernel_drops", Word::ToldKernelDrops, kernel_drops),
        ];
        let mut growth = Vec::new();
        for (event, told, count) in classes {
            let more = count.saturating_sub(self.tally.word(told));
            if more > 0 {
                self.tally.set_word(told, count);
                growth.push((event, more));
            }
        }
        growth
    }

    /// `None` when the table is gone, or another was made in its place: then this ledger has no evidence any more.
    fn counters(&self) -> Option<Counters> {
        let ours =
            Some(self.tally.word(Word::Table)).filter(|table| *table != 0 && self.evidence != Evidence::Nothing)?;
        let stands = nft::table_handle().ok().flatten() == Some(ours);
        stands.then(|| nft::read_counters().ok()).flatten()
    }

    fn balance(&self, table: Option<Table>, answered: Answered, queues: Queues) -> LedgerStats {
        let judged = answered.accepted.saturating_add(answered.refused).saturating_sub(answered.failed);
        let mut stats = LedgerStats {
            received: judged.saturating_add(answered.failed),
            judged,
            waiting: queues.waiting.saturating_add(answered.under_way),
            kernel_drops: queues.dropped,
            uninspected: UninspectedStats { overrun: queues.overrun, failed: answered.failed, ..Default::default() },
            ..LedgerStats::default()
        };
        let Some(Table { before, after }) = table else {
            stats.offered = stats.explained();
            return stats;
        };
        let word = |word| self.tally.word(word);
        let passed_at_least =
            before.behind.packets.saturating_sub(after.beside()).saturating_sub(word(Word::PassedBefore));
        let passed_at_most =
            after.behind.packets.saturating_sub(before.beside()).saturating_sub(word(Word::PassedBefore));
        let aside = before.aside.packets.saturating_sub(word(Word::AsideBefore));
        let unasked = passed_at_least.saturating_sub(answered.accepted);
        let bypass = queues.bypass_before.min(unasked);
        let overrun = queues.overrun.min(unasked.saturating_sub(bypass));
        stats.uninspected.overrun = overrun;
        stats.uninspected.fail_open = unasked.saturating_sub(bypass).saturating_sub(overrun);
        stats.uninspected.bypass = bypass.saturating_add(aside);
        if self.evidence != Evidence::Whole {
            stats.offered = stats.explained();
            return stats;
        }
        let offered = before.offered.packets.saturating_sub(word(Word::OfferedBefore));
        stats.complete = true;
        stats.kernel_drops =
            [passed_at_most, answered.refused, stats.waiting].into_iter().fold(offered, u64::saturating_sub);
        stats.offered = offered.saturating_add(aside);
        stats.waiting = stats.offered.saturating_sub(stats.explained().saturating_sub(stats.waiting));
        stats
    }
}

impl State {
    /// Packets that passed because a receive buffer was full, this run's and those before. Without fail-open the same
    /// packets count as dropped.
    fn overrun(&mut self, kernel: &[KernelCounters]) -> u64 {
        self.overruns.iter_mut().zip(kernel).fold(self.overrun_before, |sum, (widened, queue)| {
            sum.saturating_add(widened.read(queue.socket_drops.wrapping_sub(queue.user_dropped)))
        })
    }
}

/// The table's counters, read before and after everything else.
#[derive(Clone, Copy)]
struct Table {
    before: Counters,
    after: Counters,
}

/// What the queues themselves say.
#[derive(Clone, Copy)]
struct Queues {
    waiting: u64,
    /// Of this run.
    dropped: u64,
    overrun: u64,
    bypass_before: u64,
}

/// Packets that were offered and came out behind, while no queue rule is in force: a figure that stands still. What is
/// subtracted does not, and a packet may be between two counters when they are read, but rarely at most readings.
fn passed_at_rest() -> Result<u64, NftError> {
    let mut readings = [0; START_READINGS];
    for reading in &mut readings {
        let counters = nft::read_counters()?;
        *reading = counters.behind.packets.saturating_sub(counters.beside());
    }
    readings.sort_unstable();
    Ok(readings.get(START_READINGS / 2).copied().unwrap_or_default())
}
