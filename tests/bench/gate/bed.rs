//! Three namespaces around one contender, and what the kernel counts in them.

use super::contender::{Contender, Cpu, Helper, Means, Server};
use super::load::http;
use super::netns::Netns;

pub const CLIENT: [u8; 4] = [10, 77, 1, 2];
pub const SERVER: [u8; 4] = [10, 77, 2, 2];
/// Further addresses of the server: a client has only so many ports toward one.
pub const SERVER_ADDRESSES: u8 = 8;
const LIST_TRIES_MAX: usize = 20;

/// Connection tracking is on for every contender, and what is forwarded is counted before it is queued.
const COUNT_ALL: &str = "table inet bench {
    counter forwarded { }
    chain forward { type filter hook forward priority -300; counter name forwarded; ct state invalid counter; }
}";

/// One contender's network. Everything in it ends with it.
pub struct Bed {
    pub contender: Contender,
    pub server_process: Option<Server>,
    _iperf: Helper,
    pub client: Netns,
    pub gateway: Netns,
    pub server: Netns,
}

/// What the kernel and the contender have counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub cpu: Cpu,
    /// Packets that reached the gateway's forward hook.
    pub forwarded: u64,
    /// Packets that were put into a queue, or that did not fit into its receive buffer any more.
    pub queued: u64,
    /// Of these, what did not fit.
    pub overrun: u64,
    /// Packets that the server's interface has received.
    pub delivered: u64,
}

impl Counted {
    pub fn since(&self, before: &Counted) -> Counted {
        Counted {
            cpu: Cpu { user: self.cpu.user - before.cpu.user, system: self.cpu.system - before.cpu.system },
            forwarded: self.forwarded - before.forwarded,
            queued: self.queued - before.queued,
            overrun: self.overrun - before.overrun,
            delivered: self.delivered - before.delivered,
        }
    }

    /// Packets that the contender has really seen.
    pub fn seen(&self) -> u64 {
        self.queued - self.overrun
    }

    /// Packets that the kernel let pass without it: too slow, or not to be asked. Exact where super-packets are queued whole.
    pub fn unseen(&self) -> u64 {
        self.forwarded.saturating_sub(self.seen())
    }
}

impl Bed {
    /// Makes the network and starts the contender, without waiting for it.
    pub fn make(contender: &Contender, number: usize, means: &Means) -> Result<Bed, String> {
        let create = |role: &str| Netns::create(&format!("{number}{role}")).map_err(|error| error.to_string());
        let (client, gateway, server) = (create("c")?, create("g")?, create("s")?);
        join(&gateway, &client, "lan", 1);
        join(&gateway, &server, "wan", 2);
        for more in 1..SERVER_ADDRESSES {
            server.ip(&format!("address add 10.77.2.{}/24 dev eth0", more + 2));
        }
        // What a flood claims to come from, and whom captures speak of.
        gateway.ip("route add 10.128.0.0/10 via 10.77.1.2\nroute add 10.192.0.0/10 via 10.77.2.2");
        gateway.sysctl("net.ipv4.ip_forward", "1");
        for (key, value) in [("net.ipv4.ip_local_port_range", "1024 65000"), ("net.ipv4.tcp_tw_reuse", "1")] {
            client.sysctl(key, value);
        }
        gateway.nft(COUNT_ALL).map_err(|error| error.to_string())?;
        // The flood is one-sided, and must not run out while it is measured.
        gateway.sysctl("net.netfilter.nf_conntrack_udp_timeout", "600");
        let mut iperf = server.command("iperf3");
        iperf.args(["--server", "--bind", "10.77.2.2"]);
        let iperf = Helper::start(iperf)?;
        http::serve(&server);
        let server_process = contender.start(&gateway, number, means)?;
        Ok(Bed { contender: contender.clone(), server_process, _iperf: iperf, client, gateway, server })
    }

    pub fn wait_ready(&mut self) -> Result<(), String> {
        self.server_process.as_mut().map_or(Ok(()), Server::wait_ready)
    }

    pub fn counted(&self) -> Counted {
        let (queued, overrun) = self.queues();
        Counted {
            cpu: self.server_process.as_ref().map(Server::cpu).unwrap_or_default(),
            forwarded: self.forwarded(),
            queued,
            overrun,
            delivered: received_packets(&self.server.proc_net("dev"), "eth0"),
        }
    }

    /// Sums of all queues: the last packet id, and the drops of the sockets that own them.
    fn queues(&self) -> (u64, u64) {
        // The kernel's list of sockets may miss one while others come and go.
        (0..LIST_TRIES_MAX).find_map(|_| self.queues_once()).expect("every queue has a socket")
    }

    fn queues_once(&self) -> Option<(u64, u64)> {
        let sockets = self.gateway.proc_net("netlink");
        let number = |line: &str, place: usize| line.split_whitespace().nth(place)?.parse::<u64>().ok();
        let mut sums = (0, 0);
        for queue in self.gateway.proc_net("netfilter/nfnetlink_queue").lines() {
            sums.0 += number(queue, 7)?;
            // Netlink protocol 12 is netfilter; columns: sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode.
            let is_owner = |line: &&str| number(line, 1) == Some(12) && number(line, 2) == number(queue, 1);
            sums.1 += number(sockets.lines().find(is_owner)?, 8)?;
        }
        Some(sums)
    }

    fn forwarded(&self) -> u64 {
        let listed = self.gateway.sh("nft list counter inet bench forwarded");
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|count| count.parse().ok()).expect("a counter of ours")
    }
}

fn received_packets(dev: &str, interface: &str) -> u64 {
    let line = dev.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn join(gateway: &Netns, host: &Netns, interface: &str, net: u8) {
    gateway.ip(&format!(
        "link add {interface} type veth peer name eth0 netns {host}
         address add 10.77.{net}.1/24 dev {interface}
         link set {interface} up",
        host = host.name()
    ));
    host.ip(&format!(
        "address add 10.77.{net}.2/24 dev eth0
         link set eth0 up
         route add default via 10.77.{net}.1"
    ));
}
