//! `app-layer:` which protocols are read, and how far.

use std::ops::RangeInclusive;

use super::policy::OnTrouble;
use super::report::{ProblemKind, Report, is_switched_off};
use super::section::{Choice, Section, boolean, number};
use super::tree::{Node, Place, Value};
use crate::packet::app::ports::RANGE_COUNT_MAX;
use crate::packet::app::protocols::http1::HttpLimits;
use crate::packet::app::{AppConfig, EncryptionHandling, PortRanges, ProtocolSetting, TlsSettings};
use crate::rules::app::{AppProto, AppProtoSet};

/// Suricata's 0, no limit at all, becomes this.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Suricata's choices of how a server reads a URI. Ours is what `IDS` is there: no server's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Personality {
    Ids,
}

impl Choice for Personality {
    const WORDS: &'static [(&'static str, Personality)] = &[("IDS", Personality::Ids)];
}

pub(super) fn read(mut section: Section<'_>, error: &mut OnTrouble, report: &mut Report) -> AppConfig {
    let mut config = AppConfig::default();
    section.read_size("memcap", 1 << 20..=1 << 40, &mut config.memcap_bytes, report);
    let mut protocols = section.section("protocols", report);
    let mut off = Vec::new();
    let mut http = protocols.section("http", report);
    let mut enabled = true;
    http.read("enabled", "yes, no or detection-only", &mut enabled, report, is_enabled);
    if !enabled {
        off.push(AppProto::Http1);
    }
    let mut libhtp = http.section("libhtp", report);
    read_http(libhtp.section("default-config", report), &mut config.limits.http, report);
    libhtp.not_honoured(&["server-config"], report);
    libhtp.finish(report);
    http.not_honoured(&["memcap", "byterange", "request-body-limit", "response-body-limit"], report);
    http.finish(report);
    read_tls(protocols.section("tls", report), &mut config.limits.tls, report);
    for entry in protocols.entries() {
        let Some(protocol) = AppProto::ALL.into_iter().find(|protocol| protocol.name() == entry.key) else { continue };
        if entry.key != "http" && is_switched_off(&entry.value) {
            off.push(protocol);
        }
        let path = protocols.path_of(&entry.key);
        config.limits.protocols.set(protocol, |setting| read_setting(&entry.value, &path, setting, report));
    }
    let kept = config.enabled.iter().filter(|protocol| !off.contains(protocol)).collect::<Vec<_>>();
    config.enabled = AppProtoSet::of(&kept);
    section.read_choice("error-policy", error, report);
    section.finish(report);
    config
}

/// What every protocol has: `detection-ports`, of its own or one level down for TCP and UDP, and `max-tx`.
fn read_setting(node: &Node, path: &str, setting: &mut ProtocolSetting, report: &mut Report) {
    let mut ranges = Vec::new();
    gather_ports(node, &mut ranges);
    if !ranges.is_empty() {
        let read = ranges.iter().map(|(_, text)| port_range(text)).collect::<Option<Vec<_>>>();
        setting.ports = read.and_then(PortRanges::of);
        if setting.ports.is_none()
            && let Some((place, text)) = ranges.first()
        {
            let expected = format!("at most {RANGE_COUNT_MAX} ports or ranges, such as 53, 5350:5353");
            let path = format!("{path}.detection-ports");
            report.problem(place, ProblemKind::Value { path, value: (*text).to_owned(), expected });
        }
    }
    if let Some((_, text)) = scalar_at(node, "max-tx") {
        setting.transaction_count_max =
            number(text).and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    }
}

