//! Addresses, ports and header fields.

use super::{Buffers, Headers};
use crate::packet::decode::checksum::{self, Checksum};
use crate::packet::decode::igmp::{self, Igmp};
use crate::packet::decode::{Ip, Tcp, Transport};
use crate::packet::ingress::ChecksumStatus;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::odd;
use crate::rules::plan::{
    ChecksumOf, IpOption, NumberTest, PacketTest, ReputationSide, ReputationTest, Rule, Toward, VlanLayers,
};

impl<'p> Buffers<'p> {
    /// The bytes of a buffer; `None` if this packet has no such buffer, and then nothing in it can match.
    pub(super) fn bytes(&self, buffer: Buffer) -> Option<&'p [u8]> {
        let ip = &self.headers.ip;
        match (buffer, &self.headers.transport) {
            (Buffer::PAYLOAD, _) => (!self.payload.is_empty()).then_some(self.payload),
            (Buffer::ETHERNET_HEADER, _) => (!self.ethernet.is_empty()).then_some(self.ethernet),
            (Buffer::IP_SRC, _) if ip.version == 4 => ip.header.get(12..16),
            (Buffer::IP_DST, _) if ip.version == 4 => ip.header.get(16..20),
            (Buffer::IP_SRC, _) => ip.header.get(8..24),
            (Buffer::IP_DST, _) => ip.header.get(24..40),
            (Buffer::IPV4_HEADER, _) => (ip.version == 4).then_some(ip.header),
            (Buffer::IPV6_HEADER, _) => (ip.version == 6).then_some(ip.header),
            (Buffer::TCP_HEADER, Transport::Tcp(tcp)) => Some(tcp.header),
            (Buffer::UDP_HEADER, Transport::Udp(udp)) => Some(udp.header),
            (Buffer::ICMPV4_HEADER, Transport::Icmp(icmp)) => (ip.version == 4).then_some(icmp.header),
            (Buffer::IGMP_HEADER, Transport::Other) => igmp::message(self.headers),
            (Buffer::ICMPV6_HEADER, Transport::Icmp(icmp)) => (ip.version == 6).then_some(icmp.header),
            _ => None,
        }
    }
}

/// Ports first: they are one comparison.
pub(super) fn addresses_fit(rule: &Rule, headers: &Headers<'_>, toward: Option<Toward>) -> bool {
    let header = &rule.header;
    let (src_port, dst_port) = headers.ports();
    let (src, dst) = (headers.ip.src, headers.ip.dst);
    let forward = header.src_ports.contains(src_port)
        && header.dst_ports.contains(dst_port)
        && header.src.contains(src)
        && header.dst.contains(dst);
    let backward = || {
        header.both_ways
            && header.src_ports.contains(dst_port)
            && header.dst_ports.contains(src_port)
            && header.src.contains(dst)
            && header.dst.contains(src)
    };
    match (rule.spans_sides, toward) {
        (true, Some(Toward::Server)) => forward,
        (true, _) => backward(),
        (false, _) => forward || backward(),
    }
}

/// Whether the header is one of those that few packets have.
pub(super) fn is_odd(ip: &Ip<'_>) -> bool {
    ip.fragment_offset != 0
        || !odd::USUAL_FRAGMENT_FLAGS.contains(&ip.fragment_flags)
        || ip.ttl < odd::USUAL_TTL_MIN
        || ip.version == 4 && !ip.options.is_empty()
        || ip.src == ip.dst
}

