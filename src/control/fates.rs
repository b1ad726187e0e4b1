//! Where fates are to stand: what the configuration asks for, what the kernel offers, and who else uses the same bits.

use anyhow::{Context, bail};

use super::config::{Config, FateStore as Wanted};
use super::gate;
use crate::kernel::conntrack::ConntrackSocket;
use crate::kernel::namespace::in_fresh_network;
use crate::kernel::nft::{self, Present};
use crate::packet::conntrack::Fate;
use crate::packet::fate::FateStore;

/// Other users named one by one; of more only the number is told.
const NAMED_MAX: usize = 5;

/// Chooses, and says in the log who else was found at the same bits. `present` is our table as a former run left it.
///
/// # Errors
/// When labels are asked for and the kernel has none, or the ruleset cannot be read.
pub fn choose(config: &Config, installs: bool, present: Option<&Present>) -> anyhow::Result<FateStore> {
    if config.fate.flowtable.on && !installs {
        bail!("fate.flowtable: the flowtable is part of our table, which --no-install (gate.install: no) keeps out");
    }
    let mark = FateStore::Mark(config.fate.mask);
    let labels = FateStore::Labels(config.fate.labels);
    let users = |store| Users::of(config, store, present);
    let chosen = match config.fate.store {
        Wanted::Mark => mark,
        Wanted::Label if has_labels() == Some(false) => {
            bail!("fate.store: label: this kernel has no conntrack labels (NF_CONNTRACK_LABELS); use `mark` or `auto`")
        }
        Wanted::Label => labels,
        // The rules of somebody else look at the mark, as those that we ship for that do.
        Wanted::Auto if !installs => mark,
        // What stands is kept: the fates of living connections are there.
        Wanted::Auto if kept(present, mark, labels).is_some() => kept(present, mark, labels).unwrap_or(mark),
        Wanted::Auto => {
            let others = users(mark)?;
            if others.is_empty() || has_labels() != Some(true) || !users(labels)?.is_empty() {
                mark
            } else {
                tracing::info!("fates go to {labels}, for others use {mark}: {others}");
                labels
            }
        }
    };
    let others = users(chosen)?;
    if !others.is_empty() {
        tracing::warn!(
            "fates stand in {chosen}, and others use them, too: {others}; see fate.store, fate.mask, fate.label"
        );
    }
    if chosen == labels && !installs {
        tracing::warn!(
            "fate.store: label: your rules must set a label somewhere, or connections have no room for fates"
        );
    }
    let legacy = nft::legacy_tables();
    if !legacy.is_empty() {
        tracing::info!("what iptables-legacy has in its tables ({}) cannot be seen from here", legacy.join(", "));
    }
    Ok(chosen)
}

/// The store of the table that stands, if it is one of those that the configuration means.
fn kept(present: Option<&Present>, mark: FateStore, labels: FateStore) -> Option<FateStore> {
    present?.fates.filter(|store| *store == mark || *store == labels)
}

/// `None` where it cannot be found out.
fn has_labels() -> Option<bool> {
    in_fresh_network(nft::probe).ok()?.ok()?.labels
}

/// Who else uses a store.
struct Users {
    rules: Vec<String>,
    connections: u64,
}

impl Users {
    fn of(config: &Config, store: FateStore, present: Option<&Present>) -> anyhow::Result<Users> {
        let table = gate::table_of(config, store);
        let conflicts = nft::conflicts(&table).context("cannot read the ruleset")?;
        let fated = conflicts.into_iter().filter(|conflict| conflict.kind.is_about_fates());
        // With our table in place, what stands there was left by us.
        let ours = present.is_some_and(|present| present.fates == Some(store));
        let connections = if ours { 0 } else { entries_with_fate(store).context("cannot read the connections")? };
        Ok(Users { rules: fated.map(|conflict| conflict.to_string()).collect(), connections })
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.connections == 0
    }
}

impl std::fmt::Display for Users {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut named: Vec<String> = self.rules.iter().take(NAMED_MAX).cloned().collect();
        if let Some(more) = self.rules.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            named.push(format!("{more} more rules"));
        }
        if self.connections > 0 {
            named.push(format!("{} connections that have them set", self.connections));
        }
        out.write_str(&named.join("; "))
    }
}

/// Entries in which these bits would read as a fate.
fn entries_with_fate(store: FateStore) -> anyhow::Result<u64> {
    let mut count = 0u64;
    let mut socket = ConntrackSocket::open()?;
    match store {
        // The kernel picks them out.
        FateStore::Mark(mask) => {
            for fate in [Fate::Pass, Fate::Drop, Fate::Reject] {
                count = count.saturating_add(socket.dump_marked(mask.encode(fate), mask.fate_bits(), |_| {})?.entries);
            }
        }
        FateStore::Labels(_) => {
            socket.dump(|entry| count = count.saturating_add(u64::from(store.decode(entry) != Fate::Inspect)))?;
        }
    }
    Ok(count)
}
