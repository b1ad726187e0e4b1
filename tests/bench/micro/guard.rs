//! Instructions, counted by callgrind, against those that were counted before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::cases::{self, CASES};

/// The argument with which the guard starts this program under callgrind.
pub const COUNT: &str = "count-instructions";
/// Compilers differ from release to release; what a change of ours costs is mostly more.
const TOLERANCE: f64 = 0.10;
const ROUNDS: u32 = 20;

/// Runs one case; only what happens in [`measured`] is counted.
pub fn count(name: &str) -> ExitCode {
    let Some(mut case) = cases::find(name) else { return ExitCode::FAILURE };
    case();
    measured(&mut case);
    ExitCode::SUCCESS
}

#[inline(never)]
fn measured(case: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        black_box(&mut *case)();
    }
}

/// Fails where a stage takes more instructions than it did.
pub fn run() -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("micro: skipped: valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/instructions.txt");
    let before = read(&file);
    let (mut now, mut worse) = (BTreeMap::new(), 0);
    for (name, _) in CASES {
        let Some(instructions) = instructions_of(name) else {
            println!("{name}: callgrind counted nothing");
            return ExitCode::FAILURE;
        };
        now.insert(name, instructions);
        let change = before.get(name).map(|before| instructions as f64 / *before as f64 - 1.0);
        worse += u32::from(change.is_none_or(|change| change > TOLERANCE));
        let told = change.map_or_else(|| "not known before".to_owned(), |change| format!("{:+.1} %", change * 100.0));
        println!("{name:<28} {instructions:>10} instructions, {told}");
    }
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        return write(&file, &now);
    }
    if worse > 0 {
        println!(
            "micro: {worse} stages take more than {:.0} % more (TIDEGATE_BLESS=1 if that is meant)",
            TOLERANCE * 100.0
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// For one round of a case.
fn instructions_of(name: &str) -> Option<u64> {
    let own = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*guard::measured*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(own)
        .args([COUNT, name])
        .output()
        .ok()?;
    // "==1234== Collected : 567890"
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1))?;
    let all: u64 = collected.split_whitespace().next()?.parse().ok()?;
    (all > 0).then_some(all / u64::from(ROUNDS))
}

fn read(file: &PathBuf) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' ').and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?))))
        .collect()
}

fn write(file: &PathBuf, now: &BTreeMap<&str, u64>) -> ExitCode {
    let mut text = String::from("# Instructions of one round of each stage: cargo bench --bench micro -- guard\n");
    for (name, count) in now {
        let _ = writeln!(text, "{name} {count}");
    }
    match fs::write(file, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("micro: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
