//! What a predecessor left: our table outlives us, so a start may find its queue rules in force.
//!
//! Binding a queue that rules already send packets to would lose those that come in the instant between the kernel's
//! `instance_create` and its copy mode. So the queue rules are taken out first; `install` puts them back. A predecessor
//! that still lives is not touched: the second copy says so and stops.

use anyhow::{Context, bail};

use crate::kernel::nft::{self, GateTable};
use crate::kernel::queue::proc;

/// The queue rules of a dead predecessor, taken out. Put back if the start fails after all.
#[derive(Debug)]
pub struct ClearedWay<'t> {
    table: &'t GateTable,
    cleared: bool,
}

impl ClearedWay<'_> {
    /// The start failed: what the predecessor left stands again.
    pub fn put_back(self) {
        if self.cleared
            && let Err(error) = nft::install(self.table)
        {
            tracing::error!("the queue rules that were there before could not be put back: {error}");
        }
    }
}

/// Takes the queue rules of our table out, if it is there and nobody serves them.
///
/// # Errors
/// When another program serves the table's queues, or the table cannot be read or changed.
pub fn clear_the_way(table: &GateTable) -> anyhow::Result<ClearedWay<'_>> {
    let untouched = ClearedWay { table, cleared: false };
    let present = nft::present().context("cannot read the nftables table `inet tidegate`")?;
    let Some((_, queues)) = present.and_then(|present| present.queueing) else { return Ok(untouched) };
    for number in queues.first..=queues.last() {
        if let Some(row) = proc::queue(number)? {
            let owner = proc::owner_of(row.port_id)
                .map_or_else(String::new, |owner| format!(" (pid {}, {})", owner.pid, owner.command));
            bail!(
                "another program{owner} serves queue {number} of the table inet tidegate: two gates in one network \
                 namespace would fight; stop the other one first"
            );
        }
    }
    nft::set_queueing(table, false).context("cannot take the queue rules of a former run out of `inet tidegate`")?;
    tracing::info!("the queue rules of a former run are out until the queues are bound");
    Ok(ClearedWay { table, cleared: true })
}
