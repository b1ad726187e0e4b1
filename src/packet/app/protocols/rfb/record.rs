//! What EVE tells of an RFB handshake.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RfbRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_protocol_version: Option<RfbVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_protocol_version: Option<RfbVersion>,
    pub authentication: Authentication,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_security_failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_shared: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framebuffer: Option<Framebuffer>,
}

/// Three digits each, such as `003` and `008`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RfbVersion {
    pub major: String,
    pub minor: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Authentication {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vnc: Option<Vnc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_result: Option<String>,
}

/// Hexadecimal digits of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vnc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Framebuffer {
    pub width: u16,
    pub height: u16,
    pub name: String,
    pub pixel_format: PixelFormat,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PixelFormat {
    pub bits_per_pixel: u8,
    pub depth: u8,
    pub big_endian: bool,
    pub true_color: bool,
    pub red_max: u16,
    pub green_max: u16,
    pub blue_max: u16,
    pub red_shift: u8,
    pub green_shift: u8,
    pub blue_shift: u8,
}
