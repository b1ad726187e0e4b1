//! Conntrack against the kernel at hand. Each case runs as root in a network namespace of its own, in a process of its
//! own, with connection tracking switched on by one `ct` rule:
//!
//! ```text
//!  cargo test --test kernel_conntrack ── ip netns add tg-ct-PID-N ── ip netns exec ── this binary, TIDEGATE_CASE=name
//!                                                                                      lo up, nft, real sockets
//! ```

// A test says what it expects by panicking, also in the helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod acted;
mod events;
mod mirror;
mod namespace;
mod requests;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A case: its name, and what it does inside the namespace.
type Case = (&'static str, fn());

fn cases() -> impl Iterator<Item = Case> {
    [requests::CASES, events::CASES, mirror::CASES, acted::CASES].into_iter().flatten().copied()
}

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(namespace::CASE_VARIABLE) {
        return run_inside(&name);
    }
    let missing = namespace::missing();
    let trials = cases().map(|(name, _)| match missing {
        None => Trial::test(name, move || Ok(namespace::run_case(name)?)),
        Some(what) => Trial::test(format!("{name} [skipped: {what}]"), || Ok(())).with_ignored_flag(true),
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn run_inside(name: &str) -> ExitCode {
    let Some((_, case)) = cases().find(|case| case.0 == name) else {
        return ExitCode::from(2);
    };
    namespace::prepare();
    case();
    ExitCode::SUCCESS
}
