//! Fragments become datagrams, as the kernel does it before conntrack sees them.
//!
//! The rules are those of `inet_frag_queue_insert` and `ip_frag_queue`: a fragment that lies within what is there is a
//! duplicate and dropped alone; one that overlaps takes its whole datagram with it; so does one that contradicts the
//! datagram's end. A datagram has 30 seconds from its first fragment (IPv6: 60). Memory is bounded; a fragment for which
//! there is no room is dropped.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::packet::decode::anomaly::Anomaly;
use crate::packet::decode::checksum::Sum;
use crate::packet::decode::{Ip, ipv6};
use crate::packet::ingress::Timestamp;

/// All fragments together, with [`FRAGMENT_OVERHEAD_BYTES`] each. The kernel's `ipfrag_high_thresh`.
pub const FRAGMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
const FRAGMENT_OVERHEAD_BYTES: usize = 128;

const TIMEOUT_V4_MICROS: u64 = 30_000_000;
const TIMEOUT_V6_MICROS: u64 = 60_000_000;

/// A datagram cannot be longer than its length field can say.
const DATAGRAM_BYTES_MAX: usize = 0xffff;

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Defragmented {
    /// It was the last one missing: the whole packet, from the network header on.
    Whole(Vec<u8>),
    /// It waits for others.
    Kept,
    /// It was dropped, and, unless it only repeats what is there, its datagram with it; the anomaly says why.
    Dropped(Option<Anomaly>),
}

#[derive(Debug, Default)]
pub struct Defragmenter {
    datagrams: HashMap<Key, Datagram>,
    /// In the order of creation, which is that of expiry within each family. Keys of datagrams that are gone are skipped.
    ages_v4: VecDeque<(u64, Key)>,
    ages_v6: VecDeque<(u64, Key)>,
    bytes: usize,
    /// Tells a datagram from a later one with the same key.
    serial: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// IPv6 does not look at it, for a later fragment could lie.
    protocol: u8,
}

#[derive(Debug, Default)]
struct Datagram {
    serial: u64,
    born_micros: u64,
    /// Sorted by offset, none overlapping.
    parts: Vec<Part>,
    /// Of the fragment at offset 0: what goes before the joined data.
    prefix: Option<Vec<u8>>,
    /// Furthest end seen, and whether it is the true one.
    end: usize,
    end_is_known: bool,
    filled: usize,
    charged: usize,
}

#[derive(Debug)]
struct Part {
    offset: usize,
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> usize {
        self.offset.saturating_add(self.bytes.len())
    }
}

enum Insert {
    Fits,
    Duplicate,
    Contradicts,
}

impl Defragmenter {
    #[must_use]
    pub fn new() -> Defragmenter {
        Defragmenter::default()
    }

    /// Fragments that wait, with their overhead, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a packet, from its network header on, for which [`Ip::is_fragment`] is true.
    pub fn take(&mut self, packet: &[u8], ip: &Ip<'_>, now: Timestamp) -> Defragmented {
        self.expire(now);
        let v4 = ip.version == 4;
        let Some(fragment) = take_apart(packet, ip) else {
            return Defragmented::Dropped(Some(ignored(v4)));
        };
        let charge = packet.len().saturating_add(FRAGMENT_OVERHEAD_BYTES);
        if self.bytes.saturating_add(charge) > FRAGMENT_BYTES_MAX {
            return Defragmented::Dropped(Some(ignored(v4)));
        }
        let key = Key { src: ip.src, dst: ip.dst, id: ip.id, protocol: if v4 { ip.protocol } else { 0 } };
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            self.serial = self.serial.wrapping_add(1);
            let ages = if v4 { &mut self.ages_v4 } else { &mut self.ages_v6 };
            ages.push_back((self.serial, key));
            Datagram { serial: self.serial, born_micros: now.micros, ..Datagram::default() }
        });
        match datagram.insert(ip, &fragment) {
            Insert::Duplicate => Defragmented::Dropped(Some(overlap(v4))),
            Insert::Contradicts => {
                self.forget(&key);
                Defragmented::Dropped(Some(overlap(v4)))
            }
            Insert::Fits => {
                datagram.charged = datagram.charged.saturating_add(charge);
                self.bytes = self.bytes.saturating_add(charge);
                if !datagram.is_whole() {
                    return Defragmented::Kept;
                }
                match self.forget(&key).and_then(|datagram| datagram.join(v4)) {
                    Some(packet) => Defragmented::Whole(packet),
                    None => Defragmented::Dropped(Some(too_large(v4))),
                }
            }
        }
    }

    /// Gives up datagrams whose time is over.
    fn expire(&mut self, now: Timestamp) {
        while let Some(key) = Self::next_expired(&mut self.ages_v4, &self.datagrams, now, TIMEOUT_V4_MICROS)
            .or_else(|| Self::next_expired(&mut self.ages_v6, &self.datagrams, now, TIMEOUT_V6_MICROS))
        {
            self.forget(&key);
        }
    }

    fn next_expired(
        ages: &mut VecDeque<(u64, Key)>,
        datagrams: &HashMap<Key, Datagram>,
        now: Timestamp,
        timeout_micros: u64,
    ) -> Option<Key> {
        while let Some((serial, key)) = ages.front().copied() {
            match datagrams.get(&key).filter(|datagram| datagram.serial == serial) {
                Some(datagram) if now.micros.saturating_sub(datagram.born_micros) < timeout_micros => return None,
                Some(_) => {
                    ages.pop_front();
                    return Some(key);
                }
                None => {
                    ages.pop_front();
                }
            }
        }
        None
    }

    fn forget(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.bytes = self.bytes.saturating_sub(datagram.charged);
        Some(datagram)
    }
}

