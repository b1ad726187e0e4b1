use proptest::prelude::*;

use super::*;
use crate::kernel::netlink::wire::Attrs;

/// A tuple of an IPv4 connection as `ctnetlink_dump_tuples` writes it, `kind` being the outer attribute's.
fn tuple_v4(kind: u8, src: [u8; 4], dst: [u8; 4], proto: &[u8]) -> Vec<u8> {
    let mut ip = vec![20, 0, 1, 0x80, 8, 0, 1, 0];
    ip.extend(src);
    ip.extend([8, 0, 2, 0]);
    ip.extend(dst);
    nest(kind, &[ip, proto.to_vec()].concat())
}

fn nest(kind: u8, inner: &[u8]) -> Vec<u8> {
    [&[u8::try_from(inner.len() + 4).unwrap(), 0, kind, 0x80], inner].concat()
}

const TCP_40000_80: [u8; 28] = [
    28, 0, 2, 0x80, 5, 0, 1, 0, 6, 0, 0, 0, // protocol 6, padded
    6, 0, 2, 0, 0x9c, 0x40, 0, 0, // source port
    6, 0, 3, 0, 0, 80, 0, 0, // destination port
];
const TCP_80_61000: [u8; 28] =
    [28, 0, 2, 0x80, 5, 0, 1, 0, 6, 0, 0, 0, 6, 0, 2, 0, 0, 80, 0, 0, 6, 0, 3, 0, 0xee, 0x48, 0, 0];

/// Both tuples of 10.0.0.1:40000 -> 192.0.2.1:80, which is 10.1.0.2 behind DNAT, masqueraded as 10.1.0.1:61000.
fn nat_tuples() -> Vec<u8> {
    [
        tuple_v4(1, [10, 0, 0, 1], [192, 0, 2, 1], &TCP_40000_80),
        tuple_v4(2, [10, 1, 0, 2], [10, 1, 0, 1], &TCP_80_61000),
    ]
    .concat()
}

fn tuple(src: &str, dst: &str, protocol: u8, src_port: u16, dst_port: u16) -> Tuple {
    Tuple { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol, src_port, dst_port }
}

fn nat_entry() -> Conntrack {
    Conntrack::of_tuples(0, tuple("10.0.0.1", "192.0.2.1", 6, 40000, 80), tuple("10.1.0.2", "10.1.0.1", 6, 80, 61000))
}

fn parse(bytes: &[u8]) -> Option<Conntrack> {
    parse_conntrack(Attrs::new(bytes), AF_INET)
}

#[test]
fn tuples_alone_make_an_entry() {
    assert_eq!(parse(&nat_tuples()), Some(nat_entry()));
}

