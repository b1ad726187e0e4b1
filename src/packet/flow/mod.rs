//! What outlives a packet: one [`Flow`] for each conntrack entry that we were shown, in [`shards::FlowShards`].
//!
//! A flow is keyed by zone and original tuple. The entry's id and start time only tell which incarnation of the key it
//! is: see [`Flow::is_same_incarnation`]. Flows are freed by the kernel's DESTROY event, by a sweep against the
//! kernel's table (events can get lost, and entries that were never confirmed send none), or at once when the packet
//! that would have confirmed them is dropped.

pub mod measure;
pub mod shards;
pub mod table;

use std::num::NonZeroU64;
use std::sync::Arc;

use super::app::AppLayer;
use super::conntrack::{Conntrack, ConntrackId, Counters, CtStatus, Direction, Fate, FlowKey, TcpState, Tuple};
use super::decode::{Headers, protocol};
use super::detect::FlowDetectState;
use super::event::{FlowSummary, IcmpFacts};
use super::ingress::{Timestamp, Tracked};
use super::stream::Streams;
use super::tunnel::{Carrier, Tunnel};
use super::verdict::Clearing;
use measure::{Measured, StreamSpan};

/// How long a confirmed UDP flow must have been silent before an unconfirmed packet of its key is taken for the next
/// incarnation. Below that it may be a straggler of the first burst that another CPU queued late.
const REOPEN_SILENCE_MICROS: u64 = 500_000;

/// Everything that we keep about a connection. What few connections have hangs on it: it is held a million times.
#[derive(Debug)]
pub struct Flow {
    pub key: FlowKey,
    /// EVE `flow_id`.
    pub id: u64,
    pub conntrack_id: ConntrackId,
    /// As last shown: SNAT changes it after the first packet.
    pub reply: Tuple,
    pub status: CtStatus,
    start_ns: Option<NonZeroU64>,
    /// The entry was seen in the table: its id is final.
    pub confirmed: bool,
    /// The entry was there before we saw its first packet.
    pub midstream: bool,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub in_ifindex: u32,
    pub fate: Fate,
    /// Why, if it is [`Fate::Pass`] and we decided it.
    pub cleared_by: Option<Clearing>,
    /// Generation of the rule set that decided the fate.
    pub generation: u64,
    pub alerted: bool,
    /// The sid that matched last, 0 for none.
    pub last_sid: u32,
    /// What we saw ourselves, for kernels without `nf_conntrack_acct`.
    pub seen_to_server: Counters,
    pub seen_to_client: Counters,
    pub tcp_flags_to_server: u8,
    pub tcp_flags_to_client: u8,
    pub stream_to_server: StreamSpan,
    pub stream_to_client: StreamSpan,
    pub tcp_state: Option<TcpState>,
    /// TCP: the last packet was the one that completed the handshake.
    completes_handshake: bool,
    /// TCP: with the last packet conntrack has found that the entry is about another connection by now.
    pub begins_anew: bool,
    /// conntrack has called a packet of it INVALID while it waited for the handshake.
    pub disowned: bool,
    pub detect: FlowDetectState,
    /// TCP: its bytes in order, while they are followed.
    pub stream: Option<Box<Streams>>,
    /// What it says above its transport, once it has said anything.
    pub app: Option<Box<AppLayer>>,
    nesting: Option<Box<Nesting>>,
    /// Number of the last sweep that found the entry in the kernel's table.
    pub(super) sweep_mark: u32,
    /// A packet of ours was accepted, so the kernel may confirm the entry.
    pub(super) any_accepted: bool,
}

/// What tunnels have to do with a flow.
#[derive(Debug, Default)]
struct Nesting {
    /// What runs inside it.
    tunnel: Option<Arc<Tunnel>>,
    /// How its own first packet was carried.
    carrier: Option<Carrier>,
    within: u64,
}

impl Flow {
    #[must_use]
    pub fn new(entry: &Conntrack, in_ifindex: u32, now: Timestamp) -> Flow {
        Flow {
            key: entry.key(),
            id: flow_id(&entry.key(), entry.id),
            conntrack_id: entry.id,
            reply: entry.reply,
            status: entry.status,
            start_ns: entry.start_ns.and_then(NonZeroU64::new),
            confirmed: entry.status.is_confirmed(),
            midstream: entry.status.is_confirmed(),
            first_seen: now,
            last_seen: now,
            in_ifindex,
            fate: Fate::Inspect,
            cleared_by: None,
            generation: 0,
            alerted: false,
            last_sid: 0,
            seen_to_server: Counters::default(),
            seen_to_client: Counters::default(),
            tcp_flags_to_server: 0,
            tcp_flags_to_client: 0,
            stream_to_server: StreamSpan::default(),
            stream_to_client: StreamSpan::default(),
            tcp_state: entry.tcp.map(|tcp| tcp.state),
            completes_handshake: false,
            begins_anew: false,
            disowned: false,
            detect: FlowDetectState::default(),
            stream: None,
            app: None,
            nesting: None,
            sweep_mark: 0,
            any_accepted: false,
        }
    }

