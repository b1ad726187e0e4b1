//! The kernel's connection tracking, acted, for packets that the kernel does not track: those of a capture, and those inside
//! a tunnel (`packet::tunnel`), of which the kernel knows the outer connection only.
//!
//! Packets and time in, entries out. The rest of the data plane sees entries and does not know who made them.
//!
//! An entry goes the kernel's way. A first packet makes an entry that is not in the table yet (no CONFIRMED, no start);
//! it enters when that packet is accepted, and vanishes without a trace when it is dropped. What a snapshot says includes
//! its packet. Timeouts are the kernel's defaults, driven by packet time; an entry ends the moment it expires, where the
//! kernel's collector may take a minute more. When the table is full, an entry without ASSURED makes room
//! (`early_drop`), or else the packet stays untracked.
//!
//! `tests/kernel_conntrack` feeds the same packets to this and to the kernel, and wants the same entries.
//!
//! Not acted: NAT, helpers and their expectations, zones other than 0, TCP windows (see `tcp`), SCTP's states.

mod tcp;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use self::tcp::{TcpMemory, TcpOutcome};
use crate::packet::conntrack::{Conntrack, ConntrackId, Counters, CtInfo, CtStatus, Direction, Tuple};
use crate::packet::decode::{Headers, Ip, Transport, Udp, icmp, protocol};
use crate::packet::ingress::{Timestamp, Tracked};

/// Entries in the table: the kernel's `nf_conntrack_max` on a machine with 4 GiB or more.
pub const ENTRY_COUNT_MAX: usize = 262_144;

/// Entries that are looked at to find one to give up when the table is full.
const EARLY_DROP_LOOK_COUNT: usize = 64;

/// Timeouts in seconds: the kernel's defaults (nf_conntrack_proto_*.c).
mod timeout {
    pub const UDP_UNREPLIED: u32 = 30;
    pub const UDP_STREAM: u32 = 120;
    pub const ICMP: u32 = 30;
    pub const GRE_UNREPLIED: u32 = 30;
    pub const GRE_STREAM: u32 = 180;
    pub const SCTP_OPENING: u32 = 10;
    pub const SCTP_ESTABLISHED: u32 = 210;
    pub const GENERIC: u32 = 600;
}

/// A UDP exchange that lasts longer than this is a stream.
const UDP_STREAM_AFTER_MICROS: u64 = 2_000_000;

const DYING: u32 = CtStatus::DYING;

/// Why an entry is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryEnd {
    /// Its time ran out.
    Expired,
    /// Removed before its time: answered by a reset alone, reopened by a SYN, or pushed out by a full table.
    Removed,
    /// The capture is over; the entry would have lived on.
    CaptureEnded,
}

/// An entry that left the table, as the kernel's DESTROY event tells it.
#[derive(Clone, Copy, Debug)]
pub struct DestroyedEntry {
    pub entry: Conntrack,
    pub at: Timestamp,
    pub end: EntryEnd,
}

/// The table.
#[derive(Debug)]
pub struct SimulatedConntrack {
    loose: bool,
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_tuple: HashMap<Tuple, Found>,
    /// When to look at which entry. Each entry in the table has one valid item here, at or before its deadline.
    alarms: BinaryHeap<Reverse<Alarm>>,
    /// The packet being judged.
    current: Option<Current>,
    /// A first packet's entry, which is not in the table yet.
    unconfirmed: Option<Entry>,
    destroyed: Vec<DestroyedEntry>,
    /// The latest packet time: the clock does not go back when a capture's does.
    now: Timestamp,
    made: u32,
    early_drop_at: usize,
    entry_count_max: usize,
}

