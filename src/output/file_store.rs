//! `file-store`: files that rules want kept, each under the SHA-256 of its bytes: `ab/ab12...`, as Suricata's version 2.
//!
//! Pieces come through the writer's channel and go to `tmp` until the file's end. A piece that was shed makes a hole: the
//! file is given up and counted, for half a file under the digest of a whole one would be a lie.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::spec::FileStoreSpec;
use super::text::hex_text;
use crate::packet::app::file::FileEnd;
use crate::packet::event::FilePieceEvent;

/// Files that are written at once; beyond it the oldest gives way.
const OPEN_FILE_COUNT_MAX: usize = 1000;

/// Which file of which transaction of which flow.
type Key = (u64, u64, u32);

/// What became of the files so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStoreCounts {
    /// Whole, and under their digest.
    pub stored: u64,
    /// Given up: too large, a hole in them, or the disk refused.
    pub given_up: u64,
}

/// The folder, and the files on their way into it.
pub struct FileStore {
    spec: FileStoreSpec,
    open: HashMap<Key, Open>,
    opened: u64,
    counts: FileStoreCounts,
}

struct Open {
    path: PathBuf,
    /// `None`: given up, and the rest of it is not wanted.
    file: Option<File>,
    digest: Sha256,
    bytes: u64,
    number: u64,
}

impl FileStore {
    /// # Errors
    /// When the folders cannot be made.
    pub fn open(spec: FileStoreSpec) -> io::Result<FileStore> {
        make_folder(&spec.dir.join("tmp"))?;
        Ok(FileStore { spec, open: HashMap::new(), opened: 0, counts: FileStoreCounts::default() })
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.spec.dir
    }

    /// Since the last call.
    pub fn take_counts(&mut self) -> FileStoreCounts {
        std::mem::take(&mut self.counts)
    }

    /// The next piece of a file.
    ///
    /// # Errors
    /// When the disk refuses; the file is given up then.
    pub fn piece(&mut self, piece: &FilePieceEvent) -> io::Result<()> {
        let key = (piece.flow_id, piece.tx_id, piece.number);
        let written = self.write(key, piece);
        if let Some(end) = piece.end {
            return written.and(self.finish(key, end));
        }
        written
    }

    fn write(&mut self, key: Key, piece: &FilePieceEvent) -> io::Result<()> {
        if !self.open.contains_key(&key) {
            self.make_room();
            self.opened += 1;
            let path = self.spec.dir.join("tmp").join(format!("{}.{}", std::process::id(), self.opened));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
            let fresh = Open { path, file: Some(file), digest: Sha256::new(), bytes: 0, number: self.opened };
            self.open.insert(key, fresh);
        }
        let Some(open) = self.open.get_mut(&key) else { return Ok(()) };
        let Some(file) = &mut open.file else { return Ok(()) };
        let bytes = open.bytes.saturating_add(u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX));
        let fits = piece.offset == open.bytes && bytes <= self.spec.file_bytes_max;
        let written = if fits { file.write_all(&piece.bytes) } else { Ok(()) };
        if !fits || written.is_err() {
            self.counts.given_up += 1;
            open.give_up();
            return written;
        }
        open.digest.update(&piece.bytes);
        open.bytes = bytes;
        Ok(())
    }

    /// The end of a file: it gets its name.
    fn finish(&mut self, key: Key, end: FileEnd) -> io::Result<()> {
        let Some(mut open) = self.open.remove(&key) else { return Ok(()) };
        if open.file.is_none() {
            return Ok(());
        }
        if end == FileEnd::Broken {
            self.counts.given_up += 1;
            open.give_up();
            return Ok(());
        }
        let name = hex_text(&std::mem::take(&mut open.digest).finalize());
        let folder = self.spec.dir.join(name.get(..2).unwrap_or_default());
        let moved = make_folder(&folder).and_then(|()| fs::rename(&open.path, folder.join(&name)));
        match &moved {
            Ok(()) => self.counts.stored += 1,
            Err(_) => {
                self.counts.given_up += 1;
                open.give_up();
            }
        }
        moved
    }

    fn make_room(&mut self) {
        if self.open.len() < OPEN_FILE_COUNT_MAX {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.number).map(|(key, _)| *key);
        if let Some(mut open) = oldest.and_then(|key| self.open.remove(&key)) {
            self.counts.given_up += u64::from(open.file.is_some());
            open.give_up();
        }
    }
}

/// What is not whole does not stay.
impl Drop for FileStore {
    fn drop(&mut self) {
        self.open.values_mut().for_each(Open::give_up);
    }
}

impl Open {
    fn give_up(&mut self) {
        if self.file.take().is_some() {
            // It is in nobody's way if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(number: u32, offset: u64, bytes: &[u8], end: Option<FileEnd>) -> FilePieceEvent {
        FilePieceEvent { flow_id: 1, tx_id: 0, number, offset, bytes: bytes.to_vec(), end }
    }

    fn files_under(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<String> = entries
            .flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path.display().to_string()] })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn whole_files_stand_under_their_digest_and_others_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let spec = FileStoreSpec { dir: dir.path().to_owned(), file_bytes_max: 8 };
        let mut store = FileStore::open(spec).unwrap();
        let pieces = [
            piece(0, 0, b"a", None),
            piece(1, 0, b"lost", None),
            piece(0, 1, b"bc", Some(FileEnd::Closed)),
            piece(1, 9, b"hole", Some(FileEnd::Closed)),
            piece(2, 0, b"too large", Some(FileEnd::Closed)),
            piece(3, 0, b"broken", Some(FileEnd::Broken)),
            piece(4, 0, b"never ends", None),
        ];
        for piece in &pieces {
            store.piece(piece).unwrap();
        }
        assert_eq!(store.take_counts(), FileStoreCounts { stored: 1, given_up: 4 });
        drop(store);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(files_under(dir.path()), [dir.path().join("ba").join(abc).display().to_string()]);
    }
}
