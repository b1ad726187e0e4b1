//! Load that knows what it sent: whatever the gate loses, delays or garbles shows up in the numbers.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::netns::Netns;
use super::traffic::tcp_connect;
use super::wait_until;

/// A socket that is silent for so long has lost its connection: longer than TCP waits before it sends again.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Fewer than `net.core.netdev_max_backlog`.
const IN_FLIGHT_MAX: u64 = 800;
const UDP_RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// Sends back each byte that arrives at `port`, both families, on any number of connections.
pub fn serve_tcp_echo(ns: &Netns, port: u16) {
    let listener = ns.run(|| TcpListener::bind(("::", port))).expect("a free port in a namespace of our own");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
}

/// Long-lived TCP connections to an echo server, each asking and waiting for the answer, over and over.
pub struct Heartbeats {
    stop: Arc<AtomicBool>,
    rounds: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<io::Result<Duration>>>,
}

impl Heartbeats {
    #[track_caller]
    pub fn start(ns: &Netns, server: IpAddr, port: u16, count: usize) -> Heartbeats {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Vec<_> = (0..count).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let beat = |done: &Arc<AtomicU64>| {
            let stream = tcp_connect(ns, server, port).expect("a connection to the echo server");
            stream.set_read_timeout(Some(SILENCE_MAX)).expect("a timeout above zero");
            let (stop, done) = (Arc::clone(&stop), Arc::clone(done));
            thread::spawn(move || heartbeat(stream, &stop, &done))
        };
        let threads = rounds.iter().map(beat).collect();
        Heartbeats { stop, rounds, threads }
    }

    /// Waits until each connection has made `count` more round trips.
    #[track_caller]
    pub fn wait_for_rounds(&self, count: u64, limit: Duration) {
        let before: Vec<u64> = self.rounds.iter().map(|rounds| rounds.load(Relaxed)).collect();
        wait_until("round trips on every connection", limit, || {
            self.rounds.iter().zip(&before).all(|(rounds, before)| rounds.load(Relaxed) >= before + count)
        });
    }

    /// Ends all of them and panics if one was broken or garbled. Returns the longest round trip.
    #[track_caller]
    pub fn finish(self) -> Duration {
        self.stop.store(true, Relaxed);
        let results = self.threads.into_iter().map(|thread| thread.join().expect("a heartbeat does not panic"));
        let results: Vec<io::Result<Duration>> = results.collect();
        let broken: Vec<&io::Error> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert!(broken.is_empty(), "{} of {} connections broke: {:?}", broken.len(), results.len(), broken[0]);
        results.into_iter().flatten().max().unwrap_or_default()
    }
}

fn heartbeat(mut stream: TcpStream, stop: &AtomicBool, rounds: &AtomicU64) -> io::Result<Duration> {
    let mut longest = Duration::ZERO;
    for round in 0_u64.. {
        if stop.load(Relaxed) {
            break;
        }
        let start = Instant::now();
        stream.write_all(&round.to_be_bytes())?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer)?;
        if answer != round.to_be_bytes() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another question"));
        }
        longest = longest.max(start.elapsed());
        rounds.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(5));
    }
    Ok(longest)
}

/// Numbered datagrams to a server that remembers which arrived.
pub struct UdpLoad {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<io::Result<u64>>,
    arrived: Arc<Mutex<HashSet<u64>>>,
}

impl UdpLoad {
    /// Sends `per_second` datagrams a second over `flow_count` connections to `port`, which must be free.
    #[track_caller]
    pub fn start(
        client: &Netns,
        server: &Netns,
        address: IpAddr,
        port: u16,
        flow_count: usize,
        per_second: u32,
    ) -> UdpLoad {
        let receiver = server.run(|| UdpSocket::bind((address, port))).expect("a free port");
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&receiver, UDP_RECEIVE_BUFFER_BYTES)
            .expect("a large receive buffer");
        let arrived = Arc::new(Mutex::new(HashSet::new()));
        thread::spawn({
            let arrived = Arc::clone(&arrived);
            move || remember(&receiver, &arrived)
        });

        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let connect = |_| {
            let socket = client.run(|| UdpSocket::bind(any)).expect("a free port");
            socket.connect((address, port)).expect("a route");
            socket
        };
        let sockets: Vec<UdpSocket> = (0..flow_count).map(connect).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let sender = thread::spawn({
            let (stop, arrived) = (Arc::clone(&stop), Arc::clone(&arrived));
            move || send_numbers(&sockets, per_second, &arrived, &stop)
        });
        UdpLoad { stop, sender, arrived }
    }

    pub fn arrived_count(&self) -> u64 {
        lock(&self.arrived).len() as u64
    }

    /// Waits until `count` more datagrams have arrived.
    #[track_caller]
    pub fn wait_for(&self, count: u64, limit: Duration) {
        let before = self.arrived_count();
        wait_until("datagrams to arrive", limit, || self.arrived_count() >= before + count);
    }

    /// Stops sending, gives what is under way time to arrive, and returns how many were sent and how many are missing.
    #[track_caller]
    pub fn finish(self, grace: Duration) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        let sent = self.sender.join().expect("a sender does not panic").expect("sending works");
        let deadline = Instant::now() + grace;
        while (lock(&self.arrived).len() as u64) < sent && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        (sent, sent - lock(&self.arrived).len() as u64)
    }
}