#[derive(Debug, Default)]
struct Slot {
    /// Raised with each entry that leaves, so that alarms of the old one are known as such.
    generation: u32,
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    slot: usize,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alarm {
    at_micros: u64,
    slot: usize,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    place: Place,
    info: CtInfo,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Unconfirmed,
    Table(usize),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    facts: Conntrack,
    deadline_micros: u64,
    alarm_micros: u64,
    tcp: Option<TcpMemory>,
    born_micros: u64,
    /// Set when this packet's verdict is to be its last.
    doomed: bool,
}

/// What a tracker makes of a packet of its entry.
enum Step {
    Invalid,
    /// Goes along without being counted.
    Along,
    Refresh {
        timeout_s: u32,
        now_assured: bool,
    },
    Kill,
    Reopen,
}

impl Default for SimulatedConntrack {
    fn default() -> Self {
        SimulatedConntrack::new(true, ENTRY_COUNT_MAX)
    }
}

impl SimulatedConntrack {
    /// `loose` is `nf_conntrack_tcp_loose`: whether connections are picked up in their middle.
    #[must_use]
    pub fn new(loose: bool, entry_count_max: usize) -> SimulatedConntrack {
        SimulatedConntrack {
            loose,
            slots: Vec::new(),
            free: Vec::new(),
            by_tuple: HashMap::new(),
            alarms: BinaryHeap::new(),
            current: None,
            unconfirmed: None,
            destroyed: Vec::new(),
            now: Timestamp::default(),
            made: 0,
            early_drop_at: 0,
            entry_count_max,
        }
    }

    /// Entries get other ids than those of a tracker with another number.
    #[must_use]
    pub fn numbered_from(mut self, number: u64) -> SimulatedConntrack {
        self.made = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0);
        self
    }

    /// Entries in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry that packets with this tuple belong to, in whichever direction.
    #[must_use]
    pub fn find(&self, tuple: &Tuple) -> Option<&Conntrack> {
        self.by_tuple.get(tuple).and_then(|found| self.entry(found.slot)).map(|entry| &entry.facts)
    }

    /// Entries that left the table since the last call, in the order in which they did.
    pub fn take_destroyed(&mut self) -> impl Iterator<Item = DestroyedEntry> {
        self.destroyed.drain(..)
    }

