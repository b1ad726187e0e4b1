//! The kernel kills the gate because it is out of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, counter};
use crate::toolbox::load::{Heartbeats, serve_tcp_echo};
use crate::toolbox::topology::{SERVER4, Topology};
use crate::toolbox::traffic::{ask, ask_in_vain, tcp_connect};
use crate::toolbox::{SENT_AGAIN, SLOW, wait_until};

const ECHO: u16 = 7;
const RULES: &str = r#"
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000001; rev:1;)
"#;
/// Enough to run on, not enough to load [`MANY_RULES`].
const MEMORY_BYTES: u64 = 6 << 20;
const MANY_RULES: u32 = 20_000;
/// A gate without memory may stall for long before the kernel has had enough of it.
const DYING_MAX: Duration = Duration::from_secs(240);

/// A reload asks for more memory than there is: rules and fates stay in force, connections live, and the next start knows
/// them.
pub const KILLED: Scenario =
    Scenario { name: "oom::killed", needs: &[Need::Queue, Need::MemoryLimit], seconds_max: 300, run: killed };

fn killed() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let mut gate = Gate::started(&net.gateway, RULES);
    let mut condemned = tcp_connect(&net.client, SERVER4, ECHO).expect("a connection");
    ask(&mut condemned, b"fine").expect("an echo");
    ask_in_vain(&mut condemned, b"attack").expect_err("the attack is dropped");
    gate.wait_for_alerts(1_000_001, 1);
    let heartbeats = Heartbeats::start(&net.client, SERVER4, ECHO, 4);
    heartbeats.wait_for_rounds(2, SLOW);
    let _report = Report(&net);

    let group = MemoryGroup::new(MEMORY_BYTES).expect("a control group for memory");
    group.take_in(gate.pid());
    let rules = gate.path("test.rules");
    fs::write(&rules, format!("{RULES}{}", many_rules())).expect("room for a rule file");
    gate.reload();
    gate.wait_until_killed(DYING_MAX);
    assert!(group.kills() > 0, "it was the kernel, for memory");

    stays_condemned(&net, &mut condemned);
    // What it held when it died is sent again.
    heartbeats.wait_for_rounds(2, SENT_AGAIN);
    fs::write(&rules, RULES).expect("room for a rule file");
    gate.start();
    assert!(gate.log().contains("1 of them with a fate"), "{}", gate.log());
    stays_condemned(&net, &mut condemned);
    heartbeats.wait_for_rounds(2, SLOW);
    heartbeats.finish();
    assert_eq!(gate.alerts(1_000_001).len(), 1, "nobody was asked again");
}

#[track_caller]
fn stays_condemned(net: &Topology, stream: &mut std::net::TcpStream) {
    let before = counter(&net.gateway, "fate_dropped");
    ask_in_vain(stream, b"anything").expect_err("condemned");
    wait_until("nftables to drop", SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > before);
}

/// What the kernel has, for a failure; the gate's own log is told with it.
struct Report<'n>(&'n Topology);

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for line in ["nft list counters table inet tidegate", "conntrack -L", "cat /proc/net/netfilter/nfnetlink_queue"]
        {
            let mut words = line.split(' ');
            let output = self.0.gateway.command(words.next().unwrap_or_default()).args(words).output();
            let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            eprintln!("--- {line} ---\n{}", told.unwrap_or_else(|error| error.to_string()));
        }
    }
}

fn many_rules() -> String {
    let rule = |number: u32| {
        let sid = 2_000_000 + number;
        format!(
            "alert tcp any any -> any any (msg:\"filler {number}\"; flow:to_server; content:\"filler-{number:x}-{sid:x}\"; \
             pcre:\"/f[a-z]+{number}(one|two|three)/i\"; sid:{sid}; rev:1;)\n"
        )
    };
    (0..MANY_RULES).map(rule).collect()
}

/// A control group of ours with so much memory and no swap; removed on drop. Of the second version where that has memory,
/// else of the first.
struct MemoryGroup {
    dir: PathBuf,
    unified: bool,
}

/// Where a machine, or the guest's init, mounts them.
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const FIRST: &str = "/sys/fs/cgroup/memory";

/// Whether processes can be given a limit of memory here.
pub fn is_possible() -> bool {
    MemoryGroup::new(MEMORY_BYTES).is_some()
}

impl MemoryGroup {
    fn new(bytes: u64) -> Option<MemoryGroup> {
        let name = format!("tidegate-e2e-{}", std::process::id());
        let unified = UNIFIED.iter().map(Path::new).find(|root| {
            // The root's children may be limited only if it says so.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            let controllers = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
            controllers.split_whitespace().any(|controller| controller == "memory")
        });
        let dir = unified.unwrap_or(Path::new(FIRST)).join(name);
        let unified = unified.is_some();
        if !dir.parent()?.join("cgroup.procs").exists() {
            return None;
        }
        fs::create_dir(&dir).ok()?;
        let group = MemoryGroup { dir, unified };
        let limit = if unified { "memory.max" } else { "memory.limit_in_bytes" };
        fs::write(group.dir.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }

    /// What the process has already stays on the account of others; what it takes from now on is limited.
    fn take_in(&self, pid: u32) {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string()).expect("a process that runs");
    }

    /// Processes of it that the kernel has killed.
    fn kills(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.dir.join(file)).expect("a group that is there");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for file in ["memory.events", "memory.max", "memory.current", "memory.oom_control", "cgroup.procs"] {
                let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
                eprintln!("--- {file} ---\n{text}");
            }
        }
        let _ = Command::new("rmdir").arg(&self.dir).status();
    }
}
