//! The object `tunnel`: the outermost packet around the one that a record is about.

use serde::Serialize;

use crate::output::text::{Address, Protocol};
use crate::packet::tunnel::Carrier;

#[derive(Serialize)]
pub struct TunnelObject {
    src_ip: Address,
    src_port: u16,
    dest_ip: Address,
    dest_port: u16,
    proto: Protocol,
    /// Tunnels around the packet.
    depth: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pcap_cnt: Option<u64>,
    pkt_src: &'static str,
}

impl TunnelObject {
    pub fn of(carrier: &Carrier, pcap_cnt: u64) -> TunnelObject {
        TunnelObject {
            src_ip: Address(carrier.src),
            src_port: carrier.src_port,
            dest_ip: Address(carrier.dst),
            dest_port: carrier.dst_port,
            proto: Protocol(carrier.protocol),
            depth: carrier.depth,
            pcap_cnt: (pcap_cnt > 0).then_some(pcap_cnt),
            pkt_src: "wire/pcap",
        }
    }
}
