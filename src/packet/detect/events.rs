//! What the decoder has found odd, in the rule language's words.

use std::sync::LazyLock;

use crate::packet::app::{Oddities, Oddity};
use crate::packet::decode::anomaly::{Anomalies, Anomaly};
use crate::packet::stream::events::{StreamEvent, StreamEvents};
use crate::rules::events::{PacketEvent, PacketEvents};

/// The events of a packet's anomalies.
#[must_use]
pub fn of(anomalies: Anomalies) -> PacketEvents {
    static EVENTS: LazyLock<Box<[Option<PacketEvent>]>> =
        LazyLock::new(|| Anomaly::ALL.iter().map(|anomaly| PacketEvent::named(anomaly.name())).collect());
    let mut events = PacketEvents::NONE;
    // Without an anomaly, which is the rule, this is one comparison.
    for anomaly in anomalies.iter() {
        if let Some(event) = EVENTS.get(anomaly as usize).copied().flatten() {
            events.add(event);
        }
    }
    events
}

/// The events of a segment's place in its stream.
#[must_use]
pub fn of_stream(found: StreamEvents) -> PacketEvents {
    static EVENTS: LazyLock<Box<[Option<PacketEvent>]>> =
        LazyLock::new(|| StreamEvent::ALL.iter().map(|event| PacketEvent::named(event.name())).collect());
    let mut events = PacketEvents::NONE;
    for event in found.iter() {
        if let Some(event) = EVENTS.get(event as usize).copied().flatten() {
            events.add(event);
        }
    }
    events
}

/// The events of what is odd about a connection's protocol.
#[must_use]
pub fn of_app(found: Oddities) -> PacketEvents {
    let mut events = PacketEvents::NONE;
    let odd = Oddity::ALL.into_iter().filter(|oddity| found.has(*oddity));
    odd.filter_map(|oddity| PacketEvent::named(oddity.name())).for_each(|event| events.add(event));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::events::EVENTS;

    #[test]
    fn the_table_says_what_the_decoder_can_raise() {
        for anomaly in Anomaly::ALL {
            let event = PacketEvent::named(anomaly.name()).unwrap();
            assert!(event.is_raised(), "{}", anomaly.name());
            let mut one = Anomalies::NONE;
            one.add(*anomaly);
            assert!(of(one).has(event));
        }
        let raised = EVENTS.iter().filter(|event| event.raised && event.name.starts_with("decoder."));
        assert_eq!(raised.count(), Anomaly::ALL.len());
    }

    #[test]
    fn the_table_says_what_the_stream_can_raise() {
        for event in StreamEvent::ALL {
            let named = PacketEvent::named(event.name());
            assert!(named.is_some_and(PacketEvent::is_raised), "{}", event.name());
            let mut one = StreamEvents::NONE;
            one.add(*event);
            assert!(of_stream(one).has(named.unwrap()));
        }
        let raised = EVENTS.iter().filter(|event| event.raised && event.name.starts_with("stream."));
        assert_eq!(raised.count(), StreamEvent::ALL.len());
    }

    #[test]
    fn the_table_says_what_the_application_layer_can_raise() {
        for oddity in Oddity::ALL {
            let named = PacketEvent::named(oddity.name());
            assert!(named.is_some_and(PacketEvent::is_raised), "{}", oddity.name());
            let mut one = Oddities::default();
            one.add(oddity);
            assert!(of_app(one).has(named.unwrap()));
        }
        let raised = EVENTS.iter().filter(|event| event.raised && event.name.starts_with("applayer_"));
        assert_eq!(raised.count(), Oddity::ALL.len());
    }
}
