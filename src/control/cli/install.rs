//! `tidegate install` and `tidegate remove`: the nftables table without the program.

use std::process::ExitCode;

use anyhow::Context;

use super::common::{ConfigArgs, parse_queues, print};
use super::run::HookArg;
use crate::control::config::QueueNumbers;
use crate::control::{fates, gate};
use crate::kernel::nft::{self, Asked};

#[derive(clap::Args, Debug)]
pub struct InstallArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Queue numbers: 7400, or a range a:b.
    #[arg(short = 'q', value_name = "A:B", value_parser = parse_queues)]
    queues: Option<QueueNumbers>,
    /// Where to stand.
    #[arg(long, value_enum)]
    hook: Option<HookArg>,
    /// Only print the table, as `nft -f` takes it.
    #[arg(long)]
    print: bool,
    /// If our table stands at other hooks, make it anew there. Drops what waits in any queue of this namespace.
    #[arg(long)]
    replace: bool,
}

#[derive(clap::Args, Debug)]
pub struct RemoveArgs {}

pub fn install(args: InstallArgs) -> anyhow::Result<ExitCode> {
    let mut config = args.config.load()?;
    if let Some(queues) = args.queues {
        config.queue.numbers = queues;
    }
    if let Some(hook) = args.hook {
        config.gate.hook = hook.into();
    }
    if args.print {
        print(nft::print(&gate::table_of(&config, config.fate.place())).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let present = nft::present().context("cannot read the nftables table `inet tidegate`")?;
    let mut table = gate::table_of(&config, fates::choose(&config, true, present.as_ref())?);
    if let Some((generation, rules_hash)) = present.and_then(|present| present.rules) {
        (table.generation, table.rules_hash) = (generation, rules_hash);
    }
    let installed = if args.replace { nft::replace(&table) } else { nft::install(&table) };
    let installed = installed.context("cannot install the nftables table `inet tidegate`")?;
    print(&format!("table inet tidegate installed: {installed}"));
    Ok(ExitCode::SUCCESS)
}

pub fn remove(_args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let removed = nft::remove().context("cannot remove the nftables table `inet tidegate`")?;
    print(if removed { "table inet tidegate removed" } else { "there is no table inet tidegate" });
    for asked in Asked::ALL {
        if nft::stop_asking(asked).with_context(|| format!("cannot remove the table `{}`", asked.table()))? {
            print(&format!("table {} removed", asked.table()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
