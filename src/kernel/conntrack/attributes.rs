//! `CTA_*` attributes, both ways. One layout serves them all: `NFQA_CT`, events, GET and dumps.
//!
//! Written by `__ctnetlink_glue_build`, `ctnetlink_conntrack_event` and `ctnetlink_fill_info`, which agree on each
//! attribute and differ in which of them they send. Pure: no socket, no panic on any bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cta;
use crate::kernel::netlink::wire::{Attr, Attrs, Builder};
use crate::packet::conntrack::{
    Conntrack, ConntrackId, Counters, CtStatus, HelperName, Labels, TcpState, TcpTrack, Tuple,
};
use crate::packet::fate::ConntrackWrite;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;

/// Reads one entry. `family` is that of the message's `nfgenmsg`: an entry whose addresses belong to the other IP
/// family is refused, any family but these two (bridge, unspecified) leaves the choice to the attributes.
///
/// `None` when a tuple is missing or broken, for an entry without tuples has no identity. Everything else is optional.
///
/// The zone is that of the original direction: `CTA_ZONE`, or `CTA_TUPLE_ZONE` of a zone that is valid for this
/// direction only. A zone of the reply direction alone leaves the original in zone 0, where lookups find it.
#[must_use]
pub fn parse_conntrack(attrs: Attrs<'_>, family: u8) -> Option<Conntrack> {
    let mut entry = Conntrack::of_tuples(0, Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
    let (mut orig, mut reply) = (None, None);
    for attr in attrs {
        match attr.kind {
            cta::TUPLE_ORIG => {
                orig = parse_tuple(attr.nested());
                if let Some(zone) = tuple_zone(attr.nested()) {
                    entry.zone = zone;
                }
            }
            cta::TUPLE_REPLY => reply = parse_tuple(attr.nested()),
            cta::ZONE => entry.zone = attr.be16()?,
            cta::ID => entry.id = ConntrackId(attr.be32()?),
            cta::STATUS => entry.status = CtStatus(attr.be32()?),
            cta::TIMEOUT => entry.timeout_s = attr.be32(),
            cta::PROTOINFO => entry.tcp = parse_tcp(attr),
            cta::COUNTERS_ORIG => entry.counters_orig = parse_counters(attr.nested()),
            cta::COUNTERS_REPLY => entry.counters_reply = parse_counters(attr.nested()),
            cta::TIMESTAMP => parse_timestamp(attr.nested(), &mut entry),
            cta::MARK => entry.mark = attr.be32()?,
            cta::LABELS => entry.labels = attr.payload.first_chunk().map(|bits| Labels(*bits)),
            cta::HELP => {
                entry.helper = find(attr.nested(), cta::HELP_NAME).map(|name| HelperName::from_bytes(name.payload));
            }
            cta::TUPLE_MASTER => entry.master = parse_tuple(attr.nested()),
            _ => {}
        }
    }
    (entry.orig, entry.reply) = (orig?, reply?);
    family_agrees(entry.orig.src, family).then_some(entry)
}

/// Reads a nested tuple. `None` without both addresses, with addresses of two families, or without a protocol.
#[must_use]
pub fn parse_tuple(attrs: Attrs<'_>) -> Option<Tuple> {
    let (mut addresses, mut ports) = (None, None);
    for attr in attrs {
        match attr.kind {
            cta::TUPLE_IP => addresses = parse_addresses(attr.nested()),
            cta::TUPLE_PROTO => ports = parse_ports(attr.nested()),
            _ => {}
        }
    }
    let ((src, dst), (protocol, src_port, dst_port)) = (addresses?, ports?);
    Some(Tuple { src, dst, protocol, src_port, dst_port })
}

/// Writes a tuple as nested attribute `kind` (`CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`).
pub fn put_tuple(builder: &mut Builder, kind: u16, tuple: &Tuple) {
    let nest = builder.begin_nested(kind);
    put_addresses(builder, tuple);
    put_ports(builder, tuple);
    builder.end_nested(nest);
}

/// Writes `CTA_ZONE` unless it is the default zone, which the kernel assumes.
pub fn put_zone(builder: &mut Builder, zone: u16) {
    if zone != 0 {
        builder.attr_be16(cta::ZONE, zone);
    }
}

/// Writes `CTA_MARK` and always `CTA_MARK_MASK`: the kernel computes `(old & ~mask) ^ mark`, and without a mask it
/// replaces the bits of everybody else. Bits of `mark` outside of `mask` are cleared here, for they would flip theirs.
pub fn put_mark(builder: &mut Builder, mark: u32, mask: u32) {
    builder.attr_be32(cta::MARK, mark & mask);
    builder.attr_be32(cta::MARK_MASK, mask);
}

/// Writes `CTA_LABELS` and `CTA_LABELS_MASK`, with the same arithmetic as [`put_mark`] (`nf_connlabels_replace`).
/// The kernel answers ENOSPC for an entry that was created while no rule with `ct label set` was loaded.
pub fn put_labels(builder: &mut Builder, labels: &Labels, mask: &Labels) {
    let mut bits = labels.0;
    for (byte, mask) in bits.iter_mut().zip(mask.0) {
        *byte &= mask;
    }
    builder.attr(cta::LABELS, &bits);
    builder.attr(cta::LABELS_MASK, &mask.0);
}

/// Writes what is to change, in the order in which the kernel does it: labels, then the mark.
pub fn put_write(builder: &mut Builder, write: &ConntrackWrite) {
    if let Some((labels, mask)) = &write.labels {
        put_labels(builder, labels, mask);
    }
    if let Some((mark, mask)) = write.mark {
        put_mark(builder, mark, mask);
    }
}

/// The `nfgenmsg` family of a tuple: AF_INET or AF_INET6.
#[must_use]
pub fn family_of(tuple: &Tuple) -> u8 {
    if tuple.src.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn put_addresses(builder: &mut Builder, tuple: &Tuple) {
    let nest = builder.begin_nested(cta::TUPLE_IP);
    match (tuple.src, tuple.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            builder.attr(cta::IP_V4_SRC, &src.octets());
            builder.attr(cta::IP_V4_DST, &dst.octets());
        }
        (src, dst) => {
            builder.attr(cta::IP_V6_SRC, &as_v6(src).octets());
            builder.attr(cta::IP_V6_DST, &as_v6(dst).octets());
        }
    }
    builder.end_nested(nest);
}

fn put_ports(builder: &mut Builder, tuple: &Tuple) {
    let nest = builder.begin_nested(cta::TUPLE_PROTO);
    builder.attr_u8(cta::PROTO_NUM, tuple.protocol);
    let [kind, code] = tuple.dst_port.to_be_bytes();
    match tuple.protocol {
        IPPROTO_ICMP => {
            builder.attr_be16(cta::PROTO_ICMP_ID, tuple.src_port);
            builder.attr_u8(cta::PROTO_ICMP_TYPE, kind);
            builder.attr_u8(cta::PROTO_ICMP_CODE, code);
        }
        IPPROTO_ICMPV6 => {
            builder.attr_be16(cta::PROTO_ICMPV6_ID, tuple.src_port);
            builder.attr_u8(cta::PROTO_ICMPV6_TYPE, kind);
            builder.attr_u8(cta::PROTO_ICMPV6_CODE, code);
        }
        _ => {
            builder.attr_be16(cta::PROTO_SRC_PORT, tuple.src_port);
            builder.attr_be16(cta::PROTO_DST_PORT, tuple.dst_port);
        }
    }
    builder.end_nested(nest);
}

fn parse_addresses(attrs: Attrs<'_>) -> Option<(IpAddr, IpAddr)> {
    let (mut src, mut dst) = (None, None);
    for attr in attrs {
        match attr.kind {
            cta::IP_V4_SRC => src = v4(attr),
            cta::IP_V4_DST => dst = v4(attr),
            cta::IP_V6_SRC => src = v6(attr),
            cta::IP_V6_DST => dst = v6(attr),
            _ => {}
        }
    }
    let (src, dst): (IpAddr, IpAddr) = (src?, dst?);
    (src.is_ipv4() == dst.is_ipv4()).then_some((src, dst))
}

/// Protocol, source and destination port; ICMP as documented on [`Tuple`].
fn parse_ports(attrs: Attrs<'_>) -> Option<(u8, u16, u16)> {
    let (mut protocol, mut src, mut dst) = (None, 0, 0);
    for attr in attrs {
        match attr.kind {
            cta::PROTO_NUM => protocol = attr.u8(),
            cta::PROTO_SRC_PORT | cta::PROTO_ICMP_ID | cta::PROTO_ICMPV6_ID => src = attr.be16()?,
            cta::PROTO_DST_PORT => dst = attr.be16()?,
            cta::PROTO_ICMP_TYPE | cta::PROTO_ICMPV6_TYPE => dst = u16::from_be_bytes([attr.u8()?, low_byte(dst)]),
            cta::PROTO_ICMP_CODE | cta::PROTO_ICMPV6_CODE => dst = (dst & 0xff00) | u16::from(attr.u8()?),
            _ => {}
        }
    }
    Some((protocol?, src, dst))
}

fn parse_tcp(protoinfo: Attr<'_>) -> Option<TcpTrack> {
    let tcp = find(protoinfo.nested(), cta::PROTOINFO_TCP)?;
    let mut state = None;
    let (mut wscale_orig, mut wscale_reply, mut flags_orig, mut flags_reply) = (0, 0, 0, 0);
    for attr in tcp.nested() {
        match attr.kind {
            cta::TCP_STATE => state = TcpState::from_kernel(attr.u8()?),
            cta::TCP_WSCALE_ORIG => wscale_orig = attr.u8()?,
            cta::TCP_WSCALE_REPLY => wscale_reply = attr.u8()?,
            cta::TCP_FLAGS_ORIG => flags_orig = attr.u8()?,
            cta::TCP_FLAGS_REPLY => flags_reply = attr.u8()?,
            _ => {}
        }
    }
    Some(TcpTrack { state: state?, wscale_orig, wscale_reply, flags_orig, flags_reply })
}

fn parse_counters(attrs: Attrs<'_>) -> Option<Counters> {
    let packets = find(attrs.clone(), cta::COUNTERS_PACKETS)?.be64()?;
    Some(Counters { packets, bytes: find(attrs, cta::COUNTERS_BYTES)?.be64()? })
}

/// The start stands as 0 while the entry is unconfirmed.
fn parse_timestamp(attrs: Attrs<'_>, entry: &mut Conntrack) {
    let nanoseconds = |kind| find(attrs.clone(), kind).and_then(|attr| attr.be64()).filter(|time| *time != 0);
    entry.start_ns = nanoseconds(cta::TIMESTAMP_START);
    entry.stop_ns = nanoseconds(cta::TIMESTAMP_STOP);
}

fn tuple_zone(attrs: Attrs<'_>) -> Option<u16> {
    find(attrs, cta::TUPLE_ZONE)?.be16()
}

fn find(mut attrs: Attrs<'_>, kind: u16) -> Option<Attr<'_>> {
    attrs.find(|attr| attr.kind == kind)
}

fn v4(attr: Attr<'_>) -> Option<IpAddr> {
    attr.payload.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into())
}

fn v6(attr: Attr<'_>) -> Option<IpAddr> {
    attr.payload.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into())
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn family_agrees(address: IpAddr, family: u8) -> bool {
    match family {
        AF_INET => address.is_ipv4(),
        AF_INET6 => address.is_ipv6(),
        _ => true,
    }
}

fn low_byte(value: u16) -> u8 {
    value.to_be_bytes()[1]
}

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
