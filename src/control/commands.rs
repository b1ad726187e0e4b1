//! What the control socket answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::flows::condemn::{self, KillOrder};
use super::flows::known;
use super::socket::Handler;
use super::stats::Statistics;
use super::worker::Shared;
use crate::kernel::conntrack::{ConntrackSocket, Mirror};
use crate::kernel::nft::{self, Block};
use crate::packet::fate::FateStore;
use crate::rules::Vars;

/// Orders that the main thread or the listener carries out.
#[derive(Debug, Default)]
pub struct Requests {
    reload: AtomicBool,
    sweep: AtomicBool,
}

impl Requests {
    pub fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    pub fn take_sweep(&self) -> bool {
        self.sweep.swap(false, Ordering::Relaxed)
    }
}

/// What commands about connections need.
pub struct Connections {
    pub store: FateStore,
    pub mirror: Option<Arc<Mirror>>,
    /// What `$HOME_NET` and its like stand for in a filter.
    pub vars: Vars,
}

/// The commands, by name. Suricata's names where the thing is the same.
#[must_use]
pub fn handler(
    statistics: Arc<Statistics>,
    shared: Shared,
    requests: Arc<Requests>,
    connections: Connections,
) -> Arc<Handler> {
    Arc::new(move |request: &Value| {
        let command = request.get("command").and_then(Value::as_str).unwrap_or_default();
        match command {
            "status" => Ok(status(&statistics, &shared)),
            "dump-counters" => serde_json::to_value(statistics.snapshot()).map_err(|error| error.to_string()),
            "uptime" => Ok(json!(statistics.started.elapsed().as_secs())),
            "version" => Ok(json!(env!("CARGO_PKG_VERSION"))),
            "reload-rules" => {
                requests.reload.store(true, Ordering::Relaxed);
                Ok(json!("reload asked for; the log says how it went"))
            }
            "reopen-log-files" => {
                shared.sink.reopen();
                Ok(json!("log files opened anew"))
            }
            "sweep" => {
                requests.sweep.store(true, Ordering::Relaxed);
                Ok(json!("flows will be compared with the kernel's table"))
            }
            "flows" => known::answer(request, &shared.flows, shared.rules.load().generation(), connections.store),
            "flows-kill" => kill(request, &shared, &connections),
            "block-add" => block(request, true),
            "block-del" => block(request, false),
            "command-list" => Ok(json!(COMMANDS)),
            other => Err(format!("unknown command `{other}`; there are: {}", COMMANDS.join(", "))),
        }
    })
}

const COMMANDS: [&str; 12] = [
    "status",
    "dump-counters",
    "uptime",
    "version",
    "reload-rules",
    "reopen-log-files",
    "sweep",
    "flows",
    "flows-kill",
    "block-add",
    "block-del",
    "command-list",
];

fn status(statistics: &Statistics, shared: &Shared) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "mode": statistics.mode.describe(),
        "degraded": statistics.mode.is_degraded(),
        "generation": shared.rules.load().generation(),
        "flows": shared.flows.count(),
        "stats": serde_json::to_value(statistics.snapshot()).unwrap_or_default(),
    })
}

fn kill(request: &Value, shared: &Shared, connections: &Connections) -> Result<Value, String> {
    let order: KillOrder = serde_json::from_value(request.clone()).map_err(|error| error.to_string())?;
    let filter = order.filter(&connections.vars)?;
    let gate = condemn::Gate {
        flows: &shared.flows,
        mirror: connections.mirror.as_deref(),
        generation: shared.rules.load().generation(),
    };
    let done = ConntrackSocket::open()
        .and_then(|mut socket| condemn::condemn(&mut socket, &filter, order.fate(), connections.store, Some(&gate)))
        .map_err(|error| error.to_string())?;
    tracing::info!("{} connections condemned because somebody asked for it", done.condemned);
    serde_json::to_value(done).map_err(|error| error.to_string())
}

fn block(request: &Value, add: bool) -> Result<Value, String> {
    let text = request.get("address").and_then(Value::as_str).unwrap_or_default();
    let source = text.parse().map_err(|_| format!("`{text}` is no IPv4 or IPv6 address"))?;
    let expires = request.get("seconds").and_then(Value::as_u64).map(Duration::from_secs);
    let done = if add { nft::block(&[Block { source, expires }]) } else { nft::unblock(&[source]) };
    done.map(|()| json!("done")).map_err(|error| error.to_string())
}
