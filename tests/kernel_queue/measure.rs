//! What batches are worth: CPU time per packet of the thread that serves the queue, ours against the nfq crate's one
//! `recv` and one verdict per packet. Same traffic, same process, rounds taken in turns.
//!
//! ```text
//!  sender ── OUTPUT: NFQUEUE ──► veth a ══ veth b (nobody has the address: dropped there)
//! ```
//!
//! `cargo test --release --test kernel_queue -- --ignored --nocapture`. Ratios only: the machine is not ours alone.

use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tidegate::kernel::queue::{Answer, Queue, QueueConfig};

use super::lane::{NUMBER, iptables, run};

const PACKETS: usize = 40_000;
const ROUNDS: usize = 7;
const PAYLOAD_BYTES: usize = 200;

/// Name, and what serves the queue while packets come; returns how many came.
type Server = (&'static str, fn(&AtomicBool) -> u64);

pub fn against_the_nfq_crate() {
    run("ip", "link add name a type veth peer name b");
    for line in ["addr add 10.9.0.1/24 dev a", "link set dev a up", "link set dev b up"] {
        run("ip", line);
    }
    let peer = fs::read_to_string("/sys/class/net/b/address").unwrap();
    run("ip", &format!("neigh add 10.9.0.2 lladdr {} dev a", peer.trim()));
    iptables(&format!("-A OUTPUT -p udp -j NFQUEUE --queue-num {NUMBER} --queue-bypass"));

    let servers: [Server; 3] =
        [("nfq: recv and verdict", nfq), ("ours, batches of 1", ours::<1>), ("ours, batches of 64", ours::<64>)];
    let mut micros: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, serve), micros) in servers.iter().zip(&mut micros) {
            micros.push(cpu_micros_per_packet(*serve));
        }
    }
    let medians = micros.map(|mut micros| {
        micros.sort_by(f64::total_cmp);
        micros[micros.len() / 2]
    });
    for ((name, _), median) in servers.iter().zip(medians) {
        println!("{name}: {median:.2} us of CPU per packet, nfq / this = {:.2}", medians[0] / median);
    }
}

fn cpu_micros_per_packet(serve: fn(&AtomicBool) -> u64) -> f64 {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let server = thread::spawn(move || {
        let packets = serve(&told);
        // Nanoseconds on a CPU, nanoseconds waiting for one, timeslices.
        let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let nanos: f64 = schedstat.split(' ').next().unwrap().parse().unwrap();
        (packets, nanos)
    });
    while tidegate::kernel::queue::proc::queue(NUMBER).unwrap().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    let sender = UdpSocket::bind("10.9.0.1:0").unwrap();
    for _ in 0..PACKETS {
        sender.send_to(&[0; PAYLOAD_BYTES], "10.9.0.2:9").unwrap();
    }
    over.store(true, Relaxed);
    while !server.is_finished() {
        sender.send_to(&[0; PAYLOAD_BYTES], "10.9.0.2:9").unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    let (packets, nanos) = server.join().unwrap();
    assert!(packets > PACKETS as u64 / 10, "{packets} packets came");
    nanos / 1000.0 / packets as f64
}

fn ours<const BATCH: usize>(over: &AtomicBool) -> u64 {
    let (mut queue, _) = Queue::open(&QueueConfig { batch_packets: BATCH, ..QueueConfig::new(NUMBER) }).unwrap();
    while !over.load(Relaxed) {
        queue.receive(Duration::from_millis(100)).unwrap();
        let (inbox, mut answers) = queue.split();
        for (packet, ticket) in inbox {
            let answer = if packet.bytes().is_empty() { Answer::DROP } else { Answer::ACCEPT };
            answers.give(ticket, answer);
        }
        answers.flush().unwrap();
    }
    queue.counters().packets
}

fn nfq(over: &AtomicBool) -> u64 {
    let mut queue = nfq::Queue::open().unwrap();
    queue.bind(NUMBER).unwrap();
    queue.set_fail_open(NUMBER, true).unwrap();
    queue.set_recv_gso(NUMBER, true).unwrap();
    let mut packets = 0;
    while !over.load(Relaxed) {
        let mut message = queue.recv().unwrap();
        let verdict = if message.get_payload().is_empty() { nfq::Verdict::Drop } else { nfq::Verdict::Accept };
        message.set_verdict(verdict);
        queue.verdict(message).unwrap();
        packets += 1;
    }
    packets
}
