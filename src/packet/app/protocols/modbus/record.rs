//! What EVE tells of a Modbus request with its response.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModbusRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<ModbusMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ModbusMessage>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModbusMessage {
    pub transaction_id: u16,
    pub protocol_id: u16,
    pub unit_id: u8,
    pub function_raw: u8,
    pub function_code: &'static str,
    pub category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<Diagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exception {
    pub raw: u8,
    pub code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    pub raw: u16,
}

/// Coils or registers that are read or written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    pub address: u16,
    pub quantity: u16,
    /// Of a write to a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<u16>,
}
