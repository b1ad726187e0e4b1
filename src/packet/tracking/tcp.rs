//! TCP as conntrack tracks it: `tcp_conntracks` and `nf_conntrack_tcp_packet` of the kernel, without windows.
//!
//! Left out, and why: the window check (`tcp_in_window`), because a capture that lost packets would turn INVALID where
//! the kernel on the path did not; of it only this is there, that a selective acknowledgement of what was never sent makes
//! a segment INVALID, for its sender can choose that; retransmission, zero-window and unacknowledged-data timeouts, because they only
//! shorten the life of idle entries. RST sequence numbers are checked, as everybody can send an RST.

use crate::packet::conntrack::{CtStatus, Direction, TcpState, TcpTrack};
use crate::packet::decode::{Tcp, tcp};

/// `IP_CT_TCP_FLAG_*`.
mod flag {
    pub const WINDOW_SCALE: u8 = 1;
    pub const SACK_PERM: u8 = 2;
    pub const CLOSE_INIT: u8 = 4;
    pub const BE_LIBERAL: u8 = 8;
}

/// What conntrack remembers of a connection to judge its next segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpMemory {
    pub track: TcpTrack,
    last: Option<Last>,
    sides: [Side; 2],
    /// Both sides have sent a SYN: the handshake then ends with an ACK of the reply direction.
    simultaneous_open: bool,
    /// A SYN went by in LAST_ACK: the answer may be a challenge (RFC 5961), and does not acknowledge the FIN.
    challenge_expected: bool,
}

/// How far one side has come, as far as the segments fit together (`td_end` and `td_maxack`).
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// Sequence number behind the furthest segment.
    end: Option<u32>,
    /// Highest acknowledgement sent.
    acked: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    kind: Kind,
    direction: Direction,
    /// Sequence number behind the segment, SYN and FIN counted. Stays as it was where a segment did not fit.
    end: u32,
}

/// What a segment is to the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
}

/// What is to be done about an entry after its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpOutcome {
    /// The segment does not belong to this connection: INVALID.
    Invalid,
    /// The entry goes along, but is neither refreshed nor are its counters raised.
    Ignored,
    /// Count it, and let the entry live this long.
    Refresh { timeout_s: u32, now_assured: bool },
    /// An answer of RST alone: count it, and the entry is gone.
    Kill,
    /// A new connection with the tuple of one that is over: this entry goes, and the segment is looked up again.
    Reopen,
}

/// `tcp_timeouts` of nf_conntrack_proto_tcp.c, in seconds.
fn timeout_s(state: TcpState) -> u32 {
    match state {
        TcpState::None | TcpState::SynSent | TcpState::SynSent2 => 120,
        TcpState::SynRecv | TcpState::CloseWait => 60,
        TcpState::Established => 432_000,
        TcpState::FinWait | TcpState::TimeWait => 120,
        TcpState::LastAck => 30,
        TcpState::Close => CLOSE_S,
    }
}

const CLOSE_S: u32 = 10;
const UNACKNOWLEDGED_S: u32 = 300;

enum Next {
    Is(TcpState),
    Ignore,
    Invalid,
}

