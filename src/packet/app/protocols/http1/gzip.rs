//! The header of gzip (RFC 1952), passed over as it comes: its fields may be long, and nobody needs them.

const FIXED_BYTES: usize = 10;
const MAGIC: &[u8] = b"\x1f\x8b\x08";
const FLAGS_AT: usize = 3;
const CHECKSUM: u8 = 2;
const CHECKSUM_BYTES: usize = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// Behind the compressed bytes of a member: a checksum and a length.
pub(super) const TRAILER_BYTES: usize = 8;

/// How far a header is. Its checksum is not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    /// Bytes of the fixed part that are there.
    fixed: usize,
    /// Fields that are still to come.
    fields: u8,
    /// The first byte of a length.
    low: Option<u8>,
    /// Bytes to pass over.
    skip: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All bytes are taken, and more belong to it.
    More,
    /// The compressed bytes begin behind so many.
    Ends(usize),
    /// This is no header.
    Wrong,
}

impl Header {
    pub(super) fn read(&mut self, bytes: &[u8]) -> Read {
        let mut rest = bytes;
        loop {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = rest.get(skipped..).unwrap_or_default();
            if self.skip == 0 && self.fixed == FIXED_BYTES && self.fields == 0 {
                return Read::Ends(bytes.len() - rest.len());
            }
            let Some((byte, behind)) = rest.split_first() else { return Read::More };
            if self.fixed < FIXED_BYTES {
                if MAGIC.get(self.fixed).is_some_and(|magic| magic != byte) {
                    return Read::Wrong;
                }
                if self.fixed == FLAGS_AT {
                    self.fields = byte & (CHECKSUM | EXTRA | NAME | COMMENT);
                }
                self.fixed += 1;
                rest = behind;
            } else if self.fields & EXTRA != 0 {
                match self.low.take() {
                    None => self.low = Some(*byte),
                    Some(low) => {
                        self.skip = usize::from(u16::from_le_bytes([low, *byte]));
                        self.fields &= !EXTRA;
                    }
                }
                rest = behind;
            } else if self.fields & (NAME | COMMENT) != 0 {
                let Some(end) = memchr::memchr(0, rest) else { return Read::More };
                self.fields &= if self.fields & NAME != 0 { !NAME } else { !COMMENT };
                rest = rest.get(end + 1..).unwrap_or_default();
            } else {
                self.skip = CHECKSUM_BYTES;
                self.fields &= !CHECKSUM;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_behind_its_fields_however_it_comes() {
        let fields = [&[0x1f, 0x8b, 8, 30, 0, 0, 0, 0, 0, 3][..], &[5, 0], b"extra", b"name\0", b"comment\0", b"cc"];
        let header = fields.concat();
        let whole = [&header[..], b"deflated"].concat();
        for size in 1..whole.len() {
            let (mut reader, mut before) = (Header::default(), 0);
            let ends = whole.chunks(size).find_map(|part| match reader.read(part) {
                Read::Ends(at) => Some(before + at),
                read => {
                    assert_eq!(read, Read::More);
                    before += part.len();
                    None
                }
            });
            assert_eq!(ends, Some(header.len()), "pieces of {size}");
        }
        assert_eq!(Header::default().read(b"\x1f\x8b\x07"), Read::Wrong);
        assert_eq!(Header::default().read(&header[..header.len() - 1]), Read::More);
    }
}
