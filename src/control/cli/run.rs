//! `tidegate run`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::common::{ConfigArgs, LogArgs, RuleArgs, parse_queues, start_logging};
use crate::control::config::{GateHook, QueueNumbers};
use crate::control::daemon::{self, RunOptions};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    log: LogArgs,
    /// Queues to serve, a thread each: 7400, or a range a:b.
    #[arg(short = 'q', value_name = "A:B", value_parser = parse_queues)]
    queues: Option<QueueNumbers>,
    /// Where to stand: what this machine forwards, what it sends and receives itself, or all that arrives.
    #[arg(long, value_enum)]
    hook: Option<HookArg>,
    /// Make no nftables table: serve as the queue target of rules that somebody else wrote.
    #[arg(long)]
    no_install: bool,
    /// Take the table away at the end. Without this it stays: fates and blocks hold, everything else passes.
    #[arg(long)]
    remove_on_exit: bool,
    /// The control socket.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HookArg {
    Forward,
    Host,
    Prerouting,
}

impl From<HookArg> for GateHook {
    fn from(hook: HookArg) -> GateHook {
        match hook {
            HookArg::Forward => GateHook::Forward,
            HookArg::Host => GateHook::Host,
            HookArg::Prerouting => GateHook::Prerouting,
        }
    }
}

pub fn run(args: Args, verbose: u8) -> anyhow::Result<ExitCode> {
    start_logging(verbose);
    let mut config = args.config.load_logging_to(&args.log)?;
    if let Some(queues) = args.queues {
        config.queue.numbers = queues;
    }
    if let Some(hook) = args.hook {
        config.gate.hook = hook.into();
    }
    if let Some(socket) = args.socket {
        config.service.unix_command.filename = socket;
    }
    let options = RunOptions {
        rules: args.rules.files(&config),
        install: config.gate.install && !args.no_install,
        remove_on_exit: config.gate.remove_on_exit || args.remove_on_exit,
    };
    daemon::run(config, options)?;
    Ok(ExitCode::SUCCESS)
}
