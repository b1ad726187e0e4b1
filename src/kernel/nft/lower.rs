//! The model as netlink messages. What the `nftnl` crate can say it says; the expressions that it lacks (queue, target,
//! hash, conntrack keys with a direction, counter references) implement its `Expression` trait over libnftnl.
#![allow(unsafe_code)] // libnftnl's constructors; every block says why it is sound

use super::model::{Base, BaseHook, Chain, Counter, FLOWTABLE, Family, MARKER, Rule, Side, TABLE, Term};
use super::transaction::Transaction;
use super::{GateTable, QueueMode, Queues};
use crate::kernel::netlink::wire::NLM_F_CREATE;
use crate::packet::conntrack::Labels;
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, Expression, IcmpCode, Ipv4HeaderField, Ipv6HeaderField, Lookup, Meta,
    NetworkHeaderField, Payload, RejectionType, States, TransportHeaderField, Verdict,
};
use nftnl::nftnl_sys as sys;
use nftnl::set::{Set, SetKey};
use nftnl::{MsgType, ProtoFamily};
use std::ffi::{CStr, CString};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;

pub const NFT_MSG_NEWTABLE: u16 = 0;
pub const NFT_MSG_DELTABLE: u16 = 2;
pub const NFT_MSG_DELRULE: u16 = 8;
pub const NFT_MSG_NEWOBJ: u16 = 18;
pub const NFT_OBJECT_COUNTER: u32 = 1;
pub const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_USERDATA: u16 = 6;
pub const NFTA_OBJ_TABLE: u16 = 1;
pub const NFTA_OBJ_NAME: u16 = 2;
pub const NFTA_OBJ_TYPE: u16 = 3;
pub const NFTA_OBJ_DATA: u16 = 4;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFT_SET_TIMEOUT: u32 = 0x10;
const NFT_MSG_NEWFLOWTABLE: u16 = 22;
const NFTA_FLOWTABLE_TABLE: u16 = 1;
const NFTA_FLOWTABLE_NAME: u16 = 2;
const NFTA_FLOWTABLE_HOOK: u16 = 3;
const NFTA_FLOWTABLE_HOOK_NUM: u16 = 1;
const NFTA_FLOWTABLE_HOOK_PRIORITY: u16 = 2;
const NFTA_FLOWTABLE_HOOK_DEVS: u16 = 3;
const NFTA_FLOWTABLE_FLAGS: u16 = 7;
const NFTA_DEVICE_NAME: u16 = 1;
const NF_NETDEV_INGRESS: u32 = 0;
const NFT_FLOWTABLE_COUNTER: u32 = 2;
/// What a refusal of the flowtable is about.
pub const FLOWTABLE_STEP: &str = "the flowtable";

/// `NFT_REG_1` and `NFT_REG_2`: 16 bytes each. From 8 on registers are numbered in words, of which `REG_2` has 12 to 15.
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const REG_2_WORD: u32 = 12;
const NFT_HASH_JENKINS: u32 = 0;
const TCP_RST: u8 = 0x04;
const LOOPBACK_IFINDEX: u32 = 1;

/// `NFQUEUE` of revision 3, `struct xt_NFQ_info_v3`: queue, total and flags in host order, padded to XT_ALIGN.
const XT_NFQUEUE_REVISION: u32 = 3;
const NFQ_FLAG_BYPASS: u16 = 1;

/// The libnftnl objects that messages refer to by name while a transaction is written.
pub struct Scope {
    table: nftnl::Table,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope::named(TABLE, ProtoFamily::Inet)
    }
}

impl Scope {
    /// For another table than that of the gate.
    pub fn named(table: &str, family: ProtoFamily) -> Scope {
        Scope { table: nftnl::Table::new(c_string(table), family) }
    }

    /// The table with the comment that marks it as ours. No error if it exists.
    pub fn add_table(&self, transaction: &mut Transaction) {
        let name = self.table.get_name();
        transaction.add(&self.describe(), NFT_MSG_NEWTABLE, NLM_F_CREATE, |message| {
            message.attr(NFTA_TABLE_NAME, name.to_bytes_with_nul());
            // Wakes a table that somebody put to sleep (`flags dormant`).
            message.attr_be32(NFTA_TABLE_FLAGS, 0);
            message.attr(NFTA_TABLE_USERDATA, &comment(MARKER));
        });
    }

