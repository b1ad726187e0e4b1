//! What a scenario is, and how one is run: always in a process of its own, so that a hang, a panic or a thread left
//! behind harms nobody, and so that the namespaces it made can be told from everybody else's.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::scenarios;
use crate::toolbox::{self, netns};

const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// One end-to-end test. It passes by returning and fails by panicking.
pub struct Scenario {
    pub name: &'static str,
    pub needs: &'static [Need],
    /// Seconds that the scenario may take on this kernel, [`toolbox::SLOW`] aside; emulated ones get [`SLOW_FACTOR`] times as
    /// many.
    pub seconds_max: u64,
    pub run: fn(),
}

impl Scenario {
    /// What waits in vain is to tell of it before the whole is ended.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.seconds_max) + toolbox::SLOW
    }
}

/// How much longer things may take under emulation.
pub const SLOW_FACTOR: u32 = 4;

/// What a scenario asks of the kernel, beside network namespaces and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// nfnetlink_queue, reached by any means: the nft `queue` statement or the xt target.
    Queue,
    /// The nft `queue` statement with its expression form (`NFT_QUEUE`).
    NftQueue,
    /// The conntrack entry in the queue message (`NETFILTER_NETLINK_GLUE_CT`).
    QueueConntrack,
    /// A control group that limits memory.
    MemoryLimit,
    /// Devices of the kind `vrf`.
    Vrf,
    /// A machine to take modules away from: never the one at hand.
    Guest,
    /// Somebody who wants it (`TIDEGATE_MILLION=1`): it takes long, or much of the machine.
    Asked,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome {
    Passed { output: String },
    Failed { output: String },
}

/// The body of the process that [`run_as_process`] starts.
pub fn run_here(name: &str) -> ExitCode {
    let Some(scenario) = scenarios::ALL.iter().find(|scenario| scenario.name == name) else {
        eprintln!("no scenario is called {name}");
        return ExitCode::FAILURE;
    };
    (scenario.run)();
    ExitCode::SUCCESS
}

/// Runs one scenario in a process of its own.
pub fn run_as_process(name: &str, timeout: Duration) -> Outcome {
    match std::env::current_exe() {
        Ok(exe) => run_command(Command::new(exe).args(["scenario", name]), timeout),
        Err(error) => Outcome::Failed { output: format!("who am I? {error}") },
    }
}

/// Runs a command in a process group of its own and leaves nothing of it behind, neither processes nor namespaces.
pub fn run_command(command: &mut Command, timeout: Duration) -> Outcome {
    match try_run_command(command, timeout) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed { output: format!("cannot run {command:?}: {error}") },
    }
}

fn try_run_command(command: &mut Command, timeout: Duration) -> std::io::Result<Outcome> {
    // A file and not a pipe: a process left behind cannot keep us waiting for its end.
    let mut log = tempfile::tempfile()?;
    let mut child = command
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .process_group(0)
        .spawn()?;
    let pid = child.id();

    let deadline = Instant::now() + timeout;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => break None,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    if let Some(group) = Pid::from_raw(i32::try_from(pid).unwrap_or(0)) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_none() {
        let _ = child.wait();
    }
    netns::delete_all_of(pid);

    let output = read_output(&mut log)?;
    Ok(match status {
        Some(status) if status.success() => Outcome::Passed { output },
        Some(status) => Outcome::Failed { output: format!("{output}\n{status}") },
        None => Outcome::Failed { output: format!("{output}\nstill running after {timeout:?}, killed") },
    })
}

fn read_output(log: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    // The end is what tells.
    let len = log.metadata()?.len();
    log.seek(SeekFrom::Start(len.saturating_sub(OUTPUT_BYTES_MAX)))?;
    log.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Last lines of a text file, for messages about something that ended badly.
pub fn tail_of(path: &Path, line_count: usize) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(line_count)..].join("\n")
}
