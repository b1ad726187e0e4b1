//! Counters that outlive us: a small file under `/run`, mapped into memory, so that a successor knows what a program that
//! was killed had still done.
//!
//! Each queue's thread has a slot, a cache line of its own, and writes to it with plain stores: first that a batch is
//! answered, then it sends the answers. So a program may die at any instant and what stands here is what the kernel has
//! been told, but for the instant between the store and the system call.
#![allow(unsafe_code)] // mmap(2) and the view of the mapping; every block says why it is sound

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::queue::QueueCounters;

/// Queues beyond these are not counted here.
pub const SLOT_COUNT: usize = 254;
const SLOT_WORDS: usize = 8;
const HEADER_SLOTS: usize = 2;
const WORDS: usize = SLOT_WORDS * (SLOT_COUNT + HEADER_SLOTS);
/// Changes with the meaning of any word.
const FORMAT: u64 = 0x7469_6465_0000_0001;

/// The first two lines of the file: whose counters these are, and what the ledger remembers beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Format,
    /// Boot and network namespace, in one number.
    Place,
    /// Handle of the nftables table whose counters go with these.
    Table,
    /// Seconds since the epoch.
    Since,
    /// What the table had counted when these counters began, in packets: offered, passed, passed without queue rules.
    OfferedBefore,
    PassedBefore,
    AsideBefore,
    /// Known causes of packets that passed unasked.
    FailOpen,
    Overrun,
    /// What events have told so far.
    ToldFailOpen,
    ToldOverrun,
    ToldBypass,
    ToldFailed,
    ToldKernelDrops,
}

/// What all slots say together, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Told to go on, `failed` included.
    pub accepted: u64,
    /// Told to go on without having been judged.
    pub failed: u64,
    /// Dropped, or sent round again.
    pub refused: u64,
    /// Of `accepted` and `refused`, those whose answers the kernel is still carrying out.
    pub under_way: u64,
}

/// The mapped counters.
#[derive(Debug)]
pub struct Tally {
    words: NonNull<AtomicU64>,
}

// SAFETY: the mapping is owned by this value and only ever seen as atomics.
unsafe impl Send for Tally {}
// SAFETY: as above; atomics may be shared.
unsafe impl Sync for Tally {}

impl Tally {
    /// The counters in the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened, made or mapped.
    pub fn open(path: &Path) -> io::Result<Tally> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path)?;
        file.set_len(size_of::<[u64; WORDS]>() as u64)?;
        Tally::map(Some(&file))
    }

    /// Counters that end with us.
    ///
    /// # Errors
    /// When memory is short.
    pub fn in_memory() -> io::Result<Tally> {
        Tally::map(None)
    }

    fn map(file: Option<&File>) -> io::Result<Tally> {
        let (flags, fd) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice; `fd` is open for reading and writing, or none.
        let memory = unsafe { libc::mmap(ptr::null_mut(), size_of::<[u64; WORDS]>(), protection, flags, fd, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(memory.cast()).map(|words| Tally { words }).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has WORDS words, is page aligned, holds zeros or numbers, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), WORDS) }
    }

    #[must_use]
    pub fn word(&self, word: Word) -> u64 {
        self.words().get(word as usize).map_or(0, |word| word.load(Ordering::Acquire))
    }

    pub fn set_word(&self, word: Word, value: u64) {
        if let Some(word) = self.words().get(word as usize) {
            word.store(value, Ordering::Release);
        }
    }

    /// Whether these counters go with the table of that handle, here and since this boot.
    #[must_use]
    pub fn belongs_to(&self, table: u64) -> bool {
        (self.word(Word::Format), self.word(Word::Place), self.word(Word::Table)) == (FORMAT, place(), table)
    }

    /// All counters at 0, for the table of that handle.
    pub fn begin(&self, table: u64) {
        for word in self.words() {
            word.store(0, Ordering::Relaxed);
        }
        self.set_word(Word::Place, place());
        self.set_word(Word::Table, table);
        self.set_word(Word::Format, FORMAT);
    }

    /// What has been answered, by all runs. `under_way` is read first: never too low for what follows.
    #[must_use]
    pub fn answered(&self) -> Answered {
        let mut sum = Answered::default();
        for slot in self.words().chunks_exact(SLOT_WORDS).skip(HEADER_SLOTS) {
            let [accepted, failed, refused, done, ..] = slot else { continue };
            let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
            let done = read(done);
            let (accepted, failed, refused) = (read(accepted), read(failed), read(refused));
            sum.accepted = sum.accepted.saturating_add(accepted);
            sum.failed = sum.failed.saturating_add(failed);
            sum.refused = sum.refused.saturating_add(refused);
            sum.under_way = sum.under_way.saturating_add(accepted.saturating_add(refused).saturating_sub(done));
        }
        sum
    }

    /// The slot of one queue's thread, 0 to [`SLOT_COUNT`] - 1. It goes on where the run before ended.
    #[must_use]
    pub fn slot(self: &Arc<Tally>, index: usize) -> Option<Slot> {
        let first_word = index.checked_add(HEADER_SLOTS)?.checked_mul(SLOT_WORDS)?;
        let [accepted, failed, refused, done, ..] =
            self.words().get(first_word..first_word.checked_add(SLOT_WORDS)?)?
        else {
            return None;
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let (accepted, failed, refused) = (read(accepted), read(failed), read(refused));
        // Whatever was under way when that run ended has arrived or is lost.
        done.store(accepted.saturating_add(refused), Ordering::Release);
        Some(Slot { tally: Arc::clone(self), first_word, before: [accepted, failed, refused] })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this size, and nobody can refer to it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), size_of::<[u64; WORDS]>()) };
    }
}

