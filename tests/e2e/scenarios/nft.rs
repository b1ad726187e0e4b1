//! Our table between three hosts: which queue a connection meets, and what becomes of a fate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nfq::{Queue, Verdict};
use tidegate::kernel::namespace::in_fresh_network;
use tidegate::kernel::nft::{self, Balance, GateTable, Hook, Installed, NftError, QueueMode, Queues};

use crate::scenario::{Need, Scenario};
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, SERVERS, Topology};
use crate::toolbox::traffic::{http_get, serve_http, serve_udp_echo, tcp_connect, udp_ask};
use crate::toolbox::{SENT_AGAIN, SLOW, wait_until};

const QUEUES: Queues = Queues { first: 100, count: 4 };
const ROUNDS: usize = 40;
const GATEWAYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 77, 1, 1)), IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 1, 0, 0, 0, 0, 1))];

/// Both directions of a connection meet one queue, NAT or not, errors about it too, and all queues are used.
pub const BALANCE: Scenario =
    Scenario { name: "nft::balance", needs: &[Need::NftQueue], seconds_max: 60, run: balance };

fn balance() {
    let net = Topology::new();
    net.gateway
        .nft(
            "table ip nat {
                chain in { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 10.77.2.2:81; }
                chain out { type nat hook postrouting priority srcnat; oifname \"wan\" masquerade; }
            }",
        )
        .expect("NAT");
    // Errors are what this is about, so none may be held back.
    net.server.sysctl("net.ipv4.icmp_ratelimit", "0");
    net.server.sysctl("net.ipv6.icmp.ratelimit", "0");
    serve_http(&net.server, 80);
    // A port of its own: behind NAT a redirected connection could else look like one of those sent there at once.
    serve_http(&net.server, 81);
    serve_udp_echo(&net.server, 5353);
    let mut reader = Reader::bind(&net.gateway);
    net.gateway.run(|| nft::install(&GateTable { queues: QUEUES, ..GateTable::default() })).expect("installed");
    let seen = reader.while_running(|| {
        for _ in 0..ROUNDS {
            assert_eq!(http_get(&net.client, GATEWAYS[0], 8080, "/").expect("a reply").status, 200);
            for server in SERVERS {
                assert_eq!(http_get(&net.client, server, 80, "/").expect("a reply").status, 200);
                udp_ask(&net.client, server, 5353, b"echo").expect("an echo");
                let refused = udp_ask(&net.client, server, 5999, b"nobody listens").expect_err("no echo");
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            }
        }
    });
    check_balance(&seen, ROUNDS * 7);
    assert_eq!(seen.values().map(|seen| seen.errors).sum::<usize>(), ROUNDS * 2, "an error for each refused datagram");
}

/// The same where a connection is seen by two chains, one for each direction.
pub const BALANCE_HOST: Scenario =
    Scenario { name: "nft::balance_host", needs: &[Need::NftQueue], seconds_max: 30, run: balance_host };

fn balance_host() {
    let net = Topology::new();
    let mut reader = Reader::bind(&net.gateway);
    let table = GateTable { hook: Hook::Host, queues: QUEUES, ..GateTable::default() };
    net.gateway.run(|| nft::install(&table)).expect("installed");
    serve_http(&net.gateway, 80);
    let seen = reader.while_running(|| {
        for _ in 0..ROUNDS {
            for gateway in GATEWAYS {
                assert_eq!(http_get(&net.client, gateway, 80, "/").expect("a reply").status, 200);
            }
        }
    });
    check_balance(&seen, ROUNDS * 2);
}

/// What was seen of one connection.
#[derive(Default)]
struct Seen {
    queues: BTreeSet<u16>,
    packets: usize,
    errors: usize,
}

/// A connection as both directions name it: protocol and the two ends in order.
type Connection = (u8, [(IpAddr, u16); 2]);

struct Reader(Queue);

impl Reader {
    fn bind(ns: &Netns) -> Reader {
        let mut queue = ns.run(Queue::open).expect("a queue socket");
        for number in QUEUES.first..=QUEUES.last() {
            queue.bind(number).expect("a free queue");
        }
        queue.set_nonblocking(true);
        Reader(queue)
    }

