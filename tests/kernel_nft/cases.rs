//! What the table must do. Each case runs on a thread in a network namespace of its own; the end-to-end tests run the
//! same cases on other kernels.

use libtest_mimic::Failed;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tidegate::kernel::nft::{
    self, Asked, Balance, Block, Conflict, ConflictKind, GateTable, Hook, NftError, QueueMode, Queues,
};
use tidegate::kernel::probe::{self, Asker, KernelFeatures, State};
use tidegate::packet::fate::{FateLabels, FateStore};

pub type Outcome = Result<(), Failed>;

/// A case by name, whether it needs the `queue` expression, and what it does.
pub type Case = (&'static str, bool, fn() -> Outcome);

pub const CASES: &[Case] = &[
    ("install_says_how_and_present_agrees", false, install_says_how_and_present_agrees),
    ("print_without_queue_rules_gives_what_install_gives", false, print_without_queue_rules),
    ("print_gives_what_install_gives_byte_for_byte", true, print_gives_what_install_gives),
    ("print_loaded_twice_is_the_same_table", true, print_loaded_twice),
    ("install_again_keeps_chains_counters_and_blocks", false, install_again_keeps),
    ("queueing_off_and_on", false, queueing_off_and_on),
    ("foreign_tables_stay_byte_identical", false, foreign_tables_stay),
    ("a_table_that_is_not_ours_is_refused", false, not_ours_is_refused),
    ("a_table_that_another_process_owns_is_refused", false, owned_is_refused),
    ("other_hooks_are_refused_or_replaced", false, other_hooks),
    ("blocks_come_expire_and_go", false, blocks_come_and_go),
    ("a_full_block_set_says_so", false, full_block_set),
    ("remove_without_a_table_is_no_error", false, remove_without_table),
    ("without_the_capability_says_so", false, without_capability),
    ("offered_is_counted_and_bypasses_without_reader", false, offered_is_counted),
    ("fates_are_carried_out_by_the_kernel", false, fates_are_carried_out),
    ("pass_of_an_older_generation_is_queued_again", false, older_pass_is_queued),
    ("loopback_is_offered_once", false, loopback_is_offered_once),
    ("what_waits_in_a_queue_survives_install_and_queueing_off", false, waiting_packets_survive),
    ("a_busy_ruleset_does_not_keep_us_from_installing", false, busy_ruleset),
    ("install_wakes_a_dormant_table", false, dormant_table_wakes),
    ("probing_leaves_no_trace_and_agrees_with_install", false, probing_leaves_no_trace),
    ("foreign_rules_on_our_queues_and_bits_are_found", false, foreign_rules_are_found),
    ("the_doctor_names_what_is_wrong", false, doctor_names_what_is_wrong),
    ("who_asks_about_connections_is_found_and_we_can", false, who_asks),
];

fn nft(arguments: &str) -> Result<String, Failed> {
    let output = Command::new("nft").args(arguments.split_whitespace()).output()?;
    if !output.status.success() {
        return Err(format!("nft {arguments}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn nft_load(rules: &str) -> Outcome {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().unwrap().write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
}

fn loopback_up() -> Outcome {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if status.success() { Ok(()) } else { Err("ip link set lo up".into()) }
}

fn host() -> GateTable {
    GateTable { hook: Hook::Host, ..GateTable::default() }
}

/// One datagram over loopback: whether it arrived.
fn datagram_arrives() -> Result<bool, Failed> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(Some(Duration::from_millis(300)))?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(b"x", receiver.local_addr()?)?;
    match receiver.recv(&mut [0; 8]) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A foreign rule that gives every connection this conntrack mark before our chain sees it.
fn mark_everything(mark: u32) -> Outcome {
    nft_load(&format!(
        "table ip foreign {{\n chain out {{ type filter hook output priority 0;\n ct mark set {mark:#x}\n }}\n}}\n"
    ))
}

fn install_says_how_and_present_agrees() -> Outcome {
    assert_eq!(nft::present()?, None);
    let table = GateTable { queues: Queues { first: 300, count: 3 }, ..host() };
    let installed = nft::install(&table)?;
    let present = nft::present()?.unwrap();
    assert_eq!(present.queueing, Some((installed.mode, table.queues)));
    assert_eq!(present.hooks, ["input priority 20", "output priority 20"]);
    if installed.mode == QueueMode::XtTarget {
        assert_eq!(installed.balance, Balance::Addresses);
    }
    Ok(())
}

/// On kernels without nft_queue: all but the queue rules compared.
fn print_without_queue_rules() -> Outcome {
    let without_queue = |text: &str| -> String {
        let line = |line: &&str| !line.contains("queue ") && !line.contains("libxtables") && !line.starts_with('#');
        text.lines().filter(line).map(|line| format!("{line}\n")).collect()
    };
    let marks = [Hook::Forward, Hook::Host, Hook::Prerouting].map(|hook| (hook, FateStore::default()));
    for (hook, fate) in marks.into_iter().chain([(Hook::Forward, FateStore::Labels(FateLabels::default()))]) {
        let table = GateTable { hook, fate, priority: -7, generation: 1, ..GateTable::default() };
        nft::install(&table)?;
        assert_eq!(nft::present()?.unwrap().fates, Some(fate));
        assert_eq!(nft::present()?.unwrap().rules, Some((1, 0)));
        let installed = without_queue(&nft("list table inet tidegate")?);
        assert!(nft::remove()?);
        nft_load(&without_queue(&nft::print(&table)))?;
        assert_eq!(without_queue(&nft("list table inet tidegate")?), installed, "{hook:?}");
        assert!(nft::remove()?, "a printed table counts as ours");
    }
    Ok(())
}

fn print_gives_what_install_gives() -> Outcome {
    let labels = GateTable { fate: FateStore::Labels(FateLabels::default()), generation: 5, ..GateTable::default() };
    let fast = GateTable { flowtable: vec!["lo".to_owned()], ..GateTable::default() };
    let hooks = [(Hook::Forward, 4), (Hook::Host, 1), (Hook::Prerouting, 16)];
    let hooks =
        hooks.map(|(hook, count)| GateTable { hook, queues: Queues { first: 100, count }, ..GateTable::default() });
    for table in hooks.into_iter().chain([labels, fast]) {
        let (hook, count) = (table.hook, table.queues.count);
        nft::install(&table)?;
        let installed = (nft("list table inet tidegate")?, in_handles_out(&nft("--debug=netlink list ruleset")?));
        assert!(nft::remove()?);
        nft_load(&nft::print(&table))?;
        let loaded = (nft("list table inet tidegate")?, in_handles_out(&nft("--debug=netlink list ruleset")?));
        assert_eq!(loaded, installed, "{hook:?}");
        assert_eq!(loaded.1.iter().filter(|line| line.contains("= jhash(")).count(), if count > 1 { 4 } else { 0 });
        assert!(nft::remove()?);
    }
    Ok(())
}

/// The netlink listing without handles, which count what ever was in the table, and without the order of set elements.
fn in_handles_out(listing: &str) -> Vec<String> {
    let mut lines: Vec<String> = listing
        .lines()
        .map(|line| {
            if line.starts_with("inet ") {
                line.trim_end_matches(|c: char| c == ' ' || c.is_ascii_digit())
            } else {
                line
            }
        })
        .map(str::to_owned)
        .collect();
    let elements: Vec<usize> =
        (0..lines.len()).filter(|index| lines[*index].trim_start().starts_with("element")).collect();
    let mut sorted: Vec<String> = elements.iter().map(|index| lines[*index].clone()).collect();
    sorted.sort();
    for (index, line) in elements.into_iter().zip(sorted) {
        lines[index] = line;
    }
    lines
}

fn print_loaded_twice() -> Outcome {
    let text = nft::print(&host());
    nft_load(&text)?;
    let once = nft("list table inet tidegate")?;
    nft_load(&text)?;
    assert_eq!(nft("list table inet tidegate")?, once);
    Ok(())
}

/// Lines of `nft -a list` that name a base chain with its handle.
fn chain_handles() -> Result<Vec<String>, Failed> {
    Ok(nft("-a list table inet tidegate")?.lines().filter(|line| line.contains("chain ")).map(str::to_owned).collect())
}

fn install_again_keeps() -> Outcome {
    loopback_up()?;
    nft::install(&host())?;
    let before = chain_handles()?;
    assert!(datagram_arrives()?);
    nft::block(&[Block { source: "192.0.2.1".parse()?, expires: None }])?;
    let counted = nft::read_counters()?.offered.packets;
    assert!(counted > 0);
    nft::install(&GateTable { queues: Queues { first: 40, count: 2 }, generation: 1, ..host() })?;
    assert_eq!(chain_handles()?, before);
    assert_eq!(nft::read_counters()?.offered.packets, counted);
    assert_eq!(nft::blocked()?.len(), 1);
    assert_eq!(nft::present()?.unwrap().queueing.unwrap().1, Queues { first: 40, count: 2 });
    Ok(())
}

fn without_counts(listed: &str) -> String {
    listed.lines().filter(|line| !line.trim_start().starts_with("packets ")).collect::<Vec<_>>().join("\n")
}

fn queueing_off_and_on() -> Outcome {
    loopback_up()?;
    assert!(matches!(nft::set_queueing(&host(), false), Err(NftError::Absent)));
    nft::install(&host())?;
    let full = nft("list table inet tidegate")?;
    let handles = chain_handles()?;
    nft::set_queueing(&host(), false)?;
    assert_eq!(nft::present()?.unwrap().queueing, None);
    let off = nft("list table inet tidegate")?;
    assert!(!off.contains("queue ") && off.contains("fate_dropped") && off.contains("@block4"), "{off}");
    assert!(datagram_arrives()?);
    assert_eq!(nft::read_counters()?.offered.packets, 0);
    nft::set_queueing(&host(), true)?;
    assert_eq!(chain_handles()?, handles);
    assert_eq!(without_counts(&nft("list table inet tidegate")?), without_counts(&full));
    Ok(())
}

const FOREIGN: &str = r#"
table inet filter {
    set allowed {
        type ipv4_addr
        flags interval
        elements = { 10.0.0.0/8, 192.0.2.7 }
    }
    counter seen {
        packets 7 bytes 700
    }
    chain web {
        counter name "seen" accept comment "web"
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        ip saddr @allowed tcp dport vmap { 22 : accept, 80 : jump web }
    }
    chain forward {
        type filter hook forward priority 20; policy accept;
        ct mark & 0xff == 0x10 counter accept
    }
}
table ip nat {
    chain post {
        type nat hook postrouting priority 100;
        oifname "wan" masquerade
    }
}
table bridge b {
    chain f {
        type filter hook forward priority 0;
        ether type arp accept
    }
}
table inet tidegate2 {
    chain gate {
        counter
    }
}
"#;

fn foreign_tables_stay() -> Outcome {
    nft_load(FOREIGN)?;
    let before = nft("-a list ruleset")?;
    let check = |after: &str| -> Outcome {
        let all = nft("-a list ruleset")?;
        let start = all.find("table inet tidegate {").unwrap_or(all.len());
        let ours = all[start..].find("\n}\n").map_or(0, |end| end + 3);
        let foreign = format!("{}{}", &all[..start], &all[start + ours..]);
        assert_eq!(foreign, before, "after {after}");
        Ok(())
    };
    let table = GateTable::default();
    nft::install(&table)?;
    check("install")?;
    nft::install(&GateTable { generation: 1, ..table.clone() })?;
    check("a second install")?;
    nft::set_queueing(&table, false)?;
    check("queueing off")?;
    nft::block(&[Block { source: "2001:db8::1".parse()?, expires: None }])?;
    check("a block")?;
    nft::replace(&host())?;
    check("replacement")?;
    nft::remove()?;
    assert_eq!(nft("-a list ruleset")?, before);
    Ok(())
}

fn not_ours_is_refused() -> Outcome {
    for foreign in
        ["table inet tidegate { }", "table inet tidegate {\n comment \"mine\"\n chain gate {\n accept\n }\n}"]
    {
        nft_load(&format!("{foreign}\n"))?;
        let before = nft("-a list ruleset")?;
        assert!(matches!(nft::install(&GateTable::default()), Err(NftError::NotOurs { .. })));
        assert!(matches!(nft::replace(&GateTable::default()), Err(NftError::NotOurs { .. })));
        assert!(matches!(nft::remove(), Err(NftError::NotOurs { .. })));
        assert!(matches!(nft::present(), Err(NftError::NotOurs { .. })));
        assert_eq!(nft("-a list ruleset")?, before);
        nft("delete table inet tidegate")?;
    }
    Ok(())
}

fn owned_is_refused() -> Outcome {
    let mut owner = Owner(Command::new("nft").arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?);
    let mut input = owner.0.stdin.take().unwrap();
    writeln!(input, "add table inet tidegate {{ flags owner; }}")?;
    let appears = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        nft("list tables").is_ok_and(|tables| tables.contains("tidegate"))
    });
    assert!(appears, "nft -i did not make an owned table");
    let error = nft::install(&GateTable::default()).unwrap_err();
    assert!(matches!(error, NftError::Owned { .. }), "{error}");
    assert!(matches!(nft::remove(), Err(NftError::Owned { .. })));
    Ok(())
}

/// Ends the process that owns a table.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn other_hooks() -> Outcome {
    nft::install(&GateTable::default())?;
    let before = nft("-a list ruleset")?;
    for other in [host(), GateTable { priority: 30, ..GateTable::default() }] {
        let error = nft::install(&other).unwrap_err();
        assert!(matches!(error, NftError::HookDiffers { .. }), "{error}");
        assert!(error.to_string().contains("forward priority 20"), "{error}");
    }
    assert_eq!(nft("-a list ruleset")?, before);
    nft::replace(&host())?;
    assert_eq!(nft::present()?.unwrap().hooks.len(), 2);
    Ok(())
}

fn blocks_come_and_go() -> Outcome {
    assert!(matches!(nft::block(&[]), Err(NftError::Absent)));
    loopback_up()?;
    nft::install(&host())?;
    let v6: IpAddr = "2001:db8::7".parse()?;
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let for_ms = |source, ms| Block { source, expires: Some(Duration::from_millis(ms)) };
    nft::block(&[for_ms(localhost, 60_000), Block { source: v6, expires: None }])?;
    assert!(!datagram_arrives()?);
    assert_eq!(nft::read_counters()?.blocked.packets, 1);
    let blocks = nft::blocked()?;
    assert_eq!(blocks.iter().map(|block| block.source).collect::<Vec<_>>(), [localhost, v6]);
    let left = blocks[0].expires.unwrap();
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
    assert_eq!(blocks[1].expires, None);
    // A second block sets the new time, shorter as well as longer.
    nft::block(&[for_ms(localhost, 300)])?;
    std::thread::sleep(Duration::from_millis(600));
    assert!(datagram_arrives()?);
    nft::unblock(&[v6, localhost])?;
    assert_eq!(nft::blocked()?, []);
    Ok(())
}

fn full_block_set() -> Outcome {
    nft::install(&GateTable { block_count_max: 2, ..GateTable::default() })?;
    let block = |last| Block { source: Ipv4Addr::new(192, 0, 2, last).into(), expires: None };
    nft::block(&[block(1), block(2)])?;
    let error = nft::block(&[block(3)]).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENFILE), "{error}");
    assert!(error.to_string().contains("192.0.2.3 of the set block4"), "{error}");
    assert_eq!(nft::blocked()?.len(), 2);
    Ok(())
}

