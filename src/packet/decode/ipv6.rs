//! IPv6 and its extension headers (RFC 8200).
//!
//! The chain is walked as the kernel walks it (`ipv6_skip_exthdr`): hop-by-hop, routing, fragment, authentication and
//! destination options are stepped over, ESP, "no next header" and everything else ends it. Each step takes at least 8
//! bytes, so the walk is linear without a cap of its own.

use std::net::{IpAddr, Ipv6Addr};

use super::Ip;
use super::anomaly::{Anomalies, Anomaly};

/// Length of the fixed header in bytes.
pub const HEADER_BYTES: usize = 40;

/// Numbers of the extension headers (IANA "protocol numbers").
pub mod next {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AUTHENTICATION: u8 = 51;
    pub const NONE: u8 = 59;
    pub const DESTINATION: u8 = 60;
}

const PROTOCOL_ICMP: u8 = 1;

/// The fixed header with its extension headers, and what is behind them; `None` when there is no usable header.
pub(super) fn parse<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<(Ip<'p>, &'p [u8])> {
    let Some((fixed, behind)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        anomalies.add(Anomaly::Ipv6TooSmall);
        return None;
    };
    if fixed[0] >> 4 != 6 {
        anomalies.add(Anomaly::Ipv6Version);
        return None;
    }
    let said = match usize::from(u16::from_be_bytes([fixed[4], fixed[5]])) {
        0 => jumbo_len(fixed[6], behind),
        said => said,
    };
    let packet = bytes.get(..HEADER_BYTES.saturating_add(said)).unwrap_or_else(|| {
        anomalies.add(Anomaly::Ipv6Truncated);
        bytes
    });
    let body = packet.get(HEADER_BYTES..)?;
    let chain = Chain::walk(fixed[6], body, anomalies);
    let (extensions, body) = body.split_at_checked(body.len().checked_sub(chain.rest.len())?)?;
    let header = packet.get(..HEADER_BYTES + extensions.len())?;

    let (_, src, dst) = (fixed.first_chunk::<8>()?, chunk16(fixed.get(8..)?)?, chunk16(fixed.get(24..)?)?);
    let ip = Ip {
        src: IpAddr::V6(Ipv6Addr::from(src)),
        dst: IpAddr::V6(Ipv6Addr::from(dst)),
        version: 6,
        protocol: chain.protocol,
        ttl: fixed[7],
        tos: fixed[0] << 4 | fixed[1] >> 4,
        id: chain.fragment.map_or(0, |fragment| fragment.id),
        flow_label: u32::from_be_bytes([0, fixed[1] & 0x0f, fixed[2], fixed[3]]),
        fragment_flags: chain.fragment.map_or(0, |fragment| u8::from(fragment.more)),
        fragment_offset: chain.fragment.map_or(0, |fragment| fragment.offset),
        total_len: u32::try_from(said.saturating_add(HEADER_BYTES)).unwrap_or(u32::MAX),
        options: extensions,
        header,
    };
    if ip.is_fragment() {
        if usize::from(ip.fragment_offset) + body.len() > 0xffff {
            anomalies.add(Anomaly::Ipv6FragmentTooLarge);
        }
        if ip.has_more_fragments() && !body.len().is_multiple_of(8) && !anomalies.has(Anomaly::Ipv6Truncated) {
            anomalies.add(Anomaly::Ipv6FragmentLength);
        }
    }
    match ip.protocol {
        PROTOCOL_ICMP => anomalies.add(Anomaly::Ipv6Icmpv4),
        next::NONE if !body.is_empty() => anomalies.add(Anomaly::Ipv6DataAfterNone),
        _ => {}
    }
    Some((ip, body))
}

