//! `outputs:` which logs are written, and where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::report::{Report, is_off, is_switched_off};
use super::section::{Choice, Section, list, scalar};
use super::tree::{Node, Value};
use crate::output::spec::{
    AlertOptions, Destination, DropFlows, DropOptions, EveLog, FastLog, FileStoreSpec, RecordTypes,
};
use crate::packet::app::Hashes;
use crate::packet::app::record::EVENT_TYPES;

/// The list `outputs` and `default-log-dir`. Paths in it are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    pub default_log_dir: PathBuf,
    pub fast: Option<FastLog>,
    pub eve: Vec<EveLog>,
    pub file_store: Option<FileStoreSpec>,
}

/// `eve.json` and `fast.log` in `/var/log/tidegate`.
impl Default for Outputs {
    fn default() -> Self {
        Outputs::in_dir(PathBuf::from("/var/log/tidegate"))
    }
}

impl Outputs {
    /// The default outputs, in another directory.
    #[must_use]
    pub fn in_dir(dir: PathBuf) -> Outputs {
        Outputs {
            fast: Some(FastLog { destination: Destination::File(dir.join("fast.log")) }),
            eve: vec![EveLog {
                destination: Destination::File(dir.join("eve.json")),
                types: RecordTypes::default(),
                community_id_seed: None,
                pcap_file: false,
            }],
            file_store: None,
            default_log_dir: dir,
        }
    }

    /// Without the key `outputs` the default ones are written; with it, those that it lists.
    pub(super) fn read(root: &mut Section<'_>, report: &mut Report) -> Outputs {
        let mut dir = Outputs::default().default_log_dir;
        root.read("default-log-dir", "a directory", &mut dir, report, |text| {
            (!text.is_empty()).then(|| PathBuf::from(text))
        });
        let Some(node) = root.find("outputs") else {
            return Outputs::in_dir(dir);
        };
        let mut outputs = Outputs { default_log_dir: dir, fast: None, eve: Vec::new(), file_store: None };
        let mut unsupported = Vec::new();
        for item in list(node, "outputs", report) {
            outputs.read_item(item, &mut unsupported, report);
        }
        report.no_effect(&node.place, "outputs", &unsupported);
        outputs
    }

    fn read_item<'t>(&mut self, item: &'t Node, unsupported: &mut Vec<&'t str>, report: &mut Report) {
        let Some((name, node)) = named(item, "outputs", report) else { return };
        let options = Section::new(&format!("outputs.{name}"), node, report);
        match name {
            "fast" => {
                if let Some(fast) = read_fast(options, &self.default_log_dir, report) {
                    self.check_unused(&fast.destination, item, report);
                    self.fast = Some(fast);
                }
            }
            "eve-log" => {
                if let Some(eve) = read_eve(options, &self.default_log_dir, report) {
                    self.check_unused(&eve.destination, item, report);
                    self.eve.push(eve);
                }
            }
            "file-store" => self.file_store = read_file_store(options, &self.default_log_dir, report),
            _ if SURICATA_OUTPUTS.contains(&name) => {
                if node.is_some_and(|node| !is_off(node)) {
                    unsupported.push(name);
                }
            }
            _ => {
                let known: Vec<&str> = ["fast", "eve-log", "file-store"].into_iter().chain(SURICATA_OUTPUTS).collect();
                report.unknown_key(&item.place, &format!("outputs.{name}"), name, &known);
            }
        }
    }

    fn check_unused(&self, destination: &Destination, item: &Node, report: &mut Report) {
        let others =
            self.eve.iter().map(|eve| &eve.destination).chain(self.fast.as_ref().map(|fast| &fast.destination));
        if others.into_iter().any(|other| other.path() == destination.path()) {
            let path = destination.path().display();
            report.rule(&item.place, "outputs", format!("two logs write to {path}; give one another filename"));
        }
    }
}

