//! DNP3's link layer: frames with a checksum behind the header and behind each 16 bytes.

use crate::packet::app::reader::Reader;

pub const START: [u8; 2] = [0x05, 0x64];
/// With its checksum.
pub const HEADER_BYTES: usize = 10;
/// The length counts control and addresses.
const LENGTH_MIN: usize = 5;
const BLOCK_BYTES: usize = 16;
const CRC_BYTES: usize = 2;

#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub control: u8,
    pub dst: u16,
    pub src: u16,
    /// Of data, without checksums.
    pub data_bytes: usize,
    /// Its checksum is right.
    pub sound: bool,
}

impl Link {
    /// The header; `Err` names what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Option<Link>, &'static str> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let mut reader = Reader::little_endian(header);
        let mut fields = || {
            let (start, length): ([u8; 2], u8) = (reader.array()?, reader.u8()?);
            let (control, dst, src, sum) = (reader.u8()?, reader.u16()?, reader.u16()?, reader.u16()?);
            Some((start, usize::from(length), control, dst, src, sum))
        };
        let Some((start, length, control, dst, src, sum)) = fields() else { return Ok(None) };
        if start != START {
            return Err("dnp3.malformed");
        }
        let Some(data_bytes) = length.checked_sub(LENGTH_MIN) else { return Err("dnp3.len_too_small") };
        let sound = header.get(..HEADER_BYTES - CRC_BYTES).is_some_and(|summed| checksum(summed) == sum);
        Ok(Some(Link { control, dst, src, data_bytes, sound }))
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.data_bytes + self.data_bytes.div_ceil(BLOCK_BYTES) * CRC_BYTES
    }

    /// Adds the data behind the header to `data`, checksums left out; whether these are right.
    pub fn unblock(&self, body: &[u8], data: &mut Vec<u8>) -> bool {
        let mut reader = Reader::little_endian(body);
        let mut left = self.data_bytes;
        let mut sound = true;
        while left > 0 {
            let count = left.min(BLOCK_BYTES);
            let Some((block, sum)) = reader.take(count).and_then(|block| Some((block, reader.u16()?))) else {
                return false;
            };
            sound &= checksum(block) == sum;
            data.extend_from_slice(block);
            left -= count;
        }
        sound
    }
}

/// CRC-16/DNP.
pub fn checksum(bytes: &[u8]) -> u16 {
    const POLYNOMIAL_REVERSED: u16 = 0xa6bc;
    let sum = bytes.iter().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL_REVERSED } else { sum >> 1 }
        })
    });
    !sum
}
