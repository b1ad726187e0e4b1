//! EVE `fileinfo`: a file and its digests.

use serde::Serialize;

use crate::output::text::{bytes_text, hex_text};
use crate::packet::app::FileState;
use crate::packet::app::file::FileRecord;

#[derive(Serialize)]
pub struct FileObject {
    filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    magic: Option<String>,
    gaps: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    stored: bool,
    size: u64,
    tx_id: u64,
}

impl FileObject {
    pub fn of(file: &FileRecord, tx_id: u64) -> FileObject {
        FileObject {
            filename: bytes_text(&file.name),
            magic: file.magic.as_deref().map(str::to_owned),
            gaps: file.gaps,
            state: match file.state {
                FileState::Open => "UNKNOWN",
                FileState::Closed => "CLOSED",
                FileState::Truncated => "TRUNCATED",
            },
            md5: file.sums.md5.map(|sum| hex_text(&sum)),
            sha1: file.sums.sha1.map(|sum| hex_text(&sum)),
            sha256: file.sums.sha256.map(|sum| hex_text(&sum)),
            stored: file.stored,
            size: file.size,
            tx_id,
        }
    }
}