fn remove_without_table() -> Outcome {
    assert!(!nft::remove()?);
    nft::install(&GateTable::default())?;
    assert!(nft::remove()?);
    assert!(!nft::remove()?);
    assert_eq!(nft("list ruleset")?, "");
    assert!(matches!(nft::read_counters(), Err(NftError::Absent)));
    Ok(())
}

fn without_capability() -> Outcome {
    // The test's own thread, which ends with the test.
    caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN)?;
    for error in [
        nft::install(&GateTable::default()).unwrap_err(),
        nft::remove().unwrap_err(),
        nft::read_counters().unwrap_err(),
    ] {
        assert!(matches!(error, NftError::NotPermitted), "{error}");
    }
    Ok(())
}

fn offered_is_counted() -> Outcome {
    loopback_up()?;
    nft::install(&host())?;
    assert!(datagram_arrives()?);
    let counters = nft::read_counters()?;
    assert_eq!(counters.offered.packets, 1, "{counters:?}");
    assert_eq!(counters.offered.bytes, 29);
    Ok(())
}

fn fates_are_carried_out() -> Outcome {
    loopback_up()?;
    nft::install(&host())?;
    mark_everything(0x0200_0000)?;
    assert!(!datagram_arrives()?);
    assert_eq!(nft::read_counters()?.fate_dropped.packets, 1);
    nft("flush table ip foreign")?;

    nft("add rule ip foreign out ct mark set 0x03000000")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let error = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let rejected = nft::read_counters()?.fate_rejected.packets;
    assert!(rejected >= 1);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect("127.0.0.1:9")?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send(b"x")?;
    assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    nft("flush table ip foreign")?;

    nft("add rule ip foreign out ct mark set 0x01000000")?;
    assert!(datagram_arrives()?);
    let counters = nft::read_counters()?;
    assert_eq!((counters.fate_passed.packets, counters.offered.packets), (1, 0), "{counters:?}");
    Ok(())
}

