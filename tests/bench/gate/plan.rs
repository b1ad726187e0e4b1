//! What is measured, how often and how long, and in which order.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::bed::Bed;
use super::contender::{self, Contender, Kind, Means};
use super::load::{self, Named};
use super::report::{Report, Run};
use super::suricata::Peer;
use super::{growth, overload};

pub const USAGE: &str = "usage: cargo bench --bench gate -- [quick] [rounds=N] [seconds=N] [loads=NAME,..] \
    [contenders='TEXT;..'] [parts=loads,growth,overload,memory] [out=DIR]
A contender takes part if its name begins with one of the texts. TIDEGATE_RULES: a rule file; TIDEGATE_CAPTURES: a folder for
the load `mix`; TIDEGATE_PEER: a folder with Suricata in it.";

pub struct Plan {
    quick: bool,
    rounds: usize,
    seconds: f64,
    loads: Vec<Named>,
    contenders: Vec<Contender>,
    parts: Vec<String>,
    out: PathBuf,
}

/// What the quick run leaves out: everything that says the same again.
const QUICK_LOADS: &[&str] = &["tcp-1", "tcp-both", "http-keep", "http-each", "udp-64", "udp-512", "latency"];
const QUICK_CONTENDERS: &[&str] = &[
    "no queue",
    "null, batches",
    "null, GSO, batches",
    "suricata, 31k rules",
    "tidegate, 0 rules",
    "tidegate, 31k rules",
    "tidegate, 31k, depth only",
    "tidegate, 31k, bypass",
];

impl Plan {
    pub fn read(arguments: &[String]) -> Result<Plan, String> {
        let quick = arguments.iter().any(|argument| argument == "quick");
        let mut plan = Plan {
            quick,
            rounds: if quick { 3 } else { 5 },
            seconds: if quick { 2.0 } else { 5.0 },
            loads: load::ALL.iter().filter(|load| !quick || QUICK_LOADS.contains(&load.name)).copied().collect(),
            contenders: contender::ALL
                .iter()
                .filter(|contender| !quick || QUICK_CONTENDERS.contains(&contender.name))
                .cloned()
                .collect(),
            parts: ["loads", "growth", "overload", "memory"].map(str::to_owned).to_vec(),
            out: Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench"),
        };
        for argument in arguments.iter().filter(|argument| *argument != "--bench" && *argument != "quick") {
            plan.take(argument).ok_or_else(|| format!("what is {argument}?"))?;
        }
        Ok(plan)
    }

    fn take(&mut self, argument: &str) -> Option<()> {
        let (key, value) = argument.split_once('=')?;
        let words: Vec<&str> = value.split(',').collect();
        match key {
            "rounds" => self.rounds = value.parse().ok()?,
            "seconds" => self.seconds = value.parse().ok()?,
            "loads" => self.loads = load::ALL.iter().filter(|load| words.contains(&load.name)).copied().collect(),
            "contenders" => {
                // Names hold commas themselves: a semicolon parts them.
                let texts: Vec<&str> = value.split(';').collect();
                let chosen = contender::ALL.iter().filter(|one| texts.iter().any(|text| one.name.starts_with(text)));
                self.contenders = chosen.cloned().collect();
            }
            "parts" => self.parts = words.into_iter().map(str::to_owned).collect(),
            "out" => self.out = PathBuf::from(value),
            _ => return None,
        }
        Some(())
    }

    pub fn run(&self) -> ExitCode {
        if !rustix::process::geteuid().is_root() {
            println!("gate: nothing measured: namespaces need root");
            return ExitCode::SUCCESS;
        }
        match self.measure() {
            Ok(()) => ExitCode::SUCCESS,
            Err(wrong) => {
                eprintln!("gate: {wrong}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self) -> Result<(), String> {
        let scratch =
            tempfile::Builder::new().prefix("tidegate-bench-").tempdir().map_err(|error| error.to_string())?;
        let means = Means { rules: rule_file(), peer: Peer::find(), scratch: scratch.path().to_owned() };
        let mut report = Report::new(&means, self.rounds, self.seconds);
        if self.has("loads") || self.has("memory") {
            let beds = self.make_beds(&means, &mut report);
            if self.has("loads") {
                self.run_loads(&beds, &mut report);
            }
            if self.has("overload") {
                overload::run(&beds, self.seconds, &mut report);
            }
        }
        if self.has("growth") {
            growth::run(&means, self.quick, &mut report);
        }
        report.finish(&self.out)
    }

    fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|chosen| chosen == part)
    }

    /// All of them at once: rules take their time to load.
    fn make_beds(&self, means: &Means, report: &mut Report) -> Vec<Bed> {
        let mut made = Vec::new();
        for (number, contender) in self.contenders.iter().enumerate() {
            match Bed::make(contender, number, means) {
                Ok(bed) => made.push(bed),
                Err(wrong) => report.missing(contender.name, &wrong),
            }
        }
        let mut ready = Vec::new();
        for mut bed in made {
            match bed.wait_ready() {
                Ok(()) => {
                    if let Some(server) = &bed.server_process
                        && matches!(bed.contender.kind, Kind::Suricata(_) | Kind::Tidegate { .. })
                    {
                        report.memory(bed.contender.name, "loaded", server.memory("VmRSS"));
                    }
                    ready.push(bed);
                }
                Err(wrong) => report.missing(bed.contender.name, &wrong),
            }
        }
        ready
    }

    fn run_loads(&self, beds: &[Bed], report: &mut Report) {
        for load in &self.loads {
            for round in 0..self.rounds {
                for bed in beds {
                    eprintln!("{} {}/{}: {}", load.name, round + 1, self.rounds, bed.contender.name);
                    match load.load.run(bed, self.seconds) {
                        Ok(outcome) => report.run(Run::of(load, bed, outcome)),
                        Err(wrong) => report.failed(bed.contender.name, load.name, &wrong),
                    }
                }
            }
            report.show(load);
        }
        for bed in beds {
            if let (Some(server), Kind::Suricata(_) | Kind::Tidegate { .. }) =
                (&bed.server_process, &bed.contender.kind)
            {
                report.memory(bed.contender.name, "after all loads, at most", server.memory("VmHWM"));
            }
        }
    }
}

fn rule_file() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let default = || root.join("../shared/testdata/rules/et-bench-31k.rules");
    Some(std::env::var_os("TIDEGATE_RULES").map_or_else(default, PathBuf::from)).filter(|file| file.exists())
}
