//! Names for what is odd about a packet's headers.

/// An oddity found while decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anomaly {
    Ipv4Truncated,
}
