//! One thread, one queue, one [`Path`]: receive a batch, judge each packet, answer the batch, hand over the events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::answer::AnswerMaker;
use super::blocker::Blocker;
use super::tracking::Tracking;
use crate::kernel::memory::CalmThread;
use crate::kernel::queue::{Answer, Packet, Queue, QueueCounters, QueueError};
use crate::output::sink::Sink;
use crate::packet::app::AppCounters;
use crate::packet::counters::PathCounters;
use crate::packet::detect::DetectCounters;
use crate::packet::detect::SharedDetectState;
use crate::packet::event::Events;
use crate::packet::flow::shards::FlowShards;
use crate::packet::ingress::Timestamp;
use crate::packet::path::{Path, World};
use crate::packet::stream::StreamCounters;
use crate::rules::ruleset::RuleSet;

/// How long a receive waits before the worker looks at its orders.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);
/// When the queue statement is out of the chains, what is left is answered within milliseconds.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const EVENTS_CAPACITY: usize = 64;

/// What the workers are told from outside.
#[derive(Debug, Default)]
pub struct Orders(AtomicU8);

const WORK: u8 = 0;
const DRAIN: u8 = 1;

impl Orders {
    /// The queue statement is out of the chains: answer what is left, then end.
    pub fn drain(&self) {
        self.0.store(DRAIN, Ordering::Release);
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Acquire) != WORK
    }
}

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    pub rules: Arc<ArcSwap<RuleSet>>,
    pub flows: Arc<FlowShards>,
    pub detect: Arc<SharedDetectState>,
    pub sink: Sink,
    pub blocker: Blocker,
    pub orders: Arc<Orders>,
}

/// A worker's counters as they stood at the end of its last batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerCounters {
    pub path: PathCounters,
    pub stream: StreamCounters,
    pub app: AppCounters,
    pub detect: DetectCounters,
    pub queue: QueueCounters,
    /// Batches that ended in a bug of ours; their packets were accepted.
    pub panics: u64,
}

/// Where a worker leaves its counters: locked once a batch by it, and now and then by whoever asks.
#[derive(Debug, Default)]
pub struct Published(Mutex<WorkerCounters>);

impl Published {
    #[must_use]
    pub fn read(&self) -> WorkerCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, counters: WorkerCounters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

/// See the module.
pub struct Worker {
    pub queue: Queue,
    pub path: Path,
    pub tracking: Tracking,
    pub answers: AnswerMaker,
    pub shared: Shared,
    pub published: Arc<Published>,
    pub calm: CalmThread,
    pub panics: u64,
}

impl Worker {
    /// Works until told to drain, drains, and closes the queue.
    ///
    /// # Errors
    /// When the kernel takes no answers any more; the queue is then closed, and the rule's bypass flag lets traffic pass.
    pub fn run(mut self) -> Result<(), QueueError> {
        let mut events = Events::with_capacity(EVENTS_CAPACITY);
        while !self.shared.orders.is_draining() {
            let survived = catch_unwind(AssertUnwindSafe(|| self.work(&mut events)));
            match survived {
                Ok(worked) => worked?,
                // Whatever was left of the batch has been accepted by then (`Answers` answers when it is dropped).
                Err(_) => self.panics = self.panics.saturating_add(1),
            }
            self.publish();
        }
        self.drain(&mut events)?;
        self.publish();
        Ok(())
    }

    /// One batch.
    fn work(&mut self, events: &mut Events) -> Result<(), QueueError> {
        if self.queue.receive(RECEIVE_TIMEOUT)?.packets == 0 {
            self.calm.note_calm();
            return Ok(());
        }
        let Worker { queue, path, tracking, answers: maker, shared, .. } = self;
        let rules = shared.rules.load();
        let world = World { rules: &rules, flows: &shared.flows, shared: &shared.detect };
        let mut judge = Judge { path, tracking, maker, world, now: now(), events };
        let (inbox, mut answers) = queue.split();
        for (mut packet, ticket) in inbox {
            let answer = judge.judge(&mut packet);
            answers.give(ticket, answer);
        }
        answers.flush()?;
        shared.blocker.take(events);
        shared.sink.events(events);
        Ok(())
    }

    fn drain(&mut self, events: &mut Events) -> Result<(), QueueError> {
        let Worker { queue, path, tracking, answers: maker, shared, .. } = self;
        let rules = shared.rules.load();
        let world = World { rules: &rules, flows: &shared.flows, shared: &shared.detect };
        let mut judge = Judge { path, tracking, maker, world, now: now(), events };
        let drained = queue.drain(DRAIN_LIMIT, |packet| judge.judge(&mut packet.clone()))?;
        if drained.waiting > 0 {
            tracing::warn!(
                "queue {}: {} packets still waited when the drain was over; some rule queues there yet",
                queue.number(),
                drained.waiting
            );
        }
        shared.blocker.take(events);
        shared.sink.events(events);
        Ok(())
    }

    fn publish(&self) {
        self.published.write(WorkerCounters {
            path: *self.path.counters(),
            stream: *self.path.stream_counters(),
            app: *self.path.app_counters(),
            detect: self.path.detect_counters(),
            queue: *self.queue.counters(),
            panics: self.panics,
        });
    }
}

/// Everything that one packet of a batch needs.
struct Judge<'j> {
    path: &'j mut Path,
    tracking: &'j mut Tracking,
    maker: &'j AnswerMaker,
    world: World<'j>,
    now: Timestamp,
    events: &'j mut Events,
}

impl Judge<'_> {
    fn judge(&mut self, packet: &mut Packet<'_>) -> Answer {
        self.tracking.attach(packet, self.now);
        let verdict = self.path.inspect(self.world, &packet.ingress(), self.now, self.events);
        self.maker.answer(verdict, self.world.rules.generation(), packet, self.tracking)
    }
}

/// The wall clock, read once a batch.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
