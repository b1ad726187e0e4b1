//! JA3, JA3S and JA4: what software a hello comes from, by what it offers and in which order.

use std::fmt::Write;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::hello::{Hello, Role, extension};
use super::version;

/// What a fingerprint is made of, and its MD5 as 32 hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    pub string: String,
    pub hash: String,
}

impl Fingerprint {
    fn of(string: String) -> Fingerprint {
        let hash = hex(&Md5::digest(string.as_bytes()));
        Fingerprint { string, hash }
    }
}

/// What a JA4 says of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Tcp,
    Quic,
}

/// JA3 of a ClientHello, JA3S of a ServerHello; none of a hello whose lengths do not add up.
#[must_use]
pub fn ja3(hello: &Hello) -> Option<Fingerprint> {
    if !hello.whole {
        return None;
    }
    let mut string = hello.field.to_string();
    for numbers in [&hello.ciphers, &hello.extensions] {
        append(&mut string, numbers.iter().copied());
    }
    if hello.role == Role::Client {
        append(&mut string, hello.groups.iter().copied());
        append(&mut string, hello.point_formats.iter().map(|format| u16::from(*format)));
    }
    Some(Fingerprint::of(string))
}

/// `,` and the numbers with `-` between, GREASE left out.
fn append(string: &mut String, numbers: impl Iterator<Item = u16>) {
    let mut separator = ',';
    let before = string.len();
    for number in numbers.filter(|number| !is_grease(*number)) {
        // Writing to a string cannot fail.
        let _ = write!(string, "{separator}{number}");
        separator = '-';
    }
    if string.len() == before {
        string.push(',');
    }
}

/// Numbers that clients sprinkle over their lists so that servers stay tolerant (RFC 8701).
#[must_use]
pub fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// JA4 of a ClientHello (FoxIO's definition).
#[must_use]
pub fn ja4(hello: &Hello, carrier: Carrier) -> Option<String> {
    if !hello.whole || hello.role != Role::Client {
        return None;
    }
    let meant = |number: &u16| !is_grease(*number);
    let mut ciphers: Vec<u16> = hello.ciphers.iter().copied().filter(meant).collect();
    let mut extensions: Vec<u16> = hello.extensions.iter().copied().filter(meant).collect();
    let counts = (ciphers.len().min(99), extensions.len().min(99));
    ciphers.sort_unstable();
    extensions.retain(|number| !matches!(*number, extension::SERVER_NAME | extension::ALPN));
    extensions.sort_unstable();
    let mut last = joined(&extensions);
    let algorithms: Vec<u16> = hello.signature_algorithms.iter().copied().filter(meant).collect();
    if !algorithms.is_empty() && !last.is_empty() {
        last.push('_');
        last.push_str(&joined(&algorithms));
    }
    let transport = match carrier {
        Carrier::Tcp => 't',
        Carrier::Quic => 'q',
    };
    let name = if hello.sni.is_some() { 'd' } else { 'i' };
    let (first, end) = ends(hello);
    Some(format!(
        "{transport}{}{name}{:02}{:02}{first}{end}_{}_{}",
        version_digits(hello),
        counts.0,
        counts.1,
        digest12(&joined(&ciphers)),
        digest12(&last),
    ))
}

/// Four hexadecimal digits each, `,` between.
fn joined(numbers: &[u16]) -> String {
    let mut text = String::with_capacity(numbers.len() * 5);
    for number in numbers {
        let separator = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{separator}{number:04x}");
    }
    text
}

/// The first 12 digits of the SHA-256; zeros for nothing.
fn digest12(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    let mut digits = hex(&Sha256::digest(text.as_bytes()));
    digits.truncate(12);
    digits
}

/// First and last character of the first application protocol; of its hexadecimal form where they are none.
fn ends(hello: &Hello) -> (char, char) {
    let Some((first, last)) = hello.alpn.first().and_then(|name| Some((*name.first()?, *name.last()?))) else {
        return ('0', '0');
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(first), char::from(last));
    }
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}

fn version_digits(hello: &Hello) -> &'static str {
    let offered = hello.supported_versions.iter().copied().filter(|number| !is_grease(*number)).max();
    match offered.unwrap_or(hello.field) {
        version::TLS_1_3 => "13",
        version::TLS_1_2 => "12",
        0x0302 => "11",
        0x0301 => "10",
        version::SSL_3 => "s3",
        version::SSL_2 => "s2",
        _ => "00",
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ClientHello of FoxIO's own description of JA4.
    fn described() -> Hello {
        Hello {
            role: Role::Client,
            field: 0x0303,
            ciphers: vec![
                0x4a4a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x0015,
            ],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            supported_versions: vec![0x2a2a, 0x0304, 0x0303],
            sni: Some((*b"example.com").into()),
            alpn: vec![(*b"h2").into(), (*b"http/1.1").into()],
            whole: true,
            ..Hello::default()
        }
    }

    #[test]
    fn ja4_is_as_described() {
        let cases = [
            (described(), Carrier::Tcp, "t13d1516h2_8daaf6152771_e5627efa2ab1"),
            (
                Hello { alpn: Vec::new(), sni: None, ..described() },
                Carrier::Quic,
                "q13i151600_8daaf6152771_e5627efa2ab1",
            ),
            (
                Hello { alpn: vec![(*b"\xab").into()], supported_versions: Vec::new(), ..described() },
                Carrier::Tcp,
                "t12d1516ab_8daaf6152771_e5627efa2ab1",
            ),
            (
                Hello { field: 0x0300, whole: true, ..Hello::default() },
                Carrier::Tcp,
                "ts3i000000_000000000000_000000000000",
            ),
        ];
        for (hello, carrier, expected) in cases {
            assert_eq!(ja4(&hello, carrier).as_deref(), Some(expected));
        }
    }

    #[test]
    fn ja3_leaves_grease_out_and_empty_lists_empty() {
        let hello = Hello {
            field: 769,
            ciphers: vec![0x0a0a, 47, 53, 5],
            extensions: vec![0, 10, 11, 0xfafa],
            groups: vec![23, 24],
            point_formats: vec![0],
            whole: true,
            ..Hello::default()
        };
        let bare = Hello { extensions: vec![], groups: vec![], point_formats: vec![], ..hello.clone() };
        let server = Hello { role: Role::Server, ciphers: vec![47], extensions: vec![65281], ..hello.clone() };
        let cases = [(&hello, "769,47-53-5,0-10-11,23-24,0"), (&bare, "769,47-53-5,,,"), (&server, "769,47,65281")];
        for (hello, expected) in cases {
            assert_eq!(ja3(hello).map(|found| found.string).as_deref(), Some(expected));
        }
        // The example of the authors of JA3.
        let known = Fingerprint::of("769,4-5-10-9-100-98-3-6-19-18-99,,,".to_owned());
        assert_eq!(known.hash, "de350869b8c85de67a350c8d186f11e6");
        assert_eq!(ja3(&Hello { whole: false, ..hello }), None);
    }
}
