//! The gate beside its ceilings and its peer: `make bench`, `make bench-quick`.
//!
//! Every contender has a network of its own, all of them stand from the beginning, and each load runs over one after the
//! other, round by round: what the machine does meanwhile hits all of them alike. Figures are medians, and only the
//! ratios of one run count.
//!
//! ```text
//!  ┌─ client ──────┐     ┌─ gateway ─────────────────────────┐     ┌─ server ──────┐
//!  │  load ► eth0  ├─────┤ lan ► forward ► NFQUEUE ► wan     ├─────┤ eth0 ► load   │
//!  └───────────────┘     └────────── contender ──────────────┘     └───────────────┘
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod bed;
mod contender;
mod figures;
mod growth;
mod load;
#[path = "../../e2e/toolbox/netns.rs"]
#[allow(dead_code)] // the scenarios need more of it
mod netns;
mod null;
mod overload;
mod plan;
mod report;
mod suricata;
mod targets;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some(null::SERVE) {
        null::serve(&arguments[1..]);
    }
    // `cargo test --all-targets` starts every bench without this.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("gate: nothing measured: cargo bench --bench gate");
        return ExitCode::SUCCESS;
    }
    match plan::Plan::read(&arguments) {
        Ok(plan) => plan.run(),
        Err(wrong) => {
            eprintln!("gate: {wrong}\n{}", plan::USAGE);
            ExitCode::FAILURE
        }
    }
}
