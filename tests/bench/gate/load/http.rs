//! A small web server and a client that asks it as fast as it answers, one thread each, by epoll.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::super::bed::{SERVER, SERVER_ADDRESSES};
use super::super::netns::Netns;

const PORT: u16 = 80;
const CONNECTIONS: usize = 32;
/// Then a connection is closed and another one opened, as nginx does.
const REQUESTS_PER_CONNECTION_MAX: u32 = 1000;
const EVENTS: usize = 64;
const LISTENER: u64 = u64::MAX;
const WAIT: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A connection with what is still to be written to it, and what has been read of the message under way.
struct Talk {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    read: Vec<u8>,
    close: bool,
    requests: u32,
}

impl Talk {
    fn new(stream: TcpStream) -> Talk {
        Talk { stream, out: Vec::new(), written: 0, read: Vec::new(), close: false, requests: 1 }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// False when the other side has gone.
    fn write(&mut self) -> bool {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        self.out.clear();
        self.written = 0;
        true
    }

    /// Reads what is there; false at the end of the stream.
    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

fn watch(poll: &OwnedFd, stream: &TcpStream, key: u64) -> bool {
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
    epoll::add(poll, stream, EventData::new_u64(key), flags).is_ok()
}

/// Serves as long as the process lives: `/N` is a page of N bytes.
pub fn serve(ns: &Netns) {
    let listener = ns.run(|| TcpListener::bind(("0.0.0.0", PORT)).expect("a free port in a namespace of our own"));
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    std::thread::spawn(move || answer(&listener));
}

fn answer(listener: &TcpListener) {
    let poll = epoll::create(CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&poll, listener, EventData::new_u64(LISTENER), EventFlags::IN).expect("a socket can be watched");
    let (mut talks, mut next) = (HashMap::new(), 0u64);
    let mut buffer = vec![0; 64 << 10];
    loop {
        for (key, _) in wait(&poll) {
            if key == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    let ready = stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok();
                    if ready && watch(&poll, &stream, next) {
                        talks.insert(next, Talk::new(stream));
                    }
                    next += 1;
                }
            } else if talks.get_mut(&key).is_some_and(|talk| !serve_one(talk, &mut buffer)) {
                talks.remove(&key);
            }
        }
    }
}

/// False when the connection is over.
fn serve_one(talk: &mut Talk, buffer: &mut [u8]) -> bool {
    let open = talk.fill(buffer);
    while let Some(end) = find(&talk.read, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&talk.read[..end]).into_owned();
        talk.read.drain(..end + 4);
        let bytes = head.split(['/', ' ']).nth(2).and_then(|count| count.parse().ok()).unwrap_or(0);
        talk.close |= head.contains("Connection: close");
        let reply = page(bytes, talk.close);
        talk.say(&reply);
    }
    open && talk.write() && !(talk.close && talk.out.is_empty())
}

fn page(bytes: usize, close: bool) -> Vec<u8> {
    const TEXT: &[u8] = b"<p>The river runs out at night, and in the morning it comes back with the tide.</p>\n";
    let connection = if close { "close" } else { "keep-alive" };
    let mut page = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 06 Jan 2025 10:00:00 GMT\r\nContent-Type: text/html\r\n\
         Content-Length: {bytes}\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes();
    page.extend(TEXT.iter().copied().cycle().take(bytes));
    page
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

fn wait(poll: &OwnedFd) -> Vec<(u64, EventFlags)> {
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    let _ = epoll::wait(poll, rustix::buffer::spare_capacity(&mut events), Some(&WAIT));
    events.iter().map(|event| (event.data.u64(), event.flags)).collect()
}

/// Asks until told to stop.
pub struct Client {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl Client {
    /// One request a connection if `each`.
    pub fn start(ns: &Netns, each: bool, bytes: usize) -> Client {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let thread = ns.spawn({
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            move || Asker::new(each, bytes).ask(&stop, &answered).map_err(|error| format!("HTTP: {error}"))
        });
        Client { stop, answered, thread }
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    pub fn finish(self) -> Result<(), String> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| "the HTTP client panicked".to_owned())?
    }
}

struct Asker {
    poll: OwnedFd,
    request: Vec<u8>,
    bytes: usize,
    each: bool,
    talks: HashMap<u64, Talk>,
    next: u64,
    broken: u64,
}

/// What a readable connection of the client turned out to be.
enum Heard {
    Part,
    Whole,
    Broken,
}

impl Asker {
    fn new(each: bool, bytes: usize) -> Asker {
        let connection = if each { "close" } else { "keep-alive" };
        let request = format!(
            "GET /{bytes} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0\r\n\
             Accept: text/html\r\nAccept-Language: en\r\nConnection: {connection}\r\n\r\n"
        );
        let poll = epoll::create(CreateFlags::CLOEXEC).expect("epoll");
        Asker { poll, request: request.into_bytes(), bytes, each, talks: HashMap::new(), next: 0, broken: 0 }
    }

    fn ask(mut self, stop: &AtomicBool, answered: &AtomicU64) -> io::Result<()> {
        for _ in 0..CONNECTIONS {
            self.open()?;
        }
        let mut buffer = vec![0; 64 << 10];
        while !stop.load(Relaxed) {
            for (key, _) in wait(&self.poll) {
                match self.hear(key, &mut buffer) {
                    Heard::Part => {}
                    Heard::Whole => {
                        answered.fetch_add(1, Relaxed);
                        self.go_on(key)?;
                    }
                    Heard::Broken => {
                        self.broken += 1;
                        self.talks.remove(&key);
                        self.open()?;
                    }
                }
            }
        }
        let all = answered.load(Relaxed);
        if all == 0 || self.broken * 1000 > all {
            return Err(io::Error::other(format!("{} connections broke, {all} answers came", self.broken)));
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        let last = SERVER[3] + (self.next % u64::from(SERVER_ADDRESSES)) as u8;
        let to = SocketAddrV4::new(Ipv4Addr::new(SERVER[0], SERVER[1], SERVER[2], last), PORT);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let mut talk = Talk::new(stream);
        talk.say(&self.request);
        let key = self.next;
        self.next += 1;
        watch(&self.poll, &talk.stream, key);
        self.talks.insert(key, talk);
        Ok(())
    }

    fn hear(&mut self, key: u64, buffer: &mut [u8]) -> Heard {
        let Some(talk) = self.talks.get_mut(&key) else { return Heard::Part };
        if talk.stream.peer_addr().is_err() {
            // Not connected yet: either the answer to our SYN is still to come, or it was a refusal.
            return if matches!(talk.stream.take_error(), Ok(None)) { Heard::Part } else { Heard::Broken };
        }
        let (written, open) = (talk.write(), talk.fill(buffer));
        match find(&talk.read, b"\r\n\r\n") {
            Some(end) if talk.read.len() >= end + 4 + self.bytes => Heard::Whole,
            _ if open && written => Heard::Part,
            _ => Heard::Broken,
        }
    }

    /// The next request, on this connection or a new one.
    fn go_on(&mut self, key: u64) -> io::Result<()> {
        let done = self.talks.get(&key).is_none_or(|talk| talk.requests >= REQUESTS_PER_CONNECTION_MAX);
        if self.each || done {
            self.talks.remove(&key);
            return self.open();
        }
        if let Some(talk) = self.talks.get_mut(&key) {
            talk.requests += 1;
            talk.read.clear();
            talk.say(&self.request);
            talk.write();
        }
        Ok(())
    }
}
