//! Numbered datagrams over the loopback, the rules that queue them, and a judge that knows their numbers.

use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use tidegate::kernel::queue::{Answer, Queue, QueueConfig, QueueCounters};

pub const NUMBER: u16 = 7;
pub const PORT: u16 = 9999;
/// So many may be under way; with more the sender waits for the receiver. The buffers of both hold some 250 small
/// datagrams, but what waits in a queue is charged to the sender, and a receiver gives room back by the quarter only.
const UNDER_WAY_MAX: u32 = 120;
const PAUSE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Lane {
    pub sender: Sender,
    arrived: Receiver<u32>,
}

#[derive(Clone)]
pub struct Sender {
    socket: Arc<UdpSocket>,
    sent: Arc<AtomicU32>,
    arrived: Arc<AtomicU32>,
}

impl Sender {
    pub fn send(&self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.send_bytes(&number.to_be_bytes());
        }
    }

    pub fn send_bytes(&self, bytes: &[u8]) {
        let sent = self.sent.fetch_add(1, Relaxed);
        let patience = Instant::now() + PATIENCE;
        while sent - self.arrived.load(Relaxed) >= UNDER_WAY_MAX && Instant::now() < patience {
            sleep(PAUSE / 10);
        }
        self.socket.send(bytes).unwrap();
    }
}

impl Lane {
    pub fn new() -> Lane {
        Lane::at("127.0.0.1")
    }

    pub fn at(host: &str) -> Lane {
        run("ip", "link set lo up");
        let address: SocketAddr = format!("{host}:{PORT}").parse().unwrap();
        let receiver = UdpSocket::bind(address).unwrap();
        let sender = UdpSocket::bind(format!("{host}:0")).unwrap();
        sender.connect(address).unwrap();
        let (tell, arrived) = channel();
        let sender = Sender { socket: Arc::new(sender), sent: Arc::default(), arrived: Arc::default() };
        let count = Arc::clone(&sender.arrived);
        thread::spawn(move || {
            let mut buffer = [0; 65_535];
            while receiver.recv(&mut buffer).is_ok() {
                tell.send(u32::from_be_bytes(*buffer.first_chunk().unwrap())).unwrap();
                count.fetch_add(1, Relaxed);
            }
        });
        Lane { sender, arrived }
    }

    pub fn queue_output(&self) {
        iptables(&format!("-A OUTPUT -p udp -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));
    }

    pub fn send(&self, numbers: impl IntoIterator<Item = u32>) {
        self.sender.send(numbers);
    }

    /// What has not arrived by now was dropped, and the sender need not wait for it.
    pub fn nothing_is_under_way(&self) {
        self.sender.sent.store(self.sender.arrived.load(Relaxed), Relaxed);
    }

    /// The numbers of the next `count` datagrams; fewer if no more come.
    pub fn received(&self, count: usize) -> Vec<u32> {
        (0..count).map_while(|_| self.arrived.recv_timeout(PATIENCE).ok()).collect()
    }

    /// Fails unless these arrive, each once, in whatever order.
    pub fn expect_any_order(&self, numbers: Range<u32>) {
        let missing = self.missing(numbers);
        assert!(missing.is_empty(), "{} are missing, from {:?} on", missing.len(), missing.first());
    }

    /// Those of the next datagrams that do not arrive. Fails if one arrives twice.
    pub fn missing(&self, numbers: Range<u32>) -> Vec<u32> {
        let mut arrived = self.received(numbers.len());
        let count = arrived.len();
        arrived.sort_unstable();
        arrived.dedup();
        assert_eq!(arrived.len(), count, "each once");
        numbers.filter(|number| arrived.binary_search(number).is_err()).collect()
    }
}

pub fn open(config: QueueConfig) -> Queue {
    Queue::open(&config).unwrap().0
}

/// Receives `count` packets and answers each by its number. Returns the totals since the queue was opened.
pub fn serve(queue: &mut Queue, count: usize, mut judge: impl FnMut(u32) -> Answer) -> QueueCounters {
    let mut left = count;
    while left > 0 {
        let received = queue.receive(PATIENCE).unwrap().packets;
        assert!(received > 0, "{left} of {count} packets did not come: {:?}", queue.counters());
        left = left.saturating_sub(received);
        let (inbox, mut answers) = queue.split();
        for (packet, ticket) in inbox {
            let number = packet.bytes().last_chunk().unwrap();
            answers.give(ticket, judge(u32::from_be_bytes(*number)));
        }
        answers.flush().unwrap();
    }
    *queue.counters()
}

/// Packets that each rule of a chain has counted, in order.
pub fn rule_packets(table: &str, chain: &str) -> Vec<u64> {
    let listing = run("iptables", &format!("-w -t {table} -nvxL {chain}"));
    listing.lines().skip(2).map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

pub fn iptables(arguments: &str) {
    run("iptables", &format!("-w {arguments}"));
}

pub fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}
