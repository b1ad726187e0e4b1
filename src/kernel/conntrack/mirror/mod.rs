//! Stands in for `NFQA_CT` on kernels that do not attach the entry to the packet (no `NETFILTER_NETLINK_GLUE_CT`).
//!
//! The connection is still conntrack's: the mirror holds what a dump and the NEW and DESTROY events say, finds the entry
//! by what the packet shows at our hook ([`view`]), and asks the kernel when it does not know. UPDATE events are understood
//! but not needed, and the daemon does not subscribe to them: a TCP connection has five or six, which cost more than
//! all else that this does. Packets tell of the handshake, our own writes of fates; what others change in a mark is known
//! with the next sweep. Of a GET comes:
//!
//! - *found by GET*: the event is on its way, the entry is taken as it is;
//! - *not found by GET*: the packet is the first of a connection, whose entry is confirmed (and visible to GET) only
//!   after our verdict. It gets a stand-in with status 0 and id 0, and until the kernel confirms it every packet asks again:
//!   that nothing is there is never remembered.
//!
//! A SYN of which the mirror knows nothing is taken for a first packet without a question, as long as the mirror has
//! missed nothing ([`Mirror::has_all`]): the next packet asks.
//!
//! The tuple of a stand-in is what the first packet showed. Behind DNAT that is not the original tuple, which becomes
//! known with the NEW event; the packet that first meets the true entry is told the key that the flow had before
//! ([`Found::formerly`]).
//!
//! What this cannot know: whether the kernel called a packet INVALID or untracked; a reply through both DNAT and SNAT
//! whose entry predates the mirror and is missing in the dump; which of two connections a packet belongs to that only NAT
//! keeps apart (one client port to a service and directly to the server behind it).
//!
//! Memory: at most 128 bytes for an entry, and a slot of 17 in tables that double: 150 to 170 bytes for each entry;
//! NAT adds 80 to 160 for each alias (one for DNAT or SNAT alone, two for both). The cap is
//! [`MirrorOptions::entry_count_max`]; beyond it, each packet of a connection that found no room asks with GET.

mod entry;
pub mod shown;
mod table;
pub mod view;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use self::entry::{Entry, Source, tcp_flags_of};
use self::shown::Shown;
use self::table::{Faces, Stored, Table};
use self::view::View;
use super::{ConntrackError, ConntrackSocket, DumpSummary, Event};
use crate::packet::conntrack::{Conntrack, ConntrackId, CtInfo, Direction, FlowKey, Tuple};
use crate::packet::fate::ConntrackWrite;
use crate::packet::ingress::{Ingress, Timestamp};

/// A stand-in that no packet asked for and no event confirmed for so long is given up.
const UNCONFIRMED_SECONDS_MAX: u32 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorOptions {
    /// Policy beyond: not mirrored, asked for with GET for each packet, counted as `over_cap`.
    pub entry_count_max: usize,
    /// The priority of the chains that queue to us, which says what NAT has done to their packets. `None` when the rules
    /// are somebody else's.
    pub priority: Option<i32>,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        MirrorOptions { entry_count_max: 500_000, priority: None }
    }
}

/// What a packet shows of itself at our hook.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// From its headers; ICMP as documented on [`Tuple`].
    pub tuple: &'a Tuple,
    /// The TCP header's flags, `None` for other protocols and for fragments without header.
    pub tcp_flags: Option<u8>,
    /// [`View::only`] for chains of ours, [`View::guesses`] for those of others.
    pub views: &'a [View],
    pub now: Timestamp,
}

/// The packet's connection, as `NFQA_CT` and `NFQA_CT_INFO` would have told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Status 0 and id 0 while unconfirmed. Without counters and timeout. The TCP state includes the packet.
    pub entry: Conntrack,
    pub info: CtInfo,
    /// The flow was handed out under this key before its NAT was known: rename it. Said once.
    pub formerly: Option<FlowKey>,
}

