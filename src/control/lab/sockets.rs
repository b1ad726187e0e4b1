//! Client sockets that leave from a chosen address of their host.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

/// A TCP connection from `from`; reading, writing and connecting give up after `patience`.
pub fn tcp(from: IpAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = open(from, SocketType::STREAM, None)?;
    for direction in [Timeout::Send, Timeout::Recv] {
        set_socket_timeout(&socket, direction, Some(patience))?;
    }
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A UDP socket from `from`, connected to `to`.
pub fn udp(from: IpAddr, to: SocketAddr, patience: Duration) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

/// An echo socket: takes and gives ICMP messages, the kernel fills identifier and checksum.
pub fn icmp(from: IpAddr, to: IpAddr, patience: Duration) -> io::Result<UdpSocket> {
    let protocol = if from.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    messages(open(from, SocketType::DGRAM, Some(protocol))?, to, patience)
}

/// A raw socket: takes TCP headers, the kernel puts the IP header in front; gives whole IPv4 packets, IPv6 payloads.
pub fn raw_tcp(from: IpAddr, to: IpAddr, patience: Duration) -> io::Result<UdpSocket> {
    messages(open(from, SocketType::RAW, Some(ipproto::TCP))?, to, patience)
}

/// `UdpSocket` stands for any socket whose messages have an end.
fn messages(socket: OwnedFd, to: IpAddr, patience: Duration) -> io::Result<UdpSocket> {
    connect(&socket, &SocketAddr::new(to, 0))?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

fn open(from: IpAddr, kind: SocketType, protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    Ok(socket)
}
