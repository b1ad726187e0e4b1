//! `fate:` where a connection's fate is written in its conntrack entry.

use super::report::Report;
use super::section::{Choice, Section, number};
use crate::packet::conntrack::FateMask;

/// The section `fate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    pub store: FateStore,
    /// Our bits of the conntrack mark.
    pub mask: FateMask,
}

impl Default for Fate {
    fn default() -> Self {
        Fate { store: FateStore::Auto, mask: FateMask::default() }
    }
}

/// `auto` looks for other users of the same bits, then picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateStore {
    Auto,
    Label,
    Mark,
}

impl Choice for FateStore {
    const WORDS: &'static [(&'static str, FateStore)] =
        &[("auto", FateStore::Auto), ("label", FateStore::Label), ("mark", FateStore::Mark)];
}

impl Fate {
    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Fate {
        let mut fate = Fate::default();
        section.read_choice("store", &mut fate.store, report);
        section.read("mask", MASK_EXPECTED, &mut fate.mask, report, |text| {
            FateMask::new(u32::try_from(number(text)?).ok()?)
        });
        section.finish(report);
        fate
    }
}

const MASK_EXPECTED: &str = "at least two neighbouring bits of 32 without a hole, such as 0x07000000";
