//! What a DESTROY event means for what we hold: free it, keep it, or ask.
//!
//! A DESTROY names a tuple, an id and perhaps times, and arrives on another socket than packets do: before the last
//! packets of its entry, or after the first packets of the tuple's next incarnation, which may even carry the same id
//! (`nf_ct_get_id`). Start times decide where there are some (`nf_conntrack_timestamp=1`); else the id and, where that
//! cannot decide either, the kernel. Wrongly kept memory is found by the idle sweep, wrongly freed state is a flow that
//! is inspected as midstream: so doubt keeps.

use crate::packet::conntrack::{Conntrack, ConntrackId};
use crate::packet::ingress::Timestamp;

/// Longest time that we believe a DESTROY may need to reach us, in microseconds. A flow without packets for so long
/// cannot be the successor of the entry that the event names.
const LATENESS_MICROS_MAX: u64 = 60_000_000;
/// How long a first packet may wait between our look at it and its entry's confirmation, in microseconds.
const CONFIRMATION_MICROS_MAX: u64 = 5_000_000;

/// What we know of a flow, from the last packet that we saw of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Provisional while the entry is not confirmed.
    pub id: ConntrackId,
    /// Nanoseconds since the epoch; absent while unconfirmed or without timestamps.
    pub start_ns: Option<u64>,
    /// When we received the flow's last packet.
    pub last_packet: Timestamp,
    /// Whether any packet of this incarnation carried a confirmed entry.
    pub confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The event names what we hold.
    Free,
    /// The event is about another incarnation of the tuple.
    Keep,
    /// Ask with GET by the original tuple, then see [`decide_by_answer`].
    AskKernel,
}

/// Judges a DESTROY event of the flow's key.
#[must_use]
pub fn decide(held: &Held, event: &Conntrack, now: Timestamp) -> Decision {
    if let (Some(ours), Some(theirs)) = (held.start_ns, event.start_ns) {
        // A later incarnation cannot have lived and died while ours still lives.
        return if theirs >= ours { Decision::Free } else { Decision::Keep };
    }
    if now.micros_since(held.last_packet) >= LATENESS_MICROS_MAX {
        return Decision::Free;
    }
    match event.stop_ns {
        // All our packets came before their entry was confirmed, so that entry ends later than each of them came.
        Some(stop_ns) if !held.confirmed => {
            if stop_ns / 1000 < held.last_packet.micros {
                Decision::Keep
            } else {
                Decision::Free
            }
        }
        _ => Decision::AskKernel,
    }
}

/// Judges the same event once GET by the original tuple has answered.
#[must_use]
pub fn decide_by_answer(held: &Held, living: Option<&Conntrack>, now: Timestamp) -> Decision {
    let Some(living) = living else {
        // Unconfirmed entries are invisible to GET.
        let waits = !held.confirmed && now.micros_since(held.last_packet) < CONFIRMATION_MICROS_MAX;
        return if waits { Decision::Keep } else { Decision::Free };
    };
    let successor = match (held.start_ns, living.start_ns) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => held.confirmed && held.id != living.id,
    };
    if successor { Decision::Free } else { Decision::Keep }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::conntrack::Tuple;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_000 * SECOND;

    fn entry(id: u32, start_ns: Option<u64>, stop_ns: Option<u64>) -> Conntrack {
        let mut entry = Conntrack::of_tuples(0, Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
        (entry.id, entry.start_ns, entry.stop_ns) = (ConntrackId(id), start_ns, stop_ns);
        entry
    }

    fn held(id: u32, start_ns: Option<u64>, idle_micros: u64, confirmed: bool) -> Held {
        Held { id: ConntrackId(id), start_ns, last_packet: Timestamp::from_micros(NOW - idle_micros), confirmed }
    }

    fn ns(micros: u64) -> Option<u64> {
        Some(micros * 1000)
    }

    #[test]
    fn events_are_told_apart() {
        let start = ns(NOW - 90 * SECOND);
        let before = ns(NOW - 95 * SECOND);
        let cases = [
            ("same start", held(7, start, 10, true), entry(7, start, ns(NOW)), Decision::Free),
            ("same start, id in doubt", held(8, start, 10, true), entry(7, start, ns(NOW)), Decision::Free),
            ("predecessor with the same id", held(7, start, 10, true), entry(7, before, start), Decision::Keep),
            (
                "ours ended unheard, as did its successor",
                held(7, before, 10, true),
                entry(7, start, None),
                Decision::Free,
            ),
            ("no times, recent, same id", held(7, None, SECOND, true), entry(7, None, None), Decision::AskKernel),
            ("no times, recent, other id", held(7, None, SECOND, true), entry(8, None, None), Decision::AskKernel),
            ("no times, long idle", held(7, None, 61 * SECOND, true), entry(7, None, None), Decision::Free),
            (
                "long idle one-packet flow of a burst",
                held(7, None, 61 * SECOND, false),
                entry(8, None, None),
                Decision::Free,
            ),
            (
                "one-packet flow, ended after its packet",
                held(7, None, 30 * SECOND, false),
                entry(7, ns(NOW - 30 * SECOND + 50), ns(NOW)),
                Decision::Free,
            ),
            (
                "reopened at once: the SYN that killed the old entry waits",
                held(7, None, 10, false),
                entry(7, before, ns(NOW - 40)),
                Decision::Keep,
            ),
            (
                "confirmed before timestamps were on",
                held(7, None, SECOND, true),
                entry(7, start, ns(NOW)),
                Decision::AskKernel,
            ),
        ];
        for (name, held, event, wanted) in cases {
            assert_eq!(decide(&held, &event, Timestamp::from_micros(NOW)), wanted, "{name}");
        }
    }

    #[test]
    fn the_kernels_answer_settles_it() {
        let (start, later) = (ns(NOW - 90 * SECOND), ns(NOW - SECOND));
        let cases = [
            ("gone", held(7, None, SECOND, true), None, Decision::Free),
            ("gone, first packet just seen", held(7, None, SECOND, false), None, Decision::Keep),
            ("gone, first packet long ago", held(7, None, 9 * SECOND, false), None, Decision::Free),
            ("lives", held(7, None, SECOND, true), Some(entry(7, None, None)), Decision::Keep),
            ("a successor lives", held(7, None, SECOND, true), Some(entry(8, None, None)), Decision::Free),
            (
                "a successor with our id lives",
                held(7, start, SECOND, true),
                Some(entry(7, later, None)),
                Decision::Free,
            ),
            ("provisional id", held(7, None, SECOND, false), Some(entry(8, None, None)), Decision::Keep),
        ];
        for (name, held, living, wanted) in cases {
            assert_eq!(decide_by_answer(&held, living.as_ref(), Timestamp::from_micros(NOW)), wanted, "{name}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_keeps_or_asks() {
        let ahead = Held { last_packet: Timestamp::from_micros(NOW + SECOND), ..held(7, None, 0, true) };
        assert_eq!(decide(&ahead, &entry(7, None, None), Timestamp::from_micros(NOW)), Decision::AskKernel);
    }
}
