//! What EVE tells of a POP3 command with its response.

use serde::Serialize;

use crate::packet::app::message::Text;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pop3Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// In capitals.
    pub command: Text,
    /// Those of PASS and AUTH are not told.
    pub args: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    pub success: bool,
    pub status: &'static str,
    /// What stands behind the status.
    pub header: Text,
    /// Lines of a longer answer, but for those of mails.
    pub data: Vec<Text>,
}
