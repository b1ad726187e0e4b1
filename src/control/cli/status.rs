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
    let uninspected =
        ["fail_open", "overrun", "bypass", "failed"].map(|class| format!("/stats/ledger/uninspected/{class}"));
    let text = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    let [fail_open, overrun, bypass, failed] = &uninspected;
    vec![
        format!("tidegate {} (pid {}), up {} s", text("/version"), text("/pid"), text("/stats/uptime")),
        format!("mode         {}", text("/mode")),
        format!(
            "rules        {} loaded, {} rejected, generation {}, rule set {}",
            text("/stats/detect/engines/0/rules_loaded"),
            text("/stats/detect/engines/0/rules_failed"),
            text("/generation"),
            text("/stats/fates/ruleset")
        ),
        format!(
            "fates        in the {}: {} written, {} to be written again; {} looked into again after a reload",
            text("/stats/fates/store"),
            text("/stats/conntrack/fates_written"),
            text("/stats/conntrack/fates_failed"),
            text("/stats/fates/reinspected")
        ),
        format!("flows        {}", text("/flows")),
        format!(
            "packets      {} accepted, {} dropped, {} rejected",
            text("/stats/ips/accepted"),
            text("/stats/ips/blocked"),
            text("/stats/ips/rejected")
        ),
        format!(
            "ledger       {} offered = {} judged + {} uninspected + {} dropped by the kernel + {} waiting",
            text("/stats/ledger/offered"),
            text("/stats/ledger/judged"),
            uninspected.iter().filter_map(|class| status.pointer(class)?.as_u64()).fold(0, u64::saturating_add),
            text("/stats/ledger/kernel_drops"),
            text("/stats/ledger/waiting"),
        ),
        format!(
            "uninspected  {} fail-open, {} overrun, {} nobody listened, {} failed{}",
            text(fail_open),
            text(overrun),
            text(bypass),
            text(failed),
            if status.pointer("/stats/ledger/complete") == Some(&Value::Bool(false)) {
                " (what we know of: no table of ours counts)"
            } else {
                ""
            }
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
