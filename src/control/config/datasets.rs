//! `datasets:` sets that the configuration names, and what rules may do with files.

use std::path::PathBuf;

use super::report::Report;
use super::section::{Section, choice};
use crate::rules::dataset::{DataKind, DataSource, DataSpec, MEMCAP_BYTES_DEFAULT};

/// Everything about data sets, `default-data-dir` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datasets {
    /// Where `save` and `state` write.
    pub data_dir: PathBuf,
    /// `datasets.rules.allow-write`: rules may name files that are written, under `data_dir`.
    pub allow_write: bool,
    /// `datasets.rules.allow-absolute-filenames`: and anywhere else.
    pub allow_absolute: bool,
    /// `datasets.defaults.memcap`.
    pub memcap_bytes: usize,
    /// Sets by name.
    pub sets: Vec<DataSpec>,
}

impl Default for Datasets {
    fn default() -> Self {
        Datasets {
            data_dir: PathBuf::from("/var/lib/tidegate/data"),
            allow_write: true,
            allow_absolute: false,
            memcap_bytes: MEMCAP_BYTES_DEFAULT,
            sets: Vec::new(),
        }
    }
}

const MEMCAP_BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 40;

impl super::section::Choice for DataKind {
    const WORDS: &'static [(&'static str, DataKind)] = &DataKind::WORDS;
}

impl Datasets {
    pub(super) fn read(root: &mut Section<'_>, report: &mut Report) -> Datasets {
        let mut datasets = Datasets::default();
        root.read("default-data-dir", "a directory", &mut datasets.data_dir, report, |text| {
            (!text.is_empty()).then(|| PathBuf::from(text))
        });
        let mut section = root.section("datasets", report);
        let mut defaults = section.section("defaults", report);
        defaults.read_size("memcap", MEMCAP_BYTES, &mut datasets.memcap_bytes, report);
        defaults.not_honoured(&["hashsize"], report);
        defaults.finish(report);
        let mut rules = section.section("rules", report);
        rules.read_bool("allow-write", &mut datasets.allow_write, report);
        rules.read_bool("allow-absolute-filenames", &mut datasets.allow_absolute, report);
        rules.finish(report);
        section.not_honoured(&["limits"], report);
        report.asked("datasets");
        for entry in section.entries().iter().filter(|entry| !OWN_KEYS.contains(&entry.key.as_str())) {
            let path = section.path_of(&entry.key);
            datasets.sets.extend(set(&entry.key, Section::new(&path, Some(&entry.value), report), report));
        }
        datasets
    }
}

const OWN_KEYS: [&str; 3] = ["defaults", "rules", "limits"];

fn set(name: &str, mut section: Section<'_>, report: &mut Report) -> Option<DataSpec> {
    let mut kind = None;
    let (mut load, mut save, mut state) = (None, None, None);
    let mut memcap = 0;
    let text = |text: &str| (!text.is_empty()).then(|| Some(text.to_owned()));
    for (key, into) in [("load", &mut load), ("save", &mut save), ("state", &mut state)] {
        if let Some((_, found)) = section.text(key, report) {
            *into = text(found).flatten();
        }
    }
    if let Some((_, found)) = section.text("type", report) {
        kind = choice::<DataKind>(found);
    }
    section.read_size("memcap", MEMCAP_BYTES, &mut memcap, report);
    section.not_honoured(&["hashsize"], report);
    section.finish(report);
    let source = match state {
        Some(file) => DataSource { load: Some(file.clone()), save: Some(file) },
        None => DataSource { load, save },
    };
    let memcap_bytes = (memcap > 0).then_some(memcap);
    Some(DataSpec { name: name.to_owned(), kind: Some(kind?), source, memcap_bytes, configured: true })
}
