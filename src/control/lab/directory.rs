//! The lab's own directory: rules, logs and the control socket of the gate.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::{LabError, at};

const PREFIX: &str = "tglab-";

/// `tglab-PID` under the system's directory for temporary files, mode 0700; removed on drop.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn create() -> Result<Directory, LabError> {
        let path = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Directory(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(LabError::DirectoryTaken(path)),
            Err(error) => at(format!("cannot make {}", path.display()), Err(error)),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what stays is swept by the next lab
    }
}

/// Removes directories of labs whose process is gone, if they are root's and really directories.
pub fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let Some(owner) = entry.file_name().to_str().and_then(owner) else { continue };
        let is_ours = fs::symlink_metadata(entry.path()).is_ok_and(|meta| meta.is_dir() && meta.uid() == 0);
        if is_ours && !Path::new("/proc").join(owner.to_string()).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_directories_of_labs_have_an_owner() {
        assert_eq!(owner("tglab-17"), Some(17));
        for foreign in ["tglab-", "tglab-17-c", "tglab-x", "other-17"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }
}
