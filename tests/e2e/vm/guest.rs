//! The guest's side: reads `NAME SECONDS` lines from its serial port, runs that scenario or test program, answers with an [`Outcome`].

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use super::programs;
use crate::scenario::{self, Outcome};

/// Serves requests until the port is closed. Standard input and output are the serial port.
pub fn serve() -> ExitCode {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    reply(&format!("up with {}", release.trim()));

    for request in io::stdin().lock().lines().map_while(Result::ok) {
        let start = Instant::now();
        let outcome = answer(&request);
        eprintln!("guest: {request}: {:.1?}: {outcome:?}", start.elapsed());
        reply(&serde_json::to_string(&outcome).unwrap_or_default());
    }
    ExitCode::SUCCESS
}

fn answer(request: &str) -> Outcome {
    let Some((name, timeout)) = parse(request) else {
        return Outcome::Failed { output: format!("guest: cannot read the request {request:?}") };
    };
    let program = Path::new(programs::GUEST_DIR).join(name);
    match program.exists() {
        true => programs::judge(scenario::run_command(Command::new(program).arg("--test-threads=1"), timeout)),
        false => scenario::run_as_process(name, timeout),
    }
}

fn parse(request: &str) -> Option<(&str, Duration)> {
    let (name, seconds) = request.trim().split_once(' ')?;
    Some((name, Duration::from_secs(seconds.parse().ok()?)))
}

fn reply(line: &str) {
    let mut port = io::stdout().lock();
    let _ = writeln!(port, "{line}").and_then(|()| port.flush());
}
