//! What the kernel is built with, as far as it matters to us.

use super::finding::{Finding, State};
use crate::kernel::conntrack::ConntrackSocket;
use crate::kernel::namespace::in_fresh_network;
use crate::kernel::nft::{self, GateTable, NftFeatures};
use crate::kernel::queue::{Flags, Queue, QueueConfig};
use crate::packet::conntrack::{FlowKey, Tuple};
use std::io;

/// `None` is "could not be found out", mostly for want of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelFeatures {
    /// nfnetlink_queue takes a queue.
    pub queue: Option<bool>,
    /// Queue flags that it takes; `conntrack` is NETFILTER_NETLINK_GLUE_CT.
    pub queue_flags: Option<Flags>,
    /// ctnetlink answers.
    pub conntrack_netlink: Option<bool>,
    pub nft: NftFeatures,
    /// nf_tables answers at all.
    pub nf_tables: Option<bool>,
}

impl KernelFeatures {
    /// Tries everything in a network namespace made for it. Needs CAP_SYS_ADMIN for the namespace, CAP_NET_ADMIN for the
    /// rest. Loads modules, as running would.
    pub fn probe() -> io::Result<KernelFeatures> {
        in_fresh_network(KernelFeatures::probe_here)
    }

    fn probe_here() -> KernelFeatures {
        // First, for GLUE_CT answers only once ctnetlink is loaded.
        let conntrack_netlink = ConntrackSocket::open().map(|mut socket| {
            let nobody = FlowKey { zone: 0, orig: Tuple { protocol: 17, ..Tuple::UNSPECIFIED } };
            socket.get(&nobody).is_ok()
        });
        let queue =
            Queue::open(&QueueConfig { receive_buffer_bytes: 1 << 16, batch_packets: 1, ..QueueConfig::new(0) });
        let nft = nft::probe();
        KernelFeatures {
            queue: Some(queue.is_ok()),
            queue_flags: queue.ok().map(|(_, report)| report.flags),
            conntrack_netlink: conntrack_netlink.ok(),
            nf_tables: Some(nft.is_ok()),
            nft: nft.unwrap_or_default(),
        }
    }

    pub(super) fn findings(&self, table: &GateTable) -> Vec<Finding> {
        vec![
            self.queue_finding(),
            self.conntrack_finding(),
            self.gso_finding(),
            self.fail_open_finding(),
            self.ctnetlink_finding(),
            self.target_finding(),
            self.balance_finding(table),
            self.reject_finding(),
            self.labels_finding(),
        ]
    }

    fn queue_finding(&self) -> Finding {
        let name = "queue";
        match self.queue {
            Some(true) => Finding::ok(name, "packets can be queued to user space"),
            Some(false) => Finding::new(
                name,
                State::Missing,
                "no packet can be inspected: the kernel has no nfnetlink_queue",
                "modprobe nfnetlink_queue, or a kernel with CONFIG_NETFILTER_NETLINK_QUEUE",
            ),
            None => unknown(name),
        }
    }

    fn conntrack_finding(&self) -> Finding {
        let name = "queue-conntrack";
        match self.queue_flags.map(|flags| flags.conntrack) {
            Some(true) => Finding::ok(name, "packets arrive with their conntrack entry, verdicts write fates into it"),
            Some(false) => Finding::new(
                name,
                State::Degraded,
                "packets arrive without their conntrack entry: flow state comes from ctnetlink, fates are written \
                 there just ahead of the verdict; slower, same verdicts",
                "a kernel with CONFIG_NETFILTER_NETLINK_GLUE_CT (Debian's and Ubuntu's have it)",
            ),
            None => unknown(name),
        }
    }

    fn gso_finding(&self) -> Finding {
        let name = "queue-gso";
        match self.queue_flags.map(|flags| flags.gso) {
            Some(true) => Finding::ok(name, "bulk transfers arrive as super-packets of up to 64 KiB"),
            Some(false) => Finding::new(
                name,
                State::Degraded,
                "the kernel cuts bulk transfers into single packets before we see them: some 15 times the work",
                "a kernel of 3.10 or later",
            ),
            None => unknown(name),
        }
    }

