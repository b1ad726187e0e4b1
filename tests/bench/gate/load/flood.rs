//! Datagrams faster than any queue can take them: headers made once, 64 of them with one system call, through a raw socket, so
//! that any number of connections costs the sender the same.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::bed::{Bed, SERVER};
use super::dns;
use super::raw::RawSocket;

const PORT: u16 = 9999;
const DNS_PORT: u16 = 53;
const BATCH: usize = 64;
const HEADERS_BYTES: usize = 28;

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub what: What,
    /// Source addresses and ports, in turn.
    pub flows: u32,
    /// `None`: as fast as it goes.
    pub per_second: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Bytes without meaning, so many in an IP packet.
    Noise(usize),
    /// Questions to a name server that does not answer: each is parsed and logged.
    Queries,
}

pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl Flood {
    pub fn start(bed: &Bed, shape: Shape) -> Flood {
        // Bound and never read: what arrives is counted by the interface, and no error goes back.
        let port = shape.what.port();
        let sink = bed.server.run(|| std::net::UdpSocket::bind(("0.0.0.0", port)).expect("a free port"));
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let thread = bed.client.spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || {
                let result = send(shape, &stop, &sent);
                drop(sink);
                result
            }
        });
        Flood { stop, sent, thread }
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Returns how many were sent in all.
    pub fn finish(self) -> Result<u64, String> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| "the flood panicked".to_owned())??;
        Ok(self.sent.load(Relaxed))
    }
}

fn send(shape: Shape, stop: &AtomicBool, sent: &AtomicU64) -> Result<(), String> {
    let socket = RawSocket::open(SERVER)?;
    let mut packets: Vec<Vec<u8>> = (0..BATCH).map(|_| template(shape.what.port(), &shape.what.payload())).collect();
    let started = Instant::now();
    let mut next = 0u32;
    while !stop.load(Relaxed) {
        let mut room = BATCH;
        if let Some(per_second) = shape.per_second {
            let due = (started.elapsed().as_secs_f64() * per_second) as u64;
            room = room.min(usize::try_from(due.saturating_sub(sent.load(Relaxed))).unwrap_or(BATCH));
            if room == 0 {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
        }
        for packet in &mut packets[..room] {
            address(packet, next);
            next = (next + 1) % shape.flows;
        }
        let took = socket.send(&packets[..room])?;
        sent.fetch_add(took as u64, Relaxed);
    }
    Ok(())
}

impl What {
    fn port(self) -> u16 {
        match self {
            What::Noise(_) => PORT,
            What::Queries => DNS_PORT,
        }
    }

    fn payload(self) -> Vec<u8> {
        match self {
            What::Noise(bytes) => noise(bytes.saturating_sub(HEADERS_BYTES)),
            What::Queries => dns::query(1),
        }
    }
}

/// Bytes without meaning, the same every time.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(next).collect()
}

/// The kernel fills in the header's checksum, and zero is no checksum for UDP.
fn template(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = |bytes: usize| u16::try_from(bytes).expect("a datagram").to_be_bytes();
    let mut packet = vec![0u8; HEADERS_BYTES];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len(HEADERS_BYTES + payload.len()));
    packet[8] = 64;
    packet[9] = 17;
    packet[16..20].copy_from_slice(&SERVER);
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[24..26].copy_from_slice(&len(8 + payload.len()));
    packet.extend_from_slice(payload);
    packet
}

/// 10.128.0.0/10 holds the sources: 64 ports of each address.
fn address(packet: &mut [u8], flow: u32) {
    let source = Ipv4Addr::from(0x0a80_0001 + (flow >> 6)).octets();
    packet[12..16].copy_from_slice(&source);
    packet[20..22].copy_from_slice(&(20_000 + (flow & 63) as u16).to_be_bytes());
}
