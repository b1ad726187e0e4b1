//! `outputs:` which logs are written, and where.

use std::path::PathBuf;

use crate::output::spec::{Destination, EveLog, FastLog, RecordTypes};

/// The list `outputs` and `default-log-dir`. Paths in it are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    pub default_log_dir: PathBuf,
    pub fast: Option<FastLog>,
    pub eve: Vec<EveLog>,
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
            default_log_dir: dir,
        }
    }
}
