//! A file on its way through a flow: an HTTP body, an attachment, what FTP or SMB transfers.
//!
//! Its parser opens it with a name, hands over its bytes in order, and closes it. The first bytes are kept for rules
//! (`file.data`), all of them are counted and, where a rule or an output asks for it, hashed.

use std::cell::OnceCell;

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::rules::app::FileTest;
pub use crate::rules::app::Hashes;
use crate::rules::magic;

/// Bytes of a name that are kept.
const NAME_BYTES_MAX: usize = 4096;

/// How far a file is. The names are EVE's `fileinfo.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    #[default]
    Open,
    /// Whole.
    Closed,
    /// Its end was never seen, or bytes were missing, or it outgrew its limit.
    Truncated,
}

/// A file, from its first byte to its last.
#[derive(Clone, Debug, Default)]
pub struct File {
    name: Vec<u8>,
    data: Vec<u8>,
    size: u64,
    state: FileState,
    gaps: bool,
    hashing: Option<Box<Hashing>>,
    storing: Option<Box<Storing>>,
    /// Found when somebody first asks.
    magic: OnceCell<Box<str>>,
    told: bool,
}

/// Bytes on their way to the file store.
#[derive(Clone, Debug, Default)]
struct Storing {
    waiting: Vec<u8>,
    taken: u64,
    end_taken: bool,
}

/// The end of a file that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEnd {
    Closed,
    Truncated,
    /// Bytes are missing in it.
    Broken,
}

/// The next bytes of a file for the file store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePiece {
    /// Where they stand in the file.
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub end: Option<FileEnd>,
}

#[derive(Clone, Debug, Default)]
struct Hashing {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    sums: Sums,
}

/// Digests of a closed file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub md5: Option<[u8; 16]>,
    pub sha1: Option<[u8; 20]>,
    pub sha256: Option<[u8; 32]>,
}

/// What EVE `fileinfo` tells of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRecord {
    pub name: Vec<u8>,
    pub size: u64,
    pub state: FileState,
    pub gaps: bool,
    pub sums: Sums,
    /// It goes, or went, to the file store.
    pub stored: bool,
    /// Its kind, if a rule has asked.
    pub magic: Option<Box<str>>,
}

impl File {
    /// `name` as the protocol gives it: a path, or empty.
    #[must_use]
    pub fn open(name: &[u8], hashes: Hashes) -> File {
        let hashing = Hashing {
            md5: hashes.md5.then(Md5::new),
            sha1: hashes.sha1.then(Sha1::new),
            sha256: hashes.sha256.then(Sha256::new),
            sums: Sums::default(),
        };
        File {
            name: name.get(..NAME_BYTES_MAX).unwrap_or(name).to_vec(),
            hashing: (!hashes.is_empty()).then(|| Box::new(hashing)),
            ..File::default()
        }
    }

    /// A name that came after the first bytes.
    pub fn rename(&mut self, name: &[u8]) {
        self.name = name.get(..NAME_BYTES_MAX).unwrap_or(name).to_vec();
    }

    /// The next bytes. At most `inspect_max` bytes in all are kept for rules.
    pub fn append(&mut self, bytes: &[u8], inspect_max: usize) {
        if self.state != FileState::Open {
            return;
        }
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let room = inspect_max.saturating_sub(self.data.len());
        self.data.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if let Some(hashing) = &mut self.hashing {
            hashing.update(bytes);
        }
        if let Some(storing) = &mut self.storing {
            storing.waiting.extend_from_slice(bytes);
        }
    }

    /// A rule wants it in the file store. That is possible as long as all of its bytes are still here.
    pub fn store(&mut self) {
        let all_here = usize::try_from(self.size) == Ok(self.data.len()) && !self.gaps;
        if self.storing.is_none() && all_here {
            self.storing = Some(Box::new(Storing { waiting: self.data.clone(), ..Storing::default() }));
        }
    }

    /// What has come for the file store since the last call.
    pub fn take_piece(&mut self) -> Option<FilePiece> {
        let storing = self.storing.as_deref_mut()?;
        let end = match self.state {
            _ if storing.end_taken => return None,
            _ if self.gaps => Some(FileEnd::Broken),
            FileState::Open => None,
            FileState::Closed => Some(FileEnd::Closed),
            FileState::Truncated => Some(FileEnd::Truncated),
        };
        if storing.waiting.is_empty() && end.is_none() {
            return None;
        }
        let bytes = std::mem::take(&mut storing.waiting);
        let offset = storing.taken;
        storing.taken = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        storing.end_taken = end.is_some();
        Some(FilePiece { offset, bytes, end })
    }

    /// Bytes that were never seen. No digest will be right.
    pub fn skip(&mut self, missing: u64) {
        self.size = self.size.saturating_add(missing);
        self.gaps = true;
        self.hashing = None;
    }

    /// The end: the file is whole, or `truncated`.
    pub fn close(&mut self, truncated: bool) {
        if self.state != FileState::Open {
            return;
        }
        self.state = if truncated || self.gaps { FileState::Truncated } else { FileState::Closed };
        if self.state == FileState::Truncated {
            self.hashing = None;
        }
        if let Some(hashing) = &mut self.hashing {
            hashing.finish();
        }
    }

    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The first bytes, for rules.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Its kind, in libmagic's words, once enough of it is here to say. One that ended empty is `empty`.
    #[must_use]
    pub fn magic(&self) -> Option<&[u8]> {
        let enough = self.data.len() >= magic::HEAD_BYTES_MAX || !self.is_open();
        if self.size == 0 && !self.is_open() {
            return Some(b"empty");
        }
        let known = enough && !self.data.is_empty();
        known.then(|| self.magic.get_or_init(|| magic::kind_of(&self.data).into()).as_bytes())
    }

