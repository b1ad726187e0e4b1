//! What EVE tells of a DHCP message.

use std::net::Ipv4Addr;

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DhcpRecord {
    /// `request` or `reply`, whatever the message asks for.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: u32,
    /// `00:11:22:33:44:55`
    pub client_mac: String,
    pub assigned_ip: Ipv4Addr,
    pub client_ip: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_ip: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_server_ip: Option<Ipv4Addr>,
    #[serde(flatten)]
    pub options: DhcpOptions,
}

/// Times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DhcpOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_class_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_ip: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_mask: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_time: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebinding_time: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<Ipv4Addr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<Ipv4Addr>,
}
