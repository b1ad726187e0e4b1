//! `tidegate flows`: the table of connections with our fate beside each entry, and `tidegate flows kill`.

mod follow;

use std::collections::HashSet;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::Value;

use super::common::ConfigArgs;
use crate::control::config::Config;
use crate::control::flows::condemn::{self, Condemned, KillOrder};
use crate::control::flows::expected::Expected;
use crate::control::flows::filter::{Filter, FilterText};
use crate::control::flows::known::GateView;
use crate::control::flows::row::Row;
use crate::control::socket::{self, SocketError};
use crate::kernel::conntrack::ConntrackSocket;
use crate::kernel::{nft, privileges};
use crate::output::eve::Context;
use crate::packet::conntrack::Fate;
use crate::packet::fate::FateStore;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End connections: the rest of them is dropped (or reset) by the kernel, which keeps their entries.
    Kill(KillArgs),
}

#[derive(clap::Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    filter: FilterText,
    #[command(flatten)]
    gate: GateArgs,
    /// Follow what happens until interrupted: connections that begin and end, fates that change.
    #[arg(short = 'E', long = "event")]
    event: bool,
    /// Connections that helpers expect (FTP's data), in place of those that are there.
    #[arg(long, conflicts_with = "event")]
    expected: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct KillArgs {
    #[command(flatten)]
    filter: FilterText,
    #[command(flatten)]
    gate: GateArgs,
    /// Reset both sides, with their next packets, instead of falling silent.
    #[arg(long)]
    reject: bool,
    /// With no filter: every connection of this machine.
    #[arg(long)]
    all: bool,
}