    /// Bytes so far, missing ones included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    #[must_use]
    pub fn state(&self) -> FileState {
        self.state
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == FileState::Open
    }

    /// Digests, once the file is closed.
    #[must_use]
    pub fn sums(&self) -> Sums {
        match (&self.hashing, self.state) {
            (Some(hashing), FileState::Closed) => hashing.sums,
            _ => Sums::default(),
        }
    }

    /// Whether all that a rule asks of one file holds for this one.
    #[must_use]
    pub fn accepts(&self, tests: &[FileTest]) -> bool {
        tests.iter().all(|test| match test {
            // Whose files are asked is the caller's choice.
            FileTest::From(_) => true,
            // A file that still grows may turn out larger, but never smaller.
            FileTest::Size(test) if self.is_open() => test.is_lower_bound() && test.accepts(self.size),
            FileTest::Size(test) => test.accepts(self.size),
            FileTest::Listed { digests, negated } => {
                let sums = self.sums();
                let known = |sum: Option<&[u8]>| sum.map(|sum| digests.contains(sum) != *negated);
                match digests.sum_bytes() {
                    16 => known(sums.md5.as_ref().map(<[u8; 16]>::as_slice)),
                    20 => known(sums.sha1.as_ref().map(<[u8; 20]>::as_slice)),
                    _ => known(sums.sha256.as_ref().map(<[u8; 32]>::as_slice)),
                }
                .unwrap_or(false)
            }
        })
    }

    /// What is to be told of it: once, when it is closed.
    pub fn take_record(&mut self) -> Option<FileRecord> {
        if self.is_open() || std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(self.record())
    }

    #[must_use]
    pub fn record(&self) -> FileRecord {
        FileRecord {
            name: self.name.clone(),
            size: self.size,
            state: self.state,
            gaps: self.gaps,
            sums: self.sums(),
            stored: self.storing.is_some() && !self.gaps,
            magic: self.magic.get().cloned(),
        }
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let waiting = self.storing.as_ref().map_or(0, |storing| storing.waiting.capacity());
        self.name.capacity()
            + waiting
            + self.data.capacity()
            + self.hashing.as_ref().map_or(0, |_| size_of::<Hashing>())
    }
}

impl Hashing {
    fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    fn finish(&mut self) {
        self.sums = Sums {
            md5: self.md5.take().map(|md5| md5.finalize().into()),
            sha1: self.sha1.take().map(|sha1| sha1.finalize().into()),
            sha256: self.sha256.take().map(|sha256| sha256.finalize().into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::app::DigestSet;
    use crate::rules::plan::NumberTest;
    use std::sync::Arc;

    const ALL: Hashes = Hashes { md5: true, sha1: true, sha256: true };

    #[test]
    fn bytes_beyond_the_cap_are_counted_and_hashed_but_not_kept() {
        let mut file = File::open(b"a.txt", ALL);
        file.append(b"ab", 2);
        file.append(b"c", 2);
        assert_eq!((file.data(), file.size()), (&b"ab"[..], 3));
        assert_eq!(file.sums(), Sums::default());
        file.close(false);
        let md5 = [0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72];
        assert_eq!(file.sums().md5, Some(md5));
        assert!(file.sums().sha1.is_some() && file.sums().sha256.is_some());
        assert_eq!(file.take_record().map(|record| record.state), Some(FileState::Closed));
        assert_eq!(file.take_record(), None);
    }

    #[test]
    fn a_file_with_a_hole_has_no_digest() {
        let mut file = File::open(b"", ALL);
        file.append(b"ab", 100);
        file.skip(10);
        file.close(false);
        assert_eq!((file.size(), file.state(), file.sums()), (12, FileState::Truncated, Sums::default()));
    }

    #[test]
    fn a_file_goes_to_the_store_from_its_first_byte_or_not_at_all() {
        let mut file = File::open(b"x", Hashes::default());
        file.append(b"ab", 4);
        file.store();
        file.append(b"cdef", 4);
        let piece = |offset, bytes: &[u8], end| Some(FilePiece { offset, bytes: bytes.to_vec(), end });
        assert_eq!(file.take_piece(), piece(0, b"abcdef", None));
        assert_eq!(file.take_piece(), None);
        file.close(false);
        assert_eq!(file.take_piece(), piece(6, b"", Some(FileEnd::Closed)));
        assert_eq!((file.take_piece(), file.record().stored), (None, true));

        let mut late = File::open(b"x", Hashes::default());
        late.append(b"abcdef", 4);
        late.store();
        assert_eq!((late.take_piece(), late.record().stored), (None, false));
    }

    #[test]
    fn tests_wait_for_what_they_need() {
        let mut file = File::open(b"x", ALL);
        file.append(b"abc", 100);
        let larger = [FileTest::Size(NumberTest::Greater(2))];
        let smaller = [FileTest::Size(NumberTest::Less(10))];
        let empty = DigestSet::new(16, [b"0123456789abcdef".to_vec()]);
        let unlisted = [FileTest::Listed { digests: Arc::new(empty), negated: true }];
        assert!(file.accepts(&larger) && !file.accepts(&smaller) && !file.accepts(&unlisted));
        file.close(false);
        assert!(file.accepts(&larger) && file.accepts(&smaller) && file.accepts(&unlisted));
    }
}
