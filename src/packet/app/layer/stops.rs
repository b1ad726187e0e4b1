//! Parsers that stop for the rules.
//!
//! More messages than a flow may have transactions can come as one piece. None of them gives way before rules have seen
//! it: the parser stops, the rules judge what it has read, and it goes on.

use super::{AppLayer, State};
use crate::packet::app::{AppCounters, ParseContext};
use crate::rules::app::AppProtoSet;
use crate::rules::plan::Toward;

impl AppLayer {
    /// Bytes of this side wait for rules to judge what came before them: then [`AppLayer::go_on`].
    #[must_use]
    pub fn waits_for_rules(&self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.to_server.is_stopped(),
            Toward::Client => self.to_client.is_stopped(),
        }
    }

    /// The parser goes on where it has stopped. What rules have still not looked at gives way now.
    pub fn go_on(
        &mut self,
        toward: Toward,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let Some(held) = self.kept(toward).held() else { return };
        let Some(at) = held.stopped_at.take() else { return };
        let (bytes, closes) = (std::mem::take(&mut held.bytes), std::mem::take(&mut held.closes));
        if let State::Known { parser, protocol } = &mut self.state {
            let list = parser.transactions();
            if list.is_crowded(toward, context.limits.transaction_count_max(*protocol)) {
                list.make_room();
                counters.transactions_evicted += 1;
            }
        }
        self.advance_in(toward, bytes, at, context, enabled, counters);
        if closes {
            self.close(toward, context, enabled, counters);
        }
    }

    /// Bytes for the parser.
    pub(super) fn advance(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        if let Some(at) = self.step(toward, bytes, context, enabled, counters) {
            self.kept(toward).stop(bytes.get(at..).unwrap_or_default().to_vec(), 0);
        }
    }

    /// Bytes for the parser, which has dealt with those in front of `at`.
    pub(super) fn advance_in(
        &mut self,
        toward: Toward,
        bytes: Vec<u8>,
        at: usize,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some(taken) = self.step(toward, rest, context, enabled, counters) {
            self.kept(toward).stop(bytes, at + taken);
        }
    }

    /// Gives the parser again what it has left of a side.
    pub(super) fn give_again(
        &mut self,
        toward: Toward,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let Some(held) = self.kept(toward).held().filter(|held| held.stopped_at.is_none()) else { return };
        let bytes = std::mem::take(&mut held.bytes);
        if !bytes.is_empty() {
            // Frames are told of the side whose packet this is.
            let context = ParseContext { wants_frames: false, ..*context };
            self.advance_in(toward, bytes, 0, &context, enabled, counters);
        }
    }
}