fn send_numbers(
    sockets: &[UdpSocket],
    per_second: u32,
    arrived: &Mutex<HashSet<u64>>,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let start = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Relaxed) {
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        // After a pause of the whole machine the load goes on; it does not catch up in one burst, and never has more under
        // way than the kernel's backlogs take.
        let window_end = lock(arrived).len() as u64 + IN_FLIGHT_MAX;
        let burst_end = due.min(sent + 64).min(window_end);
        while sent < burst_end {
            sockets[sent as usize % sockets.len()].send(&sent.to_be_bytes())?;
            sent += 1;
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(sent)
}

fn remember(socket: &UdpSocket, arrived: &Mutex<HashSet<u64>>) {
    let mut number = [0; 8];
    while let Ok(len) = socket.recv(&mut number) {
        if len == number.len() {
            lock(arrived).insert(u64::from_be_bytes(number));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `iperf3` at full speed from client to server, many TCP streams, until nobody needs it any more.
///
/// Small windows: full speed does not need seconds of waiting packets, and those would make everything else wait, too.
/// Its own report comes at a time set beforehand; how fast things go here is not known beforehand. So progress is read
/// from the kernel: the acknowledged bytes of each of its sockets.
pub struct Iperf<'n> {
    client_ns: &'n Netns,
    client: Killed,
    _server: Killed,
    stream_count: usize,
}

impl<'n> Iperf<'n> {
    #[track_caller]
    pub fn start(client_ns: &'n Netns, server_ns: &Netns, address: IpAddr, stream_count: usize) -> Iperf<'n> {
        let spawn = |ns: &Netns, args: &str| {
            let mut command = ns.command("iperf3");
            command.args(args.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
            Killed(command.spawn().expect("iperf3 is installed"))
        };
        let server = spawn(server_ns, "--server --one-off");
        // Port 5201 is 1451 in the kernel's list of sockets.
        wait_until("iperf3 to listen", SILENCE_MAX, || server_ns.proc_net("tcp6").contains(":1451 "));
        let client =
            spawn(client_ns, &format!("--client {address} --time 3600 --window 128K --parallel {stream_count}"));
        let iperf = Iperf { client_ns, client, _server: server, stream_count };
        wait_until("iperf3's connections", SILENCE_MAX, || iperf.acknowledged().len() > stream_count);
        iperf
    }

    /// Waits until each stream has had `bytes` more acknowledged; panics if one is no longer there.
    #[track_caller]
    pub fn wait_for_progress(&mut self, bytes: u64, limit: Duration) {
        let before = self.acknowledged();
        let mut behind = Vec::new();
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let ended = self.client.0.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "iperf3 gave up: {}", ended.unwrap_or_default());
            let now = self.acknowledged();
            let gone: Vec<&String> = before.keys().filter(|stream| !now.contains_key(*stream)).collect();
            assert!(gone.is_empty(), "streams of iperf3 broke: {gone:?}");
            behind =
                before.iter().filter(|(stream, sent)| now[*stream] < **sent + bytes).map(|(s, _)| s.clone()).collect();
            // The control connection says little.
            if behind.len() <= 1 {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{} of {} streams of iperf3 stalled for {limit:?}: {behind:?}", behind.len() - 1, self.stream_count);
    }

    /// Acknowledged bytes of each connection, the control connection included, by the client's address.
    fn acknowledged(&self) -> BTreeMap<String, u64> {
        let listed = self.client_ns.sh("ss -H -t -i -n state established dport = :5201");
        let mut lines = listed.lines();
        let mut sockets = BTreeMap::new();
        while let (Some(socket), Some(facts)) = (lines.next(), lines.next()) {
            let local = socket.split_whitespace().nth(2).unwrap_or_default();
            let acked = facts.split_whitespace().find_map(|fact| fact.strip_prefix("bytes_acked:"));
            sockets.insert(local.to_owned(), acked.and_then(|bytes| bytes.parse().ok()).unwrap_or(0));
        }
        sockets
    }
}

/// A process that is killed when nobody needs it any more.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
