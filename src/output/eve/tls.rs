//! The object `tls`: what Suricata calls its extended form.

use std::borrow::Cow;

use serde::Serialize;

use super::app::EveObject;
use crate::output::text::Bytes;
use crate::packet::app::protocols::tls::certificate::Certificate;
use crate::packet::app::protocols::tls::fingerprint::Fingerprint;
use crate::packet::app::protocols::tls::record::TlsRecord;
use crate::packet::app::protocols::tls::version;

#[derive(Serialize)]
pub struct TlsObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuerdn: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    session_resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<Bytes>,
    version: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notbefore: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notafter: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subjectaltname: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<FingerprintObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3s: Option<FingerprintObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client_alpns: Vec<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    server_alpns: Vec<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<ClientObject>,
}

/// JA3 or JA3S.
#[derive(Serialize)]
pub struct FingerprintObject {
    hash: String,
    string: String,
}

/// The client's certificate.
#[derive(Serialize)]
struct ClientObject {
    subject: String,
    issuerdn: String,
    fingerprint: String,
    serial: String,
    notbefore: String,
    notafter: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subjectaltname: Vec<String>,
}

impl EveObject for TlsRecord {
    type Object = TlsObject;

    fn object(record: &TlsRecord) -> TlsObject {
        let certificate = record.certificate.as_deref();
        let text = |of: fn(&Certificate) -> String| certificate.map(of);
        TlsObject {
            subject: text(|certificate| certificate.subject.clone()),
            issuerdn: text(|certificate| certificate.issuer.clone()),
            session_resumed: record.session_resumed,
            serial: text(|certificate| certificate.serial.clone()),
            fingerprint: text(|certificate| certificate.fingerprint.clone()),
            sni: record.sni.as_deref().map(Bytes::of),
            version: version::name(record.version),
            notbefore: text(|certificate| iso(certificate.not_before)),
            notafter: text(|certificate| iso(certificate.not_after)),
            subjectaltname: certificate.map_or_else(Vec::new, |certificate| certificate.names.clone()),
            ja3: record.ja3.as_ref().map(FingerprintObject::of),
            ja3s: record.ja3s.as_ref().map(FingerprintObject::of),
            ja4: record.ja4.clone(),
            client_alpns: record.client_alpns.iter().map(|name| Bytes::of(name)).collect(),
            server_alpns: record.server_alpns.iter().map(|name| Bytes::of(name)).collect(),
            client: record.client_certificate.as_deref().map(ClientObject::of),
        }
    }
}

impl FingerprintObject {
    pub fn of(fingerprint: &Fingerprint) -> FingerprintObject {
        FingerprintObject { hash: fingerprint.hash.clone(), string: fingerprint.string.clone() }
    }
}

impl ClientObject {
    fn of(certificate: &Certificate) -> ClientObject {
        ClientObject {
            subject: certificate.subject.clone(),
            issuerdn: certificate.issuer.clone(),
            fingerprint: certificate.fingerprint.clone(),
            serial: certificate.serial.clone(),
            notbefore: iso(certificate.not_before),
            notafter: iso(certificate.not_after),
            subjectaltname: certificate.names.clone(),
        }
    }
}

/// `2026-11-20T18:11:19`, UTC. A time beyond all calendars is the last or first that they have.
fn iso(seconds: i64) -> String {
    let bound = if seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(bound);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
