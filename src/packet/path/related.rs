//! What belongs to another connection: ICMP errors about it, and connections that it announced to a conntrack helper (FTP's
//! data). Both share its fate.
//!
//! The kernel copies the mark of an announcing connection into those that it expects (`init_conntrack`), so fates in the
//! mark are often there before we are asked. Labels are not copied, and a connection that has begun learns nothing more.

use super::{Path, Place, World};
use crate::packet::conntrack::{Fate, FlowKey};
use crate::packet::event::Events;
use crate::packet::flow::Flow;
use crate::packet::ingress::Tracked;
use crate::packet::tell::{self, Moment};
use crate::packet::verdict::{Clearing, Verdict};

/// The settled fate of the connection that announced another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    fate: Fate,
    cleared_by: Option<Clearing>,
}

impl Inherited {
    /// A fate of its own has precedence.
    pub(super) fn pass_on(self, flow: &mut Flow) {
        if flow.fate == Fate::Inspect {
            flow.fate = self.fate;
            flow.cleared_by = self.cleared_by;
        }
    }
}

impl Path {
    /// Looked up before the flow's own place is locked: the other may stand in the same one.
    pub(super) fn inherited_fate(&self, world: World<'_>, tracked: Tracked<'_>) -> Option<Inherited> {
        let master = FlowKey { zone: tracked.entry.zone, orig: tracked.entry.master? };
        let table = world.flows.lock(&master);
        let flow = table.get(&master)?;
        // What older rules cleared is looked at again, and so is what came of it.
        let holds = flow.fate != Fate::Pass || flow.generation == world.rules.generation();
        (flow.fate != Fate::Inspect && holds).then_some(Inherited { fate: flow.fate, cleared_by: flow.cleared_by })
    }

    /// An ICMP error about a connection: it inherits the connection's fate, and is otherwise judged alone.
    pub(super) fn judge_related(
        &mut self,
        world: World<'_>,
        moment: Moment<'_, '_>,
        tracked: Tracked<'_>,
        place: &Place<'_>,
        events: &mut Events,
    ) -> Verdict {
        self.counters.related += 1;
        let known = place.table.get(&tracked.entry.key()).map(|flow| flow.fate).unwrap_or_default();
        let marked = self.fates.decode_for(tracked.entry, world.rules.generation());
        match if known == Fate::Inspect { marked } else { known } {
            Fate::Inspect => self.apply_rules(world, moment, None, None, events),
            fate => {
                let verdict = self.policy.related(fate);
                events.extend(tell::policy_drop(verdict, moment, None));
                verdict
            }
        }
    }
}
