//! Events out: EVE records and the bounded sink.

pub mod spec;
