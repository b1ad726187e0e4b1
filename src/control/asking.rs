//! Behind rules of others: that the kernel tracks connections at all, and goes on doing so.
//!
//! Our own table asks about connections. Rules of others may not, and then every packet would be alone; see
//! [`crate::kernel::nft::Asked`]. `flush ruleset`, with which many firewalls reload, takes our question away with
//! everything else, so it is put back.

use anyhow::{Context, bail};

use super::config::{BrNetfilter, Config};
use super::gate;
use crate::kernel::nft::{self, Asked, ConflictKind, WhoAsks};
use crate::kernel::probe::TwofoldBridge;

/// What this gate asks about. Nothing where a table of its own does.
#[derive(Debug, Default)]
pub struct Asking {
    asked: Vec<Asked>,
    /// What nobody had left there before this start.
    made: Vec<Asked>,
}

impl Asking {
    /// Has the kernel track what others' rules queue to us.
    ///
    /// # Errors
    /// When bridged packets are queued to us, and the kernel cannot track them; when the ruleset cannot be read or changed.
    pub fn begin(config: &Config, installs: bool) -> anyhow::Result<Asking> {
        if installs {
            return Ok(Asking::default());
        }
        if !config.conntrack.ask {
            warn_if_nobody_asks(nft::who_asks().context("cannot read the ruleset")?);
            return Ok(Asking::default());
        }
        let mut asking = Asking::default();
        for asked in Asked::ALL {
            if (asked == Asked::Ip || bridges_queue_to(config)?)
                && let Err(error) = asking.ask(asked)
            {
                asking.undo();
                return Err(error);
            }
        }
        Ok(asking)
    }

    fn ask(&mut self, asked: Asked) -> anyhow::Result<()> {
        let table = asked.table();
        let was_there = nft::is_asking(asked).with_context(|| format!("cannot read the table `{table}`"))?;
        nft::ask(asked).with_context(|| match asked {
            Asked::Ip => format!("cannot make the table `{table}`, which has the kernel track connections"),
            Asked::Bridge => {
                "rules of the bridge family queue to us, and this kernel cannot track bridged connections \
                 (NF_CONNTRACK_BRIDGE): every packet would be alone. Queue from an inet table instead, with \
                 net.bridge.bridge-nf-call-iptables=1 and bridge-nf-call-ip6tables=1 (br_netfilter), or say \
                 `conntrack.ask: no` if that is what you want"
                    .to_owned()
            }
        })?;
        self.asked.push(asked);
        if !was_there {
            tracing::info!("the table `{table}` has the kernel track connections; no packet meets it");
            self.made.push(asked);
        }
        Ok(())
    }

    /// Puts back what somebody took away.
    pub fn keep(&self) {
        for asked in &self.asked {
            let table = asked.table();
            match nft::is_asking(*asked) {
                Ok(true) => {}
                Ok(false) => match nft::ask(*asked) {
                    Ok(()) => tracing::warn!("somebody took the table `{table}` away: it is there again"),
                    Err(error) => tracing::error!("the table `{table}` is gone and cannot be made again: {error}"),
                },
                Err(error) => tracing::error!("cannot look for the table `{table}`: {error}"),
            }
        }
    }

    /// The start failed: everything is as it was.
    pub fn undo(&self) {
        remove(&self.made);
    }

    /// At a stop: connections stay known without us, unless told to clean up.
    pub fn end(&self, clean_up: bool) {
        if clean_up {
            remove(&self.asked);
        }
    }
}

/// Bridged packets that two families have at once are not guarded.
///
/// # Errors
/// When they are queued to us, unless the user allows it; when the ruleset cannot be read.
pub fn refuse_twofold_bridges(config: &Config) -> anyhow::Result<()> {
    let queues = gate::table_of(config, config.fate.place()).queues;
    let Some(twofold) = TwofoldBridge::here(queues).context("cannot read the ruleset")? else { return Ok(()) };
    if twofold.is_ours && config.conntrack.br_netfilter == BrNetfilter::Refuse {
        bail!("{twofold}. {}; or say `conntrack.br-netfilter: allow` if that is what you want", twofold.way_out());
    }
    tracing::warn!("{twofold}. {}", twofold.way_out());
    Ok(())
}

/// Without its entry a packet does not show its zone: connections of two networks would be taken for one.
///
/// # Errors
/// When a rule sets zones, or the ruleset cannot be read.
pub fn refuse_zones() -> anyhow::Result<()> {
    if let Some(rule) = nft::zone_rules().context("cannot read the ruleset")?.first() {
        bail!(
            "the rule {rule} sets conntrack zones, and this kernel gives no conntrack entry with a packet \
             (NETFILTER_NETLINK_GLUE_CT): connections with the same addresses in two zones could not be told apart"
        );
    }
    Ok(())
}

fn remove(asked: &[Asked]) {
    for asked in asked {
        if let Err(error) = nft::stop_asking(*asked) {
            tracing::error!("the table `{}` stays: {error}", asked.table());
        }
    }
}

fn bridges_queue_to(config: &Config) -> anyhow::Result<bool> {
    let table = gate::table_of(config, config.fate.place());
    let conflicts = nft::conflicts(&table).context("cannot read the ruleset")?;
    Ok(conflicts.iter().any(|conflict| conflict.on_bridge && matches!(conflict.kind, ConflictKind::Queue(_))))
}

fn warn_if_nobody_asks(asks: WhoAsks) {
    // iptables-legacy may ask, too, and cannot be read.
    if !nft::legacy_tables().is_empty() {
        return;
    }
    for (version, asked) in [("IPv4", asks.ipv4), ("IPv6", asks.ipv6)] {
        if !asked {
            tracing::warn!(
                "no rule asks about {version} connections, so the kernel tracks none, and conntrack.ask is `no`: every \
                 packet is judged as if it were alone, and what was dropped may come again"
            );
        }
    }
}
