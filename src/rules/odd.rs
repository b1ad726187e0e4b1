//! Rules about headers that few packets have: fragments, IPv4 options, no time to live, an address that talks to itself.
//!
//! They have no literal and any port, so without this each would be held against every packet.

use super::plan::{PacketTest, Rule};

/// The fragmentation flags of nearly all packets: none, or `DF` alone.
pub const USUAL_FRAGMENT_FLAGS: [u8; 2] = [0, 2];
/// No packet that still travels has less.
pub const USUAL_TTL_MIN: u8 = 2;

/// Whether the rule can match no packet with a usual header.
#[must_use]
pub fn is_wanted_by(rule: &Rule) -> bool {
    rule.packet.iter().any(refuses_usual)
}

fn refuses_usual(test: &PacketTest) -> bool {
    match *test {
        PacketTest::FragBits(test) => !USUAL_FRAGMENT_FLAGS.iter().any(|flags| test.accepts(*flags)),
        PacketTest::FragOffset(test) => !test.accepts(0),
        PacketTest::Fragment(wanted) => wanted,
        PacketTest::Ttl(test) => !(USUAL_TTL_MIN..=u8::MAX).any(|ttl| test.accepts(u64::from(ttl))),
        PacketTest::IpOption(_) | PacketTest::SameIp => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::plan::{BitsMode, BitsTest, NumberTest};

    #[test]
    fn only_tests_that_no_usual_header_passes_are_odd() {
        let bits = |mode, bits| PacketTest::FragBits(BitsTest { mode, bits, mask: 7 });
        let cases = [
            (bits(BitsMode::Exact, 1), true),
            (bits(BitsMode::AtLeast, 1), true),
            (bits(BitsMode::AtLeast, 4), true),
            (bits(BitsMode::Exact, 2), false),
            (bits(BitsMode::AnyOf, 3), false),
            (bits(BitsMode::NotAll, 1), false),
            (PacketTest::FragOffset(NumberTest::Greater(0)), true),
            (PacketTest::FragOffset(NumberTest::Equal(0)), false),
            (PacketTest::Fragment(true), true),
            (PacketTest::Fragment(false), false),
            (PacketTest::Ttl(NumberTest::Equal(0)), true),
            (PacketTest::Ttl(NumberTest::Less(5)), false),
            (PacketTest::SameIp, true),
            (PacketTest::IpVersion(4), false),
        ];
        for (test, expected) in cases {
            assert_eq!(refuses_usual(&test), expected, "{test:?}");
        }
    }
}