    /// Lets entries expire up to `now`.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some(Reverse(alarm)) = self.alarms.peek().copied() {
            if alarm.at_micros > self.now.micros {
                break;
            }
            self.alarms.pop();
            let Some(slot) = self.slots.get_mut(alarm.slot).filter(|slot| slot.generation == alarm.generation) else {
                continue;
            };
            let Some(entry) = slot.entry.as_mut().filter(|entry| entry.alarm_micros == alarm.at_micros) else {
                continue;
            };
            if entry.deadline_micros <= self.now.micros {
                let at = Timestamp::from_micros(entry.deadline_micros);
                self.destroy(alarm.slot, at, EntryEnd::Expired);
            } else {
                entry.alarm_micros = entry.deadline_micros;
                self.alarms.push(Reverse(Alarm { at_micros: entry.alarm_micros, ..alarm }));
            }
        }
    }

    /// Tracks one packet, reassembled and with a good checksum, at the time of the last [`Self::advance`].
    ///
    /// Afterwards [`Self::current`] has its entry, and [`Self::settle`] must be told what became of it.
    pub fn track(&mut self, headers: &Headers<'_>) {
        self.settle(false);
        self.current = self.find_or_make(headers, true);
    }

    /// The entry of the packet being judged, the packet included; `None` for one that is untracked or INVALID.
    #[must_use]
    pub fn current(&self) -> Option<Tracked<'_>> {
        let current = self.current?;
        let entry = match current.place {
            Place::Unconfirmed => self.unconfirmed.as_ref()?,
            Place::Table(slot) => self.slots.get(slot)?.entry.as_ref()?,
        };
        Some(Tracked { entry: &entry.facts, info: current.info })
    }

    /// Ends the packet being judged: accepted, its new entry enters the table; dropped, it never was.
    ///
    /// What the packet did to an existing entry stays, also when it was dropped.
    pub fn settle(&mut self, accepted: bool) {
        let Some(current) = self.current.take() else { return };
        match current.place {
            Place::Unconfirmed => {
                if let Some(entry) = self.unconfirmed.take().filter(|_| accepted) {
                    self.confirm(entry);
                }
            }
            Place::Table(slot) => {
                if self.entry_mut(slot).is_some_and(|entry| entry.doomed) {
                    self.destroy(slot, self.now, EntryEnd::Removed);
                }
            }
        }
    }

    /// The capture is over: every entry leaves, oldest first.
    pub fn end(&mut self) {
        self.settle(false);
        let mut left: Vec<_> = (0..self.slots.len()).filter(|slot| self.entry(*slot).is_some()).collect();
        left.sort_by_key(|slot| self.entry(*slot).map(|entry| (entry.born_micros, entry.facts.start_ns)));
        for slot in left {
            self.destroy(slot, self.now, EntryEnd::CaptureEnded);
        }
    }

    fn find_or_make(&mut self, headers: &Headers<'_>, may_reopen: bool) -> Option<Current> {
        if let Transport::Icmp(message) = headers.transport {
            if headers.ip.version == 6 && is_untracked_icmpv6(message.icmp_type) {
                return None;
            }
            if icmp::is_error(headers.ip.version, message.icmp_type) {
                return self.find_related(headers);
            }
        }
        let tuple = tuple_of(headers)?;
        match self.by_tuple.get(&tuple).copied() {
            None => self.make(tuple, headers),
            Some(found) => match self.pass(found, headers) {
                Step::Invalid => None,
                // Only once: the second look-up finds nothing and makes a new entry.
                Step::Reopen if may_reopen => {
                    self.destroy(found.slot, self.now, EntryEnd::Removed);
                    self.find_or_make(headers, false)
                }
                _ => self.info_of(found).map(|info| Current { place: Place::Table(found.slot), info }),
            },
        }
    }

    /// An ICMP error belongs to the connection of the packet that it quotes (`nf_conntrack_inet_error`).
    fn find_related(&self, headers: &Headers<'_>) -> Option<Current> {
        let quoted = icmp::quoted(headers.ip.version, headers.payload)?;
        if quoted.fragment_offset != 0 {
            return None;
        }
        // The quoted packet went the other way, so the error itself is found like an answer to it.
        let found = self.by_tuple.get(&inverted(&quoted_tuple(&quoted)?)?)?;
        let facts = &self.entry(found.slot)?.facts;
        let (tuple, info) = match found.direction {
            Direction::Original => (facts.orig, CtInfo::Related),
            Direction::Reply => (facts.reply, CtInfo::RelatedReply),
        };
        // An error must go to the one whose packet it quotes.
        (headers.ip.dst == tuple.dst).then_some(Current { place: Place::Table(found.slot), info })
    }

    /// A packet without an entry gets one, outside of the table for now (`init_conntrack`).
    fn make(&mut self, orig: Tuple, headers: &Headers<'_>) -> Option<Current> {
        if !may_begin(&orig, headers) {
            return None;
        }
        let tcp = match headers.transport {
            Transport::Tcp(segment) => Some(TcpMemory::begin(&segment, self.loose)?),
            _ => None,
        };
        let mut facts = Conntrack::of_tuples(0, orig, inverted(&orig)?);
        self.made = self.made.wrapping_add(1);
        // An odd factor makes of a count 2^32 different numbers that look like the hashes that they stand for.
        facts.id = ConntrackId(self.made.wrapping_mul(0x9e37_79b1));
        facts.counters_orig = Some(Counters::default());
        facts.counters_reply = Some(Counters::default());
        let mut entry =
            Entry { facts, deadline_micros: 0, alarm_micros: 0, tcp, born_micros: self.now.micros, doomed: false };
        if let Step::Refresh { timeout_s, .. } = entry.step(headers, Direction::Original, self.now) {
            entry.refresh(timeout_s, headers, Direction::Original, self.now);
            self.unconfirmed = Some(entry);
            return Some(Current { place: Place::Unconfirmed, info: CtInfo::New });
        }
        None
    }

    /// Moves the entry that was found by one packet (`nf_conntrack_in` for a known connection).
    fn pass(&mut self, found: Found, headers: &Headers<'_>) -> Step {
        let now = self.now;
        let Some(entry) = self.entry_mut(found.slot) else { return Step::Invalid };
        let step = entry.step(headers, found.direction, now);
        match step {
            Step::Invalid | Step::Reopen => return step,
            Step::Along => entry.facts.timeout_s = Some(seconds_left(entry.deadline_micros, now)),
            Step::Refresh { timeout_s, now_assured } => {
                entry.refresh(timeout_s, headers, found.direction, now);
                if now_assured {
                    entry.facts.status.0 |= CtStatus::ASSURED;
                }
            }
            Step::Kill => {
                entry.count(headers, found.direction);
                entry.facts.status.0 |= DYING;
                entry.doomed = true;
            }
        }
        if found.direction == Direction::Reply {
            entry.facts.status.0 |= CtStatus::SEEN_REPLY;
        }
        self.set_alarm(found.slot);
        step
    }

    fn info_of(&self, found: Found) -> Option<CtInfo> {
        let seen_reply = self.entry(found.slot)?.facts.status.has(CtStatus::SEEN_REPLY);
        Some(match found.direction {
            Direction::Reply => CtInfo::EstablishedReply,
            Direction::Original if seen_reply => CtInfo::Established,
            Direction::Original => CtInfo::New,
        })
    }

    fn confirm(&mut self, mut entry: Entry) {
        if self.len() >= self.entry_count_max && !self.drop_early() {
            return;
        }
        entry.facts.status.0 |= CtStatus::CONFIRMED;
        entry.facts.start_ns = Some(self.now.micros.saturating_mul(1000));
        entry.alarm_micros = u64::MAX;
        let (orig, reply) = (entry.facts.orig, entry.facts.reply);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len().saturating_sub(1)
        });
        if let Some(place) = self.slots.get_mut(slot) {
            place.entry = Some(entry);
        }
        // A connection with itself has one tuple for both: then its packets are original.
        self.by_tuple.insert(reply, Found { slot, direction: Direction::Reply });
        self.by_tuple.insert(orig, Found { slot, direction: Direction::Original });
        self.set_alarm(slot);
    }

    /// Makes room by giving up an entry without ASSURED, if one of the next few is such.
    pub fn drop_early(&mut self) -> bool {
        for _ in 0..EARLY_DROP_LOOK_COUNT.min(self.slots.len()) {
            self.early_drop_at = self.early_drop_at.wrapping_add(1).checked_rem(self.slots.len()).unwrap_or(0);
            let slot = self.early_drop_at;
            if self.entry(slot).is_some_and(|entry| !entry.facts.status.has(CtStatus::ASSURED)) {
                self.destroy(slot, self.now, EntryEnd::Removed);
                return true;
            }
        }
        false
    }

    /// An alarm no later than the entry's deadline. One that is earlier stays: it will be set anew when it rings.
    fn set_alarm(&mut self, slot: usize) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        let Some(entry) = place.entry.as_mut().filter(|entry| entry.deadline_micros < entry.alarm_micros) else {
            return;
        };
        entry.alarm_micros = entry.deadline_micros;
        self.alarms.push(Reverse(Alarm { at_micros: entry.alarm_micros, slot, generation: place.generation }));
    }

    fn destroy(&mut self, slot: usize, at: Timestamp, end: EntryEnd) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        let Some(entry) = place.entry.take() else { return };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        for tuple in [entry.facts.orig, entry.facts.reply] {
            if self.by_tuple.get(&tuple).is_some_and(|found| found.slot == slot) {
                self.by_tuple.remove(&tuple);
            }
        }
        let mut facts = entry.facts;
        facts.status.0 |= DYING;
        facts.stop_ns = Some(at.micros.saturating_mul(1000));
        // As in the event: absent once it has run out.
        facts.timeout_s = Some(seconds_left(entry.deadline_micros, at)).filter(|left| *left != 0);
        self.destroyed.push(DestroyedEntry { entry: facts, at, end });
    }

    fn entry(&self, slot: usize) -> Option<&Entry> {
        self.slots.get(slot)?.entry.as_ref()
    }

    fn entry_mut(&mut self, slot: usize) -> Option<&mut Entry> {
        self.slots.get_mut(slot)?.entry.as_mut()
    }
}

