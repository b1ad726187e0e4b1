//! Options that several commands share, and how an error is told.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use crate::control::config::{Config, QueueNumbers};
use crate::control::rule_files::RuleFiles;

/// Where the configuration comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Configuration file (YAML, Suricata's key names). Without it, the defaults.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one key: --set vars.address-groups.HOME_NET=any
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// Reads and checks the configuration. Notices go to standard error; all mistakes are told at once.
    pub fn load(&self) -> anyhow::Result<Config> {
        self.load_logging_to(&LogArgs::default())
    }

    /// As [`ConfigArgs::load`], with `-l` as the last word on where logs go.
    pub fn load_logging_to(&self, log: &LogArgs) -> anyhow::Result<Config> {
        let mut set = self.set.clone();
        set.extend(log.log_dir.iter().map(|dir| format!("default-log-dir={}", dir.display())));
        let loaded = Config::load(self.config.as_deref(), &set)?;
        for notice in &loaded.notices {
            tracing::info!("{notice}");
        }
        Ok(loaded.config)
    }
}

/// Which rules are loaded.
#[derive(Args, Clone, Debug, Default)]
pub struct RuleArgs {
    /// Load these rules, too (a glob is fine; may be repeated).
    #[arg(short = 's', value_name = "RULES")]
    pub add: Vec<String>,
    /// Load only these rules (a glob is fine; may be repeated).
    #[arg(short = 'S', value_name = "RULES")]
    pub only: Vec<String>,
}

impl RuleArgs {
    /// The files that `config` and these options name.
    #[must_use]
    pub fn files(&self, config: &Config) -> RuleFiles {
        let mut files = RuleFiles::of_config(&config.rules);
        if !self.only.is_empty() {
            files.patterns = self.only.iter().map(PathBuf::from).collect();
        }
        files.patterns.extend(self.add.iter().map(PathBuf::from));
        files
    }
}

/// Where logs go: `-l` is `default-log-dir`.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// Directory for eve.json and fast.log.
    #[arg(short = 'l', long = "log-dir", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
}

/// `7400`, `7400:7403` or `7400-7403`.
pub fn parse_queues(text: &str) -> Result<QueueNumbers, String> {
    let (first, last) = text.split_once([':', '-']).unwrap_or((text, text));
    let number = |part: &str| {
        part.trim().parse::<u16>().map_err(|_| format!("`{part}` is no queue number: give 0 to 65535, or a range a:b"))
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("the range {first}:{last} runs backwards: write {last}:{first}"));
    }
    Ok(QueueNumbers { first, last })
}

/// Log lines go to standard error; packets never cause one.
pub fn start_logging(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let level = match verbose {
        0 => "tidegate=info",
        1 => "tidegate=debug",
        _ => "tidegate=trace",
    };
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A second call (lab starts run in-process in tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

/// One line on standard output. A closed pipe (`| head`) is the reader's choice, not an error.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// One error with its causes, as a person reads it.
#[allow(clippy::print_stderr)]
pub fn complain(error: &anyhow::Error) {
    eprintln!("tidegate: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_ranges_read_as_suricata_users_write_them() {
        let range = |first, last| Ok(QueueNumbers { first, last });
        assert_eq!(parse_queues("3"), range(3, 3));
        assert_eq!(parse_queues("0:3"), range(0, 3));
        assert_eq!(parse_queues("7400-7403"), range(7400, 7403));
        for wrong in ["", "x", "3:1", "70000", "1:"] {
            assert!(parse_queues(wrong).is_err(), "{wrong}");
        }
    }
}
