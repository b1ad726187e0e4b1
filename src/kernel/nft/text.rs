//! Our table in nft's syntax, for `install --print` and for the reader of an error.

use super::model::{Chain, Counter, FLOWTABLE, Family, MARKER, Rule, Side, TABLE, Term};
use super::{Balance, GateTable, Hook, QueueMode, Queues};
use crate::packet::conntrack::{Fate, Labels};
use crate::packet::fate::FateStore;
use std::fmt::{self, Display, Formatter, Write};

/// A file for `nft -f` that leaves the same ruleset as [`super::install`], also when the table is there already: base
/// chains are only ever added, the rules are flushed and added again.
#[must_use]
pub fn print(table: &GateTable) -> String {
    let chains = table.chains(QueueMode::NftQueue, Balance::Connection);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut out, table, &chains);
    out
}

fn write_table(out: &mut String, table: &GateTable, chains: &[Chain]) -> fmt::Result {
    write_heading(out, table)?;
    writeln!(out, "table inet {TABLE} {{\n\tcomment \"{MARKER}\"")?;
    for chain in chains {
        writeln!(out, "\tchain {} {{", chain.name)?;
        write_base(out, chain)?;
        writeln!(out, "\t}}")?;
    }
    writeln!(out, "}}\n")?;
    for chain in chains {
        writeln!(out, "flush chain inet {TABLE} {}", chain.name)?;
    }
    writeln!(out, "\ntable inet {TABLE} {{")?;
    if !table.flowtable.is_empty() {
        let devices: Vec<String> = table.flowtable.iter().map(|device| format!("\"{device}\"")).collect();
        writeln!(
            out,
            "\tflowtable {FLOWTABLE} {{\n\t\thook ingress priority 0\n\t\tdevices = {{ {} }}\n\t\tcounter\n\t}}\n",
            devices.join(", ")
        )?;
    }
    for counter in Counter::ALL {
        writeln!(out, "\tcounter {} {{ }}", counter.name())?;
    }
    writeln!(out, "\n\t# nft add element inet {TABLE} block4 {{ 192.0.2.1 timeout 1h }}")?;
    for family in Family::BOTH {
        write_block_set(out, family, table.block_count_max)?;
    }
    for (index, chain) in chains.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_chain(out, chain)?;
    }
    writeln!(out, "}}")
}

fn write_heading(out: &mut String, table: &GateTable) -> fmt::Result {
    let traffic = match table.hook {
        Hook::Forward => "what this machine forwards",
        Hook::Host => "what this machine sends and receives itself",
        Hook::Prerouting => "everything that arrives, before it is routed",
    };
    writeln!(out, "#!/usr/sbin/nft -f")?;
    writeln!(out, "# tidegate: {traffic}. The same table as `tidegate install` makes.")?;
    writeln!(out, "#")?;
    writeln!(
        out,
        "# queue     {}, with bypass: while nobody reads them, packets go on as if we were not here",
        table.queues
    )?;
    writeln!(out, "# priority  {}; the firewall's filter stands at 0, source NAT at 100", table.priority)?;
    write_fates(out, table.fate)?;
    writeln!(out, "# offered   what that counter says and tidegate never received went by uninspected")?;
    writeln!(out, "#")?;
    writeln!(
        out,
        "# Loading this file again is safe. Chains are flushed and refilled, never deleted: deleting a base chain"
    )?;
    writeln!(out, "# drops every packet that waits in any queue.\n")
}

fn write_fates(out: &mut String, store: FateStore) -> fmt::Result {
    match store {
        FateStore::Mark(mask) => writeln!(
            out,
            "# fate      bits {:#010x} of the conntrack mark: {:#010x} pass, {:#010x} drop, {:#010x} reject",
            mask.fate_bits(),
            mask.encode(Fate::Pass),
            mask.encode(Fate::Drop),
            mask.encode(Fate::Reject)
        ),
        FateStore::Labels(place) => {
            let (first, second) = (place.first(), place.first().saturating_add(1));
            writeln!(out, "# fate      {store}: {first} pass, {second} drop, both reject; the rest is the generation")
        }
    }
}

