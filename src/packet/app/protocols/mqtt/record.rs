//! What EVE tells of an MQTT exchange, and what rules ask of its messages.

use serde::{Serialize, Serializer};

/// The messages of one exchange, each under the name of its kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MqttRecord {
    pub messages: Vec<MqttMessage>,
}

impl Serialize for MqttRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first_of_kind = self.messages.iter().enumerate().filter(|(at, message)| {
            self.messages.get(..*at).is_some_and(|before| before.iter().all(|other| other.kind != message.kind))
        });
        serializer.collect_map(first_of_kind.map(|(_, message)| (kind_name(message.kind), message)))
    }
}

fn kind_name(kind: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "unassigned",
        "connect",
        "connack",
        "publish",
        "puback",
        "pubrec",
        "pubrel",
        "pubcomp",
        "subscribe",
        "suback",
        "unsubscribe",
        "unsuback",
        "pingreq",
        "pingresp",
        "disconnect",
        "auth",
    ];
    NAMES.get(usize::from(kind)).copied().unwrap_or("unassigned")
}

pub use crate::packet::app::message::Text;

/// One message of any kind; which fields there are depends on that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MqttMessage {
    /// 1 to 15; 0: of no kind that there is.
    #[serde(skip)]
    pub kind: u8,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_string: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<ConnectFlags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Text>,
    /// For rules; a log is no place for it.
    #[serde(skip)]
    pub password: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub will: Option<Will>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_present: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<Topic>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos_granted: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_codes: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Properties>,
    /// Too long to be read, with the bytes that were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_length: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectFlags {
    /// As sent.
    #[serde(skip)]
    pub bits: u8,
    pub username: bool,
    pub password: bool,
    pub will_retain: bool,
    pub will: bool,
    pub clean_session: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Will {
    pub topic: Text,
    pub message: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Properties>,
}

/// What is subscribed to, with its quality of service, or unsubscribed from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Topic {
    Subscribed { topic: Text, qos: u8 },
    Unsubscribed(Text),
}

/// Properties of version 5 by name, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties(pub Vec<(String, Property)>);

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Property {
    Number(u32),
    Text(Text),
}
