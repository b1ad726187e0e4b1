//! What belongs to a connection shares its fate: ICMP errors about it.

use std::io::ErrorKind;
use std::net::UdpSocket;

use nfq::{Queue, Verdict};

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, counter, tidegate_ok};
use crate::toolbox::topology::{SERVER4, Topology};
use crate::toolbox::traffic::SILENCE;
use crate::toolbox::{SLOW, wait_until};

const RULES: &str = r#"alert ip any any -> any any (msg:"E2E never"; content:"nobody says this"; sid:1000001; rev:1;)"#;

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
