//! What scenarios are made of: namespaces, a topology, traffic, and the program under test.

pub mod gate;
pub mod load;
pub mod netns;
pub mod topology;
pub mod traffic;

use self::netns::Netns;

use std::time::{Duration, Instant};

/// How long anything may take that is only a matter of speed: emulated, loaded, beside somebody else's work.
pub const SLOW: Duration = Duration::from_secs(180);

/// TCP sends again what nobody acknowledges less and less often, but after two minutes at the latest (`TCP_RTO_MAX`).
pub const SENT_AGAIN: Duration = Duration::from_secs(300);

/// Waits until `condition` holds; panics with `what` after `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A row of `/proc/net/netfilter/nfnetlink_queue`, which lists the queues of the namespace that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRow {
    pub number: u16,
    /// Packets that were handed out and have no verdict yet.
    pub waiting: u32,
    /// Dropped because the queue was full.
    pub dropped: u32,
    /// Dropped because the socket's receive buffer was full.
    pub user_dropped: u32,
    /// Packets ever offered to the queue.
    pub id_sequence: u32,
}

/// The bound queues of a namespace, by number.
#[track_caller]
pub fn queues(ns: &Netns) -> Vec<QueueRow> {
    let parse = |line: &str| {
        let columns: Vec<u32> = line.split_whitespace().map(|column| column.parse().expect("a number")).collect();
        QueueRow {
            number: u16::try_from(columns[0]).expect("a queue number"),
            waiting: columns[2],
            dropped: columns[5],
            user_dropped: columns[6],
            id_sequence: columns[7],
        }
    };
    ns.proc_net("netfilter/nfnetlink_queue").lines().map(parse).collect()
}

/// Someone else's rules, of the kinds that a firewall manager, a container engine and an administrator leave behind.
/// Counters stand where no packet of a scenario passes.
pub const FOREIGN_RULESET: &str = r#"
table inet firewall {
    set blocked {
        type ipv4_addr
        flags interval
        elements = { 192.0.2.0/24, 198.51.100.7 }
    }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state established,related accept
        ip saddr @blocked counter drop
        meta mark & 0x0000000f == 0x00000003 counter accept
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        tcp dport 6666 counter reject with tcp reset
        ct mark 0x00000007 counter accept
        jump services
    }
    chain services {
        tcp dport { 22, 8443 } accept
        udp dport vmap { 69 : drop, 161 : drop }
    }
}
table ip nat {
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 203.0.113.9 tcp dport 8080 dnat to 10.77.2.2:80
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 172.31.0.0/16 masquerade
    }
}
table bridge quiet {
    chain forward {
        type filter hook forward priority -150; policy accept;
        ether type 0x88cc counter drop
    }
}
"#;
