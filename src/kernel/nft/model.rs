//! The rules of our table as values, once. [`super::text`] writes them for an admin, [`super::lower`] for the kernel.
//!
//! ```text
//!  hook chain(s)           chain gate
//!  (base, policy accept)   either blocked ► drop
//!  oif lo ► accept (host)  fate = drop ───► drop
//!  jump gate ────────────► fate = reject ─► reset or ICMP error
//!                          fate = pass ───► accept
//!                          counter offered
//!                          queue by connection, by addresses, by packet
//!  behind (base, one priority later)
//!  counter behind
//! ```
//!
//! What came out behind, and what had gone in, is all the evidence that the ledger needs: who let a packet pass, we or
//! the kernel, nothing else in the kernel tells.
//!
//! The hook chains hold next to nothing and are never touched again. Everything that changes while packets wait in the
//! queues is in `gate`, one chain for all hooks: so input and output of one connection share the hash and its random
//! seed, which the kernel draws for each rule.

use super::{Balance, GateTable, Hook, QueueMode};
use crate::packet::conntrack::{Fate, Labels};
use crate::packet::fate::{ConntrackWrite, FateStore};
use std::borrow::Cow;

pub const TABLE: &str = "tidegate";
/// The table's comment begins so. A table of our name without it is somebody else's.
pub const MARKER: &str = "managed by tidegate";
pub const GATE: &str = "gate";
pub const FLOWTABLE: &str = "cleared";
const LABELS: &str = "labels";
const CLEARED_BY: &str = "cleared by generation ";
const HASH_BEGINS: &str = " (";

/// One chain. Base chains are `type filter`, policy accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    pub base: Option<Base>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    pub hook: BaseHook,
    pub priority: i32,
    pub role: Role,
}

/// What a base chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Leads into the gate.
    Gate,
    /// Counts what comes out of it.
    Behind,
}

impl Role {
    #[must_use]
    pub fn of_chain(name: &[u8]) -> Role {
        if name.starts_with(b"behind_") { Role::Behind } else { Role::Gate }
    }
}

/// The hooks that our base chains may stand at, with the kernel's numbers (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseHook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
}

impl BaseHook {
    #[must_use]
    pub fn from_kernel(number: u32) -> Option<BaseHook> {
        [BaseHook::Prerouting, BaseHook::Input, BaseHook::Forward, BaseHook::Output]
            .into_iter()
            .find(|hook| *hook as u32 == number)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BaseHook::Prerouting => "prerouting",
            BaseHook::Input => "input",
            BaseHook::Forward => "forward",
            BaseHook::Output => "output",
        }
    }

    /// Name of the chain that counts what comes out behind the gate.
    fn behind(self) -> &'static str {
        match self {
            BaseHook::Prerouting => "behind_prerouting",
            BaseHook::Input => "behind_input",
            BaseHook::Forward => "behind_forward",
            BaseHook::Output => "behind_output",
        }
    }
}

