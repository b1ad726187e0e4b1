//! Where the kernel tracks nothing unless somebody asks it to: behind rules of others that only queue.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::scenario::{Need, Scenario};
use crate::toolbox::gate::{Gate, tidegate_ok};
use crate::toolbox::netns::Netns;
use crate::toolbox::topology::{SERVERS, Topology};
use crate::toolbox::traffic::tcp_connect;
use crate::toolbox::{SLOW, wait_until};

const CHATTY: u16 = 7;
const RULES: &str = r#"
drop tcp any any -> any 7 (msg:"E2E attack"; flow:to_server,established; content:"attack"; sid:1000001; rev:1;)
"#;

/// Rules of somebody else that queue and ask for no connection. The gate asks, so what a dropped attack is sent again in
/// belongs to the connection that it was dropped in, also when the server has spoken in between.
pub const NOBODY_ELSE_ASKS: Scenario =
    Scenario { name: "tracking::nobody_else_asks", needs: &[Need::Queue], seconds_max: 90, run: nobody_else_asks };

fn nobody_else_asks() {
    let net = Topology::new();
    let heard = serve_chatty(&net.server);
    queue_only(&net.gateway);
    let mut gate = Gate::new(&net.gateway, RULES).with_queues(0, 1).with("--no-install");
    gate.start();
    resists(&net, &heard);

    // As firewalls reload.
    net.gateway.sh("nft flush ruleset");
    queue_only(&net.gateway);
    wait_until("the question to be put again", SLOW, || asks(&net.gateway));
    resists(&net, &heard);
    gate.stop();
    assert!(asks(&net.gateway), "connections stay known without us");
    tidegate_ok(&net.gateway, &["remove"]);
    assert!(!asks(&net.gateway));

    let mut gate = gate.with("--set conntrack.ask=no");
    gate.start();
    assert!(gate.log().contains("no rule asks about IPv4 connections"), "{}", gate.log());
    assert!(!asks(&net.gateway));
}

/// Rules that ask about no connection.
fn queue_only(ns: &Netns) {
    for iptables in ["iptables", "ip6tables"] {
        ns.sh(&format!("{iptables} -A FORWARD -j NFQUEUE --queue-num 0 --queue-bypass"));
    }
}

fn asks(ns: &Netns) -> bool {
    ns.sh("nft list tables").contains("tidegate_conntrack")
}

/// An attack on each server does not arrive, however often TCP sends it again.
#[track_caller]
fn resists(net: &Topology, heard: &Heard) {
    for server in SERVERS {
        let mut stream = tcp_connect(&net.client, server, CHATTY).expect("a connection");
        stream.write_all(b"fine").expect("room");
        wait_until("what is no attack", SLOW, || heard.contains(b"fine"));
        stream.write_all(b"attack").expect("room");
        // Some ten words of the server, and four retransmissions.
        thread::sleep(Duration::from_secs(3));
        assert!(!heard.contains(b"attack"), "{server}: the attack arrived");
        heard.forget();
    }
}

/// What a server has received, over all connections.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn contains(&self, wanted: &[u8]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).windows(wanted.len()).any(|bytes| bytes == wanted)
    }

    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A server that listens, and says something of its own accord every quarter of a second.
fn serve_chatty(ns: &Netns) -> Heard {
    let listener = ns.run(|| TcpListener::bind(("::", CHATTY))).expect("a free port in a namespace of our own");
    let heard = Heard::default();
    let hearing = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (mut reader, mut writer) = (stream.try_clone().expect("a descriptor"), stream);
            let hearing = hearing.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = reader.read(&mut buffer) {
                    hearing.add(&buffer[..len]);
                }
            });
            thread::spawn(move || {
                while writer.write_all(b"tick").is_ok() {
                    thread::sleep(Duration::from_millis(250));
                }
            });
        }
    });
    heard
}
