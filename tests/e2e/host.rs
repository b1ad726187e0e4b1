//! What this machine's kernel can do, found by trying it in a namespace of our own.

use std::process::Command;
use std::sync::OnceLock;

use crate::scenario::Need;
use crate::scenarios;
use crate::toolbox::netns::Netns;

/// Name of what is missing, or nothing; by feature.
pub struct Features {
    namespaces: bool,
    nft_queue: bool,
    xt_queue: bool,
    queue_conntrack: bool,
    vrf: bool,
}

/// Probed at the first call.
pub fn features() -> &'static Features {
    static FEATURES: OnceLock<Features> = OnceLock::new();
    FEATURES.get_or_init(probe)
}

impl Features {
    /// The first of `needs` that cannot be met here, in words.
    pub fn missing(&self, needs: &[Need]) -> Option<&'static str> {
        if !self.namespaces {
            return Some("network namespaces for this user (root is needed)");
        }
        needs.iter().find_map(|need| self.lacks(*need))
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        let (has, name) = match need {
            Need::Queue => (self.nft_queue || self.xt_queue, "NFQUEUE: neither the nft statement nor the xt target"),
            Need::NftQueue => (self.nft_queue, "NFT_QUEUE, the nft queue statement"),
            Need::MemoryLimit => (scenarios::memory_can_be_limited(), "a memory control group that we may make"),
            Need::Vrf => (self.vrf, "NET_VRF, devices of the kind vrf"),
            Need::Guest => (false, "a machine of its own, whose modules can be hidden"),
            Need::Asked => (std::env::var_os("TIDEGATE_MILLION").is_some(), "TIDEGATE_MILLION=1, which asks for it"),
            Need::QueueConntrack => (self.queue_conntrack, "NETFILTER_NETLINK_GLUE_CT, conntrack in queue messages"),
        };
        (!has).then_some(name)
    }
}

fn probe() -> Features {
    let Ok(ns) = Netns::create("probe") else {
        return Features { namespaces: false, nft_queue: false, xt_queue: false, queue_conntrack: false, vrf: false };
    };
    let nft_queue = ns.nft(
        "table inet probe { chain c { type filter hook forward priority 0; queue flags bypass to symhash mod 2; }; }",
    );
    let xt_queue = ns.command("iptables").args(["-A", "FORWARD", "-j", "NFQUEUE", "--queue-bypass"]).output();
    let queue_conntrack = ns.run(|| {
        let mut queue = nfq::Queue::open()?;
        queue.bind(0)?;
        queue.set_recv_conntrack(0, true)
    });
    let vrf = Command::new("ip").args(["-n", ns.name(), "link", "add", "v", "type", "vrf", "table", "9"]).output();
    Features {
        namespaces: true,
        vrf: vrf.is_ok_and(|output| output.status.success()),
        nft_queue: nft_queue.is_ok(),
        xt_queue: xt_queue.is_ok_and(|output| output.status.success()),
        queue_conntrack: queue_conntrack.is_ok(),
    }
}
