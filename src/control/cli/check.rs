//! `tidegate check`: every mistake in the rules and the configuration, and nothing else.

use std::io::IsTerminal;
use std::process::ExitCode;

use serde_json::json;

use super::common::{ConfigArgs, RuleArgs, print};
use crate::control::reload::Reloader;
use crate::rules::Compiled;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RuleArgs,
    /// One JSON object on standard output: {"rules", "loaded", "rejected": [...], "load_ms"}.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let files = args.rules.files(&config);
    let loaded = Reloader::new(files, &config).load()?;
    let compiled = &loaded.compiled;
    let load_ms = u64::try_from(loaded.took.as_millis()).unwrap_or(u64::MAX);
    if args.json {
        print(&as_json(compiled, load_ms).to_string());
    } else {
        let colour = std::io::stdout().is_terminal();
        for diagnostic in loaded.config_diagnostics.iter().chain(&compiled.diagnostics) {
            print(&diagnostic.render(colour));
        }
        print(&format!(
            "{} rules, {} loaded, {} rejected, {load_ms} ms",
            compiled.rules,
            compiled.loaded(),
            compiled.rejected.len()
        ));
    }
    Ok(if compiled.rejected.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(compiled: &Compiled, load_ms: u64) -> serde_json::Value {
    let rejected: Vec<_> = compiled
        .rejected
        .iter()
        .map(|rejected| {
            json!({
                "file": &*rejected.file,
                "line": rejected.line,
                "sid": rejected.sid,
                "code": rejected.code.as_str(),
                "message": rejected.message,
            })
        })
        .collect();
    json!({ "rules": compiled.rules, "loaded": compiled.loaded(), "rejected": rejected, "load_ms": load_ms })
}
