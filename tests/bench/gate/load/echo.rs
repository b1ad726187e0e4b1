//! One connection, full in both directions: the client sends as fast as it can and gets everything back.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use super::super::bed::{Bed, SERVER};
use super::flood;

const PORT: u16 = 5202;
const CHUNK_BYTES: usize = 128 << 10;

pub struct Echo {
    stop: Arc<AtomicBool>,
    echoed: Arc<AtomicU64>,
    stream: TcpStream,
    sender: JoinHandle<()>,
    receiver: JoinHandle<io::Result<()>>,
}

impl Echo {
    pub fn start(bed: &Bed) -> io::Result<Echo> {
        let listener = bed.server.run(|| TcpListener::bind(("0.0.0.0", PORT)))?;
        std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            io::copy(&mut &stream, &mut &stream)
        });
        let stream = bed.client.run(|| TcpStream::connect((Ipv4Addr::from(SERVER), PORT)))?;
        let (stop, echoed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (mut writing, mut reading) = (stream.try_clone()?, stream.try_clone()?);
        let sender = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let chunk = flood::noise(CHUNK_BYTES);
                while !stop.load(Relaxed) && writing.write_all(&chunk).is_ok() {}
            }
        });
        let receiver = std::thread::spawn({
            let (stop, echoed) = (Arc::clone(&stop), Arc::clone(&echoed));
            move || {
                let mut buffer = vec![0; CHUNK_BYTES];
                while !stop.load(Relaxed) {
                    match reading.read(&mut buffer) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(count) => echoed.fetch_add(count as u64, Relaxed),
                        Err(_) if stop.load(Relaxed) => break,
                        Err(error) => return Err(error),
                    };
                }
                Ok(())
            }
        });
        Ok(Echo { stop, echoed, stream, sender, receiver })
    }

    /// Bytes that came back.
    pub fn echoed(&self) -> u64 {
        self.echoed.load(Relaxed)
    }

    pub fn finish(self) -> Result<(), String> {
        self.stop.store(true, Relaxed);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.sender.join().map_err(|_| "the echo's sender panicked".to_owned())?;
        match self.receiver.join().map_err(|_| "the echo's receiver panicked".to_owned())? {
            // It may have seen the end that we have just made.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(format!("echo: {error}")),
            _ => Ok(()),
        }
    }
}
