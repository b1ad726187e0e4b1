//! How long and how much a connection has been, for the rules that ask.

use crate::packet::conntrack::Counters;
use crate::packet::decode::Tcp;
use crate::rules::plan::{FlowMeasure, NumberTest, Sides};

/// Where one side's TCP stream began and how far it has come, by its own sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSpan {
    /// The sequence number of the SYN, and what would be sent next.
    ends: Option<(u32, u32)>,
}

impl StreamSpan {
    /// Takes note of one segment. A stream whose SYN was not seen begins with what was seen first.
    pub fn note(&mut self, tcp: &Tcp<'_>, payload_len: usize) {
        let syn = tcp.flags & Tcp::SYN != 0;
        if !syn && payload_len == 0 && self.ends.is_none() && tcp.flags & Tcp::ACK == 0 {
            return;
        }
        let first = if syn { tcp.seq } else { tcp.seq.wrapping_sub(1) };
        let length = u32::try_from(payload_len).unwrap_or(u32::MAX);
        let end = tcp.seq.wrapping_add(u32::from(syn)).wrapping_add(length);
        self.ends = Some(match self.ends {
            Some((isn, next)) if end.wrapping_sub(next) < 1 << 31 => (isn, end),
            Some(ends) => ends,
            None => (first, end),
        });
    }

    /// Bytes so far, the SYN counted as one; 0 before the side has spoken.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.ends.map_or(0, |(isn, next)| next.wrapping_sub(isn))
    }
}

/// All that [`FlowMeasure`] asks about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub age_seconds: u64,
    pub to_server: Counters,
    pub to_client: Counters,
    /// Sizes of the streams toward server and client; `None`: this is no TCP connection.
    pub streams: Option<(u32, u32)>,
}

impl Measured {
    #[must_use]
    pub fn accepts(&self, measure: FlowMeasure) -> bool {
        match measure {
            FlowMeasure::Age(test) => test.accepts(self.age_seconds),
            FlowMeasure::Packets(sides, test) => compare(sides, test, self.to_server.packets, self.to_client.packets),
            FlowMeasure::Bytes(sides, test) => compare(sides, test, self.to_server.bytes, self.to_client.bytes),
            FlowMeasure::StreamSize(sides, test) => self
                .streams
                .is_some_and(|(to_server, to_client)| compare(sides, test, u64::from(to_server), u64::from(to_client))),
        }
    }
}

fn compare(sides: Sides, test: NumberTest, to_server: u64, to_client: u64) -> bool {
    match sides {
        Sides::ToServer => test.accepts(to_server),
        Sides::ToClient => test.accepts(to_client),
        Sides::Both => test.accepts(to_server) && test.accepts(to_client),
        Sides::Either => test.accepts(to_server) || test.accepts(to_client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(seq: u32, flags: u8) -> Tcp<'static> {
        Tcp {
            src_port: 1,
            dst_port: 2,
            seq,
            ack: 0,
            flags,
            reserved: 0,
            window: 0,
            checksum: 0,
            urgent: 0,
            options: &[],
            header: &[],
        }
    }

    #[test]
    fn a_stream_grows_by_what_is_new() {
        let mut span = StreamSpan::default();
        assert_eq!(span.size(), 0);
        // The sequence numbers wrap.
        span.note(&segment(u32::MAX - 2, Tcp::SYN), 0);
        assert_eq!(span.size(), 1);
        span.note(&segment(u32::MAX - 1, Tcp::ACK), 10);
        assert_eq!(span.size(), 11);
        span.note(&segment(u32::MAX - 1, Tcp::ACK), 10);
        assert_eq!(span.size(), 11, "sent again");
        span.note(&segment(8, Tcp::ACK | Tcp::FIN), 5);
        assert_eq!(span.size(), 16);
        span.note(&segment(8, Tcp::RST), 0);
        assert_eq!(span.size(), 16);
    }

    #[test]
    fn midstream_begins_with_the_first_segment() {
        let mut span = StreamSpan::default();
        span.note(&segment(100, Tcp::ACK), 20);
        assert_eq!(span.size(), 21);
    }

    #[test]
    fn sides_are_compared_as_asked() {
        let measured = Measured { streams: Some((10, 20)), ..Measured::default() };
        let size = |sides, test| measured.accepts(FlowMeasure::StreamSize(sides, test));
        assert!(size(Sides::ToServer, NumberTest::Equal(10)) && !size(Sides::ToClient, NumberTest::Equal(10)));
        assert!(size(Sides::Both, NumberTest::Less(21)) && !size(Sides::Both, NumberTest::Less(20)));
        assert!(size(Sides::Either, NumberTest::Less(20)) && !size(Sides::Either, NumberTest::Less(10)));
        assert!(!Measured::default().accepts(FlowMeasure::StreamSize(Sides::Both, NumberTest::Equal(0))), "no TCP");
    }
}
