//! The mirrored entries, in shards behind locks that are held for a few hash lookups and never two at a time.
//!
//! An entry lies under its original tuple. Its other faces, where NAT made it have any, are aliases that lead there. The
//! shard is chosen by a hash that both directions of a tuple share, so one lock serves a packet of either.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::entry::{Entry, Source};
use super::view::{Face, View};
use crate::packet::conntrack::{Conntrack, Direction, Tuple};
use crate::packet::crowd::{Crowd, Keyed, Place};

const SHARD_COUNT: usize = 64;
/// A shard with fewer slots than this is not worth shrinking.
const SHRINK_SLOT_COUNT_MIN: usize = 64;

/// What a packet shows: its tuple, the same turned round, and the views that it may be seen from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faces<'a> {
    pub tuple: &'a Tuple,
    pub opposite: &'a Tuple,
    pub views: &'a [View],
    /// The tuple is what an ICMP error quotes.
    pub quoted: bool,
}

/// What became of an entry that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    /// Beyond the cap.
    Full,
    /// Somebody died since the kernel was asked, who may be this very entry.
    Doubtful,
}

impl Faces<'_> {
    /// The packet's direction in a connection with these tuples, `None` if it shows none of its faces.
    pub fn direction_of(&self, entry: &Conntrack) -> Option<Direction> {
        self.candidates()
            .find_map(|(face, tuple, direction)| (face.of(&entry.orig, &entry.reply)? == *tuple).then_some(direction))
    }

    /// Each face that the packet may show of its connection, and the direction that it would then have.
    fn candidates(&self) -> impl Iterator<Item = (Face, &Tuple, Direction)> {
        let sides = [(self.tuple, Direction::Original), (self.opposite, Direction::Reply)];
        self.views.iter().flat_map(move |view| {
            let view = if self.quoted { view.of_quoted() } else { *view };
            sides.map(|(tuple, direction)| (view.face(direction), tuple, direction))
        })
    }
}

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    entry_count: AtomicUsize,
    entry_count_max: usize,
    deaths: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    entries: Crowd<Mirrored>,
    aliases: HashMap<(Face, Tuple), Tuple, RandomState>,
}

#[derive(Debug)]
struct Mirrored {
    orig: Tuple,
    entry: Entry,
}

impl Mirrored {
    fn boxed(orig: Tuple, entry: Entry) -> Box<Mirrored> {
        Box::new(Mirrored { orig, entry })
    }
}

impl Keyed for Mirrored {
    type Key = Tuple;

    fn key(&self) -> &Tuple {
        &self.orig
    }
}

impl Table {
    pub fn new(entry_count_max: usize) -> Table {
        Table {
            shards: (0..SHARD_COUNT).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            entry_count: AtomicUsize::new(0),
            entry_count_max,
            deaths: AtomicU64::new(0),
        }
    }

    pub fn len(&self) -> usize {
        self.entry_count.load(Ordering::Relaxed)
    }

    /// Beyond this, entries are not mirrored.
    pub fn is_full(&self) -> bool {
        self.len() >= self.entry_count_max
    }

