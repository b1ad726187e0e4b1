//! Packets that conntrack calls INVALID, of a connection that it has misunderstood.
//!
//! Two SYNs with different numbers of which the first never arrives, or a route that shows us one side only: conntrack
//! waits for an answer that does not come and disowns what follows, while the two ends talk. In the middle of a connection
//! one selective acknowledgement of what was never sent is enough: conntrack disowns the segment, and the receiver ignores
//! the option and takes the data. Judged one by one, such packets would bring an attack in pieces.
//!
//! So what is INVALID belongs to the flow on whose tuple it is: as long as the entry waits for its handshake; while its
//! streams say that the receiver will take it; and once the connection is condemned. What else is INVALID in an established
//! connection is none of it: the other end ignores it.

use super::{Path, Place, World};
use crate::packet::conntrack::{CtInfo, Fate, FlowKey, Tuple};
use crate::packet::event::Events;
use crate::packet::flow::Flow;
use crate::packet::ingress::Tracked;
use crate::packet::stream::Segment;
use crate::packet::tell::{self, Moment};
use crate::packet::verdict::{Action, Verdict};

impl Path {
    /// Judges an INVALID TCP packet with the flow on whose tuple it is; `None` if there is none that would have it.
    ///
    /// Only zone 0 is asked, for the packet carries no other. The kernel translates no INVALID packet, so neither do we.
    pub(super) fn judge_disowned(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        events: &mut Events,
    ) -> Option<Verdict> {
        let tcp = moment.headers.tcp()?;
        let ip = &moment.headers.ip;
        let (src_port, dst_port) = moment.headers.ports();
        let sent = Tuple { src: ip.src, dst: ip.dst, protocol: ip.protocol, src_port, dst_port };
        for (orig, info) in [(sent, CtInfo::New), (sent.inverted(), CtInfo::EstablishedReply)] {
            let key = FlowKey { zone: 0, orig };
            let mut table = world.flows.lock(&key);
            let segment = Segment::of(tcp, moment.headers.payload, info.direction().toward());
            let Some(flow) = table.get_mut(&key).filter(|flow| self.has_part(flow, &segment)) else { continue };
            if moment.is_broken() {
                return None;
            }
            flow.disowned |= flow.awaits_handshake();
            let entry = flow.last_entry();
            let mut place = Place { table: &mut table, tunnel: 0, inherited: None };
            let verdict = self.judge_in_flow(world, moment, Tracked { entry: &entry, info }, &mut place, events);
            // There is no entry to write a fate to.
            let verdict = verdict.of_carrier();
            if verdict.action != Action::Accept {
                return Some(verdict);
            }
            let by_policy = self.policy.invalid();
            events.extend(tell::policy_drop(by_policy, moment, None));
            return Some(by_policy);
        }
        None
    }

    /// A segment without an entry is one of this flow all the same.
    fn has_part(&self, flow: &Flow, segment: &Segment<'_>) -> bool {
        match flow.fate {
            Fate::Drop | Fate::Reject => true,
            _ if flow.awaits_handshake() => self.stream.async_oneside,
            _ => flow.stream.as_ref().is_some_and(|streams| streams.are_continued_by(segment)),
        }
    }
}
