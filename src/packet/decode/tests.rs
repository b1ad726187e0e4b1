use proptest::prelude::*;

use super::anomaly::Anomaly as A;
use super::checksum::Checksum;
use super::link::LinkType;
use super::*;
use crate::packet::ingress::{VlanTag, VlanTags};

/// Bytes of hexadecimal text; whitespace is free.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// An IPv4 header of 20 bytes, DF, ttl 64, 192.0.2.1 to 198.51.100.2, before `body`.
fn v4(protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = hex("4500 0000 1234 4000 4000 0000 c0000201 c6336402");
    packet[2..4].copy_from_slice(&u16::try_from(20 + body.len()).unwrap().to_be_bytes());
    packet[9] = protocol;
    packet.extend_from_slice(body);
    packet
}

/// An IPv6 header, hop limit 64, 2001:db8::1 to 2001:db8::2, before `body`.
fn v6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = hex("6a512345 0000 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002");
    packet[4..6].copy_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    packet[6] = next;
    packet.extend_from_slice(body);
    packet
}

const SYN: &str = "c001 0050 00000001 00000000 7002 faf0 0000 0000 0204 05b4 0402 0101";
const UDP_HI: &str = "1000 0035 000a 0000 6869";

fn v4_of(bytes: &[u8]) -> Decoded<'_> {
    decode(bytes, ETHERTYPE_IPV4)
}

fn v6_of(bytes: &[u8]) -> Decoded<'_> {
    decode(bytes, ETHERTYPE_IPV6)
}

fn names(anomalies: Anomalies) -> Vec<A> {
    anomalies.iter().collect()
}

#[test]
fn a_syn_in_ipv4_is_read_field_by_field() {
    let packet = v4(6, &hex(SYN));
    let decoded = v4_of(&packet);
    assert!(decoded.anomalies.is_empty());
    let headers = decoded.headers.unwrap();
    let ip = headers.ip;
    assert_eq!((ip.src.to_string(), ip.dst.to_string()), ("192.0.2.1".into(), "198.51.100.2".into()));
    assert_eq!((ip.version, ip.protocol, ip.ttl, ip.tos, ip.id, ip.total_len), (4, 6, 64, 0, 0x1234, 48));
    assert_eq!((ip.fragment_flags, ip.fragment_offset, ip.options.len(), ip.header.len()), (2, 0, 0, 20));
    let tcp = headers.tcp().unwrap();
    assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq, tcp.ack), (0xc001, 80, 1, 0));
    assert_eq!((tcp.flags, tcp.reserved, tcp.window, tcp.urgent), (Tcp::SYN, 0, 0xfaf0, 0));
    let options: Vec<_> = tcp.parsed_options().map(Result::unwrap).collect();
    assert_eq!(options, [(tcp::option::MSS, &[5, 0xb4][..]), (tcp::option::SACK_PERMITTED, &[])]);
    assert_eq!(headers.ports(), (0xc001, 80));
    assert!(headers.payload.is_empty());
}

#[test]
fn ipv6_fields_are_read() {
    let packet = v6(17, &hex(UDP_HI));
    let headers = v6_of(&packet).headers.unwrap();
    let ip = headers.ip;
    assert_eq!((ip.src.to_string(), ip.dst.to_string()), ("2001:db8::1".into(), "2001:db8::2".into()));
    assert_eq!((ip.version, ip.protocol, ip.ttl, ip.tos, ip.flow_label, ip.total_len), (6, 17, 64, 0xa5, 0x12345, 50));
    assert_eq!(headers.payload, b"hi");
}

#[test]
fn ethernet_padding_is_not_payload() {
    let mut packet = v4(17, &hex(UDP_HI));
    packet.extend_from_slice(&[0xee; 18]);
    let decoded = v4_of(&packet);
    assert_eq!(decoded.headers.unwrap().payload, b"hi");
    assert!(decoded.anomalies.is_empty());
    let mut packet = v6(17, &hex(UDP_HI));
    packet.extend_from_slice(&[0xee; 6]);
    assert_eq!(v6_of(&packet).headers.unwrap().payload, b"hi");
}

/// What is left of a packet that is odd: nothing, the IP header only, or the transport header too.
#[derive(Debug, PartialEq)]
enum Kept {
    Nothing,
    Network,
    Transport,
}

fn kept(decoded: &Decoded<'_>) -> Kept {
    match decoded.headers {
        None => Kept::Nothing,
        Some(Headers { transport: Transport::Other, .. }) => Kept::Network,
        Some(_) => Kept::Transport,
    }
}

