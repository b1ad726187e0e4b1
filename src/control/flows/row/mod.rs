//! One connection as a line like those of `conntrack -L`, or as JSON.

use std::fmt::{self, Display, Formatter, Write as _};

use super::expected::write_master;
use super::filter::{has_ports, protocol_name};
use super::known::{GateView, Known};
use crate::output::eve::Context;
use crate::output::eve::live::{self, Counted, LiveFlow};
use crate::packet::conntrack::{Conntrack, Counters, CtStatus, Fate, TcpState, Tuple};
use crate::packet::fate::FateStore;
use crate::packet::ingress::Timestamp;

/// An entry of the kernel's table beside what the gate knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    entry: &'r Conntrack,
    known: Option<&'r Known>,
    pub fate: Fate,
    /// What the entry itself says.
    in_kernel: bool,
    /// `NEW`, `FATE` or `DESTROY`.
    change: Option<&'static str>,
}

impl<'r> Row<'r> {
    /// Without a gate the fate is what stands in `store`.
    #[must_use]
    pub fn new(entry: &'r Conntrack, gate: Option<&'r GateView>, store: FateStore) -> Row<'r> {
        let Some(gate) = gate else {
            return Row { entry, known: None, fate: store.decode(entry), in_kernel: true, change: None };
        };
        let written = store.decode_for(entry, gate.generation);
        let known = gate.of(entry);
        let decided = known.map_or(Fate::Inspect, |known| decided(known, gate.generation));
        let fate = if written == Fate::Inspect { decided } else { written };
        Row { entry, known, fate, in_kernel: fate == written, change: None }
    }

    /// As news of this kind.
    #[must_use]
    pub fn changed(self, change: &'static str) -> Row<'r> {
        Row { change: Some(change), ..self }
    }

    #[must_use]
    pub fn json(&self, context: &mut Context) -> String {
        let known = self.known;
        let live = LiveFlow {
            entry: self.entry,
            change: self.change,
            fate: self.fate,
            fate_in_kernel: self.in_kernel,
            flow_id: known.map(|known| known.flow_id),
            generation: known.map(|known| known.generation),
            last_sid: known.and_then(|known| known.last_sid),
            app_proto: known.and_then(|known| known.app_proto.as_deref()),
            counted: self.counted(),
            started: self.started(),
        };
        live::json(&live, context)
    }

    /// The kernel's counters, else those of the gate.
    fn counted(&self) -> Option<Counted> {
        if let (Some(to_server), Some(to_client)) = (self.entry.counters_orig, self.entry.counters_reply) {
            return Some(Counted { to_server, to_client, by: "kernel" });
        }
        let (to_server, to_client) = self.known?.counters();
        Some(Counted { to_server, to_client, by: "tidegate" })
    }

    fn started(&self) -> Option<Timestamp> {
        let by_kernel = self.entry.start_ns.map(|ns| Timestamp::from_micros(ns / 1000));
        by_kernel.or_else(|| self.known.map(Known::first_seen))
    }
}

/// What an older rule set has cleared is looked at again with its next packet.
fn decided(known: &Known, generation: u64) -> Fate {
    if known.fate == Fate::Pass && known.generation != generation { Fate::Inspect } else { known.fate }
}

impl Display for Row<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let entry = self.entry;
        let number = entry.orig.protocol;
        if let Some(change) = self.change {
            write!(out, "{:>9} ", format!("[{change}]"))?;
        }
        write!(out, "{:<8} {number} ", protocol_name(number))?;
        if let Some(seconds) = entry.timeout_s {
            write!(out, "{seconds} ")?;
        }
        if let Some(tcp) = entry.tcp {
            write!(out, "{} ", state_name(tcp.state))?;
        }
        let counted = self.counted();
        write_direction(out, &entry.orig, counted.map(|counted| counted.to_server))?;
        if !entry.status.has(CtStatus::SEEN_REPLY) {
            out.write_str("[UNREPLIED] ")?;
        }
        write_direction(out, &entry.reply, counted.map(|counted| counted.to_client))?;
        if entry.status.has(CtStatus::OFFLOAD) {
            out.write_str("[OFFLOAD] ")?;
        } else if entry.status.has(CtStatus::ASSURED) {
            out.write_str("[ASSURED] ")?;
        }
        write!(out, "mark={}", entry.mark)?;
        if entry.zone != 0 {
            write!(out, " zone={}", entry.zone)?;
        }
        if let Some(master) = &entry.master {
            out.write_char(' ')?;
            write_master(out, master)?;
        }
        self.write_ours(out)
    }
}

impl Row<'_> {
    fn write_ours(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, " fate={}", self.fate.name())?;
        if !self.in_kernel {
            // The gate enforces it until the kernel does.
            out.write_str("(unwritten)")?;
        }
        let Some(known) = self.known else { return Ok(()) };
        write!(out, " generation={}", known.generation)?;
        if let Some(sid) = known.last_sid {
            write!(out, " sid={sid}")?;
        }
        if let Some(app) = &known.app_proto {
            write!(out, " app={app}")?;
        }
        Ok(())
    }
}

fn write_direction(out: &mut Formatter<'_>, tuple: &Tuple, counters: Option<Counters>) -> fmt::Result {
    write!(out, "src={} dst={} ", tuple.src, tuple.dst)?;
    if has_ports(tuple.protocol) {
        write!(out, "sport={} dport={} ", tuple.src_port, tuple.dst_port)?;
    } else if matches!(tuple.protocol, 1 | 58) {
        let [kind, code] = tuple.dst_port.to_be_bytes();
        write!(out, "type={kind} code={code} id={} ", tuple.src_port)?;
    }
    match counters {
        Some(Counters { packets, bytes }) => write!(out, "packets={packets} bytes={bytes} "),
        None => Ok(()),
    }
}

/// The kernel's words (`tcp_conntrack_names`).
fn state_name(state: TcpState) -> &'static str {
    match state {
        TcpState::None => "NONE",
        TcpState::SynSent => "SYN_SENT",
        TcpState::SynRecv => "SYN_RECV",
        TcpState::Established => "ESTABLISHED",
        TcpState::FinWait => "FIN_WAIT",
        TcpState::CloseWait => "CLOSE_WAIT",
        TcpState::LastAck => "LAST_ACK",
        TcpState::TimeWait => "TIME_WAIT",
        TcpState::Close => "CLOSE",
        TcpState::SynSent2 => "SYN_SENT2",
    }
}

#[cfg(test)]
mod tests;
