use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::stats::{EngineStats, QueueStats, StatsSnapshot};
use super::*;
use crate::output::fast;
use crate::output::sink::SinkOptions;
use crate::output::spec::{AlertOptions, Destination, DropOptions, RecordTypes};
use crate::packet::conntrack::{
    Conntrack, ConntrackId, CtStatus, Direction, Fate, HelperName, TcpState, TcpTrack, Tuple,
};
use crate::packet::decode::igmp::Igmp;
use crate::packet::decode::inner::TunnelKind;
use crate::packet::event::{
    AlertEvent, AnomalyEvent, AppEvent, CapturedVariables, DropEvent, FlowEnd, FlowEvent, FlowState, FlowSummary,
    HeaderFacts, IcmpFacts, PacketFacts, TaggedEvent, TcpFacts, TcpFlowFacts, Variable,
};
use crate::packet::ingress::{Timestamp, VlanTag};
use crate::packet::tunnel::Carrier;
use crate::rules::app::AppProto;
use crate::rules::meta::{AlertTarget, RuleAction, RuleMeta};

const NOON: Timestamp = Timestamp { micros: 1_795_198_279_123_456 };

/// UTC, and one interface with a name.
pub fn context_options(options: SinkOptions) -> SinkOptions {
    SinkOptions { zone: Some(TimeZone::UTC), interfaces: Box::new(interface), ..options }
}

fn interface(index: u32) -> Option<String> {
    (index == 3).then(|| "lan0".to_owned())
}

fn context() -> Context {
    Context {
        clock: Clock::in_zone(TimeZone::UTC),
        interfaces: Interfaces::new(Box::new(interface)),
        pcap_filename: Some("attack.pcap".to_owned()),
    }
}

/// An alert with all that one can carry: NAT both ways, VLANs, a helper.
pub fn alert() -> AlertEvent {
    AlertEvent {
        packet: packet(),
        rule: rule(RuleAction::Drop),
        blocked: true,
        flow: Some(summary()),
        variables: CapturedVariables {
            flow: vec![Variable { name: "agent".into(), value: b"curl/8".as_slice().into() }],
            packet: vec![Variable { name: "path".into(), value: b"/..\n".as_slice().into() }],
        },
        in_stream: true,
        payload: b"GET /../etc/passwd HTTP/1.1\r\n\x00\xff".as_slice().into(),
        packet_bytes: [0x45, 0, 0, 20].into(),
        generation: 7,
        rules_hash: 0xabc,
        app_proto: None,
        files: Vec::new(),
        transaction: None,
    }
}

