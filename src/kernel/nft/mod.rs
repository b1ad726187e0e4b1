//! Our nftables table `inet tidegate`: made, changed, read and taken away in single transactions.
//!
//! One model of the rules ([`model`]) has two renderings: nft syntax for people ([`print`]) and netlink for the kernel
//! ([`install`]). The table holds fate rules, block sets, named counters and the queue rules, in that order; `model`
//! has the picture.
//!
//! What holds here:
//!
//! - One transaction an operation: the ruleset is never seen half made, and a refusal changes nothing.
//! - Base chains are made once. Deleting any base chain of the namespace drops every packet that waits in any queue, so
//!   changes are `flush chain` and new rules.
//! - Nothing outside of our table is named in any message. A table of our name that is not marked as ours is left alone.
//! - Read, then write is safe: the write names the ruleset generation that was read, and is done over if it moved on.
//!
//! What `control` needs:
//!
//! ```no_run
//! use tidegate::kernel::nft::{self, GateTable};
//! # fn main() -> Result<(), nft::NftError> {
//! let mut table = GateTable::default();
//! let installed = nft::install(&table)?; // after the queues are bound
//! println!("{installed}");
//! let counters = nft::read_counters()?; // the ledger: counters.offered, counters.behind
//! table.generation += 1;
//! nft::install(&table)?; // after a reload: what older rules cleared is queued again
//! nft::set_queueing(&table, false)?; // graceful stop: then answer what is left
//! nft::remove()?; // with --remove-on-exit, after the queues are empty
//! # Ok(())
//! # }
//! ```

mod asking;
mod blocks;
mod conflicts;
mod error;
mod expressions;
mod lower;
mod model;
mod probe;
mod read;
mod text;
mod transaction;

pub use asking::{Asked, WhoAsks, ask, is_asking, stop_asking, who_asks};
pub use blocks::{Block, block, blocked, unblock};
pub use conflicts::{
    BridgeQueueRule, Conflict, ConflictKind, bridge_queue_rules, conflicts, legacy_tables, zone_rules,
};
pub use error::NftError;
pub use probe::{NftFeatures, probe};
pub use read::{CounterValue, Counters, Present, present, read_counters, table_handle};
pub use text::print;

use crate::packet::fate::FateStore;
use lower::Scope;
use model::Chain;
use std::fmt::{self, Display, Formatter};
use std::io;
use transaction::{Control, Outcome, Refusal, Transaction};

/// Attempts while others keep changing the ruleset between our reading and writing.
const COMMIT_ATTEMPTS_MAX: u32 = 20;

/// What the table is to be. Everything that [`install`] and [`print`] need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateTable {
    pub hook: Hook,
    /// Of the base chains. 10 to 50 stands behind the firewall's filter (0) and before source NAT (100).
    pub priority: i32,
    pub queues: Queues,
    /// Where a connection's fate stands in its conntrack entry.
    pub fate: FateStore,
    /// The rule set's generation. A cleared connection is let pass only while the generation beside its fate is this
    /// number, or as much of it as the store has room for.
    pub generation: u64,
    /// The rule set by its contents, for whoever reads the table later; 0 if nobody said.
    pub rules_hash: u64,
    /// Without it the fate rules, block sets and counters work and nothing is queued.
    pub queueing: bool,
    /// Devices of the flowtable that takes cleared connections; empty for no flowtable. Forward hook only.
    pub flowtable: Vec<String>,
    /// Elements that each block set takes. Fixed while the table exists.
    pub block_count_max: u32,
}

impl Default for GateTable {
    fn default() -> GateTable {
        GateTable {
            hook: Hook::Forward,
            priority: 20,
            queues: Queues { first: 7400, count: 4 },
            fate: FateStore::default(),
            generation: 0,
            rules_hash: 0,
            queueing: true,
            flowtable: Vec::new(),
            block_count_max: 65_536,
        }
    }
}

