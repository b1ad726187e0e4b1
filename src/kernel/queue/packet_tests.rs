use super::*;
use proptest::prelude::*;

use crate::kernel::conntrack::cta;
use crate::kernel::netlink::wire::{Builder, NfGen};
use crate::packet::conntrack::ConntrackId;

fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(payload.len() + 4).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// As the kernel builds them: every attribute padded, but for the payload at the end.
fn datagram(family: u8, attrs: &[Vec<u8>]) -> Vec<u8> {
    let (last, others) = attrs.split_last().unwrap();
    let mut body: Vec<u8> =
        [&[family, 0, 0x1c, 0xe8][..], &others.iter().cloned().flat_map(padded).collect::<Vec<_>>()].concat();
    body.extend(last);
    let mut bytes = u32::try_from(body.len() + 16).unwrap().to_ne_bytes().to_vec();
    bytes.extend(0x0300u16.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes
}

fn header(hook: u8) -> Vec<u8> {
    attr(1, &[0, 0, 0x12, 0x34, 0x08, 0x00, hook])
}

#[test]
fn every_attribute_finds_its_field() {
    let vlan = [padded(attr(1, &[0x81, 0])), padded(attr(2, &[0x60, 0x2a]))].concat();
    let bytes = datagram(
        2,
        &[
            header(2),
            attr(3, &[0, 0, 0xbe, 0xef]),
            attr(4, &[[0, 0, 0, 0, 0x67, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 7]].concat()),
            attr(5, &[0, 0, 0, 2]),
            attr(6, &[0, 0, 0, 3]),
            attr(7, &[0, 0, 0, 4]),
            attr(8, &[0, 0, 0, 5]),
            attr(9, &[0, 6, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0]),
            attr(13, &[0, 0, 0x10, 0]),
            attr(14, &[0, 0, 0, 3]),
            attr(16, &[0, 0, 3, 0xe8]),
            attr(19 | 0x8000, &vlan),
            attr(20, &[0xaa; 14]),
            attr(21, &[0, 0, 0, 6]),
            attr(10, b"payload"),
        ],
    );
    assert_eq!(packet_id(&bytes), Some(0x1234));
    let packet = parse(&bytes).unwrap();
    assert_eq!((packet.id, packet.bytes()), (0x1234, &b"payload"[..]));
    assert_eq!(packet.timestamp, Some(Timestamp::from_micros(0x6700_0000 * 1_000_000 + 7)));
    assert_eq!(packet.l2_header, Some(&[0xaa; 14][..]));
    let ingress = packet.ingress();
    assert_eq!((ingress.ethertype, ingress.hook, ingress.mark, ingress.priority), (0x0800, Hook::Forward, 0xbeef, 6));
    assert_eq!((ingress.in_ifindex, ingress.out_ifindex), (2, 3));
    assert_eq!((ingress.phys_in_ifindex, ingress.phys_out_ifindex), (4, 5));
    assert_eq!(ingress.source_mac, Some([2, 0, 0, 0, 0, 9]));
    assert_eq!(ingress.vlan, [Some(VlanTag { protocol: 0x8100, tci: 0x602a }), None, None]);
    assert_eq!((ingress.checksum, ingress.gso, ingress.full_len), (ChecksumStatus::NotReady, true, 4096));
    assert!(ingress.conntrack.is_none() && !packet.conntrack_malformed);
}

#[test]
fn absent_attributes_have_defaults() {
    let bytes = datagram(2, &[header(0), attr(10, &[0x45; 33])]);
    let packet = parse(&bytes).unwrap();
    let ingress = packet.ingress();
    assert_eq!((ingress.hook, ingress.full_len, ingress.bytes.len()), (Hook::Prerouting, 33, 33));
    assert_eq!((ingress.checksum, ingress.gso, ingress.mark), (ChecksumStatus::Verified, false, 0));
}

#[test]
fn checksum_bits_are_told_apart() {
    let cases = [
        (0, ChecksumStatus::Verified, false),
        (1, ChecksumStatus::NotReady, false),
        (2, ChecksumStatus::Verified, true),
        (4, ChecksumStatus::NotVerified, false),
        (6, ChecksumStatus::NotVerified, true),
    ];
    for (bits, checksum, gso) in cases {
        let bytes = datagram(2, &[header(1), attr(14, &[0, 0, 0, bits]), attr(10, b"x")]);
        let packet = parse(&bytes).unwrap();
        assert_eq!((packet.ingress().checksum, packet.ingress().gso), (checksum, gso), "{bits}");
    }
}

/// An entry as `__ctnetlink_glue_build` writes it, UDP 10.0.0.1:4660 to 10.0.0.2:53.
fn entry() -> Vec<u8> {
    let mut builder = Builder::default();
    let message = builder.begin(0, 0, 0, NfGen { family: 2, version: 0, res_id: 0 });
    for (kind, src, dst, ports) in [(cta::TUPLE_ORIG, 1, 2, [0x1234, 53]), (cta::TUPLE_REPLY, 2, 1, [53, 0x1234])] {
        let tuple = builder.begin_nested(kind);
        let ip = builder.begin_nested(cta::TUPLE_IP);
        builder.attr(cta::IP_V4_SRC, &[10, 0, 0, src]);
        builder.attr(cta::IP_V4_DST, &[10, 0, 0, dst]);
        builder.end_nested(ip);
        let proto = builder.begin_nested(cta::TUPLE_PROTO);
        builder.attr_u8(cta::PROTO_NUM, 17);
        builder.attr_be16(cta::PROTO_SRC_PORT, ports[0]);
        builder.attr_be16(cta::PROTO_DST_PORT, ports[1]);
        builder.end_nested(proto);
        builder.end_nested(tuple);
    }
    builder.attr_be32(cta::ID, 77);
    builder.attr_be32(cta::STATUS, 8);
    builder.attr_be32(cta::MARK, 0x0100_0000);
    builder.end(message);
    builder.as_bytes()[20..].to_vec()
}

#[test]
fn the_entry_comes_with_its_direction() {
    let bytes = datagram(2, &[header(2), attr(11 | 0x8000, &entry()), attr(12, &[0, 0, 0, 3]), attr(10, b"x")]);
    let packet = parse(&bytes).unwrap();
    let tracked = packet.ingress().conntrack.unwrap();
    assert_eq!(tracked.info, CtInfo::EstablishedReply);
    assert_eq!((tracked.entry.id, tracked.entry.mark), (ConntrackId(77), 0x0100_0000));
    assert_eq!((tracked.entry.orig.src_port, tracked.entry.orig.dst_port), (0x1234, 53));
    assert!(tracked.entry.status.is_confirmed());
}

#[test]
fn an_entry_without_sense_is_left_out_and_told() {
    let broken = [attr(11, b"junk"), attr(11, &entry()[..40])];
    for entry in broken {
        let bytes = datagram(2, &[header(2), entry, attr(12, &[0, 0, 0, 0]), attr(10, b"x")]);
        let packet = parse(&bytes).unwrap();
        assert!(packet.conntrack_malformed && packet.ingress().conntrack.is_none());
    }
    for info in [vec![], attr(12, &[0, 0, 0, 7])] {
        let bytes = datagram(2, &[header(2), attr(11, &entry()), info, attr(10, b"x")]);
        assert!(parse(&bytes).unwrap().conntrack_malformed);
    }
}

#[test]
fn the_degraded_mode_may_attach_an_entry_of_its_own() {
    let bytes = datagram(2, &[header(2), attr(11, &entry()), attr(12, &[0, 0, 0, 2]), attr(10, b"x")]);
    let (known, info) = parse(&bytes).unwrap().conntrack.unwrap();
    let bare = datagram(2, &[header(2), attr(10, b"x")]);
    let packet = parse(&bare).unwrap();
    let mut ingress = packet.ingress();
    ingress.conntrack = Some(Tracked { entry: &known, info });
    assert_eq!(ingress.conntrack.unwrap().entry.id, ConntrackId(77));
}

#[test]
fn a_broken_packet_still_tells_its_id() {
    let whole = datagram(2, &[header(2), attr(3, &[0, 0, 0, 1]), attr(10, b"payload")]);
    let cases: [(&str, Vec<u8>); 5] = [
        ("cut in the payload", whole[..whole.len() - 3].to_vec()),
        ("cut behind the id", whole[..28].to_vec()),
        ("no payload", datagram(2, &[header(2)])),
        ("unknown hook", datagram(2, &[header(9), attr(10, b"x")])),
        ("short mark", datagram(2, &[header(2), attr(3, &[1]), attr(10, b"x")])),
    ];
    for (what, bytes) in cases {
        assert_eq!(packet_id(&bytes), Some(0x1234), "{what}");
        assert!(parse(&bytes).is_none(), "{what}");
    }
    assert_eq!(packet_id(&whole[..27]), None, "cut in the id");
    let mut error = whole;
    error[4..6].copy_from_slice(&2u16.to_ne_bytes());
    assert_eq!(packet_id(&error), None, "not a packet");
    assert!(parse(&error).is_none());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = packet_id(&bytes);
        let _ = parse(&bytes);
    }

    #[test]
    fn any_damage_is_read_without_panic(at in 0usize..300, value in any::<u8>(), cut in 0usize..300) {
        let mut bytes = datagram(2, &[header(2), attr(11, &entry()), attr(12, &[0, 0, 0, 0]), attr(10, &[7; 40])]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(cut);
        if let Some(packet) = parse(&bytes) {
            prop_assert!(packet.bytes().len() <= bytes.len());
        }
    }
}
