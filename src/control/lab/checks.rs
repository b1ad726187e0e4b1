//! What must hold beside the traffic: the counters agree, a condemned connection is the kernel's affair, flow state
//! ends with the connections, and nothing is left behind.

use std::error::Error;
use std::io;
use std::time::Duration;

use serde_json::Value;

use super::error::{LabError, at};
use super::gate::Gate;
use super::interrupt::Interrupt;
use super::namespace::{self, Namespace};
use super::report::Check;
use crate::kernel::conntrack::{ConntrackError, ConntrackSocket};
use crate::kernel::nft;
use crate::packet::conntrack::Conntrack;

const COUNTER_PATIENCE: Duration = Duration::from_secs(1);
/// DESTROY events arrive at once, but the gate's listener batches.
const FLOW_STATE_PATIENCE: Duration = Duration::from_secs(3);
/// A rule matched, or an earlier match condemned the flow.
const RULE_REASONS: [&str; 2] = ["rules", "flow_drop"];

/// The kernel's release.
#[must_use]
pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// How the gate says that it works on this kernel.
pub fn mode(gate: &Gate) -> Result<String, LabError> {
    let status = gate.status()?;
    Ok(text(&status, "/mode").unwrap_or("not told").to_owned())
}

/// What is asked of a running gate after the traffic. What cannot be found out is a check that failed.
pub fn of_running_gate(
    gate: &Gate,
    gateway: &Namespace,
    interrupt: &Interrupt,
    checks: &mut Vec<Check>,
) -> Result<(), LabError> {
    // The workers publish their counters a moment later.
    let settled = interrupt.wait_for(COUNTER_PATIENCE, || {
        let status = gate.status()?;
        let equal = number(&status, "ledger/offered") == number(&status, "ledger/judged");
        Ok(equal.then_some(status))
    })?;
    let status = settled.map_or_else(|| gate.status(), Ok)?;
    checks.push(inspected(&status));
    checks.push(drops_have_a_rule(&status));
    checks.push(rest_dropped_in_kernel(gateway));
    interrupt.check()?;
    checks.push(flow_state(gate, gateway).unwrap_or_else(|error| Check::failed(FLOW_STATE, &error)));
    Ok(())
}

/// SIGTERM ends the gate, and it says that all went well.
#[must_use]
pub fn stop(gate: &mut Gate) -> Check {
    let what = "SIGTERM";
    match gate.stop() {
        Ok(Some(status)) => Check { what, happened: status.to_string(), ok: status.success() },
        Ok(None) => Check { what, happened: "still running, killed".to_owned(), ok: false },
        Err(error) => Check::failed(what, &error),
    }
}

/// The gate was told to take its table along.
#[must_use]
pub fn table_removed(gateway: &Namespace) -> Check {
    let what = "nftables after the gate";
    match inside(gateway, nft::present) {
        Ok(None) => Check { what, happened: "our table is gone".to_owned(), ok: true },
        Ok(Some(table)) => Check { what, happened: table.to_string(), ok: false },
        Err(error) => Check::failed(what, &error),
    }
}

/// Nothing that the gate started outlives it.
#[must_use]
pub fn no_process_left(gateway: &Namespace) -> Check {
    let what = "processes after the gate";
    match gateway.pids() {
        Ok(pids) if pids.is_empty() => Check { what, happened: "none left".to_owned(), ok: true },
        Ok(pids) => Check { what, happened: format!("{} left", pids.len()), ok: false },
        Err(error) => Check::failed(what, &error),
    }
}

/// To be asked when everything is taken down.
#[must_use]
pub fn nothing_left() -> Check {
    let left = namespace::standing(std::process::id());
    Check {
        what: "network namespaces",
        happened: if left.is_empty() { "none left".to_owned() } else { left.join(", ") },
        ok: left.is_empty(),
    }
}

