//! What EVE tells of a call.

use super::interfaces::Interface;

#[derive(Clone, Debug, PartialEq)]
pub struct DcerpcRecord {
    /// `None`: the request was never seen.
    pub request: Option<DcerpcHalf>,
    /// `None`: there was no answer.
    pub response: Option<DcerpcHalf>,
    pub opnum: u16,
    /// Those that a bind asks for.
    pub interfaces: Vec<InterfaceRecord>,
    pub call_id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DcerpcHalf {
    pub kind: &'static str,
    /// How many fragments carried arguments; `None`: this kind has no arguments.
    pub fragments: Option<u32>,
    pub stub_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InterfaceRecord {
    pub uuid: [u8; 16],
    pub version: (u16, u16),
    /// Result and reason, once it was answered.
    pub answer: Option<(u16, u16)>,
}

impl InterfaceRecord {
    #[must_use]
    pub fn of(interface: &Interface) -> InterfaceRecord {
        let context = interface.context;
        InterfaceRecord {
            uuid: context.uuid,
            version: (context.version, context.version_minor),
            answer: interface.result,
        }
    }
}

/// A call of a DCERPC flow, and how it came.
#[derive(Clone, Debug, PartialEq)]
pub struct DcerpcFlowRecord {
    pub call: DcerpcRecord,
    pub transport: DcerpcTransport,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DcerpcTransport {
    /// Minor version of the protocol.
    Connection {
        minor: u8,
    },
    Datagrams {
        activity: [u8; 16],
        sequence: u32,
    },
}
