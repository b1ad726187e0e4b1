//! Network namespaces, made with `ip netns`, entered thread by thread.
//!
//! A thread that enters a namespace takes along nothing but itself, and a socket stays in the namespace it was opened
//! in. So a closure run with [`Netns::run`] can hand out sockets that any other thread then uses.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const MOUNTS: &str = "/run/netns";

/// A network namespace of this process, deleted on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes `tg-PID-role` with its loopback interface up.
    pub fn create(role: &str) -> io::Result<Netns> {
        let name = format!("{}{role}", prefix_of(std::process::id()));
        expect_success(Command::new("ip").args(["netns", "add", &name]).output()?)?;
        let ns = Netns { name };
        expect_success(Command::new("ip").args(["-n", &ns.name, "link", "set", "lo", "up"]).output()?)?;
        Ok(ns)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. Its pid is the program's own: `ip netns exec` execs.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).stdin(Stdio::null());
        command
    }

    /// Runs a command line, split at blanks, and returns what it printed; panics when it fails.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a command line has a program");
        let output = self.command(program).args(words).output().expect("ip is installed");
        assert!(
            output.status.success(),
            "{}: `{line}` failed: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Loads nftables rules, given as text, in one transaction.
    pub fn nft(&self, rules: &str) -> io::Result<()> {
        feed(self.command("nft").args(["-f", "-"]), rules)
    }

    /// Runs `ip` commands, one a line, in one process; panics at the first that fails.
    #[track_caller]
    pub fn ip(&self, commands: &str) {
        let result = feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), commands);
        result.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Runs `work` on a thread inside and returns what it returns; a panic passes through.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Starts a thread inside; it may outlive this value, and then lives in a namespace without a name.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        let ns = Netns::handle(&self.name);
        thread::spawn(move || {
            enter(&ns);
            work()
        })
    }

    /// Sets a sysctl of this namespace: `net.ipv4.ip_forward` and the like.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.run(|| fs::write(&path, value)).unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name));
    }

    /// Reads `/proc/net/...` as it looks from inside; `file` is what follows `/proc/net/`.
    #[track_caller]
    pub fn proc_net(&self, file: &str) -> String {
        let path = format!("/proc/thread-self/net/{file}");
        self.run(|| fs::read_to_string(&path)).unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name))
    }

    fn enter(&self) {
        enter(&Netns::handle(&self.name));
    }

    fn handle(name: &str) -> File {
        let path = PathBuf::from(MOUNTS).join(name);
        File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Deletes the namespaces that a process made, for one that ended without doing so itself.
pub fn delete_all_of(pid: u32) {
    let prefix = prefix_of(pid);
    for entry in fs::read_dir(MOUNTS).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(&prefix)) {
            delete(name);
        }
    }
}

fn prefix_of(pid: u32) -> String {
    format!("tg-{pid}-")
}

fn enter(ns: &File) {
    move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).expect("entering a namespace of our own");
}

fn delete(name: &str) {
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
}

/// Runs a command with `input` on its standard input.
fn feed(command: &mut Command, input: &str) -> io::Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?.write_all(input.as_bytes())?;
    expect_success(child.wait_with_output()?)
}

fn expect_success(output: Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
