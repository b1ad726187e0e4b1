//! Receiving many datagrams with one system call, into buffers that are made once.
#![allow(unsafe_code)] // the mapping and recvmmsg(2); every block says why it is sound

use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use super::socket::Socket;

const PAGE_BYTES: usize = 4096;

/// Room for `count` datagrams of `datagram_bytes` each.
///
/// The memory is mapped but not touched: a slot costs the pages that a datagram has really filled, and gives them back
/// when a receive brings nothing. So an idle queue costs next to nothing however large its packets may grow.
#[derive(Debug)]
pub struct BatchBuffers {
    pages: NonNull<u8>,
    stride: usize,
    headers: Vec<libc::mmsghdr>,
    /// Where `headers` point to. Never resized, so never moved.
    _vectors: Vec<libc::iovec>,
    filled: usize,
    /// A slot holds more than one page.
    swollen: bool,
}

// SAFETY: the pointers lead only into memory that this value owns, and all access goes through `&self` or `&mut self`.
unsafe impl Send for BatchBuffers {}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'b> {
    pub bytes: &'b [u8],
    /// The kernel had more to say than the buffer could hold.
    pub truncated: bool,
}

impl BatchBuffers {
    /// `datagram_bytes` is rounded up to whole pages, `count` to at least 1.
    pub fn new(count: usize, datagram_bytes: usize) -> io::Result<BatchBuffers> {
        let count = count.max(1);
        let too_big = || io::Error::from(io::ErrorKind::OutOfMemory);
        let stride = datagram_bytes.max(1).checked_next_multiple_of(PAGE_BYTES).ok_or_else(too_big)?;
        let pages = map(stride.checked_mul(count).ok_or_else(too_big)?)?;
        let mut vectors: Vec<libc::iovec> = (0..count)
            .map(|slot| libc::iovec {
                // SAFETY: `slot * stride` lies within the mapping of `count * stride` bytes.
                iov_base: unsafe { pages.as_ptr().add(slot.wrapping_mul(stride)) }.cast(),
                iov_len: stride,
            })
            .collect();
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: mmsghdr is integers and pointers, for which zero is a value.
                let mut header: libc::mmsghdr = unsafe { zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Ok(BatchBuffers { pages, stride, headers, _vectors: vectors, filled: 0, swollen: false })
    }

    /// How many datagrams fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// How many datagrams the last receive brought.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// A datagram of the last receive, counted from 0.
    #[must_use]
    pub fn datagram(&self, slot: usize) -> Option<Datagram<'_>> {
        let header = self.headers.get(..self.filled)?.get(slot)?;
        let len = usize::try_from(header.msg_len).ok()?.min(self.stride);
        // SAFETY: `slot` is below `count`, so `stride >= len` bytes of the mapping start there; they are initialized (by
        // the kernel or as zero pages), and only `receive`, which takes `&mut self`, changes them.
        let bytes = unsafe { std::slice::from_raw_parts(self.pages.as_ptr().add(slot.checked_mul(self.stride)?), len) };
        Some(Datagram { bytes, truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 })
    }

    /// Waits for the first datagram as long as the socket's receive timeout says, then takes what else is there.
    /// 0 on timeout or signal.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.receive_flags(socket, libc::MSG_WAITFORONE)
    }

    /// Takes what is there, never waits.
    pub fn try_receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.receive_flags(socket, libc::MSG_DONTWAIT)
    }

    fn receive_flags(&mut self, socket: &Socket, flags: i32) -> io::Result<usize> {
        self.filled = 0;
        let count = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        // SAFETY: `headers` holds `count` entries; each points to one iovec of ours, and that to `stride` bytes of our
        // mapping, which nobody else sees while we hold `&mut self`.
        let got = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, flags as _, ptr::null_mut())
        };
        match usize::try_from(got) {
            Ok(got) => {
                self.filled = got;
                self.swollen |= self.headers.iter().take(got).any(|header| header.msg_len as usize > PAGE_BYTES);
                Ok(got)
            }
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    self.shrink();
                    Ok(0)
                }
                error => Err(error),
            },
        }
    }

    fn shrink(&mut self) {
        if std::mem::take(&mut self.swollen) {
            // SAFETY: exactly our mapping, which nobody borrows while we hold `&mut self`; it reads as zero afterwards.
            unsafe { libc::madvise(self.pages.as_ptr().cast(), self.mapped_bytes(), libc::MADV_DONTNEED) };
        }
    }

    fn mapped_bytes(&self) -> usize {
        self.stride.saturating_mul(self.headers.len())
    }
}

impl Drop for BatchBuffers {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; every borrow of it has ended with `self`.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), self.mapped_bytes()) };
    }
}

/// Zeroed pages that cost nothing until they are touched. No huge pages: they would be touched 2 MiB at a time.
fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new anonymous mapping at an address of the kernel's choice overlaps nothing.
    let pages = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: exactly the mapping just made. Advice only: a kernel without huge pages refuses it, and that is fine.
    unsafe { libc::madvise(pages, bytes, libc::MADV_NOHUGEPAGE) };
    NonNull::new(pages.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn untouched_buffers_take_no_memory() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE_BYTES
        };
        let before = resident();
        let buffers: Vec<_> = (0..4).map(|_| BatchBuffers::new(256, 69_632).unwrap()).collect();
        assert!(resident().saturating_sub(before) < 4 << 20, "71 MB were mapped, none may be resident");
        assert_eq!(buffers[0].capacity(), 256);
    }

    #[test]
    fn answers_of_the_kernel_are_read_as_a_batch() {
        let socket = Socket::open().unwrap();
        socket.set_receive_timeout(Duration::from_millis(20)).unwrap();
        let mut buffers = BatchBuffers::new(4, 100).unwrap();
        assert_eq!(buffers.receive(&socket).unwrap(), 0, "nothing was asked");
        for seq in 1..=5u8 {
            // A message of an unknown subsystem: the kernel answers each with an error.
            let mut message = [20u8, 0, 0, 0, 0, 0x7f, 1, 0, seq, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            message[..4].copy_from_slice(&20u32.to_ne_bytes());
            socket.send(&message).unwrap();
        }
        assert_eq!(buffers.receive(&socket).unwrap(), 4);
        let seqs: Vec<u8> = (0..buffers.len()).map(|slot| buffers.datagram(slot).unwrap().bytes[8]).collect();
        assert_eq!(seqs, [1, 2, 3, 4]);
        assert!(buffers.datagram(4).is_none());
        assert_eq!(buffers.try_receive(&socket).unwrap(), 1);
        assert!(!buffers.datagram(0).unwrap().truncated);
    }
}
