//! What EVE tells of DNS.

use std::sync::Arc;

use super::message::Message;

/// One DNS message, or one query of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    pub tx_id: u64,
    pub message: Arc<Message>,
    pub form: Form,
}

/// The same of LLMNR, whose messages are DNS's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmnrRecord(pub DnsRecord);

/// And of mDNS (RFC 6762).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdnsRecord(pub DnsRecord);

/// Which of Suricata's forms the record takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An event of its own for the query at this place.
    Query(usize),
    /// An event of its own for a response.
    Answer,
    /// Beside an alert, a request.
    AlertedQuery,
    /// Beside an alert, a response.
    AlertedAnswer,
}
