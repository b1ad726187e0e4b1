//! The stages of a packet's way, one by one: `cargo bench --bench micro` tells their times.
//!
//! Times depend on the machine and its mood; counts of instructions do not. `cargo bench --bench micro -- guard` has callgrind
//! count them and compares with `tests/golden/instructions.txt` (`TIDEGATE_BLESS=1` writes that file).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod cases;
mod guard;
#[allow(dead_code)] // the tests of allocations need more of it
mod judge;

use std::process::ExitCode;

use cases::CASES;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words.as_slice() {
        ["guard"] => guard::run(),
        [guard::COUNT, name] => guard::count(name),
        _ => {
            divan::main();
            ExitCode::SUCCESS
        }
    }
}

#[divan::bench(args = CASES.map(|case| case.0))]
fn stage(bencher: divan::Bencher<'_, '_>, name: &str) {
    let mut case = cases::find(name).expect("a name of ours");
    case();
    bencher.bench_local(case);
}
