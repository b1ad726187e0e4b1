//! Where a fate stands in a conntrack entry: in bits of its mark, or among its labels.
//!
//! Both hold the same word: two bits of fate, then as much of the rule set's generation as fits. The mark works on every
//! entry and is shared with routing and shaping rules; labels are hardly used by anyone, but an entry has room for them
//! only if it was made while a rule that sets labels was loaded.

use super::conntrack::{Conntrack, Fate, FateMask, Labels};

/// Bits to change in a conntrack entry: those of a mask become those of the value; all others stay.
///
/// The kernel writes labels first, and a failing one (an entry that was made while no rule with `ct label set` was
/// loaded) takes the mark down with it, silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackWrite {
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    /// Value and mask.
    pub labels: Option<(Labels, Labels)>,
}

/// Sixteen neighbouring labels: two for the fate, fourteen for the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FateLabels {
    byte: u8,
}

impl Default for FateLabels {
    fn default() -> Self {
        FateLabels { byte: 14 }
    }
}

impl FateLabels {
    /// Labels that a fate and its generation take.
    pub const COUNT: u8 = 16;

    /// `first` is the number of the first label: a multiple of 16 below 128.
    #[must_use]
    pub fn new(first: u8) -> Option<FateLabels> {
        (first < 128 && first.is_multiple_of(Self::COUNT)).then_some(FateLabels { byte: first / 8 })
    }

    /// The number of the first of our labels.
    #[must_use]
    pub fn first(self) -> u8 {
        self.byte.saturating_mul(8)
    }

    /// All sixteen.
    #[must_use]
    pub fn mask(self) -> Labels {
        self.place(u32::from(u16::MAX))
    }

    fn word(self, labels: &Labels) -> u32 {
        let bytes = labels.0.get(usize::from(self.byte)..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes).into())
    }

    fn place(self, word: u32) -> Labels {
        let mut labels = Labels::default();
        let [low, high, ..] = word.to_le_bytes();
        for (slot, byte) in labels.0.iter_mut().skip(self.byte.into()).zip([low, high]) {
            *slot = byte;
        }
        labels
    }
}

/// One of the two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateStore {
    Mark(FateMask),
    Labels(FateLabels),
}

impl Default for FateStore {
    fn default() -> Self {
        FateStore::Mark(FateMask::default())
    }
}

impl From<FateMask> for FateStore {
    fn from(mask: FateMask) -> Self {
        FateStore::Mark(mask)
    }
}

impl FateStore {
    /// The fate that stands in `entry`, whichever generation wrote it.
    #[must_use]
    pub fn decode(self, entry: &Conntrack) -> Fate {
        let (layout, word) = self.read(entry);
        layout.decode(word)
    }

    /// The fate that `entry` holds for rule set `generation`: what an older set cleared is to be inspected again, what
    /// it condemned stays condemned.
    #[must_use]
    pub fn decode_for(self, entry: &Conntrack, generation: u64) -> Fate {
        let (layout, word) = self.read(entry);
        layout.decode_for(word, generation)
    }

    /// Fate and generation, as a verdict writes them.
    #[must_use]
    pub fn write(self, fate: Fate, generation: u64) -> ConntrackWrite {
        let layout = self.layout();
        self.bits(layout.encode_with(fate, generation), layout.mask)
    }

    /// The fate alone: of what is condemned the generation says nothing.
    #[must_use]
    pub fn write_fate(self, fate: Fate) -> ConntrackWrite {
        let layout = self.layout();
        self.bits(layout.encode(fate), layout.fate_bits())
    }

    /// As much of `generation` as the store has room for.
    #[must_use]
    pub fn remembers(self, generation: u64) -> u64 {
        let layout = self.layout();
        let bits = layout.encode_with(Fate::Inspect, generation);
        u64::from(bits.checked_shr(layout.mask.trailing_zeros()).unwrap_or(0) >> 2)
    }

    /// How it is called in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FateStore::Mark(_) => "mark",
            FateStore::Labels(_) => "label",
        }
    }

    fn layout(self) -> FateMask {
        match self {
            FateStore::Mark(mask) => mask,
            FateStore::Labels(_) => FateMask { mask: u32::from(u16::MAX) },
        }
    }

    fn read(self, entry: &Conntrack) -> (FateMask, u32) {
        let word = match self {
            FateStore::Mark(_) => entry.mark,
            FateStore::Labels(place) => entry.labels.as_ref().map_or(0, |labels| place.word(labels)),
        };
        (self.layout(), word)
    }

    fn bits(self, value: u32, mask: u32) -> ConntrackWrite {
        match self {
            FateStore::Mark(_) => ConntrackWrite { mark: Some((value, mask)), labels: None },
            FateStore::Labels(place) => {
                ConntrackWrite { mark: None, labels: Some((place.place(value), place.place(mask))) }
            }
        }
    }
}

