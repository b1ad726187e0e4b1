//! Timestamps, addresses and protocol names in Suricata's spelling.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use jiff::tz::{Offset, TimeZone};
use serde::{Serialize, Serializer};

use crate::packet::ingress::Timestamp;

/// Writes times in one zone, and remembers the last second: most events share it with their predecessor.
pub struct Clock {
    zone: TimeZone,
    second: u64,
    /// `2026-11-20T18:11:19`.
    iso: String,
    /// `+0000`.
    offset: String,
    /// `11/20/2026-18:11:19`.
    slashed: String,
}

impl Clock {
    /// Times as the host's `/etc/localtime` or `TZ` has them, as Suricata writes them.
    pub fn local() -> Clock {
        Clock::in_zone(TimeZone::system())
    }

    pub fn in_zone(zone: TimeZone) -> Clock {
        let mut clock = Clock { zone, second: 0, iso: String::new(), offset: String::new(), slashed: String::new() };
        clock.turn_to(0);
        clock
    }

    /// `2026-11-20T18:11:19.123456+0000`.
    pub fn iso(&mut self, at: Timestamp) -> String {
        self.seek(at);
        format!("{}.{:06}{}", self.iso, at.micros % 1_000_000, self.offset)
    }

    /// `11/20/2026-18:11:19.123456`, as `fast.log` has it.
    pub fn slashed(&mut self, at: Timestamp) -> String {
        self.seek(at);
        format!("{}.{:06}", self.slashed, at.micros % 1_000_000)
    }

    fn seek(&mut self, at: Timestamp) {
        if at.seconds() != self.second {
            self.turn_to(at.seconds());
        }
    }

    fn turn_to(&mut self, second: u64) {
        self.second = second;
        let instant = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
        let zoned = instant.unwrap_or_default().to_zoned(self.zone.clone());
        let (date, time) = (zoned.date(), zoned.time());
        let clock = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
        self.iso = format!("{:04}-{:02}-{:02}T{clock}", date.year(), date.month(), date.day());
        self.slashed = format!("{:02}/{:02}/{:04}-{clock}", date.month(), date.day(), date.year());
        self.offset = offset_text(zoned.offset());
    }
}

fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let minutes = seconds.unsigned_abs() / 60;
    format!("{}{:02}{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

/// Bytes of the network as text: UTF-8 as it is, anything else byte for byte, with `\\x` for what is no ASCII.
pub fn bytes_text(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for byte in bytes {
        match byte.is_ascii() {
            true => text.push(char::from(*byte)),
            false => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

/// Lower-case hexadecimal, two digits a byte.
pub fn hex_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
    }
    text
}

/// An address as Suricata writes it: IPv6 in full, eight groups of four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Digits { bytes: [0; Digits::LENGTH_MAX], length: 0 };
        match self.0 {
            IpAddr::V4(address) => {
                for (i, part) in address.octets().into_iter().enumerate() {
                    if i > 0 {
                        digits.push(b'.');
                    }
                    digits.number(part);
                }
            }
            IpAddr::V6(address) => {
                for (i, group) in address.segments().into_iter().enumerate() {
                    if i > 0 {
                        digits.push(b':');
                    }
                    group.to_be_bytes().into_iter().for_each(|byte| digits.hex(byte));
                }
            }
        }
        out.write_str(digits.text())
    }
}

/// A short text of ASCII that is put together on the stack: each event has half a dozen addresses, and one formatted write for
/// each part of one took a quarter of the writer's time.
struct Digits {
    bytes: [u8; Digits::LENGTH_MAX],
    length: usize,
}

impl Digits {
    /// Eight groups of four digits and seven colons.
    const LENGTH_MAX: usize = 39;

    fn push(&mut self, byte: u8) {
        if let Some(next) = self.bytes.get_mut(self.length) {
            *next = byte;
            self.length += 1;
        }
    }

    fn number(&mut self, number: u8) {
        if number >= 100 {
            self.push(b'0' + number / 100);
        }
        if number >= 10 {
            self.push(b'0' + number / 10 % 10);
        }
        self.push(b'0' + number % 10);
    }

    fn hex(&mut self, byte: u8) {
        for digit in [byte >> 4, byte & 0xf] {
            self.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
    }

    fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An IP protocol number as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;

    /// Whether EVE shows ports for it.
    pub fn has_ports(self) -> bool {
        matches!(self.0, Protocol::TCP | Protocol::UDP | Protocol::SCTP)
    }

    pub fn is_icmp(self) -> bool {
        matches!(self.0, Protocol::ICMP | Protocol::ICMPV6)
    }

    fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => write!(out, "{:03}", self.0),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Those of IANA's names that are met in practice; others are written as three digits, as Suricata does for unnamed
/// ones.
const NAMES: [(u8, &str); 24] = [
    (0, "HOPOPT"),
    (1, "ICMP"),
    (2, "IGMP"),
    (4, "IP-in-IP"),
    (6, "TCP"),
    (8, "EGP"),
    (17, "UDP"),
    (33, "DCCP"),
    (41, "IPv6"),
    (43, "IPv6-Route"),
    (44, "IPv6-Frag"),
    (46, "RSVP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (58, "IPv6-ICMP"),
    (59, "IPv6-NoNxt"),
    (60, "IPv6-Opts"),
    (88, "EIGRP"),
    (89, "OSPF"),
    (103, "PIM"),
    (112, "VRRP"),
    (132, "SCTP"),
    (136, "UDPLite"),
];

/// Bytes from the network as text: as they are where they are UTF-8; otherwise what does not print stands as `\x41`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bytes(pub String);

impl Bytes {
    pub fn of(bytes: &[u8]) -> Bytes {
        Bytes(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().fold(String::with_capacity(bytes.len()), |mut text, byte| {
                if matches!(byte, b' '..=b'~') {
                    text.push(char::from(*byte));
                } else {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "\\x{byte:02x}");
                }
                text
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_the_zone_and_survive_the_cache() {
        let mut utc = Clock::in_zone(TimeZone::UTC);
        let at = Timestamp::from_micros(1_795_198_279_123_456);
        assert_eq!(utc.iso(at), "2026-11-20T18:11:19.123456+0000");
        assert_eq!(utc.iso(Timestamp::from_micros(at.micros + 1)), "2026-11-20T18:11:19.123457+0000");
        assert_eq!(utc.slashed(Timestamp::from_micros(at.micros + 1_000_000)), "11/20/2026-18:11:20.123456");

        let mut newfoundland = Clock::in_zone(TimeZone::posix("NST3:30").unwrap());
        assert_eq!(newfoundland.iso(at), "2026-11-20T14:41:19.123456-0330");
    }

    #[test]
    fn a_time_beyond_all_calendars_does_not_panic() {
        assert!(Clock::in_zone(TimeZone::UTC).iso(Timestamp::from_micros(u64::MAX)).ends_with("+0000"));
    }

    #[test]
    fn addresses_and_protocols_are_spelled_as_suricata_does() {
        let cases = [("fe80::1", "fe80:0000:0000:0000:0000:0000:0000:0001"), ("192.0.2.1", "192.0.2.1")];
        for (typed, written) in cases {
            assert_eq!(Address(typed.parse().unwrap()).to_string(), written);
        }
        for (number, written) in [(6, "TCP"), (58, "IPv6-ICMP"), (99, "099"), (255, "255")] {
            assert_eq!(Protocol(number).to_string(), written);
        }
    }
}
