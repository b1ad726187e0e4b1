//! What stands behind the gate: an HTTP server and a DNS responder that remember who sent them what.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::dns;
use super::error::{LabError, at};
use super::http::{self, Message, Messages};
use super::namespace::Namespace;

pub const HTTP_PORT: u16 = 80;
/// Open, too, and served alike: what a port scan is after.
pub const HIDDEN_PORT: u16 = 8888;
pub const DNS_PORT: u16 = 53;

/// How long a thread waits before it looks whether to stop.
const TICK: Duration = Duration::from_millis(100);

/// What arrived at the server, by the sender's address and port.
#[derive(Debug, Default)]
pub struct Ledger {
    senders: Mutex<HashMap<SocketAddr, Arrivals>>,
}

/// What arrived from one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Complete HTTP requests or DNS queries.
    pub requests: usize,
    pub bytes: u64,
}

impl Ledger {
    #[must_use]
    pub fn of(&self, sender: SocketAddr) -> Arrivals {
        self.lock().get(&sender).copied().unwrap_or_default()
    }

    fn note(&self, sender: SocketAddr, arrivals: Arrivals) {
        self.lock().insert(sender, arrivals);
    }

    fn note_datagram(&self, sender: SocketAddr, bytes: usize) {
        let mut senders = self.lock();
        let arrivals = senders.entry(sender).or_default();
        arrivals.requests = arrivals.requests.saturating_add(1);
        arrivals.bytes = arrivals.bytes.saturating_add(bytes as u64);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arrivals>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The servers' threads; dropping it ends and joins them.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Ledger,
    stop: AtomicBool,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    pub fn start(namespace: &Namespace) -> Result<Server, LabError> {
        let mut server = Server { shared: Arc::default(), listeners: Vec::new() };
        for port in [HTTP_PORT, HIDDEN_PORT] {
            let opened = namespace.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).and_then(|opened| opened);
            let listener = at(format!("cannot listen on TCP port {port} in the server's namespace"), opened)?;
            at("cannot set a timeout", set_socket_timeout(&listener, Timeout::Recv, Some(TICK)).map_err(Into::into))?;
            let shared = Arc::clone(&server.shared);
            server.listeners.push(thread::spawn(move || accept(&listener, &shared)));
        }
        let opened = namespace.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, DNS_PORT))).and_then(|opened| opened);
        let socket = at("cannot listen on UDP port 53 in the server's namespace", opened)?;
        at("cannot set a timeout", socket.set_read_timeout(Some(TICK)))?;
        let shared = Arc::clone(&server.shared);
        server.listeners.push(thread::spawn(move || answer_dns(&socket, &shared)));
        Ok(server)
    }

    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut threads = std::mem::take(&mut self.listeners);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
        let mut connections = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in connections.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((stream, sender)) = listener.accept() else { continue };
        let serving = Arc::clone(shared);
        let thread = thread::spawn(move || {
            // A connection that breaks is what half of the cases are about.
            let _ = serve(&stream, canonical(sender), &serving);
        });
        let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|thread| !thread.is_finished());
        connections.push(thread);
    }
}

fn serve(stream: &TcpStream, sender: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut messages = Messages::default();
    let mut requests = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        match messages.fill(stream) {
            Ok(0) => return Ok(()),
            Err(error) if is_timeout(&error) => continue,
            outcome => outcome?,
        };
        shared.ledger.note(sender, Arrivals { requests, bytes: messages.received_bytes() });
        while let Some(request) = messages.take() {
            requests = requests.saturating_add(1);
            shared.ledger.note(sender, Arrivals { requests, bytes: messages.received_bytes() });
            respond(stream, &request)?;
        }
    }
    Ok(())
}

fn respond(stream: &TcpStream, request: &Message) -> io::Result<()> {
    let asked_for = request.target().strip_prefix("/bytes/").and_then(|count| count.parse().ok());
    match asked_for {
        Some(count) => http::respond_with_pattern(stream, count),
        None if request.body.is_empty() => http::respond(stream, b"A page of the lab.\n"),
        None => http::respond(stream, format!("Took {} bytes.\n", request.body.len()).as_bytes()),
    }
}

fn answer_dns(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 1500];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((count, sender)) = socket.recv_from(&mut buffer) else { continue };
        let Some((_, answer)) = buffer.get(..count).and_then(dns::answer) else { continue };
        shared.ledger.note_datagram(canonical(sender), count);
        let _ = socket.send_to(&answer, sender); // the client notices what is missing
    }
}

/// The listeners stand on `::`; IPv4 senders look mapped there.
fn canonical(sender: SocketAddr) -> SocketAddr {
    SocketAddr::new(sender.ip().to_canonical(), sender.port())
}

/// Whether a socket's timeout is over.
#[must_use]
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
