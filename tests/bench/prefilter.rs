//! The prefilter beside other ways of looking for the same literals in the same bytes: `cargo bench --bench prefilter`.
//!
//! The literals are those of the largest group of a rule set (`TIDEGATE_RULES`, Emerging Threats of the test data by
//! default), the bytes are the payloads of all captures of the test data. Each way runs in turn, round after round; the
//! figures are medians of processor time, and ratios to ours. `TIDEGATE_DUMP=DIR` leaves literals and payloads there for programs in
//! other languages (`tests/bench/hyperscan.c`).

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a bench has nobody to hand an error to

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use daachorse::DoubleArrayAhoCorasick;
use tidegate::control::replay::{self, DestroyedEntry, ReplayOptions, ReplaySink};
use tidegate::packet::decode;
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::packet::verdict::Action;
use tidegate::rules::plan::Toward;
use tidegate::rules::prefilter::{Length, Prefilter};
use tidegate::rules::ruleset::Class;
use tidegate::rules::{self, Context, Options, Source, Vars};

const ROUNDS: usize = 5;

fn main() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata");
    let file = std::env::var_os("TIDEGATE_RULES").map_or(data.join("rules/et-bench-31k.rules"), PathBuf::from);
    let mut sink = Payloads::default();
    let fed = replay::feed(&data.join("traffic/pcaps"), ReplayOptions::default(), &mut sink);
    let payloads = sink.0;
    let (Ok(text), Ok(_)) = (std::fs::read_to_string(&file), fed) else {
        println!("prefilter: no rules or no captures at {}: nothing measured", data.display());
        return;
    };
    let context = Context { vars: Vars::standard(), ..Context::default() };
    let compiled = rules::compile(&[Source::new("bench.rules", &text)], &context, &Options::default());
    let group = compiled.set.group(Class::Tcp, Some(Toward::Server));
    let literals: Vec<Vec<u8>> = group.payload.literals().map(<[u8]>::to_vec).collect();
    let lowered: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.to_ascii_lowercase()).collect();
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    println!("{} literals, {} payloads, {bytes} bytes", literals.len(), payloads.len());
    dump(&literals, &payloads);

    let numbered: Vec<(Vec<u8>, u32)> = literals.iter().cloned().zip(0..).collect();
    let (ours, _) = Prefilter::build(&numbered, Length::Long);
    let automaton =
        |kind| AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(kind)).build(&literals).unwrap();
    let (contiguous, dfa) = (automaton(AhoCorasickKind::ContiguousNFA), automaton(AhoCorasickKind::DFA));
    let daachorse = DoubleArrayAhoCorasick::<u32>::new(&literals).unwrap();

    type Way<'w> = (&'w str, Box<dyn Fn() -> usize + 'w>);
    let ways: [Way<'_>; 4] = [
        ("windows (ours)", Box::new(|| count(&payloads, |payload, found| ours.scan(payload, |_| true, |_| found())))),
        ("aho-corasick, contiguous NFA", Box::new(|| overlapping(&contiguous, &payloads))),
        ("aho-corasick, DFA", Box::new(|| overlapping(&dfa, &payloads))),
        (
            "daachorse, on lower-cased bytes",
            Box::new(|| {
                count(&lowered, |payload, found| {
                    daachorse.find_overlapping_iter(payload).for_each(|_| found());
                })
            }),
        ),
    ];
    let mut times = vec![Vec::new(); ways.len()];
    let mut hits = vec![0; ways.len()];
    for _ in 0..ROUNDS {
        for ((way, times), hits) in ways.iter().zip(&mut times).zip(&mut hits) {
            let started = cpu_time();
            *hits = way.1();
            times.push(cpu_time() - started);
        }
    }
    let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
    for (((name, _), median), hits) in ways.iter().zip(&medians).zip(&hits) {
        let nanos = median.as_nanos() as f64 / bytes as f64;
        let ratio = median.as_secs_f64() / medians.first().unwrap().as_secs_f64();
        println!("{name:34} {nanos:6.2} ns a byte  {ratio:5.2} times ours  {hits} hits");
    }
    println!("ours holds {} KiB, the DFA {} KiB", ours.memory_bytes() >> 10, dfa.memory_usage() >> 10);
}

/// Takes what transport headers carry.
#[derive(Default)]
struct Payloads(Vec<Vec<u8>>);

impl ReplaySink for Payloads {
    fn packet(&mut self, packet: &Ingress<'_>, _: Timestamp) -> Action {
        if let Some(headers) = decode::decode_ingress(packet).headers {
            self.0.push(headers.payload.to_vec());
        }
        Action::Accept
    }

    fn destroyed(&mut self, _: &DestroyedEntry) {}
}

fn count(payloads: &[Vec<u8>], scan: impl Fn(&[u8], &mut dyn FnMut())) -> usize {
    let mut hits = 0;
    for payload in payloads {
        scan(payload, &mut || hits += 1);
    }
    hits
}

fn overlapping(automaton: &AhoCorasick, payloads: &[Vec<u8>]) -> usize {
    payloads.iter().map(|payload| automaton.find_overlapping_iter(payload).count()).sum()
}

/// What this thread has run for: other work on the machine hardly shows in it.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap(), u32::try_from(spent.tv_nsec).unwrap())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Both files hold a 32-bit little-endian length before each item.
fn dump(literals: &[Vec<u8>], payloads: &[Vec<u8>]) {
    let Some(dir) = std::env::var_os("TIDEGATE_DUMP").map(PathBuf::from) else { return };
    for (name, items) in [("literals", literals), ("payloads", payloads)] {
        let mut file = std::io::BufWriter::new(std::fs::File::create(dir.join(name)).unwrap());
        for item in items {
            file.write_all(&u32::try_from(item.len()).unwrap().to_le_bytes()).unwrap();
            file.write_all(item).unwrap();
        }
    }
}
