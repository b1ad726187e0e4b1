//! What EVE tells of a PostgreSQL request with its responses.

use serde::{Serialize, Serializer};

use crate::packet::app::message::Text;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PgsqlRecord {
    pub tx_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    #[serde(skip_serializing_if = "Response::is_empty")]
    pub response: Response,
}

/// A request; which fields there are depends on its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_parameters: Option<StartupParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_authentication_mechanism: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_param: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_response: Option<Text>,
    /// There was a password; it is not written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub password_redacted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simple_query: Option<Text>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StartupParameters {
    pub user: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional_parameters: Vec<Parameter>,
}

/// A name with its value, written as an object of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub value: Text,
}

impl Serialize for Parameter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(&self.name, &self.value)])
    }
}

/// What has come in answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_accepted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_md5_password: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_sspi: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_sasl_final: Option<Text>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameter_status: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_count: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_rows: Option<u64>,
    /// Bytes of all rows together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_completed: Option<Text>,
    /// Of errors and notices.
    #[serde(flatten)]
    pub notice: Notice,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_name: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Text>,
}

impl Response {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Response::default()
    }
}

/// The fields of an error or a notice, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice(pub Vec<(&'static str, Text)>);

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (*name, text)))
    }
}