#[test]
fn odd_ipv4_packets_are_named() {
    let syn = v4(6, &hex(SYN));
    let patched = |at: usize, bytes: &[u8]| {
        let mut packet = syn.clone();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let with_options = |options: &str| {
        let options = hex(options);
        let mut packet = v4(6, &hex(SYN));
        packet[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
        packet[3] += u8::try_from(options.len()).unwrap();
        packet.splice(20..20, options);
        packet
    };
    let cases: Vec<(&str, Vec<u8>, &[A], Kept)> = vec![
        ("empty", vec![], &[A::Ipv4TooSmall], Kept::Nothing),
        ("19 bytes", syn[..19].to_vec(), &[A::Ipv4TooSmall], Kept::Nothing),
        ("version 6", patched(0, &[0x65]), &[A::Ipv4Version], Kept::Nothing),
        ("header of 16 bytes", patched(0, &[0x44]), &[A::Ipv4HeaderLength], Kept::Nothing),
        ("total length below the header", patched(2, &[0, 19]), &[A::Ipv4TotalLength], Kept::Nothing),
        ("total length 0", patched(2, &[0, 0]), &[A::Ipv4TotalLength], Kept::Nothing),
        ("cut in the TCP options", syn[..44].to_vec(), &[A::Ipv4Truncated, A::TcpHeaderTruncated], Kept::Network),
        ("cut in the TCP header", syn[..30].to_vec(), &[A::Ipv4Truncated, A::TcpTooSmall], Kept::Network),
        (
            "options cut",
            {
                let mut p = patched(0, &[0x4f]);
                p[3] = 80;
                p.truncate(40);
                p
            },
            &[A::Ipv4Truncated],
            Kept::Nothing,
        ),
        ("first fragment", patched(6, &[0x20, 0]), &[], Kept::Transport),
        ("later fragment", patched(6, &[0x20, 2]), &[], Kept::Network),
        ("ping of death", patched(6, &[0x1f, 0xff]), &[A::Ipv4FragmentTooLarge], Kept::Network),
        ("ICMPv6 in IPv4", patched(9, &[58]), &[A::Ipv4Icmpv6], Kept::Network),
        ("router alert", with_options("94040000"), &[], Kept::Transport),
        ("end of list, then rubbish", with_options("00ffffff"), &[], Kept::Transport),
        ("option of length 1", with_options("01018801"), &[A::Ipv4OptionLength], Kept::Transport),
        (
            "option behind the header",
            with_options("07040000 01018308"),
            &[A::Ipv4OptionLength, A::Ipv4OptionMalformed],
            Kept::Transport,
        ),
        ("kind without length", with_options("01010107"), &[A::Ipv4OptionPadding], Kept::Transport),
        ("twice", with_options("94040000 94040000"), &[A::Ipv4OptionDuplicate], Kept::Transport),
        ("unknown", with_options("de040000"), &[A::Ipv4OptionUnknown], Kept::Transport),
    ];
    for (name, packet, anomalies, left) in cases {
        let decoded = v4_of(&packet);
        assert_eq!(names(decoded.anomalies), anomalies, "{name}");
        assert_eq!(kept(&decoded), left, "{name}");
    }
}

#[test]
fn odd_ipv6_packets_are_named() {
    let udp = hex(UDP_HI);
    let chain = |first: u8, extensions: &str| {
        let mut body = hex(extensions);
        body.extend_from_slice(&udp);
        v6(first, &body)
    };
    let plain = v6(17, &udp);
    let cases: Vec<(&str, Vec<u8>, &[A], Kept)> = vec![
        ("empty", vec![], &[A::Ipv6TooSmall], Kept::Nothing),
        (
            "version 4",
            {
                let mut p = plain.clone();
                p[0] = 0x4a;
                p
            },
            &[A::Ipv6Version],
            Kept::Nothing,
        ),
        ("cut", plain[..49].to_vec(), &[A::Ipv6Truncated], Kept::Transport),
        ("hop-by-hop with router alert", chain(0, "1100 05020000 0100"), &[A::Ipv6ZeroLengthPadding], Kept::Transport),
        ("hop-by-hop of padding", chain(0, "1100 010400000000"), &[A::Ipv6HopByHopOnlyPadding], Kept::Transport),
        ("unknown destination option", chain(60, "1100 1e0400000000"), &[A::Ipv6DestinationUnknown], Kept::Transport),
        ("option out of its header", chain(60, "1100 050900000000"), &[A::Ipv6OptionLength], Kept::Transport),
        ("routing type 0", chain(43, "1100 0000 00000000"), &[A::Ipv6RoutingType0], Kept::Transport),
        (
            "two routing headers",
            chain(43, "2b00 0200 00000000 1100 0200 00000000"),
            &[A::Ipv6DuplicateRouting],
            Kept::Transport,
        ),
        ("authentication", chain(51, "1101 0000 00000001 00000002"), &[], Kept::Transport),
        (
            "authentication, reserved set",
            chain(51, "1101 0001 00000001 00000002"),
            &[A::Ipv6AuthenticationReserved],
            Kept::Transport,
        ),
        ("atomic fragment", chain(44, "1100 0000 00000007"), &[A::Ipv6UselessFragment], Kept::Transport),
        ("first fragment of 10 bytes", chain(44, "1100 0001 00000007"), &[A::Ipv6FragmentLength], Kept::Transport),
        ("later fragment", chain(44, "1100 0008 00000007"), &[], Kept::Network),
        ("extension behind the end", v6(60, &hex("11ff 010400000000")), &[A::Ipv6ExtensionTruncated], Kept::Network),
        (
            "a byte behind an extension",
            v6(44, &hex("3a00 0000 00000001 80")),
            &[A::Ipv6ExtensionTruncated, A::Ipv6UselessFragment, A::Icmpv6TooSmall],
            Kept::Network,
        ),
        (
            "nothing behind an extension",
            v6(60, &hex("3b00 010400000000")),
            &[A::Ipv6DestinationOnlyPadding],
            Kept::Network,
        ),
        ("extension missing", v6(43, &[]), &[A::Ipv6ExtensionTruncated], Kept::Network),
        ("no next header", v6(59, &[]), &[], Kept::Network),
        ("data after no next header", v6(59, &[1]), &[A::Ipv6DataAfterNone], Kept::Network),
        ("ICMPv4 in IPv6", v6(1, &[8, 0, 0, 0, 0, 0, 0, 0]), &[A::Ipv6Icmpv4], Kept::Network),
        ("ESP stops", v6(50, &[0; 16]), &[], Kept::Network),
        ("short ESP", v6(50, &[0; 4]), &[A::EspTooSmall], Kept::Network),
    ];
    for (name, packet, anomalies, left) in cases {
        let decoded = v6_of(&packet);
        assert_eq!(names(decoded.anomalies), anomalies, "{name}");
        assert_eq!(kept(&decoded), left, "{name}");
    }
    let packet = chain(44, "1100 0009 00000007");
    let ip = v6_of(&packet).headers.unwrap().ip;
    assert_eq!((ip.id, ip.fragment_offset, ip.fragment_flags, ip.protocol), (7, 8, 1, 17));
    assert_eq!((ip.options.len(), ip.header.len()), (8, 48));
}

#[test]
fn odd_transport_headers_are_named() {
    let cases: &[(&str, u8, &str, &[A], Kept)] = &[
        ("TCP with offset 4", 6, "c0010050 00000001 00000000 4002faf0 00000000", &[A::TcpHeaderLength], Kept::Network),
        (
            "TCP options behind the end",
            6,
            "c0010050 00000001 00000000 6002faf0 00000000",
            &[A::TcpHeaderTruncated],
            Kept::Network,
        ),
        (
            "TCP option of length 0",
            6,
            "c0010050 00000001 00000000 6002faf0 00000000 02000000",
            &[A::TcpOptionLength],
            Kept::Transport,
        ),
        (
            "MSS of 3 bytes",
            6,
            "c0010050 00000001 00000000 6002faf0 00000000 02030000",
            &[A::TcpOptionLength],
            Kept::Transport,
        ),
        (
            "two MSS",
            6,
            "c0010050 00000001 00000000 7002faf0 00000000 020405b4 020405b4",
            &[A::TcpOptionDuplicate],
            Kept::Transport,
        ),
        ("UDP of 7 bytes", 17, "10000035000a00", &[A::UdpTooSmall], Kept::Network),
        ("UDP says 7", 17, "1000 0035 0007 0000", &[A::UdpHeaderLength], Kept::Network),
        ("UDP says more", 17, "1000 0035 0010 0000 6869", &[A::UdpLength], Kept::Transport),
        ("UDP says less", 17, "1000 0035 0009 0000 6869", &[A::UdpLength], Kept::Transport),
        ("SCTP of 11 bytes", 132, "1000 0035 00000000 000000", &[A::SctpTooSmall], Kept::Network),
        ("SCTP", 132, "1000 0035 00000000 00000000", &[], Kept::Transport),
        ("echo", 1, "0800 0000 0001 0002", &[], Kept::Transport),
        ("ICMP of 7 bytes", 1, "0800 0000 0001 00", &[A::Icmpv4TooSmall], Kept::Network),
        ("ICMP type 44", 1, "2c00 0000 0001 0002", &[A::Icmpv4UnknownType], Kept::Transport),
        ("echo with code 3", 1, "0803 0000 0001 0002", &[A::Icmpv4UnknownCode], Kept::Transport),
        ("unreachable without a quote", 1, "0301 0000 0000 0000", &[A::Icmpv4QuoteTruncated], Kept::Transport),
    ];
    for (name, protocol, body, anomalies, left) in cases {
        let packet = v4(*protocol, &hex(body));
        let decoded = v4_of(&packet);
        assert_eq!(&names(decoded.anomalies), anomalies, "{name}");
        assert_eq!(&kept(&decoded), left, "{name}");
    }
    let packet = v6(17, &hex("1000 0035 0000 0000 6869"));
    let decoded = v6_of(&packet);
    assert_eq!(names(decoded.anomalies), [A::UdpHeaderLength]);
    assert_eq!(decoded.headers.unwrap().payload, b"hi", "over IPv6 a length of 0 is delivered");
    let packet = v4(17, &hex("1000 0035 0009 0000 6869"));
    assert_eq!(v4_of(&packet).headers.unwrap().payload, b"h", "the UDP length cuts the payload");
}

#[test]
fn odd_icmpv6_is_named() {
    let cases: &[(&str, &str, &[A])] = &[
        ("echo", "8000 0000 0001 0002", &[]),
        ("MLD from afar", "8200 0000 0001 0002", &[A::Icmpv6MldHopLimit]),
        ("unassigned", "0500 0000 0001 0002", &[A::Icmpv6Unassigned]),
        ("experimental", "c800 0000 0001 0002", &[A::Icmpv6Experimental]),
        ("reserved", "ff00 0000 0001 0002", &[A::Icmpv6UnknownType]),
        ("unreachable code 9", "0109 0000 00000000", &[A::Icmpv6UnknownCode, A::Icmpv6QuoteTruncated]),
    ];
    for (name, body, anomalies) in cases {
        assert_eq!(&names(v6_of(&v6(58, &hex(body))).anomalies), anomalies, "{name}");
    }
}

#[test]
fn only_echo_and_its_relatives_have_an_identifier() {
    let id_of = |body: &str| match v4_of(&v4(1, &hex(body))).headers.unwrap().transport {
        Transport::Icmp(icmp) => (icmp.id, icmp.seq),
        other => panic!("{other:?}"),
    };
    assert_eq!(id_of("0800 0000 1234 0002"), (0x1234, 2));
    assert_eq!(id_of("0e00 0000 1234 0002 00000000 00000000 00000000"), (0x1234, 2));
    assert_eq!(id_of("0304 0000 1234 0002"), (0, 0));
}

#[test]
fn an_error_quotes_the_packet_that_it_is_about() {
    let quoted_packet = v4(17, &hex(UDP_HI));
    let mut body = hex("0303 0000 00000000");
    body.extend_from_slice(&quoted_packet[..28]);
    let packet = v4(1, &body);
    let headers = v4_of(&packet).headers.unwrap();
    assert!(icmp::is_error(4, 3) && !icmp::is_error(4, 8));
    let quoted = icmp::quoted(4, headers.payload).unwrap();
    assert_eq!((quoted.src.to_string(), quoted.protocol, quoted.ports()), ("192.0.2.1".into(), 17, Some((0x1000, 53))));
    assert_eq!(icmp::quoted(4, &headers.payload[..19]), None);
    assert_eq!(icmp::quoted(4, &headers.payload[..22]).unwrap().ports(), None);
}

#[test]
fn super_packets_are_as_long_as_their_buffer() {
    let mut packet = v4(6, &hex("c0010050 00000001 00000000 5010faf0 00000000"));
    packet[2..4].copy_from_slice(&[0, 0]);
    packet.resize(180_000, 0x61);
    let decoded = v4_of(&packet);
    assert!(decoded.anomalies.is_empty());
    assert_eq!(decoded.headers.unwrap().payload.len(), 180_000 - 40);
    assert_eq!(decoded.headers.unwrap().ip.total_len, 180_000);

    let tcp = hex("c0010050 00000001 00000000 5010faf0 00000000");
    let mut bare = v6(6, &tcp);
    bare[4..6].copy_from_slice(&[0, 0]);
    bare.resize(100_000, 0x61);
    assert_eq!(v6_of(&bare).headers.unwrap().payload.len(), 100_000 - 60);

    let mut jumbo = v6(0, &[hex("0600 c204 00018670"), tcp].concat());
    jumbo[4..6].copy_from_slice(&[0, 0]);
    jumbo.resize(40 + 0x18670 + 5, 0x61);
    let headers = v6_of(&jumbo).headers.unwrap();
    assert_eq!((headers.payload.len(), headers.ip.total_len), (0x18670 - 28, 0x18670 + 40));
}

#[test]
fn a_cut_copy_is_not_a_truncated_packet() {
    let packet = v4(6, &[hex(SYN), vec![0x61; 400]].concat());
    let mut ingress = Ingress::bare(&packet[..128], ETHERTYPE_IPV4);
    assert_eq!(names(decode_ingress(&ingress).anomalies), [A::Ipv4Truncated]);
    ingress.full_len = u32::try_from(packet.len()).unwrap();
    assert!(decode_ingress(&ingress).anomalies.is_empty());
    assert_eq!(decode_ingress(&ingress).headers.unwrap().payload.len(), 80);
}

/// Payload of the innermost layer, how many layers there are, and all anomalies.
fn innermost(packet: &[u8], ethertype: u16) -> (Option<Vec<u8>>, usize, Vec<A>) {
    let layers: Vec<_> = decode(packet, ethertype).layers().collect();
    let payload = layers.last().and_then(|layer| layer.headers).map(|headers| headers.payload.to_vec());
    (payload, layers.len(), layers.iter().flat_map(|layer| names(layer.anomalies)).collect())
}

#[test]
fn tunnels_are_followed() {
    let inner4 = v4(17, &hex(UDP_HI));
    let inner6 = v6(17, &hex(UDP_HI));
    let gre = |header: &str, inner: &[u8]| v4(47, &[hex(header), inner.to_vec()].concat());
    let ethernet = [hex("ffffffffffff 020000000001 8100 0007 0800"), inner4.clone()].concat();
    let udp = |port: u16, header: &str, inner: &[u8]| v4(17, &datagram(port, &[hex(header), inner.to_vec()].concat()));
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("4 in 4", v4(4, &inner4), ETHERTYPE_IPV4),
        ("6 in 4", v4(41, &inner6), ETHERTYPE_IPV4),
        ("4 in 6", v6(4, &inner4), ETHERTYPE_IPV6),
        ("6 in 6", v6(41, &inner6), ETHERTYPE_IPV6),
        ("GRE", gre("0000 0800", &inner4), ETHERTYPE_IPV4),
        ("GRE of IPv6", gre("0000 86dd", &inner6), ETHERTYPE_IPV4),
        ("GRE with checksum, key and sequence", gre("b000 0800 00000000 00000001 00000002", &inner4), ETHERTYPE_IPV4),
        ("GRE with a source route", gre("4000 0800 00000000 0800 0004 c0000201 00000000", &inner4), ETHERTYPE_IPV4),
        ("GRE of Ethernet with a tag", gre("2000 6558 00000001", &ethernet), ETHERTYPE_IPV4),
        ("ERSPAN I", gre("0000 88be", &ethernet), ETHERTYPE_IPV4),
        ("ERSPAN II", gre("1000 88be 00000001 1007 0001 00000000", &ethernet), ETHERTYPE_IPV4),
        ("ERSPAN III", gre("1000 22eb 00000001 2007 0001 00000000 00000000", &ethernet), ETHERTYPE_IPV4),
        (
            "ERSPAN III with a subheader",
            gre("1000 22eb 00000001 2007 0001 00000000 00000001 0102030405060708", &ethernet),
            ETHERTYPE_IPV4,
        ),
        ("VXLAN", udp(4789, "08000000 00007b00", &ethernet), ETHERTYPE_IPV4),
        ("Geneve of Ethernet", udp(6081, "0100 6558 00007b00 01020304", &ethernet), ETHERTYPE_IPV4),
        ("Geneve of IPv4", udp(6081, "0000 0800 00007b00", &inner4), ETHERTYPE_IPV4),
        ("Teredo", udp(3544, "", &inner6), ETHERTYPE_IPV4),
        ("Teredo with an origin", udp(3544, "0000 eeee aabbccdd", &inner6), ETHERTYPE_IPV4),
        (
            "Teredo with both",
            udp(3544, "0001 0102 aa bbcc 0102030405060708 00 0000 eeee aabbccdd", &inner6),
            ETHERTYPE_IPV4,
        ),
        ("PPTP", gre("3081 880b 001c0001 00000001 00000002 ff03 0021", &inner4), ETHERTYPE_IPV4),
    ];
    for (name, packet, ethertype) in cases {
        assert_eq!(innermost(&packet, ethertype), (Some(b"hi".to_vec()), 2, vec![]), "{name}");
    }
    let not_ip = gre("0000 88cc", &[0; 20]);
    assert_eq!(decode(&not_ip, ETHERTYPE_IPV4).layers().count(), 1);
    let mut fragment = v4(4, &inner4);
    fragment[6] = 0x20;
    assert!(
        v4_of(&fragment).headers.unwrap().inner(&TunnelPorts::STANDARD).is_none(),
        "half a tunnelled packet is none"
    );
}

/// A datagram from port 1000 to `port`.
fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let header = [1000, port, length, 0].map(u16::to_be_bytes).concat();
    [header, payload.to_vec()].concat()
}

