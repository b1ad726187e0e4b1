//! The program under test as a process: started, signalled, killed, and asked what it wrote.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::netns::Netns;
use super::{SLOW, queues, wait_until};

/// In a report of a failure.
const EVENTS_SHOWN_MAX: usize = 20;

/// The program as built, unless `TIDEGATE_BIN` says otherwise, as it does in a guest.
pub fn binary() -> PathBuf {
    std::env::var_os("TIDEGATE_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tidegate")), PathBuf::from)
}

/// Runs a command of the program inside a namespace and waits for its end.
pub fn tidegate(ns: &Netns, args: &[&str]) -> Output {
    ns.command(&binary().to_string_lossy()).args(args).output().expect("the program can be started")
}

/// The same, and what it printed; panics when it fails.
#[track_caller]
pub fn tidegate_ok(ns: &Netns, args: &[&str]) -> String {
    let output = tidegate(ns, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tidegate {}: {}\n{stderr}", args.join(" "), output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether our table is there and leads into the queues. The queue rules are the only ones that speak of queues.
pub fn queueing_is_installed(ns: &Netns) -> bool {
    let chain =
        ns.command("nft").args(["list", "chain", "inet", "tidegate", "gate"]).output().expect("nft is installed");
    chain.status.success() && String::from_utf8_lossy(&chain.stdout).to_lowercase().contains("queue")
}

/// Packets that a named counter of our table has counted.
#[track_caller]
pub fn counter(ns: &Netns, name: &str) -> u64 {
    let listed = ns.sh(&format!("nft list counter inet tidegate {name}"));
    let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no packets in: {listed}"))
}

/// A gate in a namespace, with a directory for its rules and logs. It may be started and ended many times; the logs go on.
/// Ended with `SIGKILL` on drop.
pub struct Gate<'n> {
    ns: &'n Netns,
    dir: TempDir,
    args: Vec<String>,
    queue_count: usize,
    child: Option<Child>,
}

impl<'n> Gate<'n> {
    /// A gate that is not running yet, with `rules` as its only rules.
    pub fn new(ns: &'n Netns, rules: &str) -> Gate<'n> {
        let dir = tempfile::Builder::new().prefix("tidegate-e2e-").tempdir().expect("a temporary directory");
        fs::write(dir.path().join("test.rules"), rules).expect("room for a rule file");
        Gate { ns, dir, args: Vec::new(), queue_count: 4, child: None }
    }

    /// A running gate with `rules`.
    #[track_caller]
    pub fn started(ns: &'n Netns, rules: &str) -> Gate<'n> {
        let mut gate = Gate::new(ns, rules);
        gate.start();
        gate
    }

    /// Adds arguments, split at blanks.
    #[must_use]
    pub fn with(mut self, args: &str) -> Gate<'n> {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// Uses the queues `first..first + count` in place of the default ones.
    #[must_use]
    pub fn with_queues(mut self, first: u16, count: u16) -> Gate<'n> {
        self.queue_count = usize::from(count);
        self.with(&format!("-q {first}:{}", first + count - 1))
    }

    /// Starts it and waits until it says that it is ready; it then has its queues.
    #[track_caller]
    pub fn start(&mut self) {
        let ready_before = self.ready_count();
        self.child = Some(self.command().spawn().expect("the program can be started"));
        let deadline = Instant::now() + SLOW;
        while self.ready_count() == ready_before {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child of ours"));
            assert!(ended.is_none(), "the gate ended at its start, {}:\n{}", ended.unwrap_or_default(), self.log());
            assert!(Instant::now() < deadline, "the gate is not ready after {SLOW:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(queues(self.ns).len(), self.queue_count, "queues of a gate that is ready:\n{}", self.log());
    }

    fn ready_count(&self) -> usize {
        self.log().lines().filter(|line| *line == "tidegate: ready").count()
    }

    /// The command line that [`Gate::start`] runs.
    pub fn command(&self) -> Command {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("room for a log");
        let duplicate = |file: &File| file.try_clone().expect("a free file descriptor");
        let mut command = self.ns.command(&binary().to_string_lossy());
        command
            .arg("run")
            .args(["-S", &self.path("test.rules")])
            .args(["-l", &self.path("")])
            .args(["--socket", &self.path("command.socket")])
            .args(&self.args)
            .stdout(duplicate(&log))
            .stderr(log)
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the gate runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("the gate runs");
    }

    /// `kill -9`, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(SLOW);
    }

    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the gate runs").id()
    }

    /// Asks for its rules to be read again, and does not wait.
    #[track_caller]
    pub fn reload(&self) {
        self.signal(Signal::USR2);
    }

    /// Waits until somebody else has killed it.
    #[track_caller]
    pub fn wait_until_killed(&mut self, limit: Duration) {
        let status = self.wait(limit);
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}:\n{}", self.log());
    }

    /// `SIGTERM`, and waits for an end that must be a good one.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(SLOW);
        assert!(status.success(), "a graceful stop ended with {status}:\n{}", self.log());
    }

    #[track_caller]
    fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("the gate runs");
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                return status;
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the gate did not end within {limit:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it wrote to standard output and error, over all starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// What the gate answers to `tidegate status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let answer = tidegate_ok(self.ns, &["status", "--json", "--socket", &self.path("command.socket")]);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("status: {error}: {answer}"))
    }

    /// All whole records of `eve.json` with this `event_type`.
    #[track_caller]
    pub fn events(&self, event_type: &str) -> Vec<Value> {
        let bytes = fs::read(self.path("eve.json")).unwrap_or_default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8(bytes[..whole].to_vec())
            .expect("eve.json is UTF-8")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("eve.json: {error}: {line}")))
            .filter(|event| event["event_type"] == event_type)
            .collect()
    }

    /// Alerts of one rule, in the order written.
    #[track_caller]
    pub fn alerts(&self, sid: u64) -> Vec<Value> {
        self.events("alert").into_iter().filter(|event| event["alert"]["signature_id"] == sid).collect()
    }

    /// Waits for at least `count` alerts of one rule and returns all that are there.
    #[track_caller]
    pub fn wait_for_alerts(&self, sid: u64, count: usize) -> Vec<Value> {
        wait_until(&format!("{count} alerts of {sid}; log:\n{}", self.log()), SLOW, || self.alerts(sid).len() >= count);
        self.alerts(sid)
    }

    pub fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_string_lossy().into_owned()
    }

    fn log_path(&self) -> PathBuf {
        Path::new(&self.path("log")).to_owned()
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the gate ---\n{}", self.log());
            let events = fs::read_to_string(self.path("eve.json")).unwrap_or_default();
            let telling = |line: &&str| {
                ["alert", "drop", "anomaly"].iter().any(|kind| line.contains(&format!("\"event_type\":\"{kind}\"")))
            };
            let told: Vec<&str> = events.lines().filter(telling).take(EVENTS_SHOWN_MAX).collect();
            eprintln!("--- eve.json, alerts, drops and anomalies ---\n{}", told.join("\n"));
        }
    }
}
