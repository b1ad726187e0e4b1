//! What is asked of a queue, and what the kernel granted.

use std::fmt;

use super::message;

/// How a queue is to be opened. The defaults of [`QueueConfig::new`] are those of an inline gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    pub number: u16,
    /// Packets that may wait for a verdict, read or unread. With `gso` each may pin 64 KiB of kernel memory. The kernel
    /// hashes at most 65,536, whatever is asked.
    pub length_packets: u32,
    /// What unread packets may take, by the kernel's accounting: 832 bytes for the smallest, 2304 for a full frame.
    pub receive_buffer_bytes: usize,
    /// Packets per system call, 1 to [`QueueConfig::BATCH_PACKETS_MAX`].
    pub batch_packets: usize,
    /// Bytes of each packet that are copied; cut to `NFQNL_MAX_COPY_RANGE`, 65,531.
    pub copy_range_bytes: u32,
    pub flags: Flags,
}

impl QueueConfig {
    /// The kernel works through a batch verdict without a pause.
    pub const BATCH_PACKETS_MAX: usize = 256;

    #[must_use]
    pub fn new(number: u16) -> QueueConfig {
        QueueConfig {
            number,
            length_packets: 8192,
            receive_buffer_bytes: 32 << 20,
            batch_packets: 64,
            copy_range_bytes: message::COPY_RANGE_MAX,
            flags: Flags::ALL,
        }
    }

    pub(super) fn batch(&self) -> usize {
        self.batch_packets.clamp(1, Self::BATCH_PACKETS_MAX)
    }

    pub(super) fn copy_range(&self) -> u32 {
        match self.copy_range_bytes {
            0 => message::COPY_RANGE_MAX,
            bytes => bytes.min(message::COPY_RANGE_MAX),
        }
    }
}

/// `NFQA_CFG_F_*` as far as we use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// A packet that finds the queue or the receive buffer full is accepted, not dropped.
    pub fail_open: bool,
    /// Packets carry their conntrack entry, and verdicts may write to it (`NETFILTER_NETLINK_GLUE_CT`).
    pub conntrack: bool,
    /// Super-packets arrive whole, with checksums not yet filled in.
    pub gso: bool,
}

impl Flags {
    pub const ALL: Flags = Flags { fail_open: true, conntrack: true, gso: true };
    pub const NONE: Flags = Flags { fail_open: false, conntrack: false, gso: false };

    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.fail_open) | u32::from(self.conntrack) << 1 | u32::from(self.gso) << 2
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn without(self, other: Flags) -> Flags {
        Flags {
            fail_open: self.fail_open && !other.fail_open,
            conntrack: self.conntrack && !other.conntrack,
            gso: self.gso && !other.gso,
        }
    }

    #[must_use]
    pub fn is_none(self) -> bool {
        self == Flags::NONE
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.fail_open, "fail-open"), (self.conntrack, "conntrack"), (self.gso, "gso")];
        let mut names = names.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
        f.write_str(names.next().unwrap_or("none"))?;
        names.try_for_each(|name| write!(f, ",{name}"))
    }
}

/// What is in force. Said once at start, and by `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueReport {
    pub number: u16,
    /// The owner as the kernel names it in `/proc/net/netfilter/nfnetlink_queue`.
    pub port_id: u32,
    /// Acknowledged by the kernel.
    pub flags: Flags,
    /// Asked for and refused: without `conntrack`, packets come without their entry and verdicts cannot write it.
    pub refused: Flags,
    /// What the kernel accounts with. Less than asked when `SO_RCVBUFFORCE` was refused.
    pub receive_buffer_bytes: usize,
    pub send_buffer_bytes: usize,
    pub length_packets: u32,
    pub copy_range_bytes: u32,
    /// Owner, copy mode and copy range were read back from /proc and agree. False where /proc cannot be read.
    pub read_back: bool,
}

impl fmt::Display for QueueReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "queue {}: port id {}, flags {}, length {} packets, receive buffer {} bytes, copy range {} bytes",
            self.number,
            self.port_id,
            self.flags,
            self.length_packets,
            self.receive_buffer_bytes,
            self.copy_range_bytes
        )?;
        if !self.refused.is_none() {
            write!(f, ", refused by this kernel: {}", self.refused)?;
        }
        if !self.read_back {
            f.write_str(", not read back (no /proc)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_kernels_bits_and_our_names() {
        let cases = [
            (Flags::NONE, 0, "none"),
            (Flags { fail_open: true, ..Flags::NONE }, 1, "fail-open"),
            (Flags { conntrack: true, ..Flags::NONE }, 2, "conntrack"),
            (Flags { gso: true, ..Flags::NONE }, 4, "gso"),
            (Flags::ALL, 7, "fail-open,conntrack,gso"),
        ];
        for (flags, bits, name) in cases {
            assert_eq!((flags.bits(), flags.to_string().as_str()), (bits, name));
            assert_eq!(Flags::ALL.without(flags).bits(), 7 & !bits);
        }
    }

    #[test]
    fn sizes_are_kept_within_what_the_kernel_takes() {
        let mut config = QueueConfig::new(1);
        for (asked, batch) in [(0, 1), (64, 64), (10_000, 256)] {
            config.batch_packets = asked;
            assert_eq!(config.batch(), batch);
        }
        for (asked, range) in [(0, 65_531), (128, 128), (u32::MAX, 65_531)] {
            config.copy_range_bytes = asked;
            assert_eq!(config.copy_range(), range);
        }
    }
}
