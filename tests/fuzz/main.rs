//! Fuzzing without a fuzzer: every target runs over its committed corpus and over mutations of it. See `README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)] // a test program

mod app;
mod corpus;
mod mutate;
mod rules;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use corpus::Input;
use mutate::Mutator;

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: a number is wanted, and {text:?} is none")))
}

/// Each corpus file, then `rounds` mutations of each. `TIDEGATE_FUZZ_ROUNDS` says otherwise, or `TIDEGATE_FUZZ_SECONDS`
/// of processor time for each target; `TIDEGATE_FUZZ_SEED` makes other mutations.
fn fuzz(name: &str, rounds: u64, target: fn(&[u8])) {
    let inputs = corpus::read(name);
    assert!(inputs.len() >= 3, "the corpus of {name} is gone");
    for Input { name: file, bytes } in &inputs {
        attempt(name, file, bytes, target);
    }
    let patience = asked("TIDEGATE_FUZZ_SECONDS").map(Duration::from_secs);
    let rounds = asked("TIDEGATE_FUZZ_ROUNDS").unwrap_or(if patience.is_some() { u64::MAX } else { rounds });
    // The same seed each time: a failure in CI is the same failure here.
    let mut mutator = Mutator::new(asked("TIDEGATE_FUZZ_SEED").unwrap_or(0x7469_6465));
    let began = cpu_time();
    for round in 0..rounds {
        let spent = cpu_time() - began;
        if patience.is_some_and(|patience| spent >= patience) {
            println!("{name}: {round} rounds over {} files in {} s of processor time", inputs.len(), spent.as_secs());
            break;
        }
        for Input { name: file, bytes } in &inputs {
            let other = mutator.pick(&inputs).map_or(&[][..], |input| &input.bytes);
            let mutant = mutator.mutate(bytes, other);
            attempt(name, &format!("{file}, round {round}"), &mutant, target);
        }
    }
}

/// What this thread has run for: other work on the machine does not count.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap(), u32::try_from(spent.tv_nsec).unwrap())
}

fn attempt(name: &str, origin: &str, bytes: &[u8], target: fn(&[u8])) {
    if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!(
            "{name} failed on a mutation of {origin}; keep it as tests/fuzz/corpus/{name}/WHAT-WENT-WRONG.hex:\n{hex}"
        );
    }
}

#[test]
fn decode() {
    fuzz("decode", 2000, targets::fuzz_decode);
}

#[test]
fn stream() {
    fuzz("stream", 1500, targets::fuzz_stream);
}

#[test]
fn link() {
    fuzz("link", 2000, targets::fuzz_link);
}

#[test]
fn capture() {
    fuzz("capture", 150, targets::fuzz_capture);
}

#[test]
fn replay() {
    fuzz("replay", 100, targets::fuzz_replay);
}

#[test]
fn app_streams() {
    fuzz("app-streams", 300, app::fuzz_stream);
}

#[test]
fn app_datagrams() {
    fuzz("app-datagrams", 2000, app::fuzz_datagrams);
}

/// A parser that no file of the corpus reaches is fuzzed in name only.
#[test]
fn every_parser_is_reached() {
    use tidegate::packet::app::protocols::{REGISTRY, Transport};
    for (corpus, transport) in [("app-streams", Transport::Tcp), ("app-datagrams", Transport::Udp)] {
        let inputs = corpus::read(corpus);
        let spoken: Vec<_> = inputs.iter().flat_map(|input| app::spoken(&input.bytes, transport)).collect();
        let here = REGISTRY.iter().filter(|info| info.transports.contains(&transport));
        let missing: Vec<_> = here.map(|info| info.protocol).filter(|protocol| !spoken.contains(protocol)).collect();
        assert!(missing.is_empty(), "{corpus} has nothing of {missing:?}");
    }
}

#[test]
fn rules() {
    fuzz("rules", 600, rules::fuzz_rules);
}

#[test]
fn matcher() {
    fuzz("matcher", 600, rules::fuzz_matcher);
}

#[test]
fn lists() {
    fuzz("lists", 2000, rules::fuzz_lists);
}
