//! One mirrored entry, small, and how it learns: from events that come late, from snapshots, and from packets.

use super::view::tcp;
use crate::packet::conntrack::{
    Conntrack, ConntrackId, CtInfo, CtStatus, Direction, HelperName, Labels, TcpState, TcpTrack, Tuple,
};
use crate::packet::fate::ConntrackWrite;

const TCP: u8 = 6;

/// What the mirror keeps beside the original tuple, which is its key. Without counters and timeouts, which events do
/// not carry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub reply: Tuple,
    pub id: ConntrackId,
    pub status: CtStatus,
    pub mark: u32,
    start_ns: u64,
    tcp: Option<TcpTrack>,
    /// Last dump or change that spoke of the entry.
    pub epoch: u32,
    /// When a packet last asked, in seconds. Kept for unconfirmed entries only.
    pub asked_s: u32,
    /// A packet asked and saw it confirmed, the NEW event is still to come: a DESTROY before it is a predecessor's.
    pub awaits_new: bool,
    rare: Option<Box<Rare>>,
}

/// What few entries have.
#[derive(Clone, Debug, Default)]
struct Rare {
    helper: Option<HelperName>,
    master: Option<Tuple>,
    labels: Option<Labels>,
    formerly: Option<Tuple>,
}

/// How much a [`Conntrack`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A NEW event: the entry as it was when it was confirmed.
    New,
    /// An UPDATE event: what changed, and the rest absent.
    Update,
    /// All of it, and at least as new as any packet that we saw.
    Get,
    /// As GET, told to the thread that hears the events.
    Dump,
}

impl Entry {
    pub fn of(from: &Conntrack, epoch: u32) -> Entry {
        let mut entry = Entry {
            reply: from.reply,
            id: from.id,
            status: from.status,
            mark: from.mark,
            start_ns: from.start_ns.unwrap_or(0),
            tcp: from.tcp,
            epoch,
            asked_s: 0,
            awaits_new: false,
            rare: None,
        };
        entry.learn_rare(from);
        entry
    }

    /// The entry of a first packet, of which the kernel has told nothing yet.
    pub fn unconfirmed(orig: &Tuple, reply: Tuple, tcp_flags: Option<u8>, epoch: u32) -> Entry {
        let mut entry = Entry::of(&Conntrack::of_tuples(0, *orig, reply), epoch);
        entry.tcp = tcp_flags.map(|flags| {
            let opening = flags & tcp::SYN != 0;
            track(if opening { TcpState::SynSent } else { TcpState::Established })
        });
        entry
    }

    pub fn is_confirmed(&self) -> bool {
        self.status.is_confirmed()
    }

    /// Takes over what `from` says about the same incarnation.
    pub fn learn(&mut self, from: &Conntrack, source: Source, epoch: u32) {
        self.reply = from.reply;
        self.id = from.id;
        self.start_ns = from.start_ns.unwrap_or(self.start_ns);
        self.epoch = epoch;
        self.awaits_new &= matches!(source, Source::Update | Source::Get);
        self.learn_rare(from);
        // Whatever else told us of the entry did so later than its birth.
        if source == Source::New {
            self.status.0 |= from.status.0;
            self.tcp = self.tcp.or(from.tcp);
            return;
        }
        let ours = self.tcp;
        // These are never taken back, but an event may be older than what we saw ourselves.
        let lasting = self.status.0 & (CtStatus::SEEN_REPLY | CtStatus::ASSURED);
        self.status = CtStatus(from.status.0 | lasting);
        self.mark = from.mark;
        self.tcp = from.tcp.or(ours);
        if source == Source::Update {
            self.stay_ahead(ours);
        }
    }

    /// Whether `from`, of the same tuple, is the same incarnation.
    pub fn is_same(&self, from: &Conntrack) -> bool {
        match (self.start_ns, from.start_ns) {
            (1.., Some(theirs)) => self.start_ns == theirs,
            _ => self.id == from.id,
        }
    }

    /// Whether a NEW event must speak of a successor: this one was announced, and is a TCP connection that closes.
    pub fn is_over(&self) -> bool {
        !self.awaits_new && self.tcp.is_some_and(|tcp| handshake_rank(tcp.state) == 0)
    }