#[test]
fn what_does_not_fit_is_no_tunnel() {
    let inner6 = v6(17, &hex(UDP_HI));
    let cases: &[(&str, u16, &str, &[u8])] = &[
        ("VXLAN without a network number", 4789, "00000000 00007b00", &[0; 40]),
        ("VXLAN cut", 4789, "08000000 0000", &[]),
        ("Geneve, version 1", 6081, "4000 0800 00007b00", &[0x45; 40]),
        ("Geneve, options cut", 6081, "3f00 0800 00007b00", &[0x45; 40]),
        ("Geneve of something else", 6081, "0000 88cc 00007b00", &[0; 40]),
        ("Teredo that does not reach the end", 3544, "", &inner6[..inner6.len() - 1]),
        ("Teredo of IPv4", 3544, "", &[0x45; 60]),
        ("another port", 4790, "08000000 00007b00", &[0; 40]),
    ];
    for (name, port, header, rest) in cases {
        let packet = v4(17, &datagram(*port, &[hex(header), rest.to_vec()].concat()));
        assert_eq!(decode(&packet, ETHERTYPE_IPV4).layers().count(), 1, "{name}");
    }
}

#[test]
fn odd_tunnels_are_named() {
    let cases: &[(&str, &str, A)] = &[
        ("cut", "0000 08", A::GreTooSmall),
        ("version 2", "0002 0800", A::GreVersion),
        ("fields cut", "b000 0800 00000000", A::GreVersion0HeaderTruncated),
        ("source route cut", "4000 0800 00000000 0800 00ff c0000201", A::GreVersion0SourceRoute),
        ("PPTP without a key", "1001 880b 00000001", A::GreVersion1NoKey),
        ("PPTP with a checksum", "a001 880b 00000001", A::GreVersion1Checksum),
        ("PPTP of IP", "2001 0800 00000001", A::GreVersion1Protocol),
        ("PPTP cut", "3081 880b 001c0001", A::GreVersion1HeaderTruncated),
        ("ERSPAN cut", "1000 88be 00000001 1007 0001", A::ErspanTooSmall),
        ("ERSPAN, another version", "1000 88be 00000001 3007 0001 00000000", A::ErspanVersion),
    ];
    for (name, body, anomaly) in cases {
        assert_eq!(innermost(&v4(47, &hex(body)), ETHERTYPE_IPV4), (None, 2, vec![*anomaly]), "{name}");
    }
    let nested = (1..LAYER_COUNT_MAX).fold(v4(17, &hex(UDP_HI)), |inner, _| v4(4, &inner));
    assert_eq!(innermost(&nested, ETHERTYPE_IPV4), (Some(b"hi".to_vec()), LAYER_COUNT_MAX, vec![]));
    let deeper = v4(4, &nested);
    let (_, count, anomalies) = innermost(&deeper, ETHERTYPE_IPV4);
    assert_eq!((count, anomalies), (LAYER_COUNT_MAX, vec![A::TooManyLayers]));
}