/// One fragment, taken apart.
struct Fragment<'p> {
    /// What stands before the data, and in IPv6 before the fragment header: it is the same in every fragment.
    prefix: &'p [u8],
    data: &'p [u8],
    /// IPv6: where in the prefix stands the number of the fragment header, and what to put there instead.
    relink: Option<(usize, u8)>,
}

/// `None` when it cannot be part of a datagram: cut, empty, too far out, or of a bad length.
fn take_apart<'p>(packet: &'p [u8], ip: &Ip<'p>) -> Option<Fragment<'p>> {
    // Cuts off padding, and refuses what the capture has cut.
    let packet = packet.get(..usize::try_from(ip.total_len).ok()?)?;
    let mut fragment = if ip.version == 4 {
        let (prefix, data) = packet.split_at_checked(ip.header.len())?;
        Fragment { prefix, data, relink: None }
    } else {
        take_apart_v6(packet)?
    };
    let odd = fragment.data.len() % 8;
    if odd != 0 && ip.has_more_fragments() {
        // The kernel cuts such an IPv4 fragment to whole units, and refuses the IPv6 one.
        if ip.version != 4 {
            return None;
        }
        fragment.data = fragment.data.get(..fragment.data.len().checked_sub(odd)?)?;
    }
    let end = usize::from(ip.fragment_offset).checked_add(fragment.data.len())?;
    (!fragment.data.is_empty() && end <= DATAGRAM_BYTES_MAX).then_some(fragment)
}

fn take_apart_v6(packet: &[u8]) -> Option<Fragment<'_>> {
    let mut next_at = 6;
    let mut at = ipv6::HEADER_BYTES;
    loop {
        let header = packet.get(at..)?;
        let units = usize::from(*header.get(1)?);
        let len = match *packet.get(next_at)? {
            ipv6::next::FRAGMENT => break,
            ipv6::next::AUTHENTICATION => units.checked_add(2)?.checked_mul(4)?,
            _ => units.checked_add(1)?.checked_mul(8)?,
        };
        next_at = at;
        at = at.checked_add(len)?;
    }
    let (prefix, rest) = packet.split_at_checked(at)?;
    let (header, data) = rest.split_first_chunk::<8>()?;
    Some(Fragment { prefix, data, relink: Some((next_at, header[0])) })
}

fn ignored(v4: bool) -> Anomaly {
    if v4 { Anomaly::Ipv4FragmentIgnored } else { Anomaly::Ipv6FragmentIgnored }
}

fn overlap(v4: bool) -> Anomaly {
    if v4 { Anomaly::Ipv4FragmentOverlap } else { Anomaly::Ipv6FragmentOverlap }
}

fn too_large(v4: bool) -> Anomaly {
    if v4 { Anomaly::Ipv4FragmentTooLarge } else { Anomaly::Ipv6FragmentTooLarge }
}

