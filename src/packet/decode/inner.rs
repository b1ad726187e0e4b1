//! Packets inside packets: which tunnels we open, and what is found in them.
//!
//! IP in IP and GRE are told by the IP protocol, tunnels over UDP by their ports. The latter are Suricata's: VXLAN and Geneve
//! on their registered ports, Teredo on either side of 3544. Who speaks something else there is not opened: a header
//! that does not fit is no tunnel, and then the datagram is like any other.

use super::anomaly::Anomalies;
use super::link::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use super::{Decoded, Headers, Transport, Udp, gre, protocol};

/// How one packet carries another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// IPv4 behind an IP header.
    Ipv4,
    /// IPv6 behind an IP header.
    Ipv6,
    Gre,
    ErspanI,
    ErspanII,
    ErspanIII,
    Vxlan,
    Geneve,
    Teredo,
}

impl TunnelKind {
    /// EVE `pkt_src` of the packet inside, in Suricata's words where it has them.
    #[must_use]
    pub fn packet_source(self) -> &'static str {
        match self {
            TunnelKind::Ipv4 => "ipv4 tunnel",
            TunnelKind::Ipv6 => "ipv6 tunnel",
            TunnelKind::Gre | TunnelKind::ErspanI | TunnelKind::ErspanII | TunnelKind::ErspanIII => "gre tunnel",
            TunnelKind::Vxlan => "vxlan encapsulation",
            TunnelKind::Geneve => "geneve encapsulation",
            TunnelKind::Teredo => "teredo tunnel",
        }
    }
}

/// The packet inside another.
#[derive(Clone, Copy, Debug)]
pub struct Inner<'p> {
    pub kind: TunnelKind,
    /// The virtual network's number (VXLAN, Geneve), 0 where the tunnel has none.
    pub network: u32,
    /// The inner packet without its link header.
    pub frame: Frame<'p>,
    /// `headers` is `None` when what is carried is not IP or does not decode.
    pub decoded: Decoded<'p>,
}

impl<'p> Inner<'p> {
    pub(super) fn of_frame(kind: TunnelKind, frame: Frame<'p>, anomalies: Anomalies) -> Inner<'p> {
        let decoded = super::decode_with(frame.network, frame.ethertype, anomalies);
        Inner { kind, network: 0, frame, decoded }
    }

    /// There is a tunnel, and what it carries cannot be read.
    pub(super) fn broken(kind: TunnelKind, anomalies: Anomalies) -> Inner<'p> {
        Inner { kind, network: 0, frame: Frame::of(0, &[]), decoded: Decoded { headers: None, anomalies } }
    }

    fn of_network(self, network: u32) -> Inner<'p> {
        Inner { network, ..self }
    }
}

/// Which tunnels over UDP are opened, by port. No port, no such tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelPorts {
    /// The receiver's port: the sender's is a hash of what is inside.
    pub vxlan: [u16; TunnelPorts::COUNT_MAX],
    /// Either side's, as with Teredo.
    pub geneve: [u16; TunnelPorts::COUNT_MAX],
    pub teredo: [u16; TunnelPorts::COUNT_MAX],
}

impl TunnelPorts {
    /// Ports of a kind. A slot that is not used is 0.
    pub const COUNT_MAX: usize = 4;

    /// Those of Suricata's default configuration.
    pub const STANDARD: TunnelPorts =
        TunnelPorts { vxlan: [4789, 0, 0, 0], geneve: [6081, 0, 0, 0], teredo: [3544, 0, 0, 0] };
}

impl Default for TunnelPorts {
    fn default() -> Self {
        TunnelPorts::STANDARD
    }
}

impl<'p> Headers<'p> {
    /// The packet inside this one; `None` without a tunnel.
    #[must_use]
    pub fn inner(&self, ports: &TunnelPorts) -> Option<Inner<'p>> {
        if self.ip.is_fragment() {
            return None;
        }
        match (self.ip.protocol, self.transport) {
            (_, Transport::Udp(udp)) => over_udp(&udp, self.payload, ports),
            (protocol::IPV4, _) => Some(ip(TunnelKind::Ipv4, ETHERTYPE_IPV4, self.payload)),
            (protocol::IPV6, _) => Some(ip(TunnelKind::Ipv6, ETHERTYPE_IPV6, self.payload)),
            (protocol::GRE, _) => gre::inner(self.payload),
            _ => None,
        }
    }
}

fn ip(kind: TunnelKind, ethertype: u16, bytes: &[u8]) -> Inner<'_> {
    Inner::of_frame(kind, Frame::of(ethertype, bytes), Anomalies::NONE)
}

fn over_udp<'p>(udp: &Udp<'p>, payload: &'p [u8], ports: &TunnelPorts) -> Option<Inner<'p>> {
    let open = |ports: &[u16], port: u16| port != 0 && ports.contains(&port);
    let either = |ports: &[u16]| open(ports, udp.src_port) || open(ports, udp.dst_port);
    if either(&ports.teredo) {
        teredo(payload)
    } else if either(&ports.geneve) {
        geneve(payload)
    } else if open(&ports.vxlan, udp.dst_port) {
        vxlan(payload)
    } else {
        None
    }
}

/// VXLAN (RFC 7348): the flag that says that there is a network number, then an Ethernet frame.
fn vxlan(bytes: &[u8]) -> Option<Inner<'_>> {
    let (&[flags, _, _, _, n0, n1, n2, _], frame) = bytes.split_first_chunk::<8>()?;
    if flags & 0x08 == 0 {
        return None;
    }
    ethernet(TunnelKind::Vxlan, frame).map(|inner| inner.of_network(u32::from_be_bytes([0, n0, n1, n2])))
}

/// Geneve (RFC 8926), version 0: options of any kind, then what the EtherType says.
fn geneve(bytes: &[u8]) -> Option<Inner<'_>> {
    let (&[first, _, p0, p1, n0, n1, n2, _], rest) = bytes.split_first_chunk::<8>()?;
    if first >> 6 != 0 {
        return None;
    }
    let payload = rest.get(usize::from(first & 0x3f) * 4..)?;
    let inner = match u16::from_be_bytes([p0, p1]) {
        link::ETHERTYPE_BRIDGED => ethernet(TunnelKind::Geneve, payload)?,
        ethertype @ (ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => ip(TunnelKind::Geneve, ethertype, payload),
        _ => return None,
    };
    Some(inner.of_network(u32::from_be_bytes([0, n0, n1, n2])))
}

fn ethernet(kind: TunnelKind, bytes: &[u8]) -> Option<Inner<'_>> {
    let mut anomalies = Anomalies::NONE;
    let frame = link::ethernet(bytes, &mut anomalies)?;
    Some(Inner::of_frame(kind, frame, anomalies))
}

/// Teredo (RFC 4380): perhaps an authentication, perhaps an origin, then IPv6 to the datagram's end.
fn teredo(bytes: &[u8]) -> Option<Inner<'_>> {
    let mut rest = bytes;
    if let [0, 1, id_len, auth_len, behind @ ..] = rest {
        // Nonce and confirmation byte follow the two fields.
        rest = behind.get(usize::from(*id_len) + usize::from(*auth_len) + 9..)?;
    }
    if let [0, 0, _, _, _, _, _, _, behind @ ..] = rest {
        rest = behind;
    }
    let (header, body) = rest.split_first_chunk::<40>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    (header[0] >> 4 == 6 && length == body.len()).then(|| ip(TunnelKind::Teredo, ETHERTYPE_IPV6, rest))
}
