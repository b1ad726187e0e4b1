//! `tidegate lab`: see [`crate::control::lab`].

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use anyhow::Context;

use crate::control::lab::{self, Interrupt, Options, Progress};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Leave everything standing for looking around, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// List what would be sent, and the labs that stand; send nothing.
    #[arg(long)]
    list: bool,
}

/// Exit code 0 if everything was as it should be, 1 if not.
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub fn run(args: Args, _verbose: u8) -> anyhow::Result<ExitCode> {
    if args.list {
        println!("{}", lab::list());
        return Ok(ExitCode::SUCCESS);
    }
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    let options = Options { program: std::env::current_exe().context("where is this program?")?, keep: args.keep };
    let say_steps = stderr().is_terminal() || args.keep;
    let mut tell = |progress: Progress<'_>| match progress {
        Progress::Step(step) if say_steps => eprintln!("lab: {step} ..."),
        Progress::Step(_) => {}
        Progress::Standing { report, hints } => {
            print!("{}", report.render(stdout().is_terminal()));
            println!("\nThe lab stands. Look around:\n{hints}");
        }
    };
    let report = lab::run(&options, &interrupt, &mut tell)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else if args.keep {
        print!("{}", report.render_checks(stdout().is_terminal()));
    } else {
        print!("{}", report.render(stdout().is_terminal()));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
