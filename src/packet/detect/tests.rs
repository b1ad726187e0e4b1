use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::packet::decode::{Icmp, Ip, Tcp, Udp};
use crate::packet::ingress::VlanTag;
use crate::rules::events::PacketEvent;
use crate::rules::{Context, Options, Source, Vars, compile};

/// A rule set with all that judging needs.
pub(super) struct Bench {
    pub set: Arc<RuleSet>,
    thread: DetectThread,
    shared: SharedDetectState,
    now: Timestamp,
}

impl Bench {
    /// The rules that compile; others are left out.
    pub(super) fn of(rules: &str) -> Bench {
        let context = Context { vars: Vars::standard(), ..Context::default() };
        let compiled = compile(&[Source::new("test.rules", rules)], &context, &Options::default());
        Bench {
            set: compiled.set,
            thread: DetectThread::new(),
            shared: SharedDetectState::default(),
            now: Timestamp::from_micros(1_700_000_000_000_000),
        }
    }

    /// Like [`Bench::of`], and every rule must compile.
    pub fn whole(rules: &str) -> Bench {
        let bench = Bench::of(rules);
        let wanted = rules.lines().filter(|line| !line.trim().is_empty()).count();
        assert_eq!(bench.set.len(), wanted, "not all of these compile:\n{rules}");
        bench
    }

    pub fn outcome(&mut self, headers: &Headers<'_>, flow: Option<FlowView<'_>>) -> (Vec<(u32, bool)>, Decision) {
        let ingress = Ingress::bare(&[], 0x0800);
        let outcome = self.thread.inspect(&self.set, &ingress, headers, flow, &self.shared, self.now);
        (outcome.matches().map(|found| (found.rule.sid, found.alert)).collect(), outcome.decision)
    }

    pub(super) fn sids(&mut self, headers: &Headers<'_>) -> Vec<u32> {
        self.outcome(headers, None).0.into_iter().map(|(sid, _)| sid).collect()
    }

    pub(super) fn sids_in(&mut self, headers: &Headers<'_>, flow: FlowView<'_>) -> Vec<u32> {
        self.outcome(headers, Some(flow)).0.into_iter().map(|(sid, _)| sid).collect()
    }

    pub(super) fn counters(&self) -> DetectCounters {
        self.thread.counters()
    }

    fn alerts(&mut self, headers: &Headers<'_>) -> Vec<u32> {
        self.outcome(headers, None).0.into_iter().filter(|(_, alert)| *alert).map(|(sid, _)| sid).collect()
    }
}

fn ip(src: &str, dst: &str, protocol: u8) -> Ip<'static> {
    let src: IpAddr = src.parse().unwrap();
    Ip {
        src,
        dst: dst.parse().unwrap(),
        version: if src.is_ipv4() { 4 } else { 6 },
        protocol,
        ttl: 64,
        tos: 0,
        id: 4660,
        flow_label: 0,
        fragment_flags: 2,
        fragment_offset: 0,
        total_len: 40,
        options: &[],
        header: &[],
    }
}

fn segment(flags: u8) -> Tcp<'static> {
    Tcp {
        src_port: 40000,
        dst_port: 80,
        seq: 7,
        ack: 9,
        flags,
        reserved: 0,
        window: 512,
        checksum: 0,
        urgent: 0,
        options: &[2, 4, 0x05, 0xb4, 1, 3, 3, 7],
        header: &[],
    }
}

pub(super) fn tcp(payload: &[u8]) -> Headers<'_> {
    Headers { ip: ip("192.168.1.5", "8.8.8.8", 6), transport: Transport::Tcp(segment(Tcp::ACK | Tcp::PSH)), payload }
}

pub(super) fn udp(payload: &[u8]) -> Headers<'_> {
    let transport = Transport::Udp(Udp { src_port: 40000, dst_port: 53, len: 0, checksum: 0, header: &[] });
    Headers { ip: ip("192.168.1.5", "8.8.8.8", 17), transport, payload }
}

fn icmp(icmp_type: u8, id: u16) -> Headers<'static> {
    let transport = Transport::Icmp(Icmp { icmp_type, icmp_code: 0, checksum: 0, id, seq: 3, header: &[] });
    Headers { ip: ip("192.168.1.5", "8.8.8.8", 1), transport, payload: b"ping" }
}

/// Rules as `options => does it match`, on one packet.
fn table(protocol: &str, headers: &Headers<'_>, cases: &[(&str, bool)]) {
    for (options, expected) in cases {
        let rule = format!("alert {protocol} any any -> any any ({options} sid:1;)");
        assert_eq!(!Bench::whole(&rule).sids(headers).is_empty(), *expected, "{options}");
    }
}

