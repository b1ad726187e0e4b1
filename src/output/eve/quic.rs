//! The object `quic`.

use serde::Serialize;

use super::app::EveObject;
use super::tls::FingerprintObject;
use crate::output::text::Bytes;
use crate::packet::app::protocols::quic::record::{ExtensionRecord, QuicRecord};

#[derive(Serialize)]
pub struct QuicObject {
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ua: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cyu: Vec<FingerprintObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<FingerprintObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3s: Option<FingerprintObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<ExtensionObject>,
}

#[derive(Serialize)]
struct ExtensionObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(rename = "type")]
    number: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<Bytes>,
}

impl EveObject for QuicRecord {
    type Object = QuicObject;

    fn object(record: &QuicRecord) -> QuicObject {
        QuicObject {
            version: record.version.to_string(),
            sni: record.sni.as_deref().map(Bytes::of),
            ua: record.user_agent.as_deref().map(Bytes::of),
            cyu: record.cyu.iter().map(FingerprintObject::of).collect(),
            ja3: record.ja3.as_ref().map(FingerprintObject::of),
            ja3s: record.ja3s.as_ref().map(FingerprintObject::of),
            ja4: record.ja4.clone(),
            extensions: record.extensions.iter().map(ExtensionObject::of).collect(),
        }
    }
}

impl ExtensionObject {
    fn of(record: &ExtensionRecord) -> ExtensionObject {
        let known = NAMES.iter().find(|(number, _)| *number == record.number);
        ExtensionObject {
            name: known.map(|(_, name)| *name),
            number: record.number,
            values: record.values.iter().map(|value| Bytes::of(value)).collect(),
        }
    }
}

/// IANA, TLS ExtensionType values, with the two that were never registered.
const NAMES: &[(u16, &str)] = &[
    (0, "server_name"),
    (1, "max_fragment_length"),
    (2, "client_certificate_url"),
    (3, "trusted_ca_keys"),
    (4, "truncated_hmac"),
    (5, "status_request"),
    (6, "user_mapping"),
    (7, "client_authz"),
    (8, "server_authz"),
    (9, "cert_type"),
    (10, "supported_groups"),
    (11, "ec_point_formats"),
    (12, "srp"),
    (13, "signature_algorithms"),
    (14, "use_srtp"),
    (15, "heartbeat"),
    (16, "alpn"),
    (17, "status_request_v2"),
    (18, "signed_certificate_timestamp"),
    (19, "client_certificate_type"),
    (20, "server_certificate_type"),
    (21, "padding"),
    (22, "encrypt_then_mac"),
    (23, "extended_master_secret"),
    (24, "token_binding"),
    (25, "cached_info"),
    (26, "tls_lts"),
    (27, "compress_certificate"),
    (28, "record_size_limit"),
    (29, "pwd_protect"),
    (30, "pwd_clear"),
    (31, "password_salt"),
    (32, "ticket_pinning"),
    (33, "tls_cert_with_extern_psk"),
    (34, "delegated_credentials"),
    (35, "session_ticket"),
    (36, "tlmsp"),
    (37, "tlmsp_proxying"),
    (38, "tlmsp_delegate"),
    (39, "supported_ekt_ciphers"),
    (41, "pre_shared_key"),
    (42, "early_data"),
    (43, "supported_versions"),
    (44, "cookie"),
    (45, "psk_key_exchange_modes"),
    (47, "certificate_authorities"),
    (48, "oid_filters"),
    (49, "post_handshake_auth"),
    (50, "signature_algorithms_cert"),
    (51, "key_share"),
    (52, "transparency_info"),
    (53, "connection_id_deprecated"),
    (54, "connection_id"),
    (55, "external_id_hash"),
    (56, "external_session_id"),
    (57, "quic_transport_parameters"),
    (58, "ticket_request"),
    (59, "dnssec_chain"),
    (13172, "next_protocol_negotiation"),
    (65281, "renegotiation_info"),
];
