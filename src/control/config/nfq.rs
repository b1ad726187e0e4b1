//! `nfq:` Suricata's section for serving as the queue target of somebody else's rules.

use super::queue::Queue;
use super::report::Report;
use super::section::{Choice, Section};
use super::tree::Node;

/// The section `nfq`. Its `fail-open` is [`super::Queue::fail_open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfq {
    pub mode: NfqMode,
    /// `bypass-mark` and `bypass-mask`: the packet mark that a cleared packet leaves with.
    pub bypass: Option<MarkMask>,
    /// `batchcount`: at most so many verdicts in one message.
    pub batch_count_max: u16,
}

impl Default for Nfq {
    fn default() -> Self {
        Nfq { mode: NfqMode::Accept, bypass: None, batch_count_max: 64 }
    }
}

/// How an accepted packet goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NfqMode {
    /// To the next base chain.
    Accept,
    /// Through the hook's chains again, with this packet mark.
    Repeat(MarkMask),
    /// Into another queue.
    Route { queue: u16 },
}

/// Bits of a packet mark: those of `mask` become those of `mark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkMask {
    pub mark: u32,
    pub mask: u32,
}

/// `mode` as typed: what it needs stands in other keys.
#[derive(Clone, Copy)]
enum ModeWord {
    Accept,
    Repeat,
    Route,
}

impl Choice for ModeWord {
    const WORDS: &'static [(&'static str, ModeWord)] =
        &[("accept", ModeWord::Accept), ("repeat", ModeWord::Repeat), ("route", ModeWord::Route)];
}

impl Nfq {
    /// `fail-open` goes to `queue`, which has the last word if it is typed there too.
    pub(super) fn read(node: Option<&Node>, queue: &mut Queue, report: &mut Report) -> Nfq {
        let mut section = Section::new("nfq", node, report);
        let mut nfq = Nfq::default();
        let mut mode = ModeWord::Accept;
        section.read_choice("mode", &mut mode, report);
        section.read_number("batchcount", 1..=1024, &mut nfq.batch_count_max, report);
        section.read_bool("fail-open", &mut queue.fail_open, report);
        let repeat = read_mark_mask(&mut section, "repeat-mark", "repeat-mask", report);
        nfq.bypass = read_mark_mask(&mut section, "bypass-mark", "bypass-mask", report);
        let mut route_queue = None;
        section.read("route-queue", "a queue number from 0 to 65535", &mut route_queue, report, |text| {
            text.parse::<u16>().ok().map(Some)
        });
        section.finish(report);
        let mut missing = |what| {
            if let Some(node) = node {
                report.rule(&node.place, "nfq.mode", what);
            }
            NfqMode::Accept
        };
        nfq.mode = match (mode, repeat, route_queue) {
            (ModeWord::Accept, ..) => NfqMode::Accept,
            (ModeWord::Repeat, Some(mark), _) => NfqMode::Repeat(mark),
            (ModeWord::Repeat, None, _) => {
                missing("repeat needs repeat-mark and repeat-mask, or packets go round for ever")
            }
            (ModeWord::Route, _, Some(queue)) => NfqMode::Route { queue },
            (ModeWord::Route, _, None) => missing("route needs route-queue, the queue that takes what we accept"),
        };
        nfq
    }
}

/// A mask that is not typed is all bits. A mark outside of its mask would never be found again.
fn read_mark_mask(
    section: &mut Section<'_>,
    mark_key: &'static str,
    mask_key: &'static str,
    report: &mut Report,
) -> Option<MarkMask> {
    let (mut mark, mut mask) = (None, None);
    section.read_mark(mark_key, &mut mark, report);
    section.read_mark(mask_key, &mut mask, report);
    let pair = MarkMask { mark: mark?, mask: mask.unwrap_or(u32::MAX) };
    if pair.mark & pair.mask != pair.mark || pair.mark == 0 {
        if let Some(node) = section.find(mark_key) {
            report.rule(
                &node.place,
                &section.path_of(mark_key),
                format!("must have a bit, and none outside of {mask_key}"),
            );
        }
        return None;
    }
    Some(pair)
}
