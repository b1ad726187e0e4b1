//! `tidegate status`: how a running gate is.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::common::{ConfigArgs, print};
use crate::control::socket;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The control socket.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = match args.socket {
        Some(path) => path,
        None => args.config.load()?.service.unix_command.filename,
    };
    let status = socket::ask(&path, &json!({ "command": "status" }))?;
    if args.json {
        print(&status.to_string());
    } else {
        for line in lines(&status) {
            print(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(status: &Value) -> Vec<String> {
    let text = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    vec![
        format!("tidegate {} (pid {}), up {} s", text("/version"), text("/pid"), text("/stats/uptime")),
        format!("mode         {}", text("/mode")),
        format!(
            "rules        {} loaded, {} rejected, generation {}",
            text("/stats/detect/engines/0/rules_loaded"),
            text("/stats/detect/engines/0/rules_failed"),
            text("/generation")
        ),
        format!("flows        {}", text("/flows")),
        format!(
            "packets      {} accepted, {} dropped, {} rejected",
            text("/stats/ips/accepted"),
            text("/stats/ips/blocked"),
            text("/stats/ips/rejected")
        ),
        format!(
            "ledger       {} offered, {} received, {} judged; uninspected: {} fail-open, {} overrun; {} dropped by the kernel",
            text("/stats/ledger/offered"),
            text("/stats/ledger/received"),
            text("/stats/ledger/judged"),
            text("/stats/ledger/uninspected/fail_open"),
            text("/stats/ledger/uninspected/overrun"),
            text("/stats/ledger/kernel_drops")
        ),
        format!("alerts       {}", text("/stats/detect/alert")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_well_even_when_fields_are_missing() {
        let status = json!({ "version": "0.1.0", "pid": 7, "mode": "m", "generation": 1, "flows": 3 });
        let text = lines(&status).join("\n");
        assert!(text.starts_with("tidegate 0.1.0 (pid 7), up ? s"), "{text}");
        assert!(text.contains("flows        3"));
    }
}