    /// Whether this TCP packet does not fit what we hold, so that we hold a predecessor, or the state of long ago: events
    /// may lag behind by whole connections, all of one id.
    pub fn is_contradicted_by(&self, direction: Direction, tcp_flags: u8) -> bool {
        let begins =
            self.tcp.is_none_or(|tcp| matches!(tcp.state, TcpState::None | TcpState::SynSent | TcpState::SynSent2));
        let unanswered = begins && !self.status.has(CtStatus::SEEN_REPLY);
        match tcp_flags & (tcp::SYN | tcp::ACK) {
            tcp::SYN => true,
            _ => unanswered && direction == Direction::Original,
        }
    }

    /// Carries what packets taught an unconfirmed entry over to the one that `source` shows confirmed. `formerly`: the key
    /// that it was handed out under.
    pub fn inherit(&mut self, unconfirmed: &Entry, formerly: Option<Tuple>, source: Source) {
        self.awaits_new |= source == Source::Get;
        self.status.0 |= unconfirmed.status.0 & CtStatus::SEEN_REPLY;
        self.stay_ahead(unconfirmed.tcp);
        if let Some(formerly) = formerly {
            self.rare.get_or_insert_default().formerly = Some(formerly);
        }
    }

    /// `nf_conntrack_in` for a packet of ours: what the kernel calls the packet, then what the packet taught it.
    pub fn see(&mut self, direction: Direction, tcp_flags: Option<u8>) -> CtInfo {
        let info = self.info(direction);
        if direction == Direction::Reply {
            self.status.0 |= CtStatus::SEEN_REPLY;
        }
        if let (Some(tcp), Some(flags)) = (&mut self.tcp, tcp_flags) {
            tcp.state = after_packet(tcp.state, direction, flags);
        }
        info
    }

    /// `resolve_normal_ct`.
    pub fn info(&self, direction: Direction) -> CtInfo {
        match direction {
            Direction::Reply => CtInfo::EstablishedReply,
            Direction::Original if self.status.has(CtStatus::SEEN_REPLY) => CtInfo::Established,
            Direction::Original if self.status.has(CtStatus::EXPECTED) => CtInfo::Related,
            Direction::Original => CtInfo::New,
        }
    }

    /// The key that the entry was first handed out under, once.
    pub fn take_formerly(&mut self) -> Option<Tuple> {
        self.rare.as_mut()?.formerly.take()
    }

    pub fn conntrack(&self, orig: &Tuple) -> Conntrack {
        let rare = self.rare.as_deref();
        Conntrack {
            id: self.id,
            status: self.status,
            tcp: self.tcp,
            start_ns: Some(self.start_ns).filter(|start| *start != 0),
            mark: self.mark,
            labels: rare.and_then(|rare| rare.labels),
            helper: rare.and_then(|rare| rare.helper),
            master: rare.and_then(|rare| rare.master),
            ..Conntrack::of_tuples(0, *orig, self.reply)
        }
    }

    /// What the kernel made of a write of ours.
    pub fn note_write(&mut self, write: &ConntrackWrite) {
        let mut labels = self.rare.as_ref().and_then(|rare| rare.labels);
        write.apply(&mut self.mark, &mut labels);
        if labels.is_some() {
            self.rare.get_or_insert_default().labels = labels;
        }
    }

    /// Undoes a step back in the opening that a late event made.
    fn stay_ahead(&mut self, seen: Option<TcpTrack>) {
        if let (Some(tcp), Some(seen)) = (&mut self.tcp, seen)
            && (1..handshake_rank(seen.state)).contains(&handshake_rank(tcp.state))
        {
            tcp.state = seen.state;
        }
    }

    fn learn_rare(&mut self, from: &Conntrack) {
        if from.helper.is_some() || from.master.is_some() || from.labels.is_some() {
            let rare = self.rare.get_or_insert_default();
            rare.helper = from.helper.or(rare.helper);
            rare.master = from.master.or(rare.master);
            rare.labels = from.labels.or(rare.labels);
        }
    }
}

/// Flags of a TCP packet as far as its tuple says that it is one.
pub(super) fn tcp_flags_of(tuple: &Tuple, flags: Option<u8>) -> Option<u8> {
    flags.filter(|_| tuple.protocol == TCP)
}

fn track(state: TcpState) -> TcpTrack {
    TcpTrack { state, wscale_orig: 0, wscale_reply: 0, flags_orig: 0, flags_reply: 0 }
}

