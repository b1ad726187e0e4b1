//! Load that knows what it sent: whatever the gate loses, delays or garbles shows up in the numbers.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::netns::Netns;
use super::traffic::tcp_connect;
use super::wait_until;

/// A socket that is silent for so long has lost its connection.
const SILENCE_MAX: Duration = Duration::from_secs(40);
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
            let stop = Arc::clone(&stop);
            move || send_numbers(&sockets, per_second, &stop)
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

fn send_numbers(sockets: &[UdpSocket], per_second: u32, stop: &AtomicBool) -> io::Result<u64> {
    let start = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Relaxed) {
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        // After a pause of the whole machine the load goes on; it does not catch up in one burst.
        let burst_end = due.min(sent + 64);
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

/// `iperf3` at full speed, `stream_count` TCP streams from client to server.
pub struct Iperf {
    client: Child,
    _server: Killed,
    stream_count: usize,
}

impl Iperf {
    #[track_caller]
    pub fn start(client: &Netns, server: &Netns, address: IpAddr, stream_count: usize, seconds: u32) -> Iperf {
        let listener = server
            .command("iperf3")
            .args(["--server", "--one-off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("iperf3 is installed");
        let listener = Killed(listener);
        // Port 5201 is 1451 in the kernel's list of sockets.
        wait_until("iperf3 to listen", Duration::from_secs(20), || server.proc_net("tcp6").contains(":1451 "));
        let client = client
            .command("iperf3")
            .args(["--json", "--client", &address.to_string(), "--time", &seconds.to_string()])
            .args(["--parallel", &stream_count.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("iperf3 is installed");
        Iperf { client, _server: listener, stream_count }
    }

    /// Waits for its end and panics unless all streams were alive to the end. Returns megabits per second.
    #[track_caller]
    pub fn finish(self) -> f64 {
        let output = self.client.wait_with_output().expect("a child of ours");
        let report: Value = serde_json::from_slice(&output.stdout).expect("iperf3 reports JSON");
        assert!(output.status.success() && report["error"].is_null(), "iperf3: {}", report["error"]);
        let intervals = report["intervals"].as_array().expect("intervals");
        // Retransmission timers after an outage are long and differ; the last third must have seen every stream.
        let last = &intervals[intervals.len() * 2 / 3..];
        for stream in 0..self.stream_count {
            let bytes = |interval: &Value| interval["streams"][stream]["bytes"].as_f64().unwrap_or(0.0);
            assert!(last.iter().map(bytes).sum::<f64>() > 0.0, "stream {stream} of {} stalled", self.stream_count);
        }
        report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or(0.0) / 1e6
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
