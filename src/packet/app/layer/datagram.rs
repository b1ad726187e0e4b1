//! A flow of datagrams: each says by itself what it is, and none decides for those that follow.

use super::{AppLayer, State, counted};
use crate::packet::app::frame::Marks;
use crate::packet::app::protocols::{self, Guess, ProtocolInfo, Recognised, Transport};
use crate::packet::app::transactions::Told;
use crate::packet::app::{AppCounters, ParseContext, Parser, Step};
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::plan::{SideSet, Toward};

/// Datagrams of which none was recognised, until the flow is told to be of no protocol. Later ones are asked all the same.
const DATAGRAM_COUNT_MAX: u8 = 4;

/// Parsers that the flow does not need just now: one a protocol at most, each with what it knows so far. So a datagram of
/// something else in between makes no parser forget, and costs no memory twice.
#[derive(Debug, Default)]
pub(super) struct Aside {
    parsers: Vec<(AppProto, Box<dyn Parser>)>,
}

impl Aside {
    fn take(&mut self, protocol: AppProto) -> Option<Box<dyn Parser>> {
        let at = self.parsers.iter().position(|(known, _)| *known == protocol)?;
        Some(self.parsers.swap_remove(at).1)
    }

    /// Rules have seen their transactions; what is left is to tell of them.
    pub fn settle(&mut self, ended: bool, unread: SideSet, emit: &mut dyn FnMut(AppProto, u64, Told)) {
        for (protocol, parser) in &mut self.parsers {
            parser.transactions().settle(ended, unread, &mut |id, told| emit(*protocol, id, told));
        }
    }

    pub fn heap_bytes(&self) -> usize {
        size_of::<Aside>() + self.parsers.iter().map(|(_, parser)| parser.heap_bytes()).sum::<usize>()
    }
}

impl AppLayer {
    /// One datagram of a UDP flow.
    pub fn receive_datagram(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        if bytes.is_empty() || self.unread_sides.has(toward) {
            return;
        }
        self.share.note(bytes.len());
        self.opener.get_or_insert(toward);
        if !self.is_read_by_own(toward, bytes, context) {
            self.recognise_datagram(toward, bytes, context, enabled, counters);
        }
        if let State::Known { parser, protocol } = &mut self.state {
            let list = parser.transactions();
            if list.is_crowded(toward, context.limits.transaction_count_max(*protocol)) {
                list.make_room();
                counters.transactions_evicted += 1;
            }
            let marks = Marks::new(std::mem::take(&mut self.frames));
            let marking = ParseContext { marks: Some(&marks).filter(|_| context.wants_frames), ..*context };
            // A datagram that cannot be read says nothing of the next.
            let step = counted(parser.as_mut(), counters, |parser| parser.parse(toward, bytes, &marking));
            self.frames = marks.into_inner();
            let is_crowded = parser.transactions().is_crowded(toward, context.limits.transaction_count_max(*protocol));
            match step {
                Step::Opaque => self.finish(true),
                Step::Failed => counters.datagrams_unread += 1,
                Step::Taken { consumed, .. } if is_crowded && consumed < bytes.len() => {
                    self.kept(toward).stop(bytes.get(consumed..).unwrap_or_default().to_vec(), 0);
                }
                Step::Taken { .. } | Step::Changed { .. } => {}
            }
        }
    }

    /// The flow's parser knows it, or both sides have agreed on what only they can read.
    fn is_read_by_own(&self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> bool {
        match &self.state {
            State::Known { protocol, parser } => {
                let info = protocols::info_over(Transport::Udp, *protocol);
                parser.is_encrypted() || info.is_some_and(|info| (info.recognise)(toward, bytes, context) == Guess::Yes)
            }
            State::Finished { .. } => true,
            State::Unknown | State::Failed => false,
        }
    }

    fn recognise_datagram(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        match protocols::recognise(Transport::Udp, toward, bytes, context, enabled) {
            Recognised::As(info) | Recognised::NotYet { likely: Some(info) } => self.read_as(info, counters),
            Recognised::NotYet { likely: None } | Recognised::Never => {
                self.datagrams = self.datagrams.saturating_add(1);
                if matches!(self.state, State::Unknown) && self.datagrams >= DATAGRAM_COUNT_MAX {
                    self.fail(counters);
                }
            }
        }
    }

    /// The parser of that protocol, as it was left, or a new one.
    fn read_as(&mut self, info: &'static ProtocolInfo, counters: &mut AppCounters) {
        if self.protocol() == Some(info.protocol) {
            return;
        }
        if let State::Known { protocol, parser } = std::mem::take(&mut self.state) {
            counters.protocol_changes += 1;
            self.before = Some(protocol);
            self.aside.get_or_insert_default().parsers.push((protocol, parser));
        }
        match self.aside.as_mut().and_then(|aside| aside.take(info.protocol)) {
            Some(parser) => {
                self.is_new = true;
                self.state = State::Known { protocol: info.protocol, parser };
            }
            None => self.begin(info, counters),
        }
    }
}
