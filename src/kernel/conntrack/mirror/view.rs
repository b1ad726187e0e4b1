//! What a connection's packets look like at our hook, for NAT changes them on the way. Pure.
//!
//! ```text
//!                 original direction             reply direction
//!  BeforeNat      orig.src  -> orig.dst          reply.src -> reply.dst
//!  BetweenNats    orig.src  -> reply.src         reply.src -> orig.src
//!  AfterNat       reply.dst -> reply.src         orig.dst  -> orig.src
//! ```
//!
//! `nf_nat_packet` changes destinations at prerouting and output, sources at postrouting and input. Read in the original
//! direction, an entry has three faces: `orig`, [`between`] and [`after`]; without NAT they are one and the same.

use crate::packet::conntrack::{Direction, Tuple};
use crate::packet::ingress::Hook;

/// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`.
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_SRCNAT: i32 = 100;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Which of a packet's addresses NAT has changed when it reaches a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    BeforeNat,
    BetweenNats,
    AfterNat,
}

impl View {
    /// The view of a chain with this priority.
    #[must_use]
    pub fn at(hook: Hook, priority: i32) -> View {
        match hook {
            Hook::Prerouting | Hook::Output if priority <= PRIORITY_DSTNAT => View::BeforeNat,
            Hook::Input | Hook::Postrouting if priority > PRIORITY_SRCNAT => View::AfterNat,
            _ => View::BetweenNats,
        }
    }

    /// This view and no other, for chains of ours, whose priority we know.
    #[must_use]
    pub fn only(self) -> &'static [View] {
        match self {
            View::BeforeNat => &[View::BeforeNat],
            View::BetweenNats => &[View::BetweenNats],
            View::AfterNat => &[View::AfterNat],
        }
    }

    /// The views of a chain that somebody else wrote, most likely first: in prerouting it is probably one of `mangle`,
    /// elsewhere it probably stands before `srcnat`.
    #[must_use]
    pub fn guesses(hook: Hook) -> &'static [View] {
        match hook {
            Hook::Prerouting => &[View::BeforeNat, View::BetweenNats],
            Hook::Output => &[View::BetweenNats, View::BeforeNat],
            Hook::Input | Hook::Postrouting => &[View::BetweenNats, View::AfterNat],
            Hook::Forward => &[View::BetweenNats],
        }
    }

    /// The view of the packet that an ICMP error quotes: it is seen as it left, not as it came.
    #[must_use]
    pub fn of_quoted(self) -> View {
        match self {
            View::BeforeNat => View::AfterNat,
            View::BetweenNats => View::BetweenNats,
            View::AfterNat => View::BeforeNat,
        }
    }

    /// The face of an entry that a packet of this direction shows here; a reply packet shows it the other way round.
    #[must_use]
    pub fn face(self, direction: Direction) -> Face {
        match (self, direction) {
            (View::BetweenNats, _) => Face::Between,
            (View::BeforeNat, Direction::Original) | (View::AfterNat, Direction::Reply) => Face::Orig,
            (View::BeforeNat, Direction::Reply) | (View::AfterNat, Direction::Original) => Face::After,
        }
    }
}

/// One of the three tuples that an entry's packets show, read in the original direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Face {
    Orig,
    Between,
    After,
}

impl Face {
    pub const ALL: [Face; 3] = [Face::Orig, Face::Between, Face::After];

    /// `None` for a reply tuple that no request can have.
    #[must_use]
    pub fn of(self, orig: &Tuple, reply: &Tuple) -> Option<Tuple> {
        match self {
            Face::Orig => Some(*orig),
            Face::Between => Some(between(orig, reply)),
            Face::After => after(reply),
        }
    }
}

/// De-DNATed and not yet SNATed: the original source, and the destination that answers.
#[must_use]
pub fn between(orig: &Tuple, reply: &Tuple) -> Tuple {
    let dst_port = if is_icmp(orig.protocol) { orig.dst_port } else { reply.src_port };
    Tuple { dst: reply.src, dst_port, ..*orig }
}

/// As it leaves after all NAT: the inverse of the reply.
#[must_use]
pub fn after(reply: &Tuple) -> Option<Tuple> {
    opposite(reply)
}

/// The tuple of a packet in the other direction (`nf_ct_invert_tuple`): addresses and ports change places; for ICMP the
/// identifier stays, and request types become reply types. `None` for ICMP types that come in no pair.
#[must_use]
pub fn opposite(tuple: &Tuple) -> Option<Tuple> {
    if !is_icmp(tuple.protocol) {
        return Some(tuple.inverted());
    }
    let [kind, code] = tuple.dst_port.to_be_bytes();
    let kind = opposite_type(tuple.protocol, kind)?;
    Some(Tuple {
        src: tuple.dst,
        dst: tuple.src,
        protocol: tuple.protocol,
        src_port: tuple.src_port,
        dst_port: u16::from_be_bytes([kind, code]),
    })
}

/// Whether the kernel would track a packet that belongs to no known connection as the first of a new one, rather than
/// call it INVALID (`tcp_new` with `nf_conntrack_tcp_loose=1`, `nf_conntrack_icmp_packet`).
#[must_use]
pub fn may_open(tuple: &Tuple, tcp_flags: Option<u8>) -> bool {
    let [kind, _] = tuple.dst_port.to_be_bytes();
    match (tuple.protocol, tcp_flags) {
        (ICMP, _) => matches!(kind, 8 | 13 | 15 | 17),
        (ICMPV6, _) => matches!(kind, 128 | 139),
        (_, Some(flags)) if flags & tcp::RST != 0 => false,
        (_, Some(flags)) if flags & tcp::SYN != 0 => flags & tcp::ACK == 0,
        (_, Some(flags)) => flags & tcp::FIN == 0 && flags & tcp::ACK != 0,
        (_, None) => true,
    }
}

