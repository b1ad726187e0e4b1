//! How much of what others expect comes out, measured on data that is not part of this project: the tests of
//! suricata-verify, and what Suricata says of a thousand captures. Each score is a table by family; what has passed once
//! must go on passing (`tests/golden/scores/`). `TIDEGATE_BLESS=1` takes the present state for the standard.

// A test says what it expects by panicking, and its tables are for whoever reads its output.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

mod data;
mod replay;
mod standard;
mod suricata_verify;
mod traffic;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("suricata_verify", "suricata-verify", suricata_verify::run),
        trial("traffic", "traffic", traffic::run),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Without the data the test is ignored by name, and never taken for passed.
fn trial(name: &str, folder: &'static str, run: fn(&std::path::Path) -> Result<(), Failed>) -> Trial {
    let there = data::folder(folder);
    let ignored = there.is_none();
    Trial::test(name, move || match there {
        Some(folder) => run(&folder),
        None => Ok(()),
    })
    .with_ignored_flag(ignored)
}