fn rule(action: RuleAction) -> Arc<RuleMeta> {
    Arc::new(RuleMeta {
        action,
        gid: 1,
        sid: 2_000_001,
        rev: 3,
        msg: "ET \"quoted\" path traversal".to_owned(),
        classtype: "web-application-attack".to_owned(),
        category: "Web Application Attack".to_owned(),
        priority: 1,
        references: vec!["https://example.com/a".to_owned()],
        metadata: vec![
            ("attack_target".to_owned(), vec!["Server".to_owned()]),
            ("tag".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        ],
        block: None,
        target: Some(AlertTarget::Destination),
        text: "drop tcp any any -> any any (sid:2000001; rev:3;)".to_owned(),
    })
}

fn tuple(src: &str, src_port: u16, dst: &str, dst_port: u16, protocol: u8) -> Tuple {
    Tuple { src: ip(src), dst: ip(dst), protocol, src_port, dst_port }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// 192.168.1.2 asks for 203.0.113.9, which is 10.0.0.80 behind us, and appears there as 10.0.0.1.
fn entry() -> Conntrack {
    Conntrack {
        id: ConntrackId(3_405_691_582),
        status: CtStatus(CtStatus::SEEN_REPLY | CtStatus::CONFIRMED | CtStatus::SRC_NAT | CtStatus::DST_NAT),
        tcp: Some(TcpTrack {
            state: TcpState::Established,
            wscale_orig: 7,
            wscale_reply: 7,
            flags_orig: 0,
            flags_reply: 0,
        }),
        start_ns: Some((NOON.micros - 2_000_000) * 1000),
        mark: 0x0200_0001,
        helper: Some(HelperName::from_bytes(b"ftp")),
        master: Some(tuple("192.168.1.2", 40_999, "203.0.113.9", 21, 6)),
        ..Conntrack::of_tuples(
            5,
            tuple("192.168.1.2", 41_000, "203.0.113.9", 80, 6),
            tuple("10.0.0.80", 8080, "10.0.0.1", 41_000, 6),
        )
    }
}

fn packet() -> PacketFacts {
    PacketFacts {
        timestamp: NOON,
        flow_id: Some(1_234_567_890_123),
        in_ifindex: 3,
        out_ifindex: 4,
        vlan: [Some(VlanTag { protocol: 0x8100, tci: 0x60c8 }), None, None],
        pcap_cnt: 42,
        src: ip("192.168.1.2"),
        dst: ip("10.0.0.80"),
        src_port: 41_000,
        dst_port: 8080,
        protocol: 6,
        icmp: None,
        igmp: None,
        direction: Some(Direction::Original),
        conntrack: Some(entry()),
        carrier: None,
        header: HeaderFacts {
            len: 449,
            tos: 0,
            ttl: 63,
            ip_id: 24_983,
            flow_label: 0,
            tcp: Some(TcpFacts { seq: 1, ack: 2, window: 65_392, reserved: 0, urgent: 0, flags: 0x18 }),
            udp_len: None,
        },
    }
}

/// A match on a message about groups.
fn grouped(igmp: Igmp) -> Event {
    let packet = PacketFacts { protocol: 2, src_port: 0, dst_port: 0, igmp: Some(igmp), conntrack: None, ..packet() };
    Event::Alert(Box::new(AlertEvent { packet, transaction: None, app_proto: None, ..alert() }))
}

/// A ping over IPv6, without conntrack.
fn ping6() -> PacketFacts {
    PacketFacts {
        flow_id: None,
        in_ifindex: 9,
        vlan: [None; 3],
        pcap_cnt: 0,
        src: ip("2001:db8::1"),
        dst: ip("2001:db8::2"),
        src_port: 0,
        dst_port: 0,
        protocol: 58,
        icmp: Some(IcmpFacts { icmp_type: 128, icmp_code: 0, id: 5, seq: 6 }),
        igmp: None,
        direction: None,
        conntrack: None,
        carrier: None,
        header: HeaderFacts { len: 104, tos: 2, ttl: 64, flow_label: 99_263, ..HeaderFacts::default() },
        ..packet()
    }
}

fn summary() -> FlowSummary {
    FlowSummary {
        pkts_toserver: 4,
        pkts_toclient: 3,
        bytes_toserver: 900,
        bytes_toclient: 800,
        start: Timestamp::from_micros(NOON.micros - 2_000_000),
    }
}

fn flow() -> FlowEvent {
    FlowEvent {
        timestamp: NOON,
        flow_id: 1_234_567_890_123,
        in_ifindex: 3,
        entry: entry(),
        carrier: None,
        summary: summary(),
        counted_by_kernel: true,
        end: NOON,
        age_s: 2,
        state: FlowState::Closed,
        reason: FlowEnd::Timeout,
        alerted: true,
        fate: Fate::Reject,
        cleared_by: Some(crate::packet::verdict::Clearing::StreamDepth),
        generation: 7,
        tcp: Some(TcpFlowFacts { flags_toserver: 0x1f, flags_toclient: 0xf2, state: Some(TcpState::TimeWait) }),
        icmp: None,
        app_proto: None,
    }
}

fn ping_flow() -> FlowEvent {
    FlowEvent {
        entry: Conntrack {
            status: CtStatus(CtStatus::SEEN_REPLY | CtStatus::CONFIRMED),
            ..Conntrack::of_tuples(
                0,
                tuple("192.168.100.138", 5, "192.168.100.1", 8 << 8, 1),
                tuple("192.168.100.1", 5, "192.168.100.138", 0, 1),
            )
        },
        counted_by_kernel: false,
        state: FlowState::Bypassed,
        reason: FlowEnd::Shutdown,
        fate: Fate::Pass,
        tcp: None,
        ..flow()
    }
}

fn stats() -> StatsSnapshot {
    let mut stats = StatsSnapshot {
        timestamp: NOON,
        uptime: 60,
        queues: vec![QueueStats { id: 7400, received: 10, accepted: 9, blocked: 1, ..QueueStats::default() }],
        ..StatsSnapshot::default()
    };
    stats.detect.engines = vec![EngineStats { rules_loaded: 100, ..EngineStats::default() }];
    stats.ledger.offered = 12;
    stats.ledger.received = 10;
    stats.ledger.uninspected.fail_open = 2;
    stats.ips.blocked = 1;
    stats.ips.drop_reason.add(Reason::Rules, 1);
    stats
}

/// A log that asks for everything.
fn talkative() -> EveLog {
    EveLog {
        destination: Destination::File(PathBuf::from("eve.json")),
        types: RecordTypes {
            alert: Some(AlertOptions {
                payload: true,
                payload_printable: true,
                packet: true,
                rule_text: true,
                references: true,
                verdict: true,
                ..AlertOptions::default()
            }),
            drop: Some(DropOptions { alerts: true, flows: DropFlows::All, verdict: true }),
            ..RecordTypes::default()
        },
        community_id_seed: Some(0),
        pcap_file: true,
    }
}

/// A log with Suricata's defaults.
fn plain() -> EveLog {
    EveLog { types: RecordTypes::default(), community_id_seed: None, pcap_file: false, ..talkative() }
}

fn write(event: Event, log: &EveLog) -> String {
    let mut out = Vec::new();
    assert!(write_event(&mut out, &event, log, &mut context()));
    String::from_utf8(out).unwrap()
}

/// Every record kind, with all options and with none.
fn tunnelled() -> AlertEvent {
    let carrier = Carrier {
        src: ip("203.0.113.7"),
        dst: ip("203.0.113.8"),
        src_port: 40_000,
        dst_port: 4789,
        protocol: 17,
        depth: 1,
        kind: TunnelKind::Vxlan,
    };
    AlertEvent { packet: PacketFacts { carrier: Some(carrier), conntrack: None, pcap_cnt: 3, ..packet() }, ..alert() }
}

fn records() -> BTreeMap<&'static str, String> {
    let drop = |packet, reason, rule: Option<Arc<RuleMeta>>, reject| {
        Event::Drop(Box::new(DropEvent { packet, reason, rule, reject, flow: None }))
    };
    let anomaly = |packet, kind, event, count| {
        Event::Anomaly(Box::new(AnomalyEvent { timestamp: NOON, packet, kind, event, count }))
    };
    let udp = PacketFacts {
        protocol: 17,
        header: HeaderFacts { tcp: None, udp_len: Some(39), ..packet().header },
        direction: Some(Direction::Reply),
        ..packet()
    };
    let ping = PacketFacts { src: ip("192.0.2.1"), dst: ip("192.0.2.2"), protocol: 1, ..ping6() };
    let from_server = AlertEvent {
        packet: udp.clone(),
        blocked: false,
        rule: Arc::new(RuleMeta { target: Some(AlertTarget::Source), ..(*rule(RuleAction::Alert)).clone() }),
        ..alert()
    };
    let tagged = Event::Tagged(Box::new(TaggedEvent { packet: packet(), packet_bytes: [0x45, 0, 0, 20].into() }));
    let mut stats_line = Vec::new();
    assert!(write_stats(&mut stats_line, &stats(), &talkative(), &mut context()));

    let (talkative, plain) = (talkative(), plain());
    let app = app_tests::records().into_iter().map(|(name, record)| {
        let event = AppEvent { packet: packet(), app_proto: proto_of(name), tx_id: 2, record };
        (name, write(Event::App(Box::new(event)), &plain))
    });
    let alerted = app_tests::alerted().into_iter().map(|(name, record)| {
        let event = AlertEvent { app_proto: Some(proto_of(name)), transaction: Some((2, record)), ..alert() };
        (name, write(Event::Alert(Box::new(event)), &plain))
    });
    let mut records = BTreeMap::from([
        ("alert", write(Event::Alert(Box::new(alert())), &plain)),
        ("alert-everything", write(Event::Alert(Box::new(alert())), &talkative)),
        ("alert-to-client", write(Event::Alert(Box::new(from_server)), &plain)),
        ("alert-tunnel", write(Event::Alert(Box::new(tunnelled())), &plain)),
        ("alert-igmp", write(grouped(Igmp { kind: 0x16, version: Some(2), is_rgmp: false }), &plain)),
        ("alert-rgmp", write(grouped(Igmp { kind: 0xff, version: None, is_rgmp: true }), &plain)),
        ("packet", write(tagged, &plain)),
        ("drop", write(drop(packet(), Reason::Rules, Some(rule(RuleAction::Drop)), false), &plain)),
        ("drop-everything", write(drop(udp, Reason::Rules, Some(rule(RuleAction::RejectBoth)), true), &talkative)),
        ("drop-icmp", write(drop(ping, Reason::ConntrackInvalid, None, false), &talkative)),
        ("drop-icmpv6", write(drop(ping6(), Reason::DecodeError, None, false), &talkative)),
        ("flow", write(Event::Flow(Box::new(flow())), &talkative)),
        ("flow-icmp", write(Event::Flow(Box::new(ping_flow())), &talkative)),
        ("anomaly-packet", write(anomaly(Some(packet()), "decode", "decoder.ipv4.trunc_pkt", 0), &plain)),
        ("anomaly-gate", write(anomaly(None, "gate", "gate.fail_open", 12), &talkative)),
        ("stats", String::from_utf8(stats_line).unwrap()),
    ]);
    records.extend(app.chain(alerted));
    records
}

/// `TIDEGATE_BLESS=1` writes them anew.
#[test]
fn records_are_what_the_goldens_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/eve");
    let bless = std::env::var_os("TIDEGATE_BLESS").is_some();
    for (name, record) in records() {
        let path = dir.join(name).with_extension("json");
        if bless {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, &record).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(record, golden, "{name}; run with TIDEGATE_BLESS=1 if this change is meant");
    }
    for file in fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(records().contains_key(name.as_str()), "{} belongs to no record", path.display());
    }
}