fn older_pass_is_queued() -> Outcome {
    loopback_up()?;
    let mut table = host();
    for (generation, mark, passed) in
        [(0, 0x0100_0000, 1), (1, 0x0100_0000, 0), (1, 0x0500_0000, 1), (2, 0x0500_0000, 0)]
    {
        table.generation = generation;
        nft::install(&table)?;
        mark_everything(mark)?;
        let before = nft::read_counters()?;
        assert!(datagram_arrives()?);
        let after = nft::read_counters()?;
        assert_eq!(after.fate_passed.packets - before.fate_passed.packets, passed, "{generation} {mark:#x}");
        assert_eq!(after.offered.packets - before.offered.packets, 1 - passed);
        nft("delete table ip foreign")?;
    }
    Ok(())
}

fn loopback_is_offered_once() -> Outcome {
    loopback_up()?;
    nft::install(&host())?;
    for _ in 0..5 {
        assert!(datagram_arrives()?);
    }
    assert_eq!(nft::read_counters()?.offered.packets, 5);
    Ok(())
}

fn probing_leaves_no_trace() -> Outcome {
    nft_load(FOREIGN)?;
    let before = nft("-a list ruleset")?;
    let features = nft::probe()?;
    assert_eq!(nft("-a list ruleset")?, before);
    let installed = nft::install(&GateTable::default())?;
    assert_eq!(features.queue, Some(installed.mode == QueueMode::NftQueue));
    if installed.mode == QueueMode::NftQueue {
        assert_eq!(features.hash, Some(installed.balance == Balance::Connection));
    }
    assert_eq!((features.reject, features.xt_target), (Some(true), Some(true)));
    Ok(())
}

