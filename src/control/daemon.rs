//! The order of starting and, mirrored, of stopping.
//!
//! ```text
//! start:  rules compiled > control socket > sysctls > ctnetlink subscribed > queues bound and configured > log writer
//!         > table dumped > workers > our nftables table > only CAP_NET_ADMIN left > "ready"
//! stop:   queue statement out of the chains > workers answer what is left and close > statement back in, with bypass
//!         (or the table removed) > listener, control socket, log writer
//! ```
//!
//! Before "ready" every failure leaves the network as it was; after it, whatever fails, traffic passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use super::answer::AnswerMaker;
use super::asking::{self, Asking};
use super::blocker::Blocker;
use super::commands::{self, Connections, Requests};
use super::config::{Config, Sysctl as SysctlChoice};
use super::fates;
use super::gate;
use super::ledger::Ledger;
use super::listener::{FlowListener, ListenerCounters};
use super::reload::{Fresh, Reloader};
use super::rule_files::RuleFiles;
use super::socket::ControlSocket;
use super::stats::{QueueWatch, Statistics};
use super::takeover;
use super::tracking::{ByNetlink, Tracking};
use super::worker::{Orders, Published, Shared, Worker, now};
use crate::kernel::conntrack::sysctl::Sysctl;
use crate::kernel::conntrack::{ConntrackSocket, Listener, ListenerOptions, Mirror, MirrorOptions};
use crate::kernel::memory::CalmThread;
use crate::kernel::nft::{self, GateTable};
use crate::kernel::queue::{Flags, Queue, QueueConfig, QueueError, QueueReport};
use crate::kernel::{interfaces, privileges};
use crate::output::sink::{Sink, SinkOptions, SinkThread};
use crate::packet::conntrack::Fate;
use crate::packet::detect::SharedDetectState;
use crate::packet::event::{AnomalyEvent, Event};
use crate::packet::fate::FateStore;
use crate::packet::flow::shards::FlowShards;
use crate::packet::path::Path;

/// How often the main thread looks for signals, requests and dead workers.
const TICK: Duration = Duration::from_millis(100);
/// How often packets that went by uninspected become an event.
const LEDGER_INTERVAL: Duration = Duration::from_secs(1);
const UNREADABLE: &str = "cannot read the nftables table `inet tidegate`";
/// A log on a hanging file system does not keep us from stopping.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// What `tidegate run` was told besides the configuration.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub rules: RuleFiles,
    /// False: serve as the queue target of somebody else's rules, with no table of our own.
    pub install: bool,
    pub remove_on_exit: bool,
}

/// Guards until a signal says stop.
pub fn run(config: Config, options: RunOptions) -> anyhow::Result<()> {
    if !privileges::may_administer_network() {
        bail!("CAP_NET_ADMIN is missing: run as root, or give the program that capability");
    }
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR2]).context("cannot listen for signals")?;
    let present = if options.install { nft::present().context(UNREADABLE)? } else { None };
    let former = present.as_ref().and_then(|present| present.rules);
    let mut reloader = Reloader::new(options.rules.clone(), &config).after(former);
    let fresh = reloader.compile().context("no rules were loaded, so nothing was started")?;
    tracing::info!("{}", fresh.summary());
    if fresh.set.is_empty() {
        tracing::warn!("no rules: every packet passes; give some with -S FILE or the key rule-files");
    }
    asking::refuse_twofold_bridges(&config)?;
    let store = fates::choose(&config, options.install, present.as_ref())?;
    tracing::info!("fates stand in {store}");
    let table = options.install.then(|| in_force(gate::table_of(&config, store), &fresh));
    let way = table.as_ref().map(takeover::clear_the_way).transpose()?;
    let asking = Asking::begin(&config, options.install)?;
    match Daemon::start(config, &options, store, table.clone(), reloader, fresh) {
        Ok(daemon) => Daemon { asking, ..daemon }.guard(signals),
        Err(error) => {
            asking.undo();
            if let Some(way) = way {
                way.put_back();
            }
            Err(error)
        }
    }
}

/// The table for these rules.
fn in_force(table: GateTable, rules: &Fresh) -> GateTable {
    GateTable { generation: rules.generation, rules_hash: rules.hash, ..table }
}

type WorkerThread = JoinHandle<Result<(), QueueError>>;

/// Everything that runs.
struct Daemon {
    config: Config,
    table: Option<GateTable>,
    remove_on_exit: bool,
    asking: Asking,
    shared: Shared,
    statistics: Arc<Statistics>,
    reloader: Reloader,
    requests: Arc<Requests>,
    workers: Vec<WorkerThread>,
    /// The listener, the blocker and the control socket, ended by `stop`.
    helpers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    log: SinkThread,
}

