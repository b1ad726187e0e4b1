//! What EVE tells of application protocols, as plain data: one variant a protocol, its struct in the protocol's folder.

use super::protocols::dns::record::DnsRecord;

/// One protocol's account of a transaction. `output::eve` gives it its form.
#[derive(Clone, Debug, PartialEq)]
pub enum AppRecord {
    Dns(Box<DnsRecord>),
}

impl AppRecord {
    /// EVE `event_type`; the object of the record has the same name.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            AppRecord::Dns(_) => "dns",
        }
    }
}

/// Every `event_type` that a record may have, in alphabetical order.
pub const EVENT_TYPES: &[&str] = &["dns"];
