//! Encodings that rules look through: base64 and BER.

use der_parser::ber::{BerObject, BerObjectContent, Tag, parse_ber_recursive};

use crate::rules::plan::Asn1;

/// Suricata's `asn1-max-frames`: objects one after the other, and inside each other.
const BER_FRAME_COUNT_MAX: usize = 30;

/// Decodes as Suricata does for rules, which is laxer than libraries are: the first byte that is no base64 ends it,
/// padding may stand anywhere, and what is left of a last group counts.
pub(super) fn decode_base64(text: &[u8], into: &mut Vec<u8>) {
    let (mut group, mut count, mut padding) = ([0u8; 4], 0usize, 0usize);
    for byte in text {
        let value = match (sextet(*byte), byte) {
            (Some(value), _) => value,
            (None, b'=') => {
                padding += 1;
                0
            }
            (None, _) => break,
        };
        if let Some(slot) = group.get_mut(count) {
            *slot = value;
        }
        count += 1;
        if count == group.len() {
            into.extend(joined(group).iter().take(3usize.saturating_sub(padding)));
            (group, count, padding) = ([0; 4], 0, 0);
        }
    }
    if count > 0 {
        into.extend(joined(group).iter().take(1.max(count - 1)));
    }
}

pub(super) fn is_base64(byte: u8) -> bool {
    byte == b'=' || sextet(byte).is_some()
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn joined([a, b, c, d]: [u8; 4]) -> [u8; 3] {
    [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]
}

/// Whether one of the BER objects that stand at the beginning of `bytes`, or an object inside of them, is odd in a way
/// that `asked` names. What cannot be parsed ends the search.
pub(super) fn is_odd_ber(asked: &Asn1, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for _ in 0..BER_FRAME_COUNT_MAX {
        if rest.is_empty() {
            return false;
        }
        let Ok((after, object)) = parse_ber_recursive(rest, BER_FRAME_COUNT_MAX) else { return false };
        if is_odd(asked, &object, BER_FRAME_COUNT_MAX) {
            return true;
        }
        rest = after;
    }
    false
}

fn is_odd(asked: &Asn1, object: &BerObject<'_>, depth_left: usize) -> bool {
    depth_left > 0
        && (is_odd_itself(asked, object) || object.ref_iter().any(|inner| is_odd(asked, inner, depth_left - 1)))
}

fn is_odd_itself(asked: &Asn1, object: &BerObject<'_>) -> bool {
    let header = &object.header;
    let content = object.content.as_slice().unwrap_or_default();
    let length = header.length().definite().unwrap_or(0).max(content.len());
    let oversize = asked.oversize_length.is_some_and(|most| length as u64 > u64::from(most));
    let plain = header.is_universal() && header.is_primitive();
    let bit_string = match &object.content {
        BerObjectContent::BitString(ignored, _) => {
            plain && header.tag() == Tag::BitString && length > 0 && usize::from(*ignored) > length.saturating_mul(8)
        }
        _ => false,
    };
    let ascii_real = plain
        && header.tag() == Tag::RealType
        && length > 256
        && content.first().is_some_and(|first| first & 0xc0 == 0);
    oversize || asked.bitstring_overflow && bit_string || asked.double_overflow && ascii_real
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_as_far_as_it_goes() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"SGVsbG8gV29ybGQ=", b"Hello World"),
            (b"SGVsbG8gV29ybGQ", b"Hello World"),
            (b"SGVs bG8=", b"Hel"),
            (b"Zg==Zg==", b"ff"),
            (b"Zm9vY", b"foo`"),
            (b"Zm9vYmE", b"fooba"),
            (b"====", b""),
            (b"", b""),
            (b"-", b""),
        ];
        for (text, plain) in cases {
            let mut decoded = Vec::new();
            decode_base64(text, &mut decoded);
            assert_eq!(decoded, plain, "{}", text.escape_ascii());
        }
    }

    /// The person record of X.690, annex A.3.
    const PERSON: &[u8] = b"\x60\x81\x85\x61\x10\x1A\x04John\x1A\x01P\x1A\x05Smith\xA0\x0A\x1A\x08Director\
        \x42\x01\x33\xA1\x0A\x43\x0819710917\xA2\x12\x61\x10\x1A\x04Mary\x1A\x01T\x1A\x05Smith\xA3\x42\x31\x1F\x61\x11\
        \x1A\x05Ralph\x1A\x01T\x1A\x05Smith\xA0\x0A\x43\x0819571111\x31\x1F\x61\x11\x1A\x05Susan\x1A\x01B\x1A\x05Jones\
        \xA0\x0A\x43\x0819590717";

    #[test]
    fn oddities_of_ber_are_found() {
        let oversize = |most| Asn1 { oversize_length: Some(most), ..Asn1::default() };
        assert!(is_odd_ber(&oversize(132), PERSON));
        assert!(!is_odd_ber(&oversize(133), PERSON));
        let bits = Asn1 { bitstring_overflow: true, ..Asn1::default() };
        assert!(is_odd_ber(&bits, b"\x03\x01\xff"));
        assert!(!is_odd_ber(&bits, b"\x03\x01\x07"));
        let real = Asn1 { double_overflow: true, ..Asn1::default() };
        let mut number = vec![9, 0x82, 1, 1];
        number.resize(4 + 257, 5);
        assert!(is_odd_ber(&real, &number));
        assert!(!is_odd_ber(&real, b"\x09\x82\x01\x00"));
        number[3] = 0;
        assert!(!is_odd_ber(&real, &number));
        assert!(!is_odd_ber(&bits, b"\x30\x80\x30\x80"), "cut");
    }

    #[test]
    fn objects_inside_of_objects_are_looked_at() {
        let bits = Asn1 { bitstring_overflow: true, ..Asn1::default() };
        assert!(is_odd_ber(&bits, b"\x02\x01\x05\x30\x03\x03\x01\xff"));
    }
}
