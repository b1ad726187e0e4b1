//! What every record begins with.

use serde::Serialize;

use super::Context;
use crate::output::community_id::{Ends, community_id};
use crate::output::spec::EveLog;
use crate::output::text::{Address, Protocol};
use crate::packet::conntrack::Direction;
use crate::packet::event::PacketFacts;
use crate::packet::ingress::{Timestamp, VlanTags};

/// Time and kind: all that a record without a packet has.
#[derive(Serialize)]
pub struct Head {
    pub timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_iface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcap_cnt: Option<u64>,
    pub event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcap_filename: Option<String>,
}

impl Head {
    pub fn at(timestamp: Timestamp, event_type: &'static str, context: &mut Context) -> Head {
        Head {
            timestamp: context.clock.iso(timestamp),
            flow_id: None,
            in_iface: None,
            pcap_cnt: None,
            event_type,
            pcap_filename: None,
        }
    }

    pub fn of_log(mut self, log: &EveLog, context: &Context) -> Head {
        if log.pcap_file {
            self.pcap_filename.clone_from(&context.pcap_filename);
        }
        self
    }
}

/// The addresses of a packet as seen at our hook. Ports only where the protocol has them.
#[derive(Serialize)]
pub struct Addresses {
    pub src_ip: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    pub dest_ip: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    pub proto: Protocol,
    pub ip_v: u8,
}

impl Addresses {
    pub fn of(ends: Ends) -> Addresses {
        let has_ports = Protocol(ends.protocol).has_ports();
        Addresses {
            src_ip: Address(ends.src),
            src_port: has_ports.then_some(ends.src_port),
            dest_ip: Address(ends.dst),
            dest_port: has_ports.then_some(ends.dst_port),
            proto: Protocol(ends.protocol),
            ip_v: if ends.src.is_ipv4() { 4 } else { 6 },
        }
    }
}

/// The fields that all packet records share.
#[derive(Serialize)]
pub struct Envelope {
    #[serde(flatten)]
    pub head: Head,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    #[serde(flatten)]
    pub addresses: Addresses,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// Suricata says `wire/pcap` for both live and replayed packets; a packet inside another has its tunnel's name.
    pub pkt_src: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
}

impl Envelope {
    pub fn of(packet: &PacketFacts, event_type: &'static str, log: &EveLog, context: &mut Context) -> Envelope {
        let mut head = Head::at(packet.timestamp, event_type, context).of_log(log, context);
        head.flow_id = packet.flow_id;
        head.in_iface = context.interfaces.name(packet.in_ifindex);
        head.pcap_cnt = (packet.pcap_cnt > 0).then_some(packet.pcap_cnt);
        let icmp = packet.icmp.filter(|_| Protocol(packet.protocol).is_icmp());
        Envelope {
            head,
            vlan: vlan_ids(&packet.vlan),
            addresses: Addresses::of(packet_ends(packet)),
            icmp_type: icmp.map(|icmp| icmp.icmp_type),
            icmp_code: icmp.map(|icmp| icmp.icmp_code),
            pkt_src: packet.carrier.map_or("wire/pcap", |carrier| carrier.kind.packet_source()),
            community_id: log.community_id_seed.filter(|_| packet.flow_id.is_some()).map(|seed| {
                community_id(seed, with_icmp(packet_ends(packet), icmp.map(|i| (i.icmp_type, i.icmp_code))))
            }),
            direction: packet.direction.map(direction_name),
        }
    }
}

pub fn packet_ends(packet: &PacketFacts) -> Ends {
    Ends {
        src: packet.src,
        dst: packet.dst,
        protocol: packet.protocol,
        src_port: packet.src_port,
        dst_port: packet.dst_port,
    }
}

/// Type and code in place of ports, as Community ID wants them.
pub fn with_icmp(ends: Ends, type_and_code: Option<(u8, u8)>) -> Ends {
    match type_and_code {
        Some((icmp_type, icmp_code)) => Ends { src_port: u16::from(icmp_type), dst_port: u16::from(icmp_code), ..ends },
        None => ends,
    }
}

fn vlan_ids(tags: &VlanTags) -> Vec<u16> {
    tags.iter().flatten().map(|tag| tag.id()).collect()
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Original => "to_server",
        Direction::Reply => "to_client",
    }
}
