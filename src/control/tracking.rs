//! How a packet gets its conntrack entry, and how a fate gets back into it.
//!
//! With NFQA_CT the kernel does both in the messages that we exchange anyway. Without it (a kernel built without
//! `NETFILTER_NETLINK_GLUE_CT`) the entry comes from the mirror that ctnetlink events keep, or from a GET, and the fate
//! goes by a ctnetlink update: flow state is still conntrack's, only slower.

use std::sync::Arc;

use crate::kernel::conntrack::{ConntrackSocket, Mirror, Outcome};
use crate::kernel::queue::Packet;
use crate::packet::conntrack::Conntrack;
use crate::packet::fate::ConntrackWrite;
use crate::packet::flow::shards::FlowShards;
use crate::packet::ingress::Timestamp;

/// One worker's access to conntrack.
pub enum Tracking {
    /// NFQA_CT comes with each packet and goes with each verdict.
    InVerdict,
    ByNetlink(ByNetlink),
}

/// The degraded way.
pub struct ByNetlink {
    mirror: Arc<Mirror>,
    socket: ConntrackSocket,
    flows: Arc<FlowShards>,
    /// Requests that failed for another reason than "no such entry". The packet is then judged without a flow.
    errors: u64,
}

impl ByNetlink {
    #[must_use]
    pub fn new(mirror: Arc<Mirror>, socket: ConntrackSocket, flows: Arc<FlowShards>) -> ByNetlink {
        ByNetlink { mirror, socket, flows, errors: 0 }
    }

    fn attach(&mut self, packet: &mut Packet<'_>, now: Timestamp) {
        let found = match self.mirror.track(&mut self.socket, &packet.ingress(), now) {
            Ok(found) => found,
            Err(_) => {
                self.errors = self.errors.saturating_add(1);
                return;
            }
        };
        let Some(found) = found else { return };
        if let Some(formerly) = &found.formerly {
            self.flows.rename(formerly, &found.entry.key());
        }
        packet.conntrack = Some((found.entry, found.info));
    }

    /// Whether the entry now holds what `write` says. An unconfirmed entry cannot be written: the flow's next
    /// packet tries again.
    pub fn write(&mut self, entry: &Conntrack, write: &ConntrackWrite) -> bool {
        match self.socket.update(&entry.key(), write) {
            Ok(Outcome::Done) => {
                self.mirror.note_write(&entry.key(), write);
                true
            }
            Ok(Outcome::Gone) => false,
            Err(_) => {
                self.errors = self.errors.saturating_add(1);
                false
            }
        }
    }

    /// The packet will not go on: if it was the first of its connection, nothing of that is left in the kernel. If others
    /// went on before it, the flow is still there, and so the direction stays known, which a packet of the other side could
    /// otherwise turn round.
    pub fn note_dropped(&self, entry: &Conntrack) {
        if !entry.status.is_confirmed() && self.flows.lock(&entry.key()).get(&entry.key()).is_none() {
            self.mirror.forget_unconfirmed(&entry.key());
        }
    }
}

impl Tracking {
    /// Gives `packet` its entry where the kernel did not.
    pub fn attach(&mut self, packet: &mut Packet<'_>, now: Timestamp) {
        if let Tracking::ByNetlink(netlink) = self {
            netlink.attach(packet, now);
        }
    }
}
