//! The disguises of `tests/evasion` through a real kernel: packets as they are written there go out of a raw socket, and
//! what a real server reads behind the gate is what counts.
//!
//! ```text
//!  client (raw sockets) ── gateway (the gate) ── server (only routes) ── victim (a TCP server)
//! ```
//!
//! The hop in between is where packets die whose time to live is short. The client's own kernel knows nothing of these
//! connections: its resets are held back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use rustix::net::{recv, sendto, socket_with};

use self::disguises::{DISGUISES, Disguise};
use self::packets::{ACK, Ends, SYN, TTL_SHORT};
use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::Gate;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::Topology;
use crate::toolbox::traffic::{serve_udp_echo, udp_ask_for};
use crate::toolbox::{SLOW, wait_until};

#[allow(dead_code, reason = "some of it is for the page")]
#[path = "../../evasion/disguises.rs"]
mod disguises;
#[allow(dead_code, reason = "some of it is for hosts that are acted")]
#[path = "../../evasion/packets.rs"]
mod packets;

const ATTACK: &str = "GET /cgi-bin/search?file=../../../../etc/passwd HTTP/1.1\r\nHost: victim.example\r\n\r\n";
const HARMLESS: &str = "GET /cgi-bin/search?file=../../../../etc/issues HTTP/1.1\r\nHost: victim.example\r\n\r\n";
const PATTERN: &[u8] = b"/etc/passwd";
const RULES: &str = r#"drop ip any any -> any any (msg:"passwords"; content:"/etc/passwd"; nocase; sid:1;)"#;

const CLIENT4: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 1, 0, 0, 0, 0, 2);
const VICTIM4: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 2);
const VICTIM6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 3, 0, 0, 0, 0, 2);
const HTTP: u16 = 80;
const MARKER: u16 = 5353;
const FIRST_PORT: u16 = 20_000;
/// How long a SYN waits for its answer before it is sent again.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// For the echo of one marker, before the next is sent.
const MARKER_MAX: Duration = Duration::from_secs(3);
/// As large as an interface takes them: some disguises are super-packets.
const MTU_BYTES: u32 = 65_535;

/// No disguise brings the attack to a server of this kernel; a harmless text in the honest ones arrives whole.
pub const DISGUISED: Scenario =
    Scenario { name: "evasion::disguised", needs: &[Need::Queue], seconds_max: 240, run: disguised };

fn disguised() {
    let net = Topology::new();
    let mut bed = Bed::behind(&net);
    let chosen: Vec<&Disguise> = DISGUISES.iter().filter(|disguise| disguise.not_in_kernel().is_none()).collect();

    let bare: BTreeSet<_> = chosen.iter().filter(|it| is_attacked(&bed.send(it, ATTACK).1)).map(|it| it.name).collect();
    let deaf: Vec<_> = chosen.iter().filter(|it| it.honest && !bare.contains(it.name)).map(|it| it.name).collect();
    assert!(deaf.is_empty(), "without a gate the server reads what is sent: {deaf:?}");

    // One queue keeps the order, so the marker behind a disguise says that all of it was judged.
    let mut gate = Gate::new(&net.gateway, RULES).with_queues(100, 1);
    gate.start();
    let mut ports = BTreeMap::new();
    for disguise in &chosen {
        let (port, data) = bed.send(disguise, ATTACK);
        assert!(!is_attacked(&data), "{}: the server got {:?}", disguise.name, String::from_utf8_lossy(&data));
        ports.insert(u64::from(port), disguise);
        if disguise.honest {
            let (_, data) = bed.send(disguise, HARMLESS);
            let text = String::from_utf8_lossy(&data);
            assert!(text.ends_with(HARMLESS), "{}: the server got {text:?}", disguise.name);
        }
    }
    wait_until("a drop for each honest disguise", SLOW, || {
        let dropped: BTreeSet<_> = gate.events("drop").iter().filter_map(|drop| drop["src_port"].as_u64()).collect();
        ports.iter().all(|(port, disguise)| !disguise.honest || dropped.contains(port))
    });
    assert!(chosen.len() >= 75, "{} disguises", chosen.len());
    eprintln!("{} disguises, {} of them reach a server of this kernel where no gate is", chosen.len(), bare.len());
}