    /// Whether `entry` is the connection that this flow is about, and not a later one on the same tuple.
    ///
    /// Start times decide where both are known. Otherwise: a confirmed entry with another id is another one; an
    /// unconfirmed entry after a confirmed one is the next connection for TCP, which cannot clash, and for others once
    /// the flow has been silent for a while. Ids of unconfirmed entries say nothing (a burst has one each).
    #[must_use]
    pub fn is_same_incarnation(&self, entry: &Conntrack, now: Timestamp) -> bool {
        if let (Some(ours), Some(theirs)) = (self.start_ns(), entry.start_ns) {
            // A late packet of the connection before must not displace the living one.
            return theirs <= ours;
        }
        if !self.confirmed {
            return true;
        }
        if entry.status.is_confirmed() {
            return self.conntrack_id == entry.id;
        }
        self.key.orig.protocol != protocol::TCP && now.micros_since(self.last_seen) < REOPEN_SILENCE_MICROS
    }

    /// Takes over what a packet's snapshot of the entry adds.
    pub fn refresh(&mut self, entry: &Conntrack, now: Timestamp) {
        self.last_seen = self.last_seen.max(now);
        if entry.status.is_confirmed() && !self.confirmed {
            self.confirmed = true;
            self.conntrack_id = entry.id;
        }
        self.reply = entry.reply;
        self.status = entry.status;
        self.start_ns = self.start_ns.or(entry.start_ns.and_then(NonZeroU64::new));
        if let Some(tcp) = entry.tcp {
            self.completes_handshake = is_open(tcp.state) && self.tcp_state.is_some_and(|before| !is_open(before));
            self.begins_anew = tcp.state == TcpState::SynRecv && self.tcp_state.is_some_and(is_open);
            self.tcp_state = Some(tcp.state);
        }
    }

    /// A newer rule set looks again at what an older one has cleared: whether it was. Condemned stays condemned.
    pub fn reconsider(&mut self, generation: u64) -> bool {
        let is_older = self.generation != generation;
        self.generation = generation;
        let again = is_older && self.fate == Fate::Pass;
        if again {
            self.fate = Fate::Inspect;
            self.cleared_by = None;
        }
        again
    }

    /// What we know of the entry when the kernel can no longer be asked.
    #[must_use]
    pub fn last_entry(&self) -> Conntrack {
        let mut entry = Conntrack::of_tuples(self.key.zone, self.key.orig, self.reply);
        entry.id = self.conntrack_id;
        entry.start_ns = self.start_ns();
        entry.status = self.status;
        entry
    }

    /// Counts one packet that we saw. A super-packet is one packet.
    pub fn count(&mut self, direction: Direction, headers: &Headers<'_>) {
        if let Some(tcp) = headers.tcp() {
            let stream = match direction {
                Direction::Original => &mut self.stream_to_server,
                Direction::Reply => &mut self.stream_to_client,
            };
            stream.note(tcp, headers.payload.len());
        }
        let tcp_flags = headers.tcp().map_or(0, |tcp| tcp.flags);
        let (counters, flags) = match direction {
            Direction::Original => (&mut self.seen_to_server, &mut self.tcp_flags_to_server),
            Direction::Reply => (&mut self.seen_to_client, &mut self.tcp_flags_to_client),
        };
        counters.packets = counters.packets.saturating_add(1);
        counters.bytes = counters.bytes.saturating_add(u64::from(headers.ip.total_len));
        *flags |= tcp_flags;
    }

    /// Notes what the flow was first seen in.
    pub fn carried_by(&mut self, carrier: Option<&Carrier>, tunnel: u64) {
        if carrier.is_some() || tunnel != 0 {
            self.nesting = Some(Box::new(Nesting { tunnel: None, carrier: carrier.copied(), within: tunnel }));
        }
    }

