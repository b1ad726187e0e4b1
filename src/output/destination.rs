//! Where lines go. A destination that fails costs its records and is tried again; it never takes the program down.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::spec::Destination;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the log directory {}: {source}; create it, or set default-log-dir or -l", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot open the log {} for appending: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot connect to the log socket {}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
}

/// A destination with the lines that are on their way to it.
pub struct Writer {
    destination: Destination,
    medium: Option<Medium>,
    /// Whole lines; the first may be the rest of one whose beginning was written before the disk was full.
    buffer: Vec<u8>,
    next_attempt: Option<Instant>,
}

enum Medium {
    File(File),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// What a flush did, in records.
#[derive(Debug, Default)]
pub struct Flushed {
    pub written: u64,
    pub lost: u64,
    pub error: Option<io::Error>,
}

impl Writer {
    /// Files must open, or the mistake would only be noticed when a record is missed. A socket whose reader is not
    /// there yet is tried again later.
    pub fn open(destination: Destination) -> Result<Writer, OpenError> {
        let mut writer = Writer { destination, medium: None, buffer: Vec::new(), next_attempt: None };
        match writer.connect() {
            Ok(()) | Err(OpenError::Socket { .. }) => Ok(writer),
            Err(error) => Err(error),
        }
    }

    pub fn path(&self) -> &Path {
        self.destination.path()
    }

    /// Append whole lines here.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Opens the file anew, because somebody moved it away. On failure the old one is kept.
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        self.next_attempt = None;
        self.connect()
    }

    /// Sends what is buffered. Afterwards the buffer is empty, but for the rest of a line that was half written.
    pub fn flush(&mut self) -> Flushed {
        if self.buffer.is_empty() {
            return Flushed::default();
        }
        if let Err(error) = self.ensure_connected() {
            return self.give_up(error);
        }
        match &mut self.medium {
            Some(Medium::Datagram(socket)) => {
                let flushed = send_lines(socket, &self.buffer);
                self.buffer.clear();
                if flushed.error.as_ref().is_some_and(|error| is_gone(error.kind())) {
                    self.medium = None;
                }
                flushed
            }
            Some(Medium::File(file)) => write_lines(file, &mut self.buffer),
            Some(Medium::Stream(stream)) => {
                let mut flushed = write_lines(stream, &mut self.buffer);
                if flushed.error.as_ref().is_some_and(|error| is_gone(error.kind())) {
                    flushed.lost = flushed.lost.saturating_add(lines(&self.buffer));
                    self.buffer.clear();
                    self.medium = None;
                }
                flushed
            }
            None => Flushed::default(),
        }
    }

    fn give_up(&mut self, error: Option<io::Error>) -> Flushed {
        let lost = lines(&self.buffer);
        self.buffer.clear();
        Flushed { written: 0, lost, error }
    }

    /// `Err(None)`: failed a moment ago, too early to try again.
    fn ensure_connected(&mut self) -> Result<(), Option<io::Error>> {
        if self.medium.is_some() {
            return Ok(());
        }
        let now = Instant::now();
        if self.next_attempt.is_some_and(|at| now < at) {
            return Err(None);
        }
        self.next_attempt = now.checked_add(RECONNECT_INTERVAL);
        self.connect().map_err(|error| Some(io::Error::other(error)))
    }

    fn connect(&mut self) -> Result<(), OpenError> {
        self.medium = Some(match &self.destination {
            Destination::File(path) => Medium::File(open_file(path)?),
            Destination::UnixDatagram(path) => Medium::Datagram(
                connect_datagram(path).map_err(|source| OpenError::Socket { path: path.clone(), source })?,
            ),
            Destination::UnixStream(path) => {
                Medium::Stream(connect_stream(path).map_err(|source| OpenError::Socket { path: path.clone(), source })?)
            }
        });
        Ok(())
    }
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(parent)
            .map_err(|source| OpenError::Directory { path: parent.to_owned(), source })?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|source| OpenError::File { path: path.to_owned(), source })
}

fn connect_datagram(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(SOCKET_PATIENCE))?;
    Ok(socket)
}

fn connect_stream(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(SOCKET_PATIENCE))?;
    Ok(stream)
}

