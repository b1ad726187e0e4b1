//! What rules remember, on the flow and across flows.
//!
//! A flow's memory is plain data that hangs on the flow and costs nothing until a rule writes to it. What is shared by
//! all workers (xbits, hostbits, thresholds) stands in shards behind locks that are held for one look-up. Both have caps:
//! beyond them nothing new is remembered, and that is counted.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{DefaultHashBuilder, HashMap};
use std::hash::{BuildHasher, Hash};

use super::again::ToldAgain;
use super::stream::Unfinished;
use super::tag::{HostTags, Tags};
use super::{FlowView, Headers};
use crate::packet::conntrack::Direction;
use crate::packet::event::Variable;
use crate::packet::ingress::Timestamp;
use crate::rules::plan::{
    BitChange, BitScope, Effect, IntChange, IntCompare, IntOperand, IntTest, NameId, Rule, StateTest, TagScope, Track,
};

/// Flowbits and flowints that one flow may have.
const FLOW_NAME_COUNT_MAX: usize = 256;
/// Captured variables that one flow, or one packet, may have.
const VARIABLE_COUNT_MAX: usize = 16;
/// Rules that count by one flow.
const COUNT_COUNT_MAX: usize = 64;
const SHARD_COUNT: usize = 16;
/// Entries of shared memory (thresholds, xbits, hostbits) in all.
const SHARED_COUNT_MAX: usize = 1 << 17;

/// Between two searches of a full shard for entries that have expired.
const SWEEP_MICROS: u64 = 1_000_000;

/// What detection remembers of one flow. The default is empty and has no heap, and so has that of most flows.
#[derive(Clone, Debug, Default)]
pub struct FlowDetectState {
    memory: Option<Box<Memory>>,
    /// Whether a packet of the original direction was judged, and one of the reply direction.
    judged: [bool; 2],
}

/// What few flows have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    bits: Vec<NameId>,
    ints: Vec<(NameId, u32)>,
    tags: Tags,
    variables: Vec<Variable>,
    /// What is counted by flow: group, sid, and whether it is a rate.
    counts: Vec<((u32, u32, bool), Entry)>,
    /// Rules that wait for more of the stream.
    unfinished: Unfinished,
    /// Rules that are told a second time.
    again: ToldAgain,
}

impl FlowDetectState {
    fn bits(&self) -> &[NameId] {
        self.memory.as_ref().map_or(&[], |memory| &memory.bits)
    }

    fn ints(&self) -> &[(NameId, u32)] {
        self.memory.as_ref().map_or(&[], |memory| &memory.ints)
    }

    /// Names in use.
    pub(super) fn name_count(&self) -> usize {
        self.bits().len() + self.ints().len()
    }

    fn memory_mut(&mut self) -> &mut Memory {
        self.memory.get_or_insert_default()
    }

    pub(super) fn unfinished(&mut self) -> Option<&mut Unfinished> {
        self.memory.as_mut().map(|memory| &mut memory.unfinished)
    }

    pub(super) fn unfinished_mut(&mut self) -> &mut Unfinished {
        &mut self.memory_mut().unfinished
    }

    pub(super) fn again(&mut self) -> Option<&mut ToldAgain> {
        self.memory.as_mut().map(|memory| &mut memory.again)
    }

    pub(super) fn again_mut(&mut self) -> &mut ToldAgain {
        &mut self.memory_mut().again
    }

