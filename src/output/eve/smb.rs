//! The object `smb`: one exchange, one file, or one call in a named pipe.

use serde::Serialize;

use super::app::EveObject;
use super::dcerpc::PipeObject;
use crate::output::text::Bytes;
use crate::packet::app::protocols::smb::ntlmssp::Ntlmssp;
use crate::packet::app::protocols::smb::record::{SmbDetail, SmbRecord};

#[derive(Serialize)]
pub struct SmbObject {
    id: u64,
    dialect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<String>,
    session_id: u64,
    tree_id: u32,
    #[serde(flatten)]
    detail: Detail,
}

#[derive(Serialize, Default)]
struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    ntlmssp: Option<NtlmsspObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Host>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Host>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disposition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'static str>,
    #[serde(flatten)]
    times: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_dialects: Option<Vec<Bytes>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_read_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_write_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_pipe: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_info: Option<SetInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rename: Option<Rename>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dcerpc: Option<PipeObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
}

#[derive(Serialize)]
struct NtlmsspObject {
    domain: Bytes,
    user: Bytes,
    host: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// What one side calls itself.
#[derive(Serialize)]
struct Host {
    native_os: Bytes,
    native_lm: Bytes,
}

/// Seconds since 1970, and bytes.
#[derive(Serialize)]
struct Times {
    created: u64,
    accessed: u64,
    modified: u64,
    changed: u64,
    size: u64,
}

#[derive(Serialize)]
struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Bytes>,
}

#[derive(Serialize)]
struct SetInfo {
    class: &'static str,
    info_level: &'static str,
}

#[derive(Serialize)]
struct Rename {
    from: Bytes,
    to: Bytes,
}

impl EveObject for SmbRecord {
    type Object = SmbObject;

    fn object(record: &SmbRecord) -> SmbObject {
        let (status, status_code) = record.status.clone().unzip();
        SmbObject {
            id: record.id,
            dialect: record.dialect.clone(),
            command: record.command.clone(),
            status,
            status_code,
            session_id: record.session_id,
            tree_id: record.tree_id,
            detail: Detail::of(&record.detail),
        }
    }
}

impl NtlmsspObject {
    fn of(who: &Ntlmssp) -> NtlmsspObject {
        NtlmsspObject {
            domain: Bytes::of(&who.domain),
            user: Bytes::of(&who.user),
            host: Bytes::of(&who.host),
            version: who.version.map(|(major, minor, build, rev)| format!("{major}.{minor} build {build} rev {rev}")),
        }
    }
}

impl Host {
    fn of((native_os, native_lm): &(Vec<u8>, Vec<u8>)) -> Host {
        Host { native_os: Bytes::of(native_os), native_lm: Bytes::of(native_lm) }
    }
}

fn access(delete_on_close: bool) -> &'static str {
    if delete_on_close { "delete on close" } else { "normal" }
}

/// Identifiers of machines, in the order in which Windows writes them.
fn guid(bytes: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    format!(
        "{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-{j:02x}{i:02x}-\
         {p:02x}{o:02x}{n:02x}{m:02x}{l:02x}{k:02x}"
    )
}

impl Detail {
    fn of(detail: &SmbDetail) -> Detail {
        let empty = Detail::default();
        match detail {
            SmbDetail::None => empty,
            SmbDetail::SessionSetup { ntlmssp, request_host, response_host } => Detail {
                ntlmssp: ntlmssp.as_ref().map(NtlmsspObject::of),
                request: request_host.as_ref().map(Host::of),
                response: response_host.as_ref().map(Host::of),
                ..empty
            },
            SmbDetail::Create { name, directory, disposition, delete_on_close, handle, .. } => Detail {
                directory: directory.then(|| Bytes::of(name)),
                filename: (!directory).then(|| Bytes::of(name)),
                disposition: Some(disposition),
                access: Some(access(*delete_on_close)),
                times: Times::of(detail),
                fuid: Some(handle.clone()),
                ..empty
            },
            SmbDetail::Negotiate { dialects, client_guid, server_guid, max_read_size, max_write_size } => Detail {
                client_dialects: Some(dialects.iter().map(|dialect| Bytes::of(dialect)).collect()),
                client_guid: client_guid.as_ref().map(guid),
                server_guid: Some(guid(server_guid)),
                max_read_size: Some(*max_read_size).filter(|size| *size > 0),
                max_write_size: Some(*max_write_size).filter(|size| *size > 0),
                ..empty
            },
            SmbDetail::TreeConnect { name, is_pipe, share_type, services } => Detail {
                named_pipe: is_pipe.then(|| Bytes::of(name)),
                share: (!is_pipe).then(|| Bytes::of(name)),
                service: services.as_ref().map(|services| Service {
                    request: services.request.as_deref().map(Bytes::of),
                    response: services.response.as_deref().map(Bytes::of),
                }),
                share_type: *share_type,
                ..empty
            },
            SmbDetail::File { name, share, handle } => Detail {
                filename: Some(Bytes::of(name)),
                share: Some(Bytes::of(share)),
                fuid: Some(handle.clone()),
                ..empty
            },
            SmbDetail::Rename { from, to, handle, by_set_info } => Detail {
                set_info: by_set_info.then_some(SetInfo { class: "FILE_INFO", info_level: "SMB2_FILE_RENAME_INFO" }),
                rename: Some(Rename { from: Bytes::of(from), to: Bytes::of(to) }),
                fuid: Some(handle.clone()),
                ..empty
            },
            SmbDetail::SetInfo { name, delete_on_close, class, level, handle } => Detail {
                filename: Some(Bytes::of(name)),
                access: Some(access(*delete_on_close)),
                set_info: Some(SetInfo { class, info_level: level }),
                fuid: Some(handle.clone()),
                ..empty
            },
            SmbDetail::Ioctl { function } => Detail { function: Some(function.clone()), ..empty },
            SmbDetail::Dcerpc(call) => Detail { dcerpc: Some(PipeObject::of(call)), ..empty },
        }
    }
}

impl Times {
    fn of(detail: &SmbDetail) -> Option<Times> {
        match *detail {
            SmbDetail::Create { created, accessed, modified, changed, size, .. } => {
                Some(Times { created, accessed, modified, changed, size })
            }
            _ => None,
        }
    }
}
