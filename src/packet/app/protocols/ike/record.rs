//! What EVE tells of an IKE message.

use serde::{Serialize, Serializer};

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IkeRecord {
    pub version_major: u8,
    pub version_minor: u8,
    /// 16 hexadecimal digits.
    pub init_spi: String,
    pub resp_spi: String,
    pub message_id: u32,
    pub exchange_type: u8,
    /// Version 1: what the server has chosen, here or before.
    #[serde(flatten)]
    pub chosen: Attributes,
    /// Version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(flatten)]
    pub algorithms: Option<Algorithms>,
    pub payload: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ikev1: Option<Ikev1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ikev2: Option<Ikev2>,
}

/// Attributes of a transform by name, each with its number and what that means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub Vec<(&'static str, u32, &'static str)>);

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Value {
            Name(&'static str),
            Number(u32),
        }
        serializer.collect_map(self.0.iter().flat_map(|(name, number, meaning)| {
            [((*name).to_owned(), Value::Name(meaning)), (format!("{name}_raw"), Value::Number(*number))]
        }))
    }
}

/// What the responder has chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Algorithms {
    pub alg_enc: String,
    pub alg_auth: String,
    pub alg_prf: String,
    pub alg_dh: String,
    pub alg_esn: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ikev1 {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doi: Option<u32>,
    pub encrypted_payloads: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Ikev1Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Ikev1Side>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vendor_ids: Vec<String>,
}

/// Payloads as hexadecimal digits, with their lengths in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ikev1Side {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_exchange_payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_exchange_payload_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce_payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce_payload_length: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<Attributes>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ikev2 {
    pub errors: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
}
