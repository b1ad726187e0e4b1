//! What the gate wrote into eve.json, as far as the lab asks.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Deserialize;

/// An event with addresses.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    pub event_type: String,
    src_ip: Option<IpAddr>,
    #[serde(default)]
    src_port: u16,
    dest_ip: Option<IpAddr>,
    #[serde(default)]
    dest_port: u16,
    alert: Option<Alert>,
}

#[derive(Clone, Debug, Deserialize)]
struct Alert {
    signature_id: u32,
}

impl Event {
    #[must_use]
    pub fn is(&self, event_type: &str) -> bool {
        self.event_type == event_type
    }

    #[must_use]
    pub fn sid(&self) -> Option<u32> {
        self.alert.as_ref().map(|alert| alert.signature_id)
    }

    /// Whether one side is this socket; port 0 stands for all ports.
    #[must_use]
    pub fn concerns(&self, socket: SocketAddr) -> bool {
        let is = |ip: Option<IpAddr>, port| ip == Some(socket.ip()) && (socket.port() == 0 || socket.port() == port);
        is(self.src_ip, self.src_port) || is(self.dest_ip, self.dest_port)
    }
}

/// All events with addresses that are written so far; a last line that is not whole yet is left for later.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = r#"{"timestamp":"x","event_type":"alert","src_ip":"fd71:0:1::66","src_port":5,
        "dest_ip":"fd71:0:2::80","dest_port":80,"proto":"TCP","alert":{"action":"blocked","signature_id":7}}"#;

    #[test]
    fn an_event_concerns_both_its_sockets_and_their_hosts() {
        let event: Event = serde_json::from_str(ALERT).unwrap();
        assert!(event.is("alert") && event.sid() == Some(7));
        for concerned in ["[fd71:0:1::66]:5", "[fd71:0:2::80]:80", "[fd71:0:1::66]:0"] {
            assert!(event.concerns(concerned.parse().unwrap()), "{concerned}");
        }
        for other in ["[fd71:0:1::66]:80", "[fd71:0:1::67]:5", "10.0.0.1:5"] {
            assert!(!event.concerns(other.parse().unwrap()), "{other}");
        }
    }
}
