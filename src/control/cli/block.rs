//! `tidegate block`: addresses that the kernel refuses before anything is queued.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use super::common::print;
use crate::kernel::nft::{self, Block};
use crate::rules::block;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Block everything from an address, connections that exist included.
    Add {
        address: IpAddr,
        /// For how long, such as 90s, 10m, 2h, 1d; for ever without it.
        #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
        time: Option<Duration>,
    },
    /// Let an address pass again.
    Del { address: IpAddr },
    /// Who is blocked, and for how long yet.
    List,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Add { address, time } => {
            nft::block(&[Block { source: address, expires: time }])
                .with_context(|| format!("cannot block {address}"))?;
            print(&format!("{address} is blocked"));
        }
        What::Del { address } => {
            nft::unblock(&[address]).with_context(|| format!("cannot unblock {address}"))?;
            print(&format!("{address} is not blocked"));
        }
        What::List => {
            for block in nft::blocked().context("cannot read the block sets")? {
                print(&match block.expires {
                    Some(left) => format!("{}  for another {} s", block.source, left.as_secs()),
                    None => format!("{}  for good", block.source),
                });
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A number with `s`, `m`, `h` or `d`; seconds without a unit.
fn parse_duration(text: &str) -> Result<Duration, String> {
    block::duration(text).ok_or_else(|| format!("`{text}` is no time: write 90s, 10m, 2h or 1d"))
}
