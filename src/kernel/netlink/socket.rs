//! The netfilter netlink socket: open, tune, send, receive one datagram or a batch.
#![allow(unsafe_code)] // the system calls; every block says why it is sound

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

const SOL_NETLINK: i32 = 270;
const NETLINK_ADD_MEMBERSHIP: i32 = 1;
const NETLINK_BROADCAST_ERROR: i32 = 4;
const NETLINK_NO_ENOBUFS: i32 = 5;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
/// `SK_MEMINFO_VARS` and `SK_MEMINFO_DROPS` of `linux/sock_diag.h`.
const MEMINFO_VARS: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// A bound `NETLINK_NETFILTER` socket, close-on-exec: a leaked queue descriptor keeps a dead program's queue alive.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    port_id: u32,
}

impl Socket {
    /// Opens and binds with a port id of the kernel's choice.
    pub fn open() -> io::Result<Socket> {
        // SAFETY: socket(2) takes no pointers.
        let fd =
            unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_NETFILTER) };
        check(fd)?;
        // SAFETY: `fd` was just returned by socket(2) and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: sockaddr_nl is plain integers, for which zero is a value.
        let mut address: libc::sockaddr_nl = unsafe { zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        let mut len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: `address` lives through the call and `len` is its size.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) })?;
        // SAFETY: the kernel writes at most `len` bytes into `address`.
        check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) })?;
        Ok(Socket { fd, port_id: address.nl_pid })
    }

    /// The netlink port id: the kernel names queue owners by it (`/proc/net/netlink`, `nfnetlink_queue`).
    #[must_use]
    pub fn port_id(&self) -> u32 {
        self.port_id
    }

    /// Joins a multicast group (`NFNLGRP_*`). Needs CAP_NET_ADMIN.
    pub fn join(&self, group: u32) -> io::Result<()> {
        self.set_option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group as i32)
    }

    /// No latch and no ENOBUFS on overrun: as soon as one message is read the next is queued.
    pub fn set_no_enobufs(&self) -> io::Result<()> {
        self.set_option(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
    }

    /// For events: the kernel keeps what could not be delivered and tries again.
    pub fn set_broadcast_error(&self) -> io::Result<()> {
        self.set_option(SOL_NETLINK, NETLINK_BROADCAST_ERROR, 1)
    }

    /// Errors do not echo the request, which for a verdict may hold a whole packet.
    pub fn set_cap_ack(&self) -> io::Result<()> {
        self.set_option(SOL_NETLINK, NETLINK_CAP_ACK, 1)
    }

    /// Errors name the offending attribute.
    pub fn set_ext_ack(&self) -> io::Result<()> {
        self.set_option(SOL_NETLINK, NETLINK_EXT_ACK, 1)
    }

    /// Forces the receive buffer past `net.core.rmem_max` (CAP_NET_ADMIN), or asks for it where that is refused.
    /// Returns what the kernel now accounts with, in bytes: twice what was asked.
    pub fn force_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        let wanted = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
        if self.set_option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
            self.set_option(libc::SOL_SOCKET, libc::SO_RCVBUF, wanted)?;
        }
        self.option(libc::SOL_SOCKET, libc::SO_RCVBUF)
    }

    /// As [`Socket::force_receive_buffer`], for the largest single `send`.
    pub fn force_send_buffer(&self, bytes: usize) -> io::Result<usize> {
        let wanted = i32::try_from(bytes / 2).unwrap_or(i32::MAX / 2);
        if self.set_option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, wanted).is_err() {
            self.set_option(libc::SOL_SOCKET, libc::SO_SNDBUF, wanted)?;
        }
        self.option(libc::SOL_SOCKET, libc::SO_SNDBUF)
    }

    pub fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        let value = libc::timeval {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_usec: libc::suseconds_t::from(timeout.subsec_micros() as i32),
        };
        // SAFETY: `value` lives through the call and the length is its size.
        check(unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const value).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            )
        })
        .map(drop)
    }

    /// Sends one datagram to the kernel: one or more messages.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        loop {
            // SAFETY: the pointer and length are those of `messages`. An unconnected netlink socket sends to the kernel.
            let sent = unsafe { libc::send(self.fd.as_raw_fd(), messages.as_ptr().cast(), messages.len(), 0) };
            match check_size(sent) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    /// Receives one datagram. `Ok(None)` on timeout or a non-blocking socket without data. The length may exceed
    /// `buffer` when the datagram was cut (`MSG_TRUNC`).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive_flags(buffer, 0)
    }

    /// As [`Socket::receive`], never waiting.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive_flags(buffer, libc::MSG_DONTWAIT)
    }

    fn receive_flags(&self, buffer: &mut [u8], flags: i32) -> io::Result<Option<usize>> {
        loop {
            // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
            let got = unsafe {
                libc::recv(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags | libc::MSG_TRUNC)
            };
            return match check_size(got) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                other => other.map(Some),
            };
        }
    }

    /// How many messages the kernel could not put into the receive buffer, since the socket was opened
    /// (`sk_drops`, column Drops of `/proc/net/netlink`), read with `SO_MEMINFO`. Wraps.
    pub fn drops(&self) -> io::Result<u32> {
        let mut values = [0u32; MEMINFO_VARS];
        let mut len = size_of::<[u32; MEMINFO_VARS]>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes into `values`.
        check(unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                values.as_mut_ptr().cast(),
                &raw mut len,
            )
        })?;
        Ok(values[MEMINFO_DROPS])
    }

    fn set_option(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        // SAFETY: `value` lives through the call and the length is its size.
        check(unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<i32>() as libc::socklen_t,
            )
        })
        .map(drop)
    }

    fn option(&self, level: i32, name: i32) -> io::Result<usize> {
        let mut value = 0i32;
        let mut len = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes into `value`.
        check(unsafe { libc::getsockopt(self.fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) })?;
        Ok(usize::try_from(value).unwrap_or(0))
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