/// Payload length of a packet whose length field is 0: of the jumbo option (RFC 2675), or of a super-packet without one.
fn jumbo_len(first: u8, behind: &[u8]) -> usize {
    const JUMBO: u8 = 0xc2;
    if first == next::HOP_BY_HOP
        && let Some((options, _)) = options_header(behind)
    {
        let jumbo = Options(options).find_map(|option| match option {
            Ok((JUMBO, data)) => data.try_into().ok().map(u32::from_be_bytes),
            _ => None,
        });
        if let Some(len) = jumbo.filter(|len| *len > 0xffff) {
            return usize::try_from(len).unwrap_or(usize::MAX);
        }
    }
    if behind.len() > 0xffff { behind.len() } else { 0 }
}

/// No header that follows an extension header has fewer bytes, and Suricata does not look into fewer.
const BEHIND_BYTES_MIN: usize = 2;

#[derive(Clone, Copy)]
struct Fragment {
    id: u32,
    offset: u16,
    more: bool,
}

/// Where the extension headers lead.
struct Chain<'p> {
    /// The number of the first header that is not stepped over.
    protocol: u8,
    rest: &'p [u8],
    fragment: Option<Fragment>,
}

impl<'p> Chain<'p> {
    fn walk(first: u8, body: &'p [u8], anomalies: &mut Anomalies) -> Chain<'p> {
        let mut chain = Chain { protocol: first, rest: body, fragment: None };
        let mut seen = Seen::default();
        loop {
            let step = match chain.protocol {
                next::HOP_BY_HOP => step_hop_by_hop(chain.rest, &mut seen, anomalies),
                next::DESTINATION => step_destination(chain.rest, &mut seen, anomalies),
                next::ROUTING => step_routing(chain.rest, &mut seen, anomalies),
                next::AUTHENTICATION => step_authentication(chain.rest, &mut seen, anomalies),
                next::FRAGMENT => match fragment_header(chain.rest, anomalies) {
                    Some((next, fragment, rest)) => {
                        if chain.fragment.replace(fragment).is_some() {
                            anomalies.add(Anomaly::Ipv6DuplicateFragment);
                        }
                        if rest.is_empty() {
                            anomalies.add(Anomaly::Ipv6ExtensionTruncated);
                        }
                        Some((next, rest))
                    }
                    None => None,
                },
                _ => return chain,
            };
            let Some((behind, rest)) = step else {
                anomalies.add(Anomaly::Ipv6ExtensionTruncated);
                return chain;
            };
            chain.protocol = behind;
            chain.rest = rest;
            let is_whole = chain.fragment.is_none_or(|fragment| fragment.offset == 0 && !fragment.more);
            if is_whole && behind != next::NONE && rest.len() < BEHIND_BYTES_MIN {
                anomalies.add(Anomaly::Ipv6ExtensionTruncated);
            }
            // What follows in a later fragment is data from the middle of the datagram.
            if chain.fragment.is_some_and(|fragment| fragment.offset != 0) {
                return chain;
            }
        }
    }
}

#[derive(Default)]
struct Seen {
    hop_by_hop: bool,
    routing: bool,
    authentication: bool,
    destination: u8,
}

/// The next header's number and what is behind this one.
type Step<'p> = Option<(u8, &'p [u8])>;

fn step_hop_by_hop<'p>(bytes: &'p [u8], seen: &mut Seen, anomalies: &mut Anomalies) -> Step<'p> {
    let (options, rest) = options_header(bytes)?;
    if std::mem::replace(&mut seen.hop_by_hop, true) {
        anomalies.add(Anomaly::Ipv6DuplicateHopByHop);
    }
    judge_options(options, Anomaly::Ipv6HopByHopUnknown, Anomaly::Ipv6HopByHopOnlyPadding, anomalies);
    Some((*bytes.first()?, rest))
}

fn step_destination<'p>(bytes: &'p [u8], seen: &mut Seen, anomalies: &mut Anomalies) -> Step<'p> {
    let (options, rest) = options_header(bytes)?;
    seen.destination = seen.destination.saturating_add(1);
    if seen.destination > 2 {
        anomalies.add(Anomaly::Ipv6DuplicateDestination);
    }
    judge_options(options, Anomaly::Ipv6DestinationUnknown, Anomaly::Ipv6DestinationOnlyPadding, anomalies);
    Some((*bytes.first()?, rest))
}