#[derive(clap::Args, Debug)]
struct GateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The control socket.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl GateArgs {
    /// The configuration, and where the gate answers if it runs.
    fn load(&self) -> anyhow::Result<(Config, PathBuf)> {
        let config = self.config.load()?;
        let socket = self.socket.clone().unwrap_or_else(|| config.service.unix_command.filename.clone());
        Ok((config, socket))
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        Some(What::Kill(args)) => kill(args)?,
        None => show(args.show)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: ShowArgs) -> anyhow::Result<()> {
    let (config, socket) = args.gate.load()?;
    let filter = Filter::read(&args.filter, &config.vars.of_rules()).map_err(anyhow::Error::msg)?;
    may_read_the_table()?;
    let view = answered(GateView::ask(&socket), "sids and protocols are not known")?;
    let store = match &view {
        Some(view) => view.store,
        None => left_behind(&config)?,
    };
    let mut printer = Printer::new(args.json);
    let shown = if args.expected {
        list_expected(&filter, store, view.as_ref(), &mut printer)
    } else if args.event {
        follow::Follower::start(filter, store, view.is_some().then_some(socket))?.run(&mut printer)
    } else {
        list(&filter, store, view.as_ref(), &mut printer)
    };
    // Who reads only the first lines (`| head`) has seen enough.
    if printer.is_closed() { Ok(()) } else { shown }
}

fn list(filter: &Filter, store: FateStore, gate: Option<&GateView>, printer: &mut Printer) -> anyhow::Result<()> {
    // A dump that is started again shows entries again.
    let mut seen = HashSet::new();
    let mut written = Ok(());
    ConntrackSocket::open()?
        .dump(|entry| {
            let row = Row::new(entry, gate, store);
            if written.is_ok() && filter.wants(entry, row.fate) && seen.insert(entry.key()) {
                written = printer.print(&row);
            }
        })
        .context("cannot read the kernel's table of connections")?;
    written?;
    Ok(printer.flush()?)
}

/// Each with the fate that it would inherit.
fn list_expected(
    filter: &Filter,
    store: FateStore,
    gate: Option<&GateView>,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut socket = ConntrackSocket::open()?;
    for of in socket.expectations().context("cannot read what helpers expect")? {
        let master = socket.get(&of.master)?;
        let fate = master.map_or(Fate::Inspect, |entry| Row::new(&entry, gate, store).fate);
        let expected = Expected { of, fate };
        if filter.wants(&expected.entry(), fate) {
            printer.print_expected(&expected)?;
        }
    }
    Ok(printer.flush()?)
}

fn kill(args: KillArgs) -> anyhow::Result<()> {
    let (config, socket) = args.gate.load()?;
    let order = KillOrder { filter: args.filter, reject: args.reject, all: args.all };
    let filter = order.filter(&config.vars.of_rules()).map_err(anyhow::Error::msg)?;
    let mut request = serde_json::to_value(&order)?;
    if let Some(request) = request.as_object_mut() {
        request.insert("command".to_owned(), Value::from("flows-kill"));
    }
    let done: Condemned = match answered(socket::ask(&socket, &request), "the table inet tidegate ends connections")? {
        Some(answer) => serde_json::from_value(answer)?,
        None => {
            may_read_the_table()?;
            if nft::present()?.is_none() {
                bail!("nothing would end them: no gate runs, and there is no table inet tidegate (`tidegate install`)");
            }
            condemn::condemn(&mut ConntrackSocket::open()?, &filter, order.fate(), left_behind(&config)?, None)?
        }
    };
    super::common::print(&told(&done, order.reject));
    Ok(())
}

/// Without a gate: where the table that it left looks for fates, else where the configuration says.
fn left_behind(config: &Config) -> anyhow::Result<FateStore> {
    let present = nft::present().context("cannot read the nftables table `inet tidegate`")?;
    Ok(present.and_then(|present| present.fates).unwrap_or_else(|| config.fate.place()))
}

fn told(done: &Condemned, reject: bool) -> String {
    let plural = if done.condemned == 1 { "" } else { "s" };
    let fate = if reject { "reset" } else { "dropped" };
    let mut text = format!("{} connection{plural} condemned: the rest is {fate}", done.condemned);
    for (count, what) in [
        (done.already, "had that fate before"),
        (done.gone, "had ended meanwhile"),
        (done.failed, "could not be marked"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    text
}

/// The gate's answer, or `None` when no gate runs, which is told.
fn answered<T>(answer: Result<T, SocketError>, without: &str) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(SocketError::NobodyThere(path)) => {
            let told = format!("tidegate: no gate answers at {}: {without}", path.display());
            // Nobody to hear it is no reason to stop.
            let _ = writeln!(io::stderr(), "{told}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn may_read_the_table() -> anyhow::Result<()> {
    if !privileges::may_administer_network() {
        bail!("CAP_NET_ADMIN is missing: the kernel shows its connections to root, or with that capability, only");
    }
    Ok(())
}

/// Rows on standard output, until nobody reads them any more.
struct Printer {
    out: io::BufWriter<io::Stdout>,
    json: Option<Context>,
    closed: bool,
}

impl Printer {
    fn new(json: bool) -> Printer {
        Printer { out: io::BufWriter::new(io::stdout()), json: json.then(Context::of_lists), closed: false }
    }

    fn print(&mut self, row: &Row<'_>) -> io::Result<()> {
        let written = match &mut self.json {
            Some(context) => writeln!(self.out, "{}", row.json(context)),
            None => writeln!(self.out, "{row}"),
        };
        self.noting(written)
    }

    fn print_expected(&mut self, expected: &Expected) -> io::Result<()> {
        let written = match &self.json {
            Some(_) => writeln!(self.out, "{}", expected.json()),
            None => writeln!(self.out, "{expected}"),
        };
        self.noting(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.noting(flushed)
    }

    fn noting(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.closed |= result.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        result
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_in_full() {
        let done = Condemned { condemned: 1, ..Condemned::default() };
        assert_eq!(told(&done, false), "1 connection condemned: the rest is dropped");
        let done = Condemned { condemned: 3, already: 2, gone: 1, failed: 4 };
        assert_eq!(
            told(&done, true),
            "3 connections condemned: the rest is reset; 2 had that fate before; 1 had ended meanwhile; 4 could not be marked"
        );
    }
}
