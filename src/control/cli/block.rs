//! `tidegate block`: addresses that the kernel refuses before anything is queued.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use super::common::print;
use crate::kernel::nft::{self, Block};

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
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last().unwrap_or('s')),
        None => (text, 's'),
    };
    let scale = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => 1,
    };
    let seconds =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is no time: write 90s, 10m, 2h or 1d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "m", "0", "-1s", "1w", "99999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
