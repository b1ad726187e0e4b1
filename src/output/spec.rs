//! What to write and where to: the part of the configuration that the writer thread needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::packet::app::Hashes;
use crate::packet::app::record::EVENT_TYPES;

/// One `eve-log` entry of `outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EveLog {
    pub destination: Destination,
    pub types: RecordTypes,
    /// The seed when `community-id` is on.
    pub community_id_seed: Option<u16>,
    /// `pcap-file: yes`: replay adds the capture's name as `pcap_filename`.
    pub pcap_file: bool,
}

/// What an alert must carry for these logs. Workers copy no more than this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// At most so much of the payload; 0 where no log writes it.
    pub payload_bytes_max: usize,
    /// The whole packet.
    pub packet: bool,
}

impl Wanted {
    #[must_use]
    pub fn of(logs: &[EveLog]) -> Wanted {
        logs.iter().filter_map(|log| log.types.alert).fold(Wanted::default(), |wanted, alert| {
            let payload = if alert.payload || alert.payload_printable { alert.payload_bytes_max } else { 0 };
            Wanted { payload_bytes_max: wanted.payload_bytes_max.max(payload), packet: wanted.packet || alert.packet }
        })
    }
}

/// The `fast` entry of `outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FastLog {
    pub destination: Destination,
}

/// The `file-store` entry of `outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStoreSpec {
    pub dir: PathBuf,
    /// A larger file is not stored.
    pub file_bytes_max: u64,
}

/// Where records go, one JSON object or line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `filetype: regular`. Appended to, created with mode 0640, opened again on SIGHUP.
    File(PathBuf),
    /// `filetype: unix_dgram`: a datagram a record.
    UnixDatagram(PathBuf),
    /// `filetype: unix_stream`: a line a record.
    UnixStream(PathBuf),
}

impl Destination {
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Destination::File(path) | Destination::UnixDatagram(path) | Destination::UnixStream(path) => path,
        }
    }
}

/// The `types` list of an `eve-log`; `None` leaves a kind out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordTypes {
    pub alert: Option<AlertOptions>,
    pub drop: Option<DropOptions>,
    pub flow: bool,
    pub anomaly: bool,
    pub stats: bool,
    /// Application protocols by `event_type`.
    pub app: BTreeSet<&'static str>,
    /// Digests in `fileinfo`.
    pub file_hashes: Hashes,
}

/// All kinds, with Suricata's defaults for what an alert carries.
impl Default for RecordTypes {
    fn default() -> Self {
        RecordTypes {
            alert: Some(AlertOptions::default()),
            drop: Some(DropOptions::default()),
            flow: true,
            anomaly: true,
            stats: true,
            app: EVENT_TYPES.iter().copied().collect(),
            file_hashes: Hashes::default(),
        }
    }
}

/// Options of the `alert` type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertOptions {
    /// `payload`: the bytes as base64.
    pub payload: bool,
    /// `payload-printable`: the bytes with dots for what does not print.
    pub payload_printable: bool,
    /// `payload-buffer-size`: at most this much of it.
    pub payload_bytes_max: usize,
    /// `packet`: the whole packet as base64.
    pub packet: bool,
    /// `metadata.rule.metadata`: the rule's metadata.
    pub metadata: bool,
    /// `metadata.flow`: the flow's ends and counters.
    pub flow: bool,
    /// `metadata.rule.raw`: the rule as written.
    pub rule_text: bool,
    /// `metadata.rule.reference`: the rule's references.
    pub references: bool,
    /// `verdict`: what became of the packet.
    pub verdict: bool,
    /// `tagged-packets`: packets that follow a match of a rule with `tag`, as records of their own.
    pub tagged_packets: bool,
}

impl Default for AlertOptions {
    fn default() -> Self {
        AlertOptions {
            payload: false,
            payload_printable: false,
            payload_bytes_max: 4096,
            packet: false,
            metadata: true,
            flow: true,
            rule_text: false,
            references: false,
            verdict: false,
            tagged_packets: true,
        }
    }
}

/// Options of the `drop` type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropOptions {
    /// `alerts`: carry the rule that dropped.
    pub alerts: bool,
    /// `flows`: which drops of a flow to tell.
    pub flows: DropFlows,
    /// `verdict`: what became of the packet.
    pub verdict: bool,
}

impl Default for DropOptions {
    fn default() -> Self {
        DropOptions { alerts: true, flows: DropFlows::Start, verdict: false }
    }
}

/// `flows: start|all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DropFlows {
    /// Not those that merely follow from an earlier drop of the same connection.
    #[default]
    Start,
    All,
}
