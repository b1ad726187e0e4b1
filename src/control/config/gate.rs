//! `gate:` our nftables table.

use std::sync::Arc;

use super::report::Report;
use super::section::{Choice, Section};
use crate::rules::Vars;
use crate::rules::error::Span;
use crate::rules::vars::{AddressSet, Sets};

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
    /// Addresses that no rule may block.
    pub never_block: Option<Arc<AddressSet>>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { hook: GateHook::Forward, priority: 20, install: true, remove_on_exit: false, never_block: None }
    }
}

/// Where we stand: `forward` on a gateway, `host` (input and output) on an end host, `prerouting` before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateHook {
    Forward,
    Host,
    Prerouting,
}

impl Choice for GateHook {
    const WORDS: &'static [(&'static str, GateHook)] =
        &[("forward", GateHook::Forward), ("host", GateHook::Host), ("prerouting", GateHook::Prerouting)];
}

impl Gate {
    pub(super) fn read(mut section: Section<'_>, vars: &Vars, report: &mut Report) -> Gate {
        let mut gate = Gate::default();
        section.read_choice("hook", &mut gate.hook, report);
        section.read("priority", PRIORITY_EXPECTED, &mut gate.priority, report, |text| {
            text.parse().ok().filter(|priority| *priority > CONNTRACK_PRIORITY)
        });
        section.read_bool("install", &mut gate.install, report);
        section.read_bool("remove-on-exit", &mut gate.remove_on_exit, report);
        section.read(
            "never-block",
            "addresses as in rules: a prefix, a list, a group",
            &mut gate.never_block,
            report,
            |text| Sets::new(vars).addresses(text, Span::new(0, text.len())).ok().map(Some),
        );
        section.finish(report);
        gate
    }
}

/// `NF_IP_PRI_CONNTRACK`: at or before it a packet has no connection yet.
const CONNTRACK_PRIORITY: i32 = -200;

const PRIORITY_EXPECTED: &str =
    "a whole number above -200, where conntrack stands; 10 to 50 is behind the filter and before source NAT";
