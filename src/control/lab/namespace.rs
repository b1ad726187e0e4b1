//! Network namespaces: made with `ip netns`, entered thread by thread.
//!
//! A thread that enters a namespace takes nothing but itself along, and a socket stays where it was opened. So no
//! process is needed inside: a closure given to [`Namespace::run`] opens the sockets.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::{LabError, at};

const MOUNTS: &str = "/run/netns";
const PREFIX: &str = "tglab-";

/// A namespace of this process, deleted on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes `tglab-PID-role`.
    pub fn create(role: &str) -> Result<Namespace, LabError> {
        let name = format!("{PREFIX}{}-{role}", std::process::id());
        ip(&["netns", "add", &name], "")?;
        Ok(Namespace { name })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` commands inside, one a line.
    pub fn ip(&self, commands: &str) -> Result<(), LabError> {
        ip(&["-n", &self.name, "-batch", "-"], commands)
    }

    /// A command that will run inside. Its pid is the program's own: `ip netns exec` execs.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).stdin(Stdio::null());
        command
    }

    /// Runs `work` on a thread inside and returns what it returns; a panic passes through.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let handle = self.handle()?;
        let inside = || enter(&handle).map(|()| work());
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Sets a sysctl of this namespace; `key` is the path below `/proc/sys`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/{key}");
        let written = self.run(|| fs::write(&path, value)).and_then(|written| written);
        at(format!("cannot write {value} to {path} in {}", self.name), written)
    }

    /// The processes inside, other than threads of this one.
    pub fn pids(&self) -> Result<Vec<Pid>, LabError> {
        pids_of(&self.name)
    }

    fn handle(&self) -> io::Result<File> {
        File::open(Path::new(MOUNTS).join(&self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody is left to tell; the next lab sweeps what stays behind.
        let _ = ip(&["netns", "del", &self.name], "");
    }
}

/// Names of the namespaces of one lab that still stand.
#[must_use]
pub fn standing(owner: u32) -> Vec<String> {
    all().into_iter().filter(|(_, pid)| *pid == owner).map(|(name, _)| name).collect()
}

/// Every lab's namespaces with the pid in their name.
#[must_use]
pub fn all() -> Vec<(String, u32)> {
    let entries = fs::read_dir(MOUNTS).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter_map(with_owner).collect()
}

/// Ends what runs in the namespaces of labs whose process is gone, and deletes them. Returns their names.
pub fn sweep() -> Result<Vec<String>, LabError> {
    let mut swept = Vec::new();
    for (name, owner) in all() {
        if Path::new("/proc").join(owner.to_string()).exists() {
            continue;
        }
        for pid in pids_of(&name)? {
            let _ = kill_process(pid, Signal::KILL); // it may have ended meanwhile
        }
        ip(&["netns", "del", &name], "")?;
        swept.push(name);
    }
    Ok(swept)
}

fn with_owner(name: String) -> Option<(String, u32)> {
    let (pid, role) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let pid = pid.parse().ok()?;
    matches!(role, "c" | "g" | "s").then_some((name, pid))
}

fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn pids_of(name: &str) -> Result<Vec<Pid>, LabError> {
    let line = format!("ip netns pids {name}");
    let output = at(line.as_str(), Command::new("ip").args(["netns", "pids", name]).output())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw).collect())
}

fn ip(args: &[&str], input: &str) -> Result<(), LabError> {
    let mut command = Command::new("ip");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LabError::NoIp,
        _ => LabError::Io { what: "cannot run `ip`".to_owned(), source },
    })?;
    let line = || format!("ip {}", args.join(" "));
    let output = at(line(), feed(child, input))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Command { line: line(), stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

fn feed(mut child: Child, input: &str) -> io::Result<std::process::Output> {
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends before it has read everything says why on standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_labs_have_an_owner() {
        let owner = |name: &str| with_owner(name.to_owned()).map(|(_, pid)| pid);
        assert_eq!(owner("tglab-4711-c"), Some(4711));
        assert_eq!(owner("tglab-1-g"), Some(1));
        for foreign in ["tglab-4711-x", "tglab-4711", "tglab--c", "tglab-12a-c", "tg-4711-client", "blue", ""] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }
}