    fn fail_open_finding(&self) -> Finding {
        let name = "queue-fail-open";
        match self.queue_flags.map(|flags| flags.fail_open) {
            Some(true) => Finding::ok(name, "when we are too slow, packets pass uninspected and are counted"),
            Some(false) => Finding::new(
                name,
                State::Degraded,
                "when we are too slow, packets are DROPPED",
                "a kernel of 3.6 or later",
            ),
            None => unknown(name),
        }
    }

    fn ctnetlink_finding(&self) -> Finding {
        let name = "conntrack-netlink";
        match self.conntrack_netlink {
            Some(true) => Finding::ok(name, "the connection table can be read, and its events heard"),
            Some(false) => Finding::new(
                name,
                State::Missing,
                "without the kernel's connection table there are no flows",
                "modprobe nf_conntrack_netlink, or a kernel with CONFIG_NF_CT_NETLINK",
            ),
            None => unknown(name),
        }
    }

    fn target_finding(&self) -> Finding {
        let name = "nft-queue";
        match (self.nf_tables, self.nft.queue, self.nft.xt_target) {
            (Some(false), ..) => Finding::new(
                name,
                State::Missing,
                "the kernel has no nf_tables: `install` cannot work",
                "modprobe nf_tables; or `run -q ... --no-install` behind iptables' NFQUEUE target",
            ),
            (_, Some(true), _) => Finding::ok(name, "nftables queues by itself"),
            (_, Some(false), Some(true)) => Finding::new(
                name,
                State::Degraded,
                "our table uses xtables' NFQUEUE target: it works, but spreads by address pair only, so all \
                 connections between two hosts share one thread",
                "modprobe nft_queue, or a kernel with CONFIG_NFT_QUEUE",
            ),
            (_, Some(false), Some(false)) => Finding::new(
                name,
                State::Missing,
                "neither nftables nor xtables can queue packets here",
                "modprobe nft_queue or xt_NFQUEUE",
            ),
            _ => unknown(name),
        }
    }

    fn balance_finding(&self, table: &GateTable) -> Finding {
        let name = "nft-hash";
        match self.nft.hash {
            _ if table.queues.count == 1 => Finding::ok(name, "not needed with one queue"),
            Some(true) => Finding::ok(name, "connections can be spread over the queues by their own hash"),
            Some(false) => Finding::new(
                name,
                State::Degraded,
                "all connections between two hosts share one queue, so one thread",
                "modprobe nft_hash, or a kernel with CONFIG_NFT_HASH",
            ),
            None => unknown(name),
        }
    }

    fn reject_finding(&self) -> Finding {
        let name = "nft-reject";
        match self.nft.reject {
            Some(true) => Finding::ok(name, "rejected connections are answered by the kernel"),
            Some(false) => Finding::new(
                name,
                State::Missing,
                "`install` cannot work: its table has reject rules",
                "modprobe nft_reject_inet, or a kernel with CONFIG_NFT_REJECT and CONFIG_NF_TABLES_INET",
            ),
            None => unknown(name),
        }
    }

    fn labels_finding(&self) -> Finding {
        let name = "conntrack-labels";
        match self.nft.labels {
            Some(true) => Finding::ok(name, "fates could also be kept in conntrack labels"),
            Some(false) => Finding::new(
                name,
                State::Degraded,
                "fates can be kept in the conntrack mark only",
                "nothing to do while nobody else uses our mark bits; else CONFIG_NF_CONNTRACK_LABELS",
            ),
            None => unknown(name),
        }
    }
}

fn unknown(name: &'static str) -> Finding {
    Finding::new(name, State::Unknown, "could not be tried", "run `tidegate doctor` as root")
}
