//! Names for what is odd about a packet's headers.
//!
//! An anomaly is a value, never an error: a packet may have several, and most packets with one are still inspected.
//! Names are those of Suricata's decoder events wherever it has the same one, because rules and people know them.

use std::fmt;

/// Declares each anomaly once: variant, EVE event name, and whether the packet is broken by it or merely odd.
macro_rules! anomalies {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $severity:ident;)+) => {
        /// An oddity found while decoding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Anomaly {
            $($(#[$doc])* $variant,)+
        }

        impl Anomaly {
            pub const ALL: &'static [Anomaly] = &[$(Anomaly::$variant,)+];

            /// EVE `anomaly.event`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Anomaly::$variant => $name,)+
                }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Anomaly::$variant => Severity::$severity,)+
                }
            }
        }
    };
}

/// Whether a header could be understood in spite of an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Unusual, but every header was understood.
    Odd,
    /// A header is cut or contradicts itself: what stands behind it was not decoded, or not all of it is there.
    Broken,
}

anomalies! {
    /// Fewer than 20 bytes.
    Ipv4TooSmall = "decoder.ipv4.pkt_too_small", Broken;
    /// A header length below 20 bytes.
    Ipv4HeaderLength = "decoder.ipv4.hlen_too_small", Broken;
    /// A total length that does not even hold the header.
    Ipv4TotalLength = "decoder.ipv4.iplen_smaller_than_hlen", Broken;
    /// Fewer bytes than the total length says.
    Ipv4Truncated = "decoder.ipv4.trunc_pkt", Broken;
    /// EtherType IPv4, but the version field says otherwise.
    Ipv4Version = "decoder.ipv4.wrong_ip_version", Broken;
    /// An option whose length runs out of the header, or is below 2.
    Ipv4OptionLength = "decoder.ipv4.opt_invalid_len", Odd;
    /// An option of a length that its kind cannot have.
    Ipv4OptionMalformed = "decoder.ipv4.opt_malformed", Odd;
    Ipv4OptionDuplicate = "decoder.ipv4.opt_duplicate", Odd;
    Ipv4OptionUnknown = "decoder.ipv4.opt_unknown", Odd;
    /// Options do not end in an end-of-list or at the header's end.
    Ipv4OptionPadding = "decoder.ipv4.opt_pad_required", Odd;
    /// Protocol 58 in an IPv4 header.
    Ipv4Icmpv6 = "decoder.ipv4.icmpv6", Odd;
    /// A fragment that ends beyond 65535 bytes.
    Ipv4FragmentTooLarge = "decoder.ipv4.frag_pkt_too_large", Odd;
    /// Fragments that contradict or repeat one another.
    Ipv4FragmentOverlap = "decoder.ipv4.frag_overlap", Odd;
    /// A fragment that could not be kept: the defragmenter is full or its datagram was given up.
    Ipv4FragmentIgnored = "decoder.ipv4.frag_ignored", Odd;

    Ipv6TooSmall = "decoder.ipv6.pkt_too_small", Broken;
    Ipv6Truncated = "decoder.ipv6.trunc_pkt", Broken;
    Ipv6Version = "decoder.ipv6.wrong_ip_version", Broken;
    /// An extension header that runs out of the packet.
    Ipv6ExtensionTruncated = "decoder.ipv6.trunc_exthdr", Broken;
    Ipv6DuplicateFragment = "decoder.ipv6.exthdr_dupl_fh", Odd;
    /// A fragment header on a packet that is not fragmented ("atomic fragment").
    Ipv6UselessFragment = "decoder.ipv6.exthdr_useless_fh", Odd;
    Ipv6DuplicateRouting = "decoder.ipv6.exthdr_dupl_rh", Odd;
    Ipv6DuplicateHopByHop = "decoder.ipv6.exthdr_dupl_hh", Odd;
    /// More than the two destination option headers that RFC 8200 allows.
    Ipv6DuplicateDestination = "decoder.ipv6.exthdr_dupl_dh", Odd;
    Ipv6DuplicateAuthentication = "decoder.ipv6.exthdr_dupl_ah", Odd;
    /// An option that runs out of its header.
    Ipv6OptionLength = "decoder.ipv6.exthdr_invalid_optlen", Odd;
    Ipv6AuthenticationReserved = "decoder.ipv6.exthdr_ah_res_not_null", Odd;
    Ipv6HopByHopUnknown = "decoder.ipv6.hopopts_unknown_opt", Odd;
    Ipv6HopByHopOnlyPadding = "decoder.ipv6.hopopts_only_padding", Odd;
    Ipv6DestinationUnknown = "decoder.ipv6.dstopts_unknown_opt", Odd;
    Ipv6DestinationOnlyPadding = "decoder.ipv6.dstopts_only_padding", Odd;
    /// Routing header type 0, forbidden by RFC 5095.
    Ipv6RoutingType0 = "decoder.ipv6.rh_type_0", Odd;
    Ipv6ZeroLengthPadding = "decoder.ipv6.zero_len_padn", Odd;
    Ipv6FragmentReserved = "decoder.ipv6.fh_non_zero_reserved_field", Odd;
    Ipv6DataAfterNone = "decoder.ipv6.data_after_none_header", Odd;
    /// Protocol 1 in an IPv6 header.
    Ipv6Icmpv4 = "decoder.ipv6.icmpv4", Odd;
    Ipv6FragmentTooLarge = "decoder.ipv6.frag_pkt_too_large", Odd;
    Ipv6FragmentOverlap = "decoder.ipv6.frag_overlap", Odd;
    /// A fragment other than the last whose length is not a multiple of 8.
    Ipv6FragmentLength = "decoder.ipv6.frag_invalid_length", Odd;
    Ipv6FragmentIgnored = "decoder.ipv6.frag_ignored", Odd;

    TcpTooSmall = "decoder.tcp.pkt_too_small", Broken;
    TcpHeaderLength = "decoder.tcp.hlen_too_small", Broken;
    /// The data offset points behind the segment's end.
    TcpHeaderTruncated = "decoder.tcp.invalid_optlen", Broken;
    TcpOptionLength = "decoder.tcp.opt_invalid_len", Odd;
    TcpOptionDuplicate = "decoder.tcp.opt_duplicate", Odd;

    UdpTooSmall = "decoder.udp.pkt_too_small", Broken;
    /// A length field below 8.
    UdpHeaderLength = "decoder.udp.len_invalid", Broken;
    /// A length field that differs from what the IP header leaves.
    UdpLength = "decoder.udp.hlen_invalid", Odd;

    SctpTooSmall = "decoder.sctp.pkt_too_small", Broken;
    EspTooSmall = "decoder.esp.pkt_too_small", Broken;

    Icmpv4TooSmall = "decoder.icmpv4.pkt_too_small", Broken;
    Icmpv4UnknownType = "decoder.icmpv4.unknown_type", Odd;
    Icmpv4UnknownCode = "decoder.icmpv4.unknown_code", Odd;
    /// An error that quotes less than an IPv4 header.
    Icmpv4QuoteTruncated = "decoder.icmpv4.ipv4_trunc_pkt", Odd;
    Icmpv4QuoteVersion = "decoder.icmpv4.ipv4_unknown_ver", Odd;

    Icmpv6TooSmall = "decoder.icmpv6.pkt_too_small", Broken;
    Icmpv6UnknownType = "decoder.icmpv6.unknown_type", Odd;
    Icmpv6UnknownCode = "decoder.icmpv6.unknown_code", Odd;
    Icmpv6QuoteTruncated = "decoder.icmpv6.ipv6_trunc_pkt", Odd;
    Icmpv6QuoteVersion = "decoder.icmpv6.ipv6_unknown_version", Odd;
    /// Multicast listener discovery with a hop limit other than 1: it came from another link.
    Icmpv6MldHopLimit = "decoder.icmpv6.mld_message_with_invalid_hl", Odd;
    Icmpv6Unassigned = "decoder.icmpv6.unassigned_type", Odd;
    Icmpv6Experimental = "decoder.icmpv6.experimentation_type", Odd;

    GreTooSmall = "decoder.gre.pkt_too_small", Broken;
    GreVersion = "decoder.gre.wrong_version", Broken;
    GreVersion0Recursion = "decoder.gre.version0_recur", Odd;
    GreVersion0Flags = "decoder.gre.version0_flags", Odd;
    GreVersion0HeaderTruncated = "decoder.gre.version0_hdr_too_big", Broken;
    GreVersion0SourceRoute = "decoder.gre.version0_malformed_sre_hdr", Broken;
    /// PPTP's GRE (RFC 2637) has no checksum, no routing, always a key, and carries PPP only.
    GreVersion1Checksum = "decoder.gre.version1_chksum", Broken;
    GreVersion1Route = "decoder.gre.version1_route", Broken;
    GreVersion1StrictRoute = "decoder.gre.version1_ssr", Broken;
    GreVersion1Recursion = "decoder.gre.version1_recur", Broken;
    GreVersion1Flags = "decoder.gre.version1_flags", Broken;
    GreVersion1NoKey = "decoder.gre.version1_no_key", Broken;
    GreVersion1Protocol = "decoder.gre.version1_wrong_protocol", Broken;
    GreVersion1HeaderTruncated = "decoder.gre.version1_hdr_too_big", Broken;

    ErspanTooSmall = "decoder.erspan.header_too_small", Broken;
    ErspanVersion = "decoder.erspan.unsupported_version", Broken;

    EthernetTooSmall = "decoder.ethernet.pkt_too_small", Broken;
    VlanTooSmall = "decoder.vlan.header_too_small", Broken;
    MplsTooSmall = "decoder.mpls.header_too_small", Broken;
    /// An MPLS payload that is neither IPv4, IPv6 nor Ethernet.
    MplsUnknownPayload = "decoder.mpls.unknown_payload_type", Odd;
    PppTooSmall = "decoder.ppp.pkt_too_small", Broken;
    PppUnsupportedProtocol = "decoder.ppp.unsup_proto", Odd;
    PppoeTooSmall = "decoder.pppoe.pkt_too_small", Broken;
    SllTooSmall = "decoder.sll.pkt_too_small", Broken;
    Sll2TooSmall = "decoder.sll2.pkt_too_small", Broken;
    NullTooSmall = "decoder.ltnull.pkt_too_small", Broken;
    NullUnsupportedType = "decoder.ltnull.unsupported_type", Odd;
    RawInvalidVersion = "decoder.ipraw.invalid_ip_version", Broken;
    ChdlcTooSmall = "decoder.chdlc.pkt_too_small", Broken;
    VntagTooSmall = "decoder.vntag.header_too_small", Broken;
    BackboneTooSmall = "decoder.ieee8021ah.header_too_small", Broken;
    FabricPathTooSmall = "decoder.dce.pkt_too_small", Broken;
    NshTooSmall = "decoder.nsh.header_too_small", Broken;
    NshVersion = "decoder.nsh.unsupported_version", Broken;
    /// A length that does not hold the header, or runs out of the frame.
    NshHeaderLength = "decoder.nsh.bad_header_length", Broken;
    NshUnknownPayload = "decoder.nsh.unsupported_type", Odd;

    /// More encapsulation than we follow.
    TooManyLayers = "decoder.too_many_layers", Odd;
}

