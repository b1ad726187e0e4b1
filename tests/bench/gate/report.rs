//! The table, as text while it is made and as JSON at the end.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::bed::Bed;
use super::contender::{Kind, Means};
use super::figures::{Percentiles, median};
use super::load::{Named, Outcome};
use super::targets;

/// One load over one contender, once.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub load: &'static str,
    pub contender: &'static str,
    pub value: f64,
    /// Microseconds of processor time of the contender, per packet that it has seen.
    pub user_us: f64,
    pub system_us: f64,
    pub seen: u64,
    /// Packets that it has not seen: the kernel failed open, or the connection was cleared.
    pub unseen: u64,
    pub latency: Option<Percentiles>,
}

impl Run {
    pub fn of(load: &Named, bed: &Bed, outcome: Outcome) -> Run {
        let counted = outcome.counted;
        let queued = bed.contender.kind != Kind::NoQueue;
        let seen = if queued { counted.seen() } else { 0 };
        let per_packet = |seconds: f64| if seen > 0 { seconds * 1e6 / seen as f64 } else { 0.0 };
        Run {
            load: load.name,
            contender: bed.contender.name,
            value: outcome.value,
            user_us: per_packet(counted.cpu.user),
            system_us: per_packet(counted.cpu.system),
            seen,
            unseen: if queued { counted.unseen() } else { 0 },
            latency: outcome.latency,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    pub about: String,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Absent {
    who: String,
    why: String,
}

/// Everything that was measured, and what could not be.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    rounds: usize,
    seconds: f64,
    pub runs: Vec<Run>,
    pub facts: Vec<Fact>,
    missing: Vec<Absent>,
    failed: Vec<Absent>,
    targets: Vec<targets::Target>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Machine {
    kernel: String,
    processors: usize,
    model: String,
    tidegate: &'static str,
    suricata: String,
    rules: String,
}

impl Report {
    pub fn new(means: &Means, rounds: usize, seconds: f64) -> Report {
        let first = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.rsplit(": ").next().unwrap_or_default().trim().to_owned()
        };
        let machine = Machine {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            model: first("/proc/cpuinfo", "model name"),
            tidegate: env!("CARGO_PKG_VERSION"),
            suricata: means.peer.as_ref().map_or_else(String::clone, |peer| peer.version.clone()),
            rules: means
                .rules
                .as_ref()
                .and_then(|file| file.file_name())
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        let mut report = Report {
            machine,
            rounds,
            seconds,
            runs: Vec::new(),
            facts: Vec::new(),
            missing: Vec::new(),
            failed: Vec::new(),
            targets: Vec::new(),
            text: String::new(),
        };
        let Machine { kernel, processors, model, tidegate, suricata, rules } = &report.machine;
        let head = format!(
            "tidegate {tidegate}, Suricata {suricata}, rules {rules}\n{processors} processors ({model}), Linux {kernel}\n\
             medians of {rounds} rounds of {seconds} s, in turn; ratios are to the first row\n"
        );
        report.say(&head);
        report
    }

    pub fn run(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub fn fact(&mut self, about: &str, what: &str, value: f64, unit: &'static str) {
        self.say(&format!("{about}: {what}: {value:.1} {unit}\n"));
        self.facts.push(Fact { about: about.to_owned(), what: what.to_owned(), value, unit });
    }

    pub fn memory(&mut self, about: &str, what: &str, mib: f64) {
        self.fact(about, &format!("memory, {what}"), mib, "MiB");
    }

    pub fn missing(&mut self, who: &str, why: &str) {
        self.say(&format!("{who}: MISSING: {why}\n"));
        self.missing.push(Absent { who: who.to_owned(), why: why.to_owned() });
    }

    pub fn failed(&mut self, who: &str, load: &str, why: &str) {
        self.say(&format!("{load}, {who}: FAILED: {why}\n"));
        self.failed.push(Absent { who: format!("{load}, {who}"), why: why.to_owned() });
    }

    /// The median of a load over a contender.
    pub fn value(&self, load: &str, contender: &str) -> Option<f64> {
        self.median_of(load, contender, |run| run.value)
    }

    pub fn fact_of(&self, about: &str, what: &str) -> Option<f64> {
        self.facts.iter().find(|fact| fact.about == about && fact.what == what).map(|fact| fact.value)
    }

    pub fn median_of(&self, load: &str, contender: &str, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        let value = median(self.runs_of(load, contender).map(figure));
        value.is_finite().then_some(value)
    }

    fn runs_of(&self, load: &str, contender: &str) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.load == load && run.contender == contender)
    }

    /// The table of one load.
    pub fn show(&mut self, load: &Named) {
        let mut text = format!(
            "\n{:<32} {:>12} {:>7}  {:>8} {:>8} {:>10}",
            load.name, load.unit, "ratio", "user us", "sys us", "unseen"
        );
        let probed = self.runs.iter().any(|run| run.load == load.name && run.latency.is_some());
        text += if probed { "       p99      p999\n" } else { "\n" };
        let mut first = None;
        let mut contenders: Vec<&'static str> = Vec::new();
        for run in self.runs.iter().filter(|run| run.load == load.name) {
            if !contenders.contains(&run.contender) {
                contenders.push(run.contender);
            }
        }
        for contender in contenders {
            let of = |figure: fn(&Run) -> f64| self.median_of(load.name, contender, figure).unwrap_or(f64::NAN);
            let value = of(|run| run.value);
            let ratio = value / *first.get_or_insert(value);
            let _ = write!(
                text,
                "{contender:<32} {value:>12.2} {ratio:>7.2}  {:>8.2} {:>8.2} {:>10.0}",
                of(|run| run.user_us),
                of(|run| run.system_us),
                of(|run| run.unseen as f64)
            );
            if probed {
                let p99 = of(|run| run.latency.map_or(f64::NAN, |latency| latency.p99));
                let p999 = of(|run| run.latency.map_or(f64::NAN, |latency| latency.p999));
                let _ = write!(text, " {p99:>9.1} {p999:>9.1}");
            }
            text.push('\n');
        }
        self.say(&text);
    }

    /// Writes both forms down.
    pub fn finish(mut self, out: &Path) -> Result<(), String> {
        self.targets = targets::judge(&self);
        let table = targets::table(&self.targets);
        self.say(&table);
        let json = serde_json::to_string_pretty(&self).map_err(|error| error.to_string())?;
        for (name, text) in [("gate.txt", &self.text), ("gate.json", &json)] {
            let file = out.join(name);
            fs::create_dir_all(out)
                .and_then(|()| fs::write(&file, text))
                .map_err(|error| format!("{}: {error}", file.display()))?;
            println!("written: {}", file.display());
        }
        Ok(())
    }

    pub fn say(&mut self, text: &str) {
        print!("{text}");
        self.text += text;
    }
}