/// Whether a TCP packet with these flags is the first of a connection: a SYN alone.
#[must_use]
pub fn opens(tcp_flags: u8) -> bool {
    tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::SYN
}

/// The TCP header's flag bits.
pub mod tcp {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
}

fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMPV6)
}

/// The kernel's `invmap` of `nf_conntrack_proto_icmp.c` and `nf_conntrack_proto_icmpv6.c`.
fn opposite_type(protocol: u8, kind: u8) -> Option<u8> {
    Some(match (protocol, kind) {
        (ICMP, 8) => 0,
        (ICMP, 0) => 8,
        (ICMP, 13 | 15 | 17) | (ICMPV6, 128) => kind.wrapping_add(1),
        (ICMP, 14 | 16 | 18) | (ICMPV6, 129) => kind.wrapping_sub(1),
        (ICMPV6, 139) => 140,
        (ICMPV6, 140) => 139,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(protocol: u8, src: &str, src_port: u16, dst: &str, dst_port: u16) -> Tuple {
        Tuple { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol, src_port, dst_port }
    }

    #[test]
    fn chains_see_what_nat_has_done_before_them() {
        for (hook, priority, wanted) in [
            (Hook::Prerouting, -150, View::BeforeNat),
            (Hook::Prerouting, -90, View::BetweenNats),
            (Hook::Input, 10, View::BetweenNats),
            (Hook::Input, 110, View::AfterNat),
            (Hook::Forward, 10, View::BetweenNats),
            (Hook::Output, -150, View::BeforeNat),
            (Hook::Output, 10, View::BetweenNats),
            (Hook::Postrouting, 10, View::BetweenNats),
            (Hook::Postrouting, 300, View::AfterNat),
        ] {
            assert_eq!(View::at(hook, priority), wanted, "{hook:?} {priority}");
        }
    }

    #[test]
    fn an_entry_with_both_nats_has_three_faces() {
        let orig = tuple(6, "10.0.0.1", 40000, "192.0.2.1", 80);
        let reply = tuple(6, "10.1.0.2", 8080, "10.1.0.9", 61000);
        let faces: Vec<_> = Face::ALL.iter().map(|face| face.of(&orig, &reply).unwrap()).collect();
        let between = tuple(6, "10.0.0.1", 40000, "10.1.0.2", 8080);
        assert_eq!(faces, [orig, between, tuple(6, "10.1.0.9", 61000, "10.1.0.2", 8080)]);
    }

    #[test]
    fn without_nat_all_faces_are_one() {
        for (orig, reply) in [
            (tuple(17, "10.0.0.1", 40000, "10.1.0.2", 53), tuple(17, "10.1.0.2", 53, "10.0.0.1", 40000)),
            (tuple(1, "10.0.0.1", 99, "10.1.0.2", 0x0800), tuple(1, "10.1.0.2", 99, "10.0.0.1", 0)),
            (tuple(58, "fd00::1", 99, "fd00::2", 0x8000), tuple(58, "fd00::2", 99, "fd00::1", 0x8100)),
        ] {
            for face in Face::ALL {
                assert_eq!(face.of(&orig, &reply), Some(orig), "{face:?}");
            }
        }
    }

    #[test]
    fn an_identifier_that_snat_changed_belongs_to_the_source() {
        let orig = tuple(1, "10.0.0.1", 99, "192.0.2.1", 0x0800);
        let reply = tuple(1, "10.1.0.2", 7, "10.1.0.9", 0);
        assert_eq!(between(&orig, &reply), tuple(1, "10.0.0.1", 99, "10.1.0.2", 0x0800));
        assert_eq!(after(&reply), Some(tuple(1, "10.1.0.9", 7, "10.1.0.2", 0x0800)));
    }

    #[test]
    fn opposite_twice_is_the_same() {
        for protocol in [ICMP, ICMPV6, 6, 17, 47] {
            for kind in 0..=255u8 {
                let there = tuple(protocol, "10.0.0.1", 5, "10.0.0.2", u16::from_be_bytes([kind, 0]));
                if let Some(back) = opposite(&there) {
                    assert_eq!(opposite(&back), Some(there));
                }
            }
        }
        assert_eq!(opposite(&tuple(ICMP, "10.0.0.1", 5, "10.0.0.2", 0x0301)), None, "errors have no opposite");
    }

    #[test]
    fn what_may_open_a_connection() {
        let any = tuple(6, "10.0.0.1", 1, "10.0.0.2", 2);
        for (flags, wanted) in [
            (tcp::SYN, true),
            (tcp::ACK, true),
            (tcp::SYN | tcp::ACK, false),
            (tcp::RST, false),
            (tcp::FIN | tcp::ACK, false),
            (0, false),
        ] {
            assert_eq!(may_open(&any, Some(flags)), wanted, "{flags:#x}");
        }
        assert!(may_open(&Tuple { protocol: 17, ..any }, None));
        assert!(may_open(&tuple(ICMP, "10.0.0.1", 1, "10.0.0.2", 0x0800), None));
        assert!(!may_open(&tuple(ICMP, "10.0.0.1", 1, "10.0.0.2", 0), None), "an echo reply nobody asked for");
    }
}