fn is_attacked(data: &[u8]) -> bool {
    data.windows(PATTERN.len()).any(|window| window == PATTERN)
}

/// The victim, and the client's sockets.
struct Bed<'n> {
    net: &'n Topology,
    _victim: Netns,
    listener: TcpListener,
    accepted: Vec<(u16, TcpStream)>,
    raw4: Raw,
    raw6: Raw,
    next_port: u16,
}

impl<'n> Bed<'n> {
    /// Adds the hop and the victim behind the server of `net`.
    fn behind(net: &'n Topology) -> Bed<'n> {
        let victim = Netns::create("victim").expect("a namespace");
        victim.sysctl("net.ipv6.conf.default.accept_dad", "0");
        net.server.ip(&format!(
            "link add far type veth peer name eth0 netns {host}
             address add 10.77.3.1/24 dev far
             address add fd77:0:3::1/64 dev far
             link set far mtu {MTU_BYTES} up
             link set eth0 mtu {MTU_BYTES}",
            host = victim.name()
        ));
        victim.ip(&format!(
            "address add {VICTIM4}/24 dev eth0
             address add {VICTIM6}/64 dev eth0
             link set eth0 mtu {MTU_BYTES} up
             route add default via 10.77.3.1
             route add default via fd77:0:3::1"
        ));
        net.server.sysctl("net.ipv4.ip_forward", "1");
        net.server.sysctl("net.ipv6.conf.all.forwarding", "1");
        net.gateway.ip(&format!(
            "route add 10.77.3.0/24 via 10.77.2.2
             route add fd77:0:3::/64 via fd77:0:2::2
             link set lan mtu {MTU_BYTES}
             link set wan mtu {MTU_BYTES}"
        ));
        net.client.ip(&format!("link set eth0 mtu {MTU_BYTES}"));
        net.client
            .nft(
                "table inet quiet { chain out { type filter hook output priority 0; \
                 tcp flags & rst == rst tcp window 0 drop; }; }",
            )
            .expect("rules without connection tracking");
        serve_udp_echo(&victim, MARKER);
        let listener = victim.run(|| TcpListener::bind(("::", HTTP))).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let raw4 = net.client.run(|| Raw::open(AddressFamily::INET));
        let raw6 = net.client.run(|| Raw::open(AddressFamily::INET6));
        let bed = Bed { net, _victim: victim, listener, accepted: Vec::new(), raw4, raw6, next_port: FIRST_PORT };
        bed.settle();
        bed
    }

    /// Sends a text in disguise on a connection of its own. The client's port, and what the server has read.
    fn send(&mut self, disguise: &Disguise, text: &str) -> (u16, Vec<u8>) {
        let port = self.next_port;
        self.next_port += 1;
        let mut ends = Ends {
            client: CLIENT4.octets(),
            server: VICTIM4.octets(),
            client6: CLIENT6.octets(),
            server6: VICTIM6.octets(),
            port,
            server_first: 1,
            salt: (port - FIRST_PORT).wrapping_mul(128),
        };
        ends.set();
        let before = (disguise.frames)(text.as_bytes());
        let opens = before.iter().position(|frame| is_syn(frame)).expect("a connection begins with a SYN");
        let raw = |frame: &[u8]| if frame[0] >> 4 == 6 { &self.raw6 } else { &self.raw4 };
        before.iter().take(opens).for_each(|frame| raw(frame).send(frame));
        let answer = raw(&before[opens]).ask(&before[opens], port);
        let answer = answer.unwrap_or_else(|| panic!("{}: nobody answers the SYN", disguise.name));
        ends.server_first = answer.wrapping_add(1);
        ends.set();
        // The same frames, with acknowledgements that are right.
        let after = (disguise.frames)(text.as_bytes());
        after.iter().skip(opens + 1).for_each(|frame| raw(frame).send(frame));
        self.settle();
        (port, self.read(port))
    }

    /// Waits until everything sent so far has come to the victim, or will not.
    fn settle(&self) {
        for victim in [IpAddr::V4(VICTIM4), IpAddr::V6(VICTIM6)] {
            wait_until("the marker comes back", SLOW, || {
                udp_ask_for(&self.net.client, victim, MARKER, b"marker", MARKER_MAX).is_ok()
            });
        }
    }

    fn read(&mut self, port: u16) -> Vec<u8> {
        while let Ok((stream, peer)) = self.listener.accept() {
            stream.set_nonblocking(true).expect("a stream that does not wait");
            self.accepted.push((peer.port(), stream));
        }
        let mut data = Vec::new();
        let Some((_, stream)) = self.accepted.iter_mut().find(|(of, _)| *of == port) else { return data };
        match stream.read_to_end(&mut data) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        data
    }
}

/// Sockets of one family: one takes whole packets, the other sees every TCP segment that comes.
struct Raw {
    family: AddressFamily,
    out: OwnedFd,
    heard: OwnedFd,
}

impl Raw {
    fn open(family: AddressFamily) -> Raw {
        let socket = |protocol: Protocol| {
            socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol)).expect("a raw socket as root")
        };
        let raw = Raw { family, out: socket(ipproto::RAW), heard: socket(ipproto::TCP) };
        set_socket_timeout(&raw.heard, Timeout::Recv, Some(ANSWER_MAX)).expect("a timeout above zero");
        raw
    }

    fn send(&self, packet: &[u8]) {
        let sent = match self.family == AddressFamily::INET {
            true => sendto(&self.out, packet, SendFlags::empty(), &SocketAddrV4::new(VICTIM4, 0)),
            false => sendto(&self.out, packet, SendFlags::empty(), &SocketAddrV6::new(VICTIM6, 0, 0, 0)),
        };
        assert_eq!(sent, Ok(packet.len()));
    }

    /// Sends a SYN until it is answered, and gives the answer's sequence number.
    ///
    /// Two SYNs of one connection at once are two entries for conntrack, which drops the one that is confirmed last.
    fn ask(&self, syn: &[u8], port: u16) -> Option<u32> {
        let deadline = Instant::now() + SLOW;
        while Instant::now() < deadline {
            self.send(syn);
            if let Some(answer) = self.hear_answer(port) {
                return Some(answer);
            }
        }
        None
    }

    /// The sequence number of the SYN/ACK for `port`, if one comes.
    fn hear_answer(&self, port: u16) -> Option<u32> {
        let mut buffer = [0; 2048];
        while let Ok((len, _)) = recv(&self.heard, &mut buffer, RecvFlags::empty()) {
            // Only IPv4 comes with its header.
            let header = if self.family == AddressFamily::INET { usize::from(buffer[0] & 15) * 4 } else { 0 };
            let Some(tcp) = buffer.get(..len).and_then(|packet| packet.get(header..header + 20)) else { continue };
            let ports = [u16::from_be_bytes([tcp[0], tcp[1]]), u16::from_be_bytes([tcp[2], tcp[3]])];
            if ports == [HTTP, port] && tcp[13] & (SYN | ACK) == SYN | ACK {
                return Some(u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]));
            }
        }
        None
    }
}

/// A SYN that comes to the server.
fn is_syn(packet: &[u8]) -> bool {
    let (lives, tcp) = match packet[0] >> 4 {
        4 => (packet[8], usize::from(packet[0] & 15) * 4),
        _ => (packet[7], 40),
    };
    lives > TTL_SHORT && packet.get(tcp + 13).is_some_and(|flags| flags & (SYN | ACK) == SYN)
}
