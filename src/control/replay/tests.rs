use std::collections::BTreeMap;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;
use crate::packet::conntrack::CtStatus;
use crate::packet::decode::Transport;

/// Where the shared captures are, or `None` after saying that `test` is skipped.
fn testdata(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TIDEGATE_TESTDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata"), PathBuf::from);
    if root.join("traffic/golden.jsonl").exists() {
        return Some(root);
    }
    println!("skipped: {test}: no captures at {}", root.display());
    None
}

fn golden(root: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(root.join("traffic/golden.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Counts, and checks what every sink may rely on.
#[derive(Default)]
struct Auditor {
    packets: u64,
    tracked: u64,
    unseen: BTreeMap<&'static str, u64>,
    /// Entries alive by id, with their packets.
    alive: std::collections::HashMap<u32, u64>,
    ended: u64,
}

impl ReplaySink for Auditor {
    fn packet(&mut self, packet: &Ingress<'_>, _now: Timestamp) -> Action {
        self.packets += 1;
        let layers = crate::packet::decode::decode_ingress(packet).layers().count();
        assert!(layers >= 1);
        if let Some(tracked) = packet.conntrack {
            self.tracked += 1;
            let entry = tracked.entry;
            let first = !entry.status.is_confirmed();
            assert_eq!(first, !self.alive.contains_key(&entry.id.0), "an unconfirmed entry is a new one");
            assert_eq!(first, entry.start_ns.is_none());
            *self.alive.entry(entry.id.0).or_default() += 1;
            let counted = entry.counters_orig.unwrap().packets + entry.counters_reply.unwrap().packets;
            assert!(counted >= 1 && counted <= self.alive[&entry.id.0]);
        }
        Action::Accept
    }

    fn destroyed(&mut self, destroyed: &DestroyedEntry) {
        assert!(destroyed.entry.status.has(CtStatus::CONFIRMED | CtStatus::DYING));
        assert!(self.alive.remove(&destroyed.entry.id.0).is_some(), "every entry that ends was seen");
        self.ended += 1;
    }

    fn unseen(&mut self, why: Unseen, _now: Timestamp, pcap_cnt: u64) {
        assert!(pcap_cnt > 0);
        let name = match why {
            Unseen::LinkType(_) => "link type",
            Unseen::Link(_) => "link header",
            Unseen::NotIp { .. } => "not IP",
            Unseen::Truncated => "truncated",
            Unseen::Fragment => "fragment",
            Unseen::FragmentDropped(_) => "fragment dropped",
        };
        *self.unseen.entry(name).or_default() += 1;
    }
}

#[test]
fn all_captures_feed_and_count_as_many_frames_as_the_reference() {
    let Some(root) = testdata("all_captures_feed_and_count_as_many_frames_as_the_reference") else { return };
    let mut differences = Vec::new();
    let mut totals = (0, 0, 0, 0);
    let mut unseen = BTreeMap::new();
    for case in golden(&root) {
        let name = case["pcap"].as_str().unwrap();
        let mut sink = Auditor::default();
        let summary = match feed(&root.join("traffic").join(name), ReplayOptions::default(), &mut sink) {
            Ok(summary) => summary,
            Err(error) => {
                differences.push(format!("{name}: {error}"));
                continue;
            }
        };
        assert!(sink.alive.is_empty(), "{name}: entries that never ended");
        assert_eq!(summary.packets + sink.unseen.values().sum::<u64>(), summary.frames, "{name}");
        if summary.frames != case["packets"].as_u64().unwrap() {
            differences.push(format!(
                "{name} ({}): {} frames, the reference has {}, {:?} {:?}",
                case["name"], summary.frames, case["packets"], summary.problems, sink.unseen
            ));
        }
        totals = (totals.0 + 1, totals.1 + summary.frames, totals.2 + sink.tracked, totals.3 + sink.ended);
        for (why, count) in sink.unseen {
            *unseen.entry(why).or_insert(0) += count;
        }
    }
    println!(
        "{} captures, {} frames, {} tracked, {} entries; unseen: {unseen:?}",
        totals.0, totals.1, totals.2, totals.3
    );
    // The one frame of this damaged file says that it is longer than the file; the reference counts it all the same.
    differences.retain(|difference| !difference.contains("fuzz-2021-10-13.pcap"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// One line that says everything that both decoders know about a packet.
fn ours(packet: &[u8], ethertype: u16) -> Option<String> {
    let headers = decode(packet, ethertype).headers?;
    let ip = headers.ip;
    let transport = match headers.transport {
        // They leave the transport header of a first fragment alone, we read it.
        _ if ip.is_fragment() => String::new(),
        Transport::Tcp(tcp) => format!(
            "tcp {} {} {} {} {:#04x} {} {} {} options {:02x?}",
            tcp.src_port, tcp.dst_port, tcp.seq, tcp.ack, tcp.flags, tcp.window, tcp.checksum, tcp.urgent, tcp.options
        ),
        Transport::Udp(udp) => format!("udp {} {} {} {}", udp.src_port, udp.dst_port, udp.len, udp.checksum),
        Transport::Icmp(icmp) => format!("icmp {} {} {}", icmp.icmp_type, icmp.icmp_code, icmp.checksum),
        Transport::Sctp { .. } | Transport::Other => String::new(),
    };
    Some(format!(
        "{} {} proto {} ttl {} tos {} id {} frag {} more {} behind {} {transport}",
        ip.src,
        ip.dst,
        ip.protocol,
        ip.ttl,
        ip.tos,
        ip.id,
        ip.fragment_offset,
        ip.has_more_fragments(),
        // From behind the IP headers to the end, however the transport header divides it.
        packet.len().min(ip.total_len as usize) - ip.header.len(),
    ))
}

/// The same from the etherparse crate, a decoder that somebody else wrote; `None` where it refuses the packet.
fn theirs(packet: &[u8]) -> Option<String> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let (addresses, rest) = match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            (
                format!("{} {}", header.source_addr(), header.destination_addr()),
                format!(
                    "ttl {} tos {} id {} frag {} more {}",
                    header.ttl(),
                    header.dcp().value() << 2 | header.ecn().value(),
                    header.identification(),
                    header.fragments_offset().byte_offset(),
                    header.more_fragments(),
                ),
            )
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            let fragment = ip.extensions().clone().into_iter().find_map(|extension| match extension {
                etherparse::Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment.to_header()),
                _ => None,
            });
            let (id, offset, more) = fragment.map_or((0, 0, false), |fragment| {
                (fragment.identification, fragment.fragment_offset.byte_offset(), fragment.more_fragments)
            });
            (
                format!("{} {}", header.source_addr(), header.destination_addr()),
                format!("ttl {} tos {} id {id} frag {offset} more {more}", header.hop_limit(), header.traffic_class()),
            )
        }
        NetSlice::Arp(_) => return None,
    };
    let payload = sliced.ip_payload()?;
    let transport = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => format!(
            "tcp {} {} {} {} {:#04x} {} {} {} options {:02x?}",
            tcp.source_port(),
            tcp.destination_port(),
            tcp.sequence_number(),
            tcp.acknowledgment_number(),
            tcp.slice()[13],
            tcp.window_size(),
            tcp.checksum(),
            tcp.urgent_pointer(),
            tcp.options()
        ),
        Some(TransportSlice::Udp(udp)) => {
            format!("udp {} {} {} {}", udp.source_port(), udp.destination_port(), udp.length(), udp.checksum())
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            format!("icmp {} {} {}", icmp.type_u8(), icmp.code_u8(), icmp.checksum())
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            format!("icmp {} {} {}", icmp.type_u8(), icmp.code_u8(), icmp.checksum())
        }
        _ => String::new(),
    };
    let (protocol, behind) = (payload.ip_number.0, payload.payload.len());
    Some(format!("{addresses} proto {protocol} {rest} behind {behind} {transport}"))
}

#[test]
fn decoding_agrees_with_etherparse_on_all_captures() {
    let Some(root) = testdata("decoding_agrees_with_etherparse_on_all_captures") else { return };
    let (mut agreed, mut refused, mut differences) = (0, 0, Vec::new());
    for case in golden(&root) {
        let name = case["pcap"].as_str().unwrap();
        let Ok(mut capture) = Capture::open(&root.join("traffic").join(name)) else { continue };
        let mut number = 0;
        while let Ok(Some(captured)) = capture.next_frame() {
            number += 1;
            let mut anomalies = Anomalies::NONE;
            let frame = captured.link.and_then(|link| link.strip(captured.bytes, &mut anomalies));
            let Some(frame) = frame.filter(|frame| matches!(frame.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6)) else {
                continue;
            };
            let decoded = decode(frame.network, frame.ethertype);
            match (ours(frame.network, frame.ethertype), theirs(frame.network)) {
                (Some(ours), Some(theirs)) if ours == theirs => agreed += 1,
                (_, None) if !decoded.anomalies.is_empty() => refused += 1,
                (ours, theirs) => differences.push(format!(
                    "{} frame {number} {:?}\n  ours   {ours:?}\n  theirs {theirs:?}",
                    case["name"], decoded.anomalies
                )),
            }
        }
    }
    println!("{agreed} packets agree, {refused} odd ones are refused by etherparse");
    // They go by the version field where the link type says IPv6, and take an IPv6 payload length of 0 for "all there
    // is"; we do as the kernel does.
    let explained = ["tests__LINKTYPE_IPV6_invalid.pcap", "tests__icmpv6-length-zero.pcapng"];
    differences.retain(|difference| !explained.iter().any(|name| difference.contains(name)));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(agreed > 200_000);
}

/// A pcap file of Ethernet frames, one a second.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in (1u32..).zip(frames) {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [second, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// An Ethernet frame with VLAN 7 around a UDP datagram from port `src_port`; `field` is the IPv4 fragment field.
fn frame(src_port: u16, field: u16, data: &[u8]) -> Vec<u8> {
    let mut udp =
        if field & 0x1fff == 0 { [src_port, 53, 8 + 16, 0].map(u16::to_be_bytes).concat() } else { Vec::new() };
    udp.extend(data);
    let mut ip = vec![0x45, 0, 0, 20 + udp.len() as u8, 0, 1];
    ip.extend(field.to_be_bytes());
    ip.extend([64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    let sum = !checksum::Sum::default().plus(&ip).folded();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [vec![0xff; 6], vec![2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 8, 0], ip, udp].concat()
}

/// Notes all it is told, and answers from a list (Accept when it is used up).
#[derive(Default)]
struct Recorder {
    answers: std::collections::VecDeque<Action>,
    told: Vec<String>,
}

impl ReplaySink for Recorder {
    fn packet(&mut self, packet: &Ingress<'_>, now: Timestamp) -> Action {
        let entry = packet.conntrack.map(|tracked| (tracked.info, tracked.entry.status.0, tracked.entry.orig.src_port));
        self.told.push(format!(
            "packet {} at {} vlan {:?} mac {:02x?} {} bytes {entry:?}",
            packet.pcap_cnt,
            now.seconds(),
            packet.vlan[0].map(crate::packet::ingress::VlanTag::id),
            packet.source_mac.map(|mac| mac[5]),
            packet.bytes.len(),
        ));
        self.answers.pop_front().unwrap_or(Action::Accept)
    }

    fn destroyed(&mut self, destroyed: &DestroyedEntry) {
        self.told.push(format!("gone {} {:?}", destroyed.entry.orig.src_port, destroyed.end));
    }

    fn unseen(&mut self, why: Unseen, _now: Timestamp, pcap_cnt: u64) {
        self.told.push(format!("unseen {pcap_cnt} {why:?}"));
    }
}

const DATA: &[u8] = &[0x61; 16];

#[test]
fn a_capture_becomes_packets_with_entries() {
    let arp = [vec![0xff; 12], vec![8, 6], vec![0; 28]].concat();
    let frames = [frame(5000, 0, DATA), arp, frame(6000, 0x2000, &DATA[..8]), frame(6000, 2, &DATA[8..])];
    let mut file = pcap(&frames);
    file.extend([0; 7]);
    let capture = Capture::of_reader(Path::new("test.pcap"), io::Cursor::new(file)).unwrap();
    let mut sink = Recorder::default();
    let mut feeder = Feeder::new(ReplayOptions::default());
    feeder.capture(capture, &mut sink);
    let summary = feeder.finish(&mut sink);
    assert_eq!(
        sink.told,
        [
            "packet 1 at 1 vlan Some(7) mac Some(01) 44 bytes Some((New, 0, 5000))",
            "unseen 2 NotIp { ethertype: 2054 }",
            "unseen 3 Fragment",
            "packet 4 at 4 vlan Some(7) mac Some(01) 44 bytes Some((New, 0, 6000))",
            "gone 5000 CaptureEnded",
            "gone 6000 CaptureEnded",
        ]
    );
    assert_eq!((summary.frames, summary.packets), (4, 2));
    assert_eq!((summary.first.unwrap().seconds(), summary.last.unwrap().seconds()), (1, 4));
    assert!(matches!(summary.problems[..], [CaptureError::Truncated { frame: 5, .. }]));
}

#[test]
fn a_dropped_first_packet_is_first_again() {
    let capture = Capture::of_reader(Path::new("test"), io::Cursor::new(pcap(&vec![frame(5000, 0, DATA); 4]))).unwrap();
    let mut sink = Recorder::default();
    sink.answers.extend([Action::Drop(crate::packet::verdict::Reason::Rules), Action::Accept]);
    let mut feeder = Feeder::new(ReplayOptions::default());
    feeder.capture(capture, &mut sink);
    feeder.finish(&mut sink);
    let statuses: Vec<_> = sink.told.iter().map(|line| line.rsplit("bytes ").next().unwrap()).collect();
    assert_eq!(
        statuses,
        [
            "Some((New, 0, 5000))",
            "Some((New, 0, 5000))",
            "Some((New, 8, 5000))",
            "Some((New, 8, 5000))",
            "gone 5000 CaptureEnded"
        ]
    );
}

#[test]
fn bad_checksums_are_invalid_when_they_are_verified() {
    let mut bad = frame(5000, 0, DATA);
    bad[18 + 10] ^= 1;
    for (checksums, expected) in [
        (VerifyChecksums::All, "None"),
        (VerifyChecksums::Tcp, "Some((New, 0, 5000))"),
        (VerifyChecksums::None, "Some((New, 0, 5000))"),
    ] {
        let capture = Capture::of_reader(Path::new("test"), io::Cursor::new(pcap(&[bad.clone()]))).unwrap();
        let mut sink = Recorder::default();
        let mut feeder = Feeder::new(ReplayOptions { checksums, ..ReplayOptions::default() });
        feeder.capture(capture, &mut sink);
        assert!(sink.told[0].ends_with(expected), "{}", sink.told[0]);
    }
}

#[test]
fn a_directory_is_one_traffic_in_the_order_of_names() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("b.pcap"), pcap(&[frame(5000, 0, DATA)])).unwrap();
    fs::write(directory.path().join("a.pcap"), pcap(&[frame(5000, 0, DATA), frame(6000, 0, DATA)])).unwrap();
    fs::write(directory.path().join("notes.txt"), "no capture").unwrap();
    let mut sink = Recorder::default();
    let summary = feed(directory.path(), ReplayOptions::default(), &mut sink).unwrap();
    assert_eq!((summary.files, summary.frames), (2, 3));
    assert!(matches!(summary.problems[..], [CaptureError::NotACapture { .. }]));
    assert!(
        sink.told[2].starts_with("packet 3 ") && sink.told[2].ends_with("Some((New, 8, 5000))"),
        "{}",
        sink.told[2]
    );

    let missing = feed(&directory.path().join("missing"), ReplayOptions::default(), &mut sink);
    assert!(matches!(missing, Err(ReplayError::Source { .. })));
    let text = feed(&directory.path().join("notes.txt"), ReplayOptions::default(), &mut sink);
    assert!(matches!(text, Err(ReplayError::Capture(CaptureError::NotACapture { .. }))));
}
