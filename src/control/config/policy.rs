//! `policy:` what a packet meets that cannot be judged. Each drop has a name here; none is the default.

/// The section `policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// conntrack called the packet INVALID.
    pub invalid: OnTrouble,
    /// The packet carries no conntrack entry at all.
    pub untracked: OnTrouble,
    pub decode_error: OnTrouble,
    /// A new flow met a full flow table.
    pub flow_memcap: OnTrouble,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            invalid: OnTrouble::Pass,
            untracked: OnTrouble::Pass,
            decode_error: OnTrouble::Pass,
            flow_memcap: OnTrouble::Pass,
        }
    }
}

/// `pass` still lets packet rules judge where there is something to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrouble {
    Pass,
    Drop,
}
