//! What one packet meets: attacks are dropped or rejected, everything else passes, NAT hides nobody.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, counter};
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::topology::{SERVER4, SERVERS, Topology};
use crate::toolbox::traffic::{
    SILENCE, ask, ask_in_vain, http_get, http_get_on, serve_http, serve_udp_echo, tcp_connect, udp_ask, udp_ask_in_vain,
};
use crate::toolbox::{SENT_AGAIN, SLOW, wait_until};

const HTTP: u16 = 80;
const ECHO: u16 = 7;
const RULES: &str = r#"
drop tcp any any -> any 80 (msg:"E2E traversal"; flow:to_server,established; content:"/etc/passwd"; classtype:web-application-attack; sid:1000001; rev:3;)
drop udp any any -> any 5353 (msg:"E2E evil datagram"; content:"evil"; sid:1000002; rev:1;)
alert tcp any any -> any 80 (msg:"E2E curious"; flow:to_server,established; content:"/curious"; sid:1000003; rev:1;)
reject tcp any any -> any 7 (msg:"E2E reject"; flow:to_server,established; content:"reject me"; sid:1000004; rev:1;)
drop tcp any any -> any 7 (msg:"E2E condemned"; flow:to_server,established; content:"condemn me"; sid:1000005; rev:1;)
"#;

/// Attack dropped and told, benign passed and not told: IPv4 and IPv6, TCP and UDP.
pub const ATTACK_AND_BENIGN: Scenario =
    Scenario { name: "verdicts::attack_and_benign", needs: &[Need::Queue], seconds_max: 40, run: attack_and_benign };

fn attack_and_benign() {
    let net = Topology::new();
    serve_http(&net.server, HTTP);
    serve_udp_echo(&net.server, 5353);
    let gate = Gate::started(&net.gateway, RULES);

    for server in SERVERS {
        let reply = http_get(&net.client, server, HTTP, "/bytes/300000").expect("benign HTTP passes");
        assert_eq!((reply.status, reply.body.len()), (200, 300_000));
        assert_eq!(http_get(&net.client, server, HTTP, "/curious").expect("an alert lets pass").status, 200);
        assert_eq!(udp_ask(&net.client, server, 5353, b"good").expect("benign UDP passes"), b"good");

        expect_silence(&net, server, b"GET /../../etc/passwd HTTP/1.1\r\nHost: e2e\r\n\r\n");
        let attack = udp_ask_in_vain(&net.client, server, 5353, b"an evil datagram");
        assert_eq!(attack.expect_err("the datagram is dropped").kind(), ErrorKind::WouldBlock);

        assert_eq!(http_get(&net.client, server, HTTP, "/").expect("others still pass").status, 200);
        assert_eq!(udp_ask(&net.client, server, 5353, b"good").expect("others still pass"), b"good");
    }

    for (sid, port, proto) in [(1_000_001, HTTP, "TCP"), (1_000_002, 5353, "UDP")] {
        let alerts = gate.wait_for_alerts(sid, 2);
        for (server, own) in SERVERS.iter().zip(by_server(&alerts)) {
            let alert = own.first().unwrap_or_else(|| panic!("no alert of {sid} about {server}: {alerts:?}"));
            assert_eq!(alert["alert"]["action"], "blocked");
            assert_eq!(alert["proto"], proto);
            assert_eq!(alert["dest_port"], port);
            assert_eq!(alert["conntrack"]["orig"]["dest_port"], port, "{alert}");
            assert_eq!(alert["conntrack"]["nat"], "none", "{alert}");
        }
    }
    let curious = gate.wait_for_alerts(1_000_003, 2);
    assert!(curious.iter().all(|alert| alert["alert"]["action"] == "allowed"), "{curious:?}");
    let drops = gate.events("drop");
    assert!(drops.iter().all(|drop| ["rules", "flow drop"].contains(&drop["drop"]["reason"].as_str().unwrap_or(""))));
    assert!(drops.len() >= 4, "a drop for each family and transport: {drops:?}");
}

/// Sends `request` on a connection of its own and panics if anything comes back.
fn expect_silence(net: &Topology, server: IpAddr, request: &[u8]) {
    let mut stream = tcp_connect(&net.client, server, HTTP).expect("the handshake passes");
    stream.set_read_timeout(Some(SILENCE)).expect("a timeout above zero");
    stream.write_all(request).expect("the socket takes it");
    let error = stream.read(&mut [0; 64]).expect_err("no answer to an attack");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
}