/// Whether the packet has the field and it is as wanted.
pub(super) fn accepts(test: &PacketTest, buffers: &Buffers<'_>) -> bool {
    let headers = buffers.headers;
    let ip = &headers.ip;
    match *test {
        PacketTest::PayloadSize(test) => test.accepts(payload_size(headers) as u64),
        PacketTest::IgmpType(test) => Igmp::of(headers).is_some_and(|igmp| test.accepts(u64::from(igmp.kind))),
        PacketTest::Ttl(test) => test.accepts(u64::from(ip.ttl)),
        PacketTest::Tos { tos, negated } => (ip.tos == tos) != negated,
        PacketTest::IpId(id) => ip.version == 4 && ip.id == id,
        PacketTest::IpOption(option) => ip.version == 4 && has_ip_option(ip.options, option),
        PacketTest::FragBits(test) => ip.version == 4 && test.accepts(ip.fragment_flags),
        PacketTest::FragOffset(test) => test.accepts(u64::from(ip.fragment_offset / 8)),
        PacketTest::IpProto(test) => test.accepts(ip.protocol),
        PacketTest::SameIp => ip.src == ip.dst,
        PacketTest::VlanId { test, layers } => vlan_accepts(test, layers, buffers),
        PacketTest::VlanCount(test) => test.accepts(buffers.vlan.iter().flatten().count() as u64),
        PacketTest::IpVersion(version) => ip.version == version,
        PacketTest::Fragment(wanted) => ip.is_fragment() == wanted,
        PacketTest::Reputation { side, category, test } => reputed(side, category, test, buffers),
        PacketTest::Rpc { program, version, procedure } => is_rpc_call(headers, program, version, procedure),
        PacketTest::Event(event) => buffers.events.has(event),
        PacketTest::Checksum { of, valid } => checksum_is(of, buffers).is_some_and(|found| found == valid),
        PacketTest::TcpFlags(_)
        | PacketTest::TcpSeq(_)
        | PacketTest::TcpAck(_)
        | PacketTest::TcpWindow { .. }
        | PacketTest::TcpMss(_) => headers.tcp().is_some_and(|tcp| tcp_accepts(test, tcp)),
        PacketTest::IcmpType(_) | PacketTest::IcmpCode(_) | PacketTest::IcmpId(_) | PacketTest::IcmpSeq(_) => {
            icmp_accepts(test, headers)
        }
    }
}

/// What `dsize` counts, in bytes: an IGMP message is all header.
pub(super) fn payload_size(headers: &Headers<'_>) -> usize {
    if igmp::message(headers).is_some() { 0 } else { headers.payload.len() }
}