/// Progress while opening; 0 for a connection that is closing or closed.
fn handshake_rank(state: TcpState) -> u8 {
    match state {
        TcpState::None | TcpState::SynSent | TcpState::SynSent2 => 1,
        TcpState::SynRecv => 2,
        TcpState::Established => 3,
        TcpState::FinWait | TcpState::CloseWait | TcpState::LastAck | TcpState::TimeWait | TcpState::Close => 0,
    }
}

/// The opening part of `tcp_conntracks`: the rest waits for the kernel's event, for it hangs on sequence numbers.
fn after_packet(state: TcpState, direction: Direction, flags: u8) -> TcpState {
    let bits = flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN);
    match (state, direction) {
        (TcpState::None | TcpState::SynSent, Direction::Reply) if bits == tcp::SYN | tcp::ACK => TcpState::SynRecv,
        (TcpState::SynRecv, Direction::Original) if bits == tcp::ACK => TcpState::Established,
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp_tuple() -> Tuple {
        Tuple { protocol: TCP, src_port: 40000, dst_port: 80, ..Tuple::UNSPECIFIED }
    }

    fn told(state: Option<TcpState>, status: u32) -> Conntrack {
        let mut entry = Conntrack::of_tuples(0, tcp_tuple(), tcp_tuple().inverted());
        (entry.tcp, entry.status) = (state.map(track), CtStatus(status));
        entry
    }

    #[test]
    fn an_entry_is_small() {
        let held = size_of::<(Tuple, Entry)>();
        assert!(held <= 128, "{held} bytes");
    }

    #[test]
    fn packets_open_a_connection_before_events_say_so() {
        let mut entry = Entry::unconfirmed(&tcp_tuple(), tcp_tuple().inverted(), Some(tcp::SYN), 0);
        let state = |entry: &Entry| entry.tcp.unwrap().state;
        assert_eq!((entry.see(Direction::Original, Some(tcp::SYN)), state(&entry)), (CtInfo::New, TcpState::SynSent));
        let info = entry.see(Direction::Reply, Some(tcp::SYN | tcp::ACK));
        assert_eq!((info, state(&entry)), (CtInfo::EstablishedReply, TcpState::SynRecv));
        let info = entry.see(Direction::Original, Some(tcp::ACK));
        assert_eq!((info, state(&entry)), (CtInfo::Established, TcpState::Established));
        // Now the events of the first two packets arrive.
        entry.learn(&told(Some(TcpState::SynSent), CtStatus::CONFIRMED), Source::New, 1);
        assert_eq!(state(&entry), TcpState::Established);
        entry.learn(&told(Some(TcpState::SynRecv), CtStatus::CONFIRMED), Source::Update, 2);
        assert_eq!((state(&entry), entry.info(Direction::Original)), (TcpState::Established, CtInfo::Established));
        entry.learn(&told(None, CtStatus::CONFIRMED), Source::Update, 3);
        assert_eq!(state(&entry), TcpState::Established, "an event without protoinfo changes nothing");
        entry.learn(&told(Some(TcpState::FinWait), CtStatus::CONFIRMED), Source::Update, 4);
        assert_eq!(state(&entry), TcpState::FinWait);
        assert!(entry.is_over() && entry.is_contradicted_by(Direction::Original, tcp::SYN));
    }

    #[test]
    fn expected_connections_are_related_until_answered() {
        let mut entry = Entry::of(&told(None, CtStatus::CONFIRMED | CtStatus::EXPECTED), 0);
        assert_eq!(entry.see(Direction::Original, None), CtInfo::Related);
        assert_eq!(entry.see(Direction::Reply, None), CtInfo::EstablishedReply);
        assert_eq!(entry.see(Direction::Original, None), CtInfo::Established);
    }

    #[test]
    fn incarnations_are_told_by_start_then_by_id() {
        let with = |start: Option<u64>, id| {
            let mut told = told(None, 0);
            (told.start_ns, told.id) = (start, ConntrackId(id));
            told
        };
        let held = Entry::of(&with(Some(50), 7), 0);
        assert!(held.is_same(&with(Some(50), 8)) && !held.is_same(&with(Some(60), 7)));
        assert!(held.is_same(&with(None, 7)) && !held.is_same(&with(None, 8)));
    }
}