#[test]
fn each_attribute_fills_its_field() {
    let set = |change: fn(&mut Conntrack)| {
        let mut entry = nat_entry();
        change(&mut entry);
        entry
    };
    let labels = [&[20u8, 0, 22, 0][..], &[0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]].concat();
    let tcp = nest(
        4,
        &nest(
            1,
            &[
                [5, 0, 1, 0, 3, 0, 0, 0],
                [5, 0, 2, 0, 7, 0, 0, 0],
                [5, 0, 3, 0, 9, 0, 0, 0],
                [6, 0, 4, 0, 0x23, 0xff, 0, 0],
                [6, 0, 5, 0, 0x33, 0xff, 0, 0],
            ]
            .concat(),
        ),
    );
    let counters = nest(9, &[12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5, 12, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    let timestamp = nest(20, &[12, 0, 1, 0, 0x17, 0, 0, 0, 0, 0, 0, 1, 12, 0, 2, 0, 0x17, 0, 0, 0, 0, 0, 0, 9]);
    let cases: Vec<(&str, Vec<u8>, Conntrack)> = vec![
        ("zone", vec![6, 0, 18, 0, 0, 7, 0, 0], set(|e| e.zone = 7)),
        ("id", vec![8, 0, 12, 0, 0x16, 0x0c, 0x16, 0x73], set(|e| e.id = ConntrackId(369_890_931))),
        ("status", vec![8, 0, 3, 0, 0, 0, 1, 0x8e], set(|e| e.status = CtStatus(0x18e))),
        ("timeout", vec![8, 0, 7, 0, 0, 6, 0x97, 0x80], set(|e| e.timeout_s = Some(432_000))),
        ("mark", vec![8, 0, 8, 0, 0x07, 0, 0, 0x10], set(|e| e.mark = 0x0700_0010)),
        (
            "tcp",
            tcp,
            set(|e| {
                e.tcp = Some(TcpTrack {
                    state: TcpState::Established,
                    wscale_orig: 7,
                    wscale_reply: 9,
                    flags_orig: 0x23,
                    flags_reply: 0x33,
                });
            }),
        ),
        ("counters", counters, set(|e| e.counters_orig = Some(Counters { packets: 5, bytes: (1 << 32) + 2 }))),
        (
            "timestamp",
            timestamp,
            set(|e| {
                (e.start_ns, e.stop_ns) = (Some(0x1700_0000_0000_0001), Some(0x1700_0000_0000_0009));
            }),
        ),
        ("start of an unconfirmed entry", nest(20, &[12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), nat_entry()),
        ("helper", nest(5, b"\x08\0\x01\0ftp\0"), set(|e| e.helper = Some(HelperName::from_bytes(b"ftp")))),
        (
            "labels",
            labels,
            set(|e| {
                e.labels = Some(Labels([0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]));
            }),
        ),
        (
            "master",
            tuple_v4(14, [1, 1, 1, 1], [2, 2, 2, 2], &TCP_40000_80),
            set(|e| {
                e.master = Some(tuple("1.1.1.1", "2.2.2.2", 6, 40000, 80));
            }),
        ),
        ("unknown", vec![8, 0, 99, 0, 1, 2, 3, 4], nat_entry()),
        ("flag bits in the type", vec![8, 0, 8, 0x40, 0, 0, 0, 1], set(|e| e.mark = 1)),
    ];
    for (name, attribute, wanted) in cases {
        assert_eq!(parse(&[nat_tuples(), attribute].concat()), Some(wanted), "{name}");
    }
}

#[test]
fn a_zone_of_one_direction_counts_for_the_original_only() {
    let zone = [6u8, 0, 3, 0, 0, 5, 0, 0];
    let orig = [&TCP_40000_80[..], &zone].concat();
    let reply = [&TCP_80_61000[..], &zone].concat();
    let (a, b, c, d) = ([10, 0, 0, 1], [192, 0, 2, 1], [10, 1, 0, 2], [10, 1, 0, 1]);
    let original_only = [tuple_v4(1, a, b, &orig), tuple_v4(2, c, d, &TCP_80_61000)].concat();
    let reply_only = [tuple_v4(1, a, b, &TCP_40000_80), tuple_v4(2, c, d, &reply)].concat();
    assert_eq!(parse(&original_only).map(|entry| entry.zone), Some(5));
    assert_eq!(parse(&reply_only).map(|entry| entry.zone), Some(0));
}

#[test]
fn icmp_is_identifier_and_type_with_code() {
    let icmp = [28, 0, 2, 0x80, 5, 0, 1, 0, 1, 0, 0, 0, 6, 0, 4, 0, 0x12, 0x34, 0, 0, 5, 0, 5, 0, 8, 0, 0, 0];
    let code = [5, 0, 6, 0, 3, 0, 0, 0];
    let mut with_code = [&icmp[..], &code].concat();
    with_code[0] = 36;
    let bytes = tuple_v4(1, [10, 0, 0, 1], [10, 0, 0, 2], &with_code);
    let outer = Attrs::new(&bytes).next().unwrap();
    assert_eq!(parse_tuple(outer.nested()), Some(tuple("10.0.0.1", "10.0.0.2", 1, 0x1234, 0x0803)));
}

#[test]
fn what_has_no_identity_is_refused() {
    let one = tuple_v4(1, [10, 0, 0, 1], [192, 0, 2, 1], &TCP_40000_80);
    let no_protocol = tuple_v4(2, [10, 1, 0, 2], [10, 1, 0, 1], &[4, 0, 2, 0x80]);
    for (name, bytes) in [
        ("nothing", vec![]),
        ("no reply tuple", one.clone()),
        ("reply without protocol", [one.clone(), no_protocol].concat()),
        ("cut in the reply", nat_tuples()[..80].to_vec()),
        ("id of two bytes", [nat_tuples(), vec![6, 0, 12, 0, 1, 2, 0, 0]].concat()),
    ] {
        assert_eq!(parse(&bytes), None, "{name}");
    }
    assert_eq!(parse_conntrack(Attrs::new(&nat_tuples()), AF_INET6), None, "IPv4 entry in an IPv6 message");
    assert!(parse_conntrack(Attrs::new(&nat_tuples()), 7).is_some(), "bridge messages hold either family");
}

#[test]
fn a_mark_never_touches_bits_outside_its_mask() {
    let mut builder = Builder::default();
    put_mark(&mut builder, 0xffff_ffff, 0x0700_0000);
    assert_eq!(builder.as_bytes(), [8, 0, 8, 0, 7, 0, 0, 0, 8, 0, 21, 0, 7, 0, 0, 0]);
    builder.clear();
    put_labels(&mut builder, &Labels([0xff; 16]), &Labels([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    let attrs: Vec<_> = Attrs::new(builder.as_bytes()).map(|attr| attr.payload.to_vec()).collect();
    assert_eq!((attrs[0][0], attrs[0][1], attrs[1][1], attrs[0].len()), (0, 1, 1, 16));
    builder.clear();
    put_zone(&mut builder, 0);
    assert!(builder.is_empty());
}

#[test]
fn a_tuple_is_written_as_the_kernel_writes_it() {
    let mut builder = Builder::default();
    put_tuple(&mut builder, cta::TUPLE_ORIG, &nat_entry().orig);
    assert_eq!(builder.as_bytes(), tuple_v4(1, [10, 0, 0, 1], [192, 0, 2, 1], &TCP_40000_80));
}

fn any_address(v4: bool) -> BoxedStrategy<IpAddr> {
    if v4 { any::<[u8; 4]>().prop_map(IpAddr::from).boxed() } else { any::<[u8; 16]>().prop_map(IpAddr::from).boxed() }
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    any::<bool>().prop_flat_map(|v4| {
        let protocol = prop_oneof![Just(6u8), Just(17), Just(IPPROTO_ICMP), Just(IPPROTO_ICMPV6), any::<u8>()];
        (any_address(v4), any_address(v4), protocol, any::<u16>(), any::<u16>())
            .prop_map(|(src, dst, protocol, src_port, dst_port)| Tuple { src, dst, protocol, src_port, dst_port })
    })
}

proptest! {
    #[test]
    fn a_written_tuple_reads_back(tuple in any_tuple()) {
        let mut builder = Builder::default();
        put_tuple(&mut builder, cta::TUPLE_REPLY, &tuple);
        let attr = Attrs::new(builder.as_bytes()).next().unwrap();
        prop_assert_eq!((attr.kind, parse_tuple(attr.nested())), (cta::TUPLE_REPLY, Some(tuple)));
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_conntrack(Attrs::new(&bytes), AF_INET);
    }

    #[test]
    fn a_bent_entry_is_parsed_without_panic(at in 0usize..160, value: u8, cut in 0usize..200) {
        let timestamp = nest(20, &[12, 0, 1, 0, 0x17, 0, 0, 0, 0, 0, 0, 1]);
        let mut bytes = [nat_tuples(), timestamp, vec![8, 0, 3, 0, 0, 0, 1, 0x8e]].concat();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(cut);
        let _ = parse_conntrack(Attrs::new(&bytes), AF_INET);
    }
}
