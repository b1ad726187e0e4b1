//! What the kernel has now: our table, where it stands, what it counted.

use super::error::NftError;
use super::expressions::{self, Queueing, RuleFacts};
use super::lower::{
    NFT_OBJECT_COUNTER, NFTA_OBJ_DATA, NFTA_OBJ_NAME, NFTA_OBJ_TABLE, NFTA_OBJ_TYPE, NFTA_TABLE_NAME, c_string,
};
use super::model::{self, Base, BaseHook, Counter, GATE, MARKER, Role, TABLE};
use super::transaction::{Control, NFPROTO_INET};
use super::{QueueMode, Queues};
use crate::kernel::netlink::wire::{Attr, Attrs, NLM_F_ACK, NLM_F_REQUEST, NfGen};
use crate::packet::conntrack::{FateMask, Labels};
use crate::packet::fate::{FateLabels, FateStore};
use std::fmt::{self, Display, Formatter};

const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_GETOBJ: u16 = 19;
const NFTA_TABLE_HANDLE: u16 = 4;
const NFTA_TABLE_USERDATA: u16 = 6;
const NFTA_TABLE_OWNER: u16 = 7;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;

const NFNL_SUBSYS_NFT_COMPAT: u16 = 11;
const NFTA_COMPAT_NAME: u16 = 1;
const NFTA_COMPAT_REV: u16 = 2;
const NFTA_COMPAT_TYPE: u16 = 3;
const COMPAT_TARGET: u32 = 1;

/// Our table as it stands in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Hook and priority of each base chain, as `forward priority 20`.
    pub hooks: Vec<String>,
    /// Where packets are queued to, and how; `None` while the queue rules are out.
    pub queueing: Option<(QueueMode, Queues)>,
    /// Where its rules look for fates; `None` in a table without fate rules.
    pub fates: Option<FateStore>,
    /// Generation and hash of the rule set that it lets cleared connections pass for.
    pub rules: Option<(u64, u64)>,
}

impl Display for Present {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "table inet {TABLE} at {}", self.hooks.join(" and "))?;
        match self.queueing {
            Some((QueueMode::NftQueue, queues)) => write!(f, ", queue {queues}"),
            Some((QueueMode::XtTarget, queues)) => write!(f, ", xtables NFQUEUE {queues}"),
            None => f.write_str(", not queueing"),
        }
    }
}

/// Packets and bytes since the table was made. A GSO super-packet counts once, as it does in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValue {
    pub packets: u64,
    pub bytes: u64,
}

/// The table's named counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reached the queue rules.
    pub offered: CounterValue,
    pub fate_dropped: CounterValue,
    pub fate_rejected: CounterValue,
    pub fate_passed: CounterValue,
    /// Packets with which the flowtable took over a cleared connection.
    pub offloaded: CounterValue,
    /// From a blocked source, so dropped.
    pub blocked: CounterValue,
    /// Resets and errors of our own reject rules.
    pub own_answers: CounterValue,
    /// Passed while the queue rules were out.
    pub aside: CounterValue,
    /// Came out behind the gate, for whatever reason.
    pub behind: CounterValue,
}

impl Counters {
    fn slot(&mut self, counter: Counter) -> &mut CounterValue {
        match counter {
            Counter::Offered => &mut self.offered,
            Counter::FateDropped => &mut self.fate_dropped,
            Counter::FateRejected => &mut self.fate_rejected,
            Counter::FatePassed => &mut self.fate_passed,
            Counter::FateOffloaded => &mut self.offloaded,
            Counter::Blocked => &mut self.blocked,
            Counter::OwnAnswers => &mut self.own_answers,
            Counter::Aside => &mut self.aside,
            Counter::Behind => &mut self.behind,
        }
    }

    /// Packets that came out behind the gate without having been offered.
    #[must_use]
    pub fn beside(&self) -> u64 {
        [self.fate_passed, self.own_answers, self.aside]
            .iter()
            .fold(0, |sum: u64, counter| sum.saturating_add(counter.packets))
    }
}