#[test]
fn contents_stand_where_their_modifiers_say() {
    let payload = b"GET /index.php?id=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    table(
        "tcp",
        &tcp(payload),
        &[
            (r#"content:"GET";"#, true),
            (r#"content:"get";"#, false),
            (r#"content:"get"; nocase;"#, true),
            (r#"content:"GET"; startswith;"#, true),
            (r#"content:"ET"; startswith;"#, false),
            (r#"content:"|0d 0a 0d 0a|"; endswith;"#, true),
            (r#"content:"|0d 0a|"; endswith;"#, true),
            (r#"content:"HTTP"; endswith;"#, false),
            (r#"content:"index"; offset:5; depth:5;"#, true),
            (r#"content:"index"; offset:6;"#, false),
            (r#"content:"index"; offset:4; depth:5;"#, false),
            (r#"content:"id="; content:"1"; distance:0; within:1;"#, true),
            (r#"content:"id="; content:"HTTP"; distance:1; within:5;"#, true),
            (r#"content:"id="; content:"HTTP"; distance:1; within:4;"#, false),
            (r#"content:"HTTP"; content:"GET"; distance:-26; within:3;"#, false),
            (r#"content:"HTTP"; content:"GET"; distance:-24; within:3;"#, true),
            (r#"content:!"POST";"#, true),
            (r#"content:!"GET";"#, false),
            (r#"content:"id="; content:!"2"; distance:0; within:1;"#, true),
            (r#"content:"GET"; isdataat:10,relative;"#, true),
            (r#"content:"|0d 0a 0d 0a|"; isdataat:!1,relative;"#, true),
            (r#"isdataat:40;"#, true),
            (r#"isdataat:41;"#, false),
            (r#"bsize:41;"#, true),
            (r#"bsize:40<>42;"#, true),
            (r#"dsize:41; content:"GET";"#, true),
            (r#"dsize:>41; content:"GET";"#, false),
        ],
    );
}

#[test]
fn a_wrong_first_anchor_is_not_the_end() {
    table(
        "tcp",
        &tcp(b"a1 a2 a3b"),
        &[
            (r#"content:"a"; content:"3"; within:1; content:"b"; within:1;"#, true),
            (r#"content:"a"; content:"4"; within:1;"#, false),
            // Each `a` but the last is followed by a digit that is not 3.
            (r#"content:"a"; content:!"1"; distance:0; within:1; content:"2"; within:1;"#, true),
            (r#"content:"a"; content:!"1"; within:1; content:!"2"; within:1; content:!"3"; within:1;"#, false),
            (r#"content:"a"; isdataat:!3,relative;"#, true),
            (r#"content:"a"; isdataat:!2,relative;"#, false),
            (r#"content:"a"; byte_test:1,=,0x33,0,relative;"#, true),
        ],
    );
}

#[test]
fn numbers_are_read_from_the_payload() {
    let payload = b"\x00\x05hello\x00\x00\x00\x02xy length=0017;\xff\xfe";
    table(
        "tcp",
        &tcp(payload),
        &[
            ("byte_test:2,=,5,0;", true),
            ("byte_test:2,!=,5,0;", false),
            ("byte_test:2,=,0x0500,0,little;", true),
            ("byte_test:2,&,0x8000,24;", false),
            ("byte_test:1,&,1,1;", true),
            ("byte_test:2,=,5,0,bitmask 0x00ff;", true),
            ("byte_test:2,=,2,0,bitmask 0x0006;", true),
            ("byte_test:2,=,5,200;", false),
            (r#"content:"length="; byte_test:4,=,17,0,relative,string,dec;"#, true),
            (r#"content:"length="; byte_test:4,=,23,0,relative,string,hex;"#, true),
            (r#"content:"length="; byte_test:4,=,15,0,relative,string,oct;"#, true),
            (r#"content:"length="; byte_test:0,=,17,0,relative,string,dec;"#, true),
            (r#"byte_jump:2,0; content:"|00 00 00 02|"; within:4;"#, true),
            (r#"byte_jump:2,0; content:"hello"; distance:0;"#, false),
            (r#"content:"hello"; byte_jump:4,0,relative; content:" length"; within:7;"#, true),
            (r#"byte_jump:1,1,from_beginning; content:"lo"; within:2;"#, true),
            (r#"byte_jump:1,0,from_end,post_offset -2; content:"|ff fe|"; within:2;"#, true),
            (r#"byte_extract:2,0,n; content:"hello"; depth:n; offset:2;"#, true),
            (r#"byte_extract:1,1,n; byte_test:1,=,n,1;"#, true),
            // The next test is relative to the end of what was extracted.
            (r#"byte_extract:2,0,n; content:"hello"; within:5;"#, true),
            (r#"content:"length="; byte_extract:4,0,n,relative,string,dec; content:"|3b|"; within:1;"#, true),
            (r#"byte_extract:1,1,n; content:"|00 00|"; distance:n; within:2;"#, true),
            (r#"byte_math:bytes 1, offset 1, oper +, rvalue 2, result n; content:"|00 00|"; offset:n; depth:2;"#, true),
            (r#"byte_math:bytes 1, offset 1, oper +, rvalue 3, result n; content:"lo"; offset:n; depth:2;"#, false),
        ],
    );
}

#[test]
fn expressions_match_where_their_flags_say() {
    let payload = b"user=Admin;id=7\r\nuser=guest;id=9\r\n";
    let table_of = |cases: &[(&str, bool)]| table("tcp", &tcp(payload), cases);
    table_of(&[
        (r#"pcre:"/user=[A-Z]/";"#, true),
        (r#"pcre:"/USER=admin/i";"#, true),
        (r#"pcre:"/USER=admin/";"#, false),
        (r#"pcre:!"/root/";"#, true),
        (r#"pcre:!"/user/";"#, false),
        (r#"pcre:"/^id=/m";"#, false),
        (r#"pcre:"/^user=guest/m";"#, true),
        (r#"pcre:"/^user=guest/";"#, false),
        (r#"pcre:"/Admin.*guest/s";"#, true),
        (r#"pcre:"/Admin.*guest/";"#, false),
        (r#"pcre:"/id=/A";"#, false),
        (r#"pcre:"/user=/A";"#, true),
        (r#"pcre:"/a d m i n # name/xi";"#, true),
        (r#"content:"id="; pcre:"/^9/R";"#, true),
        (r#"content:"id="; pcre:"/^8/R";"#, false),
        (r#"pcre:"/user=/"; content:"guest"; within:5;"#, true),
        (r#"pcre:"/user=/"; content:"nobody"; within:6;"#, false),
        (r#"pcre:"/(?<=id=)\d/"; content:"|0d 0a|"; within:2;"#, true),
        (r#"content:"user"; pcre:"/id=(\d)\r\n.*id=(?!\1)/sR";"#, true),
    ]);
}

#[test]
fn transforms_change_the_buffer_in_their_order() {
    table(
        "tcp",
        &tcp(b"Example.COM a%2Fb+c \r\n\td%zz"),
        &[
            (r#"pkt_data; dotprefix; content:".Example"; startswith;"#, true),
            (r#"pkt_data; to_lowercase; content:"example.com";"#, true),
            (r#"pkt_data; to_uppercase; content:"EXAMPLE.COM A%2FB"; startswith;"#, true),
            (r#"pkt_data; url_decode; content:"a/b c";"#, true),
            (r#"pkt_data; url_decode; content:"d%zz"; endswith;"#, true),
            (r#"pkt_data; strip_whitespace; content:"COMa%2Fb+cd%zz"; endswith;"#, true),
            (r#"pkt_data; compress_whitespace; content:"c d";"#, true),
            (r#"pkt_data; url_decode; strip_whitespace; content:"a/bcd";"#, true),
            (r#"pkt_data; to_lowercase; dotprefix; content:".example.com"; startswith; bsize:28;"#, true),
            (r#"pkt_data; xor:"20"; content:"eXAMPLE|0e|com"; startswith;"#, true),
            (r#"pkt_data; pcrexform:"(\w+)%"; content:"a"; startswith; bsize:1;"#, true),
            (r#"pkt_data; pcrexform:"(nothing)"; content:"a";"#, false),
            // The same buffer twice: as it is, and transformed.
            (r#"content:"Example"; pkt_data; to_lowercase; content:"example";"#, true),
            (r#"content:"example"; pkt_data; to_lowercase; content:"example";"#, false),
        ],
    );
}

#[test]
fn an_expression_that_explodes_is_given_up() {
    let rule = r#"alert tcp any any -> any any (pcre:"/^(?:(a+)+)+b\1$/"; sid:1;)"#;
    let mut bench = Bench::whole(rule);
    assert_eq!(bench.sids(&tcp(&[b'a'; 1400])), [] as [u32; 0]);
    assert!(bench.thread.counters().limit_reached <= 1);
}

#[test]
fn what_comes_nowhere_behind_is_not_looked_for_from_every_place() {
    let rule = r#"alert tcp any any -> any any (content:"ab"; content:"q"; distance:0; within:5; content:"zz"; distance:0; sid:1;)"#;
    let mut bench = Bench::whole(rule);
    assert_eq!(bench.sids(&tcp(&b"abq".repeat(10_000))), [] as [u32; 0]);
    assert_eq!(bench.thread.counters().limit_reached, 0);
}

#[test]
fn header_fields_are_compared() {
    let mut packet = tcp(b"x");
    packet.ip.options = &[7, 3, 4, 0];
    table(
        "tcp",
        &packet,
        &[
            ("flags:PA;", true),
            ("flags:A;", false),
            ("flags:A+;", true),
            ("flags:+A;", true),
            ("flags:*SA;", true),
            ("flags:!S;", true),
            ("flags:!A;", false),
            ("flags:A,P;", true),
            ("tcp.flags:PA;", true),
            ("seq:7; ack:9;", true),
            ("window:512;", true),
            ("window:!512;", false),
            ("tcp.mss:1460;", true),
            ("tcp.mss:<1000;", false),
            ("ttl:64;", true),
            ("ttl:>64;", false),
            ("tos:!8;", true),
            ("id:4660;", true),
            ("fragbits:D;", true),
            ("fragbits:M;", false),
            ("fragbits:!M;", true),
            ("fragoffset:0;", true),
            ("ip_proto:6;", true),
            ("ip_proto:!udp;", true),
            ("ipopts:rr;", true),
            ("ipopts:any;", true),
            ("ipopts:lsrr;", false),
            ("sameip;", false),
        ],
    );
    table(
        "icmp",
        &icmp(8, 77),
        &[
            ("itype:8;", true),
            ("itype:>8;", false),
            ("itype:7<>9;", true),
            ("icode:0;", true),
            ("icmp_id:77;", true),
            ("icmp_seq:3;", true),
            (r#"content:"ping";"#, true),
        ],
    );
    table("icmp", &icmp(3, 77), &[("icmp_id:77;", false)]);
}

#[test]
fn headers_narrow_by_protocol_address_and_port() {
    let cases = [
        ("tcp any any -> any any", true),
        ("ip any any -> any any", true),
        ("udp any any -> any any", false),
        ("ipv6 any any -> any any", false),
        ("tcp-pkt any any -> any any", true),
        ("tcp-stream any any -> any any", true),
        ("pkthdr any any -> any any", true),
        ("tcp $HOME_NET any -> $EXTERNAL_NET any", true),
        ("tcp $EXTERNAL_NET any -> $HOME_NET any", false),
        ("tcp $EXTERNAL_NET any <> $HOME_NET any", true),
        ("tcp any any -> any 80", true),
        ("tcp any 80 -> any any", false),
        ("tcp any 80 <> any 40000", true),
        ("tcp any any -> any [1:79,81:]", false),
        ("tcp any any -> any !80", false),
        ("tcp any 1024: -> any [80,443]", true),
    ];
    for (header, expected) in cases {
        let mut bench = Bench::whole(&format!("alert {header} (sid:1;)"));
        assert_eq!(!bench.sids(&tcp(b"abc")).is_empty(), expected, "{header}");
    }
}

#[test]
fn flow_asks_for_direction_and_state() {
    let cases = [
        ("to_server", Some((Direction::Original, false)), true),
        ("to_server", Some((Direction::Reply, false)), false),
        ("from_server", Some((Direction::Reply, false)), true),
        ("established,to_client", Some((Direction::Reply, true)), true),
        ("established", Some((Direction::Reply, false)), false),
        ("not_established", Some((Direction::Original, false)), true),
        ("stateless", None, true),
        ("to_server", None, false),
        ("established", None, false),
    ];
    for (words, flow, expected) in cases {
        let mut bench = Bench::whole(&format!("alert tcp any any -> any any (flow:{words}; content:\"a\"; sid:1;)"));
        let mut state = FlowDetectState::default();
        let view = flow.map(|(direction, established)| flow_view(direction, established, &mut state));
        assert_eq!(!bench.outcome(&tcp(b"abc"), view).0.is_empty(), expected, "{words} {flow:?}");
    }
}

#[test]
fn a_rule_without_flow_matches_both_directions() {
    let mut bench = Bench::whole("alert tcp any any -> any any (content:\"a\"; sid:1;)");
    for direction in [Direction::Original, Direction::Reply] {
        let mut state = FlowDetectState::default();
        let view = flow_view(direction, true, &mut state);
        assert_eq!(bench.outcome(&tcp(b"abc"), Some(view)).0, [(1, true)]);
    }
}

#[test]
fn rules_of_addresses_alone_speak_once_per_flow_and_direction() {
    let rules = "alert ip [8.8.8.8,9.9.9.0/24] any -> any any (sid:1;)\n\
                 alert ip any any -> [8.8.8.8,1.1.1.1] any (sid:2;)\n\
                 alert tcp any any -> 8.8.8.8 any (flags:A+; sid:3;)\n\
                 alert udp any any -> 8.8.8.8 any (sid:4;)";
    let mut bench = Bench::whole(rules);
    let mut state = FlowDetectState::default();
    let mut reply = tcp(b"x");
    std::mem::swap(&mut reply.ip.src, &mut reply.ip.dst);
    let mut found = Vec::new();
    for (packet, direction) in [
        (tcp(b"x"), Direction::Original),
        (tcp(b"x"), Direction::Original),
        (reply, Direction::Reply),
        (reply, Direction::Reply),
    ] {
        let view = flow_view(direction, true, &mut state);
        found.push(bench.outcome(&packet, Some(view)).0.into_iter().map(|(sid, _)| sid).collect::<Vec<_>>());
    }
    assert_eq!(found, [vec![2, 3], vec![3], vec![1], vec![]]);
    // Without a flow each packet stands for itself.
    assert_eq!((bench.sids(&tcp(b"x")), bench.sids(&tcp(b"x"))), (vec![2, 3], vec![2, 3]));
}

#[test]
fn the_hook_flow_start_is_the_first_packet_of_each_direction() {
    let mut bench = Bench::whole("alert tcp:flow_start any any -> any any (dsize:>0; sid:1;)");
    let mut state = FlowDetectState::default();
    let mut heard = |direction| {
        let view = flow_view(direction, false, &mut state);
        !bench.outcome(&tcp(b"x"), Some(view)).0.is_empty()
    };
    assert!(heard(Direction::Original));
    assert!(!heard(Direction::Original));
    assert!(heard(Direction::Reply));
    assert!(bench.sids(&tcp(b"x")).is_empty(), "without a flow nothing starts");
}

#[test]
fn rules_about_packets_decide_about_packets() {
    let cases = [
        ("drop tcp any any -> any any (sid:1;)", true),
        ("drop tcp any any -> any 80 (sid:1;)", false),
        ("drop tcp any any -> any 80 (content:\"x\"; sid:1;)", true),
        ("drop tcp-pkt any any -> any 80 (content:\"x\"; sid:1;)", false),
        ("drop http any any -> any any (sid:1;)", true),
        ("drop http any any -> any any (dsize:0; sid:1;)", false),
        ("drop http any any -> any any (http.uri; content:\"x\"; sid:1;)", true),
    ];
    for (rule, flow) in cases {
        assert_eq!(Bench::whole(rule).set.rules()[0].decides_flow(), flow, "{rule}");
    }
}

#[test]
fn pass_before_drop_before_reject_before_alert() {
    let rules = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n\
                 reject tcp any any -> any any (content:\"b\"; sid:2;)\n\
                 drop tcp any any -> any any (content:\"c\"; sid:3;)\n\
                 pass tcp any any -> any any (content:\"d\"; sid:4;)\n\
                 rejectboth tcp any any -> any any (content:\"e\"; sid:5;)";
    let mut bench = Bench::whole(rules);
    type Case = (&'static [u8], &'static [(u32, bool)], Decision);
    let cases: [Case; 5] = [
        (b"a", &[(1, true)], Decision::None),
        (b"ab", &[(2, true), (1, true)], Decision::Reject(RuleAction::Reject)),
        (b"abc", &[(3, true), (2, true), (1, true)], Decision::Drop),
        (b"abcd", &[(4, false)], Decision::Pass),
        (b"ae", &[(5, true), (1, true)], Decision::Reject(RuleAction::RejectBoth)),
    ];
    for (payload, matches, decision) in cases {
        let (found, decided) = bench.outcome(&tcp(payload), None);
        assert_eq!((found.as_slice(), decided), (matches, decision), "{payload:?}");
    }
}

#[test]
fn flowbits_work_across_rules_of_one_packet_and_across_packets() {
    let rules = "alert tcp any any -> any any (content:\"b\"; flowbits:isset,one; sid:1;)\n\
                 alert tcp any any -> any any (content:\"a\"; flowbits:set,one; flowbits:noalert; sid:2;)\n\
                 alert tcp any any -> any any (content:\"c\"; flowbits:isnotset,one; sid:3;)\n\
                 alert tcp any any -> any any (content:\"d\"; flowbits:unset,one; noalert; sid:4;)\n\
                 alert tcp any any -> any any (content:\"e\"; flowbits:isset,two|one; sid:5;)";
    let mut bench = Bench::whole(rules);
    let mut state = FlowDetectState::default();
    let mut alerts = |payload: &[u8], state: &mut FlowDetectState| -> Vec<u32> {
        let view = flow_view(Direction::Original, true, state);
        let (found, _) = bench.outcome(&tcp(payload), Some(view));
        found.into_iter().filter(|(_, alert)| *alert).map(|(sid, _)| sid).collect()
    };
    assert_eq!(alerts(b"b", &mut state), [] as [u32; 0]);
    assert_eq!(state.name_count(), 0);
    assert_eq!(alerts(b"ab", &mut state), [1]);
    assert_eq!(alerts(b"b", &mut state), [1]);
    assert_eq!(alerts(b"e", &mut state), [5]);
    assert_eq!(alerts(b"c", &mut state), [] as [u32; 0]);
    assert_eq!(alerts(b"d", &mut state), [] as [u32; 0]);
    assert_eq!(alerts(b"c", &mut state), [3]);
}

#[test]
fn flowints_count() {
    let rules = "alert tcp any any -> any any (content:\"x\"; flowint:n,notset; flowint:n,=,1; noalert; sid:1;)\n\
                 alert tcp any any -> any any (content:\"y\"; flowint:n,isset; flowint:n,+,1; noalert; sid:2;)\n\
                 alert tcp any any -> any any (content:\"z\"; flowint:n,>=,3; sid:3;)";
    let mut bench = Bench::whole(rules);
    let mut state = FlowDetectState::default();
    let mut found = Vec::new();
    for payload in [b"z", b"x", b"y", b"z", b"y", b"z"] {
        let view = flow_view(Direction::Original, true, &mut state);
        found.extend(bench.outcome(&tcp(payload), Some(view)).0.into_iter().filter(|(_, alert)| *alert));
    }
    assert_eq!(found, [(3, true)]);
}

#[test]
fn xbits_and_hostbits_outlive_the_flow_and_expire() {
    let rules = "alert tcp any any -> any any (content:\"a\"; xbits:set,x,track ip_src,expire 10; noalert; sid:1;)\n\
                 alert udp any any -> any any (xbits:isset,x,track ip_src; sid:2;)\n\
                 alert tcp any any -> any any (content:\"b\"; hostbits:set,h,dst; noalert; sid:3;)\n\
                 alert udp any any -> any any (hostbits:isset,h,dst; sid:4;)";
    let mut bench = Bench::whole(rules);
    assert_eq!(bench.alerts(&udp(b"x")), [] as [u32; 0]);
    bench.sids(&tcp(b"ab"));
    assert_eq!(bench.alerts(&udp(b"x")), [2, 4]);
    bench.now = Timestamp::from_micros(bench.now.micros + 11_000_000);
    assert_eq!(bench.alerts(&udp(b"x")), [4]);
}

#[test]
fn a_detection_filter_holds_back_the_action_and_a_limit_only_the_alert() {
    let mut bench = Bench::whole(
        "drop tcp any any -> any any (content:\"a\"; detection_filter:track by_src, count 2, seconds 60; sid:1;)",
    );
    let decisions: Vec<Decision> = (0..4).map(|_| bench.outcome(&tcp(b"a"), None).1).collect();
    assert_eq!(decisions, [Decision::None, Decision::None, Decision::Drop, Decision::Drop]);
    let mut bench = Bench::whole(
        "drop tcp any any -> any any (content:\"a\"; threshold:type limit, track by_src, count 1, seconds 60; sid:1;)",
    );
    assert_eq!(bench.outcome(&tcp(b"a"), None), (vec![(1, true)], Decision::Drop));
    assert_eq!(bench.outcome(&tcp(b"a"), None), (vec![(1, false)], Decision::Drop));
}

#[test]
fn a_suppressed_alert_is_not_told_but_its_action_stands() {
    let mut context = Context { vars: Vars::standard(), ..Context::default() };
    let source = Source::new("threshold.config", "suppress gen_id 1, sig_id 1, track by_src, ip $HOME_NET");
    let vars = context.vars.clone();
    context.thresholds.read(&source, &vars, &mut Vec::new());
    let mut bench = Bench::of("");
    let rule = Source::new("r", "drop tcp any any -> any any (content:\"a\"; sid:1;)");
    bench.set = compile(&[rule], &context, &Options::default()).set;
    assert_eq!(bench.outcome(&tcp(b"a"), None), (vec![(1, false)], Decision::Drop));
    let mut stranger = tcp(b"a");
    stranger.ip.src = IpAddr::from([8, 8, 4, 4]);
    assert_eq!(bench.outcome(&stranger, None), (vec![(1, true)], Decision::Drop));
}

#[test]
fn shared_memory_has_a_cap_that_is_counted() {
    let mut bench = Bench::whole(
        "alert tcp any any -> any any (content:\"a\"; threshold:type limit, track by_src, count 1, seconds 60; sid:1;)",
    );
    bench.shared = SharedDetectState::with_capacity(16);
    for host in 0..200u8 {
        let mut packet = tcp(b"a");
        packet.ip.src = IpAddr::from([10, 0, 0, host]);
        assert_eq!(bench.alerts(&packet), [1], "a full table keeps no alert back");
    }
    let counters = bench.shared.counters();
    assert!(counters.entries <= 16, "{counters:?}");
    assert!(counters.refused >= 184, "{counters:?}");
}

#[test]
fn tries_are_bounded_and_counted() {
    let chain: String = (0..12).map(|_| "content:\"a\"; within:200; ").collect();
    let mut bench =
        Bench::whole(&format!("alert tcp any any -> any any (content:\"a\"; {chain}content:\"b\"; within:9; sid:1;)"));
    assert_eq!(bench.sids(&tcp(&[b'a'; 1400])), [] as [u32; 0]);
    // The prefilter alone keeps such a payload out; with the literal in it the chain is tried.
    let mut payload = vec![b'b'];
    payload.resize(1400, b'a');
    assert_eq!(bench.sids(&tcp(&payload)), [] as [u32; 0]);
}

#[test]
fn nothing_is_allocated_while_nothing_matches() {
    let rules: String = (0..50)
        .map(|n| {
            format!(
                "alert tcp any any -> any any (content:\"needle{n}\"; nocase; content:\"x\"; distance:{n}; sid:{};)\n",
                n + 1
            )
        })
        .chain(["alert tcp any any -> any 80 (flags:S; sid:100;)\n".to_owned()])
        .collect();
    let mut bench = Bench::whole(&rules);
    let payload = b"GET /needle7 needle9 needle7 HTTP/1.1\r\n\r\n";
    bench.sids(&tcp(payload));
    let ingress = Ingress::bare(&[], 0x0800);
    let (thread, set, shared, now) = (&mut bench.thread, &bench.set, &bench.shared, bench.now);
    let counted = allocation_counter::measure(|| {
        let mut state = FlowDetectState::default();
        for _ in 0..100 {
            let view = flow_view(Direction::Original, true, &mut state);
            assert!(thread.inspect(set, &ingress, &tcp(payload), Some(view), shared, now).is_empty());
        }
    });
    assert_eq!(counted.count_total, 0);
}

pub(super) fn flow_view(direction: Direction, established: bool, state: &mut FlowDetectState) -> FlowView<'_> {
    FlowView {
        direction,
        established,
        measured: Measured::default(),
        state,
        app: None,
        app_failed: false,
        stream: None,
        payload: PayloadPlace::Alone,
        recorded: false,
    }
}

#[test]
fn base64_is_looked_into() {
    // "user=admin" and "guest".
    let cases = [
        (
            "content:\"auth \"; base64_decode:relative; base64_data; content:\"user=\"; content:\"admin\"; distance:0;",
            true,
        ),
        ("content:\"auth \"; base64_decode:relative; base64_data; content:\"admin\"; content:!\"user\";", false),
        ("base64_decode:offset 5; base64_data; content:\"user=admin\"; bsize:10;", true),
        ("base64_decode:bytes 8, offset 5; base64_data; content:\"user=a\"; bsize:6;", true),
        ("base64_decode:bytes 8, offset 5; base64_data; content:\"admin\";", false),
        ("base64_decode:offset 500; base64_data; content:\"user\";", false),
        ("base64_decode; base64_data; content:\"user\";", false),
        ("base64_decode:offset 4;", false),
        // The first place leads nowhere; the second one does.
        ("content:\"h \"; base64_decode:relative; base64_data; content:\"guest\";", true),
        ("content:\" \"; base64_decode:relative; base64_data; content:\"e\"; content:\"t\"; distance:0;", true),
    ];
    table("tcp", &tcp(b"auth dXNlcj1hZG1pbg== h Z3Vlc3Q="), &cases);
}

#[test]
fn asn1_oddities_are_found_after_a_content() {
    let cases = [
        ("content:\"ldap\"; asn1:bitstring_overflow, relative_offset 0;", true),
        ("content:\"ldap\"; asn1:bitstring_overflow, relative_offset 1;", false),
        ("content:\"ldap\"; asn1:oversize_length 1, absolute_offset 4;", false),
        ("asn1:oversize_length 0, absolute_offset 4;", true),
        ("asn1:double_overflow, oversize_length 2000;", false),
    ];
    table("tcp", &tcp(b"ldap\x03\x01\xff"), &cases);
}

#[test]
fn transforms_change_what_is_looked_at() {
    let cases = [
        ("pkt_data; to_md5; content:\"|900150983cd24fb0d6963f7d28e17f72|\"; bsize:16;", true),
        ("pkt_data; to_sha1; content:\"|a9993e364706816aba3e25717850c26c9cd0d89d|\"; bsize:20;", true),
        ("pkt_data; to_sha256; content:\"|ba7816bf|\"; startswith; bsize:32;", true),
        ("pkt_data; to_uppercase; to_md5; content:\"|902fbdd2b1df0c4f70b4a5d23525e932|\";", true),
        ("pkt_data; pcrexform:\"a(.)c\"; content:\"b\"; bsize:1;", true),
        ("pkt_data; pcrexform:\"x(.)c\"; content:!\"y\";", false),
    ];
    table("tcp", &tcp(b"abc"), &cases);
    let headers = b"Host: A\r\n:Method: B\r\nX-Y: Z\r\n";
    let cases = [
        ("pkt_data; header_lowercase; content:\"host: A|0d 0a|:Method: B\";", true),
        ("pkt_data; strip_pseudo_headers; content:\"A|0d 0a|X-Y\";", true),
        ("pkt_data; strip_pseudo_headers; header_lowercase; content:\"host: A|0d 0a|x-y: Z\"; startswith;", true),
    ];
    table("tcp", &tcp(headers), &cases);
}

#[test]
fn expressions_leave_variables_of_the_choice_that_matched() {
    let mut bench = Bench::whole(
        r#"alert tcp any any -> any any (content:"id="; pcre:"/^(?P<pkt_id>\d)(?P<flow_tail>.)\;/R"; content:"!"; distance:0; sid:1;)
alert tcp any any -> any any (pcre:"/first (\w+) (\w+)/, pkt:one, flow:two"; sid:2;)
alert tcp any any -> any any (pcre:"/(?P<pkt_lost>lost)/"; content:"nowhere"; sid:3;)"#,
    );
    let mut state = FlowDetectState::default();
    let packet = tcp(b"id=xy; id=7z; first of all lost !");
    let ingress = Ingress::bare(&[], 0x0800);
    let view = flow_view(Direction::Original, true, &mut state);
    let outcome = bench.thread.inspect(&bench.set, &ingress, &packet, Some(view), &bench.shared, bench.now);
    let text = |list: &[Variable]| -> Vec<String> {
        list.iter().map(|variable| format!("{}={}", variable.name, variable.value.escape_ascii())).collect()
    };
    let mut packet_variables = text(outcome.variables);
    packet_variables.sort_unstable();
    assert_eq!(packet_variables, ["id=7", "one=of"]);
    let mut flow_variables = text(state.variables());
    flow_variables.sort_unstable();
    assert_eq!(flow_variables, ["tail=z", "two=all"]);
}

#[test]
fn the_flags_of_expressions_are_theirs() {
    let cases = [
        (r#"pcre:"/B$/i";"#, true),
        (r#"pcre:"/b$/E";"#, false),
        (r#"pcre:"/b\n$/E";"#, true),
        (r#"pcre:"/^b$/m";"#, true),
        (r#"pcre:"/^b$/mE";"#, true),
        (r#"pcre:"/a.b/";"#, false),
        (r#"pcre:"/a.b/s";"#, true),
        (r#"pcre:"/ a \n b /x";"#, true),
        (r#"pcre:"/b/A";"#, false),
        (r#"content:"a"; pcre:"/^\nb/R";"#, true),
        (r#"content:"a"; pcre:"/^b/R";"#, false),
        (r#"pcre:"/b/B";"#, true),
        (r#"pcre:!"/c/";"#, true),
    ];
    table("tcp", &tcp(b"a\nb\n"), &cases);
}

#[test]
fn tags_follow_a_match() {
    let mut bench = Bench::whole(
        "alert tcp any any -> any any (content:\"tag\"; tag:session,2,packets; sid:1;)\n\
         alert tcp any any -> any any (content:\"host\"; tag:host,1,seconds,dst; sid:2;)",
    );
    let mut state = FlowDetectState::default();
    let mut other = FlowDetectState::default();
    let mut tagged = |payload: &[u8], state: &mut FlowDetectState, later: u64| {
        bench.now = Timestamp::from_micros(bench.now.micros + later * 1_000_000);
        let ingress = Ingress::bare(&[], 0x0800);
        let view = flow_view(Direction::Original, true, state);
        bench.thread.inspect(&bench.set, &ingress, &tcp(payload), Some(view), &bench.shared, bench.now).tagged
    };
    assert!(!tagged(b"-", &mut state, 0));
    assert!(!tagged(b"tag", &mut state, 0), "the match itself is told by the alert");
    assert!(!tagged(b"-", &mut other, 0), "another session");
    assert_eq!(
        [tagged(b"-", &mut state, 0), tagged(b"-", &mut state, 0), tagged(b"-", &mut state, 0)],
        [true, true, false]
    );
    assert!(!tagged(b"host", &mut state, 0));
    assert!(tagged(b"-", &mut other, 1), "the same host");
    assert!(!tagged(b"-", &mut other, 1), "a second is over");
}

#[test]
fn the_connection_is_measured_and_may_be_let_go() {
    let mut bench = Bench::whole(
        "alert tcp any any -> any any (flow.age:>5; sid:1;)\n\
         alert tcp any any -> any any (flow.pkts_toserver:3; flow.bytes:either,>100; sid:2;)\n\
         alert tcp any any -> any any (stream_size:client,>,20; stream_size:server,=,0; bypass; sid:3;)",
    );
    let mut measured = |measured: Measured| {
        let mut state = FlowDetectState::default();
        let view = FlowView { measured, ..flow_view(Direction::Original, true, &mut state) };
        let (found, decision) = bench.outcome(&tcp(b"x"), Some(view));
        (found.into_iter().map(|(sid, _)| sid).collect::<Vec<_>>(), decision)
    };
    let counters = |packets, bytes| crate::packet::conntrack::Counters { packets, bytes };
    assert_eq!(measured(Measured::default()), (vec![], Decision::None));
    let old =
        Measured { age_seconds: 6, to_server: counters(3, 90), to_client: counters(1, 200), streams: Some((5, 0)) };
    assert_eq!(measured(old), (vec![1, 2], Decision::None));
    let long = Measured { streams: Some((21, 0)), ..Measured::default() };
    assert_eq!(measured(long), (vec![3], Decision::Bypass));
    assert!(bench.sids(&tcp(b"x")).is_empty(), "without a flow there is nothing to measure");
}

#[test]
fn oddities_are_asked_for_by_name() {
    let rules = "alert pkthdr any any -> any any (decode-event:tcp.opt_duplicate; sid:1;)\n\
                 alert ip any any -> any any (engine-event:ipv6.rh_type_0; sid:2;)\n\
                 alert tcp any any -> any any (decode-event:tcp.opt_duplicate; content:\"a\"; sid:3;)";
    let mut bench = Bench::whole(rules);
    let mut odd = |name: &str, headers: &Headers<'_>| {
        let mut events = PacketEvents::NONE;
        events.add(PacketEvent::named(name).unwrap());
        bench.thread.begin(events);
        let mut found = bench.sids(headers);
        found.sort_unstable();
        found
    };
    assert_eq!(odd("decoder.tcp.opt_duplicate", &tcp(b"abc")), [1, 3]);
    assert_eq!(odd("decoder.tcp.opt_duplicate", &tcp(b"xyz")), [1]);
    assert_eq!(odd("decoder.ipv6.rh_type_0", &tcp(b"abc")), [2]);
    assert_eq!(odd("decoder.tcp.opt_duplicate", &Headers::UNKNOWN), [1], "nothing else is known of it");
    assert!(bench.sids(&tcp(b"abc")).is_empty(), "the next packet is not odd");
}

#[test]
fn checksums_are_computed_where_nobody_vouches() {
    let mut bench = Bench::whole(
        "alert ip any any -> any any (ipv4-csum:invalid; sid:1;)\nalert ip any any -> any any (ipv4-csum:valid; sid:2;)\n\
         alert ip any any -> any any (l3_proto:ipv6; sid:3;)\nalert ip any any -> any any (ipopts:rtralt; sid:4;)\n\
         alert ip any any -> any any (flow:no_frag; sid:5;)\nalert ip any any -> any any (flow:only_frag; sid:6;)",
    );
    let good = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0xa9, 0x12, 192, 168, 1, 5, 8, 8, 8, 8];
    let mut bad = good;
    bad[11] ^= 1;
    let mut judge = |header: &[u8], checksum| {
        let mut headers = tcp(b"x");
        headers.ip.header = header;
        let ingress = Ingress { checksum, ..Ingress::bare(&[], 0x0800) };
        let outcome = bench.thread.inspect(&bench.set, &ingress, &headers, None, &bench.shared, bench.now);
        let mut found: Vec<u32> = outcome.matches().map(|found| found.rule.sid).collect();
        found.sort_unstable();
        found
    };
    let sum = crate::packet::decode::checksum::network(&Ip { header: &good, ..ip("192.168.1.5", "8.8.8.8", 6) });
    assert_eq!(sum, crate::packet::decode::checksum::Checksum::Good);
    assert_eq!(judge(&good, ChecksumStatus::NotVerified), [2, 5]);
    assert_eq!(judge(&bad, ChecksumStatus::NotVerified), [1, 5]);
    assert_eq!(judge(&bad, ChecksumStatus::Verified), [2, 5], "somebody has vouched for it");
}

#[test]
fn rates_and_flows_are_counted() {
    let mut context = Context { vars: Vars::standard(), ..Context::default() };
    let filter = "rate_filter gen_id 1, sig_id 1, track by_rule, count 2, seconds 60, new_action drop, timeout 10\n\
                  rate_filter gen_id 1, sig_id 3, track by_src, count 1, seconds 60, new_action pass, timeout 10\n";
    let mut wrong = Vec::new();
    context.thresholds.read(&Source::new("threshold.config", filter), &context.vars.clone(), &mut wrong);
    assert!(wrong.is_empty());
    let rules = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n\
                 alert tcp any any -> any any (content:\"b\"; threshold:type limit, track by_flow, count 1, seconds 60; sid:2;)\n\
                 drop tcp any any -> any any (content:\"c\"; sid:3;)";
    let compiled = compile(&[Source::new("test.rules", rules)], &context, &Options::default());
    assert_eq!(compiled.loaded(), 3);
    let mut bench = Bench { set: compiled.set, ..Bench::of("") };
    let decided: Vec<Decision> = (0..4).map(|_| bench.outcome(&tcp(b"a"), None).1).collect();
    assert_eq!(decided, [Decision::None, Decision::None, Decision::Drop, Decision::Drop]);
    let decided: Vec<Decision> = (0..2).map(|_| bench.outcome(&tcp(b"c"), None).1).collect();
    assert_eq!(decided, [Decision::Drop, Decision::Pass]);
    let (mut one, mut other) = (FlowDetectState::default(), FlowDetectState::default());
    let mut alert = |state: &mut FlowDetectState| {
        let view = flow_view(Direction::Original, true, state);
        bench.outcome(&tcp(b"b"), Some(view)).0
    };
    assert_eq!([alert(&mut one), alert(&mut one), alert(&mut other)], [[(2, true)], [(2, false)], [(2, true)]]);
}

#[test]
fn sets_are_filled_and_asked() {
    let rules = "alert tcp any any -> any any (pkt_data; content:\"new\"; dataset:set,seen, type string, memcap 1mb; sid:1;)\n\
                 alert tcp any any -> any any (pkt_data; dataset:isset,seen; sid:2;)\n\
                 alert tcp any any -> any any (pkt_data; content:\"old\"; dataset:unset,seen; sid:3;)\n\
                 alert tcp any any -> any any (pkt_data; to_md5; dataset:isnotset,hashes, type md5; sid:4;)\n\
                 alert ip any any -> any any (ip.src; dataset:set,hosts, type ip, hashsize 10; sid:5;)";
    let mut bench = Bench::whole(rules);
    let header = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 192, 168, 1, 5, 8, 8, 8, 8];
    let mut found = |payload: &[u8]| {
        let mut headers = tcp(payload);
        headers.ip.header = &header;
        let mut sids = bench.sids(&headers);
        sids.sort_unstable();
        sids
    };
    assert_eq!(found(b"new"), [1, 2, 4, 5], "put in by the first rule, found by the second");
    assert_eq!(found(b"new"), [2, 4], "not new any more");
    assert_eq!(found(b"old"), [4], "never put in");
}

#[test]
fn addresses_have_reputations() {
    let mut context = Context { vars: Vars::standard(), ..Context::default() };
    let mut wrong = Vec::new();
    context.reputation.read_categories(&Source::new("c", "1,CnC,x\n2,Bad,y\n"), &mut wrong);
    context.reputation.read_scores(&Source::new("s", "8.8.8.0/24,1,90\n192.168.1.5,2,10\n"), &mut wrong);
    assert!(wrong.is_empty());
    let cases = [
        ("dst,CnC,>,80", true),
        ("dst,CnC,>,90", false),
        ("src,CnC,>,0", false),
        ("any,CnC,=,90", true),
        ("both,CnC,>,1", false),
        ("src,Bad,isset", true),
        ("dst,Bad,isnotset", true),
        ("any,Bad,<,10", false),
    ];
    for (options, expected) in cases {
        let rule = format!("alert ip any any -> any any (iprep:{options}; sid:1;)");
        let compiled = compile(&[Source::new("test.rules", rule)], &context, &Options::default());
        assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
        assert!(compiled.set.rules()[0].ip_only, "asked once per connection and direction");
        let mut bench = Bench { set: compiled.set, ..Bench::of("") };
        assert_eq!(!bench.sids(&tcp(b"x")).is_empty(), expected, "{options}");
    }
}

#[test]
fn rpc_calls_are_known_by_their_numbers() {
    let call: Vec<u8> = [7u32, 0, 2, 100_000, 2, 3].iter().flat_map(|word| word.to_be_bytes()).collect();
    let cases = [
        ("rpc:100000;", true),
        ("rpc:100000,2,3;", true),
        ("rpc:100000,*,3;", true),
        ("rpc:100000,2,*;", true),
        ("rpc:100000,3,*;", false),
        ("rpc:100000,2,4;", false),
        ("rpc:100003;", false),
    ];
    table("udp", &udp(&call), &cases);
    table("tcp", &tcp(&[&[0x80, 0, 0, 24], &call[..]].concat()), &cases);
    table("udp", &udp(&call[..20]), &[("rpc:100000;", false)]);
}

#[test]
fn vlan_tags_and_igmp_are_known() {
    let mut bench = Bench::whole(
        "alert ip any any -> any any (vlan.id:200; sid:1;)\nalert ip any any -> any any (vlan.id:200,0; sid:2;)\n\
         alert ip any any -> any any (vlan.id:>100,all; sid:3;)\nalert ip any any -> any any (vlan.id:300,-1; sid:4;)\n\
         alert ip any any -> any any (vlan.layers:2; sid:5;)\nalert igmp any any -> any any (sid:6;)",
    );
    let mut found = |ids: &[u16], headers: &Headers<'_>| {
        let tag = |at: usize| ids.get(at).map(|id| VlanTag { protocol: 0x8100, tci: 0x2000 | id });
        let ingress = Ingress { vlan: [tag(0), tag(1), tag(2)], ..Ingress::bare(&[], 0x0800) };
        let outcome = bench.thread.inspect(&bench.set, &ingress, headers, None, &bench.shared, bench.now);
        let mut sids: Vec<u32> = outcome.matches().map(|found| found.rule.sid).collect();
        sids.sort_unstable();
        sids
    };
    assert_eq!(found(&[200, 300], &tcp(b"x")), [1, 2, 3, 4, 5]);
    assert_eq!(found(&[300, 200], &tcp(b"x")), [1, 3, 5]);
    assert!(found(&[], &tcp(b"x")).is_empty());
    let igmp = Headers { ip: ip("192.168.1.5", "224.0.0.1", 2), transport: Transport::Other, payload: b"x" };
    assert_eq!(found(&[], &igmp), [6]);
}

#[test]
fn a_key_may_stand_in_the_buffer() {
    let coded: Vec<u8> = [0x42].into_iter().chain(b"hello".iter().map(|byte| byte ^ 0x42)).collect();
    let cases = [
        ("pkt_data; xor:offset 1,extract 1 0; content:\"hello\";", true),
        ("pkt_data; xor:offset 1,\"42\"; content:\"Bhello\";", true),
        ("pkt_data; xor:extract 1 0; content:\"|00|hello\";", true),
        ("pkt_data; xor:extract 1 9; content:!\"x\";", false),
    ];
    table("tcp", &tcp(&coded), &cases);
}
