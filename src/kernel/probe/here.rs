//! What the network namespace at hand has: privileges, sysctls, owners of our queues, foreign rules, our own table.

use super::bridges;
use super::finding::{Finding, State};
use crate::kernel::nft::{self, ConflictKind, GateTable, Hook, NftError};
use crate::kernel::queue::proc;
use caps::{CapSet, Capability};
use std::fs;

/// Conflicts named one by one; beyond it their number is told.
const CONFLICTS_NAMED_MAX: usize = 10;
/// Fill of the connection table from which on it is worth a word, in percent.
const TABLE_FILL_PERCENT_MAX: u64 = 80;

/// Who will have the kernel track connections once the gate runs, as far as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Its table of the gate, or that which it makes behind rules of others.
    Gate,
    /// Nobody but rules of others (`gate.install: no` and `conntrack.ask: no`).
    Others,
}

pub fn findings(table: &GateTable, asker: Asker) -> Vec<Finding> {
    let mut findings = vec![capability()];
    findings.extend(conntrack());
    findings.push(tracking(asker));
    findings.push(receive_buffer());
    findings.push(forwarding(table.hook));
    findings.extend(bridges::finding(table.queues));
    findings.extend(queue_owners(table));
    findings.push(own_table());
    findings.extend(foreign_rules(table));
    findings
}

fn capability() -> Finding {
    let name = "net-admin";
    match caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN) {
        Ok(true) => Finding::ok(name, "CAP_NET_ADMIN is held; the kernel asks for it with each verdict"),
        Ok(false) => Finding::new(
            name,
            State::Missing,
            "without CAP_NET_ADMIN no queue can be bound and no verdict given",
            "run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN",
        ),
        Err(error) => {
            Finding::new(name, State::Unknown, format!("capabilities cannot be read: {error}"), "mount /proc")
        }
    }
}

