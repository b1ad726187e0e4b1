//! Round trips one at a time: what the way through the contender adds when nothing else happens, or something does.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::bed::{Bed, SERVER};
use super::super::figures::Percentiles;

const PORT: u16 = 7;
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(1);

/// Probes for so long. An answer that does not come within a second is counted as lost and as a second.
pub fn run(bed: &Bed, seconds: f64) -> Result<Percentiles, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let echo = bed.server.run(|| UdpSocket::bind(("0.0.0.0", PORT)).expect("a free port"));
    echo.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout above zero");
    let server = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut buffer = [0; 64];
            while !stop.load(Relaxed) {
                if let Ok((len, from)) = echo.recv_from(&mut buffer) {
                    let _ = echo.send_to(&buffer[..len], from);
                }
            }
        }
    });
    let result = bed.client.run(|| probe(seconds));
    stop.store(true, Relaxed);
    server.join().map_err(|_| "the echo server panicked".to_owned())?;
    result
}

fn probe(seconds: f64) -> Result<Percentiles, String> {
    let wrong = |error: std::io::Error| format!("probe: {error}");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(wrong)?;
    socket.connect((Ipv4Addr::from(SERVER), PORT)).map_err(wrong)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(wrong)?;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let (mut micros, mut lost, mut number) = (Vec::new(), 0, 0u64);
    let mut buffer = [0; 64];
    while Instant::now() < end {
        number += 1;
        let started = Instant::now();
        socket.send(&number.to_be_bytes()).map_err(wrong)?;
        // An answer that comes late must not pass for that to a later question.
        loop {
            match socket.recv(&mut buffer) {
                Ok(8) if buffer[..8] != number.to_be_bytes() => continue,
                Ok(_) => break,
                Err(_) => {
                    lost += 1;
                    break;
                }
            }
        }
        micros.push(started.elapsed().as_secs_f64() * 1e6);
        sleep(PAUSE);
    }
    Ok(Percentiles::of(micros, lost))
}
