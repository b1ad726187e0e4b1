//! The page, exercised: real rules, packets made of bytes, conntrack entries made by hand.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;

use etherparse::PacketBuilder;

use super::*;
use crate::packet::conntrack::{Conntrack, ConntrackId, Counters, CtInfo, CtStatus, FateMask, Tuple};
use crate::packet::event::Event;
use crate::packet::verdict::{OnTrouble, Reason};
use crate::rules::{self, Context, Options, Source, Vars};

pub(super) fn stream_pool() -> Arc<MemoryPool> {
    Arc::new(MemoryPool::new(STREAM_MEMCAP_BYTES_DEFAULT))
}

const CLIENT: [u8; 4] = [192, 168, 1, 10];
const SERVER: [u8; 4] = [10, 0, 0, 1];
const IPV4: u16 = 0x0800;

const RULES: &str = r#"
drop tcp any any -> any any (msg:"attack"; content:"attack"; sid:1;)
reject tcp any any -> any any (msg:"go away"; content:"go away"; sid:2;)
pass tcp any any -> any any (msg:"trusted"; content:"trusted"; sid:3;)
alert tcp any any -> any any (msg:"look"; content:"look"; sid:4;)
drop icmp any any -> any any (msg:"bad ping"; itype:8; content:"bad"; sid:5;)
"#;

pub(super) fn rule_set(text: &str, generation: u64) -> Arc<RuleSet> {
    let context = Context { vars: Vars::standard(), ..Context::default() };
    let options = Options { generation, ..Options::default() };
    let compiled = rules::compile(&[Source::new("test.rules", text)], &context, &options);
    assert!(compiled.rejected.is_empty(), "{:?}", compiled.diagnostics);
    compiled.set
}