fn run(line: &str) -> Outcome {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output()?;
    if output.status.success() { Ok(()) } else { Err(format!("{line}: {output:?}").into()) }
}

fn foreign_rules_are_found() -> Outcome {
    let table = GateTable { queues: Queues { first: 10, count: 4 }, ..GateTable::default() };
    nft::install(&table)?;
    nft_load(FOREIGN)?;
    assert_eq!(nft::conflicts(&table)?, [], "our own rules, and marks of others that are none of our bits");

    for line in [
        "iptables -A FORWARD -j NFQUEUE --queue-balance 13:15",
        "iptables -A FORWARD -j NFQUEUE --queue-num 9",
        "ip6tables -A INPUT -j CONNMARK --set-xmark 0x02000000/0x0f000000",
        "ip6tables -A INPUT -j CONNMARK --set-xmark 0x1/0xff",
        "iptables -A INPUT -m connmark --mark 0x1000000/0x1000000 -j ACCEPT",
    ] {
        run(line)?;
    }
    nft_load(
        "table inet marks {
            chain c {
                ct mark set 5
                ct mark set ct mark and 0xf8ffffff or 0x06000000
                ct mark set ct mark and 0xffffff00 or 0x1
                ct mark 5 tcp flags syn accept
                ct mark and 0x00ff0000 == 0x00010000 tcp flags syn accept
                meta mark set ct mark
            }
        }\n",
    )?;
    let mut kinds: Vec<(String, ConflictKind)> = nft::conflicts(&table)?
        .into_iter()
        .map(|Conflict { rule, kind, .. }| (rule.split(" handle").next().unwrap().to_owned(), kind))
        .collect();
    kinds.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("inet marks c", ConflictKind::MarkWritten(0x0700_0000)),
        ("inet marks c", ConflictKind::MarkWritten(0x0700_0000)),
        ("inet marks c", ConflictKind::MarkRead(0x0700_0000)),
        ("inet marks c", ConflictKind::MarkRead(0x0700_0000)),
        ("ip filter FORWARD", ConflictKind::Queue(Queues { first: 13, count: 3 })),
        ("ip filter INPUT", ConflictKind::MarkRead(0x0100_0000)),
        ("ip6 filter INPUT", ConflictKind::MarkWritten(0x0700_0000)),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(rule, kind)| (rule.to_owned(), kind)).collect();
    assert_eq!(kinds, expected);
    Ok(())
}

