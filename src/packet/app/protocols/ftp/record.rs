//! What EVE tells of FTP.

use super::Mode;

/// A command with its reply. The greeting has no command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FtpRecord {
    pub command: Option<Vec<u8>>,
    pub command_data: Option<Vec<u8>>,
    pub completion_codes: Vec<Vec<u8>>,
    pub replies: Vec<Vec<u8>>,
    pub dynamic_port: Option<u16>,
    pub mode: Option<Mode>,
    pub reply_received: bool,
}

/// A data connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FtpDataRecord {
    pub file_name: Vec<u8>,
    pub command: &'static str,
}
