//! `app-layer-event`: the oddities that parsers name, protocol by protocol.

use super::{Arg, Draft, Keyword, Need, option};
use crate::rules::app::AppTest;
use crate::rules::error::{Code, Mistake, nearest};
use crate::rules::events::PacketEvent;
use crate::rules::plan::PacketTest;

pub(super) static KEYWORDS: &[Keyword] = &[option(
    "app-layer-event",
    "event",
    "protocol.name",
    "The parser has seen this oddity in the transaction.",
    app_layer_event,
)];

/// Every event that a parser raises, by its full name. One table a protocol.
pub static EVENTS: &[&[&str]] = &[BITTORRENT_DHT, DHCP, DNP3, DNS, FTP, HTTP, HTTP2, IKE, KRB5, LDAP, LLMNR, MDNS, MODBUS, MQTT, NFS, NTP, PGSQL, POP3, QUIC, RFB, SMB, SMTP, SNMP, SSH, TLS, WEBSOCKET];

/// Other names, from other versions of Suricata, with ours.
const ALIASES: &[(&str, &str)] =
    &[("dns.not_a_request", "dns.not_request"), ("dns.not_a_response", "dns.not_response")];

const LLMNR: &[&str] = &[
    "llmnr.malformed_data",
    "llmnr.not_request",
    "llmnr.not_response",
    "llmnr.z_flag_set",
    "llmnr.invalid_opcode",
    "llmnr.name_too_long",
    "llmnr.infinite_loop",
    "llmnr.too_many_labels",
    "llmnr.invalid_authorities",
    "llmnr.invalid_additionals",
];

const MDNS: &[&str] = &[
    "mdns.malformed_data",
    "mdns.not_request",
    "mdns.not_response",
    "mdns.z_flag_set",
    "mdns.invalid_opcode",
    "mdns.name_too_long",
    "mdns.infinite_loop",
    "mdns.too_many_labels",
    "mdns.invalid_authorities",
    "mdns.invalid_additionals",
];

const BITTORRENT_DHT: &[&str] = &["bittorrent_dht.malformed_packet"];

const LDAP: &[&str] = &["ldap.too_many_transactions", "ldap.invalid_data", "ldap.request_not_found"];

const PGSQL: &[&str] = &["pgsql.too_many_transactions"];

const POP3: &[&str] =
    &["pop3.too_many_transactions", "pop3.command_too_long", "pop3.response_too_long", "pop3.unknown_response"];

const WEBSOCKET: &[&str] = &["websocket.skip_end_of_payload", "websocket.reassembly_limit_reached"];

const DNS: &[&str] = &[
    "dns.malformed_data",
    "dns.not_request",
    "dns.not_response",
    "dns.z_flag_set",
    "dns.invalid_opcode",
    "dns.name_too_long",
    "dns.infinite_loop",
    "dns.too_many_labels",
    "dns.invalid_authorities",
    "dns.invalid_additionals",
];

const DHCP: &[&str] = &["dhcp.malformed_options", "dhcp.truncated_options"];

/// The first alone is raised: an answer without a question is seen by conntrack, and the mode says who asks.
const NTP: &[&str] = &["ntp.malformed_data", "ntp.unsolicited_response", "ntp.not_request", "ntp.not_response"];

const RFB: &[&str] = &[
    "rfb.malformed_message",
    "rfb.unimplemented_security_type",
    "rfb.unknown_security_result",
    "rfb.confused_state",
];

const MQTT: &[&str] = &[
    "mqtt.missing_connect",
    "mqtt.missing_publish",
    "mqtt.missing_subscribe",
    "mqtt.missing_unsubscribe",
    "mqtt.double_connect",
    "mqtt.unintroduced_message",
    "mqtt.invalid_qos_level",
    "mqtt.missing_msg_id",
    "mqtt.unassigned_msg_type",
    "mqtt.too_many_transactions",
    "mqtt.malformed_traffic",
];

/// The last is never raised: what follows the last payload is not looked at.
const IKE: &[&str] = &[
    "ike.malformed_data",
    "ike.no_encryption",
    "ike.weak_crypto_enc",
    "ike.weak_crypto_prf",
    "ike.weak_crypto_dh",
    "ike.weak_crypto_auth",
    "ike.weak_crypto_no_dh",
    "ike.weak_crypto_no_auth",
    "ike.invalid_proposal",
    "ike.unknown_proposal",
    "ike.multiple_server_proposal",
    "ike.payload_extra_data",
];

