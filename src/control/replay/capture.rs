//! Frames out of capture files: pcap and pcapng, of any byte order and time resolution.
//!
//! The file formats are the `pcap-parser` crate's work; here is what it leaves to its users: several interfaces, time,
//! blocks larger than the buffer, and files that end in the middle of a frame. Such a file gives all that was whole
//! before it gives its error.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, InterfaceDescriptionBlock, OptionCode, PcapBlockOwned, PcapError};

use crate::packet::decode::link::LinkType;
use crate::packet::ingress::Timestamp;

/// The reader's buffer to begin with; it grows to what a block needs.
const BUFFER_BYTES: usize = 64 * 1024;

/// The largest block that we read. Real captures stay below 1 MiB; a length beyond is damage, not data.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Interfaces of one section that we remember; frames of later ones have no link type.
pub const INTERFACE_COUNT_MAX: usize = 4096;

/// Why a capture cannot be read, or cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot open the capture {path}: check the path and its permissions")]
    Open {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{path} is neither pcap nor pcapng: its first bytes say nothing that we know")]
    NotACapture { path: PathBuf },
    #[error("{path} is cut off in the middle of frame {frame}; the frames before it were read")]
    Truncated { path: PathBuf, frame: u64 },
    #[error(
        "{path} is damaged at frame {frame}: a block that does not parse or is larger than {BLOCK_BYTES_MAX} bytes; \
         the frames before it were read"
    )]
    Damaged { path: PathBuf, frame: u64 },
    #[error("reading {path} failed at frame {frame}")]
    Read { path: PathBuf, frame: u64 },
}

/// One frame as the capture has it.
#[derive(Clone, Copy, Debug)]
pub struct CapturedFrame<'c> {
    pub timestamp: Timestamp,
    /// `None`: a link type that we cannot read; `link_number` says which.
    pub link: Option<LinkType>,
    /// The number of the link type (LINKTYPE_*).
    pub link_number: u32,
    pub bytes: &'c [u8],
    /// Length on the wire; more than `bytes.len()` when the capture was made with a snap length.
    pub wire_len: u32,
}

/// A capture file being read.
pub struct Capture {
    path: PathBuf,
    reader: Box<dyn PcapReaderIterator + Send>,
    buffer_bytes: usize,
    /// pcap has one, made up from the file's header.
    interfaces: Vec<Interface>,
    frames: u64,
    frame: Vec<u8>,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_number: u32,
    /// Units per second.
    resolution: u64,
    offset_s: i64,
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy)]
struct FrameFacts {
    timestamp: Timestamp,
    link_number: u32,
    wire_len: u32,
}

impl Capture {
    /// Opens a capture file and reads its header.
    ///
    /// # Errors
    /// When the file cannot be opened or is no capture.
    pub fn open(path: &Path) -> Result<Capture, CaptureError> {
        let file = File::open(path).map_err(|cause| CaptureError::Open { path: path.to_owned(), cause })?;
        Capture::of_reader(path, file)
    }

    /// Reads a capture from anything; `path` is its name in errors.
    ///
    /// # Errors
    /// When the first bytes are not those of a capture.
    pub fn of_reader(path: &Path, reader: impl Read + Send + 'static) -> Result<Capture, CaptureError> {
        let reader = pcap_parser::create_reader(BUFFER_BYTES, Whole(reader))
            .map_err(|_| CaptureError::NotACapture { path: path.to_owned() })?;
        Ok(Capture {
            path: path.to_owned(),
            reader,
            buffer_bytes: BUFFER_BYTES,
            interfaces: Vec::new(),
            frames: 0,
            frame: Vec::new(),
            ended: false,
        })
    }

