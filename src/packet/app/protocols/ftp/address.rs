//! Addresses in FTP's words: PORT and 227 (RFC 959), EPRT and 229 (RFC 2428).

use std::net::{IpAddr, Ipv4Addr};

/// Where a data connection goes. No address: that of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// `h1,h2,h3,h4,p1,p2`.
pub(super) fn port(text: &[u8]) -> Option<Place> {
    let mut numbers = [0_u8; 6];
    let mut parts = text.split(|byte| *byte == b',');
    for number in &mut numbers {
        *number = decimal(parts.next()?.trim_ascii())?;
    }
    let [a, b, c, d, high, low] = numbers;
    let address = Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    parts.next().is_none().then_some(Place { address, port: u16::from_be_bytes([high, low]) })
}

/// `|1|192.0.2.1|5000|`, with any delimiter.
pub(super) fn extended_port(text: &[u8]) -> Option<Place> {
    let (delimiter, rest) = text.split_first()?;
    let mut parts = rest.split(|byte| byte == delimiter);
    let (_family, address, port) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Place { address: Some(std::str::from_utf8(address).ok()?.parse().ok()?), port: decimal(port)? })
}

/// The numbers of a 227 reply, which stand in parentheses, mostly. Its address is not believed: clients do not, either.
pub(super) fn passive(line: &[u8]) -> Option<Place> {
    let text = line.get(4..)?;
    let start = text.iter().position(u8::is_ascii_digit)?;
    let numbers = text.get(start..)?;
    let end = numbers.iter().position(|byte| !byte.is_ascii_digit() && *byte != b',').unwrap_or(numbers.len());
    let place = port(numbers.get(..end)?)?;
    Some(Place { address: None, ..place })
}

/// `229 text (|||5000|)`.
pub(super) fn extended_passive(line: &[u8]) -> Option<Place> {
    let open = memchr::memchr(b'(', line)?;
    let [delimiter, rest @ ..] = line.get(open + 1..)? else { return None };
    let port = rest.split(|byte| byte == delimiter).nth(2)?;
    Some(Place { address: None, port: decimal(port)? })
}

fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}