fn step_routing<'p>(bytes: &'p [u8], seen: &mut Seen, anomalies: &mut Anomalies) -> Step<'p> {
    let (data, rest) = options_header(bytes)?;
    if std::mem::replace(&mut seen.routing, true) {
        anomalies.add(Anomaly::Ipv6DuplicateRouting);
    }
    if data.first() == Some(&0) {
        anomalies.add(Anomaly::Ipv6RoutingType0);
    }
    Some((*bytes.first()?, rest))
}

fn step_authentication<'p>(bytes: &'p [u8], seen: &mut Seen, anomalies: &mut Anomalies) -> Step<'p> {
    let (&[next, len, reserved_high, reserved_low, ..], _) = bytes.split_first_chunk::<12>()?;
    let (_, rest) = bytes.split_at_checked((usize::from(len) + 2) * 4)?;
    if std::mem::replace(&mut seen.authentication, true) {
        anomalies.add(Anomaly::Ipv6DuplicateAuthentication);
    }
    if reserved_high != 0 || reserved_low != 0 {
        anomalies.add(Anomaly::Ipv6AuthenticationReserved);
    }
    Some((next, rest))
}

fn fragment_header<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<(u8, Fragment, &'p [u8])> {
    let (&[next, reserved, offset_high, offset_low, a, b, c, d], rest) = bytes.split_first_chunk::<8>()?;
    let field = u16::from_be_bytes([offset_high, offset_low]);
    let fragment = Fragment { id: u32::from_be_bytes([a, b, c, d]), offset: field & 0xfff8, more: field & 1 != 0 };
    if reserved != 0 || field & 0b110 != 0 {
        anomalies.add(Anomaly::Ipv6FragmentReserved);
    }
    if fragment.offset == 0 && !fragment.more {
        anomalies.add(Anomaly::Ipv6UselessFragment);
    }
    Some((next, fragment, rest))
}

/// Splits a header in the common format (next header, length in units of 8 bytes less one) into its data and the rest.
pub(super) fn options_header(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = (usize::from(*bytes.get(1)?) + 1) * 8;
    let (header, rest) = bytes.split_at_checked(len)?;
    Some((header.get(2..)?, rest))
}

fn judge_options(options: &[u8], unknown: Anomaly, only_padding: Anomaly, anomalies: &mut Anomalies) {
    const PADN: u8 = 1;
    // Tunnel encapsulation limit, router alert, quick start, CALIPSO, home address, PDM, MPL, ILNP, jumbo, RPL (IANA).
    const KNOWN: [u8; 12] = [0x04, 0x05, 0x07, 0x0f, 0x23, 0x26, 0x63, 0x6d, 0x8b, 0xc2, 0xc9, 0xee];
    let mut padding_only = true;
    for option in Options(options) {
        match option {
            Ok((PADN, [])) => anomalies.add(Anomaly::Ipv6ZeroLengthPadding),
            Ok((PADN, _)) => {}
            Ok((kind, _)) => {
                padding_only = false;
                if !KNOWN.contains(&kind) {
                    anomalies.add(unknown);
                }
            }
            Err(Cut) => {
                padding_only = false;
                anomalies.add(Anomaly::Ipv6OptionLength);
            }
        }
    }
    if padding_only {
        anomalies.add(only_padding);
    }
}

struct Cut;

/// Options as (kind, data), `Pad1` left out. Ends after an option that is cut.
struct Options<'p>(&'p [u8]);

impl<'p> Iterator for Options<'p> {
    type Item = Result<(u8, &'p [u8]), Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((0, rest)) = self.0.split_first() {
            self.0 = rest;
        }
        let (&kind, rest) = self.0.split_first()?;
        self.0 = &[];
        let Some((data, behind)) = rest.split_first().and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)))
        else {
            return Some(Err(Cut));
        };
        self.0 = behind;
        Some(Ok((kind, data)))
    }
}

fn chunk16(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.first_chunk().copied()
}
