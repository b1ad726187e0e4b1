//! From first bytes to a parser: what the sides say is kept until it is clear what they speak.

use super::{AppLayer, State};
use crate::packet::app::oddity::{Oddity, is_begun_by_client};
use crate::packet::app::protocols::{self, ProtocolInfo, Recognised};
use crate::packet::app::{AppCounters, ParseContext};
use crate::rules::app::AppProtoSet;
use crate::rules::plan::Toward;

/// First bytes of each side that are kept while the protocol is unknown.
const HEAD_BYTES_MAX: usize = 2048;

impl AppLayer {
    pub(super) fn recognise_stream(
        &mut self,
        toward: Toward,
        bytes: &[u8],
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let (kept, other) = match toward {
            Toward::Server => (&mut self.to_server, &self.to_client),
            Toward::Client => (&mut self.to_client, &self.to_server),
        };
        let is_first = kept.bytes().is_empty() && other.bytes().is_empty();
        let context_here = ParseContext { heard: other.bytes(), ..*context };
        let recognise = |bytes: &[u8]| recognise(toward, bytes, &context_here, enabled);
        let guess = is_first.then(|| recognise(bytes));
        if let Some(Recognised::As(info)) = guess {
            // Most say at once what they speak, and nothing need be kept.
            self.begin(info, counters);
            return self.advance(toward, bytes, context, enabled, counters);
        }
        let held = kept.held_mut();
        held.bytes.extend_from_slice(bytes);
        if held.bytes.len() >= HEAD_BYTES_MAX {
            // Servers of text skip empty lines, any number of them.
            let empty = held.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            held.bytes.drain(..empty);
        }
        match guess.unwrap_or_else(|| recognise(&held.bytes)) {
            Recognised::NotYet { likely } if held.bytes.len() < HEAD_BYTES_MAX => {
                held.likely = likely;
                self.recognise_again(toward, context, enabled, counters);
            }
            Recognised::As(info) | Recognised::NotYet { likely: Some(info) } => {
                self.begin(info, counters);
                self.replay_heads(context, enabled, counters);
            }
            Recognised::NotYet { likely: None } | Recognised::Never => {
                let over = held.bytes.len() >= HEAD_BYTES_MAX;
                kept.hopeless = true;
                // What one side says may only be recognised from the other's answer; a head of it is enough to parse.
                if over || (self.to_server.hopeless && self.to_client.hopeless) {
                    self.fail(counters);
                }
            }
        }
    }

    /// What this side has said may explain what the other said before it.
    fn recognise_again(
        &mut self,
        heard: Toward,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        let (toward, heard, said) = match heard {
            Toward::Client => (Toward::Server, &self.to_client, &self.to_server),
            Toward::Server => (Toward::Client, &self.to_server, &self.to_client),
        };
        let context_there = ParseContext { heard: heard.bytes(), ..*context };
        if !said.bytes().is_empty()
            && let Recognised::As(info) = recognise(toward, said.bytes(), &context_there, enabled)
        {
            self.begin(info, counters);
            self.replay_heads(context, enabled, counters);
        }
    }

    /// Nothing more will rule out what this side seems to speak.
    pub(super) fn take_likely(
        &mut self,
        likely: Option<&'static ProtocolInfo>,
        context: &ParseContext<'_>,
        enabled: AppProtoSet,
        counters: &mut AppCounters,
    ) {
        if let Some(info) = likely {
            self.begin(info, counters);
            self.replay_heads(context, enabled, counters);
        }
    }

    pub(super) fn begin(&mut self, info: &'static ProtocolInfo, counters: &mut AppCounters) {
        if let Some(count) = counters.flows.get_mut(info.protocol as usize) {
            *count += 1;
        }
        if self.opener == Some(Toward::Client) && self.before.is_none() && is_begun_by_client(info.protocol) {
            self.oddities.add(Oddity::WrongDirection);
        }
        self.is_new = true;
        self.state = State::Known { protocol: info.protocol, parser: (info.parser)() };
    }

    /// Gives the parser what both sides said before they were understood, the first speaker's bytes first.
    fn replay_heads(&mut self, context: &ParseContext<'_>, enabled: AppProtoSet, counters: &mut AppCounters) {
        let first = self.opener.unwrap_or(Toward::Server);
        let second = first.other();
        for toward in [first, second] {
            let head = std::mem::take(self.kept(toward));
            if !head.bytes().is_empty() {
                self.feed(toward, head.bytes(), context, enabled, counters);
            }
            if head.closed {
                self.close(toward, context, enabled, counters);
            }
        }
    }
}

fn recognise(toward: Toward, bytes: &[u8], context: &ParseContext<'_>, enabled: AppProtoSet) -> Recognised {
    protocols::recognise(protocols::Transport::Tcp, toward, bytes, context, enabled)
}
