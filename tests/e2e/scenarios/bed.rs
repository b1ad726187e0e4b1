//! The test bed itself: if these fail, the others say nothing about tidegate.

use std::net::UdpSocket;

use nfq::{Queue, Verdict};

use crate::scenario::{Need, Scenario};
use crate::toolbox::load::{Heartbeats, Iperf, UdpLoad, serve_tcp_echo};
use crate::toolbox::topology::{SERVER4, SERVER6, SERVERS, Topology};
use crate::toolbox::traffic::{http_get, serve_http, serve_udp_echo, udp_ask};
use crate::toolbox::{FOREIGN_RULESET, QueueRow, SLOW, queues, wait_until};

/// Packets of both families and both transports cross a gateway that has no rules.
pub const FORWARDING: Scenario = Scenario { name: "bed::forwarding", needs: &[], seconds_max: 20, run: forwarding };

fn forwarding() {
    let net = Topology::new();
    serve_http(&net.server, 80);
    serve_udp_echo(&net.server, 5353);
    for server in SERVERS {
        let reply = http_get(&net.client, server, 80, "/bytes/100000").expect("an HTTP reply");
        assert_eq!((reply.status, reply.body.len()), (200, 100_000));
        assert_eq!(udp_ask(&net.client, server, 5353, b"echo").expect("an echo"), b"echo");
    }
}

/// The kernel attaches the conntrack entry to queue messages; what the `nfq` crate sees is taken as the truth.
pub const QUEUE_CONNTRACK: Scenario = Scenario {
    name: "bed::queue_conntrack",
    needs: &[Need::NftQueue, Need::QueueConntrack],
    seconds_max: 20,
    run: queue_conntrack,
};

fn queue_conntrack() {
    let net = Topology::new();
    serve_udp_echo(&net.server, 5353);
    let mut queue = net
        .gateway
        .run(|| {
            let mut queue = Queue::open()?;
            queue.bind(7)?;
            queue.set_recv_conntrack(7, true)?;
            queue.set_nonblocking(true);
            Ok::<_, std::io::Error>(queue)
        })
        .expect("a queue with conntrack");
    net.gateway
        .nft("table inet bed { chain f { type filter hook forward priority 10; ct state new,established queue num 7 bypass; }; }")
        .expect("the kernel has the queue statement");

    let ask = net.client.spawn({
        let server = SERVERS[0];
        move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(SLOW))?;
            socket.send_to(b"echo", (server, 5353))?;
            socket.recv(&mut [0; 16])
        }
    });
    let mut ids = Vec::new();
    wait_until("two packets with conntrack", SLOW, || {
        if let Ok(mut packet) = queue.recv() {
            ids.push(packet.get_conntrack().expect("an entry").get_id());
            packet.set_verdict(Verdict::Accept);
            queue.verdict(packet).expect("a verdict");
        }
        ids.len() == 2
    });
    assert_eq!(ids[0], ids[1], "both directions belong to one entry");
    assert_eq!(ask.join().expect("no panic").expect("an echo"), 4);
}

/// A ruleset of someone else's is dumped byte by byte the same twice; comparisons in other scenarios rest on that.
pub const RULESET_DUMP: Scenario =
    Scenario { name: "bed::ruleset_dump", needs: &[], seconds_max: 20, run: ruleset_dump };

fn ruleset_dump() {
    let net = Topology::new();
    net.gateway.nft(FOREIGN_RULESET).expect("a ruleset that this kernel takes");
    let before = net.gateway.sh("nft list ruleset");
    for line in ["table inet firewall", "table ip nat", "masquerade", "set blocked", "counter"] {
        assert!(before.contains(line), "{line} is missing from:\n{before}");
    }
    assert_eq!(before, net.gateway.sh("nft list ruleset"));
}

/// The kernel's list of queues shows those of a namespace to that namespace alone.
pub const QUEUE_LISTING: Scenario =
    Scenario { name: "bed::queue_listing", needs: &[Need::Queue], seconds_max: 20, run: queue_listing };

fn queue_listing() {
    let net = Topology::new();
    serve_udp_echo(&net.server, 5353);
    let mut queue = net.gateway.run(Queue::open).expect("a queue socket");
    for number in [11, 12] {
        queue.bind(number).expect("a free queue");
    }
    net.gateway.sh("iptables -A FORWARD -i lan -j NFQUEUE --queue-num 12");
    let ask = net.client.spawn(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(SLOW))?;
        socket.send_to(b"echo", (SERVERS[0], 5353))?;
        socket.recv(&mut [0; 16])
    });
    let mut packet = queue.recv().expect("a packet");
    let idle = QueueRow { number: 11, waiting: 0, dropped: 0, user_dropped: 0, id_sequence: 0 };
    let busy = QueueRow { number: 12, waiting: 1, id_sequence: 1, ..idle };
    assert_eq!(queues(&net.gateway), [idle, busy]);
    assert_eq!(queues(&net.client), []);
    packet.set_verdict(Verdict::Accept);
    queue.verdict(packet).expect("a verdict");
    assert_eq!(ask.join().expect("no panic").expect("an echo"), 4);
}

/// Without a gate the loads report neither loss nor broken connections: what they report with one is its doing.
pub const LOAD: Scenario = Scenario { name: "bed::load", needs: &[], seconds_max: 30, run: load };

fn load() {
    let net = Topology::new();
    serve_tcp_echo(&net.server, 7);
    let heartbeats = Heartbeats::start(&net.client, SERVER4, 7, 8);
    let datagrams = UdpLoad::start(&net.client, &net.server, SERVER6, 9, 8, 1000);
    let mut streams = Iperf::start(&net.client, &net.server, SERVER4, 16);
    streams.wait_for_progress(1 << 20, SLOW);
    datagrams.wait_for(500, SLOW);
    heartbeats.wait_for_rounds(20, SLOW);
    drop(streams);
    let longest = heartbeats.finish();
    let (sent, missing) = datagrams.finish(SLOW);
    eprintln!("longest round trip {longest:.1?}, {sent} datagrams");
    assert_eq!(missing, 0, "of {sent} datagrams");
}
