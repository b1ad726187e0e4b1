//! Who serves the queue: nobody, a loop that accepts everything, the peer, or the gate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::netns::Netns;
use super::null::{Null, SERVE};
use super::suricata::Peer;

/// How long rules may take to load while every other contender loads its own.
const READY_MAX: Duration = Duration::from_secs(240);

/// What stands in the way of the packets.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    pub name: &'static str,
    pub kind: Kind,
    pub queues: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    NoQueue,
    Null(Null),
    /// With so many rules, at most.
    Suricata(usize),
    Tidegate {
        rules: usize,
        settings: &'static str,
    },
}

/// All that can take part; the first column of every table.
pub const ALL: &[Contender] = &[
    one("no queue", Kind::NoQueue),
    one("null", Kind::Null(Null { batch: 1, gso: false, nfq: false })),
    one("null, batches", Kind::Null(Null { batch: 64, gso: false, nfq: false })),
    one("null, GSO", Kind::Null(Null { batch: 1, gso: true, nfq: false })),
    one("null, GSO, batches", Kind::Null(Null { batch: 64, gso: true, nfq: false })),
    one("nfq crate, GSO", Kind::Null(Null { batch: 1, gso: true, nfq: true })),
    one("suricata, 0 rules", Kind::Suricata(0)),
    one("suricata, 31k rules", Kind::Suricata(usize::MAX)),
    one("tidegate, 0 rules", Kind::Tidegate { rules: 0, settings: "" }),
    one("tidegate, 1k rules", Kind::Tidegate { rules: 1_000, settings: "" }),
    one("tidegate, 10k rules", Kind::Tidegate { rules: 10_000, settings: "" }),
    one("tidegate, 31k rules", Kind::Tidegate { rules: usize::MAX, settings: "" }),
    one(
        "tidegate, 31k, depth only",
        Kind::Tidegate { rules: usize::MAX, settings: "stream.reassembly.beyond-depth=nothing" },
    ),
    one("tidegate, 31k, bypass", Kind::Tidegate { rules: usize::MAX, settings: "stream.bypass=yes" }),
    two("null, GSO, batches, 2 queues", Kind::Null(Null { batch: 64, gso: true, nfq: false })),
    two("suricata, 31k, 2 queues", Kind::Suricata(usize::MAX)),
    two("tidegate, 31k, 2 queues", Kind::Tidegate { rules: usize::MAX, settings: "" }),
];

const fn one(name: &'static str, kind: Kind) -> Contender {
    Contender { name, kind, queues: 1 }
}

const fn two(name: &'static str, kind: Kind) -> Contender {
    Contender { name, kind, queues: 2 }
}

/// The same for all contenders.
pub struct Means {
    pub rules: Option<PathBuf>,
    pub peer: Result<Peer, String>,
    /// Rule files, logs and sockets.
    pub scratch: PathBuf,
}

/// Processor time of a process, all threads, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

/// The process that serves a bed's queues; killed when nobody needs it any more.
pub struct Server {
    child: Child,
    log: PathBuf,
    ready: &'static str,
    pub dir: PathBuf,
}

impl Contender {
    /// Starts it in `gateway`; `None` where nobody is to be started. What cannot be had says why.
    pub fn start(&self, gateway: &Netns, number: usize, means: &Means) -> Result<Option<Server>, String> {
        let dir = means.scratch.join(format!("{number}"));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let (mut command, ready) = match &self.kind {
            Kind::NoQueue => return Ok(None),
            Kind::Null(null) => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = gateway.command(&own.to_string_lossy());
                command.arg(SERVE).args(null.arguments(self.queues));
                (command, "null: ready")
            }
            Kind::Suricata(count) => {
                let peer = means.peer.as_ref().map_err(String::clone)?;
                let rules = rules_of(means, *count, &dir)?;
                (peer.command(gateway, number, &rules, self.queues)?, "Engine started")
            }
            Kind::Tidegate { rules, settings } => {
                let rules = rules_of(means, *rules, &dir)?;
                (tidegate(gateway, &dir, &rules, self.queues, settings), "tidegate: ready")
            }
        };
        let log = dir.join("output");
        let open = || fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()));
        let output = open()?;
        command.stdout(output.try_clone().map_err(|error| error.to_string())?).stderr(output);
        let child = command.spawn().map_err(|error| format!("cannot start: {error}"))?;
        if matches!(self.kind, Kind::Null(_) | Kind::Suricata(_)) {
            queue_all(gateway, self.queues);
        }
        Ok(Some(Server { child, log, ready, dir }))
    }
}

/// The xtables target: this is what every contender is fed by where the kernel has no queue statement.
fn queue_all(gateway: &Netns, queues: u16) {
    let numbers = match queues {
        1 => "--queue-num 0".to_owned(),
        _ => format!("--queue-balance 0:{}", queues - 1),
    };
    gateway.sh(&format!("iptables -w -A FORWARD -j NFQUEUE {numbers} --queue-bypass"));
}

fn tidegate(gateway: &Netns, dir: &Path, rules: &Path, queues: u16, settings: &str) -> Command {
    let mut command = gateway.command(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").arg("-S").arg(rules).arg("-l").arg(dir).arg("--socket").arg(dir.join("socket"));
    command.arg("-q").arg(format!("0:{}", queues - 1));
    for setting in settings.split_whitespace() {
        command.arg("--set").arg(setting);
    }
    command
}

/// The first `count` rules of the file.
fn rules_of(means: &Means, count: usize, dir: &Path) -> Result<PathBuf, String> {
    let path = dir.join("bench.rules");
    let text = match (&means.rules, count) {
        (_, 0) => String::new(),
        (None, _) => return Err("no rules: give TIDEGATE_RULES".to_owned()),
        (Some(file), _) => fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
    };
    let rules = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).take(count);
    let rules = rules.collect::<Vec<_>>().join("\n");
    fs::write(&path, rules + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

impl Server {
    /// Waits until it says that it is ready.
    pub fn wait_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            if said.contains(self.ready) {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                return Err(format!("did not become ready: {}", last.join(" | ")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn cpu(&self) -> Cpu {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // The name may hold blanks; what follows its parenthesis does not. utime and stime are fields 14 and 15.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let seconds =
            |place: usize| fields.get(place).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
        Cpu { user: seconds(11), system: seconds(12) }
    }

    /// `VmRSS` or `VmHWM`, in MiB.
    pub fn memory(&self, what: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A helper program of a load, killed when nobody needs it any more.
pub struct Helper(Child);

impl Helper {
    pub fn start(mut command: Command) -> Result<Helper, String> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Helper).map_err(|error| format!("{:?}: {error}", command.get_program()))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