/// Terms from left to right: all matches must hold, then the statements are carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub terms: Vec<Term>,
    /// For the admin who reads `nft list`; at most 127 bytes (`NFTNL_UDATA_COMMENT_MAXLEN`).
    pub comment: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// The masked conntrack mark is `value`. Never matches without a conntrack entry.
    CtMark {
        mask: u32,
        value: u32,
    },
    /// The masked conntrack labels are `value`. Never matches without a conntrack entry.
    CtLabels {
        mask: Labels,
        value: Labels,
    },
    /// The packet's own protocol is one of these (IANA numbers).
    L4Proto(&'static [u8]),
    /// That address of the packet is in the block set of its family.
    Blocked(Family, Side),
    /// An ICMP error or the like: related to the connection whose entry it carries.
    Related,
    /// A TCP segment with RST.
    TcpReset,
    /// Leaves through the loopback device, so will be seen at input.
    ToLoopback,
    Count(Counter),
    /// From now on the flowtable carries the connection: its packets meet no chain. Goes on only if it took it.
    Offload,
    Drop,
    Accept,
    Jump(&'static str),
    RejectWithReset,
    Reject,
    /// `jhash` of the connection's original tuple over the queues; never matches without an entry of this family.
    QueueByConnection {
        family: Family,
        ports: bool,
        queues: super::Queues,
    },
    /// The connection's labels set to themselves: changes nothing.
    SetLabels,
    /// The kernel's own spread, by address pair and protocol. Matches every packet.
    QueueByAddresses {
        mode: QueueMode,
        queues: super::Queues,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// Name of this family's block set.
    #[must_use]
    pub fn block_set(self) -> &'static str {
        match self {
            Family::Ipv4 => "block4",
            Family::Ipv6 => "block6",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

/// The named counters of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// What came as far as the queue rules: the ledger's debit side.
    Offered,
    FateDropped,
    FateRejected,
    FatePassed,
    /// The flowtable took a cleared connection.
    FateOffloaded,
    Blocked,
    /// The resets and errors of our own reject rules, on their way out.
    OwnAnswers,
    /// Came by while the queue rules were out: at a start over a predecessor's table, and at a stop.
    Aside,
    /// Came out behind the gate: passed by us, by the kernel in our place, by its fate.
    Behind,
}

impl Counter {
    pub const ALL: [Counter; 9] = [
        Counter::Offered,
        Counter::FateDropped,
        Counter::FateRejected,
        Counter::FatePassed,
        Counter::FateOffloaded,
        Counter::Blocked,
        Counter::OwnAnswers,
        Counter::Aside,
        Counter::Behind,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Counter::Offered => "offered",
            Counter::FateDropped => "fate_dropped",
            Counter::FateRejected => "fate_rejected",
            Counter::FatePassed => "fate_passed",
            Counter::FateOffloaded => "fate_offloaded",
            Counter::Blocked => "blocked",
            Counter::OwnAnswers => "own_answers",
            Counter::Aside => "aside",
            Counter::Behind => "behind",
        }
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDPLITE: u8 = 136;

/// Protocols whose connections have ports. ICMP is here for its errors: a RELATED packet carries the entry of the
/// connection that it is about, and in one rule with it, so with one seed, it meets the same queue.
const WITH_PORTS_V4: &[u8] = &[ICMP, TCP, UDP, DCCP, SCTP, UDPLITE];
const WITH_PORTS_V6: &[u8] = &[TCP, UDP, DCCP, ICMPV6, SCTP, UDPLITE];

impl GateTable {
    /// All chains, callees first. `mode` and `balance` say how packets reach the queues on the kernel at hand.
    #[must_use]
    pub fn chains(&self, mode: QueueMode, balance: Balance) -> Vec<Chain> {
        let mut chains = vec![Chain { name: GATE, base: None, rules: self.gate_rules(mode, balance) }];
        if matches!(self.fate, FateStore::Labels(_)) {
            // No packet comes here: that such a rule is loaded is what makes the kernel give new entries room for labels.
            let set = rule(vec![Term::SetLabels], "never jumped to: gives new connections room for labels");
            chains.push(Chain { name: LABELS, base: None, rules: vec![set] });
        }
        chains.extend(self.base_hooks().iter().map(|hook| self.base_chain(*hook)));
        chains.extend(self.base_hooks().iter().map(|hook| self.behind_chain(*hook)));
        chains
    }

    /// Where our base chains stand.
    #[must_use]
    pub fn base_hooks(&self) -> &'static [BaseHook] {
        match self.hook {
            Hook::Forward => &[BaseHook::Forward],
            Hook::Host => &[BaseHook::Input, BaseHook::Output],
            Hook::Prerouting => &[BaseHook::Prerouting],
        }
    }

    fn base_chain(&self, hook: BaseHook) -> Chain {
        let mut rules = only_once(hook);
        rules.push(rule(vec![Term::Jump(GATE)], ""));
        Chain { name: hook.name(), base: Some(Base { hook, priority: self.priority, role: Role::Gate }), rules }
    }

    /// Directly behind the gate. What another chain of the same priority dropped in between counts as lost.
    fn behind_chain(&self, hook: BaseHook) -> Chain {
        let mut rules = only_once(hook);
        rules.push(rule(vec![Term::Count(Counter::Behind)], "came out of the gate"));
        let base = Base { hook, priority: self.priority.saturating_add(1), role: Role::Behind };
        Chain { name: hook.behind(), base: Some(base), rules }
    }

    fn gate_rules(&self, mode: QueueMode, balance: Balance) -> Vec<Rule> {
        let mut rules = Vec::new();
        // First, so that a block takes effect on connections that were cleared before it, too.
        for family in Family::BOTH {
            for (side, comment) in [(Side::Source, "source is blocked"), (Side::Destination, "destination is blocked")]
            {
                rules.push(rule(vec![Term::Blocked(family, side), Term::Count(Counter::Blocked), Term::Drop], comment));
            }
        }
        if self.hook == Hook::Host {
            rules.extend(self.own_answers());
        }
        rules.extend(self.fate_rules());
        if self.queueing {
            rules.push(rule(vec![Term::Count(Counter::Offered)], "from here on: offered to the queues"));
            rules.extend(self.queue_rules(mode, balance));
        } else {
            rules.push(rule(vec![Term::Count(Counter::Aside)], "nobody is asked for the moment"));
        }
        rules
    }

    /// The resets and ICMP errors of our own `reject` leave through output with the entry of the rejected connection
    /// (`nf_ct_attach`): without these rules they would be rejected in turn. Elsewhere they never meet us.
    fn own_answers(&self) -> [Rule; 2] {
        let comment = "the answers of the reject rules below";
        let rejected = self.fated(Fate::Reject);
        [
            rule(vec![rejected.clone(), Term::TcpReset, Term::Count(Counter::OwnAnswers), Term::Accept], comment),
            rule(
                vec![
                    rejected,
                    Term::Related,
                    Term::L4Proto(&[ICMP, ICMPV6]),
                    Term::Count(Counter::OwnAnswers),
                    Term::Accept,
                ],
                comment,
            ),
        ]
    }

    fn fated(&self, fate: Fate) -> Term {
        holds(self.fate.write_fate(fate))
    }

    fn fate_rules(&self) -> Vec<Rule> {
        let pass = holds(self.fate.write(Fate::Pass, self.generation));
        let mut rules = vec![
            rule(
                vec![self.fated(Fate::Drop), Term::Count(Counter::FateDropped), Term::Drop],
                "condemned: the rest is dropped here",
            ),
            rule(
                vec![
                    self.fated(Fate::Reject),
                    Term::L4Proto(&[TCP]),
                    Term::Count(Counter::FateRejected),
                    Term::RejectWithReset,
                ],
                "rejected: each side gets a reset as its next packet arrives",
            ),
            rule(
                vec![self.fated(Fate::Reject), Term::Count(Counter::FateRejected), Term::Reject],
                "rejected: port unreachable to the sender",
            ),
        ];
        if !self.flowtable.is_empty() {
            rules.push(rule(
                vec![pass.clone(), Term::Offload, Term::Count(Counter::FateOffloaded)],
                "the rest meets no chain until it pauses or ends",
            ));
        }
        rules.push(rule(vec![pass, Term::Count(Counter::FatePassed), Term::Accept], self.cleared_by()));
        rules
    }

    /// The rules in force, as the next start reads them ([`rules_in_comment`]).
    fn cleared_by(&self) -> String {
        let GateTable { generation, rules_hash, .. } = self;
        format!("{CLEARED_BY}{generation} of the rules{HASH_BEGINS}{rules_hash:016x})")
    }

    fn queue_rules(&self, mode: QueueMode, balance: Balance) -> Vec<Rule> {
        let queues = self.queues;
        let mut rules = Vec::new();
        if mode == QueueMode::NftQueue && balance == Balance::Connection && queues.count > 1 {
            for (family, protocols) in [(Family::Ipv4, WITH_PORTS_V4), (Family::Ipv6, WITH_PORTS_V6)] {
                rules.push(rule(
                    vec![Term::L4Proto(protocols), Term::QueueByConnection { family, ports: true, queues }],
                    "both directions of a connection, and ICMP errors about it, to one queue",
                ));
            }
            for family in Family::BOTH {
                rules.push(rule(
                    vec![Term::QueueByConnection { family, ports: false, queues }],
                    "tracked protocols without ports",
                ));
            }
        }
        rules.push(rule(
            vec![Term::QueueByAddresses { mode, queues }],
            if rules.is_empty() { "by address pair" } else { "untracked and invalid packets are inspected too" },
        ));
        rules
    }
}

/// The entry holds what `write` would write.
fn holds(write: ConntrackWrite) -> Term {
    match (write.mark, write.labels) {
        (_, Some((value, mask))) => Term::CtLabels { mask, value },
        (mark, None) => {
            let (value, mask) = mark.unwrap_or_default();
            Term::CtMark { mask, value }
        }
    }
}

fn only_once(hook: BaseHook) -> Vec<Rule> {
    if hook == BaseHook::Output {
        vec![rule(vec![Term::ToLoopback, Term::Accept], "loopback is inspected once, at input")]
    } else {
        Vec::new()
    }
}

fn rule(terms: Vec<Term>, comment: impl Into<Cow<'static, str>>) -> Rule {
    Rule { terms, comment: comment.into() }
}

/// Generation and hash out of the comment that a table's rule for cleared connections has.
pub fn rules_in_comment(comment: &str) -> Option<(u64, u64)> {
    let (generation, hash) = comment.strip_prefix(CLEARED_BY)?.split_once(" of the rules")?;
    let hash = hash.strip_prefix(HASH_BEGINS)?.strip_suffix(')')?;
    Some((generation.parse().ok()?, u64::from_str_radix(hash, 16).ok()?))
}
