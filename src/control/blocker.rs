//! Blocks that rules ask for (`metadata: tidegate_block`), from the queues' threads into the block sets.
//!
//! A thread of its own speaks to nftables, because a transaction may wait for somebody else's. It takes what has come
//! meanwhile as one. What finds the channel full is forgotten: the next packet of such a host asks again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::kernel::nft::{self, Block};
use crate::packet::event::{Event, Events};
use crate::rules::vars::AddressSet;

const WAITING_COUNT_MAX: usize = 1024;
/// Elements of one transaction.
const BATCH_COUNT_MAX: usize = 256;
const POLL: Duration = Duration::from_millis(200);
/// A host that asks for it again within this time is not told to the kernel again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);
const RECENT_COUNT_MAX: usize = 4096;
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The workers' end. Never blocks.
#[derive(Clone, Debug)]
pub struct Blocker(Sender<Block>);

/// The thread's end.
pub struct BlockerThread {
    receiver: Receiver<Block>,
    never: Option<Arc<AddressSet>>,
    recent: HashMap<IpAddr, Instant>,
    report: Report,
}

/// What goes to the log, at most once a minute.
struct Report {
    since: Instant,
    blocked: u64,
    failed: Option<String>,
}

impl Blocker {
    /// Both ends. `never` are addresses that no rule may block.
    #[must_use]
    pub fn new(never: Option<Arc<AddressSet>>) -> (Blocker, BlockerThread) {
        let (sender, receiver) = bounded(WAITING_COUNT_MAX);
        let report = Report { since: Instant::now(), blocked: 0, failed: None };
        (Blocker(sender), BlockerThread { receiver, never, recent: HashMap::new(), report })
    }

    /// Takes the orders out of `events`.
    pub fn take(&self, events: &mut Events) {
        if !events.iter().any(|event| matches!(event, Event::Block(_))) {
            return;
        }
        events.retain(|event| {
            let Event::Block(order) = event else { return true };
            let _ = self.0.try_send(Block { source: order.address, expires: order.time });
            false
        });
    }
}

impl BlockerThread {
    /// Until told to stop.
    pub fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Ok(first) = self.receiver.recv_timeout(POLL) {
                let more = self.receiver.try_iter().take(BATCH_COUNT_MAX - 1);
                let blocks = std::iter::once(first).chain(more).collect();
                self.carry_out(blocks);
            }
            self.report.write();
        }
    }

    fn carry_out(&mut self, mut blocks: Vec<Block>) {
        let now = Instant::now();
        if self.recent.len() > RECENT_COUNT_MAX {
            self.recent.retain(|_, blocked| now.duration_since(*blocked) < REPEAT_INTERVAL);
        }
        blocks.retain(|block| {
            let is_recent =
                self.recent.get(&block.source).is_some_and(|blocked| now.duration_since(*blocked) < REPEAT_INTERVAL);
            let wanted = !is_recent && may_be_blocked(block.source, self.never.as_deref());
            if wanted {
                self.recent.insert(block.source, now);
            }
            wanted
        });
        if blocks.is_empty() {
            return;
        }
        match nft::block(&blocks) {
            Ok(()) => self.report.blocked = self.report.blocked.saturating_add(blocks.len() as u64),
            Err(error) => self.report.failed = Some(error.to_string()),
        }
    }
}

impl Report {
    fn write(&mut self) {
        if (self.blocked == 0 && self.failed.is_none()) || self.since.elapsed() < REPORT_INTERVAL {
            return;
        }
        if self.blocked > 0 {
            tracing::info!("{} addresses were blocked because rules asked for it", self.blocked);
        }
        if let Some(error) = &self.failed {
            tracing::warn!("addresses could not be blocked: {error}");
        }
        *self = Report { since: Instant::now(), blocked: 0, failed: None };
    }
}

/// Nobody is helped by blocking what stands for no single host, or for ourselves.
fn may_be_blocked(address: IpAddr, never: Option<&AddressSet>) -> bool {
    let is_host = match address {
        IpAddr::V4(v4) => !v4.is_broadcast(),
        IpAddr::V6(_) => true,
    };
    is_host
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && never.is_none_or(|never| !never.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::event::BlockEvent;

    #[test]
    fn orders_leave_the_events_and_the_rest_stays() {
        let (blocker, thread) = Blocker::new(None);
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let order = |address| Event::Block(BlockEvent { address, time: None });
        let mut events = vec![order(address), order(address)];
        blocker.take(&mut events);
        assert!(events.is_empty());
        assert_eq!(thread.receiver.try_iter().count(), 2);
    }

    #[test]
    fn some_addresses_are_never_blocked() {
        let vars = crate::rules::Vars::default();
        let mut sets = crate::rules::vars::Sets::new(&vars);
        let list = "[10.0.0.0/8,!10.1.0.0/16]";
        let never = sets.addresses(list, crate::rules::error::Span::new(0, list.len())).unwrap();
        for (address, may) in [
            ("192.0.2.1", true),
            ("10.2.3.4", false),
            ("10.1.3.4", true),
            ("127.0.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("2001:db8::1", true),
            ("ff02::1", false),
            ("::1", false),
        ] {
            assert_eq!(may_be_blocked(address.parse().unwrap(), Some(&never)), may, "{address}");
        }
    }
}
