//! What EVE tells of a SIP message: its first line.

#[derive(Clone, Debug, PartialEq)]
pub enum SipRecord {
    Request { method: Vec<u8>, uri: Vec<u8>, version: Vec<u8>, line: Vec<u8> },
    Response { version: Vec<u8>, code: Vec<u8>, reason: Vec<u8>, line: Vec<u8> },
}
