//! Matches and policy become a verdict. The only file that can say Drop.

use super::conntrack::Fate;

/// Why a packet was dropped: the EVE `drop.reason`, the counter and the metric label are all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A rule with `drop` or `reject` matched this packet.
    Rules,
    /// The connection was condemned earlier and the kernel does not enforce it yet.
    FlowDrop,
    /// `policy.invalid: drop` met a packet that conntrack called INVALID.
    ConntrackInvalid,
    /// `policy.untracked: drop` met a packet that has no connection at all.
    Untracked,
    /// `policy.decode-error: drop` met a packet that could not be decoded.
    DecodeError,
    /// `policy.flow-memcap: drop` met a full flow table.
    FlowMemcap,
}

impl Reason {
    pub const ALL: [Reason; 6] = [
        Reason::Rules,
        Reason::FlowDrop,
        Reason::ConntrackInvalid,
        Reason::Untracked,
        Reason::DecodeError,
        Reason::FlowMemcap,
    ];

    /// EVE `drop.reason`. Suricata's words where it has them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Rules => "rules",
            Reason::FlowDrop => "flow drop",
            Reason::ConntrackInvalid => "conntrack invalid",
            Reason::Untracked => "untracked",
            Reason::DecodeError => "decode error",
            Reason::FlowMemcap => "flow memcap",
        }
    }

    /// Key under `stats.ips.drop_reason`.
    #[must_use]
    pub fn counter(self) -> &'static str {
        match self {
            Reason::Rules => "rules",
            Reason::FlowDrop => "flow_drop",
            Reason::ConntrackInvalid => "conntrack_invalid",
            Reason::Untracked => "untracked",
            Reason::DecodeError => "decode_error",
            Reason::FlowMemcap => "flow_memcap",
        }
    }
}

/// What happens to one packet, and to the rest of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    pub action: Action,
    /// A fate to write into conntrack with this verdict; `None` leaves the entry alone.
    pub fate: Option<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Accept,
    Drop(Reason),
    /// Run our chain again: with [`Fate::Reject`] written, nftables itself builds the reset.
    Repeat(Reason),
}

impl Verdict {
    pub const ACCEPT: Verdict = Verdict { action: Action::Accept, fate: None };
}