/// A call (RFC 5531) from the packet's first byte on; over TCP a record mark of four bytes stands before it.
fn is_rpc_call(headers: &Headers<'_>, program: u32, version: Option<u32>, procedure: Option<u32>) -> bool {
    let mark = if headers.tcp().is_some() { 4 } else { 0 };
    let word = |at: usize| {
        let bytes = headers.payload.get(mark + at * 4..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    const CALL: u32 = 0;
    const RPC_VERSION: u32 = 2;
    word(1) == Some(CALL)
        && word(2) == Some(RPC_VERSION)
        && word(3) == Some(program)
        && version.is_none_or(|version| word(4) == Some(version))
        && word(5).is_some_and(|found| procedure.is_none_or(|procedure| procedure == found))
}

fn vlan_accepts(test: NumberTest, layers: VlanLayers, buffers: &Buffers<'_>) -> bool {
    let mut ids = buffers.vlan.iter().flatten().map(|tag| u64::from(tag.id()));
    let count = ids.clone().count();
    match layers {
        VlanLayers::Any => ids.any(|id| test.accepts(id)),
        VlanLayers::All => count > 0 && ids.all(|id| test.accepts(id)),
        VlanLayers::At(at) => {
            let at = i64::from(at);
            let at = if at < 0 { at.saturating_add(i64::try_from(count).unwrap_or(0)) } else { at };
            usize::try_from(at).ok().and_then(|at| ids.nth(at)).is_some_and(|id| test.accepts(id))
        }
    }
}

fn reputed(side: ReputationSide, category: u8, test: ReputationTest, buffers: &Buffers<'_>) -> bool {
    let holds = |address| {
        let score = buffers.reputation.score(category, address);
        match test {
            ReputationTest::IsSet => score.is_some(),
            ReputationTest::IsNotSet => score.is_none(),
            ReputationTest::Score(test) => score.is_some_and(|score| test.accepts(u64::from(score))),
        }
    };
    let ip = &buffers.headers.ip;
    match side {
        ReputationSide::Source => holds(ip.src),
        ReputationSide::Destination => holds(ip.dst),
        ReputationSide::Any => holds(ip.src) || holds(ip.dst),
        ReputationSide::Both => holds(ip.src) && holds(ip.dst),
    }
}

/// Whether a checksum is right; `None` if the packet has no such checksum. What something below has vouched for is not
/// computed again, and cannot be: it may not be there yet.
fn checksum_is(of: ChecksumOf, buffers: &Buffers<'_>) -> Option<bool> {
    let headers = buffers.headers;
    let (version, transport) = match of {
        ChecksumOf::Ipv4 => (4, true),
        ChecksumOf::Tcpv4 => (4, matches!(headers.transport, Transport::Tcp(_))),
        ChecksumOf::Tcpv6 => (6, matches!(headers.transport, Transport::Tcp(_))),
        ChecksumOf::Udpv4 => (4, matches!(headers.transport, Transport::Udp(_))),
        ChecksumOf::Udpv6 => (6, matches!(headers.transport, Transport::Udp(_))),
        ChecksumOf::Icmpv4 => (4, matches!(headers.transport, Transport::Icmp(_))),
        ChecksumOf::Icmpv6 => (6, matches!(headers.transport, Transport::Icmp(_))),
        ChecksumOf::Igmp => (4, igmp::message(headers).is_some()),
    };
    if headers.ip.version != version || !transport {
        return None;
    }
    if buffers.checksum != ChecksumStatus::NotVerified {
        return Some(true);
    }
    let found = match of {
        ChecksumOf::Ipv4 => checksum::network(&headers.ip),
        _ => checksum::transport(headers),
    };
    match found {
        Checksum::Good => Some(true),
        Checksum::Bad => Some(false),
        Checksum::Absent => None,
    }
}

fn tcp_accepts(test: &PacketTest, tcp: &Tcp<'_>) -> bool {
    match *test {
        PacketTest::TcpFlags(test) => test.accepts(tcp.flags),
        PacketTest::TcpSeq(seq) => tcp.seq == seq,
        PacketTest::TcpAck(ack) => tcp.ack == ack,
        PacketTest::TcpWindow { window, negated } => (tcp.window == window) != negated,
        PacketTest::TcpMss(test) => maximum_segment_size(tcp.options).is_some_and(|mss| test.accepts(u64::from(mss))),
        _ => false,
    }
}

fn icmp_accepts(test: &PacketTest, headers: &Headers<'_>) -> bool {
    let Transport::Icmp(icmp) = &headers.transport else { return false };
    // Echo, timestamp, information and address mask; ICMPv6 has echo only.
    let numbered = match headers.ip.version {
        6 => matches!(icmp.icmp_type, 128 | 129),
        _ => matches!(icmp.icmp_type, 0 | 8 | 13..=18),
    };
    match *test {
        PacketTest::IcmpType(test) => test.accepts(u64::from(icmp.icmp_type)),
        PacketTest::IcmpCode(test) => test.accepts(u64::from(icmp.icmp_code)),
        PacketTest::IcmpId(id) => numbered && icmp.id == id,
        PacketTest::IcmpSeq(seq) => numbered && icmp.seq == seq,
        _ => false,
    }
}

/// Walks kind, length, value triples; kinds 0 and 1 are single bytes. Calls `found` until it says true.
fn any_option(mut options: &[u8], mut found: impl FnMut(u8, &[u8]) -> bool) -> bool {
    while let Some((&kind, rest)) = options.split_first() {
        if kind <= 1 {
            if found(kind, &[]) {
                return true;
            }
            if kind == 0 {
                return false;
            }
            options = rest;
            continue;
        }
        let Some(length) = rest.first().map(|length| usize::from(*length)).filter(|length| *length >= 2) else {
            return false;
        };
        let Some((option, after)) = options.split_at_checked(length) else { return false };
        if found(kind, option.get(2..).unwrap_or_default()) {
            return true;
        }
        options = after;
    }
    false
}

fn has_ip_option(options: &[u8], wanted: IpOption) -> bool {
    match wanted {
        IpOption::Any => !options.is_empty(),
        IpOption::Number(number) => any_option(options, |kind, _| kind == number),
    }
}

fn maximum_segment_size(options: &[u8]) -> Option<u16> {
    let mut size = None;
    any_option(options, |kind, value| {
        if kind == 2 {
            size = value.try_into().ok().map(u16::from_be_bytes);
        }
        kind == 2
    });
    size
}
