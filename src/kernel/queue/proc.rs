//! What /proc knows of queues and their sockets: owners, waiting packets, the kernel's own drop counters.
//!
//! The files show the namespace of the reading *thread* (`/proc/thread-self`, where `/proc/net` is the whole process').

use std::fs;
use std::io;
use std::path::Path;

use super::error::Owner;

const QUEUES: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";
const SOCKETS: &str = "/proc/thread-self/net/netlink";
const NETLINK_NETFILTER: u32 = 12;

/// A row of `/proc/net/netfilter/nfnetlink_queue` (`nfnetlink_queue.c:seq_show`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRow {
    pub number: u16,
    /// Port id of the socket that owns the queue.
    pub port_id: u32,
    /// Packets without a verdict, read or unread.
    pub waiting: u32,
    /// 0 none, 1 meta, 2 packet.
    pub copy_mode: u8,
    pub copy_range: u32,
    /// Dropped because the queue was full (without fail-open).
    pub queue_dropped: u32,
    /// Dropped because the receive buffer was full (without fail-open).
    pub user_dropped: u32,
    /// The last packet id handed out.
    pub id_sequence: u32,
}

/// A row of `/proc/net/netlink` (`af_netlink.c:netlink_native_seq_show`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketRow {
    /// 12 is NETLINK_NETFILTER.
    pub protocol: u32,
    pub port_id: u32,
    /// Bytes charged to the receive buffer.
    pub receive_bytes: u32,
    /// Messages that found the receive buffer full: dropped packets, or passed ones with fail-open.
    pub drops: u32,
    pub inode: u64,
}

/// The kernel's counters of one queue. They start anew with each bind, and wrap at 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    pub waiting: u32,
    pub queue_dropped: u32,
    pub user_dropped: u32,
    pub socket_drops: u32,
    pub id_sequence: u32,
}

/// All queues of this thread's network namespace; none where nfnetlink_queue is not loaded. Needs root to read.
pub fn queues() -> io::Result<Vec<QueueRow>> {
    Ok(parse_queues(&read_if_there(QUEUES)?))
}

/// All netlink sockets of this thread's network namespace.
pub fn sockets() -> io::Result<Vec<SocketRow>> {
    Ok(parse_sockets(&read_if_there(SOCKETS)?))
}

/// The row of one queue, if it is bound.
pub fn queue(number: u16) -> io::Result<Option<QueueRow>> {
    Ok(queues()?.into_iter().find(|row| row.number == number))
}

/// What the kernel counts for a queue and the socket behind it. `None` when the queue is not bound by that socket.
pub fn kernel_counters(number: u16, port_id: u32) -> io::Result<Option<KernelCounters>> {
    let Some(row) = queue(number)?.filter(|row| row.port_id == port_id) else { return Ok(None) };
    Ok(Some(KernelCounters {
        waiting: row.waiting,
        queue_dropped: row.queue_dropped,
        user_dropped: row.user_dropped,
        socket_drops: netfilter_socket(port_id)?.map_or(0, |socket| socket.drops),
        id_sequence: row.id_sequence,
    }))
}

/// The process that holds a netfilter socket of that port id. Best effort: `None` when it cannot be seen from here.
#[must_use]
pub fn owner_of(port_id: u32) -> Option<Owner> {
    let socket = netfilter_socket(port_id).ok()??;
    let wanted = format!("socket:[{}]", socket.inode);
    let holds = |process: &Path| {
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
        descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let path = process.path();
        holds(&path).then(|| Owner {
            pid,
            command: fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_owned(),
        })
    })
}

/// Reads `/proc/net/netfilter/nfnetlink_queue`. Lines that do not parse are left out.
#[must_use]
pub fn parse_queues(text: &str) -> Vec<QueueRow> {
    text.lines().filter_map(parse_queue).collect()
}

/// Reads `/proc/net/netlink`. Its heading and lines that do not parse are left out.
#[must_use]
pub fn parse_sockets(text: &str) -> Vec<SocketRow> {
    text.lines().filter_map(parse_socket).collect()
}

fn netfilter_socket(port_id: u32) -> io::Result<Option<SocketRow>> {
    Ok(sockets()?.into_iter().find(|row| row.protocol == NETLINK_NETFILTER && row.port_id == port_id))
}

fn parse_queue(line: &str) -> Option<QueueRow> {
    let mut fields = line.split_ascii_whitespace();
    Some(QueueRow {
        number: fields.next()?.parse().ok()?,
        // Printed as %u or %d, depending on the kernel.
        port_id: port_id(fields.next()?)?,
        waiting: fields.next()?.parse().ok()?,
        copy_mode: fields.next()?.parse().ok()?,
        copy_range: fields.next()?.parse().ok()?,
        queue_dropped: fields.next()?.parse().ok()?,
        user_dropped: fields.next()?.parse().ok()?,
        id_sequence: fields.next()?.parse().ok()?,
    })
}

/// `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode`.
fn parse_socket(line: &str) -> Option<SocketRow> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let protocol = fields.next()?.parse().ok()?;
    let port_id = port_id(fields.next()?)?;
    let receive_bytes = fields.nth(1)?.parse().ok()?;
    let drops = fields.nth(3)?.parse().ok()?;
    let inode = fields.next()?.parse().ok()?;
    Some(SocketRow { protocol, port_id, receive_bytes, drops, inode })
}

fn port_id(text: &str) -> Option<u32> {
    text.parse().or_else(|_| text.parse::<i32>().map(i32::cast_unsigned)).ok()
}

fn read_if_there(path: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queue_rows_are_read() {
        let text = "    0  31042     3 2 65531     0     0      107  1\n 7400 2852126823 12 1 0 5 6 4294967295  1\n\
                    7401 -1442840473 0 2 128 0 0 1  1\nno row\n1 2\n";
        let rows = parse_queues(text);
        assert_eq!(rows.len(), 3);
        assert_eq!(
            rows[0],
            QueueRow {
                number: 0,
                port_id: 31042,
                waiting: 3,
                copy_mode: 2,
                copy_range: 65_531,
                queue_dropped: 0,
                user_dropped: 0,
                id_sequence: 107,
            }
        );
        assert_eq!((rows[1].queue_dropped, rows[1].user_dropped, rows[1].id_sequence), (5, 6, u32::MAX));
        assert_eq!(rows[1].port_id, rows[2].port_id, "both spellings of one port id");
    }

    #[test]
    fn socket_rows_are_read() {
        let text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                    000000005d8c9a4d 12  31042      00000000 2304     0        0     2        17       123456  \n\
                    0000000000000000 0   2852126823 00000440 0        0        0     2        0        8\n";
        let rows = parse_sockets(text);
        assert_eq!(
            rows,
            [
                SocketRow { protocol: 12, port_id: 31042, receive_bytes: 2304, drops: 17, inode: 123_456 },
                SocketRow { protocol: 0, port_id: 2_852_126_823, receive_bytes: 0, drops: 0, inode: 8 },
            ]
        );
    }

    #[test]
    fn a_socket_of_our_own_is_found_with_its_process() {
        let socket = crate::kernel::netlink::socket::Socket::open().unwrap();
        assert_eq!(owner_of(socket.port_id()).map(|owner| owner.pid), Some(std::process::id()));
        assert_eq!(kernel_counters(0xfff0, socket.port_id()).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[0-9 \\-\\n]{0,200}") {
            prop_assert!(parse_queues(&text).len() <= text.lines().count());
            prop_assert!(parse_sockets(&text).len() <= text.lines().count());
        }
    }
}
