//! What can go wrong between us and the kernel's connection tracking. An entry that is gone is a value, not an error.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    #[error("cannot open a netlink socket for connection tracking; does the kernel have CONFIG_NF_CT_NETLINK?")]
    Open(#[source] io::Error),

    #[error("cannot join the conntrack event group '{group}'; CAP_NET_ADMIN in this network namespace is needed")]
    Join { group: &'static str, source: io::Error },

    #[error("cannot send the conntrack request '{request}'")]
    Send { request: &'static str, source: io::Error },

    #[error("cannot receive the answer to the conntrack request '{request}'")]
    Receive { request: &'static str, source: io::Error },

    #[error("the kernel did not answer the conntrack request '{request}' within {seconds} s")]
    Silent { request: &'static str, seconds: u64 },

    #[error("conntrack '{request}' is not permitted; keep CAP_NET_ADMIN in the network namespace's user namespace")]
    NotPermitted { request: &'static str },

    #[error("this connection has no room for labels; load a rule with 'ct label set' before connections start")]
    NoLabels,

    #[error("the kernel refused conntrack '{request}'")]
    Refused { request: &'static str, source: io::Error },

    #[error("cannot receive conntrack events")]
    Events(#[source] io::Error),
}

impl ConntrackError {
    /// What an `NLMSG_ERROR` with this positive errno means.
    pub(super) fn refused(request: &'static str, errno: i32) -> ConntrackError {
        match errno {
            libc::EPERM => ConntrackError::NotPermitted { request },
            libc::ENOSPC => ConntrackError::NoLabels,
            errno => ConntrackError::Refused { request, source: io::Error::from_raw_os_error(errno) },
        }
    }
}
