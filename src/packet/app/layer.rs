//! One flow's application layer: first unknown, then in the hands of one parser, or given up.

mod datagram;
mod kept;
mod recognise;
mod stops;
#[cfg(test)]
mod tests;
pub mod view;

use std::sync::Arc;

use super::expected::{Announcement, Transfer};
use super::file::FileRecord;
use super::frame::{Frames, Marks};
use super::oddity::{self, Oddities, Oddity};
use super::protocols::ftp::data::FtpData;
use super::protocols::{self, ProtocolInfo};
use super::record::AppRecord;
use super::share::Share;
use super::sides::Sides;
use super::transactions::Told;
use super::{AppCounters, ParseContext, Parser, Step};
use crate::packet::pool::MemoryPool;
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::plan::{SideSet, Toward};
use datagram::Aside;
use kept::Kept;
use view::AppView;

/// Bytes that a parser may leave for the next call: a TLS record with its header fits, and so does the longest line that
/// any parser waits for.
const PENDING_BYTES_MAX: usize = 64 << 10;
/// Bytes that a parser may look at again with each packet, and beyond that more than it takes: what it costs stays linear,
/// whatever a parser leaves.
const AGAIN_BYTES_PER_PACKET: usize = 4 << 10;
const AGAIN_BYTES_MAX: usize = 4 << 20;
/// Files that an alert names.
const TOLD_FILE_COUNT_MAX: usize = 16;
/// Changes of protocol on one flow (STARTTLS, CONNECT, upgrade).
const CHANGE_COUNT_MAX: u8 = 4;

/// What hangs on a flow above its transport.
#[derive(Debug, Default)]
pub struct AppLayer {
    state: State,
    /// Before the parser is known: the first bytes. After: what it left for the next call.
    to_server: Kept,
    to_client: Kept,
    /// The side that spoke first.
    opener: Option<Toward>,
    datagrams: u8,
    changes: u8,
    gave_up: bool,
    /// The protocol was found out since the last [`AppLayer::settle`].
    is_new: bool,
    /// The protocol before the last change (EVE `app_proto_orig`), until its transactions are told.
    former: Option<Box<(AppProto, Box<dyn Parser>)>>,
    pub before: Option<AppProto>,
    /// What else datagrams of this flow have spoken.
    aside: Option<Box<Aside>>,
    /// Sides whose files are all stored.
    stored_sides: SideSet,
    /// Sides that nobody reads any more: their stream is beyond its depth, or memory is short.
    unread_sides: SideSet,
    frames: Frames,
    sides: Option<Box<Sides>>,
    /// Since the last [`AppLayer::take_oddities`].
    oddities: Oddities,
    share: Share,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Known {
        protocol: AppProto,
        parser: Box<dyn Parser>,
    },
    /// Known, and nothing more can be read: encrypted, or broken. Transactions stay until they are told.
    Finished {
        protocol: AppProto,
        parser: Box<dyn Parser>,
        opaque: bool,
    },
    /// No protocol that we know.
    Failed,
}

impl AppLayer {
    /// The layer of a connection that another one has announced.
    #[must_use]
    pub fn of_transfer(transfer: Transfer, counters: &mut AppCounters) -> AppLayer {
        if let Some(count) = counters.flows.get_mut(AppProto::FtpData as usize) {
            *count += 1;
        }
        let parser = Box::new(FtpData::of(transfer));
        AppLayer { state: State::Known { protocol: AppProto::FtpData, parser }, ..AppLayer::default() }
    }

    /// The layer of a connection of which it is known what it speaks.
    #[must_use]
    pub fn speaking(info: &'static ProtocolInfo, counters: &mut AppCounters) -> AppLayer {
        let mut layer = AppLayer::default();
        layer.begin(info, counters);
        layer
    }

    /// Connections that this one has announced since the last call.
    pub fn take_announced(&mut self) -> Vec<Announcement> {
        match &mut self.state {
            State::Known { parser, .. } => parser.take_announced(),
            _ => Vec::new(),
        }
    }

    /// The protocol, once it is recognised.
    #[must_use]
    pub fn protocol(&self) -> Option<AppProto> {
        match &self.state {
            State::Known { protocol, .. } | State::Finished { protocol, .. } => Some(*protocol),
            State::Unknown | State::Failed => None,
        }
    }