/// The ports under `detection-ports`, as they are written, each once. Ours are looked for on either side.
fn gather_ports<'n>(node: &'n Node, ranges: &mut Vec<(&'n Place, &'n str)>) {
    let holders = [Some(node), entry_at(node, "tcp"), entry_at(node, "udp")];
    let lists = holders.into_iter().flatten().filter_map(|holder| entry_at(holder, "detection-ports"));
    for (place, text) in lists.flat_map(|list| ["dp", "sp"].map(|side| scalar_at(list, side))).flatten() {
        for range in text.trim_matches(['[', ']']).split(',').map(str::trim).filter(|range| !range.is_empty()) {
            if !ranges.iter().any(|(_, known)| *known == range) {
                ranges.push((place, range));
            }
        }
    }
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

fn entry_at<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn scalar_at<'n>(node: &'n Node, key: &str) -> Option<(&'n Place, &'n str)> {
    let found = entry_at(node, key)?;
    let Value::Scalar(text) = &found.value else { return None };
    Some((&found.place, text))
}

fn read_http(mut section: Section<'_>, http: &mut HttpLimits, report: &mut Report) {
    let mut personality = Personality::Ids;
    section.read_choice("personality", &mut personality, report);
    section.read_size("request-body-limit", 0..=BODY_BYTES_MAX, &mut http.request_body_bytes_max, report);
    section.read_size("response-body-limit", 0..=BODY_BYTES_MAX, &mut http.response_body_bytes_max, report);
    for limit in [&mut http.request_body_bytes_max, &mut http.response_body_bytes_max] {
        if *limit == 0 {
            *limit = BODY_BYTES_MAX;
        }
    }
    section.read_number("response-body-decompress-layer-limit", 0..=16, &mut http.coding_layer_count_max, report);
    section.read_bool("double-decode-path", &mut http.uri_form.double_decode_path, report);
    section.read_bool("double-decode-query", &mut http.uri_form.double_decode_query, report);
    section.read_bool("uri-include-all", &mut http.uri_form.include_all, report);
    section.not_honoured(&SURICATA, report);
    section.finish(report);
}

impl Choice for EncryptionHandling {
    const WORDS: &'static [(&'static str, EncryptionHandling)] = &[
        ("track-only", EncryptionHandling::TrackOnly),
        // Its name before Suricata 8.
        ("default", EncryptionHandling::TrackOnly),
        ("bypass", EncryptionHandling::Bypass),
        ("full", EncryptionHandling::Full),
    ];
}

/// `enabled` is read with that of the other protocols. TLS is recognised on any port, so there are none to choose.
fn read_tls(mut section: Section<'_>, tls: &mut TlsSettings, report: &mut Report) {
    section.read_choice("encryption-handling", &mut tls.encryption, report);
    section.read("ja3-fingerprints", "auto, yes or no", &mut tls.ja3, report, automatic);
    section.read("ja4-fingerprints", "auto, yes or no", &mut tls.ja4, report, automatic);
    for key in ["enabled", "detection-ports"] {
        let _ = section.find(key);
    }
    section.not_honoured(&["no-reassemble"], report);
    section.finish(report);
}

/// Fingerprints cost little: where Suricata makes them when a rule asks, we always make them.
fn automatic(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("auto") { Some(true) } else { boolean(text) }
}

fn is_enabled(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("detection-only") { Some(false) } else { boolean(text) }
}

/// Bodies are judged as they come, so there is nothing to wait for; the other limits are fixed.
const SURICATA: [&str; 24] = [
    "request-body-minimal-inspect-size",
    "request-body-inspect-window",
    "response-body-minimal-inspect-size",
    "response-body-inspect-window",
    "http-body-inline",
    "swf-decompression",
    "randomize-inspection-sizes",
    "randomize-inspection-range",
    "lzma-enabled",
    "lzma-memlimit",
    "compression-bomb-limit",
    "decompression-time-limit",
    "max-tx",
    "headers-limit",
    "meta-field-limit",
    "path-convert-backslash-separators",
    "path-bestfit-replacement-char",
    "path-convert-lowercase",
    "path-nul-encoded-terminates",
    "path-nul-raw-terminates",
    "path-separators-compress",
    "path-separators-decode",
    "path-u-encoding-decode",
    "path-url-encoding-invalid-handling",
];