/// An element of a list of named things: `- name`, or `- name: {options}`.
fn named<'t>(item: &'t Node, path: &str, report: &mut Report) -> Option<(&'t str, Option<&'t Node>)> {
    match &item.value {
        Value::Scalar(name) => Some((name, None)),
        Value::Map(entries) => match entries.as_slice() {
            [entry] => Some((&entry.key, Some(&entry.value))),
            _ => {
                report.rule(&item.place, path, "each element has one name; begin the next with a dash");
                None
            }
        },
        Value::Null | Value::List(_) => {
            report.wrong_shape(item, path, "a name, or a name with options");
            None
        }
    }
}

/// Off unless it says `enabled: yes`, as in Suricata.
fn read_file_store(mut section: Section<'_>, dir: &Path, report: &mut Report) -> Option<FileStoreSpec> {
    let mut enabled = false;
    section.read_bool("enabled", &mut enabled, report);
    section.expect_default("version", "2", report);
    let mut spec = FileStoreSpec { dir: dir.join("filestore"), file_bytes_max: FILE_BYTES_MAX };
    section.read("dir", "a directory", &mut spec.dir, report, |text| (!text.is_empty()).then(|| dir.join(text)));
    let mut bytes_max = usize::try_from(spec.file_bytes_max).unwrap_or(usize::MAX);
    section.read_size("file-size-max", 1..=1 << 40, &mut bytes_max, report);
    spec.file_bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    section.not_honoured(&SURICATA_FILE_STORE, report);
    section.finish(report);
    enabled.then_some(spec)
}

/// A larger file is not stored, unless `file-size-max` says otherwise.
const FILE_BYTES_MAX: u64 = 100 << 20;

const SURICATA_FILE_STORE: [&str; 9] = [
    "force-filestore",
    "force-hash",
    "force-magic",
    "max-open-files",
    "stream-depth",
    "waldo",
    "write-fileinfo",
    "write-meta",
    "xff",
];

fn read_fast(mut section: Section<'_>, dir: &Path, report: &mut Report) -> Option<FastLog> {
    let mut enabled = true;
    section.read_bool("enabled", &mut enabled, report);
    let destination = read_destination(&mut section, dir, "fast.log", report);
    section.expect_default("append", "yes", report);
    section.not_honoured(&["filemode", "rotate-interval"], report);
    section.finish(report);
    enabled.then_some(FastLog { destination })
}

#[derive(Clone, Copy)]
enum FileType {
    Regular,
    UnixDatagram,
    UnixStream,
}

impl Choice for FileType {
    const WORDS: &'static [(&'static str, FileType)] = &[
        ("regular", FileType::Regular),
        ("unix_dgram", FileType::UnixDatagram),
        ("unix_stream", FileType::UnixStream),
    ];
}

fn read_destination(section: &mut Section<'_>, dir: &Path, default: &str, report: &mut Report) -> Destination {
    let mut file_type = FileType::Regular;
    section.read_choice("filetype", &mut file_type, report);
    let mut path = dir.join(default);
    section.read("filename", "a file name", &mut path, report, |text| (!text.is_empty()).then(|| dir.join(text)));
    match file_type {
        FileType::Regular => Destination::File(path),
        FileType::UnixDatagram => Destination::UnixDatagram(path),
        FileType::UnixStream => Destination::UnixStream(path),
    }
}

fn read_eve(mut section: Section<'_>, dir: &Path, report: &mut Report) -> Option<EveLog> {
    let mut enabled = true;
    section.read_bool("enabled", &mut enabled, report);
    let destination = read_destination(&mut section, dir, "eve.json", report);
    let (mut community_id, mut seed, mut pcap_file) = (false, 0, false);
    section.read_bool("community-id", &mut community_id, report);
    section.read_number("community-id-seed", 0..=65_535, &mut seed, report);
    section.read_bool("pcap-file", &mut pcap_file, report);
    let types = match section.find("types") {
        Some(node) => read_types(node, &section.path_of("types"), report),
        None => RecordTypes::default(),
    };
    section.expect_default("append", "yes", report);
    section.not_honoured(&SURICATA_EVE, report);
    section.finish(report);
    enabled.then_some(EveLog { destination, types, community_id_seed: community_id.then_some(seed), pcap_file })
}

