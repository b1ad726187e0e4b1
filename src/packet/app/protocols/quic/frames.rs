//! Frames of an Initial packet, and the TLS messages that its CRYPTO frames are pieces of.

use std::collections::BTreeMap;

use super::header::number;
use crate::packet::app::reader::Reader;

/// Bytes of the handshake of one side that are put together: Suricata's limit, and more than any hello needs.
const CRYPTO_BYTES_MAX: usize = 65_535;
/// Pieces that wait for others. Browsers cut a hello into a few dozen, in any order, to keep middleboxes tolerant.
const PIECE_COUNT_MAX: usize = 256;

mod kind {
    pub const PADDING: u8 = 0x00;
    pub const PING: u8 = 0x01;
    pub const ACK: u8 = 0x02;
    pub const ACK_ECN: u8 = 0x03;
    pub const CRYPTO: u8 = 0x06;
}

/// What is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoFrame<'p> {
    pub offset: u64,
    pub data: &'p [u8],
}

/// A payload breaks off within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenOff;

/// Calls `each` with the CRYPTO frames of a payload. Frames that we do not know end it: their length is not known.
pub fn read(payload: &[u8], each: &mut dyn FnMut(CryptoFrame<'_>)) -> Result<(), BrokenOff> {
    let mut reader = Reader::big_endian(payload);
    while let Some(kind) = reader.u8() {
        match kind {
            kind::PADDING | kind::PING => {}
            kind::ACK | kind::ACK_ECN => skip_ack(&mut reader, kind == kind::ACK_ECN).ok_or(BrokenOff)?,
            kind::CRYPTO => each(crypto(&mut reader).ok_or(BrokenOff)?),
            _ => break,
        }
    }
    Ok(())
}

fn crypto<'p>(reader: &mut Reader<'p>) -> Option<CryptoFrame<'p>> {
    let offset = number(reader)?;
    let length = usize::try_from(number(reader)?).ok()?;
    Some(CryptoFrame { offset, data: reader.take(length)? })
}

fn skip_ack(reader: &mut Reader<'_>, ecn: bool) -> Option<()> {
    number(reader)?;
    number(reader)?;
    let ranges = number(reader)?;
    number(reader)?;
    for _ in 0..ranges {
        number(reader)?;
        number(reader)?;
    }
    for _ in 0..if ecn { 3 } else { 0 } {
        number(reader)?;
    }
    Some(())
}

/// One side's handshake, put together of frames that may come in any order, in any packet.
#[derive(Debug, Default)]
pub struct CryptoStream {
    /// From the beginning on, without a gap.
    joined: Vec<u8>,
    /// By offset; what came first counts.
    waiting: BTreeMap<u64, Box<[u8]>>,
}

/// More than [`CRYPTO_BYTES_MAX`] bytes, or too many pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl CryptoStream {
    pub fn add(&mut self, frame: CryptoFrame<'_>) -> Result<(), TooLong> {
        let length = u64::try_from(frame.data.len()).unwrap_or(u64::MAX);
        let end = frame.offset.saturating_add(length);
        if usize::try_from(end).map_or(true, |end| end > CRYPTO_BYTES_MAX) {
            return Err(TooLong);
        }
        if self.join(frame) {
            while let Some((offset, data)) = self.waiting.pop_first() {
                if !self.join(CryptoFrame { offset, data: &data }) {
                    self.waiting.insert(offset, data);
                    break;
                }
            }
            return Ok(());
        }
        if self.waiting.len() >= PIECE_COUNT_MAX {
            return Err(TooLong);
        }
        let known = self.waiting.get(&frame.offset).map_or(0, |piece| piece.len());
        if frame.data.len() > known {
            self.waiting.insert(frame.offset, frame.data.into());
        }
        Ok(())
    }

    /// Whether the frame begins within what is there; then its new bytes are added.
    fn join(&mut self, frame: CryptoFrame<'_>) -> bool {
        let known = usize::try_from(frame.offset).ok().and_then(|offset| self.joined.len().checked_sub(offset));
        let Some(known) = known else { return false };
        self.joined.extend_from_slice(frame.data.get(known..).unwrap_or_default());
        true
    }

    /// What is there from the beginning on.
    #[must_use]
    pub fn joined(&self) -> &[u8] {
        &self.joined
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let waiting: usize = self.waiting.values().map(|piece| piece.len() + 32).sum();
        self.joined.capacity() + waiting
    }
}