/// The names of OISF's `etc/schema.json` (which is strict), by object, and ours in our own objects.
#[test]
fn no_field_is_named_otherwise_than_suricata_names_it() {
    for (name, record) in records() {
        let value: Value = serde_json::from_str(&record).unwrap();
        check_names(name, "", &value);
    }
}

fn check_names(record: &str, object: &str, value: &Value) {
    let allowed: BTreeSet<&str> = allowed(object).split_whitespace().collect();
    for (key, inner) in value.as_object().unwrap() {
        assert!(allowed.contains(key.as_str()), "{record}: {object}.{key}");
        let path = if object.is_empty() { key.clone() } else { format!("{object}.{key}") };
        match inner {
            Value::Object(_) if path != "alert.metadata" && !path.starts_with("metadata.") => {
                check_names(record, &path, inner)
            }
            Value::Array(_) if path.starts_with("metadata.") => {}
            Value::Array(items) => {
                for item in items.iter().filter(|item| item.is_object()) {
                    check_names(record, &path, item);
                }
            }
            _ => {}
        }
    }
}

fn proto_of(name: &str) -> AppProto {
    if name.contains("dns") { AppProto::Dns } else { AppProto::Http1 }
}

fn allowed(object: &str) -> &'static str {
    match object {
        "" => {
            "timestamp flow_id parent_id event_type in_iface src_ip src_port dest_ip dest_port proto ip_v pkt_src vlan \
             icmp_type icmp_code response_icmp_type response_icmp_code spi direction community_id app_proto tx_id \
             pcap_cnt pcap_filename packet packet_info payload payload_printable stream alert drop flow anomaly stats \
             tcp dcerpc dns krb5 quic sip smb smtp email snmp fileinfo http ftp ftp_data ssh tftp tls \
             dhcp mqtt rfb ike rdp nfs ntp igmp rgmp modbus dnp3 enip ldap pgsql bittorrent_dht pop3 websocket frame \
             verdict metadata tunnel conntrack tidegate"
        }
        "alert" => "action gid signature_id rev signature category severity rule references source target metadata",
        "metadata" => "flowvars pktvars",
        "tls" => {
            "subject issuerdn session_resumed serial fingerprint sni version notbefore notafter subjectaltname ja3 ja3s \
             ja4 client_alpns server_alpns client"
        }
        "tls.client" => "subject issuerdn fingerprint serial notbefore notafter subjectaltname",
        "tls.ja3" | "tls.ja3s" | "quic.ja3" | "quic.ja3s" | "quic.cyu" => "hash string",
        "quic" => "version sni ua cyu ja3 ja3s ja4 extensions",
        "quic.extensions" => "name type values",
        "alert.source" | "alert.target" => "ip port",
        "verdict" => "action reject_target reject",
        "packet_info" => "linktype",
        "drop" => {
            "len tos ttl ipid tcpseq tcpack tcpwin tcpres tcpurgp syn ack psh rst urg fin udplen icmp_id icmp_seq \
             flowlbl hoplimit tc reason"
        }
        "flow" => {
            "pkts_toserver pkts_toclient bytes_toserver bytes_toclient bypass start end age state reason alerted \
             action src_ip dest_ip src_port dest_port"
        }
        // Version 2 has `query` and `answer` beside alerts, and names of 3 stand there, too.
        "dns" | "dns.query" | "dns.answer" => {
            "version type id tx_id flags qr aa tc rd ra z opcode rcode rrname rrtype queries answers grouped \
             authorities query answer"
        }
        "ftp" => "command command_data completion_code reply dynamic_port mode reply_received",
        "ftp_data" => "filename command",
        "smtp" => "helo mail_from rcpt_to",
        "email" => "status from to cc subject date message_id x_mailer received attachment url",
        "dns.queries" => "rrname rrtype",
        "dns.answers" | "dns.authorities" | "dns.answer.answers" | "dns.answer.authorities" => {
            "rrname rrtype ttl rdata soa srv sshfp"
        }
        "dns.answers.soa" | "dns.answer.answers.soa" | "dns.grouped.SOA" | "dns.answer.grouped.SOA" => {
            "mname rname serial refresh retry expire minimum"
        }
        "dns.answers.srv" | "dns.answer.answers.srv" | "dns.grouped.SRV" | "dns.answer.grouped.SRV" => {
            "priority weight port name"
        }
        "dns.answers.sshfp" | "dns.answer.answers.sshfp" | "dns.grouped.SSHFP" | "dns.answer.grouped.SSHFP" => {
            "fingerprint algo type"
        }
        "dns.grouped" | "dns.answer.grouped" => "A AAAA CNAME MX NS NULL PTR SOA SRV SSHFP TXT",
        "dcerpc" => "request req interfaces response res call_id activityuuid seqnum rpc_version",
        "dcerpc.req" => "opnum frag_cnt stub_data_size",
        "dcerpc.res" | "smb.dcerpc.req" | "smb.dcerpc.res" => "frag_cnt stub_data_size",
        "dcerpc.interfaces" | "smb.dcerpc.interfaces" => "uuid version ack_result ack_reason",
        "smb" => {
            "id dialect command status status_code session_id tree_id ntlmssp request response directory filename \
             disposition access created accessed modified changed size client_dialects client_guid server_guid \
             max_read_size max_write_size named_pipe share service share_type set_info rename fuid dcerpc function"
        }
        "krb5" => {
            "msg_type failed_request error_code cname realm sname encryption weak_encryption ticket_encryption \
             ticket_weak_encryption"
        }
        "sip" => "method uri version request_line code reason response_line",
        "ssh" => "client server",
        "tftp" => "packet file mode",
        "dhcp" => {
            "type id client_mac assigned_ip client_ip relay_ip next_server_ip dhcp_type client_id hostname \
             vendor_class_identifier requested_ip subnet_mask lease_time rebinding_time renewal_time params \
             dns_servers routers"
        }
        "mqtt" => {
            "auth connect connack disconnect pingreq pingresp publish pubrec pubrel pubcomp subscribe suback \
             unsubscribe unsuback"
        }
        "mqtt.auth" => "qos retain dup reason_code",
        "mqtt.connect" => "qos retain dup protocol_string protocol_version client_id flags username will properties",
        "mqtt.connect.flags" => "username password will_retain will clean_session",
        "mqtt.connect.will" => "topic message properties",
        "mqtt.connect.will.properties" => "will_delay_interval",
        "mqtt.connect.properties" => "session_expiry_interval",
        "mqtt.connack" => "qos retain dup session_present return_code properties",
        "mqtt.connack.properties" => "receive_maximum",
        "mqtt.disconnect" => "qos retain dup reason_code properties",
        "mqtt.disconnect.properties" => "reason_string",
        "mqtt.pingreq" => "qos retain dup",
        "mqtt.pingresp" => "qos retain dup",
        "mqtt.publish" => "qos retain dup message_id topic message truncated skipped_length",
        "mqtt.pubrec" => "qos retain dup message_id reason_code properties",
        "mqtt.pubrec.properties" => "reason_string",
        "mqtt.pubrel" => "qos retain dup message_id",
        "mqtt.pubcomp" => "qos retain dup message_id",
        "mqtt.subscribe" => "qos retain dup message_id topics",
        "mqtt.subscribe.topics" => "topic qos",
        "mqtt.suback" => "qos retain dup message_id qos_granted",
        "mqtt.unsubscribe" => "qos retain dup message_id topics",
        "mqtt.unsuback" => "qos retain dup message_id reason_codes",
        "rfb" => {
            "server_protocol_version client_protocol_version authentication server_security_failure_reason \
             screen_shared framebuffer"
        }
        "rfb.server_protocol_version" => "major minor",
        "rfb.client_protocol_version" => "major minor",
        "rfb.authentication" => "security_type vnc security_result",
        "rfb.authentication.vnc" => "challenge response",
        "rfb.framebuffer" => "width height name pixel_format",
        "rfb.framebuffer.pixel_format" => {
            "bits_per_pixel depth big_endian true_color red_max green_max blue_max red_shift green_shift \
             blue_shift"
        }
        "ike" => {
            "version_major version_minor init_spi resp_spi message_id exchange_type role alg_enc alg_auth \
             alg_prf alg_dh alg_esn payload ikev2 alg_enc_raw alg_hash alg_hash_raw alg_auth_raw alg_dh_raw \
             sa_life_type sa_life_type_raw sa_life_duration sa_life_duration_raw ikev1"
        }
        "ike.ikev2" => "errors notify",
        "ike.ikev1" => "doi encrypted_payloads client server vendor_ids",
        "ike.ikev1.client" => {
            "key_exchange_payload key_exchange_payload_length nonce_payload nonce_payload_length proposals"
        }
        "ike.ikev1.server" => "key_exchange_payload key_exchange_payload_length nonce_payload nonce_payload_length",
        "ike.ikev1.client.proposals" => {
            "alg_enc alg_enc_raw alg_hash alg_hash_raw alg_auth alg_auth_raw alg_dh alg_dh_raw sa_life_type \
             sa_life_type_raw sa_life_duration sa_life_duration_raw"
        }
        "modbus" => "request response",
        "modbus.request" => {
            "transaction_id protocol_id unit_id function_raw function_code category write diagnostic read"
        }
        "modbus.request.write" => "address quantity data",
        "modbus.response" => "transaction_id protocol_id unit_id function_raw function_code category write exception",
        "modbus.response.write" => "address quantity data",
        "modbus.request.diagnostic" => "raw",
        "modbus.response.exception" => "raw code",
        "modbus.request.read" => "address quantity",
        "dnp3" => "type control src dst application iin",
        "dnp3.control" => "dir pri fcb fcv function_code",
        "dnp3.application" => "control function_code objects complete",
        "dnp3.application.control" => "fir fin con uns sequence",
        "dnp3.application.objects" => "group variation qualifier prefix_code range_code start stop count",
        "dnp3.iin" => "indicators",
        "rdp" => "tx_id event_type client channels error_code reason cookie flags server_supports protocol",
        "rdp.client" => "version desktop_width desktop_height build client_name",
        "bittorrent_dht" => "transaction_id error request_type request response",
        "bittorrent_dht.error" => "num msg",
        "bittorrent_dht.request" => "id info_hash",
        "bittorrent_dht.response" => "id nodes values token",
        "bittorrent_dht.response.nodes" => "id ip port",
        "bittorrent_dht.response.values" => "ip port",
        "ldap" => "request responses",
        "ldap.request" => {
            "message_id operation add_request bind_request compare_request del_request controls modify_request \
             mod_dn_request search_request extended_request"
        }
        "ldap.request.add_request" => "entry attributes",
        "ldap.request.add_request.attributes" => "name values",
        "ldap.responses" => {
            "operation add_response bind_response compare_response del_response modify_response mod_dn_response \
             search_result_entry search_result_done extended_response"
        }
        "ldap.responses.add_response" => "result_code matched_dn message",
        "ldap.request.bind_request" => "version name sasl",
        "ldap.responses.bind_response" => "result_code matched_dn message server_sasl_creds",
        "ldap.request.compare_request" => "entry attribute_value_assertion",
        "ldap.request.compare_request.attribute_value_assertion" => "description value",
        "ldap.responses.compare_response" => "result_code matched_dn message",
        "ldap.request.del_request" => "dn",
        "ldap.request.controls" => "control_type criticality control_value",
        "ldap.responses.del_response" => "result_code matched_dn message",
        "ldap.request.modify_request" => "object changes",
        "ldap.request.modify_request.changes" => "operation modification",
        "ldap.request.modify_request.changes.modification" => "attribute_type attribute_values",
        "ldap.responses.modify_response" => "result_code matched_dn message",
        "ldap.request.mod_dn_request" => "entry new_rdn delete_old_rdn new_superior",
        "ldap.responses.mod_dn_response" => "result_code matched_dn message",
        "ldap.request.bind_request.sasl" => "mechanism credentials",
        "ldap.request.search_request" => {
            "base_object scope deref_alias size_limit time_limit types_only filter attributes"
        }
        "ldap.request.search_request.filter" => "type value",
        "ldap.responses.search_result_entry" => "base_object attributes",
        "ldap.responses.search_result_entry.attributes" => "type values",
        "ldap.responses.search_result_done" => "result_code matched_dn message",
        "ldap.request.extended_request" => "name",
        "ldap.responses.extended_response" => "result_code matched_dn message",
        "pgsql" => "tx_id request response",
        "pgsql.request" => {
            "simple_query message sasl_response sasl_authentication_mechanism sasl_param protocol_version \
             startup_parameters"
        }
        "pgsql.response" => {
            "severity_localizable severity_non_localizable code message position file line routine ssl_accepted \
             field_count data_rows data_size command_completed authentication_sasl_final parameter_status \
             process_id secret_key"
        }
        "pgsql.response.parameter_status" => "time_zone is_superuser",
        "pgsql.request.startup_parameters" => "user optional_parameters",
        "pgsql.request.startup_parameters.optional_parameters" => "database date_style",
        "pop3" => "request response",
        "pop3.request" => "command args",
        "pop3.response" => "success status header data",
        "websocket" => "fin mask opcode",
        "ntp" => "version mode stratum reference_id",
        "igmp" => "version type",
        "frame" => "type direction length complete",
        "rgmp" => "type",
        "nfs" => "version procedure filename hhash id file_tx type status rename",
        "nfs.rename" => "from to",
        "ssh.client" | "ssh.server" => "proto_version software_version hassh",
        "ssh.client.hassh" | "ssh.server.hassh" => "hash string",
        "snmp" => "version pdu_type error trap_type trap_oid trap_address vars community usm",
        "smb.ntlmssp" => "domain user host version",
        "smb.request" | "smb.response" => "native_os native_lm",
        "smb.service" => "request response",
        "smb.set_info" => "class info_level",
        "smb.rename" => "from to",
        "smb.dcerpc" => "request response opnum req res interfaces call_id",
        "fileinfo" => "filename magic gaps state md5 sha1 sha256 stored file_id size start end tx_id sid",
        "http" => {
            "hostname http_port url http_user_agent xff http_content_type content_range http_refer http_method protocol \
             status status_string redirect length version request_headers response_headers http2"
        }
        "http.request_headers" | "http.response_headers" => "name value table_size_update",
        "http.http2" => "stream_id request response",
        "http.http2.request" | "http.http2.response" => "settings error_code priority has_multiple",
        "http.http2.request.settings" => "settings_id settings_value",
        "http.content_range" => "raw start end size",
        "tunnel" => "src_ip src_port dest_ip dest_port proto depth pcap_cnt pkt_src",
        "tcp" => "tcp_flags tcp_flags_ts tcp_flags_tc syn fin rst psh ack urg ecn cwr state",
        "anomaly" => "type event layer",
        "stats" => {
            "uptime capture decoder tcp streams app flow flow_bypassed detect ips ledger conntrack fates output queues"
        }
        "stats.capture" => "kernel_packets kernel_drops errors",
        "stats.decoder" => {
            "pkts bytes invalid ipv4 ipv6 tcp udp sctp icmpv4 icmpv6 gre ipv4_in_ipv6 ipv6_in_ipv6 avg_pkt_size \
             max_pkt_size"
        }
        "stats.tcp" => {
            "sessions syn synack rst midstream_pickups ack_unseen_data segment_memcap_drop stream_depth_reached \
             reassembly_gap overlap overlap_diff_data insert_data_normal_fail urgent_oob_data reassembly_memuse"
        }
        "stats.flow" => "total active tcp udp icmpv4 icmpv6 memcap",
        "stats.flow_bypassed" => "pkts bytes closed",
        "stats.detect" => "engines alert alert_queue_overflow alerts_suppressed limit_reached remembered_overflow",
        "stats.detect.engines" => "id rules_loaded rules_failed rules_skipped",
        "stats.ips" => "accepted blocked rejected replaced drop_reason",
        // Suricata's, and `conntrack_invalid`, `untracked` and `stream_overlap`: policies that it does not have.
        "stats.ips.drop_reason" => {
            "decode_error flow_memcap flow_drop rules threshold_detection_filter conntrack_invalid untracked \
             stream_overlap stream_memcap stream_urgent stream_midstream applayer_error"
        }
        // Ours from here on.
        "conntrack" => "id zone mark status state orig reply nat helper master start",
        "conntrack.orig" | "conntrack.reply" | "conntrack.master" => {
            "src_ip src_port dest_ip dest_port icmp_id icmp_type icmp_code proto"
        }
        "tidegate" => "generation ruleset fate cleared_by counted_by count",
        "stats.app" => {
            "recognised unrecognised parser_errors transactions_evicted datagrams_unread protocol_changes memcap memuse"
        }
        "stats.streams" => "out_of_order overlap_unverified",
        "stats.ledger" => "seconds complete offered received judged uninspected kernel_drops waiting",
        "stats.ledger.uninspected" => "fail_open bypass overrun failed",
        "stats.conntrack" => {
            "events_new events_destroy events_lost sweeps swept untracked invalid fates_written \
             fates_failed"
        }
        "stats.fates" => "store generation ruleset shown reinspected cleared offloaded",
        "stats.fates.cleared" => "pass_rule bypass_rule encrypted stream_depth elephant policy",
        "stats.output" => "written shed lost write_errors files_stored files_given_up",
        "stats.queues" => {
            "id received accepted blocked waiting kernel_drops user_drops overruns malformed orphans verdict_errors"
        }
        other => panic!("an object that nobody has thought of: {other}"),
    }
}

