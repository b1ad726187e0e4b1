//! What EVE tells of an SNMP message.

use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq)]
pub struct SnmpRecord {
    /// 1, 2 or 3; 0 if the message could not be read.
    pub version: u32,
    pub community: Option<String>,
    /// The user of version 3.
    pub usm: Option<String>,
    pub pdu: Option<SnmpPduRecord>,
    pub encrypted: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SnmpPduRecord {
    pub kind: String,
    pub error: Option<String>,
    pub trap: Option<SnmpTrap>,
    /// Object identifiers, dotted.
    pub variables: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SnmpTrap {
    pub kind: String,
    pub oid: String,
    pub address: Ipv4Addr,
}
