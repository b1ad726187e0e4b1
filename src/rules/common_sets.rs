//! The few address sets that most rules name: whether an address is in them is found out once, not rule by rule.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::plan::Rule;
use super::vars::AddressSet;

/// One bit each, and one for all other sets.
const SET_COUNT_MAX: usize = 15;

/// The sets that rules name most often, by number from 1. Number 0 is every other set.
#[derive(Debug, Default)]
pub struct CommonSets(Box<[Arc<AddressSet>]>);

impl CommonSets {
    #[must_use]
    pub fn of(rules: &[Rule]) -> CommonSets {
        // Equal texts share one set; `any` needs no asking.
        let mut named: HashMap<*const AddressSet, (usize, &Arc<AddressSet>)> = HashMap::new();
        for set in rules.iter().flat_map(|rule| [&rule.header.src, &rule.header.dst]).filter(|set| !set.is_any()) {
            named.entry(Arc::as_ptr(set)).or_insert((0, set)).0 += 1;
        }
        let mut named: Vec<(usize, &Arc<AddressSet>)> = named.into_values().collect();
        named.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        CommonSets(named.into_iter().take(SET_COUNT_MAX).map(|(_, set)| Arc::clone(set)).collect())
    }

    #[must_use]
    pub fn number(&self, set: &Arc<AddressSet>) -> u8 {
        let at = self.0.iter().position(|common| Arc::ptr_eq(common, set));
        at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(0)
    }

    /// A bit for each number whose set holds the address, or may hold it.
    #[must_use]
    pub fn around(&self, address: IpAddr) -> u16 {
        let holding = self.0.iter().zip(1u16..).filter(|(set, _)| set.contains(address));
        holding.fold(1, |bits, (_, number)| bits | 1 << number)
    }
}
