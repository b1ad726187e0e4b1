//! `tag`: packets that follow a match and are recorded.
//!
//! A session's tags hang on its flow. Those of hosts are shared by all workers behind one lock, which is taken only while
//! some host is tagged. A tag counts from the packet after the match, and a rule that matches again starts it anew, but
//! only so often: an attacker who can provoke matches must not have everything recorded for ever.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use super::Headers;
use crate::packet::ingress::Timestamp;
use crate::rules::plan::{Tag, TagEnd, TagScope};

/// Rules that may tag one session or one host at a time.
const TAG_COUNT_MAX: usize = 50;
/// A rule starts its own tag anew so often.
const RESTART_COUNT_MAX: u8 = 10;
/// Hosts that are tagged at a time.
const HOST_COUNT_MAX: usize = 4_096;
/// A tag that counts packets or bytes is forgotten after so long without its host being seen.
const HOST_SILENCE_SECONDS: u64 = 600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tagged {
    gid: u32,
    sid: u32,
    end: TagEnd,
    /// Packets or bytes since the match.
    seen: u64,
    since: Timestamp,
    last: Timestamp,
    restarts: u8,
}

impl Tagged {
    /// Counts one packet; whether the tag still holds for it.
    fn count(&mut self, headers: &Headers<'_>, now: Timestamp) -> bool {
        self.last = now;
        match self.end {
            TagEnd::Packets(most) => {
                self.seen = self.seen.saturating_add(1);
                self.seen <= u64::from(most)
            }
            TagEnd::Bytes(most) => {
                self.seen = self.seen.saturating_add(u64::from(headers.ip.total_len));
                self.seen <= u64::from(most)
            }
            TagEnd::Seconds(most) => now.micros_since(self.since) / 1_000_000 <= u64::from(most),
        }
    }
}

/// The tags of one session or one host. The default has no heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags(Vec<Tagged>);

impl Tags {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one packet; whether any tag holds for it. Those worn out are gone.
    pub(super) fn count(&mut self, headers: &Headers<'_>, now: Timestamp) -> bool {
        self.0.retain_mut(|tag| tag.count(headers, now));
        !self.0.is_empty()
    }

    pub(super) fn add(&mut self, gid: u32, sid: u32, end: TagEnd, now: Timestamp) {
        let room = self.0.len() < TAG_COUNT_MAX;
        match self.0.iter_mut().find(|tag| tag.gid == gid && tag.sid == sid) {
            Some(tag) if tag.restarts < RESTART_COUNT_MAX => {
                tag.restarts += 1;
                (tag.seen, tag.since, tag.last) = (0, now, now);
            }
            Some(_) => {}
            None if room => {
                self.0.push(Tagged { gid, sid, end, seen: 0, since: now, last: now, restarts: 0 });
            }
            None => {}
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        self.0.iter().all(|tag| now.micros_since(tag.last) / 1_000_000 > HOST_SILENCE_SECONDS)
    }
}

/// The tags of hosts, of all workers.
#[derive(Debug, Default)]
pub(super) struct HostTags {
    /// How many hosts are tagged; without any, nobody takes the lock.
    count: AtomicUsize,
    hosts: Mutex<HashMap<IpAddr, Tags>>,
}

impl HostTags {
    /// Counts one packet; whether its source or destination is tagged.
    pub(super) fn count(&self, headers: &Headers<'_>, now: Timestamp) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tagged = false;
        for host in [headers.ip.src, headers.ip.dst] {
            if let Some(tags) = hosts.get_mut(&host) {
                tagged |= tags.count(headers, now);
                if tags.is_empty() {
                    hosts.remove(&host);
                }
            }
        }
        self.count.store(hosts.len(), Ordering::Relaxed);
        tagged
    }

    pub(super) fn add(&self, tag: Tag, gid: u32, sid: u32, headers: &Headers<'_>, now: Timestamp) {
        let host = match tag.scope {
            TagScope::SourceHost => headers.ip.src,
            TagScope::DestinationHost => headers.ip.dst,
            TagScope::Session => return,
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOST_COUNT_MAX && !hosts.contains_key(&host) {
            hosts.retain(|_, tags| !tags.is_stale(now));
            if hosts.len() >= HOST_COUNT_MAX {
                return;
            }
        }
        hosts.entry(host).or_default().add(gid, sid, tag.until, now);
        self.count.store(hosts.len(), Ordering::Relaxed);
    }
}