impl std::fmt::Display for FateStore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FateStore::Mark(mask) => write!(out, "the bits {:#010x} of the conntrack mark", mask.mask),
            FateStore::Labels(place) => {
                let first = place.first();
                write!(out, "the conntrack labels {first} to {}", first.saturating_add(FateLabels::COUNT - 1))
            }
        }
    }
}

impl ConntrackWrite {
    /// What the kernel makes of it: `(old & ~mask) | (value & mask)`, in both places.
    pub fn apply(&self, mark: &mut u32, labels: &mut Option<Labels>) {
        if let Some((value, mask)) = self.mark {
            *mark = *mark & !mask | value & mask;
        }
        if let Some((value, mask)) = self.labels {
            let changed = labels.get_or_insert_default();
            for (byte, (value, mask)) in changed.0.iter_mut().zip(value.0.into_iter().zip(mask.0)) {
                *byte = *byte & !mask | value & mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::conntrack::Tuple;
    use proptest::prelude::*;

    fn store() -> impl Strategy<Value = FateStore> {
        let mask = (2u32..=32, 0u32..32).prop_filter_map("a mask of 32 bits", |(bits, shift)| {
            let low = u32::MAX.checked_shr(32 - bits)?;
            (bits + shift <= 32).then(|| FateMask::new(low << shift)).flatten()
        });
        prop_oneof![
            mask.prop_map(FateStore::Mark),
            (0u8..8).prop_filter_map("a place", |place| FateLabels::new(place * 16)).prop_map(FateStore::Labels)
        ]
    }

    fn written(entry: &Conntrack, write: ConntrackWrite) -> Conntrack {
        let mut after = *entry;
        write.apply(&mut after.mark, &mut after.labels);
        after
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_others_keep_their_bits(
            store in store(),
            fate in prop::sample::select(Fate::ALL.to_vec()),
            generation in any::<u64>(),
            mark in any::<u32>(),
            labels in prop::option::of(any::<[u8; 16]>()),
        ) {
            let before = Conntrack {
                mark,
                labels: labels.map(Labels),
                ..Conntrack::of_tuples(0, Tuple::UNSPECIFIED, Tuple::UNSPECIFIED)
            };
            let after = written(&before, store.write(fate, generation));
            prop_assert_eq!(store.decode(&after), fate);
            prop_assert_eq!(store.decode_for(&after, generation), fate);
            let emptied = written(&after, store.write(Fate::Inspect, 0));
            let restored = written(&emptied, ConntrackWrite {
                mark: Some((before.mark, store.write(fate, 0).mark.map_or(0, |(_, mask)| mask))),
                labels: store.write(fate, 0).labels.map(|(_, mask)| (before.labels.unwrap_or_default(), mask)),
            });
            prop_assert_eq!(restored.mark, before.mark);
            prop_assert_eq!(restored.labels.unwrap_or_default(), before.labels.unwrap_or_default());
        }

        #[test]
        fn another_generation_is_another_wherever_there_is_room(
            store in store(),
            one in any::<u64>(),
            other in any::<u64>(),
        ) {
            let entry = Conntrack::of_tuples(0, Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
            let cleared = written(&entry, store.write(Fate::Pass, one));
            let same = store.remembers(one) == store.remembers(other);
            prop_assert_eq!(store.decode_for(&cleared, other) == Fate::Pass, same);
            let condemned = written(&cleared, store.write_fate(Fate::Drop));
            prop_assert_eq!(store.decode_for(&condemned, other), Fate::Drop);
        }
    }

    #[test]
    fn labels_begin_where_sixteen_of_them_fit() {
        for (first, fits) in [(0, true), (16, true), (112, true), (8, false), (128, false), (113, false)] {
            assert_eq!(FateLabels::new(first).map(FateLabels::first), fits.then_some(first));
        }
        assert_eq!(FateLabels::default().first(), 112);
        assert_eq!(FateLabels::default().mask().0[14..], [0xff, 0xff]);
    }
}