/// `tcp_conntracks`: where a segment leads from a state.
fn next(state: TcpState, direction: Direction, kind: Kind) -> Next {
    use Direction::{Original, Reply};
    use Next::{Ignore, Invalid, Is};
    use TcpState::{Close, CloseWait, Established, FinWait, LastAck, None, SynRecv, SynSent, SynSent2, TimeWait};
    match (kind, direction, state) {
        // A SYN of the client opens, repeats, or opens anew; in a living connection nobody knows yet what it means.
        (Kind::Syn, Original, None | SynSent | TimeWait | Close) => Is(SynSent),
        (Kind::Syn, Original, SynSent2) => Is(SynSent2),
        (Kind::Syn, Original, _) => Ignore,
        // A SYN of the server is a simultaneous open, or a connection the other way round.
        (Kind::Syn, Reply, SynSent | SynSent2) => Is(SynSent2),
        (Kind::Syn, Reply, TimeWait) => Is(SynSent),
        (Kind::Syn, Reply, _) => Invalid,

        (Kind::SynAck, Original, SynRecv | SynSent2) => Is(SynRecv),
        (Kind::SynAck, Original, _) => Invalid,
        (Kind::SynAck, Reply, None) => Invalid,
        (Kind::SynAck, Reply, SynSent | SynSent2) => Is(SynRecv),
        (Kind::SynAck, Reply, _) => Ignore,

        (Kind::Fin, _, None | SynSent | SynSent2) => Invalid,
        (Kind::Fin, _, SynRecv | Established) => Is(FinWait),
        (Kind::Fin, _, FinWait | CloseWait | LastAck) => Is(LastAck),
        (Kind::Fin, _, TimeWait) => Is(TimeWait),
        (Kind::Fin, _, Close) => Is(Close),

        (Kind::Ack, Original, None) => Is(Established),
        (Kind::Ack, Reply, None) => Invalid,
        (Kind::Ack, Original, SynSent | SynSent2) => Invalid,
        (Kind::Ack, Reply, SynSent | SynSent2) => Ignore,
        (Kind::Ack, Original, SynRecv) => Is(Established),
        (Kind::Ack, Reply, SynRecv) => Is(SynRecv),
        (Kind::Ack, _, Established) => Is(Established),
        (Kind::Ack, _, FinWait | CloseWait) => Is(CloseWait),
        (Kind::Ack, _, LastAck | TimeWait) => Is(TimeWait),
        (Kind::Ack, _, Close) => Is(Close),

        (Kind::Rst, _, None) => Invalid,
        (Kind::Rst, _, _) => Is(Close),
    }
}

/// `tcp_valid_flags`; ECE, CWR and PSH may come with anything. `None`: no such segment exists.
fn kind(tcp: &Tcp<'_>) -> Option<Kind> {
    const SYN: u8 = Tcp::SYN;
    const ACK: u8 = Tcp::ACK;
    const RST: u8 = Tcp::RST;
    const FIN: u8 = Tcp::FIN;
    const URG: u8 = Tcp::URG;
    let flags = tcp.flags & !(Tcp::ECE | Tcp::CWR | Tcp::PSH);
    // URG may come with a SYN, a FIN that acknowledges, or a plain acknowledgement.
    Some(match flags {
        f if f == SYN || f == SYN | URG => Kind::Syn,
        f if f == SYN | ACK => Kind::SynAck,
        f if f == FIN | ACK || f == FIN | ACK | URG => Kind::Fin,
        f if f == ACK || f == ACK | URG => Kind::Ack,
        f if f == RST || f == RST | ACK => Kind::Rst,
        _ => return None,
    })
}

/// Whether `a` is before `b` in sequence space.
fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

impl TcpMemory {
    /// For a first segment; `None` when a connection cannot begin like this (`tcp_new`).
    ///
    /// `loose` is `nf_conntrack_tcp_loose`: whether an ACK picks up a connection in its middle.
    pub(super) fn begin(tcp: &Tcp<'_>, loose: bool) -> Option<TcpMemory> {
        let mut track =
            TcpTrack { state: TcpState::None, wscale_orig: 0, wscale_reply: 0, flags_orig: 0, flags_reply: 0 };
        match next(TcpState::None, Direction::Original, kind(tcp)?) {
            Next::Is(TcpState::SynSent) => {}
            Next::Is(_) if loose => {
                track.flags_orig = flag::SACK_PERM | flag::BE_LIBERAL;
                track.flags_reply = track.flags_orig;
            }
            _ => return None,
        }
        Some(TcpMemory {
            track,
            last: None,
            sides: [Side::default(); 2],
            simultaneous_open: false,
            challenge_expected: false,
        })
    }

