//! The `kernel_*` test targets of this package: whole test programs, run in the guests as they are.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::scenario::Outcome;

/// Where the guest has them.
pub const GUEST_DIR: &str = "/tidegate/tests";
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Their names, from the files in `tests/`.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).into_iter().flatten().flatten();
    let stem = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.filter_map(stem).filter(|name| name.starts_with("kernel_")).collect();
    names.sort();
    names
}

/// Has cargo build what is not built yet, and tells where the programs are.
pub fn build() -> Result<Vec<(String, PathBuf)>, String> {
    if names().is_empty() {
        return Ok(Vec::new());
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["test", "--no-run", "--message-format=json"]);
    cargo.args(["--test", "kernel_*"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo cannot build the kernel tests:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let artifact = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let name = message["target"]["name"].as_str()?;
        let path = message["executable"].as_str()?;
        name.starts_with("kernel_").then(|| (name.to_owned(), PathBuf::from(path)))
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(artifact).collect())
}

/// A test program that ran nothing has shown nothing.
pub fn judge(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Passed { output } if output.contains("test result: ok. 0 passed") => {
            Outcome::Failed { output: format!("{output}\nall tests were skipped: this kernel has what they need") }
        }
        other => other,
    }
}