/// A sweep under way, see [`Mirror::begin_sweep`].
#[derive(Debug)]
#[must_use]
pub struct SweepRun {
    epoch: u32,
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    pub dump: DumpSummary,
    /// Entries that we held and the kernel does not: their DESTROY was lost.
    pub gone: u64,
}

/// How often the mirror had to do more than look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounters {
    pub entries: u64,
    pub gets: u64,
    pub unconfirmed: u64,
    pub over_cap: u64,
    /// Events of other zones than 0, which packets are not looked up in.
    pub other_zones: u64,
}

/// Shared by the workers, which look up, and the listener, which applies events and sweeps.
#[derive(Debug)]
pub struct Mirror {
    table: Table,
    priority: Option<i32>,
    epoch: AtomicU32,
    /// A dump was read, and no event went missing since.
    complete: AtomicBool,
    gets: AtomicU64,
    unconfirmed: AtomicU64,
    over_cap: AtomicU64,
    other_zones: AtomicU64,
}

impl Mirror {
    #[must_use]
    pub fn new(options: MirrorOptions) -> Mirror {
        Mirror {
            table: Table::new(options.entry_count_max),
            priority: options.priority,
            epoch: AtomicU32::new(0),
            complete: AtomicBool::new(false),
            gets: AtomicU64::new(0),
            unconfirmed: AtomicU64::new(0),
            over_cap: AtomicU64::new(0),
            other_zones: AtomicU64::new(0),
        }
    }