    /// The next frame, or `None` at the end. After an error there is nothing more.
    ///
    /// # Errors
    /// When the file is cut off or damaged; frames read so far stay good.
    pub fn next_frame(&mut self) -> Result<Option<CapturedFrame<'_>>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let facts = self.advance();
        self.ended = !matches!(facts, Ok(Some(_)));
        Ok(facts?.map(|facts| CapturedFrame {
            timestamp: facts.timestamp,
            link: LinkType::from_number(facts.link_number),
            link_number: facts.link_number,
            bytes: &self.frame,
            wire_len: facts.wire_len,
        }))
    }

    /// Reads blocks until one holds a frame; its bytes go to `self.frame`.
    fn advance(&mut self) -> Result<Option<FrameFacts>, CaptureError> {
        loop {
            let (consumed, facts) = match self.reader.next() {
                Ok((consumed, block)) => (consumed, take_block(block, &mut self.interfaces, &mut self.frame)),
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => {
                    self.fill()?;
                    continue;
                }
                // At the end of the file, this also is what a damaged length looks like.
                Err(PcapError::UnexpectedEof) => return Err(self.truncated()),
                Err(PcapError::ReadError) => {
                    return Err(CaptureError::Read { path: self.path.clone(), frame: self.frames.saturating_add(1) });
                }
                Err(_) => return Err(self.damaged()),
            };
            self.reader.consume(consumed);
            if let Some(facts) = facts {
                self.frames = self.frames.saturating_add(1);
                return Ok(Some(facts));
            }
        }
    }

    /// Gets more of the file, in a larger buffer where the block at hand needs one.
    fn fill(&mut self) -> Result<(), CaptureError> {
        let before = self.reader.data().len();
        if self.reader.refill().is_err() {
            return Err(CaptureError::Read { path: self.path.clone(), frame: self.frames.saturating_add(1) });
        }
        if self.reader.data().len() > before {
            return Ok(());
        }
        if self.reader.reader_exhausted() {
            return if before == 0 { Ok(()) } else { Err(self.truncated()) };
        }
        let larger = self.buffer_bytes.saturating_mul(2);
        if larger > BLOCK_BYTES_MAX || !self.reader.grow(larger) {
            return Err(self.damaged());
        }
        self.buffer_bytes = larger;
        Ok(())
    }

    fn truncated(&self) -> CaptureError {
        CaptureError::Truncated { path: self.path.clone(), frame: self.frames.saturating_add(1) }
    }

    fn damaged(&self) -> CaptureError {
        CaptureError::Damaged { path: self.path.clone(), frame: self.frames.saturating_add(1) }
    }
}

/// Notes what a block says of interfaces, and copies the frame that it holds.
fn take_block(block: PcapBlockOwned<'_>, interfaces: &mut Vec<Interface>, frame: &mut Vec<u8>) -> Option<FrameFacts> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            interfaces.push(Interface { link_number: link_number(header.network.0), resolution, offset_s: 0 });
            None
        }
        PcapBlockOwned::Legacy(block) => {
            let interface = interfaces.first()?;
            copy_frame(frame, block.data, block.caplen);
            let units = u64::from(block.ts_sec).saturating_mul(interface.resolution) + u64::from(block.ts_usec);
            Some(interface.frame(units, block.origlen))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            if interfaces.len() < INTERFACE_COUNT_MAX {
                interfaces.push(Interface {
                    link_number: link_number(block.linktype.0),
                    resolution: resolution(block.if_tsresol),
                    offset_s: offset_s(&block),
                });
            }
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            copy_frame(frame, block.data, block.caplen);
            let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
            Some(interface_of(interfaces, block.if_id).frame(units, block.origlen))
        }
        PcapBlockOwned::NG(Block::SimplePacket(block)) => {
            copy_frame(frame, block.data, block.origlen);
            Some(interface_of(interfaces, 0).frame(0, block.origlen))
        }
        PcapBlockOwned::NG(Block::Unknown(block)) if block.block_type == OBSOLETE_PACKET_LE => {
            take_obsolete(block.data, u16::from_le_bytes, u32::from_le_bytes, interfaces, frame)
        }
        PcapBlockOwned::NG(Block::Unknown(block)) if block.block_type == OBSOLETE_PACKET_BE => {
            take_obsolete(block.data, u16::from_be_bytes, u32::from_be_bytes, interfaces, frame)
        }
        PcapBlockOwned::NG(_) => None,
    }
}

/// The packet block that the enhanced one has replaced; old files still have it. Type 2 in the section's byte order.
const OBSOLETE_PACKET_LE: u32 = 2;
const OBSOLETE_PACKET_BE: u32 = 2u32.swap_bytes();

