//! Bridges whose packets meet two families: rules of the bridge's own queue them, and `br_netfilter` shows the same packets
//! to the hooks of IP. Both then track them, each in its own way, and an attack was seen to pass.

use super::finding::{Finding, State};
use crate::kernel::nft::{self, BridgeQueueRule, NftError, Queues};
use std::fmt::{self, Display, Formatter};
use std::fs;

const SYSCTLS: &str = "/proc/sys/net/bridge";
const INTERFACES: &str = "/sys/class/net";
/// The switches in [`SYSCTLS`], and the same for one bridge alone.
const SWITCHES: [&str; 2] = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];
const SWITCHES_OF_ONE: [&str; 2] = ["nf_call_iptables", "nf_call_ip6tables"];
/// Rules that a message names.
const RULES_NAMED_MAX: usize = 3;

/// What `br_netfilter` is told here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrNetfilter {
    is_loaded: bool,
    /// Switches that stand at 1, as the user would name them.
    on: Vec<String>,
}

impl BrNetfilter {
    /// As it is in the network namespace of the calling thread.
    #[must_use]
    pub fn here() -> BrNetfilter {
        let is_on = |path: String| fs::read_to_string(path).is_ok_and(|value| value.trim() != "0");
        let switches = SWITCHES.iter().filter(|switch| is_on(format!("{SYSCTLS}/{switch}")));
        let mut on: Vec<String> = switches.map(|switch| format!("net.bridge.{switch}")).collect();
        for name in fs::read_dir(INTERFACES).into_iter().flatten().flatten().map(|entry| entry.file_name()) {
            let name = name.to_string_lossy();
            let of_one = SWITCHES_OF_ONE.iter().filter(|switch| is_on(format!("{INTERFACES}/{name}/bridge/{switch}")));
            on.extend(of_one.map(|switch| format!("{switch} of {name}")));
        }
        let is_loaded = fs::exists(SYSCTLS).unwrap_or(false);
        // Without the module the switches of a bridge turn on nothing.
        BrNetfilter { is_loaded, on: if is_loaded { on } else { Vec::new() } }
    }
}

/// Packets of bridges that are queued in their own family, and shown to the hooks of IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwofoldBridge {
    on: Vec<String>,
    rules: Vec<BridgeQueueRule>,
    /// Some are queued to us.
    pub is_ours: bool,
}

impl TwofoldBridge {
    /// In the network namespace of the calling thread, for a gate on these queues.
    ///
    /// # Errors
    /// When the ruleset cannot be read.
    pub fn here(queues: Queues) -> Result<Option<TwofoldBridge>, NftError> {
        let switches = BrNetfilter::here();
        if switches.on.is_empty() {
            return Ok(None);
        }
        Ok(TwofoldBridge::of(switches, nft::bridge_queue_rules()?, queues))
    }

    fn of(switches: BrNetfilter, rules: Vec<BridgeQueueRule>, queues: Queues) -> Option<TwofoldBridge> {
        let is_ours = rules.iter().any(|rule| rule.may_meet(queues));
        let both = !switches.on.is_empty() && !rules.is_empty();
        both.then_some(TwofoldBridge { on: switches.on, rules, is_ours })
    }

    #[must_use]
    pub fn way_out(&self) -> &'static str {
        "sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 (for one bridge: ip link set \
         BRIDGE type bridge nf_call_iptables 0 nf_call_ip6tables 0), or queue from an inet table alone"
    }
}

impl Display for TwofoldBridge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.rules.iter().take(RULES_NAMED_MAX).map(|rule| rule.rule.as_str()).collect();
        let more = if self.rules.len() > RULES_NAMED_MAX { ", and others" } else { "" };
        write!(
            f,
            "br_netfilter shows bridged packets to the IP hooks ({}), and the bridge family queues them, too (rule {}{more}): \
             with both at once attacks pass",
            self.on.join(", "),
            rules.join(", ")
        )
    }
}

/// Only where `br_netfilter` is loaded.
pub fn finding(queues: Queues) -> Option<Finding> {
    let name = "bridge-nf-call";
    let switches = BrNetfilter::here();
    if !switches.is_loaded {
        return None;
    }
    match nft::bridge_queue_rules() {
        Ok(rules) => Some(found(switches, rules, queues)),
        Err(error) => Some(Finding::new(name, State::Unknown, error.to_string(), "run as root")),
    }
}

fn found(switches: BrNetfilter, rules: Vec<BridgeQueueRule>, queues: Queues) -> Finding {
    let name = "bridge-nf-call";
    if switches.on.is_empty() {
        return Finding::ok(name, "bridged packets do not meet the IP hooks");
    }
    match TwofoldBridge::of(switches, rules, queues) {
        Some(twofold) => {
            let state = if twofold.is_ours { State::Missing } else { State::Degraded };
            Finding::new(name, state, twofold.to_string(), twofold.way_out())
        }
        None => Finding::new(
            name,
            State::Degraded,
            "packets between ports of a bridge meet the IP hooks, too; the kernel drops first packets that a bridge \
             floods to several ports while they are queued",
            "sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0, unless that is wanted",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Queues = Queues { first: 7400, count: 4 };

    fn switches(on: &[&str]) -> BrNetfilter {
        BrNetfilter { is_loaded: true, on: on.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn rule(queues: Option<Queues>) -> BridgeQueueRule {
        BridgeQueueRule { rule: "bridge others forward handle 3".to_owned(), queues }
    }

    #[test]
    fn both_families_at_once_are_found_and_named() {
        let on = ["net.bridge.bridge-nf-call-iptables"];
        let foreign = Queues { first: 0, count: 1 };
        for (on, rules, state) in [
            (&[][..], vec![rule(Some(OURS))], State::Ok),
            (&on[..], vec![], State::Degraded),
            (&on[..], vec![rule(Some(foreign))], State::Degraded),
            (&on[..], vec![rule(Some(OURS))], State::Missing),
            (&on[..], vec![rule(Some(foreign)), rule(None)], State::Missing),
            (&["nf_call_ip6tables of br0"][..], vec![rule(Some(OURS))], State::Missing),
        ] {
            let finding = found(switches(on), rules.clone(), OURS);
            assert_eq!(finding.state, state, "{on:?} {rules:?}");
            let is_named = finding.meaning.contains("bridge others forward handle 3")
                && finding.meaning.contains(on.concat().as_str());
            assert_eq!(is_named, !on.is_empty() && !rules.is_empty(), "{finding}");
        }
    }

    #[test]
    fn many_rules_are_not_all_named() {
        let twofold = TwofoldBridge::of(switches(&["x"]), vec![rule(None); 9], OURS).unwrap();
        let told = twofold.to_string();
        assert_eq!(told.matches("handle 3").count(), RULES_NAMED_MAX);
        assert!(told.contains("and others"), "{told}");
    }
}