/// Never raised: what is no call or reply is let go by.
const NFS: &[&str] = &["nfs.malformed_data", "nfs.nonexisting_version", "nfs.unsupported_version"];

const MODBUS: &[&str] = &[
    "modbus.unsolicited_response",
    "modbus.invalid_function_code",
    "modbus.invalid_length",
    "modbus.invalid_value",
    "modbus.invalid_exception_code",
    "modbus.value_mismatch",
    "modbus.flooded",
    "modbus.invalid_protocol_id",
];

const DNP3: &[&str] = &[
    "dnp3.flooded",
    "dnp3.len_too_small",
    "dnp3.bad_link_crc",
    "dnp3.bad_transport_crc",
    "dnp3.malformed",
    "dnp3.unknown_object",
];

const KRB5: &[&str] = &["krb5.malformed_data", "krb5.weak_encryption"];

const SNMP: &[&str] = &["snmp.malformed_data", "snmp.unknown_security_model"];

const SMB: &[&str] = &[
    "smb.malformed_data",
    "smb.malformed_ntlmssp_request",
    "smb.negotiate_malformed_dialects",
    "smb.file_overlap",
    "smb.request_to_client",
    "smb.response_to_server",
    "smb.read_request_too_large",
    "smb.read_response_too_large",
    "smb.write_request_too_large",
];

const SMTP: &[&str] = &[
    "smtp.invalid_reply",
    "smtp.unable_to_match_reply_with_request",
    "smtp.max_command_line_len_exceeded",
    "smtp.max_reply_line_len_exceeded",
    "smtp.invalid_pipelined_sequence",
    "smtp.bdat_chunk_len_exceeded",
    "smtp.no_server_welcome_message",
    "smtp.tls_rejected",
    "smtp.data_command_rejected",
    "smtp.mime_parse_failed",
    "smtp.mime_malformed_msg",
    "smtp.mime_invalid_base64",
    "smtp.mime_invalid_qp",
    "smtp.mime_long_line",
    "smtp.mime_long_enc_line",
    "smtp.mime_long_header_name",
    "smtp.mime_long_header_value",
    "smtp.mime_long_boundary",
    "smtp.duplicate_fields",
    "smtp.unparsable_content",
    "smtp.truncated_line",
];

/// Some of these can never happen here, because the limit behind them is another; rules with them load all the same.
const HTTP: &[&str] = &[
    "http.100_continue_already_seen",
    "http.abnormal_ce_header",
    "http.compression_bomb",
    "http.double_encoded_uri",
    "http.duplicate_content_length_field_in_request",
    "http.duplicate_content_length_field_in_response",
    "http.failed_protocol_change",
    "http.file_name_too_long",
    "http.gzip_decompression_failed",
    "http.host_header_ambiguous",
    "http.invalid_authority_port",
    "http.invalid_content_length_field_in_request",
    "http.invalid_content_length_field_in_response",
    "http.invalid_request_chunk_len",
    "http.invalid_request_field_folding",
    "http.invalid_response_chunk_len",
    "http.invalid_response_field_folding",
    "http.invalid_server_port_in_request",
    "http.invalid_transfer_encoding_value_in_request",
    "http.invalid_transfer_encoding_value_in_response",
    "http.lzma_memlimit_reached",
    "http.method_delim_non_compliant",
    "http.missing_host_header",
    "http.multipart_generic_error",
    "http.multipart_invalid_header",
    "http.multipart_no_filedata",
    "http.range_invalid",
    "http.request_auth_unrecognized",
    "http.request_body_unexpected",
    "http.request_chunk_extension",
    "http.request_field_missing_colon",
    "http.request_field_too_long",
    "http.request_header_host_invalid",
    "http.request_header_invalid",
    "http.request_header_repetition",
    "http.request_line_incomplete",
    "http.request_line_invalid",
    "http.request_line_leading_whitespace",
    "http.request_line_missing_protocol",
    "http.request_server_port_tcp_port_mismatch",
    "http.request_too_many_headers",
    "http.request_uri_host_invalid",
    "http.response_abnormal_transfer_encoding",
    "http.response_body_unexpected",
    "http.response_chunk_extension",
    "http.response_chunked_old_proto",
    "http.response_field_missing_colon",
    "http.response_field_too_long",
    "http.response_header_invalid",
    "http.response_header_repetition",
    "http.response_invalid_protocol",
    "http.response_invalid_status",
    "http.response_multipart_byteranges",
    "http.response_too_many_headers",
    "http.too_many_encoding_layers",
    "http.too_many_warnings",
    "http.unable_to_match_response_to_request",
    "http.unknown_error",
    "http.uri_delim_non_compliant",
];