fn read_types(node: &Node, path: &str, report: &mut Report) -> RecordTypes {
    let mut types = RecordTypes {
        alert: None,
        drop: None,
        flow: false,
        anomaly: false,
        stats: false,
        app: BTreeSet::new(),
        file_hashes: Hashes::default(),
    };
    let mut unsupported = Vec::new();
    for item in list(node, path, report) {
        let Some((name, options)) = named(item, path, report) else { continue };
        let section = Section::new(&format!("{path}.{name}"), options, report);
        match name {
            "alert" => types.alert = read_alert(section, report),
            "drop" => types.drop = read_drop(section, report),
            "flow" => types.flow = read_switch(section, &[], report),
            "anomaly" => types.anomaly = read_switch(section, &["types", "packethdr"], report),
            "stats" => types.stats = read_switch(section, &["threads", "deltas", "null-values"], report),
            // Suricata's configuration names the type otherwise than its records do.
            "files" => {
                if let Some(hashes) = read_files(section, report) {
                    types.app.insert("fileinfo");
                    types.file_hashes = hashes;
                }
            }
            _ if let Some(known) = EVENT_TYPES.iter().find(|known| **known == name) => {
                if read_switch(section, &APP_OPTIONS, report) {
                    types.app.insert(known);
                }
            }
            _ if SURICATA_TYPES.contains(&name) => {
                if options.is_none_or(|options| !is_switched_off(options)) {
                    unsupported.push(name);
                }
            }
            _ => {
                let known: Vec<&str> = OUR_TYPES.into_iter().chain(SURICATA_TYPES).collect();
                report.unknown_key(&item.place, &format!("{path}.{name}"), name, &known);
            }
        }
    }
    report.no_effect(&node.place, path, &unsupported);
    types
}

/// `files`: whether, and with which digests.
fn read_files(mut section: Section<'_>, report: &mut Report) -> Option<Hashes> {
    let mut enabled = true;
    let mut hashes = Hashes::default();
    section.read_bool("enabled", &mut enabled, report);
    let path = section.path_of("force-hash");
    for item in section.find("force-hash").map(|node| list(node, &path, report)).unwrap_or_default() {
        match scalar(item, &path, report) {
            Some("md5") => hashes.md5 = true,
            Some("sha1") => hashes.sha1 = true,
            Some("sha256") => hashes.sha256 = true,
            Some(other) => {
                report.unknown_key(&item.place, &format!("{path}.{other}"), other, &["md5", "sha1", "sha256"]);
            }
            None => {}
        }
    }
    section.not_honoured(&["force-magic"], report);
    section.finish(report);
    enabled.then_some(hashes)
}

