//! Packets of one client, made of bytes.

use std::cell::Cell;

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder, TcpHeader, TcpOptionElement};

/// Who speaks to whom.
#[derive(Clone, Copy)]
pub struct Ends {
    pub client: [u8; 4],
    pub server: [u8; 4],
    pub client6: [u8; 16],
    pub server6: [u8; 16],
    /// The client's port; the server's is 80.
    pub port: u16,
    /// The server's first data byte.
    pub server_first: u32,
    /// Added to the numbers of fragmented packets, which a host keeps in mind for a while.
    pub salt: u16,
}

impl Ends {
    /// Of hosts that are acted.
    pub const ACTED: Ends = Ends {
        client: [192, 168, 1, 10],
        server: [10, 0, 0, 1],
        client6: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        server6: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        port: 40_000,
        server_first: SERVER_FIRST,
        salt: 0,
    };

    /// Of the packets that this thread makes.
    pub fn current() -> Ends {
        ENDS.get()
    }

    /// This thread's packets are between these from now on.
    #[allow(dead_code, reason = "for hosts that are not acted")]
    pub fn set(self) {
        ENDS.set(self);
    }
}

thread_local! {
    static ENDS: Cell<Ends> = const { Cell::new(Ends::ACTED) };
}

/// The client's first data byte.
pub const FIRST: u32 = 5001;
pub const SERVER_FIRST: u32 = 9001;
/// Such a packet passes the gate and dies before it reaches the server.
pub const TTL_SHORT: u8 = 2;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

/// A segment from the client; `at` counts from its first data byte.
#[derive(Clone)]
pub struct Tcp {
    pub seq: u32,
    pub flags: u8,
    pub urgent: u16,
    pub ttl: u8,
    pub broken: bool,
    pub options: Vec<TcpOptionElement>,
    pub raw_options: Vec<u8>,
    pub payload: Vec<u8>,
}

pub fn at(at: usize, payload: &[u8]) -> Tcp {
    from(FIRST, at, payload)
}

pub fn from(first: u32, at: usize, payload: &[u8]) -> Tcp {
    Tcp {
        seq: first.wrapping_add(at as u32),
        flags: ACK | PSH,
        urgent: 0,
        ttl: 64,
        broken: false,
        options: Vec::new(),
        raw_options: Vec::new(),
        payload: payload.to_vec(),
    }
}

impl Tcp {
    pub fn flags(mut self, flags: u8) -> Tcp {
        self.flags = flags;
        self
    }

    pub fn urgent(mut self, pointer: u16) -> Tcp {
        self.flags |= URG;
        self.urgent = pointer;
        self
    }

    /// Never reaches the server.
    pub fn short(mut self) -> Tcp {
        self.ttl = TTL_SHORT;
        self
    }

    /// Its checksum is wrong.
    pub fn broken(mut self) -> Tcp {
        self.broken = true;
        self
    }

    pub fn timestamp(mut self, value: u32) -> Tcp {
        self.options = vec![TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(value, 0)];
        self
    }

    pub fn raw_options(mut self, options: &[u8]) -> Tcp {
        self.raw_options = options.to_vec();
        self
    }

    fn header(&self) -> TcpHeader {
        let Ends { port, server_first, .. } = Ends::current();
        let mut header = TcpHeader::new(port, 80, self.seq, 64_000);
        header.acknowledgment_number = if self.flags & ACK != 0 { server_first } else { 0 };
        header.fin = self.flags & FIN != 0;
        header.syn = self.flags & SYN != 0;
        header.rst = self.flags & RST != 0;
        header.psh = self.flags & PSH != 0;
        header.ack = self.flags & ACK != 0;
        header.urg = self.flags & URG != 0;
        header.ece = self.flags & 64 != 0;
        header.cwr = self.flags & 128 != 0;
        header.urgent_pointer = self.urgent;
        match self.raw_options.is_empty() {
            true => header.set_options(&self.options).unwrap(),
            false => header.set_options_raw(&self.raw_options).unwrap(),
        }
        header
    }

    pub fn v4(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ends { client, server, .. } = Ends::current();
        let builder = PacketBuilder::ipv4(client, server, self.ttl).tcp_header(self.header());
        builder.write(&mut bytes, &self.payload).unwrap();
        if self.broken {
            bytes[36] ^= 0x55;
        }
        bytes
    }

    pub fn v6(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ends { client6, server6, .. } = Ends::current();
        let builder = PacketBuilder::ipv6(client6, server6, self.ttl).tcp_header(self.header());
        builder.write(&mut bytes, &self.payload).unwrap();
        bytes
    }
}

/// SYN and the ACK that ends the handshake.
pub fn open() -> Vec<Tcp> {
    vec![at(0, b"").flags(SYN).before(), at(0, b"").flags(ACK)]
}