/// Suricata's names. Of these `invalid_frame_header`, `extra_header_data`, `invalid_http1_settings` and `invalid_range` are
/// never raised: here nothing is wrong with such traffic, or another name says it.
const HTTP2: &[&str] = &[
    "http2.authority_host_mismatch",
    "http2.data_stream_zero",
    "http2.dns_request_too_long",
    "http2.dns_response_too_long",
    "http2.extra_header_data",
    "http2.failed_decompression",
    "http2.header_integer_overflow",
    "http2.invalid_client_magic",
    "http2.invalid_frame_data",
    "http2.invalid_frame_header",
    "http2.invalid_frame_length",
    "http2.invalid_header",
    "http2.invalid_http1_settings",
    "http2.invalid_range",
    "http2.long_frame_data",
    "http2.reassembly_limit_reached",
    "http2.stream_id_reuse",
    "http2.too_many_frames",
    "http2.too_many_streams",
    "http2.userinfo_in_uri",
];

const FTP: &[&str] = &["ftp.request_command_too_long", "ftp.response_command_too_long", "ftp.too_many_transactions"];

/// Suricata 7's names. Of these `heartbeat_message`, `invalid_tls_header`, `invalid_record_version`,
/// `too_many_records_in_packet` and three about certificates are never raised: here nothing is wrong with such traffic,
/// or another name says it.
const TLS: &[&str] = &[
    "tls.invalid_sslv2_header",
    "tls.invalid_tls_header",
    "tls.invalid_record_version",
    "tls.invalid_record_type",
    "tls.invalid_record_length",
    "tls.invalid_handshake_message",
    "tls.heartbeat_message",
    "tls.invalid_heartbeat_message",
    "tls.overflow_heartbeat_message",
    "tls.dataleak_heartbeat_mismatch",
    "tls.handshake_invalid_length",
    "tls.multiple_sni_extensions",
    "tls.invalid_sni_type",
    "tls.invalid_sni_length",
    "tls.too_many_records_in_packet",
    "tls.invalid_certificate",
    "tls.certificate_invalid_length",
    "tls.certificate_invalid_version",
    "tls.certificate_invalid_serial",
    "tls.certificate_invalid_algorithmidentifier",
    "tls.certificate_invalid_x509name",
    "tls.certificate_invalid_date",
    "tls.certificate_invalid_extensions",
    "tls.certificate_invalid_der",
    "tls.certificate_invalid_subject",
    "tls.certificate_invalid_issuer",
    "tls.certificate_invalid_validity",
    "tls.error_message_encountered",
    "tls.invalid_ssl_record",
];

/// `error_on_header` is never raised: a datagram that cannot be read is not QUIC's.
const QUIC: &[&str] =
    &["quic.failed_decrypt", "quic.error_on_data", "quic.error_on_header", "quic.crypto_frag_too_long"];

const SSH: &[&str] = &["ssh.invalid_banner", "ssh.long_banner", "ssh.invalid_record", "ssh.long_kex_record"];

/// Before version 7 Suricata had `ikev2.` for `ike.`.
const OLD_IKE: &str = "ikev2.";

fn app_layer_event(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut name = arg.text().to_ascii_lowercase();
    if let Some(event) = name.strip_prefix(OLD_IKE) {
        name = format!("ike.{event}");
    }
    if let Some(event) = PacketEvent::named(&name).filter(|_| name.starts_with("applayer_")) {
        if !event.is_raised() {
            let why = "many protocols are recognised by one side alone, and that is no oddity";
            draft.needs.push((Need::Never(why), arg.option()));
        }
        draft.packet.push((PacketTest::Event(event), arg.option()));
        return Ok(());
    }
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, ours)| ours);
    let known = || EVENTS.iter().copied().flatten().copied();
    let Some(event) = known().find(|known| *known == name) else {
        let mistake = Mistake::new(Code::Value, arg.span, "no parser raises this event");
        return Err(match nearest(name, known()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake.help("events are written `protocol.name`, such as `dns.malformed_data`"),
        });
    };
    draft.app.push((AppTest::Event(event), arg.option()));
    Ok(())
}
