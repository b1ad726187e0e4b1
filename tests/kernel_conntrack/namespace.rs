//! Making a namespace, running a case in it, and the few commands that cases need.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const CASE_VARIABLE: &str = "TIDEGATE_CASE";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What this machine lacks for these tests.
pub fn missing() -> Option<&'static str> {
    let works = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let probe = format!("tg-ct-{}-probe", std::process::id());
    if !works("nft", &["--version"]) {
        return Some("needs nft");
    }
    if !works("ip", &["netns", "add", &probe]) {
        return Some("needs root and ip netns");
    }
    works("ip", &["netns", "del", &probe]);
    None
}

/// Deletes the namespace when the case is over, however it ended.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Runs the case in a fresh namespace. What it printed is the error, or goes to our output.
pub fn run_case(name: &str) -> Result<(), String> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let namespace = Namespace(format!("tg-ct-{}-{number}", std::process::id()));
    run("ip", &["netns", "add", &namespace.0]);
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("ip")
        .args(["netns", "exec", &namespace.0])
        .arg(program)
        .env(CASE_VARIABLE, name)
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {said}", output.status));
    }
    print!("{said}");
    Ok(())
}

/// Loopback up, and connection tracking on for both families.
pub fn prepare() {
    run("ip", &["link", "set", "lo", "up"]);
    nft("table inet tracking { chain pre { type filter hook prerouting priority 0; ct state new counter; }
         chain out { type filter hook output priority 0; ct state new counter; }\n }");
}

pub fn nft(ruleset: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refused {ruleset}");
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// Sets a conntrack sysctl of this namespace.
pub fn sysctl(name: &str, value: u32) {
    std::fs::write(format!("/proc/sys/net/netfilter/{name}"), value.to_string()).unwrap();
}

/// How many entries the namespace's table holds.
pub fn table_count() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap();
    text.trim().parse().unwrap()
}