    /// The windows of the flow's streams are gone, and with them what waited in them.
    pub fn forget_streams(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.unfinished = Unfinished::default();
            if **memory == Memory::default() {
                self.memory = None;
            }
        }
    }

    /// Notes that a packet goes this way; true for the first.
    pub(super) fn note_way(&mut self, direction: Direction) -> bool {
        let [original, reply] = &mut self.judged;
        let judged = match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        };
        !std::mem::replace(judged, true)
    }

    fn has_bit(&self, name: NameId) -> bool {
        self.bits().contains(&name)
    }

    fn change_bit(&mut self, name: NameId, change: BitChange) {
        let at = self.bits().iter().position(|bit| *bit == name);
        match (at, change) {
            (None, BitChange::Set | BitChange::Toggle) if self.name_count() < FLOW_NAME_COUNT_MAX => {
                self.memory_mut().bits.push(name);
            }
            (Some(at), BitChange::Unset | BitChange::Toggle) => {
                self.memory_mut().bits.swap_remove(at);
            }
            _ => {}
        }
    }

    /// What expressions have captured on this flow.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        self.memory.as_ref().map_or(&[], |memory| &memory.variables)
    }

    pub(super) fn set_variable(&mut self, variable: Variable) {
        set_variable(&mut self.memory_mut().variables, variable);
    }

    /// Gives `change` the flow's own entry. `None` if there is no room for a new one.
    pub(super) fn update_count<R>(&mut self, key: (u32, u32, bool), change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let counts = &mut self.memory_mut().counts;
        if !counts.iter().any(|(known, _)| *known == key) && counts.len() < COUNT_COUNT_MAX {
            counts.push((key, Entry { until: Timestamp::default(), count: 0 }));
        }
        counts.iter_mut().find(|(known, _)| *known == key).map(|(_, entry)| change(entry))
    }

    fn int(&self, name: NameId) -> Option<u32> {
        self.ints().iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn operand(&self, operand: IntOperand) -> Option<u32> {
        match operand {
            IntOperand::Number(number) => Some(number),
            IntOperand::Variable(name) => self.int(name),
        }
    }

    fn change_int(&mut self, name: NameId, change: IntChange, operand: IntOperand) {
        let Some(operand) = self.operand(operand) else { return };
        let before = self.int(name).unwrap_or(0);
        let after = match change {
            IntChange::Set => operand,
            IntChange::Add => before.wrapping_add(operand),
            IntChange::Subtract => before.wrapping_sub(operand),
        };
        let room = self.name_count() < FLOW_NAME_COUNT_MAX;
        let ints = &mut self.memory_mut().ints;
        match ints.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = after,
            None if room => ints.push((name, after)),
            None => {}
        }
    }

    fn accepts_int(&self, name: NameId, test: IntTest) -> bool {
        let value = self.int(name);
        match (test, value) {
            (IntTest::IsSet, value) => value.is_some(),
            (IntTest::NotSet, value) => value.is_none(),
            (IntTest::Compare(..), None) => false,
            (IntTest::Compare(compare, operand), Some(value)) => {
                self.operand(operand).is_some_and(|operand| match compare {
                    IntCompare::Equal => value == operand,
                    IntCompare::NotEqual => value != operand,
                    IntCompare::Less => value < operand,
                    IntCompare::LessOrEqual => value <= operand,
                    IntCompare::Greater => value > operand,
                    IntCompare::GreaterOrEqual => value >= operand,
                })
            }
        }
    }
}

/// The newest value of a name stands; beyond the cap new names are not kept.
pub(super) fn set_variable(variables: &mut Vec<Variable>, variable: Variable) {
    let room = variables.len() < VARIABLE_COUNT_MAX;
    match variables.iter_mut().find(|known| known.name == variable.name) {
        Some(known) => *known = variable,
        None if room => variables.push(variable),
        None => {}
    }
}

/// Whether all that the rule asks of memory holds. Without a flow, flowbits are unset and flowints were never set.
pub(super) fn accepts(
    tests: &[StateTest],
    headers: &Headers<'_>,
    flow: Option<&FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> bool {
    tests.iter().all(|test| match test {
        StateTest::FlowBits { any_of, set } => match flow {
            Some(flow) => any_of.iter().any(|name| flow.state.has_bit(*name) == *set),
            None => !set,
        },
        StateTest::FlowInt { name, test } => match flow {
            Some(flow) => flow.state.accepts_int(*name, *test),
            None => *test == IntTest::NotSet,
        },
        StateTest::SharedBit { scope, name, set } => shared.has_bit(bit_key(*scope, *name, headers), now) == *set,
    })
}

/// Leaves behind what a match is to leave.
pub(super) fn apply(
    effects: &[Effect],
    headers: &Headers<'_>,
    flow: &mut Option<FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) {
    for effect in effects {
        match (effect, flow.as_mut()) {
            (Effect::FlowBit { name, change }, Some(flow)) => flow.state.change_bit(*name, *change),
            (Effect::FlowInt { name, change, operand }, Some(flow)) => {
                flow.state.change_int(*name, *change, *operand);
            }
            (Effect::SharedBit { scope, name, change, seconds }, _) => {
                shared.change_bit(bit_key(*scope, *name, headers), *change, *seconds, now);
            }
            (_, None) => {}
        }
    }
}

/// Counts the packet for the tags that earlier matches have left; whether it is to be recorded.
pub(super) fn count_tags(
    headers: &Headers<'_>,
    flow: Option<&mut FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) -> bool {
    let tags = flow.and_then(|flow| flow.state.memory.as_mut()).map(|memory| &mut memory.tags);
    let session = tags.is_some_and(|tags| !tags.is_empty() && tags.count(headers, now));
    shared.host_tags.count(headers, now) || session
}

/// Starts what a match wants recorded.
pub(super) fn add_tags(
    rule: &Rule,
    headers: &Headers<'_>,
    mut flow: Option<&mut FlowView<'_>>,
    shared: &SharedDetectState,
    now: Timestamp,
) {
    let (gid, sid) = (rule.meta.gid, rule.meta.sid);
    for tag in &rule.tags {
        match (tag.scope, flow.as_mut()) {
            (TagScope::Session, Some(flow)) => flow.state.memory_mut().tags.add(gid, sid, tag.until, now),
            (TagScope::Session, None) => {}
            _ => shared.host_tags.add(*tag, gid, sid, headers, now),
        }
    }
}

/// What an entry of shared memory is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A pair has its lower address first: both directions are one.
    Bit { name: NameId, a: IpAddr, b: IpAddr },
    Threshold {
        gid: u32,
        sid: u32,
        of_rate: bool,
        a: IpAddr,
        b: IpAddr,
        /// One of the ports that were counted.
        port: Option<u16>,
    },
}