    pub fn delete_table(&self, transaction: &mut Transaction) {
        let name = self.table.get_name();
        transaction.add(&format!("the removal of {}", self.describe()), NFT_MSG_DELTABLE, 0, |message| {
            message.attr(NFTA_TABLE_NAME, name.to_bytes_with_nul());
        });
    }

    fn describe(&self) -> String {
        let family = if self.table.get_family() == ProtoFamily::Bridge { "bridge" } else { "inet" };
        format!("the table {family} {}", self.table.get_name().to_string_lossy())
    }

    /// Named counters and block sets. Those that exist keep their values and elements.
    pub fn add_objects(&self, transaction: &mut Transaction, table: &GateTable) {
        for counter in Counter::ALL {
            let step = format!("the counter {}", counter.name());
            transaction.add(&step, NFT_MSG_NEWOBJ, NLM_F_CREATE, |message| {
                message.attr(NFTA_OBJ_TABLE, self.table.get_name().to_bytes_with_nul());
                message.attr(NFTA_OBJ_NAME, c_string(counter.name()).to_bytes_with_nul());
                message.attr_be32(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
                let data = message.begin_nested(NFTA_OBJ_DATA);
                message.end_nested(data);
            });
        }
        let block4: Set<'_, Ipv4Addr> = self.block_set(Family::Ipv4, table.block_count_max);
        let block6: Set<'_, Ipv6Addr> = self.block_set(Family::Ipv6, table.block_count_max);
        transaction.add_object("the set block4", &block4, MsgType::Add);
        transaction.add_object("the set block6", &block6, MsgType::Add);
    }

    /// The flowtable at the ingress of its devices. One that exists gets the devices that it lacks.
    pub fn add_flowtable(&self, transaction: &mut Transaction, devices: &[String]) {
        transaction.add(FLOWTABLE_STEP, NFT_MSG_NEWFLOWTABLE, NLM_F_CREATE, |message| {
            message.attr(NFTA_FLOWTABLE_TABLE, self.table.get_name().to_bytes_with_nul());
            message.attr(NFTA_FLOWTABLE_NAME, c_string(FLOWTABLE).to_bytes_with_nul());
            let hook = message.begin_nested(NFTA_FLOWTABLE_HOOK);
            message.attr_be32(NFTA_FLOWTABLE_HOOK_NUM, NF_NETDEV_INGRESS);
            message.attr_be32(NFTA_FLOWTABLE_HOOK_PRIORITY, 0);
            let list = message.begin_nested(NFTA_FLOWTABLE_HOOK_DEVS);
            for device in devices {
                message.attr(NFTA_DEVICE_NAME, c_string(device).to_bytes_with_nul());
            }
            message.end_nested(list);
            message.end_nested(hook);
            // So that conntrack's counters, and the account at the end, have what went this way.
            message.attr_be32(NFTA_FLOWTABLE_FLAGS, NFT_FLOWTABLE_COUNTER);
        });
    }

    fn block_set<K: SetKey>(&self, family: Family, size: u32) -> Set<'_, K> {
        let set = Set::new_named(&c_string(family.block_set()), block_set_id(family), &self.table, ProtoFamily::Inet);
        // SAFETY: the pointer is the set's own, alive while `set` is; these attributes are u32 in libnftnl.
        unsafe {
            sys::nftnl_set_set_u32(set.as_ptr().as_ptr(), sys::NFTNL_SET_FLAGS as u16, NFT_SET_TIMEOUT);
            sys::nftnl_set_set_u32(set.as_ptr().as_ptr(), sys::NFTNL_SET_DESC_SIZE as u16, size);
        }
        set
    }

    /// The chain itself. An existing base chain must have the same hook and priority, else the kernel refuses.
    pub fn add_chain(&self, transaction: &mut Transaction, chain: &Chain) {
        transaction.add_object(&format!("the chain {}", chain.name), &self.chain(chain), MsgType::Add);
    }

