//! Questions about the headers of IP, TCP and ICMP, and about sizes.

use super::number::{comparison, integer, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::plan::{BitsMode, BitsTest, ChecksumOf, IpOption, IpProtoTest, PacketTest, VlanLayers};

const CHECKSUM: &str = "Whether the checksum is right; what the kernel has checked, or will complete, counts as right.";

pub(super) static KEYWORDS: &[Keyword] = &[
    option("dsize", "payload", "[op]number | low<>high", "The size of the packet's payload in bytes.", dsize),
    option("ttl", "ip", "[op]number | low-high", "Time to live, or hop limit.", ttl),
    option("tos", "ip", "[!]number", "Type of service, or traffic class.", tos),
    option("id", "ip", "number", "The identification of an IPv4 packet.", id),
    option("ipopts", "ip", "name", "The IPv4 header has this option.", ipopts),
    option("fragbits", "ip", "[!|+|*]M|D|R...", "The fragmentation bits: more, don't fragment, reserved.", fragbits),
    option("fragoffset", "ip", "[!|<|>]number", "The fragment offset in units of 8 bytes.", fragoffset),
    option("ip_proto", "ip", "[!|<|>]number or name", "The protocol of the transport header.", ip_proto),
    option("vlan.id", "vlan", "[op]number[,any|all|layer]", "The id of a VLAN tag; layer 0 is the outermost.", vlan_id),
    option("vlan.layers", "vlan", "[op]number", "How many VLAN tags the packet has.", vlan_layers),
    option("rpc", "payload", "program[,version|*[,procedure|*]]", "The packet is this SunRPC call.", rpc),
    option("l3_proto", "ip", "ipv4|ipv6", "The version of IP; better written as the rule's protocol.", l3_proto),
    option("ipv4-csum", "ip", "valid|invalid", CHECKSUM, ipv4_csum),
    option("tcpv4-csum", "tcp", "valid|invalid", CHECKSUM, tcpv4_csum),
    option("tcpv6-csum", "tcp", "valid|invalid", CHECKSUM, tcpv6_csum),
    option("udpv4-csum", "udp", "valid|invalid", CHECKSUM, udpv4_csum),
    option("udpv6-csum", "udp", "valid|invalid", CHECKSUM, udpv6_csum),
    option("icmpv4-csum", "icmp", "valid|invalid", CHECKSUM, icmpv4_csum),
    option("icmpv6-csum", "icmp", "valid|invalid", CHECKSUM, icmpv6_csum),
    option("sameip", "ip", "", "Source and destination address are the same.", sameip),
    option("flags", "tcp", "[!|+|*]FSRPAUEC0[,mask]", "The TCP flags.", flags).aliased(&["tcp.flags"]),
    option("seq", "tcp", "number", "The sequence number.", seq).aliased(&["tcp.seq"]),
    option("ack", "tcp", "number", "The acknowledgement number.", ack).aliased(&["tcp.ack"]),
    option("window", "tcp", "[!]number", "The window as sent.", window).aliased(&["tcp.window"]),
    option("tcp.mss", "tcp", "[op]number | low-high", "The maximum segment size option.", tcp_mss),
    option("itype", "icmp", "[op]number | low<>high", "The ICMP type.", itype),
    option("igmp.type", "igmp", "[op]number | low-high", "The type of an IGMP or RGMP message.", igmp_type),
    option("igmp-csum", "igmp", "valid|invalid", CHECKSUM, igmp_csum),
    option("icode", "icmp", "[op]number | low<>high", "The ICMP code.", icode),
    option("icmp_id", "icmp", "number", "The identifier of echo and its relatives.", icmp_id),
    option("icmp_seq", "icmp", "number", "The sequence number of echo and its relatives.", icmp_seq),
];

fn push(draft: &mut Draft<'_>, test: PacketTest, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.packet.push((test, arg.option()));
    Ok(())
}

fn dsize(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.unquoted(), 65_535)?;
    push(draft, PacketTest::PayloadSize(test), arg)
}

fn ttl(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::Ttl(comparison(arg.rule, arg.unquoted(), 255)?), arg)
}

fn itype(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::IcmpType(comparison(arg.rule, arg.unquoted(), 255)?), arg)
}

fn icode(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::IcmpCode(comparison(arg.rule, arg.unquoted(), 255)?), arg)
}

fn igmp_type(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::IgmpType(comparison(arg.rule, arg.unquoted(), 255)?), arg)
}

