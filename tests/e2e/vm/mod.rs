//! Stock kernels under QEMU. One guest at a time: it is booted for the first scenario that wants its kernel, and shut
//! down when a scenario wants another.
//!
//! The guest's console goes to a file, its second serial port is QEMU's stdin and stdout: the host writes the name of a
//! scenario, the guest answers with one line of JSON (see [`guest`]).

pub mod guest;
mod initramfs;
pub mod programs;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed};
use tempfile::TempDir;

use crate::into_completion;
use crate::scenario::{Outcome, SLOW_FACTOR, tail_of};

/// The kernels, by the series that `tests/vm/fetch-kernels` files them under.
pub const SERIES: [&str; 2] = ["6.1", "6.12"];

/// Alone, an emulated one takes 6 seconds.
const BOOT_TIMEOUT: Duration = Duration::from_secs(300);
/// On a host without time to spare a grace period ended only when the kernel took it for stalled, after 21 s (6.1) or 60 s
/// (6.12): tables were installed and processes moved as slowly as that.
const RCU: &str = "rcupdate.rcu_expedited=1 rcupdate.rcu_cpu_stall_timeout=5";
const KVM_PROBE_TIMEOUT: Duration = Duration::from_secs(6);
/// The guest ends a scenario by itself; this much later the host stops waiting for it.
const GRACE: Duration = Duration::from_secs(15);
const CONSOLE_LINES_SHOWN: usize = 60;

static CURRENT: Mutex<Option<Vm>> = Mutex::new(None);

/// Whether this is one: everything takes longer there.
pub fn is_guest() -> bool {
    Path::new(programs::GUEST_DIR).is_dir()
}

/// Runs a scenario, or one of [`programs`], in the guest of `series`. `timeout` is for a kernel that is not emulated.
pub fn run(series: &'static str, name: &str, timeout: Duration) -> Result<Completion, Failed> {
    let kernel = match Kernel::find(series) {
        Ok(kernel) => kernel,
        Err(missing) if is_required() => return Err(missing.into()),
        Err(missing) => return Ok(Completion::ignored_with(missing)),
    };
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_none_or(|vm| vm.series != series) {
        drop(current.take());
        *current = Some(Vm::boot(&kernel)?);
    }
    let vm = current.as_mut().ok_or("the guest is gone")?;
    match vm.run(name, timeout) {
        Ok(outcome) => into_completion(outcome),
        Err(error) => {
            let report = format!("{name}: {error}\n{}", vm.console());
            drop(current.take());
            Err(report.into())
        }
    }
}

/// A developer without the kernels sees ignored tests; `make test` and CI want to know.
fn is_required() -> bool {
    std::env::var("TIDEGATE_VM").as_deref() == Ok("require") || std::env::var_os("CI").is_some()
}

/// Ends the guest that is running, if one is.
pub fn shut_down() {
    drop(CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take());
}

struct Kernel {
    series: &'static str,
    dir: PathBuf,
    version: String,
}

impl Kernel {
    /// The unpacked kernel, or a sentence that says what is missing and how to get it.
    fn find(series: &'static str) -> Result<Kernel, String> {
        let dir = kernels_dir().join(series);
        let version = fs::read_to_string(dir.join("version"))
            .map_err(|error| format!("no kernel {series} in {}: {error}; run `make test-kernels`", dir.display()))?;
        if initramfs::find_program("qemu-system-x86_64").is_none() {
            return Err("qemu-system-x86_64 is not installed; run `make deps`".into());
        }
        Ok(Kernel { series, dir, version: version.trim().to_owned() })
    }

    fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    fn modules(&self) -> PathBuf {
        self.dir.join("lib/modules").join(&self.version)
    }
}

fn kernels_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("TIDEGATE_KERNELS") {
        return dir.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from("/var/cache"), PathBuf::from);
    cache.join("tidegate/kernels")
}

struct Vm {
    series: &'static str,
    qemu: Child,
    requests: ChildStdin,
    replies: Receiver<String>,
    slow_factor: u32,
    dir: TempDir,
}