    /// Takes all rules out of a chain and leaves the chain.
    pub fn flush_chain(&self, transaction: &mut Transaction, chain: &str) {
        let name = c_string(chain);
        transaction.add(&format!("flush chain {chain}"), NFT_MSG_DELRULE, 0, |message| {
            message.attr(NFTA_RULE_TABLE, self.table.get_name().to_bytes_with_nul());
            message.attr(NFTA_RULE_CHAIN, name.to_bytes_with_nul());
        });
    }

    pub fn add_rules(&self, transaction: &mut Transaction, chain: &Chain) {
        let object = self.chain(chain);
        for rule in &chain.rules {
            self.add_rule(transaction, &object, rule);
        }
    }

    fn add_rule(&self, transaction: &mut Transaction, chain: &nftnl::Chain<'_>, rule: &Rule) {
        let mut lowered = nftnl::Rule::new(chain);
        for term in &rule.terms {
            self.lower_term(transaction, &mut lowered, term);
        }
        if !rule.comment.is_empty() {
            // Too long a comment is not worth a failure; a unit test holds the length.
            let _ = lowered.set_comment(c_string(&rule.comment));
        }
        transaction.add_object(&format!("the rule `{rule}`"), &lowered, MsgType::Add);
    }

    fn chain(&self, chain: &Chain) -> nftnl::Chain<'_> {
        let mut object = nftnl::Chain::new(c_string(chain.name), &self.table);
        if let Some(Base { hook, priority, .. }) = chain.base {
            object.set_type(nftnl::ChainType::Filter);
            object.set_hook(lower_hook(hook), priority);
            object.set_policy(nftnl::Policy::Accept);
        }
        object
    }

    fn lower_term(&self, transaction: &mut Transaction, rule: &mut nftnl::Rule<'_>, term: &Term) {
        match *term {
            Term::CtMark { mask, value } => {
                rule.add_expr(&Conntrack::Mark { set: false });
                rule.add_expr(&Bitwise::new(mask, 0u32));
                rule.add_expr(&Cmp::new(CmpOp::Eq, value));
            }
            Term::CtLabels { mask, value } => {
                rule.add_expr(&CtLabel { store: false });
                rule.add_expr(&LabelBitwise { mask });
                rule.add_expr(&LabelCmp { value });
            }
            Term::L4Proto(protocols) => self.lower_protocols(transaction, rule, protocols),
            Term::Blocked(family, side) => self.lower_blocked(rule, family, side),
            Term::Related => {
                rule.add_expr(&Conntrack::State);
                rule.add_expr(&Bitwise::new(States::RELATED.bits(), 0u32));
                rule.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
            }
            Term::TcpReset => {
                rule.add_expr(&Meta::L4Proto);
                rule.add_expr(&Cmp::new(CmpOp::Eq, libc::IPPROTO_TCP as u8));
                // The crate calls these bits and hands them on as bytes.
                rule.add_expr(&Payload::Transport(TransportHeaderField::Raw { offset_bits: 13, length_bits: 1 }));
                rule.add_expr(&Bitwise::new(TCP_RST, 0u8));
                rule.add_expr(&Cmp::new(CmpOp::Eq, TCP_RST));
            }
            Term::ToLoopback => {
                rule.add_expr(&Meta::Oif);
                rule.add_expr(&Cmp::new(CmpOp::Eq, LOOPBACK_IFINDEX));
            }
            Term::Count(counter) => rule.add_expr(&CounterRef(counter)),
            Term::Offload => rule.add_expr(&FlowOffload),
            Term::Drop => rule.add_expr(&Verdict::Drop),
            Term::Accept => rule.add_expr(&Verdict::Accept),
            Term::Jump(chain) => rule.add_expr(&Verdict::Jump { chain: c_string(chain) }),
            Term::RejectWithReset => rule.add_expr(&Verdict::Reject(RejectionType::TcpRst)),
            Term::Reject => rule.add_expr(&Verdict::Reject(RejectionType::Icmp(IcmpCode::PortUnreach))),
            Term::SetLabels => {
                rule.add_expr(&CtLabel { store: false });
                rule.add_expr(&CtLabel { store: true });
            }
            Term::QueueByConnection { family, ports, queues } => lower_queue_hash(rule, family, ports, queues),
            Term::QueueByAddresses { mode: QueueMode::NftQueue, queues } => rule.add_expr(&Queue::Range(queues)),
            Term::QueueByAddresses { mode: QueueMode::XtTarget, queues } => rule.add_expr(&XtQueue(queues)),
        }
    }

    fn lower_protocols(&self, transaction: &mut Transaction, rule: &mut nftnl::Rule<'_>, protocols: &[u8]) {
        rule.add_expr(&Meta::L4Proto);
        if let [protocol] = protocols {
            rule.add_expr(&Cmp::new(CmpOp::Eq, *protocol));
            return;
        }
        let id = transaction.next_set_id();
        let mut set = Set::new(c"__set%d", id, &self.table, ProtoFamily::Inet);
        for protocol in protocols {
            set.add(&Protocol(*protocol));
        }
        transaction.add_object("a set of protocols", &set, MsgType::Add);
        for elements in set.elems_iter() {
            transaction.add_object("the elements of a set of protocols", &elements, MsgType::Add);
        }
        rule.add_expr(&Lookup::new(&set));
    }

    fn lower_blocked(&self, rule: &mut nftnl::Rule<'_>, family: Family, side: Side) {
        rule.add_expr(&Meta::NfProto);
        match family {
            Family::Ipv4 => {
                rule.add_expr(&Cmp::new(CmpOp::Eq, libc::NFPROTO_IPV4 as u8));
                let field = match side {
                    Side::Source => Ipv4HeaderField::Saddr,
                    Side::Destination => Ipv4HeaderField::Daddr,
                };
                rule.add_expr(&Payload::Network(NetworkHeaderField::Ipv4(field)));
                rule.add_expr(&Lookup::new(&self.block_set::<Ipv4Addr>(family, 0)));
            }
            Family::Ipv6 => {
                rule.add_expr(&Cmp::new(CmpOp::Eq, libc::NFPROTO_IPV6 as u8));
                let field = match side {
                    Side::Source => Ipv6HeaderField::Saddr,
                    Side::Destination => Ipv6HeaderField::Daddr,
                };
                rule.add_expr(&Payload::Network(NetworkHeaderField::Ipv6(field)));
                rule.add_expr(&Lookup::new(&self.block_set::<Ipv6Addr>(family, 0)));
            }
        }
    }
}