fn read_switch(mut section: Section<'_>, suricata: &'static [&'static str], report: &mut Report) -> bool {
    let mut enabled = true;
    section.read_bool("enabled", &mut enabled, report);
    section.expect_default("totals", "yes", report);
    section.expect_default("extended", "yes", report);
    section.not_honoured(suricata, report);
    section.finish(report);
    enabled
}

fn read_alert(mut section: Section<'_>, report: &mut Report) -> Option<AlertOptions> {
    let mut enabled = true;
    let mut alert = AlertOptions::default();
    section.read_bool("enabled", &mut enabled, report);
    section.read_bool("payload", &mut alert.payload, report);
    section.read_bool("payload-printable", &mut alert.payload_printable, report);
    section.read_size("payload-buffer-size", 1..=1 << 20, &mut alert.payload_bytes_max, report);
    section.read_bool("packet", &mut alert.packet, report);
    section.read_bool("verdict", &mut alert.verdict, report);
    section.read_bool("tagged-packets", &mut alert.tagged_packets, report);
    read_alert_metadata(&mut section, &mut alert, report);
    section.not_honoured(&SURICATA_ALERT, report);
    section.finish(report);
    enabled.then_some(alert)
}

/// `metadata: yes`, or a mapping that says which.
fn read_alert_metadata(section: &mut Section<'_>, alert: &mut AlertOptions, report: &mut Report) {
    match section.find("metadata").map(|node| &node.value) {
        Some(Value::Scalar(_)) => {
            section.read_bool("metadata", &mut alert.metadata, report);
            alert.flow = alert.metadata;
        }
        _ => {
            let mut metadata = section.section("metadata", report);
            metadata.read_bool("flow", &mut alert.flow, report);
            let mut rule = metadata.section("rule", report);
            rule.read_bool("metadata", &mut alert.metadata, report);
            rule.read_bool("raw", &mut alert.rule_text, report);
            rule.read_bool("reference", &mut alert.references, report);
            rule.finish(report);
            metadata.not_honoured(&["app-layer"], report);
            metadata.finish(report);
        }
    }
}

impl Choice for DropFlows {
    const WORDS: &'static [(&'static str, DropFlows)] = &[("start", DropFlows::Start), ("all", DropFlows::All)];
}

fn read_drop(mut section: Section<'_>, report: &mut Report) -> Option<DropOptions> {
    let mut enabled = true;
    let mut drop = DropOptions::default();
    section.read_bool("enabled", &mut enabled, report);
    section.read_bool("alerts", &mut drop.alerts, report);
    section.read_choice("flows", &mut drop.flows, report);
    section.read_bool("verdict", &mut drop.verdict, report);
    section.finish(report);
    enabled.then_some(drop)
}

/// Options of Suricata's for application records that change nothing here: what it calls extended is always written.
const APP_OPTIONS: [&str; 9] =
    ["custom", "dump-all-headers", "version", "requests", "responses", "formats", "types", "session-resumption", "ja4"];

const OUR_TYPES: [&str; 5] = ["alert", "drop", "flow", "anomaly", "stats"];

const SURICATA_TYPES: [&str; 30] = [
    "arp",
    "bittorrent-dht",
    "dhcp",
    "dnp3",
    "doh2",
    "email",
    "enip",
    "files",
    "frame",
    "http",
    "http2",
    "ike",
    "imap",
    "ldap",
    "mdns",
    "metadata",
    "modbus",
    "mqtt",
    "netflow",
    "nfs",
    "pgsql",
    "pop3",
    "rdp",
    "rfb",
    "ssh",
    "telnet",
    "template",
    "tftp",
    "websocket",
    "ikev2",
];

const SURICATA_OUTPUTS: [&str; 17] = [
    "alert-debug",
    "alert-prelude",
    "alert-syslog",
    "dns-log",
    "drop",
    "file",
    "file-log",
    "http-body-data",
    "http-log",
    "lua",
    "pcap-log",
    "stats",
    "syslog",
    "tcp-data",
    "tls-log",
    "tls-store",
    "unified2-alert",
];

const SURICATA_EVE: [&str; 20] = [
    "buffer-size",
    "ethernet",
    "facility",
    "filemode",
    "format",
    "identity",
    "include-metadata",
    "json",
    "level",
    "metadata",
    "mode",
    "null",
    "prefix",
    "redis",
    "rotate-interval",
    "sensor-name",
    "suricata-version",
    "threaded",
    "xff",
    "filestore",
];

const SURICATA_ALERT: [&str; 13] = [
    "dnp3",
    "flow",
    "http",
    "http-body",
    "http-body-printable",
    "payload-length",
    "smtp",
    "ssh",
    "tls",
    "websocket-payload",
    "websocket-payload-printable",
    "xff",
    "app-layer",
];
