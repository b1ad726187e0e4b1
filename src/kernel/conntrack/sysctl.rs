//! The three sysctls of a network namespace that decide what conntrack tells us.
//!
//! They act on entries created afterwards only, so they are set as early as possible.

use std::path::PathBuf;
use std::{fs, io};

/// A conntrack sysctl that we need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sysctl {
    /// `nf_conntrack_events`: 1 lets every entry send events, 2 ("auto") only those created while somebody listens.
    Events,
    /// `nf_conntrack_acct`: packet and byte counters, for EVE flow records.
    Accounting,
    /// `nf_conntrack_timestamp`: start and stop times, which tell incarnations of one tuple apart.
    Timestamp,
}

/// What was, what is, and why it is not what we wanted.
#[derive(Debug)]
pub struct SysctlReport {
    pub sysctl: Sysctl,
    /// `None` when it could not be read.
    pub was: Option<u8>,
    pub is: Option<u8>,
    pub error: Option<SysctlError>,
}

impl SysctlReport {
    /// Whether the sysctl now does what we need.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is == Some(Sysctl::WANTED)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    #[error("cannot read {path}; is connection tracking (nf_conntrack) loaded, and /proc mounted?")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds '{text}', not a small number")]
    Odd { path: PathBuf, text: String },
    #[error("cannot set {path} to 1; set it by hand: sysctl -w net.netfilter.{name}=1")]
    Write { path: PathBuf, name: &'static str, source: io::Error },
}

impl Sysctl {
    pub const ALL: [Sysctl; 3] = [Sysctl::Events, Sysctl::Accounting, Sysctl::Timestamp];
    /// The value that we need of each.
    pub const WANTED: u8 = 1;

    /// The name under `net.netfilter`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Sysctl::Events => "nf_conntrack_events",
            Sysctl::Accounting => "nf_conntrack_acct",
            Sysctl::Timestamp => "nf_conntrack_timestamp",
        }
    }

    /// The value in the network namespace of the calling thread.
    pub fn read(self) -> Result<u8, SysctlError> {
        let path = self.path();
        let text = fs::read_to_string(&path).map_err(|source| SysctlError::Read { path: path.clone(), source })?;
        text.trim().parse().map_err(|_| SysctlError::Odd { path, text: text.trim().to_owned() })
    }

    /// Looks, changes nothing.
    #[must_use]
    pub fn report(self) -> SysctlReport {
        let (was, error) = split(self.read());
        SysctlReport { sysctl: self, was, is: was, error }
    }

    /// Turns it on unless it is on, and reads back what the kernel made of it.
    #[must_use]
    pub fn turn_on(self) -> SysctlReport {
        let before = self.report();
        if before.is_on() || before.was.is_none() {
            return before;
        }
        let (path, name) = (self.path(), self.name());
        match fs::write(&path, Self::WANTED.to_string()) {
            Ok(()) => {
                let (is, error) = split(self.read());
                SysctlReport { is, error, ..before }
            }
            Err(source) => SysctlReport { error: Some(SysctlError::Write { path, name, source }), ..before },
        }
    }

    fn path(self) -> PathBuf {
        PathBuf::from("/proc/sys/net/netfilter").join(self.name())
    }
}

fn split(read: Result<u8, SysctlError>) -> (Option<u8>, Option<SysctlError>) {
    match read {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}