fn doctor_names_what_is_wrong() -> Outcome {
    let features = KernelFeatures::probe()?;
    assert_eq!((features.queue, features.conntrack_netlink, features.nf_tables), (Some(true), Some(true), Some(true)));
    let state = |table: &GateTable, name: &str| -> State {
        let findings = probe::findings(&features, table, Asker::Others);
        for finding in &findings {
            assert!(finding.state == State::Ok || finding.way_out.is_some(), "{finding} has no way out");
        }
        findings.iter().filter(|finding| finding.name == name).map(|finding| finding.state).max().unwrap()
    };
    let table = GateTable { queues: Queues { first: 10, count: 2 }, ..GateTable::default() };
    for (name, expected) in [
        ("queue", State::Ok),
        ("net-admin", State::Ok),
        ("ip-forward", State::Degraded),
        ("queue-owner", State::Ok),
        ("conntrack-asked", State::Degraded),
        ("table", State::Ok),
        ("foreign-rules", State::Ok),
    ] {
        assert_eq!(state(&table, name), expected, "{name}");
    }
    nft_load("table inet tidegate {\n}\n")?;
    run("iptables -A INPUT -j CONNMARK --set-xmark 0x0/0xffffffff")?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "0")?;
    let (_queue, _) = tidegate::kernel::queue::Queue::open(&tidegate::kernel::queue::QueueConfig::new(11))?;
    for (name, expected) in [
        ("table", State::Missing),
        ("foreign-rules", State::Degraded),
        ("ip-forward", State::Ok),
        ("conntrack-acct", State::Degraded),
        ("queue-owner", State::Degraded),
    ] {
        assert_eq!(state(&table, name), expected, "{name}");
    }
    Ok(())
}

