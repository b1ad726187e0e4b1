//! How far streams are followed.

/// What all streams may hold together; Suricata's default of `stream.reassembly.memcap`.
pub const STREAM_MEMCAP_BYTES_DEFAULT: u64 = 256 << 20;

/// The settings of all streams. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Reassembly ends here, per direction; 0: never. Suricata's `stream.reassembly.depth`.
    pub depth_bytes: u64,
    /// Rules look at what comes behind the depth packet by packet. Otherwise nobody looks at it.
    pub look_beyond_depth: bool,
    /// Older bytes that detection sees in front of new ones.
    pub window_bytes: usize,
    /// Bytes that one direction may hold: out of order, not acknowledged, and the window.
    pub held_bytes_max: usize,
    pub urgent: Urgent,
    /// Follow connections that are older than we are. Suricata's `stream.midstream`.
    pub midstream: bool,
    /// Follow connections of which one side alone is seen. Suricata's `stream.async-oneside`.
    pub async_oneside: bool,
    /// A connection is cleared when both directions have reached the depth. Suricata's `stream.bypass`.
    pub bypass: bool,
}

/// Where the byte stands that the urgent pointer names (`stream.reassembly.urgent.policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgent {
    /// Beside the stream, as sockets deliver it unless they ask otherwise (RFC 6093). Rules look at the packet as it is,
    /// too.
    #[default]
    OutOfBand,
    /// In the stream like any other.
    Inline,
}

impl Default for StreamConfig {
    fn default() -> Self {
        StreamConfig {
            depth_bytes: 1 << 20,
            look_beyond_depth: true,
            window_bytes: 4096,
            held_bytes_max: 1 << 20,
            urgent: Urgent::OutOfBand,
            midstream: true,
            async_oneside: true,
            bypass: false,
        }
    }
}