impl Entry {
    /// What the packet means to the connection, by protocol.
    fn step(&mut self, headers: &Headers<'_>, direction: Direction, now: Timestamp) -> Step {
        let replied = self.facts.status.has(CtStatus::SEEN_REPLY);
        let (timeout_s, now_assured) = match (self.facts.orig.protocol, headers.transport) {
            (protocol::TCP, Transport::Tcp(segment)) => {
                let Some(memory) = self.tcp.as_mut() else { return Step::Invalid };
                let outcome = memory.segment(&segment, headers.payload.len(), direction, self.facts.status);
                self.facts.tcp = Some(memory.track);
                return match outcome {
                    TcpOutcome::Invalid => Step::Invalid,
                    TcpOutcome::Ignored => Step::Along,
                    TcpOutcome::Refresh { timeout_s, now_assured } => Step::Refresh { timeout_s, now_assured },
                    TcpOutcome::Kill => Step::Kill,
                    TcpOutcome::Reopen => Step::Reopen,
                };
            }
            (protocol::UDP, _) => {
                let stream = replied && now.micros.saturating_sub(self.born_micros) > UDP_STREAM_AFTER_MICROS;
                (if stream { timeout::UDP_STREAM } else { timeout::UDP_UNREPLIED }, stream)
            }
            (protocol::ICMP | protocol::ICMPV6, _) => (timeout::ICMP, false),
            (protocol::GRE, _) if replied => (timeout::GRE_STREAM, true),
            (protocol::GRE, _) => (timeout::GRE_UNREPLIED, false),
            (protocol::SCTP, _) if replied => (timeout::SCTP_ESTABLISHED, true),
            (protocol::SCTP, _) => (timeout::SCTP_OPENING, false),
            _ => (timeout::GENERIC, false),
        };
        Step::Refresh { timeout_s, now_assured }
    }