impl Datagram {
    fn insert(&mut self, ip: &Ip<'_>, fragment: &Fragment<'_>) -> Insert {
        let offset = usize::from(ip.fragment_offset);
        let end = offset.saturating_add(fragment.data.len());
        if ip.has_more_fragments() {
            if end > self.end && self.end_is_known {
                return Insert::Contradicts;
            }
        } else if end < self.end || (self.end_is_known && end != self.end) {
            return Insert::Contradicts;
        }
        let at = self.parts.partition_point(|part| part.offset < offset);
        let behind_ok = self.parts.get(at).is_none_or(|next| end <= next.offset);
        let before_ok =
            at.checked_sub(1).and_then(|before| self.parts.get(before)).is_none_or(|previous| previous.end() <= offset);
        if !(behind_ok && before_ok) {
            return if self.holds(at, offset, end) { Insert::Duplicate } else { Insert::Contradicts };
        }
        self.end = self.end.max(end);
        self.end_is_known |= !ip.has_more_fragments();
        self.filled = self.filled.saturating_add(fragment.data.len());
        if offset == 0 {
            let mut prefix = fragment.prefix.to_vec();
            if let Some((at, next)) = fragment.relink
                && let Some(slot) = prefix.get_mut(at)
            {
                *slot = next;
            }
            self.prefix = Some(prefix);
        }
        self.parts.insert(at, Part { offset, bytes: fragment.data.to_vec() });
        Insert::Fits
    }

    /// Whether neighbouring parts without a gap already cover `offset..end`.
    fn holds(&self, at: usize, offset: usize, end: usize) -> bool {
        let mut covered = offset;
        for part in self.parts.get(at.saturating_sub(1)..).unwrap_or_default() {
            if part.end() <= covered {
                continue;
            }
            if part.offset > covered {
                return false;
            }
            covered = part.end();
            if covered >= end {
                return true;
            }
        }
        false
    }

    fn is_whole(&self) -> bool {
        self.end_is_known && self.filled == self.end
    }