impl Daemon {
    fn start(
        config: Config,
        options: &RunOptions,
        store: FateStore,
        table: Option<GateTable>,
        reloader: Reloader,
        fresh: Fresh,
    ) -> anyhow::Result<Daemon> {
        let control = bind_control(&config)?;
        turn_on_sysctls(&config);
        let mut queues = open_queues(&config)?;
        let ledger = Arc::new(open_ledger(&config, table.is_some(), &mut queues)?);
        let in_verdict = queues.iter().all(|(_, report)| report.flags.conntrack);
        let mirror = (!in_verdict).then(|| {
            Arc::new(Mirror::new(MirrorOptions {
                entry_count_max: config.flow.count_max,
                priority: options.install.then_some(config.gate.priority),
            }))
        });
        let listener = Listener::open(ListenerOptions {
            new: mirror.is_some(),
            receive_buffer_bytes: config.conntrack.event_buffer_bytes,
            ..ListenerOptions::default()
        })?;

        let mut log_options = SinkOptions::new(config.outputs.eve.clone(), config.outputs.fast.clone());
        log_options.file_store = config.outputs.file_store.clone();
        log_options.interfaces = Box::new(interfaces::name);
        let (sink, log) = Sink::start(log_options)?;
        let (blocker, blocker_thread) = Blocker::new(config.gate.never_block.clone());
        let shared = Shared {
            rules: Arc::new(arc_swap::ArcSwap::new(Arc::clone(&fresh.set))),
            flows: Arc::new(FlowShards::new(config.flow.count_max)),
            detect: Arc::new(SharedDetectState::default()),
            sink: sink.clone(),
            blocker,
            orders: Arc::new(Orders::default()),
        };
        if mirror.is_some() {
            asking::refuse_zones()?;
            tracing::warn!(
                "this kernel gives no conntrack entry with a packet (NETFILTER_NETLINK_GLUE_CT): running degraded, \
                 entries come by ctnetlink"
            );
        }
        let before = read_table(mirror.as_deref(), store)?;
        tracing::info!("{} connections were there before us, {} of them with a fate", before.entries, before.fated);

        let watches: Vec<_> = queues
            .iter()
            .map(|(_, report)| QueueWatch {
                number: report.number,
                port_id: report.port_id,
                published: Arc::new(Published::default()),
            })
            .collect();
        let counters = Arc::new(ListenerCounters::default());
        // Threads inherit what this thread may do, and no longer need more than this.
        drop_privileges(&config)?;

        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Requests::default());
        let statistics = Arc::new(Statistics {
            started: Instant::now(),
            queues: watches.clone(),
            flows: Arc::clone(&shared.flows),
            streams: gate::stream_pool_of(&config),
            transactions: gate::app_pool_of(&config),
            listener: Arc::clone(&counters),
            sink: sink.clone(),
            gate_installed: table.is_some(),
            ledger: Arc::clone(&ledger),
            mode: gate::Mode { conntrack_in_verdict: in_verdict, installed: arc_swap::ArcSwapOption::empty() },
            store,
            in_force: arc_swap::ArcSwap::from_pointee(fresh.in_force()),
        });
        let flow_listener = FlowListener {
            listener,
            socket: ConntrackSocket::open()?,
            flows: Arc::clone(&shared.flows),
            store,
            mirror: mirror.clone(),
            sink,
            counters,
            sweep_interval: Duration::from_secs(config.flow.sweep_interval_s),
            stop: Arc::clone(&stop),
            requests: Arc::clone(&requests),
            calm: CalmThread::default(),
        };
        let stop_blocker = Arc::clone(&stop);
        let mut helpers = vec![
            spawn("tg-conntrack", move || flow_listener.run())?,
            spawn("tg-block", move || blocker_thread.run(&stop_blocker))?,
        ];
        if let Some(control) = control {
            let handler = commands::handler(
                Arc::clone(&statistics),
                shared.clone(),
                Arc::clone(&requests),
                Connections { store, mirror: mirror.clone(), vars: config.vars.of_rules() },
            );
            helpers.push(control.serve(Arc::clone(&stop), handler)?);
        }

        let pool = Arc::clone(&statistics.streams);
        let app_pool = Arc::clone(&statistics.transactions);
        let mut workers = Vec::with_capacity(queues.len());
        for ((queue, _), watch) in queues.into_iter().zip(&watches) {
            let tracking = match &mirror {
                None => Tracking::InVerdict,
                Some(mirror) => Tracking::ByNetlink(ByNetlink::new(
                    Arc::clone(mirror),
                    ConntrackSocket::open()?,
                    Arc::clone(&shared.flows),
                )),
            };
            let worker = Worker {
                path: Path::new(
                    gate::policy_of(&config, table.is_some()),
                    store,
                    gate::copies_of(&config),
                    config.app_config(),
                )
                .following(config.stream.config, Arc::clone(&pool))
                .remembering_in(Arc::clone(&app_pool)),
                answers: AnswerMaker::new(config.nfq.mode, config.nfq.bypass, store),
                tracking,
                shared: shared.clone(),
                published: Arc::clone(&watch.published),
                calm: CalmThread::default(),
                panics: 0,
                queue,
            };
            workers.push(spawn(&format!("tg-queue-{}", watch.number), move || worker.run())?);
        }

