//! What EVE tells of an NTP message.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NtpRecord {
    pub version: u8,
    /// Who speaks: 3 a client, 4 a server.
    pub mode: u8,
    /// How far the clock is from its source.
    pub stratum: u8,
    /// What the clock is set by: 4 bytes, `4c:4f:43:4c`.
    pub reference_id: String,
}