    /// One packet, its header that of the first fragment, made good for the whole.
    fn join(self, v4: bool) -> Option<Vec<u8>> {
        let mut packet = self.prefix?;
        let header_len = packet.len();
        for part in &self.parts {
            packet.extend_from_slice(&part.bytes);
        }
        let length = if v4 { packet.len() } else { packet.len().checked_sub(ipv6::HEADER_BYTES)? };
        let length = u16::try_from(length).ok()?.to_be_bytes();
        if !v4 {
            packet.get_mut(4..6)?.copy_from_slice(&length);
            return Some(packet);
        }
        packet.get_mut(2..4)?.copy_from_slice(&length);
        // Neither an offset nor "more fragments"; DF stays as it was.
        *packet.get_mut(6)? &= 0x40;
        *packet.get_mut(7)? = 0;
        packet.get_mut(10..12)?.fill(0);
        let checksum = !Sum::default().plus(packet.get(..header_len)?).folded();
        packet.get_mut(10..12)?.copy_from_slice(&checksum.to_be_bytes());
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::decode::checksum::{self, Checksum};
    use crate::packet::decode::link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
    use crate::packet::decode::{Transport, decode};

    /// A UDP datagram of `len` bytes behind the IP header, the bytes telling their place.
    fn body(len: usize) -> Vec<u8> {
        let mut body: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        body[..8].copy_from_slice(&[0x10, 0, 0, 53, (len >> 8) as u8, len as u8, 0, 0]);
        body
    }

    fn v4(id: u8, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
        let len = ((20 + data.len()) as u16).to_be_bytes();
        let field = ((offset / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes();
        let mut packet =
            vec![0x45, 0, len[0], len[1], 0, id, field[0], field[1], 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend_from_slice(data);
        packet
    }

    /// With a hop-by-hop header before the fragment header, and a destination header in the fragmented part.
    fn v6(id: u8, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
        let len = ((16 + data.len()) as u16).to_be_bytes();
        let field = (offset as u16 | u16::from(more)).to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], 0, 64];
        packet.extend([0u8; 15]);
        packet.push(1);
        packet.extend([0u8; 15]);
        packet.push(2);
        packet.extend([44, 0, 5, 2, 0, 0, 1, 0]);
        packet.extend([60, 0, field[0], field[1], 0, 0, 0, id]);
        packet.extend_from_slice(data);
        packet
    }

    fn body_v6(len: usize) -> Vec<u8> {
        [vec![17, 0, 1, 4, 0, 0, 0, 0], body(len)].concat()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn take(defragmenter: &mut Defragmenter, packet: &[u8], seconds: u64) -> Defragmented {
        let ethertype = if packet[0] >> 4 == 4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let ip = decode(packet, ethertype).headers.unwrap().ip;
        assert!(ip.is_fragment());
        defragmenter.take(packet, &ip, at(seconds))
    }

    fn whole(result: Defragmented) -> Vec<u8> {
        match result {
            Defragmented::Whole(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ipv4_fragments_become_one_good_packet() {
        let body = body(2000);
        let mut defragmenter = Defragmenter::new();
        assert_eq!(take(&mut defragmenter, &v4(1, 1480, false, &body[1480..]), 0), Defragmented::Kept);
        let packet = whole(take(&mut defragmenter, &v4(1, 0, true, &body[..1480]), 1));
        let headers = decode(&packet, ETHERTYPE_IPV4).headers.unwrap();
        assert_eq!((headers.ip.total_len, headers.ip.fragment_offset, headers.ip.fragment_flags), (2020, 0, 0));
        assert_eq!(checksum::network(&headers.ip), Checksum::Good);
        assert_eq!(headers.payload, &body[8..]);
        assert_eq!(defragmenter.bytes(), 0);
    }

    #[test]
    fn ipv6_fragments_lose_their_fragment_header_only() {
        let body = body_v6(1992);
        let mut defragmenter = Defragmenter::new();
        assert_eq!(take(&mut defragmenter, &v6(1, 0, true, &body[..1000]), 0), Defragmented::Kept);
        let packet = whole(take(&mut defragmenter, &v6(1, 1000, false, &body[1000..]), 59));
        let decoded = decode(&packet, ETHERTYPE_IPV6);
        let headers = decoded.headers.unwrap();
        assert_eq!((headers.ip.total_len, headers.ip.protocol, headers.ip.options.len()), (2048, 17, 16));
        assert!(!headers.ip.is_fragment() && !decoded.anomalies.is_broken());
        assert!(matches!(headers.transport, Transport::Udp(udp) if udp.dst_port == 53));
        assert_eq!(headers.payload, &body[16..]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_as_the_kernel_drops_it() {
        use Anomaly::{Ipv4FragmentIgnored, Ipv4FragmentOverlap, Ipv6FragmentIgnored, Ipv6FragmentOverlap};
        let b = body(96);
        let kept = Defragmented::Kept;
        let dropped = |anomaly| Defragmented::Dropped(anomaly);
        let overlap = Some(Ipv4FragmentOverlap);
        let cases: Vec<(&str, Vec<Vec<u8>>, Defragmented)> = vec![
            ("duplicate", vec![v4(1, 0, true, &b[..32]), v4(1, 0, true, &b[..32])], dropped(overlap)),
            (
                "duplicate within what is there",
                vec![v4(1, 0, true, &b[..32]), v4(1, 8, true, &b[8..24])],
                dropped(overlap),
            ),
            (
                "duplicate within two neighbours",
                vec![v4(1, 0, true, &b[..16]), v4(1, 16, true, &b[16..32]), v4(1, 8, true, &b[8..24])],
                dropped(overlap),
            ),
            ("overlap at the end", vec![v4(1, 0, true, &b[..32]), v4(1, 24, true, &b[24..48])], dropped(overlap)),
            ("overlap at the start", vec![v4(1, 16, true, &b[16..32]), v4(1, 0, true, &b[..24])], dropped(overlap)),
            ("around", vec![v4(1, 8, true, &b[8..16]), v4(1, 0, true, &b[..24])], dropped(overlap)),
            (
                "across a gap",
                vec![v4(1, 0, true, &b[..16]), v4(1, 24, true, &b[24..32]), v4(1, 8, true, &b[8..32])],
                dropped(overlap),
            ),
            ("two ends", vec![v4(1, 16, false, &b[16..32]), v4(1, 32, false, &b[32..40])], dropped(overlap)),
            ("beyond the end", vec![v4(1, 16, false, &b[16..32]), v4(1, 40, true, &b[40..48])], dropped(overlap)),
            (
                "an end before what is there",
                vec![v4(1, 32, true, &b[32..40]), v4(1, 16, false, &b[16..24])],
                dropped(overlap),
            ),
            (
                "IPv6 overlap",
                vec![v6(1, 0, true, &b[..32]), v6(1, 24, true, &b[24..48])],
                dropped(Some(Ipv6FragmentOverlap)),
            ),
            ("empty", vec![v4(1, 8, true, &[])], dropped(Some(Ipv4FragmentIgnored))),
            ("cut by the capture", vec![v4(1, 8, true, &b[8..16])[..24].to_vec()], dropped(Some(Ipv4FragmentIgnored))),
            ("odd length, cut to units", vec![v4(1, 8, true, &b[8..19])], kept),
            ("odd length, IPv6", vec![v6(1, 8, true, &b[8..19])], dropped(Some(Ipv6FragmentIgnored))),
            ("too far out", vec![v4(1, 65528, false, &b[..16])], dropped(Some(Ipv4FragmentIgnored))),
        ];
        for (name, packets, expected) in cases {
            let mut defragmenter = Defragmenter::new();
            let results: Vec<_> = packets.iter().map(|packet| take(&mut defragmenter, packet, 0)).collect();
            assert_eq!(results.last(), Some(&expected), "{name}");
            // A fragment that only repeats what is there leaves it waiting.
            if expected == dropped(overlap) && !name.starts_with("duplicate") {
                assert_eq!((defragmenter.bytes(), defragmenter.datagrams.len()), (0, 0), "{name}: all of it is gone");
            }
        }
    }

    #[test]
    fn datagrams_have_their_time() {
        for (packet_of, timeout_s) in [(v4 as fn(u8, usize, bool, &[u8]) -> Vec<u8>, 30), (v6, 60)] {
            let b = body_v6(56);
            let mut defragmenter = Defragmenter::new();
            take(&mut defragmenter, &packet_of(1, 0, true, &b[..32]), 0);
            take(&mut defragmenter, &packet_of(2, 0, true, &b[..32]), timeout_s - 1);
            let late = take(&mut defragmenter, &packet_of(1, 32, false, &b[32..]), timeout_s);
            assert_eq!(late, Defragmented::Kept, "the first half is gone");
            whole(take(&mut defragmenter, &packet_of(2, 32, false, &b[32..]), timeout_s));
            take(&mut defragmenter, &packet_of(3, 0, true, &b[..32]), 1000);
            assert_eq!(defragmenter.datagrams.len(), 1);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let data = vec![7; 1480];
        let mut defragmenter = Defragmenter::new();
        let mut refused = 0;
        for count in 0..6000u16 {
            let mut packet = v4(0, 0, true, &data);
            packet[4..6].copy_from_slice(&count.to_be_bytes());
            refused += u32::from(
                take(&mut defragmenter, &packet, 0) == Defragmented::Dropped(Some(Anomaly::Ipv4FragmentIgnored)),
            );
            assert!(defragmenter.bytes() <= FRAGMENT_BYTES_MAX);
        }
        assert!(refused > 0);
        assert_eq!(
            take(&mut defragmenter, &v4(1, 0, true, &data), 31),
            Defragmented::Kept,
            "room again after the timeout"
        );
    }

    proptest! {
        #[test]
        fn any_cut_in_any_order_gives_the_datagram_back(
            len in 16usize..3000, cuts in prop::collection::btree_set(1usize..370, 1..12), order in any::<u64>(), is_v4 in any::<bool>(),
        ) {
            let body = if is_v4 { body(len) } else { body_v6(len) };
            let mut bounds: Vec<usize> = cuts.into_iter().map(|cut| cut * 8).filter(|cut| *cut < body.len()).collect();
            prop_assume!(!bounds.is_empty());
            bounds.insert(0, 0);
            bounds.push(body.len());
            let make = if is_v4 { v4 } else { v6 };
            let mut fragments: Vec<Vec<u8>> = bounds
                .windows(2)
                .map(|range| make(9, range[0], range[1] != body.len(), &body[range[0]..range[1]]))
                .collect();
            let count = fragments.len();
            let mut seed = order;
            for at in (1..count).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                fragments.swap(at, (seed >> 33) as usize % (at + 1));
            }
            let mut defragmenter = Defragmenter::new();
            for fragment in &fragments[..count - 1] {
                prop_assert_eq!(take(&mut defragmenter, fragment, 0), Defragmented::Kept);
                prop_assert_eq!(take(&mut defragmenter, fragment, 0), Defragmented::Dropped(Some(overlap(is_v4))));
            }
            let packet = whole(take(&mut defragmenter, &fragments[count - 1], 0));
            let behind = if is_v4 { 20 } else { 48 };
            prop_assert_eq!(&packet[behind..], &body[..]);
            prop_assert_eq!(defragmenter.bytes(), 0);
        }

        #[test]
        fn random_fragments_never_panic_and_never_exceed_the_cap(
            fragments in prop::collection::vec((0usize..40, any::<bool>(), 0usize..64, 0u8..3, any::<bool>()), 0..60),
        ) {
            let mut defragmenter = Defragmenter::new();
            for (count, (offset, more, len, id, is_v4)) in fragments.into_iter().enumerate() {
                let packet = if is_v4 { v4(id, offset * 8, more, &vec![1; len]) } else { v6(id, offset * 8, more, &vec![1; len]) };
                let ip = decode(&packet, if is_v4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 }).headers.unwrap().ip;
                if ip.is_fragment() {
                    defragmenter.take(&packet, &ip, at(count as u64));
                }
                prop_assert!(defragmenter.bytes() <= FRAGMENT_BYTES_MAX);
            }
        }
    }
}
