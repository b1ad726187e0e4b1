//! What the user wants, checked. A [`Config`] that exists is valid; what was typed is a tree that never leaves here.
//!
//! ```text
//!  file, includes, --set --> tree (every node knows its place) --> sections --> Config
//!                                                                     \--> problems (all of them), notices
//! ```
//!
//! Key names are Suricata's where the thing is the same. A key of Suricata's that means nothing here is a notice, so
//! that its file can be used as it is; any other unknown key is an error. [`Config::default`] is what a start without
//! a file uses. `keys` lists every key once: the reference and the example are compared with it.

mod app_layer;
mod conntrack;
mod datasets;
mod fate;
mod flow;
mod gate;
#[cfg(test)]
mod keys;
mod nfq;
mod outputs;
mod policy;
mod queue;
mod report;
mod rules;
mod section;
mod service;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod tree;
mod vars;

pub use conntrack::{BrNetfilter, Conntrack, Sysctl};
pub use datasets::Datasets;
pub use fate::{Clear, Fate, FateStore, Flowtable};
pub use flow::Flow;
pub use gate::{Gate, GateHook};
pub use nfq::{MarkMask, Nfq, NfqMode};
pub use outputs::Outputs;
pub use policy::{OnTrouble, Policy};
pub use queue::{Queue, QueueNumbers};
pub use report::{Notice, Problem, ProblemKind};
pub use rules::{ActionClass, Rules};
pub use service::{RunAs, Service, UnixCommand};
pub use stats::Stats;
pub use stream::{Follow, Stream};
pub use tree::{Place, SetError, TreeError};
pub use vars::Vars;

use std::fmt;
use std::path::Path;

use crate::packet::app::{AppConfig, Hashes};
use policy::Exception;
use report::Report;
use section::Section;
use tree::Node;

/// The whole configuration, one field a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub vars: Vars,
    pub rules: Rules,
    pub datasets: Datasets,
    pub outputs: Outputs,
    pub stats: Stats,
    pub queue: Queue,
    pub nfq: Nfq,
    pub gate: Gate,
    pub fate: Fate,
    pub policy: Policy,
    pub flow: Flow,
    pub stream: Stream,
    pub conntrack: Conntrack,
    pub app: AppConfig,
    pub service: Service,
}

/// A configuration, and what in its file has no effect here.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub notices: Vec<Notice>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Set(#[from] SetError),
    #[error("{0}")]
    Invalid(Problems),
}

/// All mistakes of a configuration, a line each.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(out)?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads `file` with its includes, or nothing, and applies `sets` (`key=value`, as `--set` has them) in order.
    ///
    /// # Errors
    /// When a file cannot be read or is not YAML, an override does not fit, or anything in it is wrong: then with all
    /// that is wrong, each with its place.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Loaded, ConfigError> {
        let tree = match file {
            Some(path) => Node::load(path)?,
            None => Node::empty("defaults"),
        };
        Config::from_tree(tree, sets)
    }

    /// The same with the text at hand; `name` is for messages and for includes.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, name: &Path, sets: &[String]) -> Result<Loaded, ConfigError> {
        Config::from_tree(Node::parse(text, name)?, sets)
    }

    /// How protocols are read, with what the outputs ask of them.
    #[must_use]
    pub fn app_config(&self) -> AppConfig {
        let asked = self.outputs.eve.iter().fold(Hashes::default(), |hashes, eve| hashes.or(eve.types.file_hashes));
        AppConfig { hashes: asked, ..self.app }
    }

    fn from_tree(mut tree: Node, sets: &[String]) -> Result<Loaded, ConfigError> {
        for set in sets {
            tree.set(set)?;
        }
        let mut report = Report::default();
        let config = Config::read(&tree, &mut report);
        if report.problems.is_empty() {
            Ok(Loaded { config, notices: report.notices })
        } else {
            report.problems.sort_by(|a, b| a.place.cmp(&b.place));
            Err(ConfigError::Invalid(Problems(report.problems)))
        }
    }

    fn read(tree: &Node, report: &mut Report) -> Config {
        let mut root = Section::new("", Some(tree), report);
        let mut queue = Queue::default();
        let nfq = Nfq::read(root.find("nfq"), &mut queue, report);
        queue.read(root.section("queue", report), report);
        let exception = Exception::read(&mut root, report);
        let mut policy = Policy::read(root.section("policy", report), exception, report);
        let vars = Vars::read(root.section("vars", report), report);
        let gate = Gate::read(root.section("gate", report), &vars.of_rules(), report);
        let config = Config {
            vars,
            rules: Rules::read(&mut root, report),
            datasets: Datasets::read(&mut root, report),
            outputs: Outputs::read(&mut root, report),
            stats: Stats::read(root.section("stats", report), report),
            queue,
            nfq,
            gate,
            fate: Fate::read(root.section("fate", report), report),
            flow: Flow::read(root.section("flow", report), &mut policy.flow_memcap, report),
            stream: Stream::read(root.section("stream", report), exception, report),
            conntrack: Conntrack::read(root.section("conntrack", report), report),
            app: app_layer::read(root.section("app-layer", report), &mut policy.app_error, report),
            policy,
            service: Service::read(&mut root, report),
        };
        root.not_honoured(&SURICATA, report);
        check_route(&config, tree, report);
        check_flowtable(&config, tree, report);
        root.finish(report);
        config
    }
}

/// The kernel takes packets out of the forward hook only.
fn check_flowtable(config: &Config, tree: &Node, report: &mut Report) {
    if config.fate.flowtable.on && config.gate.hook != GateHook::Forward {
        report.rule(
            &tree.place,
            "fate.flowtable",
            "the kernel offloads what is forwarded: it needs gate.hook: forward",
        );
    }
}

/// A packet that we route into one of our own queues would come back for ever.
fn check_route(config: &Config, tree: &Node, report: &mut Report) {
    if let NfqMode::Route { queue } = config.nfq.mode
        && config.queue.numbers.iter().any(|ours| ours == queue)
    {
        report.rule(&tree.place, "nfq.route-queue", format!("{queue} is one of queue.numbers; packets would go round"));
    }
}

/// Top-level keys of `suricata.yaml` (6.0 to 8.0) that mean nothing here.
const SURICATA: [&str; 63] = [
    "af-packet",
    "af-xdp",
    "asn1-max-frames",
    "autofp-scheduler",
    "capture",
    "coredump",
    "cuda",
    "decoder",
    "default-packet-size",
    "defrag",
    "delayed-detect",
    "detect",
    "detect-engine",
    "dpdk",
    "engine-analysis",
    "erf-dag",
    "firewall",
    "flow-timeouts",
    "geoip-database",
    "heartbeat",
    "host",
    "host-mode",
    "host-os-policy",
    "ippair",
    "ipfw",
    "ips",
    "legacy",
    "livedev",
    "logging",
    "lua",
    "luajit",
    "magic-file",
    "max-pending-packets",
    "mpipe",
    "mpm-algo",
    "multi-detect",
    "multi-tenant",
    "napatech",
    "netmap",
    "nflog",
    "pcap",
    "pcap-file",
    "pfring",
    "plugins",
    "profiling",
    "radix",
    "rule-reload",
    "runmode",
    "security",
    "sensor-id",
    "sensor-name",
    "spm-algo",
    "suricata-version",
    "threading",
    "unittests",
    "unix-socket",
    "vlan",
    "windivert",
    "rule-profiling",
    "tls",
    "experimental",
    "landlock",
    "rate-tracking",
];