/// Our table, or `None` if there is none. Another's table of that name is an error.
pub fn present() -> Result<Option<Present>, NftError> {
    let mut control = Control::open()?;
    let Some(bases) = base_chains_if_ours(&mut control)? else { return Ok(None) };
    let rules = gate_rules(&mut control)?;
    let gates = bases.iter().filter(|base| base.role == Role::Gate);
    Ok(Some(Present {
        hooks: gates.map(ToString::to_string).collect(),
        queueing: queueing(&rules),
        fates: fates(&rules),
        rules: rules.iter().find_map(|rule| model::rules_in_comment(rule.comment.as_deref()?)),
    }))
}

/// Reads all counters and resets none. [`NftError::Absent`] without our table.
pub fn read_counters() -> Result<Counters, NftError> {
    let mut control = Control::open()?;
    let replies = control.query("read counters", NFT_MSG_GETOBJ, NFPROTO_INET, true, |message| {
        message.attr(NFTA_OBJ_TABLE, c_string(TABLE).to_bytes_with_nul());
        message.attr_be32(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    })?;
    let mut counters = Counters::default();
    let mut found = false;
    for reply in &replies {
        let Some((counter, value)) = counter_of(reply.attributes()) else { continue };
        *counters.slot(counter) = value;
        found = true;
    }
    if found { Ok(counters) } else { Err(NftError::Absent) }
}

fn counter_of(attributes: Attrs<'_>) -> Option<(Counter, CounterValue)> {
    let mut counter = None;
    let mut value = CounterValue::default();
    let mut ours = false;
    for attr in attributes {
        match attr.kind {
            NFTA_OBJ_TABLE => ours = is_string(attr, TABLE),
            NFTA_OBJ_NAME => counter = Counter::ALL.into_iter().find(|counter| is_string(attr, counter.name())),
            NFTA_OBJ_DATA => value = counter_value(attr.nested()),
            _ => {}
        }
    }
    counter.filter(|_| ours).map(|counter| (counter, value))
}

fn counter_value(attributes: Attrs<'_>) -> CounterValue {
    let mut value = CounterValue::default();
    for attr in attributes {
        match attr.kind {
            NFTA_COUNTER_BYTES => value.bytes = attr.be64().unwrap_or(0),
            NFTA_COUNTER_PACKETS => value.packets = attr.be64().unwrap_or(0),
            _ => {}
        }
    }
    value
}

/// The kernel's number of our table, which it never gives twice in a network namespace: its counters are as old as that.
/// `None` without our table.
pub fn table_handle() -> Result<Option<u64>, NftError> {
    our_table(&mut Control::open()?)
}

/// Whether our table is there. An error when a table of its name is another's.
pub fn ours(control: &mut Control) -> Result<bool, NftError> {
    Ok(our_table(control)?.is_some())
}

fn our_table(control: &mut Control) -> Result<Option<u64>, NftError> {
    handle_of(control, NFPROTO_INET, TABLE)
}

/// The kernel's number of a table that carries our mark, `None` without such a table.
pub fn handle_of(control: &mut Control, family: u8, name: &str) -> Result<Option<u64>, NftError> {
    let replies = control.query("read our table", NFT_MSG_GETTABLE, family, false, |message| {
        message.attr(NFTA_TABLE_NAME, c_string(name).to_bytes_with_nul());
    })?;
    let Some(table) = replies.first() else { return Ok(None) };
    let named = || format!("{} {name}", super::conflicts::family_name(family));
    let mut marked = false;
    let mut handle = 0;
    for attr in table.attributes() {
        match attr.kind {
            NFTA_TABLE_OWNER => return Err(NftError::Owned { table: named(), port_id: attr.be32().unwrap_or(0) }),
            NFTA_TABLE_HANDLE => handle = attr.be64().unwrap_or(0),
            NFTA_TABLE_USERDATA => {
                marked = expressions::comment_of(attr.payload).is_some_and(|text| text.starts_with(MARKER))
            }
            _ => {}
        }
    }
    if marked { Ok(Some(handle)) } else { Err(NftError::NotOurs { table: named() }) }
}

/// The base chains of our table; `None` without it.
pub fn base_chains_if_ours(control: &mut Control) -> Result<Option<Vec<Base>>, NftError> {
    if !ours(control)? {
        return Ok(None);
    }
    let replies = control.query("read our chains", NFT_MSG_GETCHAIN, NFPROTO_INET, true, |_| {})?;
    Ok(Some(replies.iter().filter_map(|reply| base_of(reply.attributes())).collect()))
}

fn base_of(attributes: Attrs<'_>) -> Option<Base> {
    let mut ours = false;
    let mut hook = None;
    let mut priority = 0;
    let mut role = Role::Gate;
    for attr in attributes {
        match attr.kind {
            NFTA_CHAIN_NAME => role = Role::of_chain(attr.payload),
            NFTA_CHAIN_TABLE => ours = is_string(attr, TABLE),
            NFTA_CHAIN_HOOK => {
                for attr in attr.nested() {
                    match attr.kind {
                        NFTA_HOOK_HOOKNUM => hook = attr.be32().and_then(BaseHook::from_kernel),
                        NFTA_HOOK_PRIORITY => priority = attr.be32().unwrap_or(0).cast_signed(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    hook.filter(|_| ours).map(|hook| Base { hook, priority, role })
}

fn gate_rules(control: &mut Control) -> Result<Vec<RuleFacts>, NftError> {
    let replies = control.query("read our rules", NFT_MSG_GETRULE, NFPROTO_INET, true, |message| {
        message.attr(NFTA_RULE_TABLE, c_string(TABLE).to_bytes_with_nul());
        message.attr(NFTA_RULE_CHAIN, c_string(GATE).to_bytes_with_nul());
    })?;
    let rules = replies.iter().map(|reply| expressions::of_rule(reply.attributes()));
    Ok(rules.filter(|rule| rule.table == TABLE && rule.chain == GATE).collect())
}

/// The last rule names the whole range; those before it compute one of its numbers.
fn queueing(rules: &[RuleFacts]) -> Option<(QueueMode, Queues)> {
    rules.iter().filter_map(RuleFacts::queueing).fold(None, |last, queueing| match queueing {
        Queueing::Range { mode, queues } => Some((mode, queues)),
        Queueing::Computed { .. } => last,
    })
}

/// All bits that its rules look at.
fn fates(rules: &[RuleFacts]) -> Option<FateStore> {
    let labels = rules.iter().fold(Labels::default(), |labels, rule| labels | rule.labels_read);
    let mark = rules.iter().fold(0, |mark, rule| mark | rule.mark_read);
    match labels.numbers().next() {
        Some(first) => FateLabels::new(first).map(FateStore::Labels),
        None => FateMask::new(mark).map(FateStore::Mark),
    }
}

/// Has the kernel load xt_NFQUEUE. nft_compat asks for it under a name that no module has when the table is `inet`.
pub fn load_xt_target(control: &mut Control) -> Result<(), NftError> {
    let family = NfGen { family: libc::AF_INET as u8, version: 0, res_id: 0 };
    control.ask("load the NFQUEUE target", |message, seq| {
        let open = message.begin(NFNL_SUBSYS_NFT_COMPAT << 8, NLM_F_REQUEST | NLM_F_ACK, seq, family);
        message.attr(NFTA_COMPAT_NAME, b"NFQUEUE\0");
        message.attr_be32(NFTA_COMPAT_REV, 3);
        message.attr_be32(NFTA_COMPAT_TYPE, COMPAT_TARGET);
        message.end(open);
    })?;
    Ok(())
}

/// Hooks and priorities for a message.
pub fn describe(bases: &[Base]) -> String {
    let gates: Vec<_> = bases.iter().filter(|base| base.role == Role::Gate).map(ToString::to_string).collect();
    if gates.is_empty() { "no hook".to_owned() } else { gates.join(" and ") }
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} priority {}", self.hook.name(), self.priority)
    }
}

/// Whether a NUL-terminated attribute says `text`.
pub fn is_string(attr: Attr<'_>, text: &str) -> bool {
    attr.payload.strip_suffix(&[0]).unwrap_or(attr.payload) == text.as_bytes()
}