fn who_asks() -> Outcome {
    let asks = || nft::who_asks().map(|asks| (asks.ipv4, asks.ipv6));
    assert_eq!(asks()?, (false, false));
    nft_load("table ip nat {\n chain c {\n type nat hook postrouting priority srcnat\n oifname lo masquerade\n}\n}\n")?;
    assert_eq!(asks()?, (true, false));
    run("ip6tables -A INPUT -m conntrack --ctstate INVALID -j DROP")?;
    assert_eq!(asks()?, (true, true));
    nft("flush ruleset")?;

    assert!(!nft::is_asking(Asked::Ip)? && !nft::stop_asking(Asked::Ip)?);
    nft::ask(Asked::Ip)?;
    nft::ask(Asked::Ip)?;
    assert_eq!(asks()?, (true, true));
    assert!(nft("list table inet tidegate_conntrack")?.contains("ct state related comment \"never jumped to"));
    assert!(nft::is_asking(Asked::Ip)? && nft::stop_asking(Asked::Ip)?);
    assert_eq!((asks()?, nft("list ruleset")?), ((false, false), String::new()));

    nft_load("table inet tidegate_conntrack {\n}\n")?;
    let refusal = nft::ask(Asked::Ip).unwrap_err();
    assert!(refusal.to_string().contains("`inet tidegate_conntrack` exists that tidegate did not make"), "{refusal}");
    Ok(())
}

fn waiting_packets_survive() -> Outcome {
    loopback_up()?;
    let table = GateTable { queues: Queues { first: 20, count: 1 }, ..host() };
    let mut queue = nfq::Queue::open()?;
    queue.bind(20)?;
    nft::install(&table)?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"waits", receiver.local_addr()?)?;
    let mut packet = queue.recv()?;
    nft::install(&GateTable { generation: 1, ..table.clone() })?;
    nft::set_queueing(&table, false)?;
    nft::set_queueing(&table, true)?;
    packet.set_verdict(nfq::Verdict::Accept);
    queue.verdict(packet)?;
    assert_eq!(receiver.recv(&mut [0; 8])?, 5);
    Ok(())
}

fn busy_ruleset() -> Outcome {
    let changes = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A thread starts in the namespace of the one that starts it.
        let busy = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                nft_load("add table ip busy; add chain ip busy c; delete table ip busy\n").unwrap();
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let installs = || -> Outcome {
            let mut generation = 0;
            while generation < 30 || (changes.load(Ordering::Relaxed) < 10 && !busy.is_finished()) {
                generation += 1;
                nft::install(&GateTable { generation, ..GateTable::default() })?;
                nft::read_counters()?;
                if generation % 10 == 0 {
                    assert!(nft::remove()?);
                }
            }
            Ok(())
        };
        let outcome = installs();
        done.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        outcome
    })
}

fn dormant_table_wakes() -> Outcome {
    loopback_up()?;
    nft::install(&host())?;
    nft_load("add table inet tidegate { flags dormant; }\n")?;
    assert!(datagram_arrives()?);
    assert_eq!(nft::read_counters()?.offered.packets, 0);
    nft::install(&host())?;
    assert!(datagram_arrives()?);
    assert_eq!(nft::read_counters()?.offered.packets, 1);
    Ok(())
}