    /// Moves the state machine by one segment (`nf_conntrack_tcp_packet`).
    pub(super) fn segment(
        &mut self,
        tcp: &Tcp<'_>,
        payload_len: usize,
        direction: Direction,
        status: CtStatus,
    ) -> TcpOutcome {
        let Some(kind) = kind(tcp) else { return TcpOutcome::Invalid };
        let mut old = self.track.state;
        let this = Last { kind, direction, end: segment_end(tcp, payload_len) };
        let mut new = match next(old, direction, kind) {
            Next::Invalid => return TcpOutcome::Invalid,
            Next::Is(TcpState::SynSent) if matches!(old, TcpState::TimeWait | TcpState::Close) => {
                if self.may_reopen(direction) {
                    return TcpOutcome::Reopen;
                }
                return self.ignore(this);
            }
            Next::Ignore if self.answers_ignored_syn(tcp, this) => {
                // Client and server are in step, we were not.
                old = TcpState::SynSent;
                self.track.flags_orig = 0;
                self.track.flags_reply = 0;
                self.simultaneous_open = false;
                self.challenge_expected = false;
                self.begin_anew(direction.flipped());
                TcpState::SynRecv
            }
            Next::Ignore => return self.ignore(this),
            Next::Is(TcpState::TimeWait) if self.is_challenge(this) => {
                self.challenge_expected = false;
                return TcpOutcome::Ignored;
            }
            Next::Is(TcpState::SynRecv) if self.simultaneous_open && kind == Kind::Ack => TcpState::Established,
            Next::Is(new) => new,
        };
        if kind == Kind::Rst {
            match self.judge_reset(tcp, direction, status) {
                Reset::Invalid => return TcpOutcome::Invalid,
                Reset::Closes => {}
                Reset::KeepsState => new = old,
            }
        }
        if self.acknowledges_unsent(tcp, direction) {
            return TcpOutcome::Invalid;
        }
        self.take_options(tcp, kind, direction);
        self.note(tcp, this);
        self.track.state = new;
        self.simultaneous_open |= new == TcpState::SynSent2;
        if new == TcpState::FinWait && old != new {
            *self.flags_mut(direction) |= flag::CLOSE_INIT;
        }
        outcome(kind, old, new, status)
    }

    /// Lets a segment by that may tell of a connection that began without our seeing it.
    fn ignore(&mut self, this: Last) -> TcpOutcome {
        self.last = Some(this);
        if this.kind == Kind::Syn && this.direction == Direction::Original {
            self.simultaneous_open = false;
            self.challenge_expected = self.track.state == TcpState::LastAck;
        }
        TcpOutcome::Ignored
    }

    /// An ACK in LAST_ACK that answers the SYN before it, and not the FIN.
    fn is_challenge(&self, this: Last) -> bool {
        self.challenge_expected
            && self.track.state == TcpState::LastAck
            && this.kind == Kind::Ack
            && self.last.is_some_and(|last| last.kind == Kind::Syn && last.direction != this.direction)
    }

    /// A SYN in TIME_WAIT or CLOSE opens anew if either side had closed with a FIN, or its own sender had sent an RST.
    fn may_reopen(&self, direction: Direction) -> bool {
        (self.track.flags_orig | self.track.flags_reply) & flag::CLOSE_INIT != 0
            || self.last.is_some_and(|last| last.kind == Kind::Rst && last.direction == direction)
    }

    /// A SYN/ACK that acknowledges the SYN that was ignored just before.
    fn answers_ignored_syn(&self, tcp: &Tcp<'_>, this: Last) -> bool {
        this.kind == Kind::SynAck
            && self
                .last
                .is_some_and(|last| last.kind == Kind::Syn && last.direction != this.direction && last.end == tcp.ack)
    }

    fn judge_reset(&self, tcp: &Tcp<'_>, direction: Direction, status: CtStatus) -> Reset {
        let established = self.track.state == TcpState::Established && status.has(CtStatus::ASSURED);
        let last_is_syn = self.last.is_some_and(|last| last.kind == Kind::Syn);
        let Some(acked) = self.side(direction.flipped()).acked.filter(|_| !last_is_syn) else {
            return Reset::Closes;
        };
        if tcp.seq == 0 && !established {
            return Reset::Closes;
        }
        if before(tcp.seq, acked) {
            return Reset::Invalid;
        }
        let follows_its_own_data =
            self.last.is_some_and(|last| last.kind == Kind::Ack && last.direction == direction && last.end == tcp.seq);
        if !established || tcp.seq == acked || follows_its_own_data { Reset::Closes } else { Reset::KeepsState }
    }

    /// The highest edge of a selective acknowledgement counts as the acknowledgement (`tcp_sack`), and lies behind all
    /// that the other side has sent.
    fn acknowledges_unsent(&self, tcp: &Tcp<'_>, direction: Direction) -> bool {
        let receiver = direction.flipped();
        if self.flags(receiver) & flag::SACK_PERM == 0 || self.flags(direction) & flag::BE_LIBERAL != 0 {
            return false;
        }
        let Some(end) = self.side(receiver).end.filter(|_| tcp.has(Tcp::ACK)) else { return false };
        let lists = tcp.parsed_options().filter_map(Result::ok).filter(|(kind, _)| *kind == tcp::option::SACK);
        let blocks = lists.map(|(_, list)| list.as_chunks::<8>()).filter(|(_, rest)| rest.is_empty());
        let mut edges = blocks.flat_map(|(blocks, _)| blocks).map(|[_, _, _, _, right @ ..]| right);
        edges.any(|right| before(end, u32::from_be_bytes(*right)))
    }

