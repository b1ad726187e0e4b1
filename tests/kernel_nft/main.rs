//! Our table in the kernel at hand, each case in a network namespace of its own. Needs root and the `nft` program; what
//! is missing is said for each case that is ignored for it.

// A test says what it expects by panicking, also in the helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod cases;

use libtest_mimic::{Arguments, Completion, Trial};
use std::process::{Command, ExitCode};
use tidegate::kernel::namespace::in_fresh_network;
use tidegate::kernel::nft::{self, GateTable, Installed, QueueMode};

fn main() -> ExitCode {
    let missing = missing();
    let has_queue = missing.is_none() && kernel_has_nft_queue();
    let trials = cases::CASES.iter().map(|&(name, needs_queue, case)| {
        let reason = missing.or((needs_queue && !has_queue).then_some("this kernel lacks nft_queue"));
        Trial::ignorable_test(name, move || match reason {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => in_fresh_network(case)?.map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn missing() -> Option<&'static str> {
    if in_fresh_network(|| ()).is_err() {
        return Some("needs root");
    }
    Command::new("nft").arg("--version").output().err().map(|_| "needs the nft program")
}

fn kernel_has_nft_queue() -> bool {
    let installed = in_fresh_network(|| nft::install(&GateTable::default()));
    matches!(installed, Ok(Ok(Installed { mode: QueueMode::NftQueue, .. })))
}