/// Writes `buffer`. After an error the rest of a half-written line stays in it, so that the file heals when there is
/// space again; whole lines behind it are given up.
fn write_lines(out: &mut impl Write, buffer: &mut Vec<u8>) -> Flushed {
    let (done, error) = write_some(out, buffer);
    let (before, after) = buffer.split_at_checked(done).unwrap_or((buffer.as_slice(), &[]));
    let written = lines(before);
    let torn = before.last().is_some_and(|byte| *byte != b'\n');
    let keep =
        if torn { after.iter().position(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1)) } else { 0 };
    let lost = lines(after).saturating_sub(u64::from(keep > 0));
    buffer.drain(..done.min(buffer.len()));
    buffer.truncate(keep);
    Flushed { written, lost, error }
}

fn write_some(out: &mut impl Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut done: usize = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (done, Some(ErrorKind::WriteZero.into())),
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}

fn send_lines(socket: &UnixDatagram, buffer: &[u8]) -> Flushed {
    let mut flushed = Flushed::default();
    for line in buffer.split_inclusive(|byte| *byte == b'\n') {
        if flushed.error.as_ref().is_some_and(|error| is_gone(error.kind())) {
            flushed.lost = flushed.lost.saturating_add(1);
            continue;
        }
        match socket.send(line) {
            Ok(_) => flushed.written = flushed.written.saturating_add(1),
            Err(error) => {
                flushed.lost = flushed.lost.saturating_add(1);
                flushed.error = Some(error);
            }
        }
    }
    flushed
}

/// The reader went away, as opposed to being slow.
fn is_gone(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a slow reader may hold up the writer thread.
const SOCKET_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Takes so many bytes, then fails as a full disk does.
    struct Disk {
        room: usize,
        content: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.content.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_was_full_holds_whole_lines_again_afterwards() {
        let text = b"first\nsecond\nthird\n";
        for room in 0..=text.len() {
            let mut disk = Disk { room, content: Vec::new() };
            let mut buffer = text.to_vec();
            let first = write_lines(&mut disk, &mut buffer);
            disk.room = usize::MAX;
            buffer.extend_from_slice(b"later\n");
            let second = write_lines(&mut disk, &mut buffer);

            assert_eq!(first.written + first.lost + second.written + second.lost, 4, "room {room}");
            assert!(second.error.is_none() && buffer.is_empty(), "room {room}");
            let content = String::from_utf8(disk.content).unwrap();
            assert_eq!(content.lines().count() as u64, first.written + second.written, "room {room}");
            for line in content.lines() {
                assert!(["first", "second", "third", "later"].contains(&line), "room {room}: {line}");
            }
        }
    }

    #[test]
    fn the_directory_is_made_and_the_file_is_not_for_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/tidegate/eve.json");
        let mut writer = Writer::open(Destination::File(path.clone())).unwrap();
        writer.buffer().extend_from_slice(b"{}\n");
        assert_eq!(writer.flush().written, 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"{}\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0, "0640 at most");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Writer::open(Destination::File(file.join("eve.json"))).err().unwrap().to_string();
        assert!(error.starts_with("cannot create the log directory") && error.contains("default-log-dir"), "{error}");
    }

    #[test]
    fn a_socket_is_used_as_soon_as_its_reader_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.sock");
        let mut writer = Writer::open(Destination::UnixDatagram(path.clone())).unwrap();
        writer.buffer().extend_from_slice(b"lost\n");
        let flushed = writer.flush();
        assert_eq!((flushed.written, flushed.lost, flushed.error.is_some()), (0, 1, true));

        let reader = UnixDatagram::bind(&path).unwrap();
        writer.reopen().unwrap();
        writer.buffer().extend_from_slice(b"one\ntwo\n");
        assert_eq!(writer.flush().written, 2);
        let mut datagram = [0; 16];
        let length = reader.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], b"one\n", "a datagram a record");
    }

    #[test]
    fn a_stream_reader_that_leaves_costs_records_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut writer = Writer::open(Destination::UnixStream(path)).unwrap();
        drop(listener.accept().unwrap());
        writer.buffer().extend_from_slice(b"one\ntwo\n");
        let flushed = writer.flush();
        assert_eq!((flushed.written, flushed.lost), (0, 2), "{:?}", flushed.error);

        writer.reopen().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        writer.buffer().extend_from_slice(b"three\n");
        assert_eq!(writer.flush().written, 1);
        let mut text = [0; 6];
        io::Read::read_exact(&mut stream, &mut text).unwrap();
        assert_eq!(&text, b"three\n");
    }
}
