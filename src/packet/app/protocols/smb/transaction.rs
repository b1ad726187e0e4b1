//! One exchange of SMB, or one file, or one call over a named pipe: what rules look into.

use std::sync::Arc;

use super::names;
use super::ntlmssp::Ntlmssp;
use super::record::{Services, SmbDetail, SmbRecord};
use super::transfer::{Handle, Transfer};
use crate::packet::app::File;
use crate::packet::app::protocols::dcerpc::call::Call;
use crate::packet::app::record::FileAccount;
use crate::packet::app::{AppRecord, Transaction};
use crate::rules::app::{AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// What both sides have agreed on.
#[derive(Clone, Debug, Default)]
pub struct Negotiated {
    /// SMB2's number; 0: none yet.
    pub dialect: u16,
    /// SMB1's name.
    pub dialect_name: Option<Vec<u8>>,
    pub max_read_size: u32,
    pub max_write_size: u32,
}

impl Negotiated {
    fn dialect(&self) -> String {
        match (&self.dialect_name, self.dialect) {
            (_, dialect) if dialect != 0 => names::dialect(dialect),
            (Some(name), _) => String::from_utf8_lossy(name).into_owned(),
            (None, _) => "unknown".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Nt(u32),
    /// Class and code.
    Dos(u8, u16),
}

impl Status {
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Status::Nt(0) | Status::Dos(_, 0))
    }

    fn written(self) -> (String, String) {
        match self {
            Status::Nt(status) => (names::nt_status(status), format!("0x{status:x}")),
            Status::Dos(class, code) => (names::dos_error(class, code), format!("0x{code:04x}")),
        }
    }
}

/// What marks a request and its response as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// 1 or 2; SMB3 counts as 2.
    pub version: u8,
    pub command: u16,
    pub session_id: u64,
    pub tree_id: u32,
    pub message_id: u64,
}

#[derive(Debug)]
pub enum Detail {
    None,
    Negotiate(Negotiate),
    SessionSetup(SessionSetup),
    TreeConnect(TreeConnect),
    Create(Box<Create>),
    File(Box<Transfer>),
    Rename {
        from: Vec<u8>,
        to: Vec<u8>,
        handle: Handle,
        by_set_info: bool,
    },
    /// `SMB2_FILE_DISPOSITION_INFO` and its like: the file may be deleted.
    SetInfo {
        name: Vec<u8>,
        delete_on_close: bool,
        handle: Handle,
    },
    Ioctl {
        function: u32,
    },
    Dcerpc {
        handle: Handle,
        call: Box<Call>,
    },
}

#[derive(Debug, Default)]
pub struct Negotiate {
    pub dialects: Vec<Vec<u8>>,
    pub client_guid: Option<Handle>,
    pub server_guid: Handle,
}

#[derive(Debug, Default)]
pub struct SessionSetup {
    pub ntlmssp: Option<Ntlmssp>,
    pub request_host: Option<(Vec<u8>, Vec<u8>)>,
    pub response_host: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Default)]
pub struct TreeConnect {
    /// Without zero bytes, and without the first backslash.
    pub name: Vec<u8>,
    pub is_pipe: bool,
    pub share_type: u8,
    pub services: Services,
}

#[derive(Debug, Default)]
pub struct Create {
    pub name: Vec<u8>,
    pub disposition: u32,
    pub delete_on_close: bool,
    pub directory: bool,
    /// Seconds since 1970.
    pub created: u64,
    pub accessed: u64,
    pub modified: u64,
    pub changed: u64,
    pub size: u64,
    pub handle: Handle,
}

#[derive(Debug)]
pub struct SmbTransaction {
    /// From 1.
    pub id: u64,
    pub label: Label,
    pub status: Option<Status>,
    pub request_done: bool,
    pub response_done: bool,
    pub detail: Detail,
    pub events: Vec<&'static str>,
    pub negotiated: Arc<Negotiated>,
    told: bool,
}

impl SmbTransaction {
    #[must_use]
    pub fn new(id: u64, label: Label, detail: Detail, negotiated: &Arc<Negotiated>) -> SmbTransaction {
        SmbTransaction {
            id,
            label,
            status: None,
            request_done: false,
            response_done: false,
            detail,
            events: Vec::new(),
            negotiated: Arc::clone(negotiated),
            told: false,
        }
    }

    pub fn raise(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.detail {
            Detail::File(transfer) => transfer.heap_bytes(),
            Detail::Dcerpc { call, .. } => call.heap_bytes(),
            Detail::TreeConnect(tree) => tree.name.capacity(),
            Detail::Create(create) => create.name.capacity(),
            _ => 0,
        }
    }