impl Vm {
    fn boot(kernel: &Kernel) -> Result<Vm, Failed> {
        let start = Instant::now();
        let dir = tempfile::Builder::new().prefix("tidegate-vm-").tempdir()?;
        let initramfs = dir.path().join("initramfs");
        initramfs::build(&kernel.modules(), &initramfs)
            .map_err(|error| format!("cannot build the initramfs: {error}"))?;

        let accel = accel(kernel);
        let mut qemu = qemu(accel)
            .args(["-smp", "2", "-m", "2048"])
            .arg("-kernel")
            .arg(kernel.image())
            .arg("-initrd")
            .arg(&initramfs)
            .args([
                "-append",
                &format!("console=ttyS0 quiet panic=-1 oops=panic no_timer_check {RCU} {}", accel.tell()),
            ])
            .arg("-serial")
            .arg(format!("file:{}", console_in(dir.path()).display()))
            .args(["-serial", "stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("qemu.log"))?)
            .spawn()?;
        let requests = qemu.stdin.take().ok_or("QEMU has no stdin")?;
        let replies = lines_of(qemu.stdout.take().ok_or("QEMU has no stdout")?);

        let slow_factor = if accel == Accel::Kvm { 1 } else { SLOW_FACTOR };
        let mut vm = Vm { series: kernel.series, qemu, requests, replies, slow_factor, dir };
        match vm.reply_within(BOOT_TIMEOUT) {
            Ok(hello) => eprintln!("vm-{}: {hello} after {:.1?} ({accel:?})", kernel.series, start.elapsed()),
            Err(error) => return Err(format!("vm-{} did not boot: {error}\n{}", kernel.series, vm.console()).into()),
        }
        Ok(vm)
    }

    fn run(&mut self, name: &str, timeout: Duration) -> Result<Outcome, String> {
        let timeout = timeout * self.slow_factor;
        writeln!(self.requests, "{name} {}", timeout.as_secs()).map_err(|error| error.to_string())?;
        let reply = self.reply_within(timeout + GRACE)?;
        serde_json::from_str(&reply).map_err(|error| format!("bad reply of the guest, {error}: {reply}"))
    }

    /// The guest's next line, which may be the serial port's idea of one.
    fn reply_within(&mut self, timeout: Duration) -> Result<String, String> {
        match self.replies.recv_timeout(timeout) {
            Ok(line) => Ok(line.trim().to_owned()),
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer of the guest within {timeout:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("QEMU ended".into()),
        }
    }

    fn console(&self) -> String {
        let mut report = String::new();
        for (name, path) in [("console", console_in(self.dir.path())), ("qemu", self.dir.path().join("qemu.log"))] {
            let _ = write!(
                report,
                "--- {name} of vm-{}, last lines ---\n{}\n",
                self.series,
                tail_of(&path, CONSOLE_LINES_SHOWN)
            );
        }
        report
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if std::env::var_os("TIDEGATE_VM_CONSOLE").is_some() {
            eprintln!("{}", self.console());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    /// What the kernel hands on to init's environment, and so to every test: measured times mean nothing there.
    fn tell(self) -> &'static str {
        if self == Accel::Tcg { "TIDEGATE_EMULATED=1" } else { "" }
    }
}

/// KVM if a guest really runs under it: the device may be there and the guest still never gets anywhere.
fn accel(kernel: &Kernel) -> Accel {
    static ACCEL: OnceLock<Accel> = OnceLock::new();
    *ACCEL.get_or_init(|| match std::env::var("TIDEGATE_VM_ACCEL").as_deref() {
        Ok("kvm") => Accel::Kvm,
        Ok("tcg") => Accel::Tcg,
        _ if Path::new("/dev/kvm").exists() && kvm_boots(&kernel.image()) => Accel::Kvm,
        _ => Accel::Tcg,
    })
}

/// Boots the kernel without a root file system: it panics for want of one, and QEMU, told not to reboot, ends.
fn kvm_boots(image: &Path) -> bool {
    let spawned = qemu(Accel::Kvm)
        .args(["-m", "256", "-append", "panic=-1", "-kernel"])
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut qemu) = spawned else { return false };
    let deadline = Instant::now() + KVM_PROBE_TIMEOUT;
    while Instant::now() < deadline {
        match qemu.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(Duration::from_millis(50)),
            Err(_) => break,
        }
    }
    let _ = qemu.kill();
    let _ = qemu.wait();
    false
}

fn qemu(accel: Accel) -> Command {
    let mut command = Command::new("setpriv");
    // A guest must not outlive the tests, however those end.
    command.args(["--pdeathsig", "KILL", "nice", "-n", "5", "qemu-system-x86_64"]);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    match accel {
        Accel::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
        Accel::Tcg => command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]),
    };
    command
}

fn console_in(dir: &Path) -> PathBuf {
    dir.join("console.log")
}

fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