const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn bit_key(scope: BitScope, name: NameId, headers: &Headers<'_>) -> Key {
    let (src, dst) = (headers.ip.src, headers.ip.dst);
    let (a, b) = match scope {
        BitScope::Source => (src, NOBODY),
        BitScope::Destination => (dst, NOBODY),
        BitScope::Pair => (src.min(dst), src.max(dst)),
    };
    Key::Bit { name, a, b }
}

pub(super) fn threshold_key(gid: u32, sid: u32, track: Track, of_rate: bool, headers: &Headers<'_>) -> Key {
    let (src, dst) = (headers.ip.src, headers.ip.dst);
    let (a, b) = match track {
        Track::Source => (src, NOBODY),
        Track::Destination => (dst, NOBODY),
        Track::Both => (src.min(dst), src.max(dst)),
        Track::Rule | Track::Flow => (NOBODY, NOBODY),
    };
    Key::Threshold { gid, sid, of_rate, a, b, port: None }
}

/// The entry of a port that a threshold has counted.
pub(super) fn port_key(key: Key, port: u16) -> Option<Key> {
    match key {
        Key::Threshold { gid, sid, of_rate, a, b, .. } => {
            Some(Key::Threshold { gid, sid, of_rate, a, b, port: Some(port) })
        }
        Key::Bit { .. } => None,
    }
}

/// A bit ends at `until`; a count holds up to and with it, as Suricata's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub until: Timestamp,
    pub count: u32,
}

impl Entry {
    /// What was counted belongs to an interval that has passed, or nothing was counted yet.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now > self.until || self.until == Timestamp::default()
    }
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Key, Entry>,
    /// When worthless entries were last taken out: a full shard is not searched for each packet.
    swept: Timestamp,
}

/// Thresholds, xbits and hostbits of all workers.
#[derive(Debug)]
pub struct SharedDetectState {
    shards: [Mutex<Shard>; SHARD_COUNT],
    hasher: DefaultHashBuilder,
    shard_count_max: usize,
    refused: AtomicU64,
    host_tags: HostTags,
}

/// How full the shared memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCounters {
    pub entries: u64,
    /// Entries that found no room.
    pub refused: u64,
}

impl Default for SharedDetectState {
    fn default() -> Self {
        SharedDetectState::with_capacity(SHARED_COUNT_MAX)
    }
}

impl SharedDetectState {
    /// Room for about `count_max` entries; memory is taken as they come.
    #[must_use]
    pub fn with_capacity(count_max: usize) -> SharedDetectState {
        SharedDetectState {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: DefaultHashBuilder::default(),
            shard_count_max: count_max.div_ceil(SHARD_COUNT).max(1),
            refused: AtomicU64::new(0),
            host_tags: HostTags::default(),
        }
    }

    #[must_use]
    pub fn counters(&self) -> SharedCounters {
        let entries = self.shards.iter().map(|shard| lock(shard).entries.len() as u64).sum();
        SharedCounters { entries, refused: self.refused.load(Ordering::Relaxed) }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(key) >> 48).unwrap_or(0) % SHARD_COUNT;
        let [first, ..] = &self.shards;
        lock(self.shards.get(at).unwrap_or(first))
    }

    fn has_bit(&self, key: Key, now: Timestamp) -> bool {
        self.shard(&key).entries.get(&key).is_some_and(|entry| now < entry.until)
    }

    fn change_bit(&self, key: Key, change: BitChange, seconds: u32, now: Timestamp) {
        let set = match change {
            BitChange::Set => true,
            BitChange::Unset => false,
            BitChange::Toggle => !self.has_bit(key, now),
        };
        if set {
            let until = after(now, seconds);
            self.update(key, now, |entry| *entry = Entry { until, count: 0 });
        } else {
            self.shard(&key).entries.remove(&key);
        }
    }

    /// Gives `change` the entry, made with `until` in the past if it is new. `None` if there is no room.
    pub(super) fn update<R>(&self, key: Key, now: Timestamp, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let mut shard = self.shard(&key);
        if shard.entries.len() >= self.shard_count_max && !shard.entries.contains_key(&key) {
            if now.micros_since(shard.swept) >= SWEEP_MICROS {
                shard.swept = now;
                shard.entries.retain(|_, entry| now <= entry.until);
            }
            if shard.entries.len() >= self.shard_count_max {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        Some(change(shard.entries.entry(key).or_insert(Entry { until: Timestamp::default(), count: 0 })))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic elsewhere leaves an entry half counted at worst.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn after(now: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_micros(now.micros.saturating_add(u64::from(seconds).saturating_mul(1_000_000)))
}
