//! Fuzzing without a fuzzer: every target runs over its committed corpus and over mutations of it. See `README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test program

mod app;
mod corpus;
mod mutate;
mod rules;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

use corpus::Input;
use mutate::Mutator;

/// How many mutations of each corpus file, unless `TIDEGATE_FUZZ_ROUNDS` says otherwise.
fn rounds(default: u64) -> u64 {
    std::env::var("TIDEGATE_FUZZ_ROUNDS")
        .ok()
        .map_or(default, |text| text.parse().expect("TIDEGATE_FUZZ_ROUNDS: a number"))
}

fn fuzz(name: &str, default_rounds: u64, target: fn(&[u8])) {
    let inputs = corpus::read(name);
    assert!(inputs.len() >= 3, "the corpus of {name} is gone");
    for Input { name: file, bytes } in &inputs {
        attempt(name, file, bytes, target);
    }
    // The same seed each time: a failure in CI is the same failure here.
    let mut mutator = Mutator::new(0x7469_6465);
    for round in 0..rounds(default_rounds) {
        for Input { name: file, bytes } in &inputs {
            let other = mutator.pick(&inputs).map_or(&[][..], |input| &input.bytes);
            let mutant = mutator.mutate(bytes, other);
            attempt(name, &format!("{file}, round {round}"), &mutant, target);
        }
    }
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
