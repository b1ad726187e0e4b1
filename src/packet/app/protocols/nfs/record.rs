//! What EVE tells of an NFS call with its reply.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NfsRecord {
    pub version: u32,
    pub procedure: &'static str,
    pub filename: String,
    /// CRC-32 of the file handle, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hhash: Option<String>,
    /// RPC's number of the call.
    pub id: u32,
    pub file_tx: bool,
    /// `request` until the reply has come.
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<Rename>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rename {
    pub from: String,
    pub to: String,
}