/// The alerts about each of [`SERVERS`].
fn by_server(alerts: &[Value]) -> [Vec<&Value>; 2] {
    // EVE writes IPv6 addresses in full.
    let is_v6 = |alert: &&Value| alert["dest_ip"].as_str().unwrap_or_default().contains(':');
    let (v6, v4) = alerts.iter().partition(is_v6);
    [v4, v6]
}

/// A rejected connection is reset on both sides, by the kernel; the rest of a condemned one is dropped, by the kernel.
pub const REJECT_AND_CONDEMN: Scenario =
    Scenario { name: "verdicts::reject_and_condemn", needs: &[Need::Queue], seconds_max: 40, run: reject_and_condemn };

fn reject_and_condemn() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    let gate = Gate::started(&net.gateway, RULES);
    for server in SERVERS {
        let mut stream = tcp_connect(&net.client, server, ECHO).expect("the handshake passes");
        stream.write_all(b"reject me").expect("the socket takes it");
        let error = stream.read(&mut [0; 64]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{server}: {error}");

        let before = counter(&net.gateway, "fate_dropped");
        let mut stream = tcp_connect(&net.client, server, ECHO).expect("the handshake passes");
        ask(&mut stream, b"fine").expect("an echo");
        let silence = ask_in_vain(&mut stream, b"condemn me").expect_err("silence");
        assert_eq!(silence.kind(), ErrorKind::WouldBlock);
        wait_until("nftables to drop what is sent again", SENT_AGAIN, || {
            counter(&net.gateway, "fate_dropped") > before
        });
    }
    gate.wait_for_alerts(1_000_004, 2);
    gate.wait_for_alerts(1_000_005, 2);
}

/// With masquerade and port forwarding, an alert shows the connection as both sides know it.
pub const NAT: Scenario = Scenario { name: "verdicts::nat", needs: &[Need::Queue], seconds_max: 40, run: nat };

fn nat() {
    let net = Topology::new();
    serve_http(&net.server, HTTP);
    net.gateway
        .nft(
            "table ip nat {
                chain prerouting { type nat hook prerouting priority dstnat;
                    ip daddr 10.77.1.1 tcp dport 8080 dnat to 10.77.2.2:80; }
                chain postrouting { type nat hook postrouting priority srcnat; oifname wan masquerade; }
            }",
        )
        .expect("the kernel does NAT");
    let gate = Gate::started(&net.gateway, RULES);
    let gateway: IpAddr = "10.77.1.1".parse().expect("an address");
    let connected = tcp_connect(&net.client, gateway, 8080).expect("the port is forwarded");
    // Without NFQA_CT an event tells of the translation. It does not wait for us, nor we for it.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(http_get_on(connected, "/curious").expect("an alert lets pass").status, 200);

    let alert = &gate.wait_for_alerts(1_000_003, 1)[0];
    let fields = |object: &Value| {
        ["src_ip", "src_port", "dest_ip", "dest_port"].map(|key| object[key].to_string().trim_matches('"').to_owned())
    };
    let client_port = alert["src_port"].to_string();
    assert_eq!(fields(alert), ["10.77.1.2", &client_port, "10.77.2.2", "80"], "as seen at our hook");
    let conntrack = &alert["conntrack"];
    assert_eq!(fields(&conntrack["orig"]), ["10.77.1.2", &client_port, "10.77.1.1", "8080"], "as the client sent it");
    let [src_ip, src_port, dest_ip, _] = fields(&conntrack["reply"]);
    assert_eq!([src_ip.as_str(), &src_port, &dest_ip], ["10.77.2.2", "80", "10.77.2.1"], "as the server answers it");
    assert_eq!(conntrack["nat"], "both");
}

/// An ICMP error about a connection reaches the client, and is no flow of its own.
pub const RELATED_ICMP: Scenario =
    Scenario { name: "verdicts::related_icmp", needs: &[Need::Queue], seconds_max: 40, run: related_icmp };

fn related_icmp() {
    let net = Topology::new();
    let gate = Gate::started(&net.gateway, RULES);
    for server in SERVERS {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = net.client.run(|| UdpSocket::bind(any)).expect("a free port");
        socket.connect((server, 9999)).expect("a route");
        socket.set_read_timeout(Some(SLOW)).expect("a timeout above zero");
        socket.send(b"nobody is there").expect("the first datagram finds no error yet");
        let error = socket.recv(&mut [0; 16]).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{server}: port unreachable did not arrive: {error}");
    }
    let flows = gate.status()["flows"].as_u64();
    assert_eq!(flows, Some(2), "one for each datagram and none for the errors");
    let related = net.gateway.sh("conntrack -L -p udp");
    assert!(related.contains(&SERVER4.to_string()), "{related}");
}
