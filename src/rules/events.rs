//! `decode-event` and `stream-event`: oddities of packets that have names, in Suricata's words.
//!
//! The data plane raises them by name. A name that nothing here ever raises is known all the same, so that a rule which
//! asks for it is refused with a reason and not loaded to be silent for ever.

/// A name, as its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketEvent(u8);

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct EventName {
    /// With `decoder.` or `stream.` before it, as EVE `anomaly.event` writes it.
    pub name: &'static str,
    /// Whether our decoder or stream can raise it.
    pub raised: bool,
}

const fn raised(name: &'static str) -> EventName {
    EventName { name, raised: true }
}

const fn never(name: &'static str) -> EventName {
    EventName { name, raised: false }
}

impl PacketEvent {
    #[must_use]
    pub fn named(name: &str) -> Option<PacketEvent> {
        let at = EVENTS.iter().position(|event| event.name == name)?;
        u8::try_from(at).ok().map(PacketEvent)
    }

    #[must_use]
    pub fn is_raised(self) -> bool {
        EVENTS.get(usize::from(self.0)).is_some_and(|event| event.raised)
    }
}

/// A set of events: those of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketEvents([u64; 4]);

impl PacketEvents {
    pub const NONE: PacketEvents = PacketEvents([0; 4]);

    pub fn add(&mut self, event: PacketEvent) {
        if let Some(word) = self.0.get_mut(usize::from(event.0 / 64)) {
            *word |= 1 << (event.0 % 64);
        }
    }

    pub fn merge(&mut self, other: PacketEvents) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    #[must_use]
    pub fn has(self, event: PacketEvent) -> bool {
        self.0.get(usize::from(event.0 / 64)).is_some_and(|word| word & 1 << (event.0 % 64) != 0)
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self == PacketEvents::NONE
    }
}

const _: () = assert!(EVENTS.len() <= 256, "PacketEvents is a set of 256 bits");

