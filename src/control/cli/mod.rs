//! The command line: one file a command. Options mean what they mean to Suricata's users.

mod block;
mod check;
mod common;
mod doctor;
mod flows;
mod install;
mod keywords;
mod lab;
mod replay;
mod run;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An inline intrusion prevention system that stands on the kernel's connection tracking.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more (-v) or much more (-vv); TIDEGATE_LOG takes a filter such as `tidegate=debug`.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard this machine's traffic: receive from NFQUEUE, judge, answer.
    Run(run::Args),
    /// Read rules (and the configuration) and tell every mistake.
    Check(check::Args),
    /// Judge a capture file with the same code that judges live packets.
    Replay(replay::Args),
    /// Put our nftables table in place without running.
    Install(install::InstallArgs),
    /// Take our nftables table away.
    Remove(install::RemoveArgs),
    /// Ask a running gate how it is.
    Status(status::Args),
    /// The connections and their fates, as they are or as they change; end some of them.
    Flows(Box<flows::Args>),
    /// Say what this kernel offers, what is missing, and the way out.
    Doctor(doctor::Args),
    /// Try everything in three network namespaces: benign traffic passes, attacks do not.
    Lab(lab::Args),
    /// List the rule keywords and how far each is honoured.
    Keywords(keywords::Args),
    /// Block an address at once, also for connections that exist.
    Block(block::Args),
}

/// Runs the command that the arguments name. Errors go to standard error with their causes; exit code 1, or 2 for
/// arguments that do not parse.
#[must_use]
pub fn main() -> ExitCode {
    crate::kernel::memory::take_small_pages();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(args) => run::run(args, cli.verbose),
        Command::Check(args) => check::run(args),
        Command::Replay(args) => replay::run(args, cli.verbose),
        Command::Install(args) => install::install(args),
        Command::Remove(args) => install::remove(args),
        Command::Status(args) => status::run(args),
        Command::Flows(args) => flows::run(*args),
        Command::Doctor(args) => doctor::run(args),
        Command::Lab(args) => lab::run(args, cli.verbose),
        Command::Keywords(args) => keywords::run(args),
        Command::Block(args) => block::run(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            common::complain(&error);
            ExitCode::FAILURE
        }
    }
}
