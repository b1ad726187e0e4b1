//! Captures, sent again between hosts of ours: each direction from its own side, in the order of the capture.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tidegate::control::replay::{self, DestroyedEntry, ReplayOptions, ReplaySink};
use tidegate::packet::conntrack::Direction;
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::packet::verdict::Action;

use super::super::bed::{Bed, CLIENT, SERVER};
use super::raw::RawSocket;

const BATCH: usize = 32;
/// What fits a link; super-packets of a capture do not.
const BYTES_MAX: usize = 1500;
const PACKETS_MAX: usize = 150_000;
const CLIENTS: u32 = 0x0a80_0001;
const SERVERS: u32 = 0x0ac0_0001;

struct Packet {
    direction: Direction,
    bytes: Vec<u8>,
}

pub struct Mix {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Mix {
    /// Sends all captures over and over. They are read once a process.
    pub fn start(bed: &Bed) -> Result<Mix, String> {
        static PACKETS: OnceLock<Vec<Packet>> = OnceLock::new();
        let packets = PACKETS.get_or_init(read);
        if packets.is_empty() {
            return Err("no captures: give a folder of them as TIDEGATE_CAPTURES".to_owned());
        }
        let from_client = bed.client.run(|| RawSocket::open(SERVER))?;
        let from_server = bed.server.run(|| RawSocket::open(CLIENT))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Relaxed) {
                for run in
                    packets.chunk_by(|one, next| one.direction == next.direction).flat_map(|run| run.chunks(BATCH))
                {
                    let socket = if run[0].direction == Direction::Original { &from_client } else { &from_server };
                    socket.send(run)?;
                    if told.load(Relaxed) {
                        break;
                    }
                }
            }
            Ok(())
        });
        Ok(Mix { stop, thread })
    }

    pub fn finish(self) -> Result<(), String> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| "the mix panicked".to_owned())?
    }
}

impl AsRef<[u8]> for Packet {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn read() -> Vec<Packet> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder =
        std::env::var_os("TIDEGATE_CAPTURES").map_or(root.join("../shared/testdata/traffic/pcaps"), Into::into);
    let mut reader = Reader::default();
    // Without captures there is nothing to send, and the caller says so.
    let _ = replay::feed(&folder, ReplayOptions::default(), &mut reader);
    reader.packets
}

/// Hosts get new addresses by the side that they are on.
#[derive(Default)]
struct Reader {
    packets: Vec<Packet>,
    clients: HashMap<[u8; 4], u32>,
    servers: HashMap<[u8; 4], u32>,
}

impl ReplaySink for Reader {
    fn packet(&mut self, packet: &Ingress<'_>, _: Timestamp) -> Action {
        if let Some(tracked) = packet.conntrack {
            self.take(packet.bytes, tracked.info.direction());
        }
        Action::Accept
    }

    fn destroyed(&mut self, _: &DestroyedEntry) {}
}

impl Reader {
    /// IPv4 with TCP or UDP, whole, no fragment.
    fn take(&mut self, bytes: &[u8], direction: Direction) {
        let len = bytes.get(2..4).map_or(0, |len| usize::from(u16::from_be_bytes([len[0], len[1]])));
        let header = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
        let whole = bytes.len() == len && (header + 20..=BYTES_MAX).contains(&len) && bytes[0] >> 4 == 4;
        if !whole || self.packets.len() >= PACKETS_MAX || bytes[6] & 0x3f != 0 || bytes[7] != 0 {
            return;
        }
        let mut bytes = bytes.to_vec();
        let (from_servers, source, target) = match direction {
            Direction::Original => (false, 12, 16),
            Direction::Reply => (true, 16, 12),
        };
        let client = renamed(&mut self.clients, CLIENTS, &bytes[source..source + 4]);
        let server = renamed(&mut self.servers, SERVERS, &bytes[target..target + 4]);
        let (source, target) = if from_servers { (server, client) } else { (client, server) };
        bytes[12..16].copy_from_slice(&source.to_be_bytes());
        bytes[16..20].copy_from_slice(&target.to_be_bytes());
        match bytes[9] {
            6 => {
                bytes[header + 16..header + 18].fill(0);
                let sum = tcp_checksum(&bytes, header);
                bytes[header + 16..header + 18].copy_from_slice(&sum.to_be_bytes());
            }
            17 => bytes[header + 6..header + 8].fill(0),
            _ => return,
        }
        self.packets.push(Packet { direction, bytes });
    }
}

fn renamed(names: &mut HashMap<[u8; 4], u32>, first: u32, address: &[u8]) -> u32 {
    let next = first + u32::try_from(names.len()).expect("few hosts");
    *names.entry([address[0], address[1], address[2], address[3]]).or_insert(next)
}

fn tcp_checksum(bytes: &[u8], header: usize) -> u16 {
    let segment = &bytes[header..];
    let words = bytes[12..20].chunks(2).chain(segment.chunks(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low))).sum();
    let mut sum = sum + 6 + u32::try_from(segment.len()).expect("a segment");
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