    /// Accepts everything while `traffic` runs, and tells which connection met which queues.
    fn while_running(&mut self, traffic: impl FnOnce() + Send) -> BTreeMap<Connection, Seen> {
        let mut seen: BTreeMap<Connection, Seen> = BTreeMap::new();
        thread::scope(|scope| {
            let traffic = scope.spawn(traffic);
            while !traffic.is_finished() {
                let Ok(mut packet) = self.0.recv() else {
                    thread::sleep(Duration::from_micros(200));
                    continue;
                };
                if let Some((connection, is_error)) = connection_of(packet.get_payload()) {
                    let seen = seen.entry(connection).or_default();
                    seen.queues.insert(packet.get_queue_num());
                    seen.packets += 1;
                    seen.errors += usize::from(is_error);
                }
                packet.set_verdict(Verdict::Accept);
                self.0.verdict(packet).expect("a verdict");
            }
            traffic.join().expect("traffic as expected");
        });
        seen
    }
}

/// The connection that a packet belongs to or, for an ICMP error, is about. `None` for neighbour discovery and the like.
fn connection_of(packet: &[u8]) -> Option<(Connection, bool)> {
    let (protocol, source, destination, payload) = if packet[0] >> 4 == 4 {
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
        (packet[9], address(12), address(16), &packet[usize::from(packet[0] & 15) * 4..])
    } else {
        let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
        (packet[6], address(8), address(24), &packet[40..])
    };
    match (protocol, payload[0]) {
        (6 | 17, _) => {
            let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
            let mut ends = [(source, port(0)), (destination, port(2))];
            ends.sort_unstable();
            Some(((protocol, ends), false))
        }
        (1, 3) | (58, 1) => connection_of(&payload[8..]).map(|(connection, _)| (connection, true)),
        _ => None,
    }
}

#[track_caller]
fn check_balance(seen: &BTreeMap<Connection, Seen>, connections: usize) {
    // The kernel may hand out the same client port again, and then two connections have one name here.
    assert!((connections * 9 / 10..=connections).contains(&seen.len()), "{:?}", seen.keys().collect::<Vec<_>>());
    let split: Vec<_> =
        seen.iter().filter(|(_, seen)| seen.queues.len() != 1).map(|(key, seen)| (key, &seen.queues)).collect();
    assert!(split.is_empty(), "met several queues: {split:?}");
    assert!(seen.values().all(|seen| seen.packets >= 2), "both directions were seen");
    let mut per_queue = BTreeMap::new();
    for seen in seen.values() {
        *per_queue.entry(seen.queues.first()).or_insert(0usize) += 1;
    }
    assert_eq!(per_queue.len(), usize::from(QUEUES.count), "all queues are used: {per_queue:?}");
}

/// Drop and reject are carried out by the kernel for either side, at each hook.
pub const FATES: Scenario = Scenario { name: "nft::fates", needs: &[Need::Queue], seconds_max: 60, run: fates };

fn fates() {
    for hook in [Hook::Forward, Hook::Prerouting, Hook::Host] {
        let net = Topology::new();
        let (host, address) = if hook == Hook::Host { (&net.gateway, GATEWAYS[0]) } else { (&net.server, SERVER4) };
        // Nobody reads the queues: bypass.
        net.gateway.run(|| nft::install(&GateTable { hook, ..GateTable::default() })).expect("installed");
        let listener = host.run(|| TcpListener::bind((address, 7000))).expect("a free port");
        let open = || {
            let client = tcp_connect(&net.client, address, 7000).expect("a connection");
            let server = listener.accept().expect("a connection").0;
            server.set_read_timeout(Some(SLOW)).expect("a timeout");
            (client, server)
        };
        // As a verdict would: our bits only. A foreign rule does it as the connection's next packet comes by.
        let condemn = |fate: &str, client: &TcpStream| {
            let port = client.local_addr().expect("a port").port();
            let rule =
                format!("meta l4proto tcp ct original proto-src {port} ct mark set ct mark and 0xfcffffff or {fate};");
            let chain = |hook| format!("chain {hook} {{ type filter hook {hook} priority 0; {rule} }};");
            let rules = format!("table inet condemn {{ {} {} }}", chain("prerouting"), chain("output"));
            net.gateway.nft(&rules).expect("a rule that marks");
        };

        let (mut client, mut server) = open();
        exchange(&mut client, &mut server);
        condemn("0x03000000", &client);
        assert_reset(&mut client, hook, "client");
        assert_reset(&mut server, hook, "server");

        let (mut client, mut server) = open();
        exchange(&mut client, &mut server);
        condemn("0x02000000", &client);
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from, to);
            from.write_all(b"x").expect("room in the buffer");
            to.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
            let error = to.read(&mut [0; 8]).expect_err("nothing arrives");
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{hook:?}");
        }
        let counters = || net.gateway.run(nft::read_counters).expect("counters");
        assert!(counters().fate_rejected.packets >= 2, "{hook:?} {:?}", counters());
        wait_until("the kernel to drop", SENT_AGAIN, || counters().fate_dropped.packets > 0);
        // Sockets with data that will never arrive outlive us and hold the namespace: not the rules, too.
        assert!(net.gateway.run(nft::remove).expect("removed"), "{hook:?}");
    }
}

