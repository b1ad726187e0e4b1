//! A cursor over bytes from the network: each read is checked, and none panics.

/// What is left to read, and in which byte order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b> {
    rest: &'b [u8],
    little: bool,
}

impl<'b> Reader<'b> {
    #[must_use]
    pub fn big_endian(bytes: &'b [u8]) -> Reader<'b> {
        Reader { rest: bytes, little: false }
    }

    #[must_use]
    pub fn little_endian(bytes: &'b [u8]) -> Reader<'b> {
        Reader { rest: bytes, little: true }
    }

    /// Little-endian if `little`.
    #[must_use]
    pub fn ordered(bytes: &'b [u8], little: bool) -> Reader<'b> {
        Reader { rest: bytes, little }
    }

    #[must_use]
    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }

    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        let bytes = self.array()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    /// 24 bits.
    pub fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.array()?;
        Some(if self.little { u32::from_le_bytes([a, b, c, 0]) } else { u32::from_be_bytes([0, a, b, c]) })
    }

    pub fn u32(&mut self) -> Option<u32> {
        let bytes = self.array()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    pub fn u64(&mut self) -> Option<u64> {
        let bytes = self.array()?;
        Some(if self.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    /// A number of 16 bits that is a length or an offset.
    pub fn length16(&mut self) -> Option<usize> {
        self.u16().map(usize::from)
    }

    /// A number of 32 bits that is a length or an offset.
    pub fn length32(&mut self) -> Option<usize> {
        self.u32().and_then(|length| usize::try_from(length).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_the_order_asked_for_and_never_beyond_the_end() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!(Reader::big_endian(&bytes).u16(), Some(0x0102));
        assert_eq!(Reader::little_endian(&bytes).u32(), Some(0x0403_0201));
        assert_eq!(Reader::big_endian(&bytes).u24(), Some(0x0001_0203));
        assert_eq!(Reader::little_endian(&bytes).u24(), Some(0x0003_0201));
        let mut reader = Reader::big_endian(&bytes);
        assert_eq!(reader.u64(), None);
        assert_eq!((reader.skip(4), reader.u16(), reader.u8(), reader.u8()), (Some(()), None, Some(5), None));
        assert!(reader.is_empty());
    }
}