impl Tcp {
    /// A SYN stands one in front of the first data byte.
    pub fn before(mut self) -> Tcp {
        self.seq = self.seq.wrapping_sub(1);
        self
    }
}

/// The server's answer to what it has received.
pub fn answer(v6: bool, seq: u32, ack: u32, flags: u8) -> Vec<u8> {
    let Ends { client, server, client6, server6, port, .. } = Ends::current();
    let mut header = TcpHeader::new(80, port, seq, 64_000);
    header.acknowledgment_number = ack;
    header.ack = true;
    header.syn = flags & SYN != 0;
    if header.syn {
        header.set_options(&[TcpOptionElement::SelectiveAcknowledgementPermitted]).unwrap();
    }
    let mut bytes = Vec::new();
    match v6 {
        true => PacketBuilder::ipv6(server6, client6, 64).tcp_header(header).write(&mut bytes, &[]).unwrap(),
        false => PacketBuilder::ipv4(server, client, 64).tcp_header(header).write(&mut bytes, &[]).unwrap(),
    }
    bytes
}

/// Fragments of an IPv4 packet: each (start, end) in bytes of its payload, the last one that ends there says so.
pub fn fragments(packet: &[u8], id: u16, parts: &[(usize, usize)]) -> Vec<Vec<u8>> {
    let (header, body) = Ipv4Header::from_slice(packet).unwrap();
    let cut = |(start, end): &(usize, usize)| fragment(&header, id, *start, &body[*start..*end], *end < body.len());
    parts.iter().map(cut).collect()
}

pub fn fragment(header: &Ipv4Header, id: u16, start: usize, body: &[u8], more: bool) -> Vec<u8> {
    let mut header = header.clone();
    header.identification = id.wrapping_add(Ends::current().salt);
    header.dont_fragment = false;
    header.more_fragments = more;
    header.fragment_offset = IpFragOffset::try_new(start as u16 / 8).unwrap();
    header.set_payload_len(body.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend_from_slice(body);
    bytes
}

/// The parts of a packet in steps of 8 bytes.
pub fn steps(packet: &[u8], step: usize) -> Vec<(usize, usize)> {
    let len = packet.len() - 20;
    (0..len).step_by(step).map(|start| (start, (start + step).min(len))).collect()
}

/// IPv6 with extension headers in front of TCP: each is its number and its bytes, whose first is set to what follows.
pub fn with_extensions(packet: &[u8], extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let (fixed, rest) = packet.split_at(40);
    let mut fixed = fixed.to_vec();
    let mut chain = Vec::new();
    for (nth, (_, bytes)) in extensions.iter().enumerate() {
        let next = extensions.get(nth + 1).map_or(6, |(number, _)| *number);
        let begin = chain.len();
        chain.extend_from_slice(bytes);
        chain[begin] = next;
    }
    fixed[6] = extensions.first().map_or(6, |(number, _)| *number);
    let len = (chain.len() + rest.len()) as u16;
    fixed[4..6].copy_from_slice(&len.to_be_bytes());
    [fixed, chain, rest.to_vec()].concat()
}

/// IPv6 fragments of `step` bytes.
pub fn fragments6(packet: &[u8], id: u32, step: usize) -> Vec<Vec<u8>> {
    let (_, body) = packet.split_at(40);
    let count = body.len().div_ceil(step);
    body.chunks(step)
        .enumerate()
        .map(|(nth, part)| {
            let offset = (nth * step) as u16 | u16::from(nth + 1 < count);
            let id = id.wrapping_add(u32::from(Ends::current().salt));
            let header = [&[0, 0][..], &offset.to_be_bytes(), &id.to_be_bytes()].concat();
            let whole = [&packet[..40], part].concat();
            with_extensions(&whole, &[(44, &header)])
        })
        .collect()
}

/// An IPv4 packet inside another.
pub fn tunnel(protocol: IpNumber, before: &[u8], inner: &[u8]) -> Vec<u8> {
    let Ends { client, server, .. } = Ends::current();
    around(client, server, protocol, &[before, inner].concat())
}

/// The server's answer in the same tunnel.
pub fn tunnel_back(protocol: IpNumber, before: &[u8], inner: &[u8]) -> Vec<u8> {
    let Ends { client, server, .. } = Ends::current();
    around(server, client, protocol, &[before, inner].concat())
}

fn around(src: [u8; 4], dst: [u8; 4], protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(src, dst, 64).write(&mut bytes, protocol, payload).unwrap();
    bytes
}

/// With IPv4 options, which are a multiple of four bytes.
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let (mut header, body) = Ipv4Header::from_slice(packet).unwrap();
    header.options = options.try_into().unwrap();
    header.set_payload_len(body.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend_from_slice(body);
    bytes
}