    fn refresh(&mut self, timeout_s: u32, headers: &Headers<'_>, direction: Direction, now: Timestamp) {
        self.deadline_micros = now.micros.saturating_add(u64::from(timeout_s) * 1_000_000);
        self.facts.timeout_s = Some(timeout_s);
        self.count(headers, direction);
    }

    fn count(&mut self, headers: &Headers<'_>, direction: Direction) {
        let counters = match direction {
            Direction::Original => &mut self.facts.counters_orig,
            Direction::Reply => &mut self.facts.counters_reply,
        };
        if let Some(counters) = counters {
            counters.packets = counters.packets.saturating_add(1);
            counters.bytes = counters.bytes.saturating_add(u64::from(headers.ip.total_len));
        }
    }
}

fn seconds_left(deadline_micros: u64, now: Timestamp) -> u32 {
    u32::try_from(deadline_micros.saturating_sub(now.micros) / 1_000_000).unwrap_or(u32::MAX)
}

/// `nf_ct_get_tuple`. `None`: a transport header that conntrack calls INVALID.
fn tuple_of(headers: &Headers<'_>) -> Option<Tuple> {
    let ip = &headers.ip;
    let (src_port, dst_port) = match headers.transport {
        Transport::Icmp(message) => (message.id, u16::from_be_bytes([message.icmp_type, message.icmp_code])),
        Transport::Udp(udp) if !is_udp_length_good(ip, &udp) => return None,
        Transport::Other if has_own_tracker(ip.protocol) => return None,
        _ => headers.ports(),
    };
    Some(Tuple { src: ip.src, dst: ip.dst, protocol: ip.protocol, src_port, dst_port })
}

