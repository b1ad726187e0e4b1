//! What is counted of the application layer.

use crate::rules::app::AppProto;

/// What workers have counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppCounters {
    /// Flows by recognised protocol, in the order of [`AppProto::ALL`].
    pub flows: [u64; AppProto::ALL.len()],
    pub flows_failed: u64,
    /// Parsers that gave up after they had begun.
    pub parser_errors: u64,
    pub transactions_evicted: u64,
    /// Datagrams that the parser of their flow could not read.
    pub datagrams_unread: u64,
    /// Datagrams that spoke something else than the one before them.
    pub protocol_changes: u64,
    /// Flows that were given up because all of them together held too much.
    pub memcap: u64,
}

impl Default for AppCounters {
    fn default() -> Self {
        AppCounters {
            flows: [0; AppProto::ALL.len()],
            flows_failed: 0,
            parser_errors: 0,
            transactions_evicted: 0,
            datagrams_unread: 0,
            protocol_changes: 0,
            memcap: 0,
        }
    }
}

impl AppCounters {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &AppCounters) {
        let AppCounters {
            flows,
            flows_failed,
            parser_errors,
            transactions_evicted,
            datagrams_unread,
            protocol_changes,
            memcap,
        } = other;
        for (sum, count) in self.flows.iter_mut().zip(flows) {
            *sum = sum.saturating_add(*count);
        }
        self.flows_failed = self.flows_failed.saturating_add(*flows_failed);
        self.parser_errors = self.parser_errors.saturating_add(*parser_errors);
        self.transactions_evicted = self.transactions_evicted.saturating_add(*transactions_evicted);
        self.datagrams_unread = self.datagrams_unread.saturating_add(*datagrams_unread);
        self.protocol_changes = self.protocol_changes.saturating_add(*protocol_changes);
        self.memcap = self.memcap.saturating_add(*memcap);
    }
}