fn lower_hook(hook: BaseHook) -> nftnl::Hook {
    match hook {
        BaseHook::Prerouting => nftnl::Hook::PreRouting,
        BaseHook::Input => nftnl::Hook::In,
        BaseHook::Forward => nftnl::Hook::Forward,
        BaseHook::Output => nftnl::Hook::Out,
    }
}

/// Ids within a transaction: the named sets have these, anonymous ones follow.
fn block_set_id(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    }
}

/// The original tuple into the words of register 2 on, one behind the other, then `jhash` of them into register 1.
fn lower_queue_hash(rule: &mut nftnl::Rule<'_>, family: Family, ports: bool, queues: Queues) {
    let (source, destination, address_words) = match family {
        Family::Ipv4 => (libc::NFT_CT_SRC_IP, libc::NFT_CT_DST_IP, 1),
        Family::Ipv6 => (libc::NFT_CT_SRC_IP6, libc::NFT_CT_DST_IP6, 4),
    };
    rule.add_expr(&CtOriginal { key: source as u32, register: REG_2 });
    rule.add_expr(&CtOriginal { key: destination as u32, register: REG_2_WORD + address_words });
    let mut words = 2 * address_words;
    if ports {
        rule.add_expr(&CtOriginal { key: libc::NFT_CT_PROTO_SRC as u32, register: REG_2_WORD + words });
        rule.add_expr(&CtOriginal { key: libc::NFT_CT_PROTO_DST as u32, register: REG_2_WORD + words + 1 });
        words += 2;
    }
    rule.add_expr(&Jhash { bytes: words * 4, modulus: queues.count.into(), offset: queues.first.into() });
    rule.add_expr(&Queue::Register(REG_1));
}

