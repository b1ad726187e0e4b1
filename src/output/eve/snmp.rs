//! The object `snmp`: one message.

use serde::Serialize;

use super::app::EveObject;
use crate::packet::app::protocols::snmp::record::SnmpRecord;

#[derive(Serialize)]
pub struct SnmpObject {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pdu_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap_oid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vars: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    community: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usm: Option<String>,
}

impl EveObject for SnmpRecord {
    type Object = SnmpObject;

    fn object(record: &SnmpRecord) -> SnmpObject {
        let pdu = record.pdu.as_ref();
        let trap = pdu.and_then(|pdu| pdu.trap.as_ref());
        let encrypted = record.encrypted.then(|| "encrypted".to_owned());
        SnmpObject {
            version: record.version,
            pdu_type: pdu.map(|pdu| pdu.kind.clone()).or(encrypted),
            error: pdu.and_then(|pdu| pdu.error.clone()),
            trap_type: trap.map(|trap| trap.kind.clone()),
            trap_oid: trap.map(|trap| trap.oid.clone()),
            trap_address: trap.map(|trap| trap.address.to_string()),
            vars: pdu.map(|pdu| pdu.variables.clone()).unwrap_or_default(),
            community: record.community.clone(),
            usm: record.usm.clone(),
        }
    }
}