/// Every packet that was offered to the queues was judged.
fn inspected(status: &Value) -> Check {
    let uninspected = sum(status.pointer("/stats/ledger/uninspected"));
    let missed = uninspected.saturating_add(number(status, "ledger/kernel_drops").unwrap_or(0));
    let [offered, judged] = ["ledger/offered", "ledger/judged"].map(|name| number(status, name));
    Check {
        what: "packets offered to the gate",
        happened: format!("{} offered, {} judged, {missed} missed", show(offered), show(judged)),
        ok: missed == 0 && judged.is_some_and(|judged| judged > 0),
    }
}

/// Nothing is dropped without a name, and here no name but a rule's is due.
fn drops_have_a_rule(status: &Value) -> Check {
    let reasons = status.pointer("/stats/ips/drop_reason").and_then(Value::as_object);
    let counted: Vec<(&str, u64)> = reasons
        .into_iter()
        .flatten()
        .filter_map(|(reason, count)| Some((reason.as_str(), count.as_u64()?)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let named: Vec<String> = counted.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    Check {
        what: "reasons of drops",
        happened: if named.is_empty() { "none".to_owned() } else { named.join(", ") },
        ok: !counted.is_empty() && counted.iter().all(|(reason, _)| RULE_REASONS.contains(reason)),
    }
}

fn number(status: &Value, name: &str) -> Option<u64> {
    status.pointer(&format!("/stats/{name}")).and_then(Value::as_u64)
}

fn sum(counters: Option<&Value>) -> u64 {
    counters.and_then(Value::as_object).into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

fn show(count: Option<u64>) -> String {
    count.map_or("?".to_owned(), |count| count.to_string())
}

/// The nftables counter behind the fate: no worker saw these.
fn rest_dropped_in_kernel(gateway: &Namespace) -> Check {
    let what = "rest of condemned connections";
    match inside(gateway, nft::read_counters) {
        Ok(counters) => Check {
            what,
            happened: format!("{} packets dropped by nftables", counters.fate_dropped.packets),
            ok: counters.fate_dropped.packets > 0,
        },
        Err(error) => Check::failed(what, &error),
    }
}

const FLOW_STATE: &str = "flow state, conntrack emptied";

/// When the kernel forgets the connections, so does the gate.
fn flow_state(gate: &Gate, gateway: &Namespace) -> Result<Check, LabError> {
    let before = flow_count(&gate.status()?);
    let mut deleted = 0_usize;
    Interrupt::default().wait_for(FLOW_STATE_PATIENCE, || {
        // Again and again: a packet that was under way makes a new entry.
        let more = at("cannot empty conntrack", inside(gateway, forget_connections))?;
        deleted = deleted.saturating_add(more);
        Ok((flow_count(&gate.status()?) == Some(0)).then_some(()))
    })?;
    let after = flow_count(&gate.status()?);
    Ok(Check {
        what: FLOW_STATE,
        happened: format!("{} of {} flows left ({deleted} entries deleted)", show(after), show(before)),
        ok: after == Some(0) && before.is_some_and(|count| count > 0),
    })
}

fn flow_count(status: &Value) -> Option<u64> {
    status.pointer("/flows").and_then(Value::as_u64)
}

fn forget_connections() -> Result<usize, ConntrackError> {
    let mut socket = ConntrackSocket::open()?;
    let mut entries: Vec<Conntrack> = Vec::new();
    socket.dump(|entry| entries.push(*entry))?;
    for entry in &entries {
        socket.delete(&entry.key(), entry.id)?;
    }
    Ok(entries.len())
}

fn inside<T: Send, E>(namespace: &Namespace, work: fn() -> Result<T, E>) -> io::Result<T>
where
    E: Error + Send + Sync + 'static,
{
    namespace.run(work).and_then(|outcome| outcome.map_err(io::Error::other))
}

fn text<'v>(status: &'v Value, pointer: &str) -> Option<&'v str> {
    status.pointer(pointer).and_then(Value::as_str)
}