        let mut daemon = Daemon {
            remove_on_exit: options.remove_on_exit,
            asking: Asking::default(),
            config,
            table,
            shared,
            statistics,
            reloader,
            requests,
            workers,
            helpers,
            stop,
            log,
        };
        if let Err(error) = daemon.install() {
            daemon.end_threads();
            return Err(error);
        }
        Ok(daemon)
    }

    fn install(&mut self) -> anyhow::Result<()> {
        if let Some(table) = &self.table {
            let installed = nft::install(table).context("cannot install the nftables table `inet tidegate`")?;
            tracing::info!("table inet tidegate installed: {installed}");
            self.statistics.mode.installed.store(Some(Arc::new(installed)));
            self.statistics.ledger.table_installed()?;
        }
        Ok(())
    }

    /// Waits for signals, requests and dead workers; writes statistics. Then stops.
    fn guard(mut self, mut signals: Signals) -> anyhow::Result<()> {
        tracing::info!("ready: {}", self.statistics.mode.describe());
        announce_ready();
        let mut next_stats = Instant::now();
        let mut next_ledger = Instant::now();
        let mut calm = CalmThread::default();
        let mut failure = None;
        'guard: loop {
            for signal in signals.pending() {
                match signal {
                    SIGHUP => self.shared.sink.reopen(),
                    SIGUSR2 => self.reload(),
                    _ => break 'guard,
                }
            }
            if self.requests.take_reload() {
                self.reload();
            }
            if let Some(dead) = self.workers.iter().position(JoinHandle::is_finished) {
                let ended = self.workers.swap_remove(dead).join();
                failure = Some(match ended {
                    Ok(Err(error)) => {
                        anyhow::Error::new(error).context("a queue thread gave up; traffic passes uninspected")
                    }
                    _ => anyhow::anyhow!("a queue thread ended without being told to; traffic passes uninspected"),
                });
                break;
            }
            if Instant::now() >= next_ledger {
                self.tell_of_ledger();
                self.asking.keep();
                next_ledger = Instant::now() + LEDGER_INTERVAL;
            }
            if self.config.stats.enabled && Instant::now() >= next_stats {
                self.shared.sink.stats(self.statistics.snapshot());
                next_stats = Instant::now() + Duration::from_secs(self.config.stats.interval_s.max(1));
            }
            calm.note_calm();
            thread::sleep(TICK);
        }
        self.stop();
        failure.map_or(Ok(()), Err)
    }

    /// What passed uninspected, or was lost, since it was told last.
    fn tell_of_ledger(&self) {
        for (event, count) in self.statistics.ledger.growth() {
            let anomaly = AnomalyEvent { timestamp: now(), packet: None, kind: "gate", event, count };
            self.shared.sink.event(Event::Anomaly(Box::new(anomaly)));
        }
    }

    /// A new rule set for the next batch of every worker, and what older ones cleared comes up again.
    fn reload(&mut self) {
        let fresh = match self.reloader.compile() {
            Ok(fresh) => fresh,
            Err(error) => return tracing::error!("reload failed, the old rules stay: {error}"),
        };
        tracing::info!("reload: {}", fresh.summary());
        self.shared.rules.store(Arc::clone(&fresh.set));
        self.look_for_devices();
        if let Some(table) = &mut self.table {
            *table = in_force(table.clone(), &fresh);
            if let Err(error) = nft::install(table) {
                tracing::error!("reload: cleared connections stay cleared until they end: {error}");
            }
        }
        self.statistics.in_force.store(Arc::new(fresh.in_force()));
    }

    /// Devices come and go; the kernel would refuse the whole table for one that has gone.
    fn look_for_devices(&mut self) {
        if let Some(table) = self.table.as_mut().filter(|table| !table.flowtable.is_empty()) {
            let there = interfaces::all();
            table.flowtable = gate::flowtable_of(&self.config);
            table.flowtable.retain(|device| there.contains(device));
        }
    }

    fn stop(mut self) {
        tracing::info!("stopping: no new packets, then the rest is answered");
        self.look_for_devices();
        if let Some(table) = &self.table
            && let Err(error) = nft::set_queueing(table, false)
        {
            tracing::error!("the queue rules stay in: {error}");
        }
        self.shared.orders.drain();
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("while stopping: {error}"),
                Err(_) => tracing::error!("a queue thread had panicked"),
            }
        }
        self.tell_of_ledger();
        self.leave_table();
        self.reloader.save_datasets();
        self.shared.sink.stats(self.statistics.snapshot());
        self.end_threads();
        let (written, in_time) = self.log.stop(LOG_PATIENCE);
        if !in_time {
            tracing::warn!("the log writer hangs; events may be missing ({} written)", written.written);
        }
        tracing::info!("stopped");
    }

    /// The fates and blocks stay in force without us, and `bypass` lets everything else pass: unless told to clean up.
    fn leave_table(&self) {
        self.asking.end(self.remove_on_exit);
        let Some(table) = &self.table else { return };
        let left = if self.remove_on_exit { nft::remove().map(drop) } else { nft::install(table).map(drop) };
        if let Err(error) = left {
            tracing::error!("the table inet tidegate could not be left as it should be: {error}");
        }
    }

    fn end_threads(&mut self) {
        self.shared.orders.drain();
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.workers.drain(..) {
            let _ = thread.join();
        }
        for thread in self.helpers.drain(..) {
            let _ = thread.join();
        }
    }
}

