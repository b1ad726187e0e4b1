//! The lab: benign and hostile traffic of real sockets through a real gate, in three network namespaces.
//!
//! ```text
//!  client ──────── gateway ──────── server           1  measure without a gate
//!  user             tidegate run     HTTP, DNS       2  start the gate, send the cases, look at both ends
//!  attacker                                          3  measure again, empty conntrack, stop, look for leftovers
//! ```
//!
//! Each case is judged by what the client got, what reached the server, and what eve.json says; all three must agree.
//! Everything that is made is owned by a value whose drop takes it away, so an error, a panic and Ctrl-C all clean up.
//! What a `kill -9` leaves behind is swept at the next start.

mod cases;
mod checks;
mod client;
mod directory;
mod dns;
mod error;
mod eve;
mod gate;
mod http;
mod interrupt;
mod judge;
mod latency;
mod namespace;
mod report;
mod server;
mod sockets;
mod syn;
mod topology;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::cases::{ATTACKS, BENIGN, Case, Family};
use self::directory::Directory;
use self::error::at;
use self::gate::Gate;
use self::judge::{Row, Trial};
use self::latency::Cost;
use self::server::Server;
use self::topology::Topology;

pub use self::error::LabError;
pub use self::interrupt::Interrupt;
pub use self::report::{Check, Report};

/// How long eve.json may lag behind the traffic.
const EVENT_PATIENCE: Duration = Duration::from_secs(3);

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `tidegate` program, for the gate.
    pub program: PathBuf,
    /// After the report, leave everything standing until interrupted.
    pub keep: bool,
}

/// What the lab tells while it runs.
#[derive(Debug)]
pub enum Progress<'p> {
    Step(&'p str),
    /// Everything stands and waits: how to look around. Only with [`Options::keep`].
    Standing {
        report: &'p Report,
        hints: &'p str,
    },
}

