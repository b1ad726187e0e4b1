//! The program as a service: its socket, its pid file, whom it runs as.

use std::path::PathBuf;

/// The keys `unix-command`, `pid-file` and `run-as`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub unix_command: UnixCommand,
    pub pid_file: Option<PathBuf>,
    pub run_as: Option<RunAs>,
}

/// The section `unix-command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixCommand {
    pub enabled: bool,
    /// Absolute: a relative name is under `/run/tidegate`.
    pub filename: PathBuf,
}

impl Default for UnixCommand {
    fn default() -> Self {
        UnixCommand { enabled: true, filename: PathBuf::from("/run/tidegate/tidegate-command.socket") }
    }
}

/// The section `run-as`. CAP_NET_ADMIN is kept: the kernel asks for it at each verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    pub user: String,
    pub group: Option<String>,
}