/// `docs/eve.md` has a table row for each field of each object, and no other.
#[test]
fn the_reference_names_every_field_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/eve.md");
    let page = fs::read_to_string(&path).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut written = BTreeSet::new();
    for record in records().values() {
        collect_paths("", &serde_json::from_str(record).unwrap(), &mut written);
    }
    assert_eq!(documented, written);
}

fn collect_paths(object: &str, value: &Value, paths: &mut BTreeSet<String>) {
    for (key, inner) in value.as_object().unwrap() {
        let path = if object.is_empty() { key.clone() } else { format!("{object}.{key}") };
        let items: Vec<&Value> = match inner {
            _ if path == "alert.metadata" || path.starts_with("metadata.") => Vec::new(),
            // The fields of `dns` again.
            _ if ["dns.query", "dns.answer", "dns.grouped"].contains(&path.as_str()) => Vec::new(),
            Value::Object(_) => vec![inner],
            Value::Array(items) => items.iter().filter(|item| item.is_object()).collect(),
            _ => Vec::new(),
        };
        if items.is_empty() {
            paths.insert(path);
        } else {
            items.iter().for_each(|item| collect_paths(&path, item, paths));
        }
    }
}

#[test]
fn a_log_writes_only_what_it_is_asked_for() {
    let nothing = EveLog {
        types: RecordTypes {
            alert: None,
            drop: None,
            flow: false,
            anomaly: false,
            stats: false,
            app: Default::default(),
            file_hashes: Default::default(),
        },
        ..plain()
    };
    let mut out = Vec::new();
    for event in [Event::Alert(Box::new(alert())), Event::Flow(Box::new(flow()))] {
        assert!(!write_event(&mut out, &event, &nothing, &mut context()));
    }
    assert!(!write_stats(&mut out, &stats(), &nothing, &mut context()));
    let later = Event::Drop(Box::new(DropEvent {
        packet: packet(),
        reason: Reason::FlowDrop,
        rule: None,
        reject: false,
        flow: None,
    }));
    assert!(!write_event(&mut out, &later, &plain(), &mut context()), "flows: start tells the first drop only");
    assert!(out.is_empty());
}

