//! What can keep the lab from being built or run. A case that goes wrong is no error: it is a row of the report.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::cases::Family;
use crate::control::socket::SocketError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab makes network namespaces, and only root may: run it with sudo")]
    NotRoot,
    #[error("`ip` is missing: install iproute2 (Debian: apt-get install iproute2)")]
    NoIp,
    #[error("`{line}` failed: {stderr}")]
    Command { line: String, stderr: String },
    #[error("{what}")]
    Io { what: String, source: io::Error },
    #[error("without any gate, GET / over {family:?} is not answered: the lab itself does not work here")]
    Unfit { family: Family, source: Box<LabError> },
    #[error("the gate was not ready within {} s; it said:\n{said}", patience.as_secs())]
    GateNotReady { patience: Duration, said: String },
    #[error("the gate ended at once ({status}); it said:\n{said}")]
    GateEnded { status: String, said: String },
    #[error("the running gate does not say how it is")]
    Status(#[source] SocketError),
    #[error("{} exists already: remove it", .0.display())]
    DirectoryTaken(PathBuf),
    #[error("interrupted")]
    Interrupted,
}

/// Puts a sentence in front of an I/O error.
pub(super) fn at<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T, LabError> {
    result.map_err(|source| LabError::Io { what: what.into(), source })
}