fn take_obsolete(
    data: &[u8],
    u16_of: fn([u8; 2]) -> u16,
    u32_of: fn([u8; 4]) -> u32,
    interfaces: &[Interface],
    frame: &mut Vec<u8>,
) -> Option<FrameFacts> {
    let (&[i0, i1, _, _, h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, c2, c3, o0, o1, o2, o3], packet) =
        data.split_first_chunk::<20>()?;
    copy_frame(frame, packet, u32_of([c0, c1, c2, c3]));
    let units = u64::from(u32_of([h0, h1, h2, h3])) << 32 | u64::from(u32_of([l0, l1, l2, l3]));
    let interface = interface_of(interfaces, u32::from(u16_of([i0, i1])));
    Some(interface.frame(units, u32_of([o0, o1, o2, o3])))
}

fn copy_frame(frame: &mut Vec<u8>, data: &[u8], len: u32) {
    // Blocks are padded to 32 bits: the length says where the frame ends.
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    frame.clear();
    frame.extend_from_slice(data.get(..len).unwrap_or(data));
}

fn interface_of(interfaces: &[Interface], id: u32) -> Interface {
    const UNKNOWN: Interface = Interface { link_number: u32::MAX, resolution: 1_000_000, offset_s: 0 };
    usize::try_from(id).ok().and_then(|id| interfaces.get(id)).copied().unwrap_or(UNKNOWN)
}

/// The upper half of the field says whether frames end in a checksum; padding is cut off by the IP length anyway.
fn link_number(field: i32) -> u32 {
    field.cast_unsigned() & 0xffff
}

/// Units per second of `if_tsresol`: a negative power of 10, or of 2 with the top bit set.
fn resolution(tsresol: u8) -> u64 {
    let exponent = u32::from(tsresol & 0x7f);
    let units = if tsresol & 0x80 == 0 { 10u64.checked_pow(exponent) } else { 2u64.checked_pow(exponent) };
    units.unwrap_or(u64::MAX)
}

/// `if_tsoffset` in seconds. The crate reads this option as little-endian in every section, so it is read here.
fn offset_s(block: &InterfaceDescriptionBlock<'_>) -> i64 {
    const TYPE: u32 = 1;
    let value = block.options.iter().find(|option| option.code == OptionCode::IfTsoffset);
    let Some(bytes) = value.and_then(|option| option.value().first_chunk::<8>()) else { return 0 };
    if block.block_type == TYPE { i64::from_le_bytes(*bytes) } else { i64::from_be_bytes(*bytes) }
}

impl Interface {
    fn frame(&self, units: u64, wire_len: u32) -> FrameFacts {
        let micros = u128::from(units) * 1_000_000 / u128::from(self.resolution.max(1));
        let micros = i128::try_from(micros).unwrap_or(i128::MAX) + i128::from(self.offset_s) * 1_000_000;
        FrameFacts {
            timestamp: Timestamp::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX)),
            link_number: self.link_number,
            wire_len,
        }
    }
}