fn exchange(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"ask").expect("sent");
    server.read_exact(&mut [0; 3]).expect("arrives");
    server.write_all(b"tell").expect("sent");
    client.read_exact(&mut [0; 4]).expect("arrives");
}

/// The next packet of this side is answered with a reset.
#[track_caller]
fn assert_reset(side: &mut TcpStream, hook: Hook, name: &str) {
    side.write_all(b"x").unwrap_or_else(|error| panic!("{hook:?} {name}: {error}"));
    let error = side.read(&mut [0; 8]).expect_err("no data");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{hook:?} {name}");
}

/// Without nft_hash, without nft_queue, without either and xt_NFQUEUE: less, less, and a clear word. xt_NFQUEUE is loaded
/// by us, for nft_compat asks for it under a name that no module has.
pub const MISSING_MODULES: Scenario = Scenario {
    name: "nft::missing_modules",
    needs: &[Need::Guest, Need::NftQueue],
    seconds_max: 60,
    run: missing_modules,
};

fn missing_modules() {
    let install = || in_fresh_network(|| nft::install(&GateTable::default())).expect("a namespace");
    let (nft_queue, by_connection) = (QueueMode::NftQueue, Balance::Connection);
    assert_eq!(install().expect("all modules are there"), Installed { mode: nft_queue, balance: by_connection });

    let hidden_hash = Hidden::module("nft_hash");
    assert_eq!(install().expect("no nft_hash"), Installed { mode: nft_queue, balance: Balance::Addresses });
    drop(hidden_hash);

    let hidden_queue = Hidden::module("nft_queue");
    unload("xt_NFQUEUE");
    let features = in_fresh_network(nft::probe).expect("a namespace").expect("answers");
    assert_eq!((features.queue, features.hash, features.xt_target), (Some(false), Some(true), Some(true)));
    unload("xt_NFQUEUE");
    let installed = install().expect("no nft_queue");
    assert_eq!(installed, Installed { mode: QueueMode::XtTarget, balance: Balance::Addresses });

    let hidden_target = Hidden::module("xt_NFQUEUE");
    assert!(matches!(install(), Err(NftError::NoQueue)));
    drop((hidden_queue, hidden_target));
    assert_eq!(install().expect("all modules are back"), Installed { mode: nft_queue, balance: by_connection });
}

/// A module that is not loaded and cannot be, until drop.
struct Hidden {
    file: PathBuf,
    away: PathBuf,
}

impl Hidden {
    fn module(name: &str) -> Hidden {
        let pattern = format!("/lib/modules/*/kernel/**/{name}.ko");
        let file = glob::glob(&pattern).expect("a pattern").flatten().next().expect("the guest has this module");
        let away = file.with_extension("hidden");
        fs::rename(&file, &away).expect("the guest's files are ours");
        unload(name);
        Hidden { file, away }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        fs::rename(&self.away, &self.file).expect("the guest's files are ours");
    }
}

/// Rules of namespaces that are gone hold modules for a moment longer.
fn unload(module: &str) {
    wait_until(&format!("{module} is unloaded"), Duration::from_secs(20), || {
        let loaded = fs::read_to_string("/proc/modules")
            .expect("/proc")
            .lines()
            .any(|line| line.split(' ').next().is_some_and(|name| name == module));
        !loaded || Command::new("rmmod").arg(module).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
}

/// Every file under `nft/` is taken by this kernel, and by the program that it is for.
pub const SHIPPED_FILES: Scenario =
    Scenario { name: "nft::shipped_files", needs: &[Need::NftQueue], seconds_max: 20, run: shipped_files };

fn shipped_files() {
    let root = std::env::var_os("TIDEGATE_ROOT").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let files = |pattern: &str| -> Vec<PathBuf> {
        let pattern = format!("{}/nft/{pattern}", root.display());
        glob::glob(&pattern).expect("a pattern").map(|file| file.expect("a file")).collect()
    };
    assert_eq!(files("*.nft").len(), 5);
    for file in files("*.nft") {
        takes("nft -c -f", &file);
    }
    for file in files("*.rules") {
        takes("iptables-restore --noflush", &file);
        takes("ip6tables-restore --noflush", &file);
    }
}

#[track_caller]
fn takes(command: &str, file: &Path) {
    let mut words = command.split(' ');
    let program = words.next().expect("a program");
    let output = in_fresh_network(|| Command::new(program).args(words).arg(file).output())
        .expect("a namespace")
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{command} {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
}