/// Which traffic meets us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// What this machine forwards.
    Forward,
    /// What it sends and receives itself: input and output. Loopback is seen once.
    Host,
    /// All that arrives, before routing. A priority above -100 sees addresses after destination NAT.
    Prerouting,
}

/// Queue numbers `first` to `first + count - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    pub first: u16,
    pub count: u16,
}

impl Queues {
    #[must_use]
    pub fn last(self) -> u16 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    #[must_use]
    pub fn contains(self, queue: u16) -> bool {
        (self.first..=self.last()).contains(&queue)
    }

    fn check(self) -> Result<(), NftError> {
        if self.count == 0 || self.first.checked_add(self.count - 1).is_none() {
            return Err(NftError::QueueRange { first: self.first, count: self.count });
        }
        Ok(())
    }
}

/// How packets get from the table into the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueMode {
    /// nftables' own `queue` expression.
    NftQueue,
    /// xtables' NFQUEUE target through nft_compat, on kernels without nft_queue.
    XtTarget,
}

/// What decides the queue of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The connection's original tuple: its packets meet in one queue, and two busy hosts use all queues.
    Connection,
    /// The address pair: all connections between two hosts share a queue.
    Addresses,
}

/// What [`install`] could do on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    pub mode: QueueMode,
    pub balance: Balance,
}

impl Display for Installed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.mode, self.balance) {
            (QueueMode::NftQueue, Balance::Connection) => "nftables queue, spread by connection",
            (QueueMode::NftQueue, Balance::Addresses) => "nftables queue, spread by address pair (no nft_hash here)",
            (QueueMode::XtTarget, _) => "xtables NFQUEUE inside our table, spread by address pair (no nft_queue here)",
        })
    }
}

/// From the best to what still works. The first that the kernel takes is used.
const WAYS: [Installed; 3] = [
    Installed { mode: QueueMode::NftQueue, balance: Balance::Connection },
    Installed { mode: QueueMode::NftQueue, balance: Balance::Addresses },
    Installed { mode: QueueMode::XtTarget, balance: Balance::Addresses },
];

/// Makes the table, or brings ours up to `table`: chains stay, their rules are replaced in one transaction, counters
/// keep counting and block sets keep their elements.
///
/// Bind the queues first. Fails without a change when a table of that name is not ours, belongs to another process, or
/// stands at other hooks or another priority ([`NftError::HookDiffers`], see [`replace`]).
pub fn install(table: &GateTable) -> Result<Installed, NftError> {
    install_how(table, Existing::MustFit)
}

/// As [`install`], but where our table stands at other hooks it is deleted and made anew in the same transaction. That
/// drops what waits in any queue of this network namespace, sets the counters to 0 and forgets the block sets.
pub fn replace(table: &GateTable) -> Result<Installed, NftError> {
    install_how(table, Existing::MayGo)
}

/// Takes the queue rules out of the installed table, or puts them back. Fate rules, block sets and counters stay.
/// For a graceful stop: afterwards no new packet enters the queues, and what is in them can be answered in peace.
pub fn set_queueing(table: &GateTable, queueing: bool) -> Result<Installed, NftError> {
    if present()?.is_none() {
        return Err(NftError::Absent);
    }
    install(&GateTable { queueing, ..table.clone() })
}

/// Takes our table away, if it is there: whether it was. Drops what waits in any queue of this network namespace, so
/// [`set_queueing`] off and empty the queues before.
pub fn remove() -> Result<bool, NftError> {
    let mut control = Control::open()?;
    for _ in 0..COMMIT_ATTEMPTS_MAX {
        let generation = control.generation()?;
        if !read::ours(&mut control)? {
            return Ok(false);
        }
        let mut transaction = Transaction::default();
        Scope::default().delete_table(&mut transaction);
        match control.commit(&transaction, Some(generation))? {
            Outcome::Done => return Ok(true),
            Outcome::Stale => {}
            Outcome::Refused(refusals) => return Err(first_refusal(refusals)),
        }
    }
    Err(NftError::Contended { attempts: COMMIT_ATTEMPTS_MAX })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    MustFit,
    MayGo,
}

