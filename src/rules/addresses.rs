//! Which rules name an address: one look-up for thousands of address lists.
//!
//! Reputation feeds are hundreds of rules with lists of addresses and nothing else. Their ranges are cut at each other's
//! ends into disjoint intervals, each with the rules that it belongs to; a packet then costs one binary search per side
//! however many lists there are. Prefixes, ranges and negations are all the same here, which a prefix tree is not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::vars::AddressSet;

/// Rules by the source or by the destination address that they want.
#[derive(Debug, Default)]
pub struct AddressIndex {
    v4_src: Intervals<u32>,
    v4_dst: Intervals<u32>,
    v6_src: Intervals<u128>,
    v6_dst: Intervals<u128>,
}

/// The lists of rules that want an address, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressLists {
    as_source: u32,
    as_destination: u32,
}

/// A rule with the side that it is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

impl AddressIndex {
    #[must_use]
    pub fn new(rules: &[(u32, Side, &AddressSet)]) -> AddressIndex {
        let of = |side: Side| rules.iter().filter(move |(_, filed, _)| *filed == side);
        let v4 = |side| of(side).flat_map(|(rule, _, set)| set.v4_ranges().iter().map(|range| (*range, *rule)));
        let v6 = |side| of(side).flat_map(|(rule, _, set)| set.v6_ranges().iter().map(|range| (*range, *rule)));
        AddressIndex {
            v4_src: Intervals::new(v4(Side::Source), |end| end.checked_add(1)),
            v4_dst: Intervals::new(v4(Side::Destination), |end| end.checked_add(1)),
            v6_src: Intervals::new(v6(Side::Source), |end| end.checked_add(1)),
            v6_dst: Intervals::new(v6(Side::Destination), |end| end.checked_add(1)),
        }
    }

    #[must_use]
    pub fn lists(&self, address: IpAddr) -> AddressLists {
        let list = |v4: &Intervals<u32>, v6: &Intervals<u128>| match address {
            IpAddr::V4(address) => v4.list(address.to_bits()),
            IpAddr::V6(address) => v6.list(address.to_bits()),
        };
        AddressLists { as_source: list(&self.v4_src, &self.v6_src), as_destination: list(&self.v4_dst, &self.v6_dst) }
    }

    /// The rules that want this source, and those that want this destination; ascending. Both are of one IP version.
    #[must_use]
    pub fn rules(&self, is_v4: bool, src: AddressLists, dst: AddressLists) -> [&[u32]; 2] {
        match is_v4 {
            true => [self.v4_src.rules(src.as_source), self.v4_dst.rules(dst.as_destination)],
            false => [self.v6_src.rules(src.as_source), self.v6_dst.rules(dst.as_destination)],
        }
    }
}

/// Where lists begin to apply, up to the next start.
#[derive(Debug)]
struct Intervals<T> {
    starts: Box<[(T, u32)]>,
    /// Different lists of rules; the first is empty.
    lists: Box<[Box<[u32]>]>,
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Intervals { starts: Box::default(), lists: Box::default() }
    }
}

impl<T: Copy + Ord> Intervals<T> {
    fn new(ranges: impl Iterator<Item = ((T, T), u32)>, after: impl Fn(T) -> Option<T>) -> Intervals<T> {
        // At each cut: the rules that begin there, and those that have ended.
        let mut cuts: BTreeMap<T, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
        for ((low, high), rule) in ranges {
            cuts.entry(low).or_default().0.push(rule);
            if let Some(end) = after(high) {
                cuts.entry(end).or_default().1.push(rule);
            }
        }
        let mut active: BTreeSet<u32> = BTreeSet::new();
        let mut known: HashMap<Box<[u32]>, u32> = HashMap::from([(Box::default(), 0)]);
        let mut lists: Vec<Box<[u32]>> = vec![Box::default()];
        let mut starts = Vec::with_capacity(cuts.len());
        for (cut, (begins, ends)) in cuts {
            for rule in ends {
                active.remove(&rule);
            }
            active.extend(begins);
            let list: Box<[u32]> = active.iter().copied().collect();
            let number = *known.entry(list.clone()).or_insert_with(|| {
                lists.push(list);
                u32::try_from(lists.len() - 1).unwrap_or(0)
            });
            starts.push((cut, number));
        }
        Intervals { starts: starts.into(), lists: lists.into() }
    }

    /// The number of the list that applies; 0 is an empty one.
    fn list(&self, value: T) -> u32 {
        let after = self.starts.partition_point(|(start, _)| *start <= value);
        after.checked_sub(1).and_then(|at| self.starts.get(at)).map_or(0, |(_, list)| *list)
    }

    fn rules(&self, list: u32) -> &[u32] {
        usize::try_from(list).ok().and_then(|list| self.lists.get(list)).map_or(&[], |list| list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn look_up_agrees_with_asking_every_range(
            ranges in prop::collection::vec((any::<u8>(), any::<u8>(), 0..6u32), 0..20),
            value in any::<u8>(),
        ) {
            let mut merged: Vec<((u8, u8), u32)> = Vec::new();
            for (a, b, rule) in ranges {
                let range = (a.min(b), a.max(b));
                // As in a set: the ranges of one rule are disjoint and do not touch.
                let apart = |other: &((u8, u8), u32)| {
                    other.1 != rule || other.0.1.saturating_add(1) < range.0 || range.1.saturating_add(1) < other.0.0
                };
                if merged.iter().all(apart) {
                    merged.push((range, rule));
                }
            }
            let intervals = Intervals::new(merged.iter().copied(), |end: u8| end.checked_add(1));
            let mut expected: Vec<u32> =
                merged.iter().filter(|((low, high), _)| *low <= value && value <= *high).map(|(_, rule)| *rule).collect();
            expected.sort_unstable();
            prop_assert_eq!(intervals.rules(intervals.list(value)), expected);
        }
    }
}
