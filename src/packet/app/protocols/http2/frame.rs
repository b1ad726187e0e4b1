//! Frames, and the numbers in them by name (RFC 9113, 6 and 7).

use crate::packet::app::reader::Reader;

pub const HEADER_BYTES: usize = 9;
/// What a client says first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame is no longer unless both ends have agreed on it.
pub const FRAME_BYTES_DEFAULT: usize = 16_384;

pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

pub mod flag {
    pub const ACK: u8 = 0x01;
    pub const END_STREAM: u8 = 0x01;
    pub const END_HEADERS: u8 = 0x04;
    pub const PADDED: u8 = 0x08;
    pub const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes that follow the head.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub reserved: bool,
    /// 0: it is about the whole connection.
    pub stream: u32,
}

impl FrameHead {
    /// `None`: not all of its nine bytes are there.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<FrameHead> {
        let mut reader = Reader::big_endian(bytes);
        let length = usize::try_from(reader.u24()?).ok()?;
        let (kind, flags, stream) = (reader.u8()?, reader.u8()?, reader.u32()?);
        Some(FrameHead { length, kind, flags, reserved: stream >> 31 != 0, stream: stream & 0x7fff_ffff })
    }

    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A stream's dependency and weight.
pub fn priority(reader: &mut Reader<'_>) -> Option<u8> {
    reader.skip(4)?;
    reader.u8()
}

/// The payload of a padded frame without its padding. Padding that is longer than the frame is none.
#[must_use]
pub fn unpadded<'p>(head: &FrameHead, payload: &'p [u8]) -> &'p [u8] {
    if !head.has(flag::PADDED) {
        return payload;
    }
    let Some((padding, rest)) = payload.split_first() else { return payload };
    match rest.len().checked_sub(usize::from(*padding)) {
        Some(end) => rest.get(..end).unwrap_or_default(),
        None => payload,
    }
}
