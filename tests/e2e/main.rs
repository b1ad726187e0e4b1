//! End-to-end tests: real sockets, real conntrack, real NFQUEUE, in network namespaces.
//!
//! Each scenario of [`scenarios`] is listed once per place: `native::NAME` runs on this machine's kernel where that has
//! what the scenario needs (otherwise it is reported as ignored, with the reason), `vm-6.1::NAME` and `vm-6.12::NAME`
//! run on stock Debian kernels under QEMU. A kernel is booted when the first of its scenarios comes up, once, and runs
//! them all; this very binary is also what runs inside. The `kernel_*` test targets, which cargo runs on this machine's
//! kernel, run whole in each guest, too.
//!
//! ```text
//! cargo test --test e2e                  everything; root, and `make deps test-kernels` first
//! cargo test --test e2e native::         no VM is booted
//! cargo test --test e2e vm-6.12::fate    one kernel, one scenario
//! ```
//!
//! Environment: `TIDEGATE_BIN` (test another build of the program), `TIDEGATE_KERNELS` (see `tests/vm/fetch-kernels`), `TIDEGATE_VM=require` or `CI` (a VM that
//! cannot be had is a failure and not an ignored test), `TIDEGATE_VM_ACCEL=kvm|tcg` (no probing), `TIDEGATE_VM_CONSOLE=1` (show the guest's console).

// A test says what it expects by panicking, also in the helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod host;
mod scenario;
mod scenarios;
mod toolbox;
mod vm;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::scenario::{Need, Outcome, Scenario};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "scenario", name] => scenario::run_here(name),
        [_, "guest"] => vm::guest::serve(),
        _ => run_trials(),
    }
}

fn run_trials() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two cores, VMs that want both, scenarios that measure time: one after the other, on the thread that owns QEMU.
    arguments.test_threads = Some(1);

    let mut trials = Vec::new();
    for scenario in scenarios::ALL {
        trials.push(Trial::ignorable_test(format!("native::{}", scenario.name), || run_native(scenario)));
    }
    for series in vm::SERIES {
        for scenario in scenarios::ALL.iter().filter(|scenario| !scenario.needs.contains(&Need::Asked)) {
            let name = format!("vm-{series}::{}", scenario.name);
            trials.push(Trial::ignorable_test(name, || vm::run(series, scenario.name, scenario.timeout())));
        }
        for test in vm::programs::names() {
            let name = format!("vm-{series}::{test}");
            trials.push(Trial::ignorable_test(name, move || vm::run(series, &test, vm::programs::TIMEOUT)));
        }
    }

    let conclusion = libtest_mimic::run(&arguments, trials);
    vm::shut_down();
    conclusion.exit_code()
}

fn run_native(scenario: &Scenario) -> Result<Completion, Failed> {
    if let Some(missing) = host::features().missing(scenario.needs) {
        return Ok(Completion::ignored_with(format!("this kernel lacks {missing}")));
    }
    into_completion(scenario::run_as_process(scenario.name, scenario.timeout()))
}

fn into_completion(outcome: Outcome) -> Result<Completion, Failed> {
    match outcome {
        Outcome::Passed { .. } => Ok(Completion::Completed),
        Outcome::Failed { output } => Err(output.into()),
    }
}
