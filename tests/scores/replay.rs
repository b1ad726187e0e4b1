//! One run of `tidegate replay` and what it wrote.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A replay that takes longer has got stuck.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Replayed {
    pub events: Vec<Value>,
    /// Why it did not end well.
    pub trouble: Option<String>,
}

/// Runs with `arguments` in `home`; the log directory is added.
pub fn replay(home: &Path, arguments: &[String]) -> Replayed {
    let out = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("replay")
        .args(arguments)
        .arg("-l")
        .arg(out.path())
        .current_dir(home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let trouble = loop {
        match child.try_wait().unwrap() {
            Some(status) if status.success() => break None,
            Some(status) => break Some(status.to_string()),
            None if started.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                break Some("took too long".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = std::fs::read(out.path().join("eve.json")).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Replayed { events: lines.filter_map(|line| serde_json::from_slice(line).ok()).collect(), trouble }
}

/// What stands at `a.b[2].c`.
pub fn field<'v>(event: &'v Value, path: &str) -> &'v Value {
    let pointer: String =
        path.split('.').map(|part| format!("/{}", part.replace('[', "/").trim_end_matches(']'))).collect();
    event.pointer(&pointer).unwrap_or(&Value::Null)
}