    fn take_options(&mut self, tcp: &Tcp<'_>, kind: Kind, direction: Direction) {
        if !matches!(kind, Kind::Syn | Kind::SynAck) {
            return;
        }
        let (mut flags, mut scale) = (0, 0);
        for option in tcp.parsed_options().filter_map(Result::ok) {
            match option {
                (tcp::option::SACK_PERMITTED, _) => flags |= flag::SACK_PERM,
                (tcp::option::WINDOW_SCALE, [shift]) => {
                    scale = (*shift).min(14);
                    flags |= flag::WINDOW_SCALE;
                }
                _ => {}
            }
        }
        *self.flags_mut(direction) = flags;
        match direction {
            Direction::Original => self.track.wscale_orig = scale,
            Direction::Reply => self.track.wscale_reply = scale,
        }
    }

    /// Remembers the segment. One that acknowledges what its other side never sent is not believed: nothing of it counts
    /// but that it was there.
    fn note(&mut self, tcp: &Tcp<'_>, this: Last) {
        let acks = tcp.has(Tcp::ACK);
        let fits = !acks || self.side(this.direction.flipped()).end.is_some_and(|end| !before(end, tcp.ack));
        let side = self.side_mut(this.direction);
        if side.end.is_none_or(|end| fits && before(end, this.end)) {
            side.end = Some(this.end);
        }
        if acks && fits && side.acked.is_none_or(|acked| before(acked, tcp.ack)) {
            side.acked = Some(tcp.ack);
        }
        let end = match self.last {
            Some(last) if !(fits && this.kind == Kind::Ack) => last.end,
            _ => this.end,
        };
        self.last = Some(Last { end, ..this });
    }

    /// The ignored SYN of this side was a beginning after all.
    fn begin_anew(&mut self, direction: Direction) {
        self.sides = [Side::default(); 2];
        self.side_mut(direction).end = self.last.map(|last| last.end);
    }

    fn side(&self, direction: Direction) -> Side {
        let [original, reply] = self.sides;
        match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [original, reply] = &mut self.sides;
        match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }

    fn flags(&self, direction: Direction) -> u8 {
        match direction {
            Direction::Original => self.track.flags_orig,
            Direction::Reply => self.track.flags_reply,
        }
    }

    fn flags_mut(&mut self, direction: Direction) -> &mut u8 {
        match direction {
            Direction::Original => &mut self.track.flags_orig,
            Direction::Reply => &mut self.track.flags_reply,
        }
    }
}

enum Reset {
    Invalid,
    Closes,
    /// Not exactly where the other side waits: it may answer with a challenge, so nothing is over yet.
    KeepsState,
}

fn outcome(kind: Kind, old: TcpState, new: TcpState, status: CtStatus) -> TcpOutcome {
    let mut timeout_s = if kind == Kind::Rst { CLOSE_S } else { timeout_s(new) };
    let mut now_assured = false;
    if !status.has(CtStatus::SEEN_REPLY) {
        if kind == Kind::Rst {
            return TcpOutcome::Kill;
        }
        if kind == Kind::Syn && old == TcpState::SynSent {
            return TcpOutcome::Ignored;
        }
        // Picked up in the middle, one side seen: not worth five days.
        if new == TcpState::Established {
            timeout_s = timeout_s.min(UNACKNOWLEDGED_S);
        }
    } else if !status.has(CtStatus::ASSURED)
        && matches!(old, TcpState::SynRecv | TcpState::Established)
        && new == TcpState::Established
    {
        now_assured = true;
    }
    TcpOutcome::Refresh { timeout_s, now_assured }
}

fn segment_end(tcp: &Tcp<'_>, payload_len: usize) -> u32 {
    let phantom = u32::from(tcp.has(Tcp::SYN)).wrapping_add(u32::from(tcp.has(Tcp::FIN)));
    tcp.seq.wrapping_add(u32::try_from(payload_len).unwrap_or(u32::MAX)).wrapping_add(phantom)
}