    #[cfg(test)]
    pub fn alias_count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).aliases.len()).sum()
    }

    #[cfg(test)]
    pub fn slot_count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.room()).sum()
    }

    /// Deaths heard of so far. A snapshot taken before one of them may speak of the dead.
    pub fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Acquire)
    }

    pub fn count_death(&self) {
        self.deaths.fetch_add(1, Ordering::AcqRel);
    }

    /// Finds the entry that a packet belongs to, and hands it over under its lock with original tuple and direction.
    pub fn visit<R>(&self, faces: &Faces<'_>, visit: impl FnOnce(&Tuple, Direction, &mut Entry) -> R) -> Option<R> {
        let mut shard = self.shard(faces.tuple);
        let (orig, direction) = shard.locate(faces)?;
        if let Some(held) = shard.entries.get_mut(&orig) {
            return Some(visit(&orig, direction, &mut held.entry));
        }
        drop(shard);
        self.shard(&orig).entries.get_mut(&orig).map(|held| visit(&orig, direction, &mut held.entry))
    }

    /// Hands over the entry with this original tuple, under its lock.
    pub fn visit_orig<R>(&self, orig: &Tuple, visit: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.shard(orig).entries.get_mut(orig).map(|held| visit(&mut held.entry))
    }

    /// Stores what an event or snapshot says. `deaths_before` is what [`Self::deaths`] said before the snapshot was asked
    /// for; events need none, for they come in order.
    pub fn store(&self, from: &Conntrack, source: Source, epoch: u32, deaths_before: Option<u64>) -> Stored {
        let stand_in = self.stand_in_of(from);
        let mut shard = self.shard(&from.orig);
        let old_reply = match shard.entries.place(&from.orig) {
            Place::Taken(Mirrored { entry, .. }) => {
                let old_reply = entry.reply;
                if !entry.is_confirmed() {
                    let unconfirmed = std::mem::replace(entry, Entry::of(from, epoch));
                    entry.inherit(&unconfirmed, None, source);
                } else if entry.is_same(from) && !(source == Source::New && entry.is_over()) {
                    entry.learn(from, source, epoch);
                    if source == Source::Get {
                        // The event came first, and has done the rest.
                        return Stored::Yes;
                    }
                } else {
                    *entry = Entry::of(from, epoch);
                }
                Some(old_reply)
            }
            Place::Free(place) => {
                if deaths_before.is_some_and(|before| before != self.deaths()) {
                    return Stored::Doubtful;
                }
                if !self.reserve() {
                    return Stored::Full;
                }
                place.fill(Mirrored::boxed(from.orig, Entry::of(from, epoch)));
                None
            }
        };
        if let (Some((key, unconfirmed)), Some(held)) = (&stand_in, shard.entries.get_mut(&from.orig)) {
            held.entry.inherit(unconfirmed, Some(*key), source);
        }
        drop(shard);
        if let Some(old_reply) = old_reply.filter(|reply| *reply != from.reply) {
            self.remove_aliases(&from.orig, &old_reply);
        }
        for (face, tuple) in aliases(&from.orig, &from.reply) {
            self.shard(&tuple).aliases.insert((face, tuple), from.orig);
        }
        // Last, so that a packet meets one of the two at any time.
        if let Some((key, _)) = stand_in
            && let Some(unconfirmed) = self.remove_if(&key, |entry| !entry.is_confirmed())
        {
            self.visit_orig(&from.orig, |entry| entry.inherit(&unconfirmed, None, source));
        }
        Stored::Yes
    }

    /// Adds the stand-in for an entry that is not confirmed, unless something already stands there.
    pub fn add_unconfirmed(&self, orig: &Tuple, entry: Entry) -> Stored {
        match self.shard(orig).entries.place(orig) {
            Place::Taken(_) => Stored::Yes,
            Place::Free(_) if !self.reserve() => Stored::Full,
            Place::Free(place) => {
                place.fill(Mirrored::boxed(*orig, entry));
                Stored::Yes
            }
        }
    }

    /// Removes the entry if `condemned` says so.
    pub fn remove_if(&self, orig: &Tuple, condemned: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let mut shard = self.shard(orig);
        if !condemned(&shard.entries.get(orig)?.entry) {
            return None;
        }
        let entry = shard.entries.remove(orig)?.entry;
        drop(shard);
        self.release(1);
        self.remove_aliases(orig, &entry.reply);
        Some(entry)
    }

    /// Removes all entries that are not to be kept, then tells of each; one shard is locked at a time, and none while
    /// `gone` runs. Aliases that lead nowhere go too, and memory that a past crowd needed.
    pub fn retain(&self, mut keep: impl FnMut(&Tuple, &Entry) -> bool, mut gone: impl FnMut(&Tuple, Entry)) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let removed = shard.entries.take_out(|held| !keep(&held.orig, &held.entry));
            shard.shrink();
            drop(shard);
            self.release(removed.len());
            for removed in removed {
                let Mirrored { orig, entry } = *removed;
                self.remove_aliases(&orig, &entry.reply);
                gone(&orig, entry);
            }
        }
        self.remove_lost_aliases();
    }

    /// An unconfirmed entry is known by the tuple that its first packet showed. When the kernel tells the truth about
    /// its NAT, that is another face of the entry.
    fn stand_in_of(&self, from: &Conntrack) -> Option<(Tuple, Entry)> {
        aliases(&from.orig, &from.reply).find_map(|(_, tuple)| {
            let unconfirmed = |entry: &mut Entry| (!entry.is_confirmed()).then(|| entry.clone());
            Some((tuple, self.visit_orig(&tuple, unconfirmed)??))
        })
    }

    fn remove_aliases(&self, orig: &Tuple, reply: &Tuple) {
        for (face, tuple) in aliases(orig, reply) {
            let mut shard = self.shard(&tuple);
            if shard.aliases.get(&(face, tuple)) == Some(orig) {
                shard.aliases.remove(&(face, tuple));
            }
        }
    }

    fn remove_lost_aliases(&self) {
        for shard in &self.shards {
            let all: Vec<_> = lock(shard).aliases.iter().map(|(key, orig)| (*key, *orig)).collect();
            for (key, orig) in all {
                if self.shard(&orig).entries.get(&orig).is_none() {
                    lock(shard).aliases.remove(&key);
                }
            }
        }
    }

    fn reserve(&self) -> bool {
        let reserved = self.entry_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < self.entry_count_max).then(|| count.saturating_add(1))
        });
        reserved.is_ok()
    }

    fn release(&self, count: usize) {
        self.entry_count.fetch_sub(count, Ordering::Relaxed);
    }

    fn shard(&self, tuple: &Tuple) -> MutexGuard<'_, Shard> {
        // Identifiers of ICMP stay with the packet; ports change sides with the addresses.
        let ends = match tuple.protocol {
            1 | 58 => [(tuple.src, tuple.src_port), (tuple.dst, tuple.src_port)],
            _ => [(tuple.src, tuple.src_port), (tuple.dst, tuple.dst_port)],
        };
        let hash = ends.iter().fold(0, |hash: u64, end| hash.wrapping_add(self.hasher.hash_one(end)));
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SHARD_COUNT;
        #[expect(clippy::indexing_slicing, reason = "there are SHARD_COUNT shards, always")]
        lock(&self.shards[index])
    }
}

