//! `nfq:` Suricata's section for serving as the queue target of somebody else's rules.

/// The section `nfq`. Its `fail-open` is [`super::Queue::fail_open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfq {
    pub mode: NfqMode,
    /// `bypass-mark` and `bypass-mask`: the packet mark that a cleared packet leaves with.
    pub bypass: Option<MarkMask>,
    /// `batchcount`: at most so many verdicts in one message.
    pub batch_count_max: u16,
}

impl Default for Nfq {
    fn default() -> Self {
        Nfq { mode: NfqMode::Accept, bypass: None, batch_count_max: 64 }
    }
}

/// How an accepted packet goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NfqMode {
    /// To the next base chain.
    Accept,
    /// Through the hook's chains again, with this packet mark.
    Repeat(MarkMask),
    /// Into another queue.
    Route { queue: u16 },
}

/// Bits of a packet mark: those of `mask` become those of `mark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkMask {
    pub mark: u32,
    pub mask: u32,
}
