//! The least that can serve a queue: receive, accept. What the kernel's queue itself allows, so the ceiling.

use std::thread;
use std::time::Duration;

use tidegate::kernel::queue::{Flags, Queue, QueueConfig};

/// The first argument of a process that serves queues.
pub const SERVE: &str = "serve-null";

/// How the loop talks with the kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Null {
    pub batch: usize,
    pub gso: bool,
    /// By the `nfq` crate instead of our own code: one receive and one verdict a packet.
    pub nfq: bool,
}

impl Null {
    pub fn arguments(self, queues: u16) -> Vec<String> {
        vec![self.batch.to_string(), self.gso.to_string(), self.nfq.to_string(), queues.to_string()]
    }
}

/// Serves until the process is ended.
pub fn serve(arguments: &[String]) -> ! {
    let number = |place: usize| arguments[place].parse::<u16>().expect("a number");
    let null = Null { batch: number(0).into(), gso: arguments[1] == "true", nfq: arguments[2] == "true" };
    let threads: Vec<_> = (0..number(3)).map(|queue| thread::spawn(move || serve_queue(null, queue))).collect();
    println!("null: ready");
    for thread in threads {
        let _ = thread.join();
    }
    std::process::exit(1)
}

fn serve_queue(null: Null, number: u16) {
    if null.nfq {
        return serve_nfq(null, number);
    }
    let flags = Flags { fail_open: true, conntrack: false, gso: null.gso };
    let config = QueueConfig { batch_packets: null.batch, flags, ..QueueConfig::new(number) };
    let (mut queue, _) = Queue::open(&config).expect("a free queue");
    loop {
        queue.receive(Duration::from_millis(100)).expect("receiving works");
        let (inbox, mut answers) = queue.split();
        for (_, ticket) in inbox {
            answers.accept(ticket);
        }
        answers.flush().expect("the kernel takes verdicts");
    }
}

fn serve_nfq(null: Null, number: u16) {
    let mut queue = nfq::Queue::open().expect("a netlink socket");
    queue.bind(number).expect("a free queue");
    queue.set_fail_open(number, true).expect("fail-open");
    queue.set_recv_gso(number, null.gso).expect("GSO");
    queue.set_queue_max_len(number, 8192).expect("a length");
    loop {
        let Ok(mut message) = queue.recv() else { continue };
        message.set_verdict(nfq::Verdict::Accept);
        queue.verdict(message).expect("the kernel takes verdicts");
    }
}