impl Shard {
    /// The original tuple and the direction of the connection that shows these faces.
    fn locate(&self, faces: &Faces<'_>) -> Option<(Tuple, Direction)> {
        faces.candidates().find_map(|(face, tuple, direction)| Some((self.locate_face(face, tuple)?, direction)))
    }

    fn locate_face(&self, face: Face, tuple: &Tuple) -> Option<Tuple> {
        let direct = self.entries.get(tuple).is_some_and(|held| face.of(tuple, &held.entry.reply) == Some(*tuple));
        if direct {
            return Some(*tuple);
        }
        if face == Face::Orig || self.aliases.is_empty() {
            return None;
        }
        self.aliases.get(&(face, *tuple)).copied()
    }

    fn shrink(&mut self) {
        let (room, len) = (self.aliases.capacity(), self.aliases.len());
        if room > SHRINK_SLOT_COUNT_MIN.max(len.saturating_mul(4)) {
            self.aliases.shrink_to(len.saturating_mul(2));
        }
    }
}

/// The faces that differ from the original tuple: none without NAT.
fn aliases(orig: &Tuple, reply: &Tuple) -> impl Iterator<Item = (Face, Tuple)> + use<> {
    let (orig, reply) = (*orig, *reply);
    [Face::Between, Face::After]
        .into_iter()
        .filter_map(move |face| Some((face, face.of(&orig, &reply)?)))
        .filter(move |(_, tuple)| *tuple != orig)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic elsewhere leaves at worst an entry half learnt; the next event or sweep mends it.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
