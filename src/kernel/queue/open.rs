//! Opening: socket, buffers, one configuration message, its answer, and a look at what is really in force.

use std::io;
use std::time::{Duration, Instant};

use super::answer::Outbox;
use super::batch::Seen;
use super::config::{Flags, QueueConfig, QueueReport};
use super::counters::{IdSequence, QueueCounters};
use super::error::QueueError;
use super::{Queue, message, proc};
use crate::kernel::netlink::batch::BatchBuffers;
use crate::kernel::netlink::socket::Socket;
use crate::kernel::netlink::wire::{Builder, Messages, NLMSG_ERROR};

/// Room beside the payload for all other attributes of a packet: the conntrack entry at its fullest takes some 600.
const ATTRIBUTES_BYTES_MAX: usize = 4096;
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
const ANSWER_POLL: Duration = Duration::from_millis(100);

pub(super) fn open(config: &QueueConfig) -> Result<(Queue, QueueReport), QueueError> {
    let number = config.number;
    let socket = Socket::open().map_err(QueueError::Socket)?;
    let option = |option| move |source| QueueError::Option { number, option, source };
    socket.set_no_enobufs().map_err(option("NETLINK_NO_ENOBUFS"))?;
    socket.set_cap_ack().map_err(option("NETLINK_CAP_ACK"))?;
    let receive_buffer_bytes = socket.force_receive_buffer(config.receive_buffer_bytes).map_err(option("SO_RCVBUF"))?;
    let send_buffer_bytes =
        socket.force_send_buffer(Outbox::capacity_for(config.batch()).max(1 << 18)).map_err(option("SO_SNDBUF"))?;
    let datagram_bytes = config.copy_range() as usize + ATTRIBUTES_BYTES_MAX;
    let buffers =
        BatchBuffers::new(config.batch(), datagram_bytes).map_err(|source| QueueError::Buffers { number, source })?;
    let mut queue = Queue {
        number,
        length_packets: config.length_packets,
        socket,
        timeout: Duration::MAX,
        waiting: Vec::with_capacity(buffers.capacity()),
        given: Vec::with_capacity(buffers.capacity()),
        seen: Seen::default(),
        outbox: Outbox::new(number, buffers.capacity()),
        ids: IdSequence::default(),
        counters: QueueCounters::default(),
        tally: None,
        held: None,
        buffers,
    };
    let flags = negotiate(&mut queue, config)?;
    let report = QueueReport {
        number,
        port_id: queue.port_id(),
        flags,
        refused: config.flags.without(flags),
        receive_buffer_bytes,
        send_buffer_bytes,
        length_packets: config.length_packets,
        copy_range_bytes: config.copy_range(),
        read_back: read_back(&queue, config)?,
    };
    Ok((queue, report))
}

/// Binds with as many of the flags as the kernel takes. A refused flag leaves nothing bound, for the kernel looks at
/// the flags before the command. The first to go is the one that kernels really lack.
fn negotiate(queue: &mut Queue, config: &QueueConfig) -> Result<Flags, QueueError> {
    let flags = config.flags;
    let without_conntrack = Flags { conntrack: false, ..flags };
    let without_gso = Flags { gso: false, ..without_conntrack };
    let mut attempts = vec![flags, without_conntrack, without_gso, Flags::NONE];
    attempts.dedup();
    let mut refusal = 0;
    for flags in attempts {
        refusal = configure(queue, config, flags)?;
        match refusal {
            0 => return Ok(flags),
            libc::EOPNOTSUPP => {}
            _ => break,
        }
    }
    Err(explain(config.number, io::Error::from_raw_os_error(refusal)))
}

/// One attempt. Returns the kernel's errno, 0 for success.
fn configure(queue: &mut Queue, config: &QueueConfig, flags: Flags) -> Result<i32, QueueError> {
    let mut builder = Builder::with_capacity(128);
    message::put_bind(&mut builder, config, flags);
    let number = config.number;
    queue.socket.send(builder.as_bytes()).map_err(|source| QueueError::Refused { number, source })?;
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    while Instant::now() < deadline {
        queue.fill(ANSWER_POLL)?;
        let answer = (0..queue.buffers.len()).find_map(|slot| config_errno(queue.buffers.datagram(slot)?.bytes));
        // Where a rule already sends packets here, some may arrive with the answer, even before it.
        let received = queue.sort();
        if let Some(errno) = answer {
            queue.held = (received.packets > 0).then_some(received);
            return Ok(errno);
        }
        queue.settle()?;
    }
    Err(QueueError::NoAnswer { number, waited_ms: ANSWER_WAIT_MAX.as_millis() })
}

fn config_errno(datagram: &[u8]) -> Option<i32> {
    let message = Messages::new(datagram).next()?;
    (message.kind == NLMSG_ERROR && message.error_kind() == Some(message::CONFIG)).then(|| message.error_code())?
}

/// EPERM means either that another socket owns the queue or that we lack the capability; EBUSY only the former.
fn explain(number: u16, source: io::Error) -> QueueError {
    if !matches!(source.raw_os_error(), Some(libc::EPERM | libc::EBUSY)) {
        return QueueError::Refused { number, source };
    }
    if let Ok(Some(row)) = proc::queue(number) {
        return QueueError::Owned { number, port_id: row.port_id, owner: proc::owner_of(row.port_id) };
    }
    match caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN) {
        Ok(true) => QueueError::Refused { number, source },
        _ => QueueError::Capability { number },
    }
}

/// Compares the kernel's view with ours. `false` where it cannot be read.
fn read_back(queue: &Queue, config: &QueueConfig) -> Result<bool, QueueError> {
    let Ok(Some(row)) = proc::queue(config.number) else { return Ok(false) };
    let found = (row.port_id, row.copy_mode, row.copy_range);
    let asked = (queue.port_id(), message::COPY_PACKET, config.copy_range());
    if found == asked {
        return Ok(true);
    }
    let text = |(port_id, mode, range)| format!("port id {port_id}, copy mode {mode}, copy range {range}");
    Err(QueueError::NotInForce { number: config.number, asked: text(asked), found: text(found) })
}
