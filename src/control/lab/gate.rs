//! The gate as a child process in the gateway's namespace, with the shipped rules.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::error::{LabError, at};
use super::interrupt::Interrupt;
use super::namespace::Namespace;
use super::topology::SERVER_NETS;
use crate::control::socket;

const SHIPPED: [(&str, &str); 3] = [
    ("tidegate.rules", include_str!("../../../rules/tidegate.rules")),
    ("classification.config", include_str!("../../../rules/classification.config")),
    ("reference.config", include_str!("../../../rules/reference.config")),
];
const READY_LINE: &str = "tidegate: ready";
const READY_PATIENCE: Duration = Duration::from_secs(15);
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// `tidegate run`, killed on drop if it has not ended before.
#[derive(Debug)]
pub struct Gate {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
    directory: PathBuf,
}

impl Gate {
    /// Writes the shipped rules into `directory`, starts the gate and waits until it is ready.
    pub fn start(
        program: &Path,
        namespace: &Namespace,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> Result<Gate, LabError> {
        for (name, text) in SHIPPED {
            at(format!("cannot write {name} into {}", directory.display()), fs::write(directory.join(name), text))?;
        }
        let mut command = namespace.command(program);
        command.args(arguments(directory)).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is for the lab, which then stops the gate in order.
        command.process_group(0);
        let mut child = at("cannot start the gate", command.spawn())?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let listener = child.stderr.take().map(|stderr| {
            let said = Arc::clone(&said);
            thread::spawn(move || listen(BufReader::new(stderr), &said))
        });
        let mut gate = Gate { child, said, listener, directory: directory.into() };
        gate.wait_until_ready(interrupt)?;
        Ok(gate)
    }

    #[must_use]
    pub fn eve_path(&self) -> PathBuf {
        self.directory.join("eve.json")
    }

    /// The lines that the gate has written to standard error.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `tidegate status --json` prints.
    pub fn status(&self) -> Result<Value, LabError> {
        socket::ask(&socket_path(&self.directory), &json!({ "command": "status" })).map_err(LabError::Status)
    }

    /// Asks the gate to stop (SIGTERM) and waits. `None` when it does not.
    pub fn stop(&mut self) -> Result<Option<ExitStatus>, LabError> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM); // it may have ended already: then wait says how
        }
        // An interrupt does not make this any shorter.
        Interrupt::default().wait_for(STOP_PATIENCE, || at("cannot wait for the gate", self.child.try_wait()))
    }

    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<(), LabError> {
        let ready = interrupt.wait_for(READY_PATIENCE, || {
            if self.said().iter().any(|line| line.contains(READY_LINE)) {
                return Ok(Some(()));
            }
            match at("cannot wait for the gate", self.child.try_wait())? {
                Some(status) => Err(LabError::GateEnded { status: status.to_string(), said: self.last_words() }),
                None => Ok(None),
            }
        })?;
        ready.ok_or_else(|| LabError::GateNotReady { patience: READY_PATIENCE, said: self.said().join("\n") })
    }

    fn last_words(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        self.said().join("\n")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn arguments(directory: &Path) -> Vec<OsString> {
    let file = |name: &str| directory.join(name);
    let home_net = format!("vars.address-groups.HOME_NET={SERVER_NETS}");
    let mut arguments: Vec<OsString> = ["run", "--hook", "forward", "--remove-on-exit"].map(Into::into).into();
    arguments.extend(["-S".into(), file("tidegate.rules").into()]);
    arguments.extend(["-l".into(), directory.into()]);
    arguments.extend(["--socket".into(), socket_path(directory).into()]);
    let set = |key: &str, name: &str| format!("{key}={}", file(name).display());
    for setting in [
        home_net,
        set("classification-file", "classification.config"),
        set("reference-config-file", "reference.config"),
    ] {
        arguments.extend(["--set".into(), setting.into()]);
    }
    arguments
}

/// The control socket of a gate whose files are in `directory`.
#[must_use]
pub fn socket_path(directory: &Path) -> PathBuf {
    directory.join("socket")
}

fn listen(stderr: impl BufRead, said: &Mutex<Vec<String>>) {
    for line in stderr.lines().map_while(io::Result::ok) {
        said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
