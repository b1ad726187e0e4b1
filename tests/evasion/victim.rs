//! A host behind the gate, reading TCP its own way.

use std::collections::BTreeMap;

use etherparse::{IpNumber, NetSlice, SlicedPacket, TcpOptionElement, TcpSlice, TransportSlice};
use tidegate::packet::decode::checksum::{self, Checksum};
use tidegate::packet::decode::decode;

use super::packets::{SERVER_FIRST, SYN, TTL_SHORT, answer, tunnel_back};

/// What hosts do differently.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    /// Of bytes that came ahead of their turn twice, the later ones count.
    pub last_wins: bool,
    /// The program reads urgent data in line.
    pub urgent_inline: bool,
    /// It takes data in a SYN.
    pub fast_open: bool,
    /// It looks at timestamps (RFC 7323).
    pub ignores_timestamps: bool,
}

impl Kind {
    pub fn all() -> impl Iterator<Item = Kind> {
        (0..16u8).map(|bits| Kind {
            last_wins: bits & 1 != 0,
            urgent_inline: bits & 2 != 0,
            fast_open: bits & 4 != 0,
            ignores_timestamps: bits & 8 != 0,
        })
    }
}

pub struct Victim {
    kind: Kind,
    next: Option<u32>,
    /// Bytes ahead of their turn, by how far they are from the first one.
    waiting: BTreeMap<u64, u8>,
    position: u64,
    urgent: Option<u64>,
    newest_timestamp: u32,
    closed: bool,
    v6: bool,
    pub data: Vec<u8>,
}

impl Victim {
    pub fn new(kind: Kind) -> Victim {
        Victim {
            kind,
            next: None,
            waiting: BTreeMap::new(),
            position: 0,
            urgent: None,
            newest_timestamp: 0,
            closed: false,
            v6: false,
            data: Vec::new(),
        }
    }

    /// Takes a packet, and gives the answer.
    pub fn receive(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let ethertype = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
        let headers = decode(packet, ethertype).headers?;
        if checksum::network(&headers.ip) == Checksum::Bad || checksum::transport(&headers) == Checksum::Bad {
            return None;
        }
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        self.v6 = matches!(sliced.net, Some(NetSlice::Ipv6(_)));
        if headers.ip.ttl <= TTL_SHORT {
            return None;
        }
        match sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => self.segment(&tcp),
            // The end of a tunnel.
            _ => {
                let (before, inner) = match headers.ip.protocol {
                    4 => (&[][..], headers.payload),
                    47 => headers.payload.split_at_checked(4)?,
                    _ => return None,
                };
                let answer = self.receive(inner)?;
                Some(tunnel_back(IpNumber(headers.ip.protocol), before, &answer))
            }
        }
    }

    fn segment(&mut self, tcp: &TcpSlice<'_>) -> Option<Vec<u8>> {
        let seq = tcp.sequence_number();
        let payload = tcp.payload();
        if self.closed || self.refuses(tcp) {
            return None;
        }
        if tcp.syn() {
            if self.next.is_some() {
                return None;
            }
            self.next = Some(seq.wrapping_add(1));
            if self.kind.fast_open {
                self.take(0, payload);
            }
            return Some(self.answer(SYN));
        }
        let next = self.next.or((!tcp.rst() && !payload.is_empty()).then_some(seq))?;
        self.next = Some(next);
        let ahead = i64::from(seq.wrapping_sub(next).cast_signed());
        if tcp.rst() {
            self.closed = ahead == 0;
            return None;
        }
        if !tcp.ack() || ahead > 64_000 || ahead + (payload.len() as i64) < 0 {
            return Some(self.answer(0));
        }
        if tcp.urg() {
            let at = self.position as i64 + ahead + i64::from(tcp.urgent_pointer().saturating_sub(1));
            self.urgent = u64::try_from(at).ok();
        }
        let old = usize::try_from(-ahead).unwrap_or(0).min(payload.len());
        let begin = self.position + u64::try_from(ahead).unwrap_or(0);
        self.take(begin, &payload[old..]);
        let fin_at = u64::try_from(self.position as i64 + ahead).unwrap_or(0) + payload.len() as u64;
        if tcp.fin() && ahead >= 0 && fin_at == self.position {
            self.closed = true;
        }
        Some(self.answer(0))
    }

    /// Old timestamps, and signatures that nobody asked for.
    fn refuses(&mut self, tcp: &TcpSlice<'_>) -> bool {
        for option in tcp.options_iterator() {
            match option {
                Ok(TcpOptionElement::Timestamp(value, _)) if !self.kind.ignores_timestamps => {
                    if value < self.newest_timestamp {
                        return true;
                    }
                    self.newest_timestamp = value;
                }
                Err(_) if tcp.options().first() == Some(&19) => return true,
                _ => {}
            }
        }
        false
    }

    fn take(&mut self, begin: u64, bytes: &[u8]) {
        for (at, byte) in (begin..).zip(bytes) {
            let slot = self.waiting.entry(at).or_insert(*byte);
            if self.kind.last_wins {
                *slot = *byte;
            }
        }
        while let Some(byte) = self.waiting.remove(&self.position) {
            if self.kind.urgent_inline || self.urgent != Some(self.position) {
                self.data.push(byte);
            }
            self.position += 1;
            self.next = self.next.map(|next| next.wrapping_add(1));
        }
    }

    fn answer(&self, flags: u8) -> Vec<u8> {
        let seq = if flags & SYN != 0 { SERVER_FIRST.wrapping_sub(1) } else { SERVER_FIRST };
        answer(self.v6, seq, self.next.unwrap_or(0), flags)
    }
}
