//! The files of data sets: read beside the rules, written under the data directory only.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::config::Datasets;
use crate::rules::dataset::{DataFiles, DataSets};

/// Larger files are not read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Where rules may read and write.
#[derive(Clone, Debug)]
pub struct DiskFiles {
    data_dir: PathBuf,
    allow_write: bool,
    allow_absolute: bool,
}

impl DiskFiles {
    #[must_use]
    pub fn new(config: &Datasets) -> DiskFiles {
        DiskFiles {
            data_dir: config.data_dir.clone(),
            allow_write: config.allow_write,
            allow_absolute: config.allow_absolute,
        }
    }

    /// Writes every set that is to be saved; says which could not be.
    #[must_use]
    pub fn save(&self, sets: &DataSets) -> Vec<(PathBuf, io::Error)> {
        let mut failed = Vec::new();
        for (name, text) in sets.to_save() {
            let path = self.data_dir.join(&name);
            // The old file stands until the new one is whole.
            let fresh = path.with_added_extension("new");
            let written = path.parent().map_or(Ok(()), fs::create_dir_all);
            let written = written.and_then(|()| fs::write(&fresh, text)).and_then(|()| fs::rename(&fresh, &path));
            failed.extend(written.err().map(|error| (path, error)));
        }
        failed
    }
}

impl DataFiles for DiskFiles {
    /// As Suricata: the name as it is, then beside the rule file; what is saved is under the data directory.
    fn read(&self, name: &str, beside: &str) -> Result<String, String> {
        let path = Path::new(name);
        let near = Path::new(beside).parent().map(|folder| folder.join(path));
        let places = [Some(path.to_owned()), near, Some(self.data_dir.join(path))];
        let found = places.into_iter().flatten().find(|path| path.is_file());
        let path = found.ok_or_else(|| format!("there is no file `{name}`"))?;
        let told = |error: io::Error| format!("cannot read {}: {error}", path.display());
        if fs::metadata(&path).map_err(told)?.len() > FILE_BYTES_MAX {
            return Err(format!("{} is larger than 1 GiB", path.display()));
        }
        fs::read_to_string(&path).map_err(told)
    }

    fn may_write(&self, name: &str) -> Result<(), String> {
        if !self.allow_write {
            return Err("rules may not write: `datasets.rules.allow-write` is off".to_owned());
        }
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain && !self.allow_absolute {
            return Err(format!(
                "`{name}` is outside of the data directory; `datasets.rules.allow-absolute-filenames`"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::dataset::{DataKind, DataSource, DataSpec};
    use std::sync::Arc;

    #[test]
    fn rules_read_beside_themselves_and_write_under_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        fs::create_dir_all(&rules).unwrap();
        fs::write(rules.join("a.lst"), "YWJj\n").unwrap();
        let config = Datasets { data_dir: dir.path().join("data"), ..Datasets::default() };
        let files = DiskFiles::new(&config);
        let beside = rules.join("x.rules").display().to_string();
        assert_eq!(files.read("a.lst", &beside).as_deref(), Ok("YWJj\n"));
        assert!(files.read("b.lst", &beside).is_err());
        assert!(files.may_write("sub/b.lst").is_ok());
        for name in ["../b.lst", "/etc/passwd", "a/../../b"] {
            assert!(files.may_write(name).is_err(), "{name}");
        }
        assert!(DiskFiles::new(&Datasets { allow_write: false, ..config.clone() }).may_write("b.lst").is_err());

        let sets = DataSets::with_files(Arc::new(files.clone()));
        let state = Some("sub/seen.lst".to_owned());
        let spec = DataSpec {
            name: "seen".to_owned(),
            kind: Some(DataKind::String),
            source: DataSource { load: state.clone(), save: state },
            memcap_bytes: None,
            configured: false,
        };
        assert!(sets.open(&spec, &beside, 1).unwrap().add(b"abc"));
        assert!(files.save(&sets).is_empty());
        let again = DataSets::with_files(Arc::new(files));
        assert!(again.open(&spec, &beside, 1).unwrap().contains(b"abc"), "it outlives the program");
    }
}
