//! The bounded sink: many workers in front, one writer thread behind.
//!
//! A worker gives away an event and goes on at once. When the channel is full the event is shed and counted, for a
//! verdict must never wait for a disk. All serializing is done by the writer thread, which collects a batch before it
//! writes, so a burst costs few system calls and a single event is on disk at once.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::tz::TimeZone;
use tracing::{info, warn};

pub use super::destination::OpenError;
use super::destination::Writer;
use super::eve::stats::{OutputStats, StatsSnapshot};
use super::eve::{self, Context, InterfaceLookup, Interfaces};
use super::fast;
use super::file_store::FileStore;
use super::spec::{EveLog, FastLog, FileStoreSpec};
use super::text::Clock;
use crate::packet::event::{Event, Events, FilePieceEvent};

/// What the writer thread is to do.
pub struct SinkOptions {
    pub eve: Vec<EveLog>,
    pub fast: Option<FastLog>,
    pub file_store: Option<FileStoreSpec>,
    /// Index to name; for `in_iface`.
    pub interfaces: InterfaceLookup,
    /// The capture that is replayed, for `pcap-file: yes`.
    pub pcap_filename: Option<String>,
    /// The zone of timestamps; the host's if `None`.
    pub zone: Option<TimeZone>,
    /// Events that may wait.
    pub event_count_max: usize,
    /// Payloads and packets that may wait in them. Not counted under [`WhenFull::Wait`].
    pub payload_bytes_max: usize,
    pub when_full: WhenFull,
}

impl SinkOptions {
    /// Writes to these logs, sheds when full, knows no interface by name.
    #[must_use]
    pub fn new(eve: Vec<EveLog>, fast: Option<FastLog>) -> SinkOptions {
        SinkOptions {
            eve,
            fast,
            file_store: None,
            interfaces: Box::new(|_| None),
            pcap_filename: None,
            zone: None,
            event_count_max: 16_384,
            payload_bytes_max: 64 << 20,
            when_full: WhenFull::Shed,
        }
    }
}

/// What a worker does with an event when the writer is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Throw it away and count. The only choice while packets wait for verdicts.
    Shed,
    /// Wait. For replay, where nobody is in a hurry.
    Wait,
}

/// A worker's end. Clone it; no method but [`Sink::events`] under [`WhenFull::Wait`] blocks.
#[derive(Clone)]
pub struct Sink {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    payload_bytes_max: usize,
    when_full: WhenFull,
}

/// The writer thread. Dropping it without [`SinkThread::stop`] leaves the thread to end with the last [`Sink`].
#[must_use]
pub struct SinkThread {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    /// Disconnected when the thread has ended.
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Why the sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot start the thread that writes the logs: {0}")]
    Thread(#[source] std::io::Error),
}

enum Message {
    Event(Event),
    Stats(Box<StatsSnapshot>),
    /// Look at the flags.
    Wake,
    Stop,
}

impl Message {
    /// What it holds beside its fixed parts, in bytes.
    fn payload_bytes(&self) -> usize {
        match self {
            Message::Event(Event::Alert(alert)) => alert.payload.len().saturating_add(alert.packet_bytes.len()),
            Message::Event(Event::FilePiece(piece)) => piece.bytes.len(),
            _ => 0,
        }
    }
}

#[derive(Default)]
struct Shared {
    /// Sum of [`Message::payload_bytes`] in the channel.
    payload_bytes: AtomicUsize,
    written: AtomicU64,
    shed: AtomicU64,
    lost: AtomicU64,
    write_errors: AtomicU64,
    files_stored: AtomicU64,
    files_given_up: AtomicU64,
    /// A flag and not only a message: a full channel must not lose it.
    reopen: AtomicBool,
}

impl Shared {
    fn snapshot(&self) -> OutputStats {
        OutputStats {
            written: self.written.load(Ordering::Relaxed),
            shed: self.shed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            write_errors: self.write_errors.load(Ordering::Relaxed),
            files_stored: self.files_stored.load(Ordering::Relaxed),
            files_given_up: self.files_given_up.load(Ordering::Relaxed),
        }
    }
}

impl Sink {
    /// Opens all logs and starts the writer thread.
    ///
    /// # Errors
    /// When a log file or its directory cannot be opened or made, or the thread cannot be started.
    pub fn start(options: SinkOptions) -> Result<(Sink, SinkThread), SinkError> {
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = bounded(options.event_count_max.max(1));
        let (done_guard, done) = bounded(0);
        let (when_full, payload_bytes_max) = (options.when_full, options.payload_bytes_max);
        let writer = WriterThread::open(options, receiver, Arc::clone(&shared))?;
        let thread = thread::Builder::new()
            .name("tidegate-log".to_owned())
            .spawn(move || {
                let _ended: Sender<()> = done_guard;
                writer.run();
            })
            .map_err(SinkError::Thread)?;
        let sink = Sink { sender: sender.clone(), shared: Arc::clone(&shared), payload_bytes_max, when_full };
        Ok((sink, SinkThread { sender, shared, done, thread }))
    }

