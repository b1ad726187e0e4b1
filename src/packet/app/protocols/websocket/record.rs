//! What EVE tells of a WebSocket frame.

use serde::{Serialize, Serializer};

use crate::rules::app::WEBSOCKET_OPCODES;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WebsocketRecord {
    pub fin: bool,
    /// The masking key as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<u32>,
    pub opcode: Opcode,
}

/// 4 bits that tell what a frame is for (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode(pub u8);

impl Serialize for Opcode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match WEBSOCKET_OPCODES.iter().find(|(_, number)| *number == u16::from(self.0)) {
            Some((name, _)) => serializer.serialize_str(name),
            None => serializer.collect_str(&format_args!("unknown-{}", self.0)),
        }
    }
}
