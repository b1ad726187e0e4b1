//! What EVE tells of an SMB transaction.

use super::ntlmssp::Ntlmssp;
use super::transfer::Handle;
use crate::packet::app::protocols::dcerpc::record::DcerpcRecord;

#[derive(Clone, Debug, PartialEq)]
pub struct SmbRecord {
    pub id: u64,
    pub dialect: String,
    pub command: Option<String>,
    /// Name and number.
    pub status: Option<(String, String)>,
    pub session_id: u64,
    pub tree_id: u32,
    pub detail: SmbDetail,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SmbDetail {
    None,
    Negotiate {
        dialects: Vec<Vec<u8>>,
        client_guid: Option<Handle>,
        server_guid: Handle,
        max_read_size: u32,
        max_write_size: u32,
    },
    SessionSetup {
        ntlmssp: Option<Ntlmssp>,
        /// Operating system and LAN manager, as each side calls itself.
        request_host: Option<(Vec<u8>, Vec<u8>)>,
        response_host: Option<(Vec<u8>, Vec<u8>)>,
    },
    TreeConnect {
        name: Vec<u8>,
        is_pipe: bool,
        /// SMB2.
        share_type: Option<&'static str>,
        /// SMB1.
        services: Option<Services>,
    },
    Create {
        name: Vec<u8>,
        directory: bool,
        disposition: &'static str,
        delete_on_close: bool,
        created: u64,
        accessed: u64,
        modified: u64,
        changed: u64,
        size: u64,
        handle: String,
    },
    File {
        name: Vec<u8>,
        share: Vec<u8>,
        handle: String,
    },
    Rename {
        from: Vec<u8>,
        to: Vec<u8>,
        handle: String,
        /// SMB2 renames by setting information.
        by_set_info: bool,
    },
    SetInfo {
        name: Vec<u8>,
        delete_on_close: bool,
        class: &'static str,
        level: &'static str,
        handle: String,
    },
    Ioctl {
        function: String,
    },
    Dcerpc(DcerpcRecord),
}

/// The kind of service that a client asks for on a tree, and that the server gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Services {
    pub request: Option<Vec<u8>>,
    pub response: Option<Vec<u8>>,
}