/// `inet_proto` as a set key (nft's datatype number 12).
struct Protocol(u8);

impl SetKey for Protocol {
    const TYPE: u32 = 12;
    const LEN: u32 = 1;

    fn data(&self) -> Box<[u8]> {
        Box::new([self.0])
    }
}

/// `ct original KEY` into a register.
struct CtOriginal {
    key: u32,
    register: u32,
}

impl Expression for CtOriginal {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        Raw::new(c"ct")
            .u32(sys::NFTNL_EXPR_CT_DREG, self.register)
            .u32(sys::NFTNL_EXPR_CT_KEY, self.key)
            .u8(sys::NFTNL_EXPR_CT_DIR, 0)
            .done()
    }
}

/// `ct label` into register 1, or from it.
struct CtLabel {
    store: bool,
}

impl Expression for CtLabel {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        let register = if self.store { sys::NFTNL_EXPR_CT_SREG } else { sys::NFTNL_EXPR_CT_DREG };
        Raw::new(c"ct").u32(register, REG_1).u32(sys::NFTNL_EXPR_CT_KEY, libc::NFT_CT_LABELS as u32).done()
    }
}

/// Register 1, 16 bytes of it, with all but the bits of `mask` cleared.
struct LabelBitwise {
    mask: Labels,
}

impl Expression for LabelBitwise {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        Raw::new(c"bitwise")
            .u32(sys::NFTNL_EXPR_BITWISE_SREG, REG_1)
            .u32(sys::NFTNL_EXPR_BITWISE_DREG, REG_1)
            .u32(sys::NFTNL_EXPR_BITWISE_LEN, self.mask.0.len() as u32)
            .copied(sys::NFTNL_EXPR_BITWISE_MASK, &self.mask.0)
            .copied(sys::NFTNL_EXPR_BITWISE_XOR, &Labels::default().0)
            .done()
    }
}

/// Register 1 is `value`.
struct LabelCmp {
    value: Labels,
}

impl Expression for LabelCmp {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        Raw::new(c"cmp")
            .u32(sys::NFTNL_EXPR_CMP_SREG, REG_1)
            .u32(sys::NFTNL_EXPR_CMP_OP, libc::NFT_CMP_EQ as u32)
            .copied(sys::NFTNL_EXPR_CMP_DATA, &self.value.0)
            .done()
    }
}

/// `jhash` over `bytes` from register 2 on, into register 1. Without a seed the kernel draws one.
struct Jhash {
    bytes: u32,
    modulus: u32,
    offset: u32,
}

impl Expression for Jhash {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        Raw::new(c"hash")
            .u32(sys::NFTNL_EXPR_HASH_SREG, REG_2)
            .u32(sys::NFTNL_EXPR_HASH_DREG, REG_1)
            .u32(sys::NFTNL_EXPR_HASH_LEN, self.bytes)
            .u32(sys::NFTNL_EXPR_HASH_MODULUS, self.modulus)
            .u32(sys::NFTNL_EXPR_HASH_OFFSET, self.offset)
            .u32(sys::NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS)
            .done()
    }
}

/// nftables' own `queue`, always with bypass.
enum Queue {
    Range(Queues),
    Register(u32),
}

impl Expression for Queue {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        let expr = Raw::new(c"queue").u16(sys::NFTNL_EXPR_QUEUE_FLAGS, libc::NFT_QUEUE_FLAG_BYPASS as u16);
        match *self {
            Queue::Register(register) => expr.u32(sys::NFTNL_EXPR_QUEUE_SREG_QNUM, register),
            Queue::Range(queues) => {
                expr.u16(sys::NFTNL_EXPR_QUEUE_NUM, queues.first).u16(sys::NFTNL_EXPR_QUEUE_TOTAL, queues.count)
            }
        }
        .done()
    }
}

/// xtables' `NFQUEUE` through nft_compat, always with bypass.
struct XtQueue(Queues);