    /// How its packets were carried when it was first seen, if they are carried by others.
    #[must_use]
    pub fn carrier(&self) -> Option<&Carrier> {
        self.nesting.as_ref()?.carrier.as_ref()
    }

    /// The tunnel that it runs in ([`Tunnel::number`]), 0 for none.
    #[must_use]
    pub fn within(&self) -> u64 {
        self.nesting.as_ref().map_or(0, |nesting| nesting.within)
    }

    /// What runs inside it, if its packets carry others.
    #[must_use]
    pub fn tunnel(&self) -> Option<&Arc<Tunnel>> {
        self.nesting.as_ref()?.tunnel.as_ref()
    }

    pub fn carry(&mut self, tunnel: Arc<Tunnel>) {
        self.nesting.get_or_insert_default().tunnel = Some(tunnel);
    }

    /// Lets go of what runs inside it.
    pub fn take_tunnel(&mut self) -> Option<Arc<Tunnel>> {
        self.nesting.as_mut()?.tunnel.take()
    }

    /// When the kernel created the entry, in nanoseconds since the epoch, if it keeps timestamps.
    #[must_use]
    pub fn start_ns(&self) -> Option<u64> {
        self.start_ns.map(NonZeroU64::get)
    }

    /// Type and code of the ICMP packet that opened it.
    #[must_use]
    pub fn icmp(&self) -> Option<IcmpFacts> {
        icmp_of(&self.key.orig)
    }

    /// A packet of this flow went on: the kernel may confirm the entry.
    pub fn note_accepted(&mut self) {
        self.any_accepted = true;
    }

    /// What the rule language calls established: both sides have spoken; for TCP the handshake was done before this
    /// packet. Data that comes with its last segment belongs to what follows.
    #[must_use]
    pub fn is_established(&self, tracked: Tracked<'_>, payload: &[u8]) -> bool {
        match tracked.entry.tcp.map(|tcp| tcp.state).or(self.tcp_state) {
            Some(state) if is_open(state) => !(self.completes_handshake && payload.is_empty()),
            // Nobody sends data before the handshake is over, whatever conntrack has seen of it.
            Some(_) => self.disowned && !payload.is_empty(),
            None => tracked.info.direction() == Direction::Reply || tracked.entry.status.has(CtStatus::SEEN_REPLY),
        }
    }

    /// conntrack still waits for the TCP handshake to be completed.
    #[must_use]
    pub fn awaits_handshake(&self) -> bool {
        self.tcp_state.is_some_and(|state| !is_open(state))
    }

    /// The kernel's counters where it keeps them, else ours. Says which.
    #[must_use]
    pub fn summary(&self, entry: &Conntrack) -> (FlowSummary, bool) {
        let (to_server, to_client, by_kernel) = match (entry.counters_orig, entry.counters_reply) {
            (Some(orig), Some(reply)) => (orig, reply, true),
            _ => (self.seen_to_server, self.seen_to_client, false),
        };
        let start = entry.start_ns.or(self.start_ns()).map_or(self.first_seen, |ns| Timestamp::from_micros(ns / 1000));
        let summary = FlowSummary {
            pkts_toserver: to_server.packets,
            pkts_toclient: to_client.packets,
            bytes_toserver: to_server.bytes,
            bytes_toclient: to_client.bytes,
            start,
        };
        (summary, by_kernel)
    }
}

impl Flow {
    /// What rules may ask about the connection so far.
    #[must_use]
    pub fn measured(&self, entry: &Conntrack, now: Timestamp) -> Measured {
        let (summary, _) = self.summary(entry);
        let is_tcp = self.key.orig.protocol == protocol::TCP;
        Measured {
            age_seconds: now.seconds().saturating_sub(summary.start.seconds()),
            to_server: Counters { packets: summary.pkts_toserver, bytes: summary.bytes_toserver },
            to_client: Counters { packets: summary.pkts_toclient, bytes: summary.bytes_toclient },
            streams: is_tcp.then(|| (self.stream_to_server.size(), self.stream_to_client.size())),
        }
    }
}

/// The handshake is over.
fn is_open(state: TcpState) -> bool {
    !matches!(state, TcpState::None | TcpState::SynSent | TcpState::SynRecv | TcpState::SynSent2)
}

/// For ICMP the tuple holds identifier, type and code.
fn icmp_of(orig: &Tuple) -> Option<IcmpFacts> {
    let [icmp_type, icmp_code] = orig.dst_port.to_be_bytes();
    matches!(orig.protocol, protocol::ICMP | protocol::ICMPV6).then_some(IcmpFacts {
        icmp_type,
        icmp_code,
        id: orig.src_port,
        seq: 0,
    })
}

