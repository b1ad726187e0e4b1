//! `flow:` caps on what hangs on connections.

/// The section `flow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Flows known at once, over all queues. Beyond it `policy.flow-memcap` decides.
    pub count_max: usize,
    /// How often flows are compared with the kernel's table, for events may get lost.
    pub sweep_interval_s: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Flow { count_max: 524_288, sweep_interval_s: 60 }
    }
}
