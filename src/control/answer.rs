//! From the data plane's verdict to the kernel's: NFQUEUE's modes, the packet mark, the fate in conntrack.

use super::config::{MarkMask, NfqMode};
use super::tracking::Tracking;
use crate::kernel::queue::{Answer, ConntrackWrite, Disposition, Packet};
use crate::packet::conntrack::{Fate, FateMask};
use crate::packet::verdict::{Action, Verdict};

/// Turns verdicts into answers for one queue.
#[derive(Clone, Debug)]
pub struct AnswerMaker {
    mode: NfqMode,
    bypass: Option<MarkMask>,
    fate_mask: FateMask,
}

impl AnswerMaker {
    #[must_use]
    pub fn new(mode: NfqMode, bypass: Option<MarkMask>, fate_mask: FateMask) -> AnswerMaker {
        AnswerMaker { mode, bypass, fate_mask }
    }

    /// The kernel executes the answer; a fate goes with it where NFQA_CT exists, and ahead of it by ctnetlink where not.
    pub fn answer(&self, verdict: Verdict, generation: u64, packet: &Packet<'_>, tracking: &mut Tracking) -> Answer {
        let answer = match verdict.action {
            Action::Accept => self.accept(verdict.fate, packet.ingress().mark),
            Action::Drop(_) => Answer::DROP,
            Action::Repeat(_) => Answer::REPEAT,
        };
        if let (Tracking::ByNetlink(netlink), Some((entry, _)), false) =
            (&*tracking, &packet.conntrack, verdict.action == Action::Accept)
        {
            netlink.note_dropped(entry);
        }
        let Some(fate) = verdict.fate else { return answer };
        let (mark, mask) = (self.fate_mask.encode_with(fate, generation), self.fate_mask.mask);
        match tracking {
            Tracking::InVerdict => answer.with_conntrack(ConntrackWrite { mark: Some((mark, mask)), labels: None }),
            Tracking::ByNetlink(netlink) => {
                let written = packet.conntrack.is_some_and(|(entry, _)| netlink.write_mark(&entry, mark, mask));
                // Without the fate in the entry a repeated packet would come straight back to us.
                if written || !matches!(verdict.action, Action::Repeat(_)) { answer } else { Answer::DROP }
            }
        }
    }

    fn accept(&self, fate: Option<Fate>, packet_mark: u32) -> Answer {
        let bypass = self.bypass.filter(|_| fate == Some(Fate::Pass));
        let marked = |mark: MarkMask| packet_mark & !mark.mask | mark.mark & mark.mask;
        match (self.mode, bypass) {
            (NfqMode::Accept, None) => Answer::ACCEPT,
            (NfqMode::Accept, Some(bypass)) => Answer::ACCEPT.with_packet_mark(marked(bypass)),
            (NfqMode::Repeat(repeat), _) => Answer::REPEAT.with_packet_mark(marked(repeat)),
            (NfqMode::Route { queue }, _) => Answer { disposition: Disposition::Requeue { queue }, ..Answer::ACCEPT },
        }
    }
}