/// Every name of Suricata 7.
pub static EVENTS: &[EventName] = &[
    raised("decoder.ipv4.pkt_too_small"),
    raised("decoder.ipv4.hlen_too_small"),
    raised("decoder.ipv4.iplen_smaller_than_hlen"),
    raised("decoder.ipv4.trunc_pkt"),
    never("decoder.ipv4.opt_invalid"),
    raised("decoder.ipv4.opt_invalid_len"),
    raised("decoder.ipv4.opt_malformed"),
    raised("decoder.ipv4.opt_pad_required"),
    never("decoder.ipv4.opt_eol_required"),
    raised("decoder.ipv4.opt_duplicate"),
    raised("decoder.ipv4.opt_unknown"),
    raised("decoder.ipv4.wrong_ip_version"),
    raised("decoder.ipv4.icmpv6"),
    raised("decoder.icmpv4.pkt_too_small"),
    raised("decoder.icmpv4.unknown_type"),
    raised("decoder.icmpv4.unknown_code"),
    raised("decoder.icmpv4.ipv4_trunc_pkt"),
    raised("decoder.icmpv4.ipv4_unknown_ver"),
    raised("decoder.icmpv6.unknown_type"),
    raised("decoder.icmpv6.unknown_code"),
    raised("decoder.icmpv6.pkt_too_small"),
    raised("decoder.icmpv6.ipv6_unknown_version"),
    raised("decoder.icmpv6.ipv6_trunc_pkt"),
    raised("decoder.icmpv6.mld_message_with_invalid_hl"),
    raised("decoder.icmpv6.unassigned_type"),
    raised("decoder.icmpv6.experimentation_type"),
    raised("decoder.ipv6.pkt_too_small"),
    raised("decoder.ipv6.trunc_pkt"),
    raised("decoder.ipv6.trunc_exthdr"),
    raised("decoder.ipv6.exthdr_dupl_fh"),
    raised("decoder.ipv6.exthdr_useless_fh"),
    raised("decoder.ipv6.exthdr_dupl_rh"),
    raised("decoder.ipv6.exthdr_dupl_hh"),
    raised("decoder.ipv6.exthdr_dupl_dh"),
    raised("decoder.ipv6.exthdr_dupl_ah"),
    never("decoder.ipv6.exthdr_dupl_eh"),
    raised("decoder.ipv6.exthdr_invalid_optlen"),
    raised("decoder.ipv6.wrong_ip_version"),
    raised("decoder.ipv6.exthdr_ah_res_not_null"),
    raised("decoder.ipv6.hopopts_unknown_opt"),
    raised("decoder.ipv6.hopopts_only_padding"),
    raised("decoder.ipv6.dstopts_unknown_opt"),
    raised("decoder.ipv6.dstopts_only_padding"),
    raised("decoder.ipv6.rh_type_0"),
    raised("decoder.ipv6.zero_len_padn"),
    raised("decoder.ipv6.fh_non_zero_reserved_field"),
    raised("decoder.ipv6.data_after_none_header"),
    never("decoder.ipv6.unknown_next_header"),
    raised("decoder.ipv6.icmpv4"),
    raised("decoder.tcp.pkt_too_small"),
    raised("decoder.tcp.hlen_too_small"),
    raised("decoder.tcp.invalid_optlen"),
    raised("decoder.tcp.opt_invalid_len"),
    raised("decoder.tcp.opt_duplicate"),
    raised("decoder.udp.pkt_too_small"),
    never("decoder.udp.hlen_too_small"),
    raised("decoder.udp.hlen_invalid"),
    raised("decoder.udp.len_invalid"),
    raised("decoder.sll.pkt_too_small"),
    raised("decoder.sll2.pkt_too_small"),
    raised("decoder.ethernet.pkt_too_small"),
    raised("decoder.ppp.pkt_too_small"),
    never("decoder.ppp.vju_pkt_too_small"),
    never("decoder.ppp.ip4_pkt_too_small"),
    never("decoder.ppp.ip6_pkt_too_small"),
    never("decoder.ppp.wrong_type"),
    raised("decoder.ppp.unsup_proto"),
    raised("decoder.pppoe.pkt_too_small"),
    never("decoder.pppoe.wrong_code"),
    never("decoder.pppoe.malformed_tags"),
    raised("decoder.gre.pkt_too_small"),
    raised("decoder.gre.wrong_version"),
    raised("decoder.gre.version0_recur"),
    raised("decoder.gre.version0_flags"),
    raised("decoder.gre.version0_hdr_too_big"),
    raised("decoder.gre.version0_malformed_sre_hdr"),
    raised("decoder.gre.version1_chksum"),
    raised("decoder.gre.version1_route"),
    raised("decoder.gre.version1_ssr"),
    raised("decoder.gre.version1_recur"),
    raised("decoder.gre.version1_flags"),
    raised("decoder.gre.version1_no_key"),
    raised("decoder.gre.version1_wrong_protocol"),
    never("decoder.gre.version1_malformed_sre_hdr"),
    raised("decoder.gre.version1_hdr_too_big"),
    raised("decoder.vlan.header_too_small"),
    never("decoder.vlan.unknown_type"),
    never("decoder.vlan.too_many_layers"),
    raised("decoder.ieee8021ah.header_too_small"),
    raised("decoder.vntag.header_too_small"),
    never("decoder.vntag.unknown_type"),
    raised("decoder.ipraw.invalid_ip_version"),
    raised("decoder.ltnull.pkt_too_small"),
    raised("decoder.ltnull.unsupported_type"),
    raised("decoder.sctp.pkt_too_small"),
    raised("decoder.esp.pkt_too_small"),
    raised("decoder.ipv4.frag_pkt_too_large"),
    raised("decoder.ipv6.frag_pkt_too_large"),
    raised("decoder.ipv4.frag_overlap"),
    raised("decoder.ipv6.frag_overlap"),
    raised("decoder.ipv6.frag_invalid_length"),
    raised("decoder.ipv4.frag_ignored"),
    raised("decoder.ipv6.frag_ignored"),
    never("decoder.ipv6.ipv4_in_ipv6_too_small"),
    never("decoder.ipv6.ipv4_in_ipv6_wrong_version"),
    never("decoder.ipv6.ipv6_in_ipv6_too_small"),
    never("decoder.ipv6.ipv6_in_ipv6_wrong_version"),
    raised("decoder.mpls.header_too_small"),
    never("decoder.mpls.pkt_too_small"),
    never("decoder.mpls.bad_label_router_alert"),
    never("decoder.mpls.bad_label_implicit_null"),
    never("decoder.mpls.bad_label_reserved"),
    raised("decoder.mpls.unknown_payload_type"),
    never("decoder.vxlan.unknown_payload_type"),
    never("decoder.geneve.unknown_payload_type"),
    raised("decoder.erspan.header_too_small"),
    raised("decoder.erspan.unsupported_version"),
    never("decoder.erspan.too_many_vlan_layers"),
    raised("decoder.dce.pkt_too_small"),
    raised("decoder.chdlc.pkt_too_small"),
    raised("decoder.nsh.header_too_small"),
    raised("decoder.nsh.unsupported_version"),
    raised("decoder.nsh.bad_header_length"),
    never("decoder.nsh.reserved_type"),
    raised("decoder.nsh.unsupported_type"),
    never("decoder.nsh.unknown_payload"),
    raised("decoder.too_many_layers"),
    never("stream.3whs_ack_in_wrong_dir"),
    never("stream.3whs_async_wrong_seq"),
    never("stream.3whs_right_seq_wrong_ack_evasion"),
    never("stream.3whs_synack_in_wrong_direction"),
    never("stream.3whs_synack_resend_with_different_ack"),
    never("stream.3whs_synack_resend_with_diff_ack"),
    never("stream.3whs_synack_resend_with_diff_seq"),
    never("stream.3whs_synack_toserver_on_syn_recv"),
    never("stream.3whs_synack_with_wrong_ack"),
    never("stream.3whs_synack_flood"),
    never("stream.3whs_syn_resend_diff_seq_on_syn_recv"),
    never("stream.3whs_syn_toclient_on_syn_recv"),
    never("stream.3whs_wrong_seq_wrong_ack"),
    never("stream.3whs_ack_data_inject"),
    never("stream.3whs_synack_tfo_data_ignored"),
    never("stream.4whs_synack_with_wrong_ack"),
    never("stream.4whs_synack_with_wrong_syn"),
    never("stream.4whs_wrong_seq"),
    never("stream.4whs_invalid_ack"),
    never("stream.closewait_ack_out_of_window"),
    never("stream.closewait_fin_out_of_window"),
    never("stream.closewait_pkt_before_last_ack"),
    never("stream.closewait_invalid_ack"),
    never("stream.closing_ack_wrong_seq"),
    never("stream.closing_invalid_ack"),
    never("stream.est_packet_out_of_window"),
    never("stream.est_pkt_before_last_ack"),
    never("stream.est_synack_resend"),
    never("stream.est_synack_resend_with_different_ack"),
    never("stream.est_synack_resend_with_diff_ack"),
    raised("stream.est_synack_resend_with_diff_seq"),
    never("stream.est_synack_toserver"),
    never("stream.est_syn_resend"),
    raised("stream.est_syn_resend_diff_seq"),
    never("stream.est_syn_toclient"),
    never("stream.est_invalid_ack"),
    never("stream.fin_invalid_ack"),
    never("stream.fin1_ack_wrong_seq"),
    never("stream.fin1_fin_wrong_seq"),
    never("stream.fin1_invalid_ack"),
    never("stream.fin2_ack_wrong_seq"),
    never("stream.fin2_fin_wrong_seq"),
    never("stream.fin2_invalid_ack"),
    never("stream.fin_but_no_session"),
    never("stream.fin_out_of_window"),
    raised("stream.fin_syn"),
    never("stream.lastack_ack_wrong_seq"),
    never("stream.lastack_invalid_ack"),
    never("stream.rst_but_no_session"),
    never("stream.timewait_ack_wrong_seq"),
    never("stream.timewait_invalid_ack"),
    never("stream.shutdown_syn_resend"),
    never("stream.pkt_invalid_timestamp"),
    raised("stream.pkt_invalid_ack"),
    raised("stream.pkt_broken_ack"),
    never("stream.rst_invalid_ack"),
    raised("stream.pkt_retransmission"),
    raised("stream.pkt_spurious_retransmission"),
    never("stream.pkt_bad_window_update"),
    raised("stream.suspected_rst_inject"),
    never("stream.wrong_thread"),
    raised("stream.reassembly_segment_before_base_seq"),
    never("stream.reassembly_no_segment"),
    raised("stream.reassembly_seq_gap"),
    raised("stream.reassembly_overlap_different_data"),
    raised("stream.reassembly_depth_reached"),
    raised("stream.reassembly_insert_memcap"),
    raised("stream.reassembly_insert_limit"),
    never("stream.reassembly_insert_invalid"),
    // Suricata 8's, and ours.
    raised("stream.reassembly_urgent_oob_limit_reached"),
    raised("stream.reassembly_overlap_unverified"),
    raised("stream.data_after_fin"),
    raised("stream.data_after_rst"),
    raised("stream.syn_data"),
    raised("applayer_mismatch_protocol_both_directions"),
    raised("applayer_wrong_direction_first_data"),
    raised("applayer_no_tls_after_starttls"),
    never("applayer_detect_protocol_only_one_direction"),
    never("applayer_proto_detection_skipped"),
    never("applayer_unexpected_protocol"),
];