/// The anomalies of one packet: a set, in the order of their declaration.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Anomalies(u128);

const _: () = assert!(Anomaly::ALL.len() <= 128, "Anomalies is a set of 128 bits");

impl Anomalies {
    pub const NONE: Anomalies = Anomalies(0);

    pub fn add(&mut self, anomaly: Anomaly) {
        self.0 |= Self::bit(anomaly);
    }

    pub fn remove(&mut self, anomaly: Anomaly) {
        self.0 &= !Self::bit(anomaly);
    }

    #[must_use]
    pub fn and(self, others: Anomalies) -> Anomalies {
        Anomalies(self.0 | others.0)
    }

    #[must_use]
    pub fn has(self, anomaly: Anomaly) -> bool {
        self.0 & Self::bit(anomaly) != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        // The common packet has none and pays for one comparison.
        let candidates = if self.is_empty() { [].as_slice() } else { Anomaly::ALL };
        candidates.iter().copied().filter(move |anomaly| self.has(*anomaly))
    }

    /// Whether some header was cut or contradicted itself.
    #[must_use]
    pub fn is_broken(self) -> bool {
        self.iter().any(|anomaly| anomaly.severity() == Severity::Broken)
    }

    fn bit(anomaly: Anomaly) -> u128 {
        1 << (anomaly as u8)
    }
}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Anomaly::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_anomaly_has_a_bit_and_a_name_of_its_own() {
        let names: HashSet<_> = Anomaly::ALL.iter().map(|anomaly| anomaly.name()).collect();
        assert_eq!(names.len(), Anomaly::ALL.len());
        let mut all = Anomalies::NONE;
        for anomaly in Anomaly::ALL {
            assert!(!all.has(*anomaly));
            assert!(anomaly.name().starts_with("decoder."));
            all.add(*anomaly);
        }
        assert_eq!(all.iter().collect::<Vec<_>>(), Anomaly::ALL);
    }

    #[test]
    fn broken_is_told_from_odd() {
        let mut set = Anomalies::NONE;
        assert!(!set.is_broken());
        set.add(Anomaly::Ipv6RoutingType0);
        assert!(!set.is_broken());
        set.add(Anomaly::TcpTooSmall);
        assert!(set.is_broken());
        set.remove(Anomaly::TcpTooSmall);
        assert!(!set.is_broken());
    }
}
