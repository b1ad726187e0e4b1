//! What EVE tells of the beginning of a remote desktop.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RdpRecord {
    pub tx_id: u64,
    /// `initial_request`, `initial_response`, `connect_request`, `connect_response`
    pub event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_supports: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<RdpClient>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RdpClient {
    pub version: &'static str,
    pub desktop_width: u16,
    pub desktop_height: u16,
    /// The number of the client's version of Windows.
    pub build: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_name: String,
}