    /// No protocol was recognised, and none will be.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// A parser has given up since the last call.
    pub fn take_error(&mut self) -> bool {
        std::mem::take(&mut self.gave_up)
    }

    /// What was odd about the connection's protocol since the last call.
    pub fn take_oddities(&mut self) -> Oddities {
        std::mem::take(&mut self.oddities)
    }

    /// Every message that was begun is complete and told.
    #[must_use]
    pub fn is_between_messages(&mut self) -> bool {
        let nothing_left =
            self.to_server.bytes().is_empty() && self.to_client.bytes().is_empty() && self.former.is_none();
        match &mut self.state {
            State::Known { parser, .. } => {
                nothing_left && parser.is_between_messages() && parser.transactions().count() == 0
            }
            _ => false,
        }
    }

    /// The parser says that what follows is encrypted.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        matches!(self.state, State::Finished { opaque: true, .. })
    }

    /// The handshake is over, and the payload tells rules nothing.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match &self.state {
            State::Known { parser, .. } => parser.is_encrypted(),
            State::Finished { parser, opaque, .. } => *opaque || parser.is_encrypted(),
            State::Unknown | State::Failed => false,
        }
    }

    /// What is known of one transaction.
    #[must_use]
    pub fn record(&mut self, id: u64) -> Option<AppRecord> {
        let mut view = self.view()?;
        let at =
            (0..view.count()).find(|at| view.transaction(*at, Toward::Server).is_some_and(|(_, tx)| tx.id == id))?;
        view.transaction(at, Toward::Server)?.1.data.record()
    }

    /// The files that one transaction has carried so far; the first of them, if they are many.
    #[must_use]
    pub fn files(&mut self, id: u64) -> Vec<FileRecord> {
        let mut files = Vec::new();
        let Some(mut view) = self.view() else { return files };
        for at in 0..view.count() {
            match view.transaction(at, Toward::Server) {
                Some((_, tx)) if tx.id == id => {
                    tx.data.each_file(&mut |_, file| {
                        if files.len() < TOLD_FILE_COUNT_MAX {
                            files.push(file.record());
                        }
                    });
                    break;
                }
                _ => {}
            }
        }
        files
    }

    /// The number of the transaction, if there is just one.
    #[must_use]
    pub fn only_transaction(&mut self) -> Option<u64> {
        let mut view = self.view()?;
        if view.transaction_count() != 1 {
            return None;
        }
        view.transaction(0, Toward::Server).map(|(_, tx)| tx.id)
    }

    /// Records that are due; transactions that are done are gone after this.
    pub fn settle(&mut self, ended: bool, emit: &mut dyn FnMut(AppProto, u64, Told)) {
        self.is_new = false;
        self.store_files();
        if let Some(mut former) = self.former.take() {
            let (protocol, parser) = &mut *former;
            parser.transactions().settle(true, SideSet::BOTH, &mut |id, record| emit(*protocol, id, record));
        }
        let unread = self.unread_sides;
        if let Some(aside) = &mut self.aside {
            aside.settle(ended, unread, emit);
        }
        if let Some(AppView { protocol, current, .. }) = self.view() {
            current.settle(ended, unread, &mut |id, record| emit(protocol, id, record));
        }
        self.frames.settle(ended, self.unread_sides);
    }

    /// The files of a flow all of whose files are wanted.
    fn store_files(&mut self) {
        let sides = self.stored_sides;
        if sides == SideSet::default() {
            return;
        }
        let Some(mut view) = self.view() else { return };
        for at in 0..view.count() {
            if let Some((_, tx)) = view.transaction(at, Toward::Server) {
                tx.data.each_file(&mut |toward, file| {
                    if sides.has(toward) {
                        file.store();
                    }
                });
            }
        }
    }

    /// Heap that hangs on it, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let sides = self.sides.as_ref().map_or(0, |sides| size_of_val(&**sides) + sides.heap_bytes());
        let aside = self.aside.as_ref().map_or(0, |aside| aside.heap_bytes());
        let kept = self.to_server.heap_bytes() + self.to_client.heap_bytes() + self.frames.heap_bytes() + sides + aside;
        match &self.state {
            State::Known { parser, .. } | State::Finished { parser, .. } => kept + parser.heap_bytes(),
            State::Unknown | State::Failed => kept,
        }
    }

    /// Takes note of what it holds, and lets go of it if there is no memory for it: the rest of the flow is not parsed.
    pub fn account(&mut self, pool: &Arc<MemoryPool>, counters: &mut AppCounters) {
        let idle = match &mut self.state {
            State::Known { parser, .. } => parser.transactions().count() == 0,
            _ => true,
        };
        if !self.share.is_due(idle) {
            return;
        }
        let bytes = size_of::<AppLayer>() + self.heap_bytes();
        if !self.share.count(pool, bytes) {
            counters.memcap += 1;
            self.former = None;
            self.aside = None;
            self.unread_sides = SideSet::BOTH;
            self.fail(counters);
            self.share.count(pool, size_of::<AppLayer>());
        }
    }

    /// The next bytes of a stream, in order.
    pub fn receive_stream(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        if bytes.is_empty() {
            return;
        }
        self.share.note(bytes.len());
        self.opener.get_or_insert(toward);
        if context.wants_sides && self.before.is_none() {
            let sides = self.sides.get_or_insert_default();
            if sides.hear(toward, bytes, context, enabled) {
                self.oddities.add(Oddity::Mismatch);
            }
        }
        match self.state {
            State::Unknown => self.recognise_stream(toward, bytes, context, enabled, counters),
            State::Known { .. } => self.feed(toward, bytes, context, enabled, counters),
            State::Finished { .. } | State::Failed => {}
        }
    }

    /// `missing` bytes of a stream will never be seen.
    pub fn gap(&mut self, toward: Toward, missing: u64, context: &ParseContext<'_>, counters: &mut AppCounters) {
        if let Some(held) = self.kept(toward).held() {
            held.bytes = Vec::new();
            held.wanted = 0;
            held.stopped_at = None;
        }
        match &mut self.state {
            State::Unknown => self.fail(counters),
            State::Known { parser, .. } => {
                if parser.gap(toward, missing, context) == Step::Failed {
                    counters.parser_errors += 1;
                    self.finish(false);
                }
            }
            State::Finished { .. } | State::Failed => {}
        }
    }

    /// The stream of this side has reached its depth: transactions wait for nothing more that it says.
    pub fn stop_reading(&mut self, toward: Toward) {
        self.unread_sides = self.unread_sides.or(SideSet::of(toward));
    }

    /// See [`Parser::acknowledged`].
    pub fn acknowledged(&mut self, toward: Toward, position: u64) {
        if let State::Known { parser, .. } | State::Finished { parser, .. } = &mut self.state {
            parser.acknowledged(toward, position);
        }
    }

    /// This side says nothing more.
    pub fn close(
        &mut self,
        toward: Toward,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        if let Some(held) = self.kept(toward).held().filter(|held| held.stopped_at.is_some()) {
            held.closes = true;
            return;
        }
        if std::mem::replace(&mut self.kept(toward).closed, true) {
            return;
        }
        let likely = self.kept(toward).likely();
        match &mut self.state {
            State::Known { parser, .. } => parser.close(toward, context),
            State::Unknown if likely.is_some() => self.take_likely(likely, context, enabled, counters),
            State::Unknown if self.to_server.closed && self.to_client.closed => self.fail(counters),
            _ => {}
        }
    }

    fn kept(&mut self, toward: Toward) -> &mut Kept {
        match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        }
    }

    /// Bytes for the parser, after those that it left before.
    fn feed(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let Some(held) = self.kept(toward).held().filter(|held| !held.bytes.is_empty()) else {
            return self.advance(toward, bytes, context, enabled, counters);
        };
        held.bytes.extend_from_slice(bytes);
        if held.stopped_at.is_some() {
            return self.go_on(toward, context, enabled, counters);
        }
        if held.bytes.len() < held.wanted {
            return;
        }
        let again = held.bytes.len().saturating_sub(AGAIN_BYTES_PER_PACKET);
        held.given_again = held.given_again.saturating_add(again);
        if held.given_again > AGAIN_BYTES_MAX {
            counters.parser_errors += 1;
            return self.finish(false);
        }
        let joined = std::mem::take(&mut held.bytes);
        self.advance_in(toward, joined, 0, context, enabled, counters);
    }

    /// One call of the parser. Where in the bytes it has stopped, if that was to let rules judge.
    fn step(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) -> Option<usize> {
        let must_be_tls = self.should_be_tls();
        let State::Known { parser, protocol } = &mut self.state else { return None };
        let from = *protocol;
        if must_be_tls && parser.transactions().count() == 0 && oddity::is_no_tls(toward, bytes, context) {
            counters.parser_errors += 1;
            self.oddities.add(Oddity::NoTls);
            self.finish(false);
            return None;
        }
        let marks = Marks::new(std::mem::take(&mut self.frames));
        let marking = ParseContext { marks: Some(&marks).filter(|_| context.wants_frames), ..*context };
        let step = counted(parser.as_mut(), counters, |parser| parser.parse(toward, bytes, &marking));
        self.frames = marks.into_inner();
        *protocol = parser.refined().unwrap_or(from);
        match step {
            Step::Taken { consumed, wanted } => {
                let rest = bytes.get(consumed..).unwrap_or_default();
                let wants_other_side = parser.wants_other_side();
                let is_crowded = parser.transactions().is_crowded(toward, context.limits.transaction_count_max(from));
                if is_crowded && !rest.is_empty() {
                    return Some(consumed);
                }
                if rest.len() > PENDING_BYTES_MAX || wanted > PENDING_BYTES_MAX {
                    counters.parser_errors += 1;
                    self.finish(false);
                    return None;
                }
                self.kept(toward).leave(consumed, rest, wanted);
                if wants_other_side {
                    self.give_again(toward.other(), context, enabled, counters);
                }
            }
            Step::Changed { consumed, to } => {
                let rest = bytes.get(consumed..).unwrap_or_default();
                self.change(from, to, enabled, counters);
                self.receive_stream(toward, rest, context, enabled, counters);
            }
            Step::Opaque => self.finish(true),
            Step::Failed => {
                if self.should_be_tls() {
                    self.oddities.add(Oddity::NoTls);
                }
                counters.parser_errors += 1;
                self.finish(false);
            }
        }
        None
    }

    /// Whether both sides agreed on TLS in the clear (STARTTLS).
    fn should_be_tls(&self) -> bool {
        let is_tls = matches!(self.state, State::Known { protocol: AppProto::Tls, .. });
        is_tls && self.before.is_some_and(|before| before != AppProto::Http1)
    }

    /// From here on both sides speak something else. The old parser's transactions stay until they are judged and told.
    fn change(&mut self, from: AppProto, to: Option<AppProto>, enabled: AppProtoSet, counters: &mut AppCounters) {
        self.changes = self.changes.saturating_add(1);
        if self.changes > CHANGE_COUNT_MAX {
            return self.finish(false);
        }
        self.before = Some(from);
        self.to_server = Kept::default();
        self.to_client = Kept::default();
        self.opener = None;
        let info = to.filter(|to| enabled.contains(*to)).and_then(protocols::info);
        if let State::Known { protocol, parser } = std::mem::take(&mut self.state) {
            self.former = Some(Box::new((protocol, parser)));
        }
        if let Some(info) = info {
            self.begin(info, counters);
        }
    }

    fn finish(&mut self, opaque: bool) {
        self.gave_up |= !opaque;
        self.to_server.free();
        self.to_client.free();
        if let State::Known { protocol, parser } = std::mem::take(&mut self.state) {
            self.state = State::Finished { protocol, parser, opaque };
        }
    }

    fn fail(&mut self, counters: &mut AppCounters) {
        counters.flows_failed += 1;
        self.to_server.free();
        self.to_client.free();
        self.state = State::Failed;
    }
}

/// One call of a parser, and the transactions that gave way in it.
fn counted(parser: &mut dyn Parser, counters: &mut AppCounters, call: impl FnOnce(&mut dyn Parser) -> Step) -> Step {
    let before = parser.transactions().evicted();
    let step = call(parser);
    let evicted = parser.transactions().evicted().saturating_sub(before);
    counters.transactions_evicted = counters.transactions_evicted.saturating_add(evicted);
    step
}
