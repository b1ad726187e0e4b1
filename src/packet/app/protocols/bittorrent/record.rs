//! What EVE tells of a message of BitTorrent's distributed hash table.

use std::net::IpAddr;

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BittorrentDhtRecord {
    /// Hexadecimal, as all that are no addresses, ports or texts below.
    pub transaction_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<DhtError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<DhtRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<DhtResponse>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DhtError {
    pub num: i64,
    pub msg: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DhtRequest {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implied_port: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DhtResponse {
    pub id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes6: Vec<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Peer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    pub id: String,
    #[serde(flatten)]
    pub peer: Peer,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    pub ip: IpAddr,
    pub port: u16,
}