/// EVE `flow_id`: 63 bits of zone, original tuple and entry id, so that it outlives a restart of ours.
///
/// The hash is fixed (not seeded): two programs that see the same entry name it alike. It keys nothing in memory.
#[must_use]
pub fn flow_id(key: &FlowKey, id: ConntrackId) -> u64 {
    use std::hash::{BuildHasher, Hash, Hasher};
    let mut hasher = foldhash::fast::FixedState::with_seed(0).build_hasher();
    key.hash(&mut hasher);
    id.hash(&mut hasher);
    (hasher.finish() >> 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(protocol: u8, id: u32, confirmed: bool, start_ns: Option<u64>) -> Conntrack {
        let orig = Tuple { protocol, src_port: 1000, dst_port: 53, ..Tuple::UNSPECIFIED };
        let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
        entry.id = ConntrackId(id);
        entry.status = CtStatus(if confirmed { CtStatus::CONFIRMED } else { 0 });
        entry.start_ns = start_ns;
        entry
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn incarnations_are_told_apart() {
        let udp = 17;
        let tcp = 6;
        // (flow's entry, packet's entry, microseconds later, same?)
        let cases = [
            ("burst: another provisional id", entry(udp, 1, false, None), entry(udp, 2, false, None), 10, true),
            ("burst survivor is confirmed", entry(udp, 1, false, None), entry(udp, 2, true, Some(5)), 10, true),
            ("straggler of the burst", entry(udp, 1, true, None), entry(udp, 2, false, None), 10, true),
            ("reopened after silence", entry(udp, 1, true, None), entry(udp, 2, false, None), 600_000, false),
            ("confirmed under another id", entry(udp, 1, true, None), entry(udp, 2, true, None), 10, false),
            ("same id, other start time", entry(tcp, 1, true, Some(5)), entry(tcp, 1, true, Some(9)), 10, false),
            ("same id and start time", entry(tcp, 1, true, Some(5)), entry(tcp, 1, true, Some(5)), 10, true),
            ("straggler of the one before", entry(tcp, 1, true, Some(9)), entry(tcp, 1, true, Some(5)), 10, true),
            ("tcp opened anew", entry(tcp, 1, true, None), entry(tcp, 1, false, None), 10, false),
            ("retransmitted SYN", entry(tcp, 1, false, None), entry(tcp, 2, false, None), 10, true),
        ];
        for (name, old, new, later, same) in cases {
            let flow = Flow::new(&old, 0, at(1_000));
            assert_eq!(flow.is_same_incarnation(&new, at(1_000 + later)), same, "{name}");
        }
    }

    #[test]
    fn the_handshakes_last_segment_comes_before_what_is_established() {
        use super::super::conntrack::{CtInfo, TcpTrack};
        let in_state = |state| {
            let mut seen = entry(6, 1, true, Some(5));
            seen.tcp = Some(TcpTrack { state, wscale_orig: 0, wscale_reply: 0, flags_orig: 0, flags_reply: 0 });
            seen
        };
        let mut flow = Flow::new(&in_state(TcpState::SynSent), 0, at(0));
        let mut established = |state, payload: &[u8]| {
            let seen = in_state(state);
            flow.refresh(&seen, at(1));
            flow.is_established(Tracked { entry: &seen, info: CtInfo::Established }, payload)
        };
        assert!(!established(TcpState::SynRecv, b""));
        assert!(!established(TcpState::Established, b""));
        assert!(established(TcpState::Established, b""));
        assert!(!established(TcpState::SynRecv, b""));
        assert!(established(TcpState::Established, b"data"), "data is judged as such");
        let midstream = in_state(TcpState::Established);
        let found = Flow::new(&midstream, 0, at(0));
        assert!(found.is_established(Tracked { entry: &midstream, info: CtInfo::Established }, b""));
    }

    #[test]
    fn flow_id_is_stable_and_fits_63_bits() {
        let one = entry(6, 7, false, None);
        let confirmed = entry(6, 7, true, Some(3));
        assert_eq!(flow_id(&one.key(), one.id), flow_id(&confirmed.key(), confirmed.id));
        assert_ne!(flow_id(&one.key(), one.id), flow_id(&one.key(), ConntrackId(8)));
        assert!(flow_id(&one.key(), one.id) <= i64::MAX as u64);
    }
}