/// A segment that follows the one made before it in the same test.
fn tcp(payload: &[u8]) -> Vec<u8> {
    thread_local!(static SEQ: Cell<u32> = const { Cell::new(1000) });
    let seq = SEQ.get();
    SEQ.set(seq + payload.len() as u32);
    let mut bytes = Vec::new();
    let packet = PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(4000, 53, seq, 65_000).ack(1).psh();
    packet.write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn entry(status: u32) -> Conntrack {
    let orig = Tuple {
        src: Ipv4Addr::from(CLIENT).into(),
        dst: Ipv4Addr::from(SERVER).into(),
        protocol: 6,
        src_port: 4000,
        dst_port: 53,
    };
    let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
    entry.id = ConntrackId(7);
    entry.status = CtStatus(status);
    entry
}

pub(super) struct Bench {
    pub path: Path,
    flows: FlowShards,
    shared: SharedDetectState,
    pub rules: Arc<RuleSet>,
    pub events: Events,
    clock: u64,
}

impl Bench {
    pub fn new(policy: Policy) -> Bench {
        Bench {
            path: Path::new(policy, FateMask::default(), Copies::default(), AppConfig::default()),
            flows: FlowShards::new(1000),
            shared: SharedDetectState::default(),
            rules: rule_set(RULES, 1),
            events: Events::new(),
            clock: 1_000_000,
        }
    }

    pub fn flows(&self) -> &FlowShards {
        &self.flows
    }

    fn ips() -> Bench {
        Bench::new(Policy::default())
    }

    pub fn judge(&mut self, bytes: &[u8], entry: Option<(&Conntrack, CtInfo)>) -> Verdict {
        self.clock += 1000;
        let mut packet = Ingress::bare(bytes, IPV4);
        packet.conntrack = entry.map(|(entry, info)| Tracked { entry, info });
        let world = World { rules: &self.rules, flows: &self.flows, shared: &self.shared };
        self.path.inspect(world, &packet, Timestamp::from_micros(self.clock), &mut self.events)
    }

    fn judge_first(&mut self, bytes: &[u8]) -> Verdict {
        self.judge(bytes, Some((&entry(0), CtInfo::New)))
    }

    fn judge_later(&mut self, bytes: &[u8]) -> Verdict {
        self.judge(bytes, Some((&entry(CtStatus::CONFIRMED), CtInfo::New)))
    }

    /// What was told since the last call: `alert:sid`, `drop:reason`, `flow`.
    pub fn told(&mut self) -> Vec<String> {
        let tell = |event: Event| match event {
            Event::Alert(alert) => format!("alert:{}{}", alert.rule.sid, if alert.blocked { ":blocked" } else { "" }),
            Event::Drop(drop) => format!("drop:{}", drop.reason.as_str()),
            Event::Flow(_) => "flow".to_owned(),
            Event::Tagged(_) => "tagged".to_owned(),
            Event::FilePiece(piece) => format!("{} stored bytes", piece.bytes.len()),
            Event::Block(order) => format!("block:{}", order.address),
            Event::Anomaly(_) => "anomaly".to_owned(),
            Event::App(event) => event.record.event_type().to_owned(),
        };
        self.events.drain(..).map(tell).collect()
    }
}

fn dropped(reason: Reason, fate: Option<Fate>) -> Verdict {
    Verdict { action: Action::Drop(reason), fate }
}

#[test]
fn a_rule_has_an_address_blocked_when_it_drops_and_not_when_it_alerts() {
    let rules = |action| {
        format!(
            r#"{action} tcp any any -> any any (content:"attack"; metadata:tidegate_block dst 1h, policy x; sid:1;)"#
        )
    };
    let mut bench = Bench::ips();
    bench.rules = rule_set(&rules("alert"), 1);
    assert_eq!(bench.judge_first(&tcp(b"attack")), Verdict::ACCEPT);
    assert_eq!(bench.told(), ["alert:1"]);
    bench.rules = rule_set(&rules("drop"), 2);
    assert_ne!(bench.judge_first(&tcp(b"attack")), Verdict::ACCEPT);
    let told = bench.told();
    assert!(told.iter().any(|event| event.starts_with("block:")), "{told:?}");
}

#[test]
fn without_rules_nothing_is_dropped_and_nothing_is_told() {
    let mut bench = Bench::ips();
    bench.rules = rule_set("", 1);
    let packets: [&[u8]; 4] = [&tcp(b"attack"), &[], &[0x45, 0, 0], &[0xff; 60]];
    for bytes in packets {
        assert_eq!(bench.judge_first(bytes), Verdict::ACCEPT);
        assert_eq!(bench.judge(bytes, None), Verdict::ACCEPT);
    }
    assert!(bench.told().is_empty());
}

#[test]
fn an_attack_is_dropped_and_its_connection_condemned() {
    let mut bench = Bench::ips();
    assert_eq!(bench.judge_first(&tcp(b"hello")), Verdict::ACCEPT);
    assert_eq!(bench.judge_later(&tcp(b"an attack!")), dropped(Reason::Rules, Some(Fate::Drop)));
    assert_eq!(bench.told(), ["alert:1:blocked", "drop:rules"]);

    // The kernel does not show the fate yet: we enforce it and write it again.
    assert_eq!(bench.judge_later(&tcp(b"harmless")), dropped(Reason::FlowDrop, Some(Fate::Drop)));
    let mut shown = entry(CtStatus::CONFIRMED);
    shown.mark = FateMask::default().encode_with(Fate::Drop, 1);
    let late = bench.judge(&tcp(b"harmless"), Some((&shown, CtInfo::New)));
    assert_eq!(late, dropped(Reason::FlowDrop, None));
    assert_eq!(bench.told(), ["drop:flow drop", "drop:flow drop"]);
    assert_eq!(bench.flows.count(), 1);
}

#[test]
fn a_dropped_first_packet_leaves_no_flow_behind() {
    let mut bench = Bench::ips();
    assert_eq!(bench.judge_first(&tcp(b"attack")).action, Action::Drop(Reason::Rules));
    assert_eq!(bench.flows.count(), 0);
}

#[test]
fn a_packet_of_an_entry_that_is_dead_already_leaves_no_flow_behind() {
    let mut bench = Bench::ips();
    let dying = entry(CtStatus::CONFIRMED | CtStatus::DYING);
    assert_eq!(
        bench.judge(&tcp(b"attack"), Some((&dying, CtInfo::EstablishedReply))).action,
        Action::Drop(Reason::Rules)
    );
    assert_eq!(bench.flows.count(), 0, "its DESTROY was heard before");

    let _ = bench.judge_later(&tcp(b"good"));
    let _ = bench.judge(&tcp(b"good"), Some((&dying, CtInfo::EstablishedReply)));
    assert_eq!(bench.flows.count(), 1, "its DESTROY is yet to come, and ends the flow");
}

#[test]
fn a_fate_in_the_mark_outlives_us() {
    for (fate, action) in [(Fate::Drop, Action::Drop(Reason::FlowDrop)), (Fate::Pass, Action::Accept)] {
        let mut bench = Bench::ips();
        let mut marked = entry(CtStatus::CONFIRMED);
        marked.mark = 0xff | FateMask::default().encode_with(fate, 1);
        let verdict = bench.judge(&tcp(b"attack, if anybody looked"), Some((&marked, CtInfo::New)));
        assert_eq!(verdict, Verdict { action, fate: None }, "{fate:?}");
        assert_eq!(bench.path.counters().flows_midstream, 1);
    }
}

#[test]
fn what_was_passed_is_judged_again_by_newer_rules() {
    let mut bench = Bench::ips();
    assert_eq!(bench.judge_first(&tcp(b"trusted")), Verdict::PASS);
    assert_eq!(bench.judge_later(&tcp(b"attack")), Verdict::PASS, "told again, until the kernel shows it");
    bench.rules = rule_set(RULES, 2);
    assert_eq!(bench.judge_later(&tcp(b"attack")).action, Action::Drop(Reason::Rules));
    bench.rules = rule_set(RULES, 3);
    assert_eq!(bench.path.counters().fates_reconsidered, 1);
    assert_eq!(bench.judge_later(&tcp(b"fine")).action, Action::Drop(Reason::FlowDrop), "condemned stays condemned");
}

#[test]
fn what_is_not_left_to_the_kernel_passes_here_until_newer_rules_look() {
    let mut bench = Bench::new(Policy { keep_passed: true, ..Policy::default() });
    assert_eq!(bench.judge_first(&tcp(b"trusted")), Verdict::ACCEPT);
    assert_eq!(bench.judge_later(&tcp(b"attack")), Verdict::ACCEPT);
    assert_eq!(bench.path.counters().cleared_by(Clearing::PassRule), 1);
    assert_eq!((bench.path.counters().fates_written, bench.path.counters().fates_repeated), (0, 0));
    bench.rules = rule_set(RULES, 2);
    assert_eq!(bench.judge_later(&tcp(b"attack")).action, Action::Drop(Reason::Rules));
}

#[test]
fn an_elephant_is_cleared_by_the_bytes_that_conntrack_counted() {
    let mut bench = Bench::new(Policy { elephant_bytes: 1000, ..Policy::default() });
    let mut counted = entry(CtStatus::CONFIRMED);
    let moved = |bytes| Some(Counters { packets: 9, bytes });
    (counted.counters_orig, counted.counters_reply) = (moved(600), moved(400));
    assert_eq!(bench.judge(&tcp(b"fine"), Some((&counted, CtInfo::New))), Verdict::ACCEPT);
    counted.counters_reply = moved(401);
    assert_eq!(
        bench.judge(&tcp(b"attack"), Some((&counted, CtInfo::New))).action,
        Action::Drop(Reason::Rules),
        "this packet was looked at"
    );
    let mut bench = Bench::new(Policy { elephant_bytes: 1000, ..Policy::default() });
    assert_eq!(bench.judge(&tcp(b"fine"), Some((&counted, CtInfo::New))), Verdict::PASS);
    assert_eq!(bench.path.counters().cleared_by(Clearing::Elephant), 1);
}

#[test]
fn reject_is_left_to_the_kernel_where_our_table_stands() {
    let mut bench = Bench::new(Policy { kernel_rejects: true, ..Policy::default() });
    let verdict = bench.judge_first(&tcp(b"go away"));
    assert_eq!(verdict, Verdict { action: Action::Repeat(Reason::Rules), fate: Some(Fate::Reject) });
    assert_eq!(Bench::ips().judge_first(&tcp(b"go away")), dropped(Reason::Rules, Some(Fate::Reject)));
}

#[test]
fn a_look_without_ips_alerts_and_drops_nothing() {
    let mut bench = Bench::new(Policy { passive: true, ..Policy::default() });
    assert_eq!(bench.judge_first(&tcp(b"attack")), Verdict::ACCEPT);
    assert_eq!(bench.judge_later(&tcp(b"attack")), Verdict::ACCEPT);
    assert_eq!(bench.told(), ["alert:1", "alert:1"]);
}

#[test]
fn an_icmp_error_inherits_the_fate_of_its_connection() {
    let mut bench = Bench::ips();
    let mut error = Vec::new();
    let unreachable = etherparse::icmpv4::DestUnreachableHeader::Port;
    PacketBuilder::ipv4(SERVER, CLIENT, 64)
        .icmpv4(etherparse::Icmpv4Type::DestinationUnreachable(unreachable))
        .write(&mut error, &tcp(b"hello"))
        .unwrap();
    let related = (&entry(CtStatus::CONFIRMED), CtInfo::RelatedReply);

    let _ = bench.judge_first(&tcp(b"hello"));
    assert_eq!(bench.judge(&error, Some(related)), Verdict::ACCEPT);
    let _ = bench.judge_later(&tcp(b"attack"));
    assert_eq!(bench.judge(&error, Some(related)), dropped(Reason::FlowDrop, None));
    assert_eq!(bench.flows.count(), 1, "the error is no flow of its own");
}

#[test]
fn what_a_connection_announced_inherits_its_fate_also_when_it_has_begun() {
    let mut bench = Bench::ips();
    let mut data = entry(CtStatus::CONFIRMED | CtStatus::EXPECTED);
    data.orig.dst_port = 2000;
    (data.reply, data.id, data.master) = (data.orig.inverted(), ConntrackId(8), Some(entry(0).orig));
    let mut packet = Vec::new();
    PacketBuilder::ipv4(CLIENT, SERVER, 64).tcp(4000, 2000, 1, 100).ack(1).write(&mut packet, b"data").unwrap();

    let _ = bench.judge_first(&tcp(b"hello"));
    assert_eq!(bench.judge(&packet, Some((&data, CtInfo::Established))), Verdict::ACCEPT);
    let _ = bench.judge_later(&tcp(b"attack"));
    let condemned = bench.judge(&packet, Some((&data, CtInfo::Established)));
    assert_eq!(condemned, dropped(Reason::FlowDrop, Some(Fate::Drop)));

    let stranger = Conntrack { master: None, id: ConntrackId(9), ..data };
    bench.flows.lock(&data.key()).remove(&data.key());
    assert_eq!(bench.judge(&packet, Some((&stranger, CtInfo::Established))), Verdict::ACCEPT);
}

#[test]
fn packets_without_a_connection_meet_packet_rules_and_then_their_policy() {
    let mut bench = Bench::ips();
    assert_eq!(bench.judge(&tcp(b"attack"), None), dropped(Reason::Rules, None));
    assert_eq!(bench.judge(&tcp(b"hello"), None), Verdict::ACCEPT);
    let mut strict = Bench::new(Policy { invalid: OnTrouble::Drop, ..Policy::default() });
    assert_eq!(strict.judge(&tcp(b"hello"), None), dropped(Reason::ConntrackInvalid, None));
    assert_eq!(strict.told(), ["drop:conntrack invalid"]);
    assert_eq!(strict.flows.count(), 0);
}

#[test]
fn a_connection_that_nobody_follows_meets_its_policy() {
    let cases = [
        (OnTrouble::Pass, Verdict::ACCEPT),
        (OnTrouble::PassFlow, Verdict::PASS),
        (OnTrouble::Drop, dropped(Reason::StreamMidstream, None)),
        (OnTrouble::DropFlow, dropped(Reason::StreamMidstream, Some(Fate::Drop))),
        (OnTrouble::Reject, dropped(Reason::StreamMidstream, Some(Fate::Reject))),
    ];
    for (choice, verdict) in cases {
        let mut bench = Bench::new(Policy { stream_midstream: choice, ..Policy::default() });
        assert_eq!(bench.judge_later(&tcp(b"hello")), Verdict::ACCEPT, "such are followed");
        let mut bench = Bench::new(Policy { stream_midstream: choice, ..Policy::default() });
        bench.path = bench.path.following(StreamConfig { midstream: false, ..StreamConfig::default() }, stream_pool());
        assert_eq!(bench.judge_later(&tcp(b"hello")), verdict, "{choice:?}");
        let rest = bench.judge_later(&tcp(b"hello")).action.reason();
        let flow_drop = Some(Reason::FlowDrop).filter(|_| matches!(choice, OnTrouble::DropFlow | OnTrouble::Reject));
        assert_eq!(rest, flow_drop.or(verdict.action.reason()));
    }
    let mut looking = Bench::new(Policy { stream_midstream: OnTrouble::DropFlow, passive: true, ..Policy::default() });
    looking.path = looking.path.following(StreamConfig { midstream: false, ..StreamConfig::default() }, stream_pool());
    assert_eq!(looking.judge_later(&tcp(b"hello")), Verdict::ACCEPT);
}

#[test]
fn a_connection_whose_parser_gave_up_meets_its_policy() {
    let mut bench = Bench::new(Policy { app_error: OnTrouble::DropFlow, ..Policy::default() });
    assert_eq!(bench.judge_later(&tcp(b"SSH-2.0-OpenSSH_9.2\r\n")), Verdict::ACCEPT);
    assert_eq!(bench.judge_later(&tcp(&[0xff; 64])), dropped(Reason::AppError, Some(Fate::Drop)), "no such length");
    assert_eq!(bench.told().last().map(String::as_str), Some("drop:applayer error"));
}

#[test]
fn beyond_the_flow_cap_rules_still_judge() {
    let mut bench = Bench::ips();
    bench.flows = FlowShards::new(0);
    assert_eq!(bench.judge_first(&tcp(b"hello")), Verdict::ACCEPT);
    assert_eq!(bench.judge_first(&tcp(b"attack")), dropped(Reason::Rules, None));
    assert_eq!(bench.path.counters().flow_memcap, 2);
}

#[test]
fn an_attack_inside_a_tunnel_is_seen() {
    let inner = tcp(b"attack");
    let mut outer = Vec::new();
    PacketBuilder::ipv4(CLIENT, SERVER, 64).write(&mut outer, etherparse::IpNumber::IPV4, &inner).unwrap();
    let mut bench = Bench::ips();
    assert_eq!(bench.judge_first(&outer).action, Action::Drop(Reason::Rules));
}

#[test]
fn a_reopened_tuple_ends_the_flow_before_it() {
    let mut bench = Bench::ips();
    let mut first = entry(CtStatus::CONFIRMED);
    first.start_ns = Some(1);
    let mut second = first;
    second.start_ns = Some(2);
    let _ = bench.judge(&tcp(b"attack"), Some((&first, CtInfo::New)));
    bench.told();
    assert_eq!(
        bench.judge(&tcp(b"hello"), Some((&second, CtInfo::New))),
        Verdict::ACCEPT,
        "a new connection, not condemned"
    );
    assert_eq!(bench.told(), ["flow"]);
    assert_eq!(bench.flows.count(), 1);
}

#[test]
fn arp_and_ethernet_headers_have_rules_of_their_own() {
    let mut bench = Bench::ips();
    bench.rules = rule_set(
        "alert arp any any -> any any (sid:1;)\n\
         drop ether any any -> any any (ether.hdr; content:\"|08 06|\"; offset:12; depth:2; sid:2;)\n\
         alert ether any any -> any any (ether.hdr; content:\"|08 00|\"; offset:12; depth:2; sid:3;)\n\
         alert ip any any -> any any (sid:4;)",
        1,
    );
    let arp = [0, 1, 8, 0, 6, 4, 0, 1];
    let header = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6];
    for (ethernet, told) in
        [(&[][..], vec!["alert:1"]), (&header[..], vec!["alert:1", "alert:2:blocked", "drop:rules"])]
    {
        let packet = Ingress { ethernet, ..Ingress::bare(&arp, 0x0806) };
        let world = World { rules: &bench.rules, flows: &bench.flows, shared: &bench.shared };
        let verdict = bench.path.inspect(world, &packet, Timestamp::from_micros(1), &mut bench.events);
        assert_eq!(verdict.action == Action::Accept, ethernet.is_empty());
        let mut seen = bench.told();
        seen.sort_unstable();
        assert_eq!(seen, told);
    }
    let segment = tcp(b"harmless");
    let ip = Ingress { ethernet: &[&header[..12], &[8, 0]].concat(), ..Ingress::bare(&segment, IPV4) };
    let world = World { rules: &bench.rules, flows: &bench.flows, shared: &bench.shared };
    assert_eq!(bench.path.inspect(world, &ip, Timestamp::from_micros(2), &mut bench.events), Verdict::ACCEPT);
    assert_eq!(bench.told(), ["alert:3", "alert:4"]);
}
