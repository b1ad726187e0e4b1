//! Runs each scenario in a child of this program, inside a network namespace that is made for it and taken away again.

use std::env;
use std::process::{Command, ExitCode, Output, Stdio};

use caps::{CapSet, Capability};
use libtest_mimic::{Arguments, Failed, Trial};
use tidegate::kernel::queue::{Queue, QueueConfig};

use super::lane::NUMBER;

/// Name, body, and what the kernel must have for it.
pub type Scenario = (&'static str, fn(), Needs);

#[derive(Clone, Copy, PartialEq)]
pub enum Needs {
    Nothing,
    /// Conntrack entries with packets and verdicts, `NETFILTER_NETLINK_GLUE_CT`.
    GlueCt,
    /// To be asked for: `--ignored`.
    Measurement,
}

/// Not a scenario: asks whether conntrack comes along.
const PROBE: &str = "probe";
const INSIDE: &str = "TIDEGATE_TEST_SCENARIO";
/// A scenario that hangs is ended by `timeout` after so many seconds.
const SECONDS_MAX: &str = "60";

pub fn main(scenarios: &[Scenario]) -> ExitCode {
    if let Ok(name) = env::var(INSIDE) {
        return play(&name, scenarios);
    }
    let lack = lack();
    let glue_ct = lack.is_none() && run_inside(PROBE).is_ok();
    let trials = scenarios.iter().map(|&(name, _, needs)| {
        let missing = match needs {
            _ if lack.is_some() => lack,
            Needs::GlueCt if !glue_ct => Some("this kernel has no NETFILTER_NETLINK_GLUE_CT"),
            _ => None,
        };
        let title = missing.map_or(name.to_owned(), |missing| format!("{name} [skipped: {missing}]"));
        Trial::test(title, move || run_inside(name)).with_ignored_flag(missing.is_some() || needs == Needs::Measurement)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn play(name: &str, scenarios: &[Scenario]) -> ExitCode {
    if name == PROBE {
        let (_, report) = Queue::open(&QueueConfig::new(NUMBER)).unwrap();
        return if report.flags.conntrack { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (_, body, _) = scenarios.iter().find(|scenario| scenario.0 == name).unwrap();
    body();
    ExitCode::SUCCESS
}

/// Runs `body` without CAP_NET_ADMIN, in this thread.
pub fn without_net_admin<T>(body: impl FnOnce() -> T) -> T {
    caps::drop(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap();
    let result = body();
    caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap();
    result
}

fn lack() -> Option<&'static str> {
    let has = |program: &str, argument: &str| {
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false) {
        Some("network namespaces need root")
    } else if !has("ip", "-V") || !has("iptables", "-V") || !has("nft", "-v") {
        Some("ip, iptables and nft are needed")
    } else {
        None
    }
}

fn run_inside(name: &str) -> Result<(), Failed> {
    let namespace = Namespace::new(name)?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &namespace.name, "timeout", SECONDS_MAX]);
    command.arg(env::current_exe()?).env(INSIDE, name).stdin(Stdio::null());
    let output = command.output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    expect_success(&output)
}

struct Namespace {
    name: String,
}

impl Namespace {
    fn new(scenario: &str) -> Result<Namespace, Failed> {
        let name = format!("tg-{}-{scenario}", std::process::id());
        expect_success(&Command::new("ip").args(["netns", "add", &name]).output()?)?;
        Ok(Namespace { name })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn expect_success(output: &Output) -> Result<(), Failed> {
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said)).into())
}
