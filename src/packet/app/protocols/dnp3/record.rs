//! What EVE tells of a DNP3 message.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dnp3Record {
    /// `request`, `response` or `unsolicited_response`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub control: LinkControl,
    pub src: u16,
    pub dst: u16,
    pub application: Application,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iin: Option<Indications>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkControl {
    pub dir: bool,
    pub pri: bool,
    pub fcb: bool,
    pub fcv: bool,
    pub function_code: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Application {
    pub control: ApplicationControl,
    pub function_code: u8,
    pub objects: Vec<Object>,
    /// All objects could be told apart.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApplicationControl {
    pub fir: bool,
    pub fin: bool,
    pub con: bool,
    pub uns: bool,
    pub sequence: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Object {
    pub group: u8,
    pub variation: u8,
    pub qualifier: u8,
    pub prefix_code: u8,
    pub range_code: u8,
    pub start: u32,
    pub stop: u32,
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Indications {
    pub indicators: Vec<&'static str>,
}
