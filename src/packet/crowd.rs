//! Many values that know their own keys, each in a box of its own.
//!
//! A slot of the table is the value's place and its hash, 16 bytes: a table that doubles moves little and visits no value,
//! and one whose crowd has gone gives its room back.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, VacantEntry};

/// A table with more room than this, of which at most one [`SHRINK_SHARE`]th is in use, gives memory back.
const SHRINK_COUNT_MIN: usize = 64;
const SHRINK_SHARE: usize = 8;

/// What knows its key. The key never changes while the value stands in a table.
pub trait Keyed {
    type Key: Hash + Eq;

    fn key(&self) -> &Self::Key;
}

/// Values by key.
#[derive(Debug)]
pub struct Crowd<T> {
    slots: HashTable<Slot<T>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot<T> {
    hash: u64,
    value: Box<T>,
}

impl<T> Slot<T> {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Crowd { slots: HashTable::new(), hasher: RandomState::default() }
    }
}

/// Where a key stands, or would.
#[derive(Debug)]
pub enum Place<'c, T> {
    Taken(&'c mut T),
    Free(FreePlace<'c, T>),
}

/// A place for a value that has the key that was asked for.
#[derive(Debug)]
pub struct FreePlace<'c, T> {
    hash: u64,
    slot: VacantEntry<'c, Slot<T>>,
}

impl<'c, T> FreePlace<'c, T> {
    pub fn fill(self, value: Box<T>) -> &'c mut T {
        &mut self.slot.insert(Slot { hash: self.hash, value }).into_mut().value
    }
}

impl<T: Keyed> Crowd<T> {
    #[must_use]
    pub fn get(&self, key: &T::Key) -> Option<&T> {
        let slot = self.slots.find(self.hasher.hash_one(key), |slot| slot.value.key() == key)?;
        Some(&slot.value)
    }

    pub fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        let slot = self.slots.find_mut(self.hasher.hash_one(key), |slot| slot.value.key() == key)?;
        Some(&mut slot.value)
    }

    pub fn place(&mut self, key: &T::Key) -> Place<'_, T> {
        let hash = self.hasher.hash_one(key);
        match self.slots.entry(hash, |slot| slot.value.key() == key, Slot::hash) {
            Entry::Occupied(slot) => Place::Taken(&mut slot.into_mut().value),
            Entry::Vacant(slot) => Place::Free(FreePlace { hash, slot }),
        }
    }

    pub fn remove(&mut self, key: &T::Key) -> Option<Box<T>> {
        let slot = self.slots.find_entry(self.hasher.hash_one(key), |slot| slot.value.key() == key).ok()?;
        let (slot, _) = slot.remove();
        self.shrink();
        Some(slot.value)
    }

    /// Takes out every value that `is_over`.
    pub fn take_out(&mut self, mut is_over: impl FnMut(&T) -> bool) -> Vec<Box<T>> {
        let out = self.slots.extract_if(|slot| is_over(&slot.value)).map(|slot| slot.value).collect();
        self.shrink();
        out
    }
}

impl<T> Crowd<T> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many there is room for now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.slots.capacity()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|slot| &*slot.value)
    }

    /// Twice the room that is in use stays, so that few removals shrink.
    fn shrink(&mut self) {
        if self.room() > SHRINK_COUNT_MIN && self.len() <= self.room() / SHRINK_SHARE {
            self.slots.shrink_to(self.len() * 2, Slot::hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Keyed for (u32, &str) {
        type Key = u32;

        fn key(&self) -> &u32 {
            &self.0
        }
    }

    #[test]
    fn a_key_has_one_place() {
        let mut crowd = Crowd::<(u32, &str)>::default();
        for (key, text) in [(1, "one"), (2, "two"), (1, "another")] {
            match crowd.place(&key) {
                Place::Taken(value) => value.1 = text,
                Place::Free(place) => assert_eq!(place.fill(Box::new((key, text))).1, text),
            }
        }
        assert_eq!((crowd.len(), crowd.get(&1), crowd.get(&3)), (2, Some(&(1, "another")), None));
        assert_eq!(crowd.take_out(|value| value.0 == 1).len(), 1);
        assert_eq!(crowd.iter().collect::<Vec<_>>(), [&(2, "two")]);
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_no_room_behind() {
        let mut crowd = Crowd::<(u32, &str)>::default();
        let fill = |crowd: &mut Crowd<(u32, &str)>| {
            for key in 0..10_000 {
                if let Place::Free(place) = crowd.place(&key) {
                    place.fill(Box::new((key, "")));
                }
            }
        };
        fill(&mut crowd);
        for key in 10..10_000 {
            assert!(crowd.remove(&key).is_some());
        }
        assert!(crowd.room() <= 2 * SHRINK_COUNT_MIN, "room for {}", crowd.room());
        assert!((0..10).all(|key| crowd.get(&key).is_some()));
        fill(&mut crowd);
        assert_eq!(crowd.take_out(|_| true).len(), 10_000);
        assert!(crowd.room() <= 2 * SHRINK_COUNT_MIN, "room for {}", crowd.room());
    }
}
