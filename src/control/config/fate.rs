//! `fate:` where a connection's fate is written in its conntrack entry.

use super::report::Report;
use super::section::{Choice, Section, list, number, scalar};
use crate::packet::conntrack::FateMask;
use crate::packet::fate::{self, FateLabels};

/// The section `fate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    pub store: FateStore,
    /// Our bits of the conntrack mark, where that is the store.
    pub mask: FateMask,
    /// Our conntrack labels, where those are the store.
    pub labels: FateLabels,
    pub clear: Clear,
    pub flowtable: Flowtable,
}

/// `fate.clear`: what the kernel is to pass without asking. What is encrypted, and what is beyond the streams' depth, is
/// configured where those are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clear {
    /// Connections that rules with the action `pass` clear.
    pub pass: bool,
    /// Connections that rules with the keyword `bypass` clear.
    pub bypass: bool,
    /// Bytes of both directions; beyond it a connection is cleared. 0 for never.
    pub elephant_bytes: u64,
}

/// `fate.flowtable` and `fate.flowtable-devices`: the kernel's fast path for cleared connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flowtable {
    pub on: bool,
    /// Empty for all devices that are there at the start.
    pub devices: Vec<String>,
}

impl Default for Fate {
    fn default() -> Self {
        Fate {
            store: FateStore::Auto,
            mask: FateMask::default(),
            labels: FateLabels::default(),
            clear: Clear { pass: true, bypass: true, elephant_bytes: 0 },
            flowtable: Flowtable::default(),
        }
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
    /// The store that `store` names; `auto` has named none yet, and is the mark until it has.
    #[must_use]
    pub fn place(&self) -> fate::FateStore {
        match self.store {
            FateStore::Label => fate::FateStore::Labels(self.labels),
            FateStore::Mark | FateStore::Auto => fate::FateStore::Mark(self.mask),
        }
    }

    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Fate {
        let mut fate = Fate::default();
        section.read_choice("store", &mut fate.store, report);
        section.read("mask", MASK_EXPECTED, &mut fate.mask, report, |text| {
            FateMask::new(u32::try_from(number(text)?).ok()?)
        });
        section.read("label", LABEL_EXPECTED, &mut fate.labels, report, |text| {
            FateLabels::new(u8::try_from(number(text)?).ok()?)
        });
        section.read_bool("flowtable", &mut fate.flowtable.on, report);
        let path = section.path_of("flowtable-devices");
        report.asked(&path);
        if let Some(node) = section.find("flowtable-devices") {
            let names = list(node, &path, report);
            fate.flowtable.devices =
                names.iter().filter_map(|name| scalar(name, &path, report)).map(str::to_owned).collect();
        }
        let mut clear = section.section("clear", report);
        clear.read_bool("pass", &mut fate.clear.pass, report);
        clear.read_bool("bypass", &mut fate.clear.bypass, report);
        let mut bytes = 0;
        clear.read_size("elephant", 0..=1 << 50, &mut bytes, report);
        fate.clear.elephant_bytes = bytes as u64;
        clear.finish(report);
        section.finish(report);
        fate
    }
}

const LABEL_EXPECTED: &str = "the first of sixteen labels: a multiple of 16 from 0 to 112";
const MASK_EXPECTED: &str = "at least two neighbouring bits of 32 without a hole, such as 0x07000000";
