//! What inspection costs: the time of small HTTP requests, and how much a download moves in a second.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cases::{Family, Sender};
use super::http::{Messages, Request};
use super::server::HTTP_PORT;
use super::{sockets, topology};

const PATIENCE: Duration = Duration::from_secs(3);
const WARM_UP_REQUESTS: usize = 20;
const REQUESTS: usize = 400;
const CONNECTIONS: usize = 100;
const DOWNLOAD_TIME: Duration = Duration::from_millis(1200);

/// One measurement, with or without the gate in between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// A request and its response on an open connection.
    pub request: Spread,
    /// Connecting, a request and its response.
    pub connection: Spread,
    pub download_mb_per_s: f64,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Measures from inside the client's namespace.
pub fn measure() -> io::Result<Cost> {
    Ok(Cost { request: requests()?, connection: connections()?, download_mb_per_s: download()? })
}

impl Spread {
    /// Of at least one sample; zero of none.
    #[must_use]
    pub fn of(mut samples: Vec<Duration>) -> Spread {
        samples.sort_unstable();
        Spread { p50_us: percentile_us(&samples, 50), p99_us: percentile_us(&samples, 99) }
    }
}

/// The smallest sample that `percent` of the samples do not exceed (nearest rank).
fn percentile_us(sorted: &[Duration], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |sample| sample.as_nanos() as f64 / 1000.0)
}

fn requests() -> io::Result<Spread> {
    let (request, mut messages) = (Request::get("/").render(), Messages::default());
    let mut stream = sockets::tcp(user(), server(), PATIENCE)?;
    let mut samples = Vec::with_capacity(REQUESTS);
    for _ in 0..WARM_UP_REQUESTS + REQUESTS {
        let started = Instant::now();
        stream.write_all(&request)?;
        messages.wait(&stream)?;
        samples.push(started.elapsed());
    }
    Ok(Spread::of(samples.split_off(WARM_UP_REQUESTS)))
}

fn connections() -> io::Result<Spread> {
    let request = Request::get("/").render();
    let mut samples = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let started = Instant::now();
        let mut stream = sockets::tcp(user(), server(), PATIENCE)?;
        stream.write_all(&request)?;
        Messages::default().wait(&stream)?;
        samples.push(started.elapsed());
    }
    Ok(Spread::of(samples))
}

fn download() -> io::Result<f64> {
    let mut stream = sockets::tcp(user(), server(), PATIENCE)?;
    stream.write_all(&Request::get("/bytes/10000000000").render())?;
    let mut buffer = vec![0; 256 << 10];
    let (mut bytes, started) = (0_u64, Instant::now());
    while started.elapsed() < DOWNLOAD_TIME {
        bytes = bytes.saturating_add(stream.read(&mut buffer)? as u64);
    }
    Ok(bytes as f64 / 1e6 / started.elapsed().as_secs_f64())
}

fn user() -> std::net::IpAddr {
    topology::sender(Sender::User, Family::V4)
}

fn server() -> SocketAddr {
    SocketAddr::new(topology::server(Family::V4), HTTP_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let spread = |count: u64| Spread::of((1..=count).rev().map(Duration::from_micros).collect());
        assert_eq!(spread(100), Spread { p50_us: 50.0, p99_us: 99.0 });
        assert_eq!(spread(3), Spread { p50_us: 2.0, p99_us: 3.0 });
        assert_eq!(spread(1), Spread { p50_us: 1.0, p99_us: 1.0 });
        assert_eq!(spread(0), Spread { p50_us: 0.0, p99_us: 0.0 });
    }
}
