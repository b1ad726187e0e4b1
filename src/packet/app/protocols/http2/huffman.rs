//! The Huffman code of HPACK (RFC 7541, appendix B). It is canonical: the lengths of the codes say everything.

/// Bits of the code of each byte. The code for the end of the string, thirty ones, is never sent.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const LENGTH_MAX: usize = 30;

/// The codes of one length are consecutive numbers, and stand for bytes in ascending order.
#[derive(Clone, Copy)]
struct Class {
    first_code: u32,
    count: u32,
    /// Where its bytes begin in [`Codes::bytes`].
    begin: usize,
}

struct Codes {
    classes: [Class; LENGTH_MAX + 1],
    /// In the order of their codes.
    bytes: [u8; 256],
}

static CODES: Codes = codes();

#[allow(clippy::indexing_slicing)] // at compile time
const fn codes() -> Codes {
    let mut codes = Codes { classes: [Class { first_code: 0, count: 0, begin: 0 }; LENGTH_MAX + 1], bytes: [0; 256] };
    let (mut length, mut code, mut begin) = (1, 0, 0);
    while length <= LENGTH_MAX {
        code <<= 1;
        let (mut byte, mut count) = (0, 0);
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                codes.bytes[begin + count] = byte as u8;
                count += 1;
            }
            byte += 1;
        }
        codes.classes[length] = Class { first_code: code, count: count as u32, begin };
        code += count as u32;
        begin += count;
        length += 1;
    }
    codes
}

/// Decodes a string. What is no code, such as the padding at the end, ends it.
pub(super) fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len().saturating_mul(8) / 5);
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| u32::from(byte >> shift & 1)));
    let (mut code, mut length) = (0, 0);
    for bit in bits {
        code = code << 1 | bit;
        length += 1;
        let Some(class) = CODES.classes.get(length) else { break };
        let place = code.wrapping_sub(class.first_code);
        if place < class.count {
            let at = class.begin.saturating_add(usize::try_from(place).unwrap_or(usize::MAX));
            decoded.extend(CODES.bytes.get(at));
            (code, length) = (0, 0);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
        digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_standard() {
        let cases = [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("6402", "302"),
            ("", ""),
        ];
        for (hex, text) in cases {
            assert_eq!(decode(&bytes(hex)), text.as_bytes(), "{hex}");
        }
    }

    /// Codes from the table of the standard: short, long, and the last.
    #[test]
    fn single_codes() {
        let cases = [(b'0', 0x0, 5), (b' ', 0x14, 6), (0, 0x1ff8, 13), (b'\\', 0x7fff0, 19), (22, 0x3fff_fffe, 30)];
        for (byte, code, length) in cases {
            let padded: u64 = (code << (64 - length)) | (u64::MAX >> length);
            assert_eq!(decode(&padded.to_be_bytes()).first(), Some(&byte));
        }
        assert!(decode(&[0xff; 8]).is_empty());
    }
}
