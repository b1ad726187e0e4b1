//! The object `ssh`: both sides' banners and what they offer.

use serde::Serialize;

use super::app::EveObject;
use crate::packet::app::protocols::ssh::record::{SshRecord, SshSide};

#[derive(Serialize)]
pub struct SshObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<SshSideObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<SshSideObject>,
}

#[derive(Serialize)]
struct SshSideObject {
    proto_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    software_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hassh: Option<Hassh>,
}

#[derive(Serialize)]
struct Hassh {
    hash: String,
    string: String,
}

impl EveObject for SshRecord {
    type Object = SshObject;

    fn object(record: &SshRecord) -> SshObject {
        SshObject { client: side(&record.client), server: side(&record.server) }
    }
}

fn side(side: &SshSide) -> Option<SshSideObject> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (!side.proto.is_empty()).then(|| SshSideObject {
        proto_version: text(&side.proto),
        software_version: (!side.software.is_empty()).then(|| text(&side.software)),
        hassh: (!side.hassh.is_empty()).then(|| Hassh { hash: side.hassh.clone(), string: text(&side.hassh_string) }),
    })
}
