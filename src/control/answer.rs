//! From the data plane's verdict to the kernel's: NFQUEUE's modes, the packet mark, the fate in conntrack.

use super::config::{MarkMask, NfqMode};
use super::tracking::Tracking;
use crate::kernel::queue::{Answer, Disposition, Packet};
use crate::packet::conntrack::Fate;
use crate::packet::fate::FateStore;
use crate::packet::verdict::{Action, Verdict};

/// Turns verdicts into answers for one queue.
#[derive(Clone, Debug)]
pub struct AnswerMaker {
    mode: NfqMode,
    bypass: Option<MarkMask>,
    fates: FateStore,
}

impl AnswerMaker {
    #[must_use]
    pub fn new(mode: NfqMode, bypass: Option<MarkMask>, fates: FateStore) -> AnswerMaker {
        AnswerMaker { mode, bypass, fates }
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
        let write = self.fates.write(fate, generation);
        match tracking {
            Tracking::InVerdict => answer.with_conntrack(write),
            Tracking::ByNetlink(netlink) => {
                let written = packet.conntrack.is_some_and(|(entry, _)| netlink.write(&entry, &write));
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
            // It has been round already: without this, a rule that does not look at the mark would queue it for ever.
            (NfqMode::Repeat(repeat), _) if marked(repeat) == packet_mark => Answer::ACCEPT,
            (NfqMode::Repeat(repeat), _) => Answer::REPEAT.with_packet_mark(marked(repeat)),
            (NfqMode::Route { queue }, _) => Answer { disposition: Disposition::Requeue { queue }, ..Answer::ACCEPT },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(mode: NfqMode, bypass: Option<MarkMask>) -> AnswerMaker {
        AnswerMaker::new(mode, bypass, FateStore::default())
    }

    #[test]
    fn accepted_packets_leave_as_the_mode_says() {
        let mark = MarkMask { mark: 0x10, mask: 0xf0 };
        let pass = Some(Fate::Pass);
        let repeat = NfqMode::Repeat(mark);
        let requeued = Answer { disposition: Disposition::Requeue { queue: 3 }, ..Answer::ACCEPT };
        let cases = [
            ("plain", maker(NfqMode::Accept, None).accept(None, 0xab), Answer::ACCEPT),
            ("no bypass mark without a pass", maker(NfqMode::Accept, Some(mark)).accept(None, 0xab), Answer::ACCEPT),
            ("bypass", maker(NfqMode::Accept, Some(mark)).accept(pass, 0xab), Answer::ACCEPT.with_packet_mark(0x1b)),
            ("repeat", maker(repeat, None).accept(None, 0xab), Answer::REPEAT.with_packet_mark(0x1b)),
            ("repeated once is enough", maker(repeat, None).accept(None, 0x1b), Answer::ACCEPT),
            ("route", maker(NfqMode::Route { queue: 3 }, None).accept(None, 0), requeued),
        ];
        for (name, got, want) in cases {
            assert_eq!(got, want, "{name}");
        }
    }
}
