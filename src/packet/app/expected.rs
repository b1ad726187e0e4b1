//! Connections that another one has announced: FTP's data channels.
//!
//! Where a conntrack helper is loaded, the kernel knows them, too (the entry names its master). Without one, as on most
//! gateways and in replay, this table does: bounded, timed, shared by all workers, and asked only when a connection
//! brings its first bytes.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::packet::conntrack::{Conntrack, FlowKey, Tuple};
use crate::packet::ingress::Timestamp;

/// Announced connections in all; beyond it nothing new is expected.
const EXPECTED_COUNT_MAX: usize = 4096;
/// An announced connection that has not come by then will not: Suricata's `EXPECTATION_TIMEOUT`.
const EXPECTED_MICROS: u64 = 30_000_000;
/// Bytes of a file's name that are remembered.
const NAME_BYTES_MAX: usize = 4096;

/// Which way a data connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// PORT, EPRT: the server opens it toward the client.
    Server,
    /// PASV, EPSV: the client does.
    Client,
}

/// What a parser says of a connection to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub opener: Opener,
    pub port: u16,
    pub transfer: Transfer,
}

/// What a data connection will carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// `RETR` or `STOR`.
    pub command: &'static str,
    pub file_name: Vec<u8>,
}

/// The connections that are expected.
#[derive(Debug, Default)]
pub struct Expected {
    /// Kept beside the lock: a new connection asks it first, and mostly it is 0.
    count: AtomicUsize,
    table: Mutex<HashMap<Key, Entry>>,
}

/// Who opens it, toward whom, and where: its own port is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    zone: u16,
    src: IpAddr,
    dst: IpAddr,
    port: u16,
}

#[derive(Debug)]
struct Entry {
    transfer: Transfer,
    /// Original tuple of the connection that announced it.
    master: Tuple,
    until: Timestamp,
}

impl Expected {
    /// A connection that `flow` has announced. `reply` is its reply tuple: the addresses as the server sees them.
    pub fn announce(&self, flow: &FlowKey, reply: &Tuple, announced: Announcement, now: Timestamp) {
        let (src, dst) = match announced.opener {
            Opener::Client => (flow.orig.src, flow.orig.dst),
            Opener::Server => (reply.src, reply.dst),
        };
        let key = Key { zone: flow.zone, src, dst, port: announced.port };
        let mut transfer = announced.transfer;
        transfer.file_name.truncate(NAME_BYTES_MAX);
        let until = Timestamp::from_micros(now.micros.saturating_add(EXPECTED_MICROS));
        let mut table = self.lock();
        if table.len() >= EXPECTED_COUNT_MAX {
            table.retain(|_, entry| entry.until >= now);
        }
        if table.len() < EXPECTED_COUNT_MAX || table.contains_key(&key) {
            table.insert(key, Entry { transfer, master: flow.orig, until });
        }
        self.count.store(table.len(), Ordering::Relaxed);
    }

    /// What the connection of this entry carries, if it was announced. It is not expected again.
    pub fn claim(&self, entry: &Conntrack, now: Timestamp) -> Option<Transfer> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let orig = entry.orig;
        let key = Key { zone: entry.zone, src: orig.src, dst: orig.dst, port: orig.dst_port };
        let mut table = self.lock();
        // A helper may have rewritten the address or port that was announced: then the kernel says whose it is.
        let key = match (table.contains_key(&key), entry.master) {
            (false, Some(master)) => table.iter().find(|(_, entry)| entry.master == master).map(|(key, _)| *key)?,
            _ => key,
        };
        let found = table.remove(&key);
        self.count.store(table.len(), Ordering::Relaxed);
        found.filter(|entry| entry.until >= now).map(|entry| entry.transfer)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(src: [u8; 4], dst: [u8; 4], dst_port: u16) -> Tuple {
        Tuple { src: src.into(), dst: dst.into(), protocol: 6, src_port: 50_000, dst_port }
    }

    fn announced(opener: Opener, port: u16) -> Announcement {
        Announcement { opener, port, transfer: Transfer { command: "RETR", file_name: b"f".to_vec() } }
    }

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [192, 0, 2, 1];
    /// The client as the server sees it, behind source NAT.
    const OUTSIDE: [u8; 4] = [198, 51, 100, 1];

    #[test]
    fn a_connection_is_known_by_its_ends_and_only_once() {
        let control = FlowKey { zone: 0, orig: tuple(CLIENT, SERVER, 21) };
        let reply = tuple(SERVER, OUTSIDE, 50_000);
        let now = Timestamp::from_micros(1);
        let late = Timestamp::from_micros(EXPECTED_MICROS + 2);
        let cases = [
            ("passive", Opener::Client, tuple(CLIENT, SERVER, 5000), None, now, true),
            ("active, the server calls the outside", Opener::Server, tuple(SERVER, OUTSIDE, 5000), None, now, true),
            ("another port", Opener::Client, tuple(CLIENT, SERVER, 5001), None, now, false),
            (
                "a helper gave it another port",
                Opener::Client,
                tuple(CLIENT, SERVER, 5001),
                Some(control.orig),
                now,
                true,
            ),
            ("the wrong way round", Opener::Client, tuple(SERVER, CLIENT, 5000), None, now, false),
            ("too late", Opener::Client, tuple(CLIENT, SERVER, 5000), None, late, false),
        ];
        for (what, opener, orig, master, when, known) in cases {
            let expected = Expected::default();
            expected.announce(&control, &reply, announced(opener, 5000), now);
            let entry = Conntrack { master, ..Conntrack::of_tuples(0, orig, orig.inverted()) };
            assert_eq!(expected.claim(&entry, when).is_some(), known, "{what}");
            assert_eq!(expected.claim(&entry, when), None, "{what}, a second time");
        }
    }

    #[test]
    fn the_table_has_a_cap_and_forgets_what_did_not_come() {
        let expected = Expected::default();
        let control = FlowKey { zone: 0, orig: tuple(CLIENT, SERVER, 21) };
        let announce = |port, now| {
            expected.announce(&control, &control.orig, announced(Opener::Client, port), Timestamp::from_micros(now));
        };
        (0..5000).for_each(|port| announce(port, 1));
        assert_eq!(expected.len(), EXPECTED_COUNT_MAX);
        announce(6000, EXPECTED_MICROS * 2);
        assert_eq!(expected.len(), 1);
    }
}