/// Rule texts and helpers may hold any byte that UTF-8 allows; payloads any byte at all.
#[test]
fn any_payload_gives_one_line_of_json() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let record = write(Event::Alert(Box::new(AlertEvent { payload: every_byte.into(), ..alert() })), &talkative());
    assert_eq!(record.matches('\n').count(), 1);
    let value: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(value["payload_printable"].as_str().unwrap().len(), 256);
}

#[test]
fn fast_log_has_the_form_that_suricata_7_writes() {
    let line = |event: &AlertEvent| {
        let mut out = Vec::new();
        fast::write_alert(&mut out, event, &mut Clock::in_zone(TimeZone::UTC));
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        line(&alert()),
        "11/20/2026-18:11:19.123456  [Drop] [**] [1:2000001:3] ET \"quoted\" path traversal [**] \
         [Classification: Web Application Attack] [Priority: 1] {TCP} 192.168.1.2:41000 -> 10.0.0.80:8080\n"
    );
    let unclassified = RuleMeta { category: String::new(), priority: 3, ..(*rule(RuleAction::Alert)).clone() };
    let ping = AlertEvent { packet: ping6(), rule: Arc::new(unclassified), ..alert() };
    assert_eq!(
        line(&ping),
        "11/20/2026-18:11:19.123456  [**] [1:2000001:3] ET \"quoted\" path traversal [**] [Classification: (null)] \
         [Priority: 3] {IPv6-ICMP} 2001:0db8:0000:0000:0000:0000:0000:0001:128 -> \
         2001:0db8:0000:0000:0000:0000:0000:0002:0\n"
    );
}
