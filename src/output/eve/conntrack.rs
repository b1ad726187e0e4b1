//! The object `conntrack`: the kernel's view of the connection, so that NAT never hides a host.

use serde::Serialize;

use super::Context;
use crate::output::text::{Address, Protocol};
use crate::packet::conntrack::{Conntrack, CtStatus, Tuple};
use crate::packet::ingress::Timestamp;

#[derive(Serialize)]
pub struct ConntrackObject {
    /// As `conntrack -o id` prints it. Provisional while `status` lacks `confirmed`.
    id: u32,
    zone: u16,
    mark: u32,
    status: Vec<&'static str>,
    /// The TCP state after this packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    orig: TupleObject,
    reply: TupleObject,
    /// `none`, `snat`, `dnat` or `both`. Source NAT of a first packet happens behind our hook: not known yet.
    nat: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    /// The connection that expected this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    master: Option<TupleObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
}

impl ConntrackObject {
    pub fn of(entry: &Conntrack, context: &mut Context) -> ConntrackObject {
        ConntrackObject {
            id: entry.id.0,
            zone: entry.zone,
            mark: entry.mark,
            status: status_names(entry.status),
            state: entry.tcp.map(|tcp| tcp.state.name()),
            orig: TupleObject::of(&entry.orig),
            reply: TupleObject::of(&entry.reply),
            nat: nat(entry),
            helper: entry.helper.map(|helper| helper.as_str().to_owned()),
            master: entry.master.as_ref().map(TupleObject::of),
            start: entry.start_ns.map(|ns| context.clock.iso(Timestamp::from_micros(ns / 1000))),
        }
    }
}

/// One direction: for ICMP the kernel's identifier, type and code stand in place of ports.
#[derive(Serialize)]
struct TupleObject {
    src_ip: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    proto: Protocol,
}

impl TupleObject {
    fn of(tuple: &Tuple) -> TupleObject {
        let protocol = Protocol(tuple.protocol);
        let ports = !protocol.is_icmp() && (tuple.src_port, tuple.dst_port) != (0, 0);
        let [icmp_type, icmp_code] = tuple.dst_port.to_be_bytes();
        TupleObject {
            src_ip: Address(tuple.src),
            src_port: ports.then_some(tuple.src_port),
            dest_ip: Address(tuple.dst),
            dest_port: ports.then_some(tuple.dst_port),
            icmp_id: protocol.is_icmp().then_some(tuple.src_port),
            icmp_type: protocol.is_icmp().then_some(icmp_type),
            icmp_code: protocol.is_icmp().then_some(icmp_code),
            proto: protocol,
        }
    }
}

/// The kernel's bits, or what the tuples show: the bits say what was set up, even where it changes nothing.
fn nat(entry: &Conntrack) -> &'static str {
    let ports = !Protocol(entry.orig.protocol).is_icmp();
    let (orig, reply) = (&entry.orig, &entry.reply);
    let snat = orig.src != reply.dst || ports && orig.src_port != reply.dst_port;
    let dnat = orig.dst != reply.src || ports && orig.dst_port != reply.src_port;
    match (snat || entry.status.has(CtStatus::SRC_NAT), dnat || entry.status.has(CtStatus::DST_NAT)) {
        (false, false) => "none",
        (true, false) => "snat",
        (false, true) => "dnat",
        (true, true) => "both",
    }
}

fn status_names(status: CtStatus) -> Vec<&'static str> {
    STATUS_NAMES.iter().filter(|(bit, _)| status.has(*bit)).map(|(_, name)| *name).collect()
}

/// `enum ip_conntrack_status`, without the words that only matter inside the kernel's NAT set-up.
const STATUS_NAMES: [(u32, &str); 12] = [
    (CtStatus::EXPECTED, "expected"),
    (CtStatus::SEEN_REPLY, "seen_reply"),
    (CtStatus::ASSURED, "assured"),
    (CtStatus::CONFIRMED, "confirmed"),
    (CtStatus::SRC_NAT, "src_nat"),
    (CtStatus::DST_NAT, "dst_nat"),
    (0x40, "seq_adjust"),
    (CtStatus::DYING, "dying"),
    (0x400, "fixed_timeout"),
    (0x2000, "helper"),
    (CtStatus::OFFLOAD, "offload"),
    (0x8000, "hw_offload"),
];
