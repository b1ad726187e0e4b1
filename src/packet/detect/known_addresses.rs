//! What rules say of the addresses of the packet before: most packets are of the same connection.

use std::net::IpAddr;

use crate::rules::ruleset::{AddressFacts, RuleSet};

/// Two addresses, with what one rule set says of them.
#[derive(Debug, Default)]
pub(super) struct KnownAddresses {
    /// Where the rule set lies and its generation: no other set that is alive has the same.
    of: (usize, u64),
    known: [Option<(IpAddr, AddressFacts)>; 2],
}

impl KnownAddresses {
    /// Of the source and of the destination.
    pub(super) fn about(&mut self, rules: &RuleSet, src: IpAddr, dst: IpAddr) -> [AddressFacts; 2] {
        let of = (std::ptr::from_ref(rules).addr(), rules.generation());
        if self.of != of {
            *self = KnownAddresses { of, known: [None; 2] };
        }
        let known = self.known;
        let about = |address: IpAddr| {
            let before = known.iter().flatten().find(|(known, _)| *known == address);
            before.map_or_else(|| rules.about(address), |(_, facts)| *facts)
        };
        let found = [about(src), about(dst)];
        let [of_src, of_dst] = found;
        self.known = [Some((src, of_src)), Some((dst, of_dst))];
        found
    }
}
