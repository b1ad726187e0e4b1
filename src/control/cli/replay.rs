//! `tidegate replay`: a capture through the same data plane that judges live packets.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;

use super::common::{ConfigArgs, LogArgs, RuleArgs, print, start_logging};
use crate::control::config::Config;
use crate::control::config::{Follow, Outputs};
use crate::control::gate;
use crate::control::reload::Reloader;
use crate::control::replay::{self, DestroyedEntry, EntryEnd, ReplayOptions, ReplaySink, VerifyChecksums};
use crate::control::stats;
use crate::output::sink::{Sink, SinkOptions, WhenFull};
use crate::output::spec::DropFlows;
use crate::packet::detect::SharedDetectState;
use crate::packet::event::{Events, FlowEnd};
use crate::packet::flow::shards::FlowShards;
use crate::packet::ingress::{Ingress, Timestamp};
use crate::packet::path::{Path, World};
use crate::packet::tell;
use crate::packet::verdict::{Action, Policy};
use crate::rules::ruleset::RuleSet;

/// The writer has a capture's worth of events to write, and nobody waits for a verdict.
const LOG_PATIENCE: Duration = Duration::from_secs(600);

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Capture file (pcap or pcapng), or a directory of them.
    #[arg(short = 'r', value_name = "PCAP")]
    capture: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    log: LogArgs,
    /// Packets with bad checksums: `all` takes them for INVALID as the kernel does, `tcp` only those of TCP (as Suricata
    /// does; a capture made on the sender itself is full of others), `none` ignores checksums.
    #[arg(short = 'k', value_name = "all|tcp|none", value_enum, default_value = "tcp")]
    checksums: Checksums,
    /// Judge as the gate would: drops are drops, and the rest of a dropped connection is dropped. The packets themselves
    /// went on when they were captured, so what follows builds on them.
    #[arg(long, visible_alias = "simulate-ips")]
    ips: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Checksums {
    All,
    Tcp,
    None,
}

pub fn run(args: Args, verbose: u8) -> anyhow::Result<ExitCode> {
    start_logging(verbose);
    let mut config = args.config.load_logging_to(&args.log)?;
    tell_each_drop(&mut config.outputs);
    config.stream.config.midstream = config.stream.midstream == Follow::Yes;
    config.stream.config.async_oneside &= args.ips || config.stream.async_oneside == Follow::Yes;
    let mut reloader = Reloader::new(args.rules.files(&config), &config);
    let fresh = reloader.compile()?;
    tracing::info!("{}", fresh.summary());

    let mut log_options = SinkOptions::new(config.outputs.eve.clone(), config.outputs.fast.clone());
    log_options.file_store = config.outputs.file_store.clone();
    log_options.when_full = WhenFull::Wait;
    log_options.pcap_filename = Some(args.capture.display().to_string());
    let (sink, log) = Sink::start(log_options)?;

    let pool = gate::stream_pool_of(&config);
    let app_pool = gate::app_pool_of(&config);
    let path = Path::new(policy(&config, args.ips), config.fate.mask, gate::copies_of(&config), config.app_config());
    let mut judge = Judge {
        path: path.following(config.stream.config, Arc::clone(&pool)).remembering_in(Arc::clone(&app_pool)),
        rules: &fresh.set,
        flows: FlowShards::new(config.flow.count_max),
        shared: SharedDetectState::default(),
        sink: &sink,
        events: Events::new(),
    };
    let options = ReplayOptions {
        checksums: match args.checksums {
            Checksums::All => VerifyChecksums::All,
            Checksums::Tcp => VerifyChecksums::Tcp,
            Checksums::None => VerifyChecksums::None,
        },
        recorded: true,
        ..ReplayOptions::default()
    };
    let summary = replay::feed(&args.capture, options, &mut judge).context("replay")?;
    for problem in &summary.problems {
        tracing::warn!("{problem}");
    }

    reloader.save_datasets();

    let counters = *judge.path.counters();
    let mut stats = stats::of_path(&counters);
    stats::add_streams(&mut stats, judge.path.stream_counters(), &pool);
    stats::add_app(&mut stats, judge.path.app_counters(), &app_pool);
    stats::add_detect(&mut stats, &judge.path.detect_counters());
    stats.timestamp = summary.last.unwrap_or_default();
    stats.detect.engines = vec![fresh.engine];
    sink.stats(stats);
    drop(judge);
    drop(sink);
    let (output, in_time) = log.stop(LOG_PATIENCE);
    anyhow::ensure!(in_time && output.lost == 0, "not every event could be written ({} lost)", output.lost);
    print(&format!(
        "{} packets of {} frames, {} alerts, {} dropped",
        summary.packets, summary.frames, counters.alerts, counters.dropped
    ));
    Ok(ExitCode::SUCCESS)
}

/// Where the user has not said which drops to tell: a capture is looked at packet by packet, and its size bounds the log.
fn tell_each_drop(outputs: &mut Outputs) {
    if *outputs != Outputs::in_dir(outputs.default_log_dir.clone()) {
        return;
    }
    for drop in outputs.eve.iter_mut().filter_map(|log| log.types.drop.as_mut()) {
        drop.flows = DropFlows::All;
    }
}

fn policy(config: &Config, ips: bool) -> Policy {
    match ips {
        true => Policy { recorded: true, ..gate::policy_of(config, false) },
        false => Policy { passive: true, ..Policy::default() },
    }
}

/// The data plane behind the feeder.
struct Judge<'j> {
    path: Path,
    rules: &'j RuleSet,
    flows: FlowShards,
    shared: SharedDetectState,
    sink: &'j Sink,
    events: Events,
}

impl ReplaySink for Judge<'_> {
    fn packet(&mut self, packet: &Ingress<'_>, now: Timestamp) -> Action {
        let world = World { rules: self.rules, flows: &self.flows, shared: &self.shared };
        let verdict = self.path.inspect(world, packet, now, &mut self.events);
        self.sink.events(&mut self.events);
        verdict.action
    }

    fn looked_at(&mut self, packet: &Ingress<'_>, now: Timestamp) {
        let world = World { rules: self.rules, flows: &self.flows, shared: &self.shared };
        self.path.look_at(world, packet, now, &mut self.events);
        self.sink.events(&mut self.events);
    }

    fn destroyed(&mut self, destroyed: &DestroyedEntry) {
        let Some(mut flow) = self.flows.remove(&destroyed.entry.key()) else { return };
        let reason = match destroyed.end {
            EntryEnd::CaptureEnded => FlowEnd::Shutdown,
            _ => FlowEnd::Timeout,
        };
        tell::flow_ended(&mut flow, &destroyed.entry, destroyed.at, reason, &mut self.events);
        self.sink.events(&mut self.events);
    }
}
