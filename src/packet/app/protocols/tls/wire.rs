//! Numbers and length-prefixed vectors, taken from the front of a slice.

pub fn byte(bytes: &mut &[u8]) -> Option<u8> {
    bytes.split_off_first().copied()
}

/// Big-endian, as all numbers of TLS.
pub fn number16(bytes: &mut &[u8]) -> Option<u16> {
    let two = bytes.split_off(..2)?;
    Some(u16::from_be_bytes(two.try_into().ok()?))
}

pub fn number24(bytes: &mut &[u8]) -> Option<usize> {
    let [high, middle, low] = bytes.split_off(..3)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()
}

/// As many bytes as the byte before them says.
pub fn vector8<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = byte(bytes)?;
    bytes.split_off(..usize::from(length))
}

/// As many bytes as the 16-bit number before them says.
pub fn vector16<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = number16(bytes)?;
    bytes.split_off(..usize::from(length))
}

/// As many bytes as the 24-bit number before them says.
pub fn vector24<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = number24(bytes)?;
    bytes.split_off(..length)
}

/// 16-bit numbers to the end; a last odd byte is left out.
pub fn numbers16(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two))
}