    /// Hands over all events of a packet or batch and leaves `events` empty.
    pub fn events(&self, events: &mut Events) {
        for event in events.drain(..) {
            self.send(Message::Event(event));
        }
    }

    pub fn event(&self, event: Event) {
        self.send(Message::Event(event));
    }

    pub fn stats(&self, stats: StatsSnapshot) {
        self.send(Message::Stats(Box::new(stats)));
    }

    /// Opens the log files anew (SIGHUP, after somebody moved them).
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // Full: then the writer is awake and sees the flag.
        let _ = self.sender.try_send(Message::Wake);
    }

    #[must_use]
    pub fn counters(&self) -> OutputStats {
        self.shared.snapshot()
    }

    fn send(&self, message: Message) {
        let payload_bytes = message.payload_bytes();
        let waiting = self.shared.payload_bytes.fetch_add(payload_bytes, Ordering::Relaxed);
        let sent = match self.when_full {
            WhenFull::Wait => self.sender.send(message).is_ok(),
            WhenFull::Shed => {
                waiting.saturating_add(payload_bytes) <= self.payload_bytes_max && self.sender.try_send(message).is_ok()
            }
        };
        if !sent {
            self.shared.payload_bytes.fetch_sub(payload_bytes, Ordering::Relaxed);
            self.shared.shed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl SinkThread {
    /// Writes what was handed over before this call, and ends the thread. False if it did not end in time, for example
    /// because a log stands on a file system that hangs; the thread is then left behind.
    pub fn stop(self, patience: Duration) -> (OutputStats, bool) {
        let deadline = Instant::now().checked_add(patience);
        let told = self.sender.send_timeout(Message::Stop, patience).is_ok();
        let left = deadline.map_or(patience, |at| at.saturating_duration_since(Instant::now()));
        let ended = told && self.done.recv_timeout(left) == Err(RecvTimeoutError::Disconnected);
        if ended && self.thread.join().is_err() {
            warn!("the thread that writes the logs had panicked");
        }
        (self.shared.snapshot(), ended)
    }
}

/// The writer thread's own state.
struct WriterThread {
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
    context: Context,
    eve: Vec<(EveLog, Log)>,
    fast: Option<Log>,
    file_store: Option<FileStore>,
    interfaces_read: Instant,
}

impl WriterThread {
    fn open(options: SinkOptions, receiver: Receiver<Message>, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let eve = options
            .eve
            .into_iter()
            .map(|spec| Ok((spec.clone(), Log::open(spec.destination)?)))
            .collect::<Result<_, OpenError>>()?;
        Ok(WriterThread {
            receiver,
            shared,
            context: Context {
                clock: options.zone.map_or_else(Clock::local, Clock::in_zone),
                interfaces: Interfaces::new(options.interfaces),
                pcap_filename: options.pcap_filename,
            },
            eve,
            fast: options.fast.map(|spec| Log::open(spec.destination)).transpose()?,
            file_store: options.file_store.map(open_store).transpose()?,
            interfaces_read: Instant::now(),
        })
    }

    /// Sleeps until something comes, takes what else has come, writes it all, and sleeps again.
    fn run(mut self) {
        while let Ok(first) = self.receiver.recv() {
            if self.serve(first) {
                return;
            }
        }
        self.flush();
    }

    /// Takes messages until none has come for a while. True when told to stop.
    ///
    /// Whoever sends to a sleeper must wake it, which costs more than the event: while events come, they are looked for.
    fn serve(&mut self, first: Message) -> bool {
        self.refresh();
        let mut stop = self.take(first);
        loop {
            let taken = self.take_waiting(&mut stop);
            self.flush();
            if stop {
                return true;
            }
            if taken < BATCH_COUNT_MAX {
                std::thread::sleep(GATHER);
            }
            if taken == 0 && self.receiver.is_empty() {
                return false;
            }
            self.refresh();
        }
    }

    /// Takes what waits, and says how many that were.
    fn take_waiting(&mut self, stop: &mut bool) -> usize {
        for taken in 0..BATCH_COUNT_MAX {
            match self.receiver.try_recv() {
                Ok(message) => *stop |= self.take(message),
                Err(_) => return taken,
            }
        }
        BATCH_COUNT_MAX
    }

    /// True when told to stop.
    fn take(&mut self, message: Message) -> bool {
        self.shared.payload_bytes.fetch_sub(message.payload_bytes(), Ordering::Relaxed);
        match message {
            Message::Event(event) => self.write_event(&event),
            Message::Stats(stats) => {
                for (spec, log) in &mut self.eve {
                    eve::write_stats(log.writer.buffer(), &stats, spec, &mut self.context);
                }
            }
            Message::Wake => {}
            Message::Stop => return true,
        }
        false
    }

    fn write_event(&mut self, event: &Event) {
        if let Event::FilePiece(piece) = event {
            return self.store_piece(piece);
        }
        for (spec, log) in &mut self.eve {
            eve::write_event(log.writer.buffer(), event, spec, &mut self.context);
            log.flush_if_full(&self.shared);
        }
        if let (Some(log), Event::Alert(alert)) = (&mut self.fast, event) {
            fast::write_alert(log.writer.buffer(), alert, &mut self.context.clock);
            log.flush_if_full(&self.shared);
        }
    }

    fn store_piece(&mut self, piece: &FilePieceEvent) {
        let Some(store) = &mut self.file_store else { return };
        if let Err(error) = store.piece(piece)
            && self.shared.write_errors.fetch_add(1, Ordering::Relaxed) == 0
        {
            warn!(dir = %store.dir().display(), %error, "a file is not stored; traffic is not affected");
        }
        let counts = store.take_counts();
        self.shared.files_stored.fetch_add(counts.stored, Ordering::Relaxed);
        self.shared.files_given_up.fetch_add(counts.given_up, Ordering::Relaxed);
    }

    fn logs(&mut self) -> impl Iterator<Item = &mut Log> {
        self.eve.iter_mut().map(|(_, log)| log).chain(&mut self.fast)
    }

    fn flush(&mut self) {
        let shared = Arc::clone(&self.shared);
        for log in self.logs() {
            log.flush(&shared);
        }
    }

    fn refresh(&mut self) {
        if self.shared.reopen.swap(false, Ordering::AcqRel) {
            for log in self.logs() {
                log.reopen();
            }
        }
        if self.interfaces_read.elapsed() >= INTERFACES_FRESH {
            self.interfaces_read = Instant::now();
            self.context.interfaces.forget();
        }
    }
}

fn open_store(spec: FileStoreSpec) -> Result<FileStore, OpenError> {
    let path = spec.dir.clone();
    FileStore::open(spec).map_err(|source| OpenError::Directory { path, source })
}

/// One log and what went wrong with it.
struct Log {
    writer: Writer,
    told: Option<Instant>,
    lost_untold: u64,
}

impl Log {
    fn open(destination: super::spec::Destination) -> Result<Log, OpenError> {
        Ok(Log { writer: Writer::open(destination)?, told: None, lost_untold: 0 })
    }

    fn reopen(&mut self) {
        match self.writer.reopen() {
            Ok(()) => info!(log = %self.writer.path().display(), "log opened anew"),
            Err(error) => warn!(%error, "log not opened anew; writing on to the old one"),
        }
    }

    fn flush_if_full(&mut self, shared: &Shared) {
        if self.writer.buffer().len() >= FLUSH_BYTES {
            self.flush(shared);
        }
    }

    fn flush(&mut self, shared: &Shared) {
        let flushed = self.writer.flush();
        shared.written.fetch_add(flushed.written, Ordering::Relaxed);
        shared.lost.fetch_add(flushed.lost, Ordering::Relaxed);
        self.lost_untold = self.lost_untold.saturating_add(flushed.lost);
        if let Some(error) = flushed.error {
            shared.write_errors.fetch_add(1, Ordering::Relaxed);
            self.complain(&error);
        }
    }

    /// Once a minute at most.
    fn complain(&mut self, error: &std::io::Error) {
        if self.told.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        self.told = Some(Instant::now());
        let lost = mem::take(&mut self.lost_untold);
        warn!(log = %self.writer.path().display(), %error, lost, "log records lost; traffic is not affected");
    }
}

/// How long messages gather while they come: the most that an event waits to be written.
const GATHER: Duration = Duration::from_millis(1);

/// Messages taken before what they made is written.
const BATCH_COUNT_MAX: usize = 1024;

const FLUSH_BYTES: usize = 64 * 1024;

const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

const INTERFACES_FRESH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
