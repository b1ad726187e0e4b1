//! The peer: Suricata from Debian, in a folder of its own that `tests/bench/fetch-suricata` fills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::netns::Netns;

/// A folder with Suricata in it.
pub struct Peer {
    root: PathBuf,
    pub version: String,
}

impl Peer {
    /// Where `TIDEGATE_PEER` says, or in the build directory. What is missing says how to get it.
    pub fn find() -> Result<Peer, String> {
        let root = std::env::var_os("TIDEGATE_PEER")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/suricata"), PathBuf::from);
        if !root.join("usr/bin/suricata").exists() {
            return Err(format!("missing: no Suricata in {}; tests/bench/fetch-suricata gets it", root.display()));
        }
        let said = Command::new("chroot").arg(&root).args(["suricata", "-V"]).output();
        let said = said.map_err(|error| format!("missing: {error}"))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.split("version ").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(Peer { version: version.ok_or("missing: it does not say its version")?.to_owned(), root })
    }

    /// Workers, fail-open, verdicts in batches of 20, everything else as Debian ships it.
    pub fn command(&self, gateway: &Netns, number: usize, rules: &Path, queues: u16) -> Result<Command, String> {
        let inside = format!("bench-{number}");
        let dir = self.root.join(&inside);
        let copied = fs::create_dir_all(&dir).and_then(|()| fs::copy(rules, dir.join("bench.rules")));
        copied.map_err(|error| format!("{}: {error}", dir.display()))?;
        let mut command = gateway.command("chroot");
        command.arg(&self.root).args(["suricata", "-c", "/etc/suricata/suricata.yaml", "--runmode", "workers"]);
        command.args(["-S", &format!("/{inside}/bench.rules"), "-l", &format!("/{inside}")]);
        command.args(["--pidfile", &format!("/{inside}/pid")]);
        for queue in 0..queues {
            command.args(["-q", &queue.to_string()]);
        }
        for setting in ["nfq.fail-open=yes", "nfq.batchcount=20", "unix-command.enabled=no"] {
            command.args(["--set", setting]);
        }
        Ok(command)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("bench-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
