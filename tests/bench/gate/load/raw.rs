//! Whole IPv4 packets through a raw socket, many with one system call.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketType, ipproto, sendmmsg, socket,
};

pub struct RawSocket {
    socket: OwnedFd,
    /// Only the way to it counts; where a packet goes its header says.
    toward: SocketAddrAny,
}

impl RawSocket {
    /// In the namespace of the calling thread.
    pub fn open(toward: [u8; 4]) -> Result<RawSocket, String> {
        let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW));
        let socket = socket.map_err(|error| format!("raw socket: {error}"))?;
        Ok(RawSocket { socket, toward: SocketAddrAny::from(SocketAddrV4::new(Ipv4Addr::from(toward), 0)) })
    }

    /// How many the kernel took.
    pub fn send(&self, packets: &[impl AsRef<[u8]>]) -> Result<usize, String> {
        let slices: Vec<[IoSlice<'_>; 1]> = packets.iter().map(|packet| [IoSlice::new(packet.as_ref())]).collect();
        let mut control: Vec<SendAncillaryBuffer<'_, '_, '_>> =
            packets.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let each = slices.iter().zip(&mut control);
        let mut messages: Vec<MMsgHdr<'_>> =
            each.map(|(slice, control)| MMsgHdr::new_with_addr(&self.toward, slice, control)).collect();
        sendmmsg(&self.socket, &mut messages, SendFlags::empty()).map_err(|error| format!("raw socket: {error}"))
    }
}
