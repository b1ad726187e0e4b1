//! `tidegate doctor`: what this kernel offers, what is missing, and the way out.

use std::process::ExitCode;

use serde_json::json;

use super::common::{ConfigArgs, print};
use crate::control::gate;
use crate::kernel::probe::{self, Asker, Finding, KernelFeatures, State};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Exit code 1 when something is missing without which the gate cannot work.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    // Without privileges the probe fails as a whole; the findings then say unknown, and what can be read is still told.
    let features = KernelFeatures::probe().unwrap_or_default();
    let asker = if config.gate.install || config.conntrack.ask { Asker::Gate } else { Asker::Others };
    let findings = probe::findings(&features, &gate::table_of(&config, config.fate.place()), asker);
    if args.json {
        print(&json!({ "findings": findings.iter().map(as_json).collect::<Vec<_>>() }).to_string());
    } else {
        for finding in &findings {
            print(&finding.to_string());
        }
    }
    let missing = findings.iter().any(|finding| finding.state == State::Missing);
    Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "name": finding.name,
        "state": finding.state.to_string(),
        "meaning": finding.meaning,
        "way_out": finding.way_out,
    })
}
