//! A rule ready to be evaluated: what its header allows, and its tests in groups that the engine runs cheapest first.
//!
//! These are plain data. `packet::detect` gives them their meaning.

mod buffer;
mod packet;
mod pattern;
mod state;

use std::sync::Arc;

use crate::rules::app::{AppProto, AppProtoSet, AppTest};
use crate::rules::meta::{RuleAction, RuleMeta};
use crate::rules::vars::{AddressSet, PortSet};

pub use buffer::*;
pub use packet::*;
pub use pattern::*;
pub use state::*;

/// One rule of a rule set.
#[derive(Clone, Debug)]
pub struct Rule {
    pub meta: Arc<RuleMeta>,
    pub header: Header,
    pub flow: FlowTest,
    pub packet: Box<[PacketTest]>,
    pub measures: Box<[FlowMeasure]>,
    /// Tests of what earlier rules or packets left behind.
    pub state: Box<[StateTest]>,
    pub buffers: Box<[BufferPlan]>,
    /// Some buffer is the payload: a packet without one cannot match.
    pub needs_payload: bool,
    pub stream: StreamShape,
    /// What is asked of a transaction or of the flow's application protocol besides buffers.
    pub app: Box<[AppTest]>,
    /// It is about transactions: judged on each, once something new is there, and matches each at most once.
    pub on_transactions: bool,
    /// `=>`: the header tells client and server apart, and buffers of both sides are asked for.
    pub spans_sides: bool,
    /// What a match leaves behind.
    pub effects: Box<[Effect]>,
    pub threshold: Option<Threshold>,
    pub rate: Option<RateFilter>,
    /// What the administrator does not want told; actions stand.
    pub suppressions: Box<[Suppression]>,
    /// Only addresses and protocol are asked: judged once per flow and direction, on the first packet.
    pub ip_only: bool,
    /// The hook `flow_start`: judged on the first packet of each direction.
    pub flow_start: bool,
    /// A match tells nobody. Its effects and its action stand.
    pub noalert: bool,
    /// A match clears the rest of the connection.
    pub bypass: bool,
    /// What a match records of the packets after it.
    pub tags: Box<[Tag]>,
    /// Which files a match stores.
    pub filestore: Option<FileStoring>,
}

/// `filestore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStoring {
    pub sides: SideSet,
    pub scope: StoreScope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreScope {
    /// The files that the rule is about.
    File,
    /// All of the transaction.
    Transaction,
    /// All of the flow from now on.
    Flow,
}

/// None, one or both of the sides that bytes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSet {
    pub to_server: bool,
    pub to_client: bool,
}

impl SideSet {
    pub const BOTH: SideSet = SideSet { to_server: true, to_client: true };

    #[must_use]
    pub fn of(toward: Toward) -> SideSet {
        SideSet { to_server: toward == Toward::Server, to_client: toward == Toward::Client }
    }

    #[must_use]
    pub fn has(self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.to_server,
            Toward::Client => self.to_client,
        }
    }

    #[must_use]
    pub fn or(self, other: SideSet) -> SideSet {
        SideSet { to_server: self.to_server || other.to_server, to_client: self.to_client || other.to_client }
    }
}

impl Rule {
    #[must_use]
    pub fn action(&self) -> RuleAction {
        self.meta.action
    }

    /// Whether a transaction of `protocol` can match: the header allows it, and it fills the buffers.
    #[must_use]
    pub fn may_concern(&self, protocol: AppProto) -> bool {
        let fills = |plan: &BufferPlan| !plan.buffer.is_app() || plan.buffer.info().protocols.contains(protocol);
        (self.header.app.is_empty() || self.header.app.contains(protocol)) && self.buffers.iter().all(fills)
    }

    /// Its contents are looked for in the joined bytes of a TCP stream, unless something it asks is about one packet.
    #[must_use]
    pub fn looks_at_stream(&self) -> bool {
        let tcp = matches!(
            self.header.protocol,
            HeaderProtocol::Tcp
                | HeaderProtocol::TcpStream
                | HeaderProtocol::Ip
                | HeaderProtocol::Ipv4
                | HeaderProtocol::Ipv6
        );
        tcp && self.packet.is_empty() && self.flow.stream != Some(false)
    }

    /// Whether Suricata would let `drop` and `pass` decide about the whole flow: rules of addresses alone, and those that
    /// look at the stream, at a transaction, or at what the flow speaks. The others decide about the packet that they
    /// matched, but for a `pass` that asks nothing else than the header of a TCP packet: it is about the answers, too.
    #[must_use]
    pub fn decides_flow(&self) -> bool {
        let about_packet = !self.packet.is_empty() || self.flow.stream == Some(false);
        let stream = self.looks_at_stream() && !self.buffers.is_empty();
        let passes_tcp = self.action() == RuleAction::Pass && self.header.protocol == HeaderProtocol::Tcp;
        let header_alone = passes_tcp && self.buffers.is_empty();
        self.ip_only || self.on_transactions || stream || (header_alone || !self.header.app.is_empty()) && !about_packet
    }
}

/// Protocol, addresses and ports.
#[derive(Clone, Debug)]
pub struct Header {
    pub protocol: HeaderProtocol,
    /// The application protocols of which the flow must speak one; empty: nothing is asked.
    pub app: AppProtoSet,
    pub src: Arc<AddressSet>,
    pub src_ports: Arc<PortSet>,
    pub dst: Arc<AddressSet>,
    pub dst_ports: Arc<PortSet>,
    /// `<>` and `=>`: the packet may go either way.
    pub both_ways: bool,
}

/// The protocol word of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderProtocol {
    Ip,
    Ipv4,
    Ipv6,
    Tcp,
    /// TCP packets one by one, never the stream.
    TcpPkt,
    /// The TCP stream, never packets one by one.
    TcpStream,
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Igmp,
    Arp,
    /// Any packet that comes with its Ethernet header.
    Ether,
    /// Any packet whose headers were understood; the rule may only ask about headers.
    PktHdr,
}

/// Which way a packet goes, in the rule language's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Toward {
    Server,
    Client,
}

impl Toward {
    #[must_use]
    pub fn other(self) -> Toward {
        match self {
            Toward::Server => Toward::Client,
            Toward::Client => Toward::Server,
        }
    }
}

/// `flow:`. What is not asked is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTest {
    pub toward: Option<Toward>,
    pub established: Option<bool>,
    /// `only_stream` (true) or `no_stream` (false).
    pub stream: Option<bool>,
}

impl FlowTest {
    /// Whether a packet without a flow can pass.
    #[must_use]
    pub fn needs_flow(self) -> bool {
        self.toward.is_some() || self.established == Some(true)
    }
}
