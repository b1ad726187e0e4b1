//! What EVE tells of application protocols, as plain data: one variant a protocol, its struct in the protocol's folder.

/// One protocol's account of a transaction. `output::eve` gives it its form.
#[derive(Clone, Debug, PartialEq)]
pub enum AppRecord {}