fn sysctl(path: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// A sysctl of conntrack: its name here and in /proc, what each value means. `None` for the meaning is well.
struct Knob {
    name: &'static str,
    key: &'static str,
    good: (u64, &'static str),
    bad: &'static str,
}

const KNOBS: [Knob; 4] = [
    Knob {
        name: "conntrack-events",
        key: "nf_conntrack_events",
        good: (1, "every connection tells its end"),
        bad: "connections from before our start tell no end: their state is freed later, by a sweep",
    },
    Knob {
        name: "conntrack-acct",
        key: "nf_conntrack_acct",
        good: (1, "flow events have the kernel's packet and byte counts"),
        bad: "flow events come without packet and byte counts",
    },
    Knob {
        name: "conntrack-timestamp",
        key: "nf_conntrack_timestamp",
        good: (1, "flow events have the kernel's start and end times"),
        bad: "flow events come without start and end times, and a connection that is reopened at once is told from the \
              one before by its TCP state only",
    },
    Knob {
        name: "conntrack-checksum",
        key: "nf_conntrack_checksum",
        good: (1, "packets with a bad checksum have no connection (INVALID)"),
        bad: "packets that the receiver will discard for their checksum can enter streams: an evasion",
    },
];

fn conntrack() -> Vec<Finding> {
    let read = |key: &str| sysctl(&format!("net/netfilter/{key}"));
    if read("nf_conntrack_max").is_none() {
        return vec![Finding::new(
            "conntrack",
            State::Unknown,
            "nf_conntrack is not loaded yet: its sysctls cannot be read",
            "modprobe nf_conntrack; `tidegate install` does it, too",
        )];
    }
    let knobs = KNOBS.iter().map(|knob| match read(knob.key) {
        Some(value) if value == knob.good.0 => Finding::ok(knob.name, knob.good.1),
        Some(_) => Finding::new(
            knob.name,
            State::Degraded,
            knob.bad,
            format!(
                "sysctl -w net.netfilter.{}={}; `run` does it unless `conntrack.sysctl` is `keep`",
                knob.key, knob.good.0
            ),
        ),
        None => Finding::new(knob.name, State::Degraded, knob.bad, "this kernel was built without it"),
    });
    knobs.chain([tcp_loose(read("nf_conntrack_tcp_loose")), table_size(read)]).collect()
}

fn tcp_loose(value: Option<u64>) -> Finding {
    let meaning = match value {
        Some(0) => "TCP connections whose start conntrack did not see are INVALID and judged packet by packet",
        _ => "TCP connections whose start conntrack did not see are picked up; who speaks first then is the client",
    };
    Finding::ok("conntrack-tcp-loose", meaning)
}

fn table_size(read: impl Fn(&str) -> Option<u64>) -> Finding {
    let name = "conntrack-max";
    let max = read("nf_conntrack_max").unwrap_or(0);
    let count = read("nf_conntrack_count").unwrap_or(0);
    if count.saturating_mul(100) > max.saturating_mul(TABLE_FILL_PERCENT_MAX) {
        return Finding::new(
            name,
            State::Degraded,
            format!(
                "the connection table holds {count} of {max}: when it is full, new connections are dropped by the kernel"
            ),
            "sysctl -w net.netfilter.nf_conntrack_max=... (and nf_conntrack_buckets)",
        );
    }
    Finding::ok(name, format!("the connection table holds {count} of {max}"))
}

fn receive_buffer() -> Finding {
    let name = "rmem-max";
    let bytes = sysctl("net/core/rmem_max").unwrap_or(0);
    Finding::ok(name, format!("{bytes} bytes; we force our own receive buffers past it"))
}

fn forwarding(hook: Hook) -> Finding {
    let name = "ip-forward";
    let on = |path| sysctl(path) == Some(1);
    match (hook, on("net/ipv4/ip_forward"), on("net/ipv6/conf/all/forwarding")) {
        (Hook::Host, ..) => Finding::ok(name, "not needed for the hook `host`"),
        (_, true, true) => Finding::ok(name, "IPv4 and IPv6 are forwarded"),
        (_, true, false) => Finding::ok(name, "IPv4 is forwarded, IPv6 is not"),
        (_, false, true) => Finding::ok(name, "IPv6 is forwarded, IPv4 is not"),
        (_, false, false) => Finding::new(
            name,
            State::Degraded,
            "this machine forwards nothing, so the hook sees nothing of others' traffic",
            "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1, or the hook `host`",
        ),
    }
}

/// Whether the kernel tracks anything here at all.
fn tracking(asker: Asker) -> Finding {
    let name = "conntrack-asked";
    let asks = match nft::who_asks() {
        Ok(asks) => asks,
        Err(error) => return Finding::new(name, State::Unknown, error.to_string(), "run as root"),
    };
    let missing = match (asks.ipv4, asks.ipv6) {
        (true, true) => return Finding::ok(name, "rules ask about connections, so the kernel tracks them"),
        (false, true) => "no rule asks about IPv4 connections",
        (true, false) => "no rule asks about IPv6 connections",
        (false, false) => "no rule asks about connections",
    };
    if asker == Asker::Gate {
        return Finding::ok(name, format!("{missing} yet; `run` has the kernel track them"));
    }
    if !nft::legacy_tables().is_empty() {
        let meaning = format!("{missing}, but what iptables-legacy has loaded cannot be read");
        return Finding::new(name, State::Unknown, meaning, "iptables-legacy-save | grep -e conntrack -e state -e nat");
    }
    Finding::new(
        name,
        State::Degraded,
        format!(
            "{missing}, so the kernel tracks none: each packet is judged as if it were alone, and what was dropped may \
             come again"
        ),
        "`conntrack.ask: yes`, or a rule with `ct state` (`-m conntrack`) in each family",
    )
}

fn queue_owners(table: &GateTable) -> Vec<Finding> {
    let name = "queue-owner";
    let rows = match proc::queues() {
        Ok(rows) => rows,
        Err(error) => {
            return vec![Finding::new(
                name,
                State::Unknown,
                format!("queues cannot be listed: {error}"),
                "run as root",
            )];
        }
    };
    let taken: Vec<_> = rows.into_iter().filter(|row| table.queues.contains(row.number)).collect();
    if taken.is_empty() {
        return vec![Finding::ok(name, format!("the queues {} are free", table.queues))];
    }
    let finding = |row: &proc::QueueRow| {
        let owner = match proc::owner_of(row.port_id) {
            Some(owner) => format!("{} (pid {})", owner.command, owner.pid),
            None => format!("netlink port {}", row.port_id),
        };
        Finding::new(
            name,
            State::Degraded,
            format!("queue {} belongs to {owner}", row.number),
            "if that is not the tidegate you mean, choose other queues with `-q`",
        )
    };
    taken.iter().map(finding).collect()
}

fn own_table() -> Finding {
    let name = "table";
    match nft::present() {
        Ok(None) => Finding::ok(name, "our table is not installed"),
        Ok(Some(present)) => Finding::ok(name, present.to_string()),
        Err(error @ (NftError::NotOurs { .. } | NftError::Owned { .. })) => {
            Finding::new(name, State::Missing, error.to_string(), "`install` refuses while it is there")
        }
        Err(error) => Finding::new(name, State::Unknown, error.to_string(), "run as root"),
    }
}

fn foreign_rules(table: &GateTable) -> Vec<Finding> {
    let name = "foreign-rules";
    let conflicts = match nft::conflicts(table) {
        Ok(conflicts) => conflicts,
        Err(error) => return vec![Finding::new(name, State::Unknown, error.to_string(), "run as root")],
    };
    if conflicts.is_empty() {
        return vec![Finding::ok(name, "no other nftables rule uses our queues or the place of our fates")];
    }
    let mut findings: Vec<Finding> = conflicts
        .iter()
        .take(CONFLICTS_NAMED_MAX)
        .map(|conflict| {
            let (state, way_out) = match conflict.kind {
                ConflictKind::Queue(_) => {
                    (State::Ok, "as it should be with --no-install; else choose other queues (-q)")
                }
                ConflictKind::MarkWritten(_) => {
                    (State::Degraded, "choose other bits with `fate.mask`: fates would be lost or made up")
                }
                ConflictKind::MarkRead(_) => {
                    (State::Degraded, "choose other bits with `fate.mask`: it would take fates for its own marks")
                }
                ConflictKind::LabelsWritten(_) | ConflictKind::LabelsRead(_) => {
                    (State::Degraded, "choose other labels with `fate.label`")
                }
            };
            Finding::new(name, state, conflict.to_string(), way_out)
        })
        .collect();
    if let Some(more) = conflicts.len().checked_sub(CONFLICTS_NAMED_MAX).filter(|more| *more > 0) {
        findings.push(Finding::new(name, State::Degraded, format!("and {more} more rules"), "nft list ruleset"));
    }
    findings
}
