//! The guest's side: reads `NAME SECONDS` lines from its serial port, runs that scenario, answers with an [`Outcome`].

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::scenario::{self, Outcome};

/// Serves requests until the port is closed. Standard input and output are the serial port.
pub fn serve() -> ExitCode {
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => {
            eprintln!("guest: {error}");
            return ExitCode::FAILURE;
        }
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    reply(&format!("up with {}", release.trim()));

    for request in io::stdin().lock().lines().map_while(Result::ok) {
        let start = Instant::now();
        let outcome = match parse(&request) {
            Some((name, timeout)) => scenario::run_as_process(&exe, name, timeout),
            None => Outcome::Failed { output: format!("guest: cannot read the request {request:?}") },
        };
        eprintln!("guest: {request}: {:.1?}: {outcome:?}", start.elapsed());
        reply(&serde_json::to_string(&outcome).unwrap_or_default());
    }
    ExitCode::SUCCESS
}

fn parse(request: &str) -> Option<(&str, Duration)> {
    let (name, seconds) = request.trim().split_once(' ')?;
    Some((name, Duration::from_secs(seconds.parse().ok()?)))
}

fn reply(line: &str) {
    let mut port = io::stdout().lock();
    let _ = writeln!(port, "{line}").and_then(|()| port.flush());
}