fn bind_control(config: &Config) -> anyhow::Result<Option<ControlSocket>> {
    let unix = &config.service.unix_command;
    Ok(if unix.enabled { Some(ControlSocket::bind(&unix.filename)?) } else { None })
}

fn turn_on_sysctls(config: &Config) {
    for sysctl in Sysctl::ALL {
        let report = match config.conntrack.sysctl {
            SysctlChoice::Set => sysctl.turn_on(),
            SysctlChoice::Keep => sysctl.report(),
        };
        if let Some(error) = &report.error {
            tracing::warn!("{error}");
        } else if !report.is_on() {
            tracing::warn!("net.netfilter.{} is off: flow events will be less exact", sysctl.name());
        } else if report.was != report.is {
            tracing::info!("net.netfilter.{} turned on", sysctl.name());
        }
    }
}

fn open_queues(config: &Config) -> anyhow::Result<Vec<(Queue, QueueReport)>> {
    let mut queues = Vec::with_capacity(usize::from(config.queue.numbers.count()));
    for number in config.queue.numbers.iter() {
        let wanted = QueueConfig {
            length_packets: config.queue.length_packets,
            receive_buffer_bytes: config.queue.receive_buffer_bytes,
            flags: Flags { fail_open: config.queue.fail_open, conntrack: true, gso: config.queue.gso },
            ..QueueConfig::new(number)
        };
        let (queue, report) = Queue::open(&wanted)?;
        tracing::info!("{report}");
        queues.push((queue, report));
    }
    Ok(queues)
}

/// The ledger, which every queue's thread counts in.
fn open_ledger(config: &Config, table_is_ours: bool, queues: &mut [(Queue, QueueReport)]) -> anyhow::Result<Ledger> {
    let whole = queues.iter().all(|(_, report)| report.flags.gso);
    let numbers = queues.iter().map(|(_, report)| (report.number, report.port_id)).collect();
    let evidence = gate::evidence_of(config, table_is_ours, whole);
    let ledger = Ledger::open(&gate::ledger_path(config), evidence, numbers).context("cannot open the ledger")?;
    for (index, (queue, _)) in queues.iter_mut().enumerate() {
        match ledger.slot(index) {
            Some(slot) => queue.count_in(slot),
            None => tracing::warn!("queue {}: too many queues for the ledger, which lacks this one", queue.number()),
        }
    }
    Ok(ledger)
}

/// The kernel's table as we found it.
#[derive(Default)]
struct Before {
    entries: u64,
    /// Cleared or condemned by a former run of ours.
    fated: u64,
}

fn read_table(mirror: Option<&Mirror>, store: FateStore) -> anyhow::Result<Before> {
    let mut before = Before::default();
    let run = mirror.map(|mirror| (mirror, mirror.begin_sweep()));
    let dump = ConntrackSocket::open()?.dump(|entry| {
        before.entries = before.entries.saturating_add(1);
        before.fated = before.fated.saturating_add(u64::from(store.decode(entry) != Fate::Inspect));
        if let Some((mirror, run)) = &run {
            mirror.found(run, entry);
        }
    })?;
    if let (Some((mirror, run)), true) = (run, dump.consistent) {
        mirror.end_sweep(run, now(), |_| ());
    }
    Ok(before)
}

fn drop_privileges(config: &Config) -> anyhow::Result<()> {
    let run_as = config.service.run_as.as_ref();
    privileges::drop_all_but_net_admin(run_as.map(|run_as| (run_as.user.as_str(), run_as.group.as_deref())))?;
    Ok(())
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run).with_context(|| format!("cannot start thread {name}"))
}

/// Whoever started us may wait for this line.
#[allow(clippy::print_stderr)]
fn announce_ready() {
    eprintln!("tidegate: ready");
}