impl Expression for XtQueue {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        let mut info = [0u8; 8];
        for (slot, value) in info.chunks_exact_mut(2).zip([self.0.first, self.0.count, NFQ_FLAG_BYPASS]) {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
        Raw::new(c"target")
            .str(sys::NFTNL_EXPR_TG_NAME, c"NFQUEUE")
            .u32(sys::NFTNL_EXPR_TG_REV, XT_NFQUEUE_REVISION)
            .owned(sys::NFTNL_EXPR_TG_INFO, &info)
            .done()
    }
}

/// `flow add @...`.
struct FlowOffload;

impl Expression for FlowOffload {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        Raw::new(c"flow_offload").str(sys::NFTNL_EXPR_FLOW_TABLE_NAME, &c_string(FLOWTABLE)).done()
    }
}

/// `counter name "..."`.
struct CounterRef(Counter);

impl Expression for CounterRef {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        Raw::new(c"objref")
            .u32(sys::NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER)
            .str(sys::NFTNL_EXPR_OBJREF_IMM_NAME, &c_string(self.0.name()))
            .done()
    }
}

/// An expression under construction. Given away by [`Raw::done`] to the rule, which frees it.
struct Raw(NonNull<sys::nftnl_expr>);

impl Raw {
    fn new(name: &CStr) -> Raw {
        // SAFETY: `name` ends with NUL; libnftnl looks the name up in its table and copies nothing from it.
        let expr = unsafe { sys::nftnl_expr_alloc(name.as_ptr()) };
        // As the nftnl crate does: a few bytes that cannot be had are the end. Its names are fixed, so known to libnftnl.
        Raw(NonNull::new(expr).unwrap_or_else(|| std::process::abort()))
    }

    fn u8(self, attribute: u32, value: u8) -> Raw {
        // SAFETY: the expression is alive and ours, and the attribute is one of 8 bits.
        unsafe { sys::nftnl_expr_set_u8(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    fn u16(self, attribute: u32, value: u16) -> Raw {
        // SAFETY: the expression is alive and ours, and the attribute is one of 16 bits.
        unsafe { sys::nftnl_expr_set_u16(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    fn u32(self, attribute: u32, value: u32) -> Raw {
        // SAFETY: the expression is alive and ours, and the attribute is one of 32 bits.
        unsafe { sys::nftnl_expr_set_u32(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    fn str(self, attribute: u32, value: &CStr) -> Raw {
        // SAFETY: the expression is alive and ours; `value` ends with NUL and libnftnl copies it.
        unsafe { sys::nftnl_expr_set_str(self.0.as_ptr(), attribute as u16, value.as_ptr()) };
        self
    }

    fn copied(self, attribute: u32, value: &[u8]) -> Raw {
        // SAFETY: the expression is alive and ours; libnftnl copies `value.len()` bytes of these attributes.
        unsafe {
            sys::nftnl_expr_set(self.0.as_ptr(), attribute as u16, value.as_ptr().cast(), value.len() as u32);
        }
        self
    }

    /// For the attribute whose memory libnftnl keeps and frees (`NFTNL_EXPR_TG_INFO`).
    fn owned(self, attribute: u32, value: &[u8]) -> Raw {
        // SAFETY: malloc(3) takes a size; the result is checked before use.
        let memory = unsafe { libc::malloc(value.len()) };
        let Some(memory) = NonNull::new(memory) else { std::process::abort() };
        // SAFETY: `memory` has `value.len()` fresh bytes, so the two do not overlap; libnftnl takes it over and frees it
        // with free(3), of which it was got by malloc(3).
        unsafe {
            memory.cast::<u8>().as_ptr().copy_from_nonoverlapping(value.as_ptr(), value.len());
            sys::nftnl_expr_set(self.0.as_ptr(), attribute as u16, memory.as_ptr(), value.len() as u32);
        }
        self
    }

    fn done(self) -> NonNull<sys::nftnl_expr> {
        self.0
    }
}

/// libnftnl's user data: type 0 is the comment, a NUL-terminated string.
fn comment(text: &str) -> Vec<u8> {
    let text = c_string(text);
    let bytes = text.to_bytes_with_nul();
    let mut data = vec![0, u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
    data.extend_from_slice(bytes);
    data
}

/// Names and comments are our own constants: none holds a NUL.
pub fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