fn tcp_mss(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::TcpMss(comparison(arg.rule, arg.unquoted(), 65_535)?), arg)
}

fn fragoffset(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::FragOffset(comparison(arg.rule, arg.unquoted(), 8_191)?), arg)
}

/// `!` and the rest of the value.
fn negation(arg: &Arg<'_>) -> (bool, Span) {
    let span = arg.unquoted();
    match arg.at(span).strip_prefix('!') {
        Some(rest) => (true, super::super::lex::trim(arg.rule, Span::new(span.end - rest.len(), span.end))),
        None => (false, span),
    }
}

fn tos(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (negated, span) = negation(arg);
    // Suricata writes hexadecimal as `x10`.
    let text = arg.at(span);
    let tos = match text.strip_prefix(['x', 'X']) {
        Some(hex) => u8::from_str_radix(hex, 16)
            .map_err(|_| Mistake::new(Code::Value, span, format!("`{text}` is no number within 0 to 255")))?,
        None => unsigned(text, span, 255)?,
    };
    push(draft, PacketTest::Tos { tos, negated }, arg)
}

fn window(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (negated, span) = negation(arg);
    push(draft, PacketTest::TcpWindow { window: unsigned(arg.at(span), span, 65_535)?, negated }, arg)
}

fn id(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    push(draft, PacketTest::IpId(unsigned(arg.at(span), span, 65_535)?), arg)
}

fn seq(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    push(draft, PacketTest::TcpSeq(unsigned(arg.at(span), span, u32::MAX)?), arg)
}

fn ack(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    push(draft, PacketTest::TcpAck(unsigned(arg.at(span), span, u32::MAX)?), arg)
}

fn icmp_id(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    push(draft, PacketTest::IcmpId(unsigned(arg.at(span), span, 65_535)?), arg)
}

fn icmp_seq(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    push(draft, PacketTest::IcmpSeq(unsigned(arg.at(span), span, 65_535)?), arg)
}

fn sameip(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::SameIp, arg)
}

/// Reads `+`, `*` and `!`, before or after the letters, and the letters with `bit`.
fn bits(arg: &Arg<'_>, span: Span, bit: fn(char) -> Option<u8>) -> Result<(BitsMode, u8), Mistake> {
    let mut mode = BitsMode::Exact;
    let mut bits = 0;
    for letter in arg.at(span).chars() {
        match letter {
            '+' => mode = BitsMode::AtLeast,
            '*' => mode = BitsMode::AnyOf,
            '!' => mode = BitsMode::NotAll,
            ' ' => {}
            _ => match bit(letter) {
                Some(value) => bits |= value,
                None => return Err(Mistake::new(Code::Value, span, format!("`{letter}` is no flag"))),
            },
        }
    }
    Ok((mode, bits))
}

fn tcp_flag(letter: char) -> Option<u8> {
    Some(match letter.to_ascii_uppercase() {
        'F' => 0x01,
        'S' => 0x02,
        'R' => 0x04,
        'P' => 0x08,
        'A' => 0x10,
        'U' => 0x20,
        'E' | '2' => 0x40,
        'C' | '1' => 0x80,
        '0' => 0,
        _ => return None,
    })
}

fn flags(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = super::super::lex::split(arg.rule, arg.unquoted(), b',');
    let (first, ignored) = match parts.as_slice() {
        [first] => (*first, 0),
        [first, mask] => (*first, bits(arg, *mask, tcp_flag)?.1),
        _ => return Err(arg.wrong("at most flags and one mask")),
    };
    let (mode, bits) = bits(arg, first, tcp_flag)?;
    push(draft, PacketTest::TcpFlags(BitsTest { mode, bits, mask: !ignored }), arg)
}

fn fragment_bit(letter: char) -> Option<u8> {
    Some(match letter.to_ascii_uppercase() {
        'M' => 1,
        'D' => 2,
        'R' => 4,
        _ => return None,
    })
}

fn fragbits(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (mode, bits) = bits(arg, arg.unquoted(), fragment_bit)?;
    push(draft, PacketTest::FragBits(BitsTest { mode, bits, mask: 0x07 }), arg)
}

const IP_OPTIONS: [(&str, IpOption); 14] = [
    ("any", IpOption::Any),
    ("rr", IpOption::Number(7)),
    ("lsrr", IpOption::Number(131)),
    ("lsrre", IpOption::Number(131)),
    ("eol", IpOption::Number(0)),
    ("nop", IpOption::Number(1)),
    ("ts", IpOption::Number(68)),
    ("sec", IpOption::Number(130)),
    ("esec", IpOption::Number(133)),
    ("cipso", IpOption::Number(134)),
    ("satid", IpOption::Number(136)),
    ("ssrr", IpOption::Number(137)),
    ("qs", IpOption::Number(25)),
    ("rtralt", IpOption::Number(148)),
];

