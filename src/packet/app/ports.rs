//! What can be chosen for single protocols, whatever they are: on which ports they are looked for, and how many
//! transactions may wait.

use std::ops::RangeInclusive;

use super::ParseContext;
use crate::rules::app::AppProto;

/// Ranges that one protocol's list may have.
pub const RANGE_COUNT_MAX: usize = 8;

/// Ports, as few ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRanges {
    ranges: [Option<(u16, u16)>; RANGE_COUNT_MAX],
}

impl PortRanges {
    /// `None`: there are more than [`RANGE_COUNT_MAX`].
    pub fn of(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Option<PortRanges> {
        let mut ports = PortRanges::default();
        let mut room = ports.ranges.iter_mut();
        for range in ranges {
            *room.next()? = Some((*range.start(), *range.end()));
        }
        Some(ports)
    }

    #[must_use]
    pub fn contain(&self, port: u16) -> bool {
        self.ranges.iter().flatten().any(|(first, last)| (*first..=*last).contains(&port))
    }
}

/// What is set for one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolSetting {
    /// Suricata's `detection-ports`; `None`: the usual ones.
    pub ports: Option<PortRanges>,
    /// Suricata's `max-tx`; `None`: that of all.
    pub transaction_count_max: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolSettings([ProtocolSetting; AppProto::ALL.len()]);

impl Default for ProtocolSettings {
    fn default() -> Self {
        ProtocolSettings([ProtocolSetting { ports: None, transaction_count_max: None }; AppProto::ALL.len()])
    }
}

impl ProtocolSettings {
    #[must_use]
    pub fn of(&self, protocol: AppProto) -> ProtocolSetting {
        self.0.get(protocol as usize).copied().unwrap_or_default()
    }

    pub fn set(&mut self, protocol: AppProto, change: impl FnOnce(&mut ProtocolSetting)) {
        if let Some(setting) = self.0.get_mut(protocol as usize) {
            change(setting);
        }
    }
}

/// One end is on a port of this protocol: one of those that are set for it, or else of the `usual` ones.
#[must_use]
pub fn on_port(context: &ParseContext<'_>, protocol: AppProto, usual: &[u16]) -> bool {
    let ends = [context.server_port, context.client_port];
    match context.limits.protocols.of(protocol).ports {
        Some(ports) => ends.into_iter().any(|port| ports.contain(port)),
        None => ends.into_iter().any(|port| usual.contains(&port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_that_are_listed() {
        let ports = PortRanges::of([53..=53, 5350..=5353]).unwrap();
        for (port, listed) in [(53, true), (52, false), (5350, true), (5353, true), (5354, false)] {
            assert_eq!(ports.contain(port), listed, "{port}");
        }
        assert_eq!(PortRanges::of((0..9).map(|port| port..=port)), None);
    }
}