fn install_how(table: &GateTable, existing: Existing) -> Result<Installed, NftError> {
    table.queues.check()?;
    let mut control = Control::open()?;
    let mut ways = WAYS.into_iter();
    let mut way = ways.next();
    let mut stale = 0;
    while let Some(installed) = way {
        match install_once(&mut control, table, existing, installed)? {
            Outcome::Done => return Ok(installed),
            Outcome::Stale => {
                stale += 1;
                if stale == COMMIT_ATTEMPTS_MAX {
                    return Err(NftError::Contended { attempts: stale });
                }
            }
            Outcome::Refused(refusals) => {
                way = ways.next();
                if !refusals.iter().all(lacks_expression) {
                    return Err(first_refusal(
                        refusals.into_iter().filter(|refusal| !lacks_expression(refusal)).collect(),
                    ));
                }
                if way.is_some_and(|way| way.mode == QueueMode::XtTarget) {
                    read::load_xt_target(&mut control)?;
                }
            }
        }
    }
    Err(NftError::NoQueue)
}

fn install_once(
    control: &mut Control,
    table: &GateTable,
    existing: Existing,
    way: Installed,
) -> Result<Outcome, NftError> {
    let generation = control.generation()?;
    let found = read::base_chains_if_ours(control)?;
    let chains = table.chains(way.mode, way.balance);
    let wanted: Vec<_> = chains.iter().filter_map(|chain| chain.base).collect();
    let fits = found.as_ref().is_none_or(|found| fits(found, &wanted));
    if !fits && existing == Existing::MustFit {
        return Err(NftError::HookDiffers {
            installed: read::describe(found.as_deref().unwrap_or_default()),
            wanted: read::describe(&wanted),
        });
    }
    let transaction = write(table, &chains, found.is_some() && !fits);
    control.commit(&transaction, Some(generation))
}

fn write(table: &GateTable, chains: &[Chain], delete_first: bool) -> Transaction {
    let scope = Scope::default();
    let mut transaction = Transaction::default();
    if delete_first {
        scope.delete_table(&mut transaction);
    }
    scope.add_table(&mut transaction);
    scope.add_objects(&mut transaction, table);
    if !table.flowtable.is_empty() {
        scope.add_flowtable(&mut transaction, &table.flowtable);
    }
    for chain in chains {
        scope.add_chain(&mut transaction, chain);
        scope.flush_chain(&mut transaction, chain.name);
        scope.add_rules(&mut transaction, chain);
    }
    transaction
}

/// Base chains that are there stay; missing ones can be added.
fn fits(found: &[model::Base], wanted: &[model::Base]) -> bool {
    found.iter().all(|base| wanted.contains(base))
}

/// An expression that this kernel does not have, of those that we have another way for.
fn lacks_expression(refusal: &Refusal) -> bool {
    refusal.errno == libc::ENOENT && matches!(refusal.expression.as_deref(), Some("queue" | "hash" | "target"))
}

fn is_about_flowtable(refusal: &Refusal) -> bool {
    refusal.step == lower::FLOWTABLE_STEP || refusal.expression.as_deref() == Some("flow_offload")
}

fn first_refusal(refusals: Vec<Refusal>) -> NftError {
    match refusals.into_iter().next() {
        Some(refusal) if refusal.errno == libc::EPERM => NftError::NotPermitted,
        Some(refusal) if is_about_flowtable(&refusal) => {
            NftError::NoFlowtable { source: io::Error::from_raw_os_error(refusal.errno) }
        }
        Some(refusal) => refusal.into(),
        None => NftError::NoQueue,
    }
}

#[cfg(test)]
mod tests;