/// Runs the whole lab and takes it down again.
pub fn run(options: &Options, interrupt: &Interrupt, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Report, LabError> {
    let started = Instant::now();
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    namespace::sweep()?;
    directory::sweep();
    tell(Progress::Step("making three network namespaces"));
    let mut lab = Lab::build(options, interrupt.clone())?;
    let mut report = lab.run(tell)?;
    report.seconds = started.elapsed().as_secs_f64();
    if options.keep {
        report.settle();
        tell(Progress::Standing { report: &report, hints: &lab.hints() });
        while interrupt.check().is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    tell(Progress::Step("stopping the gate and taking everything down"));
    lab.stop_gate(&mut report);
    drop(lab);
    report.checks.push(checks::nothing_left());
    report.seconds = started.elapsed().as_secs_f64();
    report.settle();
    Ok(report)
}

/// The cases without what happened: what `run` will do.
#[must_use]
pub fn list() -> String {
    let mut rows = vec![["sent", "over", "should", "sid"].map(str::to_owned)];
    for case in BENIGN.iter().chain(ATTACKS) {
        let [sent, over, should, _, sid, _] = report::cells(&judge::plan(case));
        rows.push([sent, over, should, sid]);
    }
    let mut text = report::table(&rows, false);
    for (name, owner) in namespace::all() {
        text += &format!("\nstanding: {name}, of process {owner}");
    }
    text
}

/// Everything that stands, in the order in which it is to be taken down.
struct Lab {
    gate: Option<Gate>,
    server: Server,
    topology: Topology,
    directory: Directory,
    interrupt: Interrupt,
    program: PathBuf,
}

impl Lab {
    fn build(options: &Options, interrupt: Interrupt) -> Result<Lab, LabError> {
        let directory = Directory::create()?;
        let topology = Topology::build()?;
        let server = Server::start(&topology.server)?;
        Ok(Lab { gate: None, server, topology, directory, interrupt, program: options.program.clone() })
    }

    fn run(&mut self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Report, LabError> {
        tell(Progress::Step("measuring without a gate"));
        self.require_traffic()?;
        let without_gate = self.measure()?;
        tell(Progress::Step("starting the gate"));
        let gate = Gate::start(&self.program, &self.topology.gateway, self.directory.path(), &self.interrupt)?;
        let gate = self.gate.insert(gate);
        let (mode, eve_path) = (checks::mode(gate)?, gate.eve_path());

        let mut trials = Vec::new();
        for (kind, cases) in [("benign traffic", BENIGN), ("attacks", ATTACKS)] {
            tell(Progress::Step(&format!("sending {kind}")));
            for case in cases {
                self.interrupt.check()?;
                trials.push(self.send(case)?);
            }
        }
        let traffic = self.judge(&trials, &eve_path)?;
        tell(Progress::Step("measuring with the gate"));
        let mut checks = Vec::new();
        let with_gate = self.measure().unwrap_or_else(|error| {
            checks.push(Check::failed("measuring with the gate", &error));
            Cost::NONE
        });
        tell(Progress::Step("looking at counters and flow state"));
        if let Some(gate) = &self.gate {
            checks::of_running_gate(gate, &self.topology.gateway, &self.interrupt, &mut checks)?;
        }
        let kernel = checks::kernel();
        Ok(Report { ok: false, mode, kernel, traffic, checks, without_gate, with_gate, seconds: 0.0 })
    }

    fn stop_gate(&mut self, report: &mut Report) {
        if let Some(mut gate) = self.gate.take() {
            report.checks.push(checks::stop(&mut gate));
        }
        report.checks.push(checks::table_removed(&self.topology.gateway));
        report.checks.push(checks::no_process_left(&self.topology.gateway));
        let what = "traffic after the gate";
        report.checks.push(match self.in_client(|| client::fetch_home(Family::V4)) {
            Ok(()) => Check { what, happened: "passes".to_owned(), ok: true },
            Err(error) => Check::failed(what, &error),
        });
    }

    /// A lab whose own network does not work would blame the gate.
    fn require_traffic(&self) -> Result<(), LabError> {
        for family in [Family::V4, Family::V6] {
            let fetched = self.in_client(|| client::fetch_home(family));
            fetched.map_err(|source| LabError::Unfit { family, source: Box::new(source) })?;
        }
        Ok(())
    }

    fn measure(&self) -> Result<Cost, LabError> {
        self.interrupt.check()?;
        self.in_client(latency::measure)
    }

    fn send<'c>(&self, case: &'c Case) -> Result<Trial<'c>, LabError> {
        let seen_by_client =
            at("cannot enter the client's namespace", self.topology.client.run(|| client::send(case)))?;
        let ledger = self.server.ledger();
        let arrived = seen_by_client
            .as_ref()
            .ok()
            .filter(|_| judge::is_counted_by_server(case.traffic))
            .map(|seen| seen.locals.iter().map(|local| ledger.of(*local).requests).sum());
        Ok(Trial { case, seen_by_client, arrived })
    }

    fn judge(&self, trials: &[Trial<'_>], eve_path: &Path) -> Result<Vec<Row>, LabError> {
        let read = || at("cannot read eve.json", eve::read(eve_path));
        self.interrupt.wait_for(EVENT_PATIENCE, || {
            let events = read()?;
            Ok(trials.iter().all(|trial| trial.is_recorded(&events)).then_some(()))
        })?;
        let events = read()?;
        Ok(trials.iter().map(|trial| trial.judge(&events)).collect())
    }

    fn in_client<T: Send>(&self, work: impl FnOnce() -> std::io::Result<T> + Send) -> Result<T, LabError> {
        at("traffic from the client's namespace", self.topology.client.run(work).and_then(|outcome| outcome))
    }

    fn hints(&self) -> String {
        let Topology { client, gateway, server } = &self.topology;
        let enter = |who, name| format!("  {who:8} ip netns exec {name} bash\n");
        let mut text =
            enter("client", client.name()) + &enter("gateway", gateway.name()) + &enter("server", server.name());
        text += &format!(
            "  status   {} status --socket {}\n",
            self.program.display(),
            gate::socket_path(self.directory.path()).display()
        );
        text += &format!("  logs     {}\n", self.directory.path().display());
        text += &format!("  remove   Ctrl-C here, or kill {}\n", std::process::id());
        text
    }
}