    #[must_use]
    pub fn counters(&self) -> MirrorCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MirrorCounters {
            entries: self.table.len() as u64,
            gets: read(&self.gets),
            unconfirmed: read(&self.unconfirmed),
            over_cap: read(&self.over_cap),
            other_zones: read(&self.other_zones),
        }
    }

    /// What `NFQA_CT` and `NFQA_CT_INFO` would have told of this packet; `None` for one that the kernel calls untracked or
    /// INVALID. With [`Self::lookup`] for packets and [`Self::lookup_related`] for ICMP errors.
    pub fn track(
        &self,
        socket: &mut ConntrackSocket,
        packet: &Ingress<'_>,
        now: Timestamp,
    ) -> Result<Option<Found>, ConntrackError> {
        let views = shown::views(packet.hook, self.priority);
        match shown::shown(packet) {
            Some(Shown::Packet { tuple, tcp_flags }) => {
                self.lookup(socket, &Seen { tuple: &tuple, tcp_flags, views, now })
            }
            Some(Shown::Error { quoted }) => {
                self.lookup_related(socket, &Seen { tuple: &quoted, tcp_flags: None, views, now })
            }
            None => Ok(None),
        }
    }

    /// The connection of a packet in zone 0, as the kernel's `nf_conntrack_in` attached it. `None` where the kernel
    /// would call the packet INVALID: it belongs to no connection and may open none.
    pub fn lookup(&self, socket: &mut ConntrackSocket, seen: &Seen<'_>) -> Result<Option<Found>, ConntrackError> {
        self.lookup_with(seen, |tuple| Ok(socket.find(0, tuple)?.map(|found| found.0)))
    }

    /// The connection that an ICMP error is about. `quoted.tuple` is the quoted packet's as it stands in the error.
    /// `None` where the kernel knows no such connection and calls the error INVALID (`nf_conntrack_inet_error`).
    pub fn lookup_related(
        &self,
        socket: &mut ConntrackSocket,
        quoted: &Seen<'_>,
    ) -> Result<Option<Found>, ConntrackError> {
        self.lookup_related_with(quoted, |tuple| Ok(socket.find(0, tuple)?.map(|found| found.0)))
    }

    /// Takes an event over, in the order that the listener hears them. For a DESTROY, returns the key under which the
    /// flow may still be held because no packet has met it since its NAT became known.
    pub fn apply(&self, event: &Event) -> Option<FlowKey> {
        match event {
            Event::New(entry) => self.store_event(entry, Source::New),
            Event::Update(entry) => self.store_event(entry, Source::Update),
            Event::Destroy(entry) => return self.bury(entry),
            Event::Lost(_) => self.complete.store(false, Ordering::Relaxed),
        }
        None
    }

    /// Reads the whole table at start. Returns how many entries there were.
    pub fn fill(&self, socket: &mut ConntrackSocket) -> Result<u64, ConntrackError> {
        let run = SweepRun { epoch: self.epoch() };
        let dump = socket.dump(|entry| self.found(&run, entry))?;
        self.complete.store(dump.consistent, Ordering::Relaxed);
        Ok(dump.entries)
    }

    /// Compares with the whole table: after [`Event::Lost`], and now and then. `gone` hears the keys of entries that the
    /// kernel no longer has. For the listener's thread only: a dump applied beside events could raise the dead.
    pub fn sweep(
        &self,
        socket: &mut ConntrackSocket,
        now: Timestamp,
        gone: impl FnMut(FlowKey),
    ) -> Result<Sweep, ConntrackError> {
        let run = self.begin_sweep();
        let dump = socket.dump(|entry| self.found(&run, entry))?;
        let gone = if dump.consistent { self.end_sweep(run, now, gone) } else { 0 };
        Ok(Sweep { dump, gone })
    }

    /// [`Self::sweep`] in three parts, for a caller with a use of its own for the dump: begin, tell every entry with
    /// [`Self::found`], and end only if the dump was whole and consistent. A run that does not end removes nothing.
    pub fn begin_sweep(&self) -> SweepRun {
        SweepRun { epoch: self.epoch.fetch_add(1, Ordering::Relaxed).wrapping_add(1) }
    }

    /// An entry of the dump.
    pub fn found(&self, run: &SweepRun, entry: &Conntrack) {
        if entry.zone == 0 && self.table.store(entry, Source::Dump, run.epoch, None) == Stored::Full {
            count(&self.over_cap);
        }
    }

    /// Removes what the dump did not bring, and stand-ins that nothing became of. Returns how many entries had died
    /// unheard.
    pub fn end_sweep(&self, run: SweepRun, now: Timestamp, mut gone: impl FnMut(FlowKey)) -> u64 {
        self.complete.store(true, Ordering::Relaxed);
        let mut unheard = 0u64;
        self.table.retain(
            |_, entry| if entry.is_confirmed() { entry.epoch == run.epoch } else { is_young(entry, now) },
            |orig, mut entry| {
                unheard = unheard.saturating_add(u64::from(entry.is_confirmed()));
                for orig in entry.take_formerly().iter().chain([orig]) {
                    gone(key_of(orig));
                }
            },
        );
        unheard
    }

    /// Gives up stand-ins that nothing became of. Cheap beside [`Self::sweep`], for every few seconds.
    pub fn expire(&self, now: Timestamp, mut gone: impl FnMut(FlowKey)) {
        self.table.retain(|_, entry| entry.is_confirmed() || is_young(entry, now), |orig, _| gone(key_of(orig)));
    }

    /// The first packet was dropped: its entry vanishes without an event (unless the kernel confirmed another's).
    pub fn forget_unconfirmed(&self, key: &FlowKey) {
        self.table.remove_if(&key.orig, |entry| !entry.is_confirmed());
    }

    /// What we have just written ourselves, before the UPDATE event says so.
    pub fn note_write(&self, key: &FlowKey, write: &ConntrackWrite) {
        self.table.visit_orig(&key.orig, |entry| entry.note_write(write));
    }

    /// Whether an entry that is not here can only be one that is not confirmed, or whose NEW event is on its way.
    fn has_all(&self) -> bool {
        self.complete.load(Ordering::Relaxed) && !self.table.is_full()
    }

    fn lookup_with(
        &self,
        seen: &Seen<'_>,
        mut ask: impl FnMut(&Tuple) -> Result<Option<Conntrack>, ConntrackError>,
    ) -> Result<Option<Found>, ConntrackError> {
        let Some(opposite) = view::opposite(seen.tuple) else { return Ok(None) };
        let faces = Faces { tuple: seen.tuple, opposite: &opposite, views: seen.views, quoted: false };
        let known = match self.table.visit(&faces, |orig, direction, entry| look(orig, direction, entry, seen)) {
            Some(Look::Sure(found)) => return Ok(Some(found)),
            Some(Look::Doubtful(key, id)) => self.recheck(&key, id, &mut ask)?,
            None if seen.tcp_flags.is_some_and(view::opens) && self.has_all() => None,
            Some(Look::Unconfirmed) | None => self.learn_by_asking(&faces, &mut ask)?,
        };
        Ok(match known {
            Some(entry) => self.attach(&faces, &entry, seen),
            None => self.stand_in(&faces, seen),
        })
    }

    fn lookup_related_with(
        &self,
        quoted: &Seen<'_>,
        mut ask: impl FnMut(&Tuple) -> Result<Option<Conntrack>, ConntrackError>,
    ) -> Result<Option<Found>, ConntrackError> {
        let Some(opposite) = view::opposite(quoted.tuple) else { return Ok(None) };
        let faces = Faces { tuple: quoted.tuple, opposite: &opposite, views: quoted.views, quoted: true };
        let held = self.table.visit(&faces, |orig, direction, entry| (entry.conntrack(orig), direction));
        let found = match held {
            Some(held) => Some(held),
            None => {
                self.learn_by_asking(&faces, &mut ask)?.and_then(|entry| Some((entry, faces.direction_of(&entry)?)))
            }
        };
        // The error travels against the packet that it quotes.
        Ok(found.map(|(entry, direction)| Found {
            entry,
            info: if direction == Direction::Original { CtInfo::RelatedReply } else { CtInfo::Related },
            formerly: None,
        }))
    }

    /// A packet that contradicts what we hold, as a SYN does in an open connection: the kernel has either replaced the
    /// entry or ignored the SYN (`nf_conntrack_tcp_packet`). Takes over its word; forgets an entry that it does not have.
    fn recheck(
        &self,
        orig: &Tuple,
        id: ConntrackId,
        ask: &mut impl FnMut(&Tuple) -> Result<Option<Conntrack>, ConntrackError>,
    ) -> Result<Option<Conntrack>, ConntrackError> {
        let deaths = self.table.deaths();
        count(&self.gets);
        let living = ask(orig)?.filter(|entry| entry.orig == *orig);
        match &living {
            Some(entry) => self.keep(entry, deaths),
            None => drop(self.table.remove_if(orig, |entry| entry.is_confirmed() && entry.id == id)),
        }
        Ok(living)
    }

    /// GET finds an entry by either of its tuples, so two questions find all entries but those with both NATs.
    fn learn_by_asking(
        &self,
        faces: &Faces<'_>,
        ask: &mut impl FnMut(&Tuple) -> Result<Option<Conntrack>, ConntrackError>,
    ) -> Result<Option<Conntrack>, ConntrackError> {
        let deaths = self.table.deaths();
        for tuple in [faces.tuple, faces.opposite] {
            count(&self.gets);
            if let Some(entry) = ask(tuple)?.filter(|entry| faces.direction_of(entry).is_some()) {
                self.keep(&entry, deaths);
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn keep(&self, entry: &Conntrack, deaths_before: u64) {
        if self.table.store(entry, Source::Get, self.epoch(), Some(deaths_before)) == Stored::Full {
            count(&self.over_cap);
        }
    }

    /// What the packet is to an entry that the kernel has just shown us.
    fn attach(&self, faces: &Faces<'_>, known: &Conntrack, seen: &Seen<'_>) -> Option<Found> {
        let direction = faces.direction_of(known)?;
        let mirrored = self
            .table
            .visit_orig(&known.orig, |entry| entry.is_same(known).then(|| found(&known.orig, direction, entry, seen)));
        mirrored.flatten().or_else(|| {
            // No room for it, or gone again: the packet still belongs to it.
            Some(found(&known.orig, direction, &mut Entry::of(known, 0), seen))
        })
    }

    /// The kernel knows nothing yet: the packet opens a connection, or is a further one of such.
    fn stand_in(&self, faces: &Faces<'_>, seen: &Seen<'_>) -> Option<Found> {
        let flags = tcp_flags_of(seen.tuple, seen.tcp_flags);
        if flags.is_some_and(view::opens) {
            self.forget_what_a_late_event_told(faces);
        }
        let visit = |orig: &Tuple, direction, entry: &mut Entry| {
            entry.asked_s = seconds(seen.now);
            found(orig, direction, entry, seen)
        };
        if let Some(found) = self.table.visit(faces, visit) {
            return Some(found);
        }
        if !view::may_open(seen.tuple, flags) {
            return None;
        }
        count(&self.unconfirmed);
        let mut entry = Entry::unconfirmed(seen.tuple, *faces.opposite, flags, self.epoch());
        entry.asked_s = seconds(seen.now);
        let found = found(seen.tuple, Direction::Original, &mut entry, seen);
        if self.table.add_unconfirmed(seen.tuple, entry) == Stored::Full {
            count(&self.over_cap);
        }
        Some(found)
    }

    /// The kernel has just said that it has no entry for a SYN, so what is confirmed here now is a predecessor: an event
    /// that waited came in between.
    fn forget_what_a_late_event_told(&self, faces: &Faces<'_>) {
        let late = |orig: &Tuple, _, entry: &mut Entry| entry.is_confirmed().then_some((*orig, entry.id));
        if let Some((orig, id)) = self.table.visit(faces, late).flatten() {
            self.table.remove_if(&orig, |entry| entry.is_confirmed() && entry.id == id);
        }
    }

    fn store_event(&self, entry: &Conntrack, source: Source) {
        if entry.zone != 0 {
            count(&self.other_zones);
        } else if self.table.store(entry, source, self.epoch(), None) == Stored::Full {
            count(&self.over_cap);
        }
    }

    fn bury(&self, dead: &Conntrack) -> Option<FlowKey> {
        if dead.zone != 0 {
            count(&self.other_zones);
            return None;
        }
        self.table.count_death();
        // What was not announced by NEW yet is a successor's, though it may have the same id.
        let named = |entry: &Entry| entry.is_confirmed() && !entry.awaits_new && entry.is_same(dead);
        let mut entry = self.table.remove_if(&dead.orig, named)?;
        entry.take_formerly().map(|orig| key_of(&orig))
    }

    fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }
}

/// What a first look at the mirror says.
#[expect(clippy::large_enum_variant, reason = "lives for one lookup, on the stack")]
enum Look {
    Sure(Found),
    /// The kernel has said nothing of the entry yet: ask again.
    Unconfirmed,
    /// The packet contradicts what we hold.
    Doubtful(Tuple, ConntrackId),
}

fn look(orig: &Tuple, direction: Direction, entry: &mut Entry, seen: &Seen<'_>) -> Look {
    if !entry.is_confirmed() {
        return Look::Unconfirmed;
    }
    let flags = tcp_flags_of(seen.tuple, seen.tcp_flags);
    if flags.is_some_and(|flags| entry.is_contradicted_by(direction, flags)) {
        return Look::Doubtful(*orig, entry.id);
    }
    Look::Sure(found(orig, direction, entry, seen))
}

/// Shows the packet to the entry, and tells what the packet is to it.
fn found(orig: &Tuple, direction: Direction, entry: &mut Entry, seen: &Seen<'_>) -> Found {
    let info = entry.see(direction, tcp_flags_of(seen.tuple, seen.tcp_flags));
    Found { entry: entry.conntrack(orig), info, formerly: entry.take_formerly().map(|orig| key_of(&orig)) }
}

fn is_young(entry: &Entry, now: Timestamp) -> bool {
    seconds(now).saturating_sub(entry.asked_s) < UNCONFIRMED_SECONDS_MAX
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.seconds()).unwrap_or(u32::MAX)
}

fn key_of(orig: &Tuple) -> FlowKey {
    FlowKey { zone: 0, orig: *orig }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