/// Where one thread counts what it answers.
#[derive(Debug)]
pub struct Slot {
    tally: Arc<Tally>,
    first_word: usize,
    before: [u64; 3],
}

impl Slot {
    /// Before the answers are sent.
    pub fn answering(&self, counters: &QueueCounters) {
        let totals = [counters.accepted, counters.failed(), counters.refused()];
        for ((word, before), total) in self.words().iter().zip(self.before).zip(totals) {
            word.store(before.saturating_add(total), Ordering::Release);
        }
    }

    /// When the kernel has carried them out.
    pub fn answered(&self, counters: &QueueCounters) {
        let [accepted, _, refused] = self.before;
        let total =
            accepted.saturating_add(refused).saturating_add(counters.accepted).saturating_add(counters.refused());
        if let Some(done) = self.words().get(3) {
            done.store(total, Ordering::Release);
        }
    }

    fn words(&self) -> &[AtomicU64] {
        self.tally.words().get(self.first_word..).unwrap_or_default()
    }
}

/// This boot and this thread's network namespace: table handles repeat in others.
fn place() -> u64 {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = u64::from_str_radix(&boot.replace('-', "").chars().take(16).collect::<String>(), 16).unwrap_or(0);
    let namespace = fs::metadata("/proc/thread-self/ns/net").map_or(0, |metadata| metadata.ino());
    boot ^ namespace.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(accepted: u64, dropped: u64, orphans: u64) -> QueueCounters {
        QueueCounters { accepted, dropped, orphans, ..QueueCounters::default() }
    }

    #[test]
    fn a_successor_goes_on_where_the_dead_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tally");
        let first = Arc::new(Tally::open(&path).unwrap());
        assert!(!first.belongs_to(7));
        first.begin(7);
        first.set_word(Word::Overrun, 5);
        let slot = first.slot(3).unwrap();
        slot.answering(&counted(10, 2, 1));
        let midway = Answered { accepted: 10, failed: 1, refused: 2, under_way: 12 };
        assert_eq!(first.answered(), midway);
        // Never answered: it dies here.
        drop((slot, first));

        let second = Arc::new(Tally::open(&path).unwrap());
        assert!(second.belongs_to(7) && !second.belongs_to(8));
        assert_eq!(second.word(Word::Overrun), 5);
        let slot = second.slot(3).unwrap();
        assert_eq!(second.answered(), Answered { under_way: 0, ..midway });
        slot.answering(&counted(1, 0, 0));
        slot.answered(&counted(1, 0, 0));
        second.slot(SLOT_COUNT - 1).unwrap().answering(&counted(0, 4, 0));
        assert_eq!(second.answered(), Answered { accepted: 11, failed: 1, refused: 6, under_way: 4 });
        assert!(second.slot(SLOT_COUNT).is_none());
        second.begin(8);
        assert_eq!(second.answered(), Answered::default());
        assert!(second.belongs_to(8));
    }

    #[test]
    fn without_a_file_it_counts_all_the_same() {
        let tally = Arc::new(Tally::in_memory().unwrap());
        tally.begin(1);
        tally.slot(0).unwrap().answering(&counted(3, 0, 0));
        assert_eq!(tally.answered().accepted, 3);
    }
}
