//! What can go wrong with our table, and what to do about it.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("netlink: cannot {doing}")]
    Io { doing: &'static str, source: io::Error },

    #[error("nftables needs CAP_NET_ADMIN: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN")]
    NotPermitted,

    #[error("the kernel did not answer the nftables request ({doing}) within {seconds} s")]
    NoAnswer { doing: &'static str, seconds: u64 },

    #[error("nftables refused {step}{}", .expression.as_ref().map(|e| format!(", at its expression `{e}`")).unwrap_or_default())]
    Refused {
        /// The chain, set or rule that was refused; a rule in nft's syntax.
        step: String,
        /// The expression within the rule, by the kernel's name.
        expression: Option<String>,
        source: io::Error,
    },

    #[error(
        "a table `{table}` exists that tidegate did not make (no comment \"managed by tidegate\"): \
         look at `nft list table {table}` and rename or delete it"
    )]
    NotOurs { table: String },

    #[error("the table `{table}` belongs to another process (netlink port {port_id}): stop that one first")]
    Owned { table: String, port_id: u32 },

    #[error(
        "the table stands at {installed}, but {wanted} was asked for. Moving it drops what waits in any queue of this \
         network namespace: `tidegate remove` first, or ask for the replacement"
    )]
    HookDiffers { installed: String, wanted: String },

    #[error(
        "this kernel has neither the nftables `queue` expression (nft_queue) nor the NFQUEUE target (xt_NFQUEUE): \
         load or build one of them"
    )]
    NoQueue,

    #[error(
        "the flowtable cannot be had (fate.flowtable): the kernel lacks nf_flow_table or nft_flow_offload, or one of \
         fate.flowtable-devices is not there"
    )]
    NoFlowtable { source: io::Error },

    #[error("queue numbers {first} and the next {count} do not fit 0 to 65535")]
    QueueRange { first: u16, count: u16 },

    #[error("somebody else changed the ruleset again and again while we tried ({attempts} attempts); try once more")]
    Contended { attempts: u32 },

    #[error("there is no table `inet tidegate`: `tidegate install` makes it")]
    Absent,
}

impl NftError {
    /// The kernel's error number, where it gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            NftError::Io { source, .. } | NftError::Refused { source, .. } | NftError::NoFlowtable { source } => {
                source.raw_os_error()
            }
            NftError::NotPermitted => Some(libc::EPERM),
            _ => None,
        }
    }
}