/// Fills the whole buffer on each read, for the parser judges a file by what its first read brought.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
            match self.0.read(space) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// Writes capture files in any byte order.
    struct Writer {
        big: bool,
        bytes: Vec<u8>,
    }

    impl Writer {
        fn new(big: bool) -> Writer {
            Writer { big, bytes: Vec::new() }
        }

        fn u16(&mut self, value: u16) -> &mut Writer {
            self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
            self
        }

        fn u32(&mut self, value: u32) -> &mut Writer {
            self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
            self
        }

        fn pcap(&mut self, magic: u32, link: u32) -> &mut Writer {
            self.u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65535).u32(link)
        }

        fn record(&mut self, seconds: u32, fraction: u32, wire_len: u32, data: &[u8]) -> &mut Writer {
            self.u32(seconds).u32(fraction).u32(data.len() as u32).u32(wire_len);
            self.bytes.extend_from_slice(data);
            self
        }

        fn block(&mut self, kind: u32, body: impl FnOnce(&mut Writer)) -> &mut Writer {
            let mut inner = Writer::new(self.big);
            body(&mut inner);
            inner.pad();
            let len = inner.bytes.len() as u32 + 12;
            self.u32(kind).u32(len);
            self.bytes.extend(inner.bytes);
            self.u32(len)
        }

        fn pad(&mut self) {
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        }

        fn section(&mut self) -> &mut Writer {
            self.block(0x0a0d_0d0a, |w| {
                w.u32(0x1a2b_3c4d).u16(1).u16(0).u32(u32::MAX).u32(u32::MAX);
            })
        }

        /// An interface; `tsresol` and `tsoffset` as options where given.
        fn interface(&mut self, link: u16, tsresol: Option<u8>, tsoffset: Option<i64>) -> &mut Writer {
            self.block(1, |w| {
                w.u16(link).u16(0).u32(0);
                if let Some(tsresol) = tsresol {
                    w.u16(9).u16(1);
                    w.bytes.extend([tsresol, 0, 0, 0]);
                }
                if let Some(offset) = tsoffset {
                    w.u16(14).u16(8);
                    w.bytes.extend(if w.big { offset.to_be_bytes() } else { offset.to_le_bytes() });
                }
                w.u32(0);
            })
        }

        fn packet(&mut self, interface: u32, units: u64, data: &[u8]) -> &mut Writer {
            self.block(6, |w| {
                w.u32(interface).u32((units >> 32) as u32).u32(units as u32).u32(data.len() as u32).u32(9000);
                w.bytes.extend_from_slice(data);
            })
        }
    }

    type Read = Vec<(u64, u32, Vec<u8>)>;

    /// Frames as (micros, link type, bytes), and the error that ended them.
    fn read(bytes: &[u8]) -> (Read, Option<CaptureError>) {
        let mut capture = match Capture::of_reader(Path::new("test"), Cursor::new(bytes.to_vec())) {
            Ok(capture) => capture,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let mut frames = Vec::new();
        loop {
            match capture.next_frame() {
                Ok(Some(frame)) => frames.push((frame.timestamp.micros, frame.link_number, frame.bytes.to_vec())),
                Ok(None) => return (frames, None),
                Err(error) => {
                    assert!(matches!(capture.next_frame(), Ok(None)), "nothing comes after an error");
                    return (frames, Some(error));
                }
            }
        }
    }

    fn frames_of(bytes: &[u8]) -> Read {
        let (frames, error) = read(bytes);
        assert!(error.is_none(), "{error:?}");
        frames
    }

    #[test]
    fn pcap_of_any_byte_order_and_resolution() {
        for (name, big, magic, fraction) in [
            ("little, micro", false, 0xa1b2_c3d4, 250_000),
            ("big, micro", true, 0xa1b2_c3d4, 250_000),
            ("little, nano", false, 0xa1b2_3c4d, 250_000_999),
            ("big, nano", true, 0xa1b2_3c4d, 250_000_999),
        ] {
            let mut file = Writer::new(big);
            file.pcap(magic, 1).record(7, fraction, 100, b"one").record(8, 0, 3, b"two");
            let expected = [(7_250_000, 1, b"one".to_vec()), (8_000_000, 1, b"two".to_vec())];
            assert_eq!(frames_of(&file.bytes), expected, "{name}");
        }
    }

    #[test]
    fn the_link_type_shares_its_field_with_the_checksum_length() {
        let mut file = Writer::new(false);
        file.pcap(0xa1b2_c3d4, 0x3000_0001).record(0, 0, 1, b"x");
        let mut capture = Capture::of_reader(Path::new("test"), Cursor::new(file.bytes)).unwrap();
        let frame = capture.next_frame().unwrap().unwrap();
        assert_eq!((frame.link, frame.link_number, frame.wire_len), (Some(LinkType::Ethernet), 1, 1));
    }

    #[test]
    fn pcapng_with_interfaces_sections_and_foreign_blocks() {
        for big in [false, true] {
            let mut file = Writer::new(big);
            file.section().interface(1, None, None).interface(101, Some(9), Some(100)).interface(113, Some(0x8a), None);
            file.block(5, |w| {
                w.u32(0).u32(0).u32(0);
            });
            file.packet(0, 1_500_000, b"micro").packet(1, 2_500_000_000, b"nano!").packet(2, 3 << 10, b"binary");
            file.block(0x0bad, |w| {
                w.u32(1);
            });
            file.packet(9, 1, b"nowhere");
            file.block(3, |w| {
                w.u32(6);
                w.bytes.extend(b"simple");
            });
            file.block(2, |w| {
                w.u16(1).u16(0).u32(0).u32(7).u32(8).u32(8);
                w.bytes.extend(b"obsolete");
            });
            let mut second = Writer::new(!big);
            second.section().interface(228, None, None).packet(0, 9, b"other order");
            file.bytes.extend(second.bytes);
            let expected: Vec<(u64, u32, &[u8])> = vec![
                (1_500_000, 1, b"micro"),
                (102_500_000, 101, b"nano!"),
                (3_000_000, 113, b"binary"),
                (1, u32::MAX, b"nowhere"),
                (0, 1, b"simple"),
                (100_000_000, 101, b"obsolete"),
                (9, 228, b"other order"),
            ];
            let frames = frames_of(&file.bytes);
            let frames: Vec<_> = frames.iter().map(|(at, link, bytes)| (*at, *link, &bytes[..])).collect();
            assert_eq!(frames, expected, "big-endian {big}");
        }
    }

    #[test]
    fn blocks_larger_than_the_buffer_are_read() {
        let large = vec![0x61; BUFFER_BYTES * 5];
        let mut file = Writer::new(false);
        file.pcap(0xa1b2_c3d4, 1).record(0, 0, 1, b"x").record(1, 0, 1, &large).record(2, 0, 1, b"y");
        let frames = frames_of(&file.bytes);
        assert_eq!(frames.iter().map(|frame| frame.2.len()).collect::<Vec<_>>(), [1, large.len(), 1]);

        let mut file = Writer::new(false);
        file.section().interface(1, None, None).packet(0, 0, &large).packet(0, 0, b"y");
        assert_eq!(frames_of(&file.bytes).len(), 2);
    }

    #[test]
    fn every_prefix_of_a_file_gives_its_whole_frames_and_then_an_error() {
        let mut pcap = Writer::new(false);
        pcap.pcap(0xa1b2_c3d4, 1).record(1, 0, 1, b"first").record(2, 0, 1, b"second");
        let mut pcapng = Writer::new(true);
        pcapng.section().interface(1, None, None).packet(0, 1_000_000, b"first").packet(0, 2_000_000, b"second");
        for whole in [pcap.bytes, pcapng.bytes] {
            let frames = frames_of(&whole);
            let mut seen = 0;
            for end in 0..whole.len() {
                let (some, error) = read(&whole[..end]);
                assert_eq!(some, frames[..some.len()], "{end} bytes");
                assert!(some.len() >= seen && some.len() < frames.len(), "{end} bytes");
                // Without an error the file ends between two blocks.
                if let Some(error) = error {
                    assert!(
                        matches!(error, CaptureError::NotACapture { .. } | CaptureError::Truncated { .. }),
                        "{error}"
                    );
                }
                seen = some.len();
            }
        }
    }

    #[test]
    fn damage_is_told_with_the_frame() {
        let mut file = Writer::new(false);
        file.pcap(0xa1b2_c3d4, 1).record(1, 0, 1, b"good").u32(0).u32(0).u32(0xf000_0000).u32(1);
        file.bytes.resize(file.bytes.len() + BLOCK_BYTES_MAX, 0);
        let (frames, error) = read(&file.bytes);
        assert_eq!(frames.len(), 1);
        assert!(matches!(error, Some(CaptureError::Damaged { frame: 2, .. })), "{error:?}");

        let mut file = Writer::new(false);
        file.section().interface(1, None, None).packet(0, 0, b"good").u32(6).u32(8).u32(8);
        file.bytes.resize(file.bytes.len() + 64, 0);
        assert!(matches!(read(&file.bytes).1, Some(CaptureError::Damaged { frame: 2, .. })));

        for not_a_capture in [&b""[..], b"GIF89a", &[0; 64]] {
            assert!(matches!(read(not_a_capture).1, Some(CaptureError::NotACapture { .. })));
        }
        let missing = Capture::open(Path::new("/nonexistent/capture.pcap")).err();
        assert!(matches!(missing, Some(CaptureError::Open { .. })));
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(flips in prop::collection::vec((0usize..400, any::<u8>()), 0..8), big in any::<bool>(), ng in any::<bool>()) {
            let mut file = Writer::new(big);
            if ng {
                file.section().interface(1, Some(6), Some(-5)).packet(0, 1, &[1; 60]).packet(0, 2, &[2; 61]);
                file.block(4, |w| {w.u16(1).u16(5).u32(0).u32(0).u32(0);});
            } else {
                file.pcap(0xa1b2_c3d4, 1).record(1, 0, 60, &[1; 60]).record(2, 0, 60, &[2; 61]);
            }
            for (at, value) in flips {
                let at = at % file.bytes.len();
                file.bytes[at] = value;
            }
            let (frames, _) = read(&file.bytes);
            prop_assert!(frames.len() <= 4);
        }
    }
}