    fn told_detail(&self) -> SmbDetail {
        let version = self.label.version;
        match &self.detail {
            Detail::None => SmbDetail::None,
            Detail::Negotiate(negotiate) => SmbDetail::Negotiate {
                dialects: negotiate.dialects.clone(),
                client_guid: negotiate.client_guid,
                server_guid: negotiate.server_guid,
                max_read_size: self.negotiated.max_read_size,
                max_write_size: self.negotiated.max_write_size,
            },
            Detail::SessionSetup(setup) => SmbDetail::SessionSetup {
                ntlmssp: setup.ntlmssp.clone(),
                request_host: setup.request_host.clone(),
                response_host: setup.response_host.clone(),
            },
            Detail::TreeConnect(tree) => SmbDetail::TreeConnect {
                name: tree.name.clone(),
                is_pipe: tree.is_pipe,
                share_type: (version == 2).then(|| names::share_type(tree.share_type)),
                services: (version == 1).then(|| tree.services.clone()),
            },
            Detail::Create(create) => SmbDetail::Create {
                name: create.name.clone(),
                directory: create.directory,
                disposition: names::disposition(create.disposition),
                delete_on_close: create.delete_on_close,
                created: create.created,
                accessed: create.accessed,
                modified: create.modified,
                changed: create.changed,
                size: create.size,
                handle: handle_text(version, &create.handle),
            },
            Detail::File(transfer) => SmbDetail::File {
                name: transfer.file.name().to_vec(),
                share: transfer.share.clone(),
                handle: handle_text(version, &transfer.handle),
            },
            Detail::Rename { from, to, handle, by_set_info } => SmbDetail::Rename {
                from: from.clone(),
                to: to.clone(),
                handle: handle_text(version, handle),
                by_set_info: *by_set_info,
            },
            Detail::SetInfo { name, delete_on_close, handle } => SmbDetail::SetInfo {
                name: name.clone(),
                delete_on_close: *delete_on_close,
                class: "FILE_INFO",
                level: "SMB2_FILE_DISPOSITION_INFO",
                handle: handle_text(version, handle),
            },
            Detail::Ioctl { function } => SmbDetail::Ioctl { function: names::function(*function) },
            Detail::Dcerpc { call, .. } => SmbDetail::Dcerpc(call.record()),
        }
    }
}

/// A handle as EVE's `fuid`: SMB2's as an identifier, SMB1's as its session and number.
fn handle_text(version: u8, handle: &Handle) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *handle;
    match version {
        1 => format!("{b:02x}{a:02x}-{d:02x}{c:02x}-{f:02x}{e:02x}"),
        _ => format!(
            "{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-{j:02x}{i:02x}-\
             {p:02x}{o:02x}{n:02x}{m:02x}{l:02x}{k:02x}"
        ),
    }
}

impl Transaction for SmbTransaction {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        if nth > 0 {
            return None;
        }
        match (buffer, &self.detail) {
            (Buffer::FILE_DATA, Detail::File(transfer)) if transfer.toward == toward => Some(transfer.file.data()),
            (Buffer::FILE_MAGIC, Detail::File(transfer)) if transfer.toward == toward => transfer.file.magic(),
            (Buffer::FILE_NAME, Detail::File(transfer)) if transfer.toward == toward => Some(transfer.file.name()),
            (Buffer::SMB_NAMED_PIPE, Detail::TreeConnect(tree)) if tree.is_pipe => Some(&tree.name),
            (Buffer::SMB_SHARE, Detail::TreeConnect(tree)) if !tree.is_pipe => Some(&tree.name),
            (Buffer::SMB_NTLMSSP_USER, Detail::SessionSetup(setup)) => setup.ntlmssp.as_ref().map(|who| &who.user[..]),
            (Buffer::SMB_NTLMSSP_DOMAIN, Detail::SessionSetup(setup)) => {
                setup.ntlmssp.as_ref().map(|who| &who.domain[..])
            }
            (Buffer::DCE_STUB_DATA, Detail::Dcerpc { call, .. }) => call.stub(toward),
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match (test, &self.detail) {
            (AppTest::Number { field: Field::SmbVersion, test }, _) => test.accepts(self.label.version.into()),
            (AppTest::File(tests), Detail::File(transfer)) => transfer.toward == toward && transfer.file.accepts(tests),
            (test, Detail::Dcerpc { call, .. }) => call.accepts(test),
            _ => false,
        }
    }

    fn is_little_endian(&self, toward: Toward) -> bool {
        matches!(&self.detail, Detail::Dcerpc { call, .. } if call.is_little_endian(toward))
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.request_done,
            Toward::Client => self.response_done,
        }
    }

    fn record(&self) -> Option<AppRecord> {
        let command = match &self.detail {
            Detail::File(_) if self.label.command == 0 => None,
            _ => Some(names::command(self.label.version, self.label.command)),
        };
        Some(AppRecord::Smb(Box::new(SmbRecord {
            id: self.id,
            dialect: self.negotiated.dialect(),
            command,
            status: self.status.map(Status::written),
            session_id: self.label.session_id,
            tree_id: self.label.tree_id,
            detail: self.told_detail(),
        })))
    }

    fn each_file(&mut self, visit: &mut dyn FnMut(Toward, &mut File)) {
        if let Detail::File(transfer) = &mut self.detail {
            visit(transfer.toward, &mut transfer.file);
        }
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if let Detail::File(transfer) = &mut self.detail {
            if ended {
                transfer.close(true);
            }
            let toward = transfer.toward;
            if let Some(file) = transfer.file.take_record() {
                return Some(AppRecord::File(Box::new(FileAccount { file, toward, of: self.record() })));
            }
        }
        let due = ended || (self.request_done && self.response_done);
        if !due || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}