#[test]
fn link_headers_are_stripped() {
    let inner = v4(17, &hex(UDP_HI));
    let mac = Some([2, 0, 0, 0, 0, 1]);
    let tag = |protocol, tci| Some(VlanTag { protocol, tci });
    let ethernet = "ffffffffffff 020000000001";
    type Case = (&'static str, u32, String, VlanTags, Option<[u8; 6]>);
    let cases: Vec<Case> = vec![
        ("Ethernet", 1, format!("{ethernet} 0800"), [None; 3], mac),
        ("VLAN", 1, format!("{ethernet} 8100 6007 0800"), [tag(0x8100, 0x6007), None, None], mac),
        ("QinQ", 1, format!("{ethernet} 88a8 0064 8100 00c8 0800"), [tag(0x88a8, 100), tag(0x8100, 200), None], mac),
        (
            "three tags",
            1,
            format!("{ethernet} 9100 0001 8100 0002 8100 0003 0800"),
            [tag(0x9100, 1), tag(0x8100, 2), tag(0x8100, 3)],
            mac,
        ),
        ("MPLS", 1, format!("{ethernet} 8847 00010040 00020140"), [None; 3], mac),
        ("MPLS pseudowire", 1, format!("{ethernet} 8847 00020140 00000000 {ethernet} 0800"), [None; 3], mac),
        (
            "NSH of IPv4",
            1,
            format!("{ethernet} 894f 0fc6 0101 00000102 00000000 00000000 00000000 00000000"),
            [None; 3],
            mac,
        ),
        ("NSH of Ethernet", 1, format!("{ethernet} 894f 0fc2 0203 00000102 {ethernet} 0800"), [None; 3], mac),
        ("VN-tag", 1, format!("{ethernet} 8926 80000001 0800"), [None; 3], mac),
        (
            "802.1ah",
            1,
            format!("{ethernet} 88e7 00000001 {ethernet} 8100 0005 0800"),
            [tag(0x8100, 5), None, None],
            mac,
        ),
        ("FabricPath", 1, format!("{ethernet} 8903 0001 {ethernet} 0800"), [None; 3], mac),
        ("PPPoE", 1, format!("{ethernet} 8864 1100 0001 0020 0021"), [None; 3], mac),
        ("null, little-endian", 0, "02000000".into(), [None; 3], None),
        ("null, big-endian", 0, "00000002".into(), [None; 3], None),
        ("loop", 108, "00000002".into(), [None; 3], None),
        ("PPP", 9, "0021".into(), [None; 3], None),
        ("PPP, address and control", 9, "ff03 21".into(), [None; 3], None),
        ("PPP over HDLC", 50, "ff03 0021".into(), [None; 3], None),
        ("PPPoE by itself", 51, "1100 0001 0020 0021".into(), [None; 3], None),
        ("Cisco HDLC", 104, "0f00 0800".into(), [None; 3], None),
        ("raw", 101, String::new(), [None; 3], None),
        ("raw of BSD", 12, String::new(), [None; 3], None),
        ("raw of OpenBSD", 14, String::new(), [None; 3], None),
        ("IPv4", 228, String::new(), [None; 3], None),
        ("SLL", 113, "0000 0001 0006 020000000001 0000 0800".into(), [None; 3], mac),
        (
            "SLL with a tag",
            113,
            "0000 0001 0006 020000000001 0000 8100 0005 0800".into(),
            [tag(0x8100, 5), None, None],
            mac,
        ),
        ("SLL2", 276, "0800 0000 00000002 0001 00 06 020000000001 0000".into(), [None; 3], mac),
    ];
    for (name, number, link_header, vlan, source_mac) in cases {
        let bytes = [hex(&link_header), inner.clone()].concat();
        let mut anomalies = Anomalies::NONE;
        let frame = LinkType::from_number(number).unwrap().strip(&bytes, &mut anomalies).unwrap();
        assert_eq!((frame.ethertype, frame.network), (ETHERTYPE_IPV4, &inner[..]), "{name}");
        assert_eq!((frame.vlan, frame.source_mac), (vlan, source_mac), "{name}");
        assert!(anomalies.is_empty(), "{name}");
    }
    assert_eq!(LinkType::from_number(105), None, "802.11");
}

#[test]
fn link_headers_have_an_end() {
    let tags = [hex("ffffffffffff 020000000001"), hex("8100 0001").repeat(SHIMS + 1), vec![0; 60]].concat();
    const SHIMS: usize = link::SHIM_COUNT_MAX;
    let mut anomalies = Anomalies::NONE;
    assert!(LinkType::Ethernet.strip(&tags, &mut anomalies).is_none());
    assert_eq!(names(anomalies), [A::TooManyLayers]);
}

/// Packets of real stacks with right checksums: an echo request, a DNS query over UDP, a TCP segment of odd length, ICMPv6.
fn checksummed() -> Vec<(&'static str, Vec<u8>, u16)> {
    let fill = |mut packet: Vec<u8>, ethertype: u16, at: usize| {
        // The reference is a slow sum over 16-bit words, written on its own.
        let headers = decode(&packet, ethertype).headers.unwrap();
        let start = headers.ip.header.len();
        let mut words: Vec<u8> = Vec::new();
        let protocol = headers.ip.protocol;
        if protocol != 1 {
            match (headers.ip.src, headers.ip.dst) {
                (IpAddr::V4(a), IpAddr::V4(b)) => words.extend(a.octets().into_iter().chain(b.octets())),
                (IpAddr::V6(a), IpAddr::V6(b)) => words.extend(a.octets().into_iter().chain(b.octets())),
                _ => unreachable!(),
            }
            words.extend([0, protocol]);
            words.extend(u16::try_from(packet.len() - start).unwrap().to_be_bytes());
        }
        words.extend_from_slice(&packet[start..]);
        if words.len() % 2 == 1 {
            words.push(0);
        }
        let mut sum: u32 = words.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        let sum = !u16::try_from(sum).unwrap();
        packet[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    vec![
        ("ICMP", fill(v4(1, &hex("0800 0000 1234 0001 616263")), 0x0800, 2), 0x0800),
        ("UDP", fill(v4(17, &hex("1000 0035 000b 0000 686921")), 0x0800, 6), 0x0800),
        ("TCP", fill(v4(6, &[hex(SYN), b"odd".to_vec()].concat()), 0x0800, 16), 0x0800),
        ("TCP over IPv6", fill(v6(6, &[hex(SYN), b"odd".to_vec()].concat()), 0x86dd, 16), 0x86dd),
        ("ICMPv6", fill(v6(58, &hex("8000 0000 1234 0001 616263")), 0x86dd, 2), 0x86dd),
    ]
}

#[test]
fn checksums_are_verified() {
    for (name, packet, ethertype) in checksummed() {
        let headers = decode(&packet, ethertype).headers.unwrap();
        assert_eq!(checksum::transport(&headers), Checksum::Good, "{name}");
        for at in headers.ip.header.len() + 4..packet.len() {
            let mut damaged = packet.clone();
            damaged[at] ^= 0x10;
            let Some(headers) = decode(&damaged, ethertype).headers else { continue };
            assert_ne!(checksum::transport(&headers), Checksum::Good, "{name} with byte {at} damaged");
        }
    }
    // The worked example of Wikipedia's "Internet checksum": b861.
    let header = hex("4500 0073 0000 4000 4011 b861 c0a80001 c0a800c7");
    let packet = [header, vec![0; 95]].concat();
    assert_eq!(checksum::network(&v4_of(&packet).headers.unwrap().ip), Checksum::Good);
    let mut damaged = packet.clone();
    damaged[8] -= 1;
    assert_eq!(checksum::network(&v4_of(&damaged).headers.unwrap().ip), Checksum::Bad);
}

#[test]
fn checksums_that_cannot_be_known_are_absent() {
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("UDP without one", v4(17, &hex(UDP_HI)), 0x0800),
        ("GRE", v4(47, &hex("0000 88cc")), 0x0800),
        ("cut", v4(6, &[hex(SYN), vec![1; 9]].concat())[..55].to_vec(), 0x0800),
        (
            "fragment",
            {
                let mut p = v4(6, &hex(SYN));
                p[6] = 0x20;
                p
            },
            0x0800,
        ),
        ("route left", v6(43, &[hex("0600 0201 00000000"), hex(SYN)].concat()), 0x86dd),
    ];
    for (name, packet, ethertype) in cases {
        assert_eq!(checksum::transport(&decode(&packet, ethertype).headers.unwrap()), Checksum::Absent, "{name}");
    }
}

fn lies_within(inner: &[u8], outer: &[u8]) -> bool {
    let (outer, inner) = (outer.as_ptr_range(), inner.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

fn assert_all_within(bytes: &[u8], ethertype: u16) {
    for layer in decode(bytes, ethertype).layers() {
        let Some(headers) = layer.headers else { continue };
        let mut slices = vec![headers.ip.options, headers.ip.header, headers.payload];
        match headers.transport {
            Transport::Tcp(tcp) => {
                slices.extend([tcp.options, tcp.header]);
                slices.extend(tcp.parsed_options().filter_map(Result::ok).map(|(_, data)| data));
            }
            Transport::Udp(udp) => slices.push(udp.header),
            Transport::Icmp(icmp) => {
                slices.push(icmp.header);
                slices.extend(icmp::quoted(headers.ip.version, headers.payload).map(|quoted| quoted.transport));
            }
            Transport::Sctp { .. } | Transport::Other => {}
        }
        for slice in slices {
            assert!(slice.is_empty() || lies_within(slice, bytes));
        }
        let _ = checksum::network(&headers.ip);
        let _ = checksum::transport(&headers);
    }
}

/// A packet that is plausible enough to get far: a first byte and a protocol that lead somewhere, the rest random.
fn plausible() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let protocols = prop::sample::select(vec![0u8, 1, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132]);
    (prop::collection::vec(any::<u8>(), 0..400), protocols, prop::bool::ANY, 5u8..=15, prop::bool::ANY).prop_map(
        |(mut bytes, protocol, is_v4, words, right_length)| {
            let len = bytes.len();
            if is_v4 && len >= 20 {
                bytes[0] = 0x40 | words;
                bytes[9] = protocol;
                bytes[6] &= 0x40;
                bytes[7] = 0;
                if right_length {
                    bytes[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                }
            } else if !is_v4 && len >= 40 {
                bytes[0] = 0x60;
                bytes[6] = protocol;
                if right_length {
                    bytes[4..6].copy_from_slice(&u16::try_from(len - 40).unwrap().to_be_bytes());
                }
            }
            (bytes, if is_v4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 })
        },
    )
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_slices_lie_within(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for ethertype in [ETHERTYPE_IPV4, ETHERTYPE_IPV6, 0x0806] {
            assert_all_within(&bytes, ethertype);
        }
    }

    #[test]
    fn plausible_packets_never_panic_and_slices_lie_within((bytes, ethertype) in plausible()) {
        assert_all_within(&bytes, ethertype);
    }

    #[test]
    fn link_headers_never_panic_and_networks_lie_within(
        bytes in prop::collection::vec(any::<u8>(), 0..100), number in prop::sample::select(vec![0u32, 1, 9, 50, 51, 101, 104, 113, 228, 276]),
    ) {
        let mut anomalies = Anomalies::NONE;
        if let Some(frame) = LinkType::from_number(number).unwrap().strip(&bytes, &mut anomalies) {
            prop_assert!(frame.network.is_empty() || lies_within(frame.network, &bytes));
        }
    }

    #[test]
    fn every_prefix_of_a_good_packet_decodes_without_panic(cut in 0usize..200) {
        for (_, packet, ethertype) in checksummed() {
            assert_all_within(packet.get(..cut).unwrap_or(&packet), ethertype);
        }
    }
}
