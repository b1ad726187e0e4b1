//! `tidegate flows -E`: what happens to connections, as it happens.
//!
//! Beginnings and ends are ctnetlink events. A fate that a verdict writes into a confirmed entry raises none (the kernel
//! just stores the mark), so the entries that have one are read again and again; the kernel picks them out.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{FateStore, Filter, GateView, Printer, Row};
use crate::kernel::conntrack::{ConntrackSocket, Event, Listener, ListenerOptions};
use crate::packet::conntrack::{Conntrack, Fate, FlowKey};

const RECEIVE_TIMEOUT: Duration = Duration::from_millis(200);
const FATE_INTERVAL: Duration = Duration::from_secs(1);
const EVENT_BUFFER_BYTES: usize = 8 << 20;

/// What is followed, and the fates as they were last seen.
pub struct Follower {
    filter: Filter,
    store: FateStore,
    /// Where a gate answered at the start.
    gate: Option<PathBuf>,
    listener: Listener,
    socket: ConntrackSocket,
    /// All that are not [`Fate::Inspect`].
    fates: HashMap<FlowKey, Fate>,
}

impl Follower {
    /// Subscribes. What has a fate already is not news.
    pub fn start(filter: Filter, store: FateStore, gate: Option<PathBuf>) -> anyhow::Result<Follower> {
        let options = ListenerOptions {
            new: true,
            update: true,
            receive_buffer_bytes: EVENT_BUFFER_BYTES,
            // A watcher that is too slow must not keep entries in the kernel's table.
            repeat_until_delivered: false,
        };
        let listener = Listener::open(options).context("cannot hear of connections")?;
        let mut follower =
            Follower { filter, store, gate, listener, socket: ConntrackSocket::open()?, fates: HashMap::new() };
        follower.fated_entries()?;
        Ok(follower)
    }

    /// Until interrupted, or nobody reads.
    pub fn run(mut self, printer: &mut Printer) -> anyhow::Result<()> {
        let mut last_look = Instant::now();
        loop {
            self.hear(printer)?;
            if last_look.elapsed() >= FATE_INTERVAL {
                let changed = self.fated_entries()?;
                self.tell_fates(&changed, printer)?;
                last_look = Instant::now();
            }
            printer.flush()?;
        }
    }

    fn hear(&mut self, printer: &mut Printer) -> anyhow::Result<()> {
        let Follower { filter, store, listener, fates, .. } = self;
        let mut written = Ok(());
        listener.receive(RECEIVE_TIMEOUT, |event| {
            if let Event::Lost(count) = event {
                tell_lost(count);
            }
            let Some((entry, change)) = news(&event, *store, fates) else { return };
            let row = Row::new(&entry, None, *store).changed(change);
            if written.is_ok() && filter.wants(&entry, row.fate) {
                written = printer.print(&row);
            }
        })?;
        Ok(written?)
    }

    /// Reads the entries that have a fate. Those are returned whose fate was another one when last seen.
    fn fated_entries(&mut self) -> anyhow::Result<Vec<Conntrack>> {
        let Follower { store, socket, fates, .. } = self;
        let before = std::mem::take(fates);
        let mut changed = Vec::new();
        let mut look = |entry: &Conntrack| {
            let fate = store.decode(entry);
            if fate == Fate::Inspect {
                return;
            }
            let is_first_look = fates.insert(entry.key(), fate) != Some(fate);
            if is_first_look && before.get(&entry.key()) != Some(&fate) {
                changed.push(*entry);
            }
        };
        match *store {
            FateStore::Mark(mask) => {
                for fate in [Fate::Pass, Fate::Drop, Fate::Reject] {
                    socket.dump_marked(mask.encode(fate), mask.fate_bits(), &mut look)?;
                }
            }
            FateStore::Labels(_) => {
                socket.dump(look)?;
            }
        }
        Ok(changed)
    }

    fn tell_fates(&self, changed: &[Conntrack], printer: &mut Printer) -> anyhow::Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        // A gate that has gone meanwhile leaves its fates behind; they are told without it.
        let view = self.gate.as_deref().and_then(|path| GateView::ask(path).ok());
        for entry in changed {
            let row = Row::new(entry, view.as_ref(), self.store).changed("FATE");
            if self.filter.wants(entry, row.fate) {
                printer.print(&row)?;
            }
        }
        Ok(())
    }
}

fn tell_lost(count: u32) {
    // Nobody to hear it is no reason to stop.
    let _ = writeln!(io::stderr(), "tidegate: {count} events were lost, for they came faster than they were read");
}

/// The entry of an event and what is new about it, if anything is; `fates` learn of it.
fn news(event: &Event, store: FateStore, fates: &mut HashMap<FlowKey, Fate>) -> Option<(Conntrack, &'static str)> {
    match event {
        Event::New(entry) => {
            note(fates, entry, store);
            Some((*entry, "NEW"))
        }
        Event::Update(entry) => note(fates, entry, store).then_some((*entry, "FATE")),
        Event::Destroy(entry) => {
            let mut last = *entry;
            // DESTROY has the mark and no labels.
            if let (Some(fate), FateStore::Labels(_)) = (fates.remove(&entry.key()), store) {
                store.write_fate(fate).apply(&mut last.mark, &mut last.labels);
            }
            Some((last, "DESTROY"))
        }
        Event::Lost(_) => None,
    }
}

/// Whether the fate was another one before.
fn note(fates: &mut HashMap<FlowKey, Fate>, entry: &Conntrack, store: FateStore) -> bool {
    let fate = store.decode(entry);
    let before = match fate {
        Fate::Inspect => fates.remove(&entry.key()),
        fate => fates.insert(entry.key(), fate),
    };
    before.unwrap_or_default() != fate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::flows::known::tests::entry;

    #[test]
    fn an_update_is_news_when_the_fate_changes() {
        let store = FateStore::default();
        let mut fates = HashMap::new();
        let with = |fate| {
            let mut entry = Conntrack { mark: 1, ..entry(1000) };
            store.write_fate(fate).apply(&mut entry.mark, &mut entry.labels);
            entry
        };
        let mut told = |event: Event| news(&event, store, &mut fates).map(|(_, change)| change);
        assert_eq!(told(Event::New(with(Fate::Inspect))), Some("NEW"));
        assert_eq!(told(Event::Update(with(Fate::Inspect))), None);
        assert_eq!(told(Event::Update(with(Fate::Drop))), Some("FATE"));
        assert_eq!(told(Event::Update(with(Fate::Drop))), None);
        assert_eq!(told(Event::Update(with(Fate::Reject))), Some("FATE"));
        assert_eq!(told(Event::Update(with(Fate::Inspect))), Some("FATE"));
        assert_eq!(told(Event::Destroy(with(Fate::Drop))), Some("DESTROY"));
        assert_eq!(told(Event::New(with(Fate::Pass))), Some("NEW"), "the next on the same tuple");
        assert_eq!(told(Event::Update(with(Fate::Pass))), None);
        assert_eq!(told(Event::Lost(3)), None);
    }
}
