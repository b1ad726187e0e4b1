//! Names for what is odd about a stream: what `stream-event` asks for, and the `event` of an EVE `anomaly`.
//!
//! Names are those of Suricata's stream events wherever it has the same one. The place of an event in [`StreamEvent::ALL`]
//! is its bit in [`StreamEvents`].

use std::fmt;

/// Declares each event once: variant, name behind `stream.`, and whether it is worth an EVE record of its own.
macro_rules! stream_events {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $telling:ident;)+) => {
        /// An oddity of one segment in its stream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum StreamEvent {
            $($(#[$doc])* $variant,)+
        }

        impl StreamEvent {
            pub const ALL: &'static [StreamEvent] = &[$(StreamEvent::$variant,)+];

            /// EVE `anomaly.event`: `stream.` and the word of `stream-event`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(StreamEvent::$variant => concat!("stream.", $name),)+
                }
            }

            /// Everyday life on a network is counted and asked for by rules, but not told.
            #[must_use]
            pub fn is_told(self) -> bool {
                match self {
                    $(StreamEvent::$variant => matches!(Telling::$telling, Telling::Told),)+
                }
            }
        }
    };
}

/// Whether an event gets an EVE record of its own.
enum Telling {
    Told,
    Quiet,
}

stream_events! {
    /// Bytes that differ from those that were forwarded before at the same place.
    OverlapDifferentData = "reassembly_overlap_different_data", Told;
    /// Bytes in front of the first one that we know of.
    SegmentBeforeBase = "reassembly_segment_before_base_seq", Quiet;
    /// The receiver has bytes that we never saw.
    SequenceGap = "reassembly_seq_gap", Told;
    DepthReached = "reassembly_depth_reached", Quiet;
    /// All streams together hold as much as they may.
    InsertMemcap = "reassembly_insert_memcap", Told;
    /// This direction holds as much as it may.
    InsertLimit = "reassembly_insert_limit", Told;
    /// More urgent bytes than are kept apart; the others count as inline.
    UrgentLimit = "reassembly_urgent_oob_limit_reached", Told;
    /// Every byte of the segment was forwarded before.
    Retransmission = "pkt_retransmission", Quiet;
    /// The same, of bytes that the receiver has acknowledged.
    SpuriousRetransmission = "pkt_spurious_retransmission", Quiet;
    /// An acknowledgement of bytes that were never sent past us.
    AckUnseen = "pkt_invalid_ack", Quiet;
    /// An acknowledgement number without its flag.
    BrokenAck = "pkt_broken_ack", Quiet;
    /// Another SYN of the same side, with another sequence number.
    SynResendDifferent = "est_syn_resend_diff_seq", Told;
    SynAckResendDifferent = "est_synack_resend_with_diff_seq", Told;
    FinSyn = "fin_syn", Told;
    /// An old retransmission that nothing is left to compare with (ours).
    OverlapUnverified = "reassembly_overlap_unverified", Told;
    /// A side goes on after its own RST: somebody else may have sent that.
    SuspectedRstInject = "suspected_rst_inject", Told;
    /// Bytes behind the sender's FIN (ours).
    DataAfterFin = "data_after_fin", Told;
    /// Bytes behind the sender's RST (ours).
    DataAfterReset = "data_after_rst", Told;
    /// A SYN with data, as TCP Fast Open sends it (ours).
    SynData = "syn_data", Quiet;
}

impl StreamEvent {
    /// The event of a `stream-event` word, with or without `stream.` in front.
    #[must_use]
    pub fn of_name(word: &str) -> Option<StreamEvent> {
        let word = word.strip_prefix("stream.").unwrap_or(word);
        StreamEvent::ALL.iter().copied().find(|event| event.name().strip_prefix("stream.") == Some(word))
    }
}

/// The events of one segment: a set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamEvents(u32);

const _: () = assert!(StreamEvent::ALL.len() <= 32, "StreamEvents is a set of 32 bits");

impl StreamEvents {
    pub const NONE: StreamEvents = StreamEvents(0);

    pub fn add(&mut self, event: StreamEvent) {
        self.0 |= 1 << (event as u8);
    }

    pub fn add_all(&mut self, others: StreamEvents) {
        self.0 |= others.0;
    }

    #[must_use]
    pub fn has(self, event: StreamEvent) -> bool {
        self.0 & 1 << (event as u8) != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are not in `others`.
    #[must_use]
    pub fn without(self, others: StreamEvents) -> StreamEvents {
        StreamEvents(self.0 & !others.0)
    }

    pub fn iter(self) -> impl Iterator<Item = StreamEvent> {
        let candidates = if self.is_empty() { [].as_slice() } else { StreamEvent::ALL };
        candidates.iter().copied().filter(move |event| self.has(*event))
    }
}

impl fmt::Debug for StreamEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(StreamEvent::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_found_by_its_name() {
        let mut all = StreamEvents::NONE;
        for event in StreamEvent::ALL {
            assert_eq!(StreamEvent::of_name(event.name()), Some(*event));
            assert!(!all.has(*event));
            all.add(*event);
        }
        assert_eq!(all.iter().collect::<Vec<_>>(), StreamEvent::ALL);
        assert_eq!(StreamEvent::of_name("reassembly_seq_gap"), Some(StreamEvent::SequenceGap));
        assert_eq!(StreamEvent::of_name("no_such_thing"), None);
    }
}
