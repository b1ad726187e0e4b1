//! What EVE tells of a TFTP request.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TftpRecord {
    /// `read` or `write`.
    pub packet: &'static str,
    pub file: String,
    /// Lower case.
    pub mode: String,
}
