//! What one worker has seen of streams. EVE names them under `stats.tcp`.

use super::{Arrival, Data, Segment};
use crate::packet::decode::Tcp;
use crate::packet::stream::events::StreamEvent;

/// Sums over all segments. Names are Suricata's `tcp.*` where it has the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Connections that were followed.
    pub sessions: u64,
    pub syn: u64,
    pub synack: u64,
    pub rst: u64,
    /// Connections that were followed from their middle.
    pub midstream_pickups: u64,
    pub ack_unseen_data: u64,
    /// Segments that were not held because all streams together hold as much as they may.
    pub segment_memcap_drop: u64,
    /// The same because their direction does.
    pub insert_data_normal_fail: u64,
    pub stream_depth_reached: u64,
    pub reassembly_gap: u64,
    pub overlap: u64,
    pub overlap_diff_data: u64,
    /// Old bytes that nothing was left to compare with.
    pub overlap_unverified: u64,
    pub urgent_oob_data: u64,
    /// Segments that came ahead of their turn.
    pub queued: u64,
}

impl StreamCounters {
    /// Counts one judged segment.
    pub fn count(&mut self, segment: &Segment<'_>, arrival: &Arrival) {
        let opens = segment.has(Tcp::SYN);
        let answers = segment.has(Tcp::ACK);
        self.syn += u64::from(opens && !answers);
        self.synack += u64::from(opens && answers);
        self.rst += u64::from(segment.has(Tcp::RST));
        self.urgent_oob_data += u64::from(arrival.urgent);
        self.queued += u64::from(arrival.data == Data::Queued);
        self.overlap += u64::from(arrival.overlap);
        self.segment_memcap_drop += u64::from(arrival.memcap);
        self.insert_data_normal_fail += u64::from(arrival.limit);
        self.stream_depth_reached += u64::from(arrival.depth_reached);
        self.reassembly_gap += u64::from(arrival.gap.is_some());
        let events = arrival.events;
        self.ack_unseen_data += u64::from(events.has(StreamEvent::AckUnseen));
        self.overlap_diff_data += u64::from(events.has(StreamEvent::OverlapDifferentData));
        self.overlap_unverified += u64::from(events.has(StreamEvent::OverlapUnverified));
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: &StreamCounters) {
        let StreamCounters {
            sessions,
            syn,
            synack,
            rst,
            midstream_pickups,
            ack_unseen_data,
            segment_memcap_drop,
            insert_data_normal_fail,
            stream_depth_reached,
            reassembly_gap,
            overlap,
            overlap_diff_data,
            overlap_unverified,
            urgent_oob_data,
            queued,
        } = other;
        self.sessions += sessions;
        self.syn += syn;
        self.synack += synack;
        self.rst += rst;
        self.midstream_pickups += midstream_pickups;
        self.ack_unseen_data += ack_unseen_data;
        self.segment_memcap_drop += segment_memcap_drop;
        self.insert_data_normal_fail += insert_data_normal_fail;
        self.stream_depth_reached += stream_depth_reached;
        self.reassembly_gap += reassembly_gap;
        self.overlap += overlap;
        self.overlap_diff_data += overlap_diff_data;
        self.overlap_unverified += overlap_unverified;
        self.urgent_oob_data += urgent_oob_data;
        self.queued += queued;
    }
}
