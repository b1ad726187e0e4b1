//! What can go wrong with a queue, and how to mend it.

use std::fmt;
use std::io;

/// Errors of opening and serving a queue. A failing verdict is not among them: that is counted, and life goes on.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("cannot open a netfilter netlink socket: {0}; the kernel needs nfnetlink (modprobe nfnetlink_queue)")]
    Socket(#[source] io::Error),

    #[error("cannot set {option} on the socket of queue {number}: {source}")]
    Option { number: u16, option: &'static str, source: io::Error },

    #[error("cannot map the receive buffers of queue {number}: {source}")]
    Buffers { number: u16, source: io::Error },

    #[error(
        "queue {number} is taken: its owner has port id {port_id}{}; stop that program or choose another queue number",
        OwnedBy(owner)
    )]
    Owned { number: u16, port_id: u32, owner: Option<Owner> },

    #[error("binding queue {number} needs CAP_NET_ADMIN: run as root, or give the binary that capability")]
    Capability { number: u16 },

    #[error(
        "the kernel refused to configure queue {number}: {source}; is nfnetlink_queue there (modprobe nfnetlink_queue)?"
    )]
    Refused { number: u16, source: io::Error },

    #[error("queue {number}: the kernel did not answer the configuration within {waited_ms} ms")]
    NoAnswer { number: u16, waited_ms: u128 },

    #[error("queue {number}: asked for {asked}, in force is {found}; another program may have reconfigured it")]
    NotInForce { number: u16, asked: String, found: String },

    #[error("receiving from queue {number}: {source}")]
    Receive { number: u16, source: io::Error },

    #[error("answering packets of queue {number}: {source}; they wait in the kernel and the answer is kept")]
    Send { number: u16, source: io::Error },
}

/// The process behind a port id, as far as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    pub command: String,
}

struct OwnedBy<'o>(&'o Option<Owner>);

impl fmt::Display for OwnedBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Owner { pid, command }) => write!(f, " (pid {pid}, {command})"),
            None => Ok(()),
        }
    }
}
