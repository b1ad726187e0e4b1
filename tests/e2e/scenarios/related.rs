//! What belongs to a connection shares its fate: what a helper expects of it, and ICMP errors about it.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use nfq::{Queue, Verdict};
use serde_json::Value;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, counter, tidegate_ok};
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVER4, Topology};
use crate::toolbox::traffic::{SILENCE, ask, ask_in_vain, tcp_connect};
use crate::toolbox::{SENT_AGAIN, SLOW, wait_until};

const FTP: u16 = 21;
const DATA: u16 = 2000;
const RULES: &str = r#"
drop tcp any any -> any 21 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000001; rev:1;)
"#;

/// FTP through the kernel's own helper: what is announced is visible, the data connection names its master, and when the
/// control connection is condemned so are the data connections that exist, and the first packet of one that comes.
pub const FTP_DATA: Scenario =
    Scenario { name: "related::ftp_data", needs: &[Need::Queue], seconds_max: 60, run: ftp_data };

fn ftp_data() {
    let net = Topology::new();
    serve_ftp(&net.server);
    serve_tcp_echo(&net.server, DATA);
    net.gateway
        .nft(
            "table ip helpers { ct helper ftp { type \"ftp\" protocol tcp; };
                chain p { type filter hook prerouting priority 0; tcp dport 21 ct helper set \"ftp\"; }; }",
        )
        .expect("the kernel's FTP helper");
    let gate = Gate::started(&net.gateway, RULES);
    let mut control = tcp_connect(&net.client, SERVER4, FTP).expect("a connection");
    // The helper looks at lines behind one that it has seen.
    hear(&control, "220 ");

    announce(&mut control);
    let expected = flows(&net.gateway, &gate, "--expected");
    assert_eq!(expected.len(), 1, "{expected:?}");
    assert_eq!(
        (&expected[0]["expected"]["dest_port"], &expected[0]["master"]["dest_port"]),
        (&DATA.into(), &FTP.into())
    );
    assert_eq!((&expected[0]["helper"], &expected[0]["tidegate"]["fate"]), (&"ftp".into(), &"inspect".into()));
    let mut data = tcp_connect(&net.client, SERVER4, DATA).expect("what was announced");
    ask(&mut data, b"a file").expect("an echo");
    let listed = flows(&net.gateway, &gate, "--port=2000");
    assert_eq!(listed[0]["conntrack"]["master"]["dest_port"], FTP, "{listed:?}");

    announce(&mut control);
    control.write_all(b"attack\r\n").expect("room");
    gate.wait_for_alerts(1_000_001, 1);
    wait_until("the expectation to be condemned", SLOW, || {
        flows(&net.gateway, &gate, "--expected").iter().any(|expected| expected["tidegate"]["fate"] == "drop")
    });
    ask_in_vain(&mut data, b"the rest").expect_err("a data connection that existed");
    let before = counter(&net.gateway, "fate_dropped");
    // The kernel drops the first SYN, and the expectation goes with it: the second one is a stranger's.
    let mut stranger = tcp_connect(&net.client, SERVER4, DATA).expect("one that nobody announced any more");
    wait_until("the announced one to be dropped", SENT_AGAIN, || counter(&net.gateway, "fate_dropped") > before);
    ask(&mut stranger, b"fine").expect("an echo");
}

/// An ICMP error about a condemned connection does not come back, though its packet had passed before.
pub const ICMP_ERROR: Scenario =
    Scenario { name: "related::icmp_error", needs: &[Need::Queue], seconds_max: 60, run: icmp_error };

fn icmp_error() {
    let net = Topology::new();
    let gate = Gate::started(&net.gateway, RULES);
    // The server's answer waits for us.
    let mut answers = net
        .server
        .run(|| {
            let mut queue = Queue::open()?;
            queue.bind(5)?;
            Ok::<_, std::io::Error>(queue)
        })
        .expect("a queue");
    net.server.sh("iptables -A OUTPUT -p icmp -j NFQUEUE --queue-num 5");
    let socket = net.client.run(|| UdpSocket::bind("0.0.0.0:0")).expect("a free port");
    socket.connect((SERVER4, 9999)).expect("a route");
    socket.send(b"nobody is there").expect("no error yet");
    let mut answer = answers.recv().expect("a port unreachable");

    let killed =
        tidegate_ok(&net.gateway, &["flows", "kill", "--port", "9999", "--socket", &gate.path("command.socket")]);
    assert!(killed.starts_with("1 connection condemned"), "{killed}");
    let before = counter(&net.gateway, "fate_dropped");
    answer.set_verdict(Verdict::Accept);
    answers.verdict(answer).expect("a verdict");
    wait_until("the kernel to drop the error", SLOW, || counter(&net.gateway, "fate_dropped") > before);
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout above zero");
    let silence = socket.recv(&mut [0; 16]).expect_err("nobody answers");
    assert_eq!(silence.kind(), ErrorKind::WouldBlock, "{silence}");
}

/// Has the server announce a data connection, and waits for the announcement.
#[track_caller]
fn announce(control: &mut TcpStream) {
    control.write_all(b"PASV\r\n").expect("room");
    hear(control, "227 ");
}

/// Waits for one line of the server.
#[track_caller]
fn hear(control: &TcpStream, code: &str) {
    control.set_read_timeout(Some(SLOW)).expect("a timeout above zero");
    let mut line = String::new();
    BufReader::new(control).read_line(&mut line).expect("an answer");
    assert!(line.starts_with(code), "{line}");
}

fn flows(ns: &Netns, gate: &Gate<'_>, option: &str) -> Vec<Value> {
    let listed = tidegate_ok(ns, &["flows", "--json", option, "--socket", &gate.path("command.socket")]);
    listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Says that it is ready, and answers every line with the announcement of the same data port.
fn serve_ftp(ns: &Netns) {
    let listener = ns.run(|| TcpListener::bind((SERVER4, FTP))).expect("a free port in a namespace of our own");
    let IpAddr::V4(address) = SERVER4 else { unreachable!("its name says so") };
    let host = address.octets().map(|octet| octet.to_string()).join(",");
    let announcement = format!("227 Entering Passive Mode ({host},{},{})\r\n", DATA / 256, DATA % 256);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let announcement = announcement.clone();
            thread::spawn(move || {
                let _ = stream.write_all(b"220 ready\r\n");
                let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
                for _ in reader.lines().map_while(Result::ok) {
                    if stream.write_all(announcement.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}