/// `udp_error`: the length must hold its own header and fit into the packet.
fn is_udp_length_good(ip: &Ip<'_>, udp: &Udp<'_>) -> bool {
    let room = usize::try_from(ip.total_len).unwrap_or(usize::MAX).saturating_sub(ip.header.len());
    (udp.header.len()..=room).contains(&usize::from(udp.len))
}

fn quoted_tuple(quoted: &icmp::Quoted<'_>) -> Option<Tuple> {
    let (src_port, dst_port) = match quoted.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => quoted.ports()?,
        protocol::ICMP | protocol::ICMPV6 => {
            let (&[icmp_type, icmp_code, _, _, id_high, id_low], _) = quoted.transport.split_first_chunk::<6>()?;
            (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([icmp_type, icmp_code]))
        }
        _ => (0, 0),
    };
    Some(Tuple { src: quoted.src, dst: quoted.dst, protocol: quoted.protocol, src_port, dst_port })
}

/// `nf_ct_invert_tuple`. `None`: a message that has no answer.
fn inverted(tuple: &Tuple) -> Option<Tuple> {
    let mut inverted = tuple.inverted();
    if matches!(tuple.protocol, protocol::ICMP | protocol::ICMPV6) {
        let [icmp_type, icmp_code] = tuple.dst_port.to_be_bytes();
        let answer = if tuple.protocol == protocol::ICMP {
            use icmp::v4;
            match icmp_type {
                v4::ECHO => v4::ECHO_REPLY,
                v4::ECHO_REPLY => v4::ECHO,
                v4::TIMESTAMP => v4::TIMESTAMP_REPLY,
                v4::TIMESTAMP_REPLY => v4::TIMESTAMP,
                v4::INFORMATION => v4::INFORMATION_REPLY,
                v4::INFORMATION_REPLY => v4::INFORMATION,
                v4::ADDRESS_MASK => v4::ADDRESS_MASK_REPLY,
                v4::ADDRESS_MASK_REPLY => v4::ADDRESS_MASK,
                _ => return None,
            }
        } else {
            use icmp::v6;
            match icmp_type {
                v6::ECHO => v6::ECHO_REPLY,
                v6::ECHO_REPLY => v6::ECHO,
                v6::NODE_QUERY => v6::NODE_REPLY,
                v6::NODE_REPLY => v6::NODE_QUERY,
                _ => return None,
            }
        };
        inverted.src_port = tuple.src_port;
        inverted.dst_port = u16::from_be_bytes([answer, icmp_code]);
    }
    Some(inverted)
}

/// Whether a packet may open an entry: of ICMP only questions do.
fn may_begin(orig: &Tuple, headers: &Headers<'_>) -> bool {
    match headers.transport {
        Transport::Icmp(message) if orig.protocol == protocol::ICMP => {
            use icmp::v4;
            matches!(message.icmp_type, v4::ECHO | v4::TIMESTAMP | v4::INFORMATION | v4::ADDRESS_MASK)
        }
        Transport::Icmp(message) => matches!(message.icmp_type, icmp::v6::ECHO | icmp::v6::NODE_QUERY),
        _ => true,
    }
}

fn has_own_tracker(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6 | protocol::SCTP)
}

/// Neighbour and listener discovery go untracked (`nf_conntrack_icmpv6_error`).
fn is_untracked_icmpv6(icmp_type: u8) -> bool {
    matches!(icmp_type, 130..=136 | 143)
}

#[cfg(test)]
mod tests;
