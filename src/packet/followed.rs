//! A TCP segment on its way through the stages.

use super::app::{AppCounters, AppLayer, ParseContext};
use super::detect::PayloadPlace;
use super::stream::{Arrival, Data, Segment, StreamView, Streams};
use super::verdict::{Action, Verdict};
use crate::rules::app::AppProtoSet;

/// A segment, where it stands in its stream, and what that asks for.
pub struct Followed<'p> {
    pub segment: Segment<'p>,
    pub arrival: Arrival,
    /// What policy says of its place, whatever the rules say.
    pub by_stream: Verdict,
    /// The connection was encrypted before it came.
    pub hidden: bool,
}

impl Followed<'_> {
    #[must_use]
    pub fn view<'s>(&'s self, streams: &'s Streams) -> Option<StreamView<'s>> {
        streams.view(&self.segment, &self.arrival)
    }

    #[must_use]
    pub fn payload_place(&self) -> PayloadPlace {
        match self.arrival.data {
            _ if self.hidden => PayloadPlace::Hidden,
            Data::Beyond => PayloadPlace::Hidden,
            _ if self.arrival.look_at_packet() => PayloadPlace::Alone,
            _ if self.arrival.shows_payload() => PayloadPlace::Shown,
            Data::Old => PayloadPlace::Repeated,
            _ => PayloadPlace::InStream,
        }
    }

    /// Gives the application layer what the segment adds. What the stream itself lets nobody have is not told.
    pub fn feed(
        &mut self,
        streams: &Streams,
        app: &mut Option<Box<AppLayer>>,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let Followed { segment, arrival, by_stream, .. } = self;
        if by_stream.action != Action::Accept {
            return;
        }
        let toward = segment.toward;
        if let (Some(missing), Some(app)) = (arrival.gap, app.as_mut()) {
            app.gap(toward, missing, context, counters);
        }
        let fresh = streams.fresh(segment, arrival);
        if !fresh.is_empty() {
            app.get_or_insert_default().receive_stream(toward, fresh, context, enabled, counters);
        }
        if let (true, Some(app)) = (arrival.ended, app.as_mut()) {
            app.close(toward, context, enabled, counters);
        }
    }
}
