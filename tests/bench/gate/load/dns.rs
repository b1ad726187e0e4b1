//! Queries for A records, each from a port of its own, as resolvers ask; a name server that knows every name.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::bed::{Bed, SERVER};

const UNDER_WAY: usize = 32;
const PATIENCE: Duration = Duration::from_millis(500);
/// What is lost beside a flood is not, here: nothing else is under way.
const LOST_PER_MILLE_MAX: u64 = 10;

pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    server: JoinHandle<()>,
    client: JoinHandle<Result<(), String>>,
}

impl Load {
    pub fn start(bed: &Bed) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let listening = bed.server.run(|| UdpSocket::bind(("0.0.0.0", 53)).expect("a free port"));
        listening.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        let server = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || answer(&listening, &stop)
        });
        let client = bed.client.spawn({
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            move || ask(&stop, &answered)
        });
        Load { stop, answered, server, client }
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    pub fn finish(self) -> Result<(), String> {
        self.stop.store(true, Relaxed);
        let asked = self.client.join().map_err(|_| "the DNS client panicked".to_owned())?;
        self.server.join().map_err(|_| "the DNS server panicked".to_owned())?;
        asked
    }
}

fn ask(stop: &AtomicBool, answered: &AtomicU64) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("DNS: {error}");
    let (mut number, mut lost) = (0u32, 0u64);
    let mut buffer = [0u8; 512];
    while !stop.load(Relaxed) {
        let mut sockets = Vec::with_capacity(UNDER_WAY);
        for _ in 0..UNDER_WAY {
            let socket = UdpSocket::bind("0.0.0.0:0").map_err(wrong)?;
            socket.set_read_timeout(Some(PATIENCE)).map_err(wrong)?;
            socket.connect((Ipv4Addr::from(SERVER), 53)).map_err(wrong)?;
            number = number.wrapping_add(1);
            socket.send(&query(number)).map_err(wrong)?;
            sockets.push(socket);
        }
        for socket in sockets {
            match socket.recv(&mut buffer) {
                Ok(_) => answered.fetch_add(1, Relaxed),
                Err(_) => {
                    lost += 1;
                    0
                }
            };
        }
    }
    let all = answered.load(Relaxed) + lost;
    if lost * 1000 > all * LOST_PER_MILLE_MAX { Err(format!("DNS: {lost} of {all} lost")) } else { Ok(()) }
}

/// `host-N.example.org`, type A.
pub fn query(number: u32) -> Vec<u8> {
    let mut message = vec![0; 12];
    message[..2].copy_from_slice(&(number as u16).to_be_bytes());
    message[2] = 1;
    message[5] = 1;
    for label in [format!("host-{number}").as_str(), "example", "org"] {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

fn answer(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0u8; 512];
    while !stop.load(Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer[..480]) else { continue };
        let mut reply = buffer[..len].to_vec();
        reply[2] = 0x81;
        reply[3] = 0x80;
        reply[7] = 1;
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 1]);
        let _ = socket.send_to(&reply, from);
    }
}
