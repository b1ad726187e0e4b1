//! What hangs on connections goes when they go.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

use rustix::process::Signal;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::Gate;
use crate::toolbox::load::serve_tcp_echo;
use crate::toolbox::topology::{SERVER4, SERVER6, Topology};
use crate::toolbox::{SLOW, queues, wait_until};

const ECHO: u16 = 7;
const SINK: u16 = 9;
const RULES: &str = r#"alert ip any any -> any any (msg:"E2E never"; content:"nobody says this"; sid:1000001; rev:1;)"#;
const CONNECTIONS: usize = 10_000;

/// 10,000 connections opened and closed leave no state behind: TCP and UDP, bursts of first packets, 5-tuples used again
/// at once, and events that were lost because nobody read them.
pub const NOTHING_IS_LEFT: Scenario =
    Scenario { name: "state::nothing_is_left", needs: &[Need::Queue], seconds_max: 90, run: nothing_is_left };

fn nothing_is_left() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, ECHO);
    // A buffer that holds a few hundred events.
    let mut gate = Gate::new(&net.gateway, RULES).with("--set conntrack.event-buffer=64kb --set flow.sweep-interval=2");
    gate.start();
    tcp_connections(&net, CONNECTIONS / 10);
    udp_connections(&net, SERVER4, CONNECTIONS * 6 / 10);
    let before = gate.status();
    assert!(before["flows"].as_u64() > Some(CONNECTIONS as u64 / 2), "flows are state while they live: {before}");

    // Half of the entries go while nobody reads the events.
    gate.signal(Signal::STOP);
    net.gateway.sh("conntrack -D -p udp");
    gate.signal(Signal::CONT);
    udp_connections(&net, SERVER6, CONNECTIONS * 3 / 10);
    net.gateway.sh("conntrack -F");
    // What the kernel's collector and late packets left over goes now.
    wait_until("all flow state to go", SLOW, || {
        net.gateway.sh("conntrack -F");
        gate.status()["flows"].as_u64() == Some(0)
    });
    let total = gate.status()["stats"]["flow"]["total"].as_u64().unwrap_or_default();
    assert!(total >= CONNECTIONS as u64, "{total} flows seen");
}

/// Connections one after another.
fn tcp_connections(net: &Topology, count: usize) {
    net.client.run(|| {
        for _ in 0..count {
            let mut stream = TcpStream::connect((SERVER4, ECHO)).expect("a connection");
            stream.write_all(b"x").expect("room");
            stream.read_exact(&mut [0]).expect("an echo");
        }
    });
}

/// A burst of three datagrams from each of many ports; every tenth port is used again at once by another socket.
fn udp_connections(net: &Topology, server: IpAddr, count: usize) {
    let any = |port| SocketAddr::new(if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() }, port);
    // Nobody reads; it is there so that nobody is told otherwise.
    let sink = net.server.run(|| UdpSocket::bind((server, SINK))).expect("a free port");
    net.client.run(|| {
        for number in 0..count {
            let port = 10_000 + u16::try_from(number).expect("fewer than there are ports");
            for _ in 0..1 + usize::from(number.is_multiple_of(10)) {
                let socket = UdpSocket::bind(any(port)).expect("a free port");
                socket.connect((server, SINK)).expect("a route");
                for _ in 0..3 {
                    socket.send(b"burst").expect("a route");
                }
            }
            if number.is_multiple_of(500) {
                // Fail-open is another scenario's matter: here every packet is to be seen.
                wait_until("the queues to empty", SLOW, || queues(&net.gateway).iter().all(|row| row.waiting == 0));
            }
        }
    });
    drop(sink);
}
