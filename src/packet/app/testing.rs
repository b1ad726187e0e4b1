//! For parsers' tests: a conversation through [`AppLayer`], and all that rules and EVE could see of it.

use std::collections::BTreeSet;

use super::{AppCounters, AppLayer, AppLimits, AppRecord, Hashes, ParseContext, Told};
use crate::packet::ingress::Timestamp;
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// Bytes of one side, in order.
pub type Chunk = (Toward, Vec<u8>);

#[derive(Debug)]
pub struct Conversation {
    pub app: AppLayer,
    pub counters: AppCounters,
    pub client_port: u16,
    pub server_port: u16,
    pub limits: AppLimits,
    pub wants_frames: bool,
    pub wants_sides: bool,
    /// Bytes of the stream so far.
    pub said_to_server: u64,
    pub said_to_client: u64,
    /// Transactions that rules have looked at, by number.
    pub judged: BTreeSet<u64>,
}

impl Conversation {
    pub fn with(server_port: u16) -> Conversation {
        Conversation {
            app: AppLayer::default(),
            counters: AppCounters::default(),
            client_port: 40_000,
            server_port,
            limits: AppLimits::default(),
            wants_frames: false,
            wants_sides: false,
            said_to_server: 0,
            said_to_client: 0,
            judged: BTreeSet::new(),
        }
    }

    pub fn stream(&mut self, toward: Toward, bytes: &[u8]) -> &mut Conversation {
        self.say(toward, bytes, false)
    }

    pub fn datagram(&mut self, toward: Toward, bytes: &[u8]) -> &mut Conversation {
        self.say(toward, bytes, true)
    }

    /// Bytes of this side that will never be seen.
    pub fn gap(&mut self, toward: Toward, missing: u64) -> &mut Conversation {
        let limits = self.limits;
        self.app.gap(toward, missing, &context(&limits, self.client_port, self.server_port), &mut self.counters);
        self
    }

    /// The receiver acknowledges the first `position` bytes of this side, as in a recording.
    pub fn acknowledge(&mut self, toward: Toward, position: u64) -> &mut Conversation {
        self.app.acknowledged(toward, position);
        self
    }

    fn say(&mut self, toward: Toward, bytes: &[u8], datagram: bool) -> &mut Conversation {
        let limits = self.limits;
        let said = match toward {
            Toward::Server => &mut self.said_to_server,
            Toward::Client => &mut self.said_to_client,
        };
        *said += if datagram { 0 } else { bytes.len() as u64 };
        let position = *said;
        let (wants_frames, wants_sides) = (self.wants_frames, self.wants_sides);
        let context = ParseContext {
            position,
            wants_frames,
            wants_sides,
            ..context(&limits, self.client_port, self.server_port)
        };
        let enabled = AppProtoSet::of(&AppProto::ALL);
        match datagram {
            true => self.app.receive_datagram(toward, bytes, &context, enabled, &mut self.counters),
            false => self.app.receive_stream(toward, bytes, &context, enabled, &mut self.counters),
        }
        while self.app.waits_for_rules(toward) {
            self.judge(toward);
            self.app.go_on(toward, &context, enabled, &mut self.counters);
        }
        self
    }

    /// Rules have looked at all that there is.
    fn judge(&mut self, toward: Toward) {
        let Some(mut view) = self.app.view() else { return };
        for at in 0..view.count() {
            if let Some((_, tx)) = view.transaction(at, toward) {
                tx.inspection.seen_version = tx.version;
                self.judged.insert(tx.id);
            }
        }
    }

    /// Of how many transactions rules see what comes in one piece, where a flow may have two.
    pub fn judged_of_burst(&mut self, toward: Toward, bytes: &[u8], datagram: bool) -> usize {
        self.judge(toward);
        let before = self.judged.len();
        self.limits.transaction_count_max = 2;
        self.say(toward, bytes, datagram);
        self.judge(toward);
        assert_eq!(self.counters.parser_errors, 0);
        self.judged.len() - before
    }

    /// The instances of a buffer in the `at`th transaction, as text.
    pub fn buffers(&mut self, at: usize, buffer: Buffer, toward: Toward) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(mut view) = self.app.view()
            && let Some((_, tx)) = view.transaction(at, toward)
        {
            while let Some(bytes) = tx.data.buffer(buffer, toward, found.len()) {
                found.push(bytes.escape_ascii().to_string());
            }
        }
        found
    }

    pub fn events(&mut self) -> Vec<&'static str> {
        let Some(mut view) = self.app.view() else { return Vec::new() };
        let count = view.count();
        let mut events = Vec::new();
        for at in 0..count {
            if let Some((_, tx)) = view.transaction(at, Toward::Server) {
                events.extend_from_slice(tx.data.events());
            }
        }
        events
    }

    /// The records that are due now, as `event_type` and their text.
    pub fn records(&mut self, ended: bool) -> Vec<String> {
        let mut records = Vec::new();
        self.app.settle(ended, &mut |_, id, told| {
            if let Told::Record(record) = told {
                records.push(format!("{id} {record:?}"));
            }
        });
        records
    }

    /// The records that are due now.
    pub fn told(&mut self, ended: bool) -> Vec<AppRecord> {
        let mut records = Vec::new();
        self.app.settle(ended, &mut |_, _, told| {
            if let Told::Record(record) = told {
                records.push(record);
            }
        });
        records
    }

    /// Everything that can be seen: buffers and events of each transaction, then its records.
    pub fn everything(&mut self) -> Vec<String> {
        let mut seen = vec![format!("{:?}", self.app.protocol())];
        let count = self.app.view().map_or(0, |view| view.count());
        for at in 0..count {
            for (buffer, info) in Buffer::all().filter(|(buffer, _)| buffer.is_app()) {
                for toward in [Toward::Server, Toward::Client] {
                    let found = self.buffers(at, buffer, toward);
                    if !found.is_empty() {
                        seen.push(format!("{at} {} {toward:?} {found:?}", info.name));
                    }
                }
            }
        }
        seen.push(format!("{:?}", self.events()));
        seen.extend(self.records(true));
        seen
    }
}

pub fn context(limits: &AppLimits, client_port: u16, server_port: u16) -> ParseContext<'_> {
    let hashes = Hashes { md5: true, ..Hashes::default() };
    let client = std::net::IpAddr::from([10, 0, 0, 1]);
    ParseContext {
        position: 0,
        now: Timestamp::from_micros(0),
        client,
        client_port,
        server_port,
        limits,
        wants_frames: false,
        wants_sides: false,
        marks: None,
        hashes,
        heard: &[],
    }
}

/// What a TCP conversation shows, its turns cut at `cuts` (each a share of the turn's length, in 1/256).
pub fn cut_up(server_port: u16, turns: &[Chunk], cuts: &[u8]) -> Vec<String> {
    let mut conversation = Conversation::with(server_port);
    let mut cuts = cuts.iter().cycle();
    for (toward, bytes) in turns {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let share = cuts.next().map_or(255, |cut| usize::from(*cut));
            let (head, tail) = rest.split_at((rest.len() * share / 256).clamp(1, rest.len()));
            conversation.stream(*toward, head);
            rest = tail;
        }
    }
    conversation.everything()
}

/// What it shows when each turn comes in one piece.
pub fn whole(server_port: u16, turns: &[Chunk]) -> Vec<String> {
    let mut conversation = Conversation::with(server_port);
    for (toward, bytes) in turns {
        conversation.stream(*toward, bytes);
    }
    conversation.everything()
}
