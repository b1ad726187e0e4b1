//! `gate:` our nftables table.

/// The section `gate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    pub hook: GateHook,
    /// Priority of our base chains. 10 to 50 stands behind the firewall's filter and before source NAT.
    pub priority: i32,
    /// Install the table at start.
    pub install: bool,
    /// Take the table away at a graceful stop. Without it the queue rule stays, with `bypass`.
    pub remove_on_exit: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { hook: GateHook::Forward, priority: 20, install: true, remove_on_exit: false }
    }
}

/// Where we stand: `forward` on a gateway, `host` (input and output) on an end host, `prerouting` before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateHook {
    Forward,
    Host,
    Prerouting,
}