fn ipopts(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let name = arg.at(arg.unquoted()).to_ascii_lowercase();
    let Some((_, option)) = IP_OPTIONS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = IP_OPTIONS.iter().map(|(known, _)| *known).collect();
        return Err(arg.wrong(format!("`{name}` is no IP option")).help(format!("options are {}", names.join(", "))));
    };
    push(draft, PacketTest::IpOption(*option), arg)
}

const PROTOCOLS: [(&str, u8); 22] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("ip-encap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

fn ip_proto(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let text = arg.at(span);
    let rest = text.trim_start_matches(['!', '<', '>']).trim();
    let rest_span = Span::new(span.end - rest.len(), span.end);
    let number = match PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(rest)) {
        Some((_, number)) => *number,
        None => unsigned(rest, rest_span, 255).map_err(|mistake: Mistake| {
            match nearest(rest, PROTOCOLS.iter().map(|(name, _)| *name)) {
                Some(name) if !rest.starts_with(|first: char| first.is_ascii_digit()) => {
                    mistake.help(format!("did you mean `{name}`?"))
                }
                _ => mistake,
            }
        })?,
    };
    let test = match text.chars().next() {
        Some('!') => IpProtoTest::NotEqual(number),
        Some('<') => IpProtoTest::Less(number),
        Some('>') => IpProtoTest::Greater(number),
        _ => IpProtoTest::Equal(number),
    };
    push(draft, PacketTest::IpProto(test), arg)
}

fn vlan_id(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = super::super::lex::split(arg.rule, arg.unquoted(), b',');
    let (number, layers) = match parts.as_slice() {
        [number] => (*number, VlanLayers::Any),
        [number, layer] => {
            let layers = match arg.at(*layer) {
                "any" => VlanLayers::Any,
                "all" => VlanLayers::All,
                text => VlanLayers::At(i8::try_from(integer(text, *layer, -3, 2)?).unwrap_or(0)),
            };
            (*number, layers)
        }
        _ => return Err(arg.wrong("a number, and a layer at most")),
    };
    push(draft, PacketTest::VlanId { test: comparison(arg.rule, number, 4_095)?, layers }, arg)
}

fn vlan_layers(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, PacketTest::VlanCount(comparison(arg.rule, arg.unquoted(), 3)?), arg)
}

fn rpc(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = super::super::lex::split(arg.rule, arg.unquoted(), b',');
    let (program, rest) = match parts.as_slice() {
        [program, rest @ ..] if rest.len() <= 2 => (*program, rest),
        _ => return Err(arg.wrong("program, version and procedure, and nothing else")),
    };
    let optional = |at: usize| match rest.get(at) {
        Some(span) if arg.at(*span) != "*" => unsigned(arg.at(*span), *span, u32::MAX).map(Some),
        _ => Ok(None),
    };
    let program = unsigned(arg.at(program), program, u32::MAX)?;
    push(draft, PacketTest::Rpc { program, version: optional(0)?, procedure: optional(1)? }, arg)
}

fn l3_proto(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let version = match arg.at(arg.unquoted()).to_ascii_lowercase().as_str() {
        "ipv4" | "ip4" => 4,
        "ipv6" | "ip6" => 6,
        _ => return Err(arg.wrong("neither `ipv4` nor `ipv6`")),
    };
    push(draft, PacketTest::IpVersion(version), arg)
}

fn checksum(draft: &mut Draft<'_>, arg: &Arg<'_>, of: ChecksumOf) -> Result<(), Mistake> {
    let valid = match arg.at(arg.unquoted()).to_ascii_lowercase().as_str() {
        "valid" => true,
        "invalid" => false,
        _ => return Err(arg.wrong("neither `valid` nor `invalid`")),
    };
    push(draft, PacketTest::Checksum { of, valid }, arg)
}

fn ipv4_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Ipv4)
}

fn tcpv4_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Tcpv4)
}

fn tcpv6_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Tcpv6)
}

fn udpv4_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Udpv4)
}

fn udpv6_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Udpv6)
}

fn icmpv4_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Icmpv4)
}

fn igmp_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Igmp)
}

fn icmpv6_csum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    checksum(draft, arg, ChecksumOf::Icmpv6)
}