fn write_block_set(out: &mut String, family: Family, size: u32) -> fmt::Result {
    let key = match family {
        Family::Ipv4 => "ipv4_addr",
        Family::Ipv6 => "ipv6_addr",
    };
    writeln!(out, "\tset {} {{\n\t\ttype {key}\n\t\tsize {size}\n\t\tflags timeout\n\t}}\n", family.block_set())
}

fn write_chain(out: &mut String, chain: &Chain) -> fmt::Result {
    writeln!(out, "\tchain {} {{", chain.name)?;
    write_base(out, chain)?;
    for rule in &chain.rules {
        writeln!(out, "\t\t{rule}")?;
    }
    writeln!(out, "\t}}")
}

fn write_base(out: &mut String, chain: &Chain) -> fmt::Result {
    let Some(base) = chain.base else { return Ok(()) };
    writeln!(out, "\t\ttype filter hook {} priority {}; policy accept;", base.hook.name(), base.priority)
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            term.fmt(f)?;
        }
        if self.comment.is_empty() { Ok(()) } else { write!(f, " comment \"{}\"", self.comment) }
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Term::CtMark { mask, value } => write!(f, "ct mark & {mask:#010x} == {value:#010x}"),
            Term::CtLabels { mask, value } => {
                f.write_str("ct label & ")?;
                write_labels(f, &mask)?;
                f.write_str(" == ")?;
                write_labels(f, &value)
            }
            Term::L4Proto(protocols) => write_protocols(f, protocols),
            Term::Blocked(family, side) => {
                let (ip, address) = (ip(family), if side == Side::Source { "saddr" } else { "daddr" });
                write!(f, "{ip} {address} @{}", family.block_set())
            }
            Term::Related => f.write_str("ct state related"),
            Term::TcpReset => f.write_str("tcp flags & rst == rst"),
            Term::ToLoopback => f.write_str("oif \"lo\""),
            Term::Count(counter) => write!(f, "counter name \"{}\"", counter.name()),
            Term::Offload => write!(f, "flow add @{FLOWTABLE}"),
            Term::Drop => f.write_str("drop"),
            Term::Accept => f.write_str("accept"),
            Term::Jump(chain) => write!(f, "jump {chain}"),
            Term::RejectWithReset => f.write_str("reject with tcp reset"),
            Term::Reject => f.write_str("reject"),
            Term::SetLabels => f.write_str("ct label set ct label"),
            Term::QueueByConnection { family, ports, queues } => write_queue_hash(f, family, ports, queues),
            Term::QueueByAddresses { queues, .. } => write!(f, "queue flags bypass to {queues}"),
        }
    }
}

/// nft's grammar has no number for all labels, only for each.
fn write_labels(f: &mut Formatter<'_>, labels: &Labels) -> fmt::Result {
    let numbers: Vec<String> = labels.numbers().map(|label| label.to_string()).collect();
    write!(f, "({})", numbers.join("|"))
}

fn write_protocols(f: &mut Formatter<'_>, protocols: &[u8]) -> fmt::Result {
    if let [protocol] = protocols {
        return write!(f, "meta l4proto {}", Protocol(*protocol));
    }
    f.write_str("meta l4proto { ")?;
    for (index, protocol) in protocols.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}{}", Protocol(*protocol))?;
    }
    f.write_str(" }")
}

fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

fn write_queue_hash(f: &mut Formatter<'_>, family: Family, ports: bool, queues: Queues) -> fmt::Result {
    let ip = ip(family);
    write!(f, "queue flags bypass to jhash ct original {ip} saddr . ct original {ip} daddr")?;
    if ports {
        f.write_str(" . ct original proto-src . ct original proto-dst")?;
    }
    write!(f, " mod {} offset {}", queues.count, queues.first)
}

/// A protocol by a word of nft's grammar: those need no `/etc/protocols`.
struct Protocol(u8);

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("icmp"),
            6 => f.write_str("tcp"),
            17 => f.write_str("udp"),
            33 => f.write_str("dccp"),
            58 => f.write_str("icmpv6"),
            132 => f.write_str("sctp"),
            136 => f.write_str("udplite"),
            other => other.fmt(f),
        }
    }
}

impl Display for Queues {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.count > 1 { write!(f, "{}-{}", self.first, self.last()) } else { self.first.fmt(f) }
    }
}
