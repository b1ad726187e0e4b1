//! The guest's root file system, made of this machine's own programs: what a scenario runs on the host and in the guest
//! is the same nft, ip, conntrack and iperf3.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs;
use crate::toolbox::gate;

/// Programs that scenarios call, beside busybox.
const PROGRAMS: [&str; 8] = ["ip", "ss", "tc", "nft", "conntrack", "iperf3", "kmod", "xtables-nft-multi"];
/// Names under which a program with many names is called.
const LINKS: [(&str, &str); 10] = [
    ("kmod", "modprobe"),
    ("kmod", "lsmod"),
    ("xtables-nft-multi", "iptables"),
    ("xtables-nft-multi", "ip6tables"),
    ("xtables-nft-multi", "iptables-save"),
    ("xtables-nft-multi", "ip6tables-save"),
    ("xtables-nft-multi", "iptables-restore"),
    ("xtables-nft-multi", "ip6tables-restore"),
    ("xtables-nft-multi", "iptables-nft"),
    ("xtables-nft-multi", "ip6tables-nft"),
];
/// Whole directories of modules, so that the kernel's own autoloading finds what a rule asks for.
const MODULE_DIRS: [&str; 5] = [
    "kernel/net/netfilter",
    "kernel/net/ipv4/netfilter",
    "kernel/net/ipv6/netfilter",
    "kernel/net/bridge",
    "kernel/net/8021q",
];
const MODULES: [&str; 15] = [
    "veth",
    "dummy",
    "vrf",
    "ipip",
    "sit",
    "ip_gre",
    "gre",
    "sch_netem",
    "sch_ingress",
    "cls_matchall",
    "act_mirred",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "8021q",
];
const INIT: &str = include_str!("init");
const SEARCH_DIRS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Writes an initramfs with the modules of `modules` (a `lib/modules/VERSION`) to the file `target`.
pub fn build(modules: &Path, target: &Path) -> io::Result<()> {
    let stage = tempfile::Builder::new().prefix("tidegate-initramfs-").tempdir()?;
    let root = Root(stage.path());
    for dir in ["dev", "proc", "sys", "run", "tmp", "etc", "bin/busybox.d", "usr/sbin", "tidegate"] {
        fs::create_dir_all(root.at(dir))?;
    }
    fs::write(root.at("init"), INIT)?;
    fs::set_permissions(root.at("init"), fs::Permissions::from_mode(0o755))?;
    for file in ["/etc/protocols", "/etc/services"] {
        root.copy_if_there(file)?;
    }
    add_programs(&root)?;
    add_project(&root)?;
    add_modules(&root, modules)?;
    pack(stage.path(), target)
}

/// Where a program is, looking also where a user's `PATH` does not.
pub fn find_program(name: &str) -> Option<PathBuf> {
    SEARCH_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// The file system under construction.
struct Root<'a>(&'a Path);

impl Root<'_> {
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Copies a file to `to`, with the libraries that it is linked with.
    fn add_binary(&self, from: &Path, to: &str) -> io::Result<()> {
        copy(from, &self.at(to))?;
        self.add_libraries_of(from)
    }

    fn add_libraries_of(&self, binary: &Path) -> io::Result<()> {
        let output = Command::new("ldd").arg(binary).output()?;
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, and the loader as `/lib64/ld-linux-x86-64.so.2 (0x...)`
        for path in String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy_if_there(path)?;
        }
        Ok(())
    }

    /// Copies a file to the same place, unless it is there already or does not exist.
    fn copy_if_there(&self, path: &str) -> io::Result<()> {
        let target = self.at(path);
        if target.exists() || !Path::new(path).exists() {
            return Ok(());
        }
        copy(Path::new(path), &target)
    }
}

fn add_programs(root: &Root<'_>) -> io::Result<()> {
    let require = |name: &str| {
        find_program(name).ok_or_else(|| io::Error::other(format!("{name} is not installed; run `make deps`")))
    };
    root.add_binary(&require("busybox")?, "bin/busybox")?;
    for name in PROGRAMS {
        root.add_binary(&require(name)?, &format!("usr/sbin/{name}"))?;
    }
    for (program, link) in LINKS {
        symlink(program, root.at("usr/sbin").join(link))?;
    }
    // The kernel's own idea of where modprobe is.
    fs::create_dir_all(root.at("sbin"))?;
    symlink("/usr/sbin/kmod", root.at("sbin/modprobe"))?;
    for plugins in glob::glob("/usr/lib/*/xtables/*.so").into_iter().flatten().flatten() {
        root.copy_if_there(&plugins.to_string_lossy())?;
    }
    Ok(())
}

/// The program under test, this test, the other tests that run in guests, and the files that the project ships.
fn add_project(root: &Root<'_>) -> io::Result<()> {
    let mut binaries =
        vec![(gate::binary(), "tidegate/tidegate".to_owned()), (std::env::current_exe()?, "tidegate/e2e".to_owned())];
    for (name, path) in programs::build().map_err(io::Error::other)? {
        binaries.push((path, format!("{}/{name}", programs::GUEST_DIR)));
    }
    for (binary, to) in binaries {
        root.add_binary(&binary, &to)?;
        // Debug information is most of a test build, and all of it would have to be copied into the guest's memory.
        let _ = Command::new("strip").arg("--strip-debug").arg(root.at(to)).status();
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in ["rules", "nft"] {
        for file in glob::glob(&format!("{}/{dir}/**/*", project.display())).into_iter().flatten().flatten() {
            if file.is_file() {
                let relative = file.strip_prefix(project).map_err(io::Error::other)?;
                copy(&file, &root.at("tidegate").join(relative))?;
            }
        }
    }
    Ok(())
}

/// Adds [`MODULES`], everything in [`MODULE_DIRS`], and what those depend on.
fn add_modules(root: &Root<'_>, modules: &Path) -> io::Result<()> {
    let modules_dep = fs::read_to_string(modules.join("modules.dep"))?;
    let dependencies = parse_modules_dep(&modules_dep);
    let wanted = dependencies.keys().copied().filter(|path| {
        let name = Path::new(path).file_stem().unwrap_or_default();
        MODULE_DIRS.iter().any(|dir| path.starts_with(dir)) || MODULES.iter().any(|module| name == *module)
    });
    // modules.dep lists the whole closure of each module, not only its direct dependencies.
    let closure: BTreeSet<&str> =
        wanted.flat_map(|path| std::iter::once(path).chain(dependencies[path].iter().copied())).collect();

    let version = modules.file_name().unwrap_or_default();
    let target = root.at("lib/modules").join(version);
    for path in closure {
        copy(&modules.join(path), &target.join(path))?;
    }
    for index in glob::glob(&format!("{}/modules.*", modules.display())).into_iter().flatten().flatten() {
        copy(&index, &target.join(index.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// `kernel/a.ko: kernel/b.ko kernel/c.ko`, one module a line.
fn parse_modules_dep(text: &str) -> BTreeMap<&str, Vec<&str>> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(module, dependencies)| (module, dependencies.split_whitespace().collect()))
        .collect()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let describe = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", from.display()));
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(describe)?;
    fs::copy(from, to).map_err(describe)?;
    Ok(())
}

fn pack(stage: &Path, target: &Path) -> io::Result<()> {
    let output = Command::new("sh")
        .args(["-euc", "cd \"$1\"; find . | cpio --quiet -o -H newc -R 0:0 >\"$2\"", "pack"])
        .args([stage, target])
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("cpio: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}
