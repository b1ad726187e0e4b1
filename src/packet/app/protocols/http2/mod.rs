//! HTTP/2 in the clear: with its preface, after `Upgrade: h2c`, or behind whoever ended TLS.
//!
//! ```text
//!  bytes --> frames (frame.rs) --> blocks of headers, over frames --> hpack.rs, huffman.rs --> headers.rs --+
//!                             \--> bodies, byte by byte --> http1's codings --------------------------------+-> stream.rs
//! ```
//!
//! A stream is a transaction, and shows the buffers of HTTP/1; frames about the whole connection are transactions of their
//! own, as in Suricata. Only what holds headers waits until it is whole.

mod dns;
mod events;
mod frame;
mod headers;
pub mod hpack;
mod huffman;
pub mod record;
mod stream;

#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::reader::Reader;
use crate::packet::app::{ParseContext, Parser, Slot, Step, Transactions, TxList};
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use frame::{FRAME_BYTES_DEFAULT, FrameHead, HEADER_BYTES, PREFACE, flag, kind, unpadded};
use hpack::{Broken, Item, Table};
use stream::{Stream, keep, may_come_late};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Http2,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::<Http2>::default(),
};

/// Frames other than DATA are read as a whole up to here, which is far more than peers agree on; the rest of a longer one
/// is passed over.
const FRAME_BYTES_MAX: usize = 60 << 10;
/// Bytes of one block of headers, over all its frames.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Transactions for single frames that one call may open; more share the last.
const SINGLE_COUNT_MAX: usize = 32;
/// Bytes of bodies that all streams of a connection may keep for rules.
const BODY_BYTES_MAX: usize = 16 << 20;
/// What of the preface makes it sure: Suricata's pattern.
const PREFACE_BYTES_MIN: usize = 16;
const SETTING_BYTES: usize = 6;

fn recognise(toward: Toward, bytes: &[u8], _context: &ParseContext<'_>) -> Guess {
    if toward == Toward::Server {
        let known = bytes.get(..PREFACE_BYTES_MIN).unwrap_or(bytes);
        return match PREFACE.starts_with(known) {
            true if known.len() == PREFACE_BYTES_MIN => Guess::Yes,
            true => Guess::More,
            false => Guess::No,
        };
    }
    // A server begins with its settings.
    match FrameHead::read(bytes) {
        Some(head) if is_first_of_server(&head) => Guess::Yes,
        None if bytes.first() == Some(&0) && bytes.get(3).is_none_or(|kind| *kind == kind::SETTINGS) => Guess::More,
        _ => Guess::No,
    }
}

fn is_first_of_server(head: &FrameHead) -> bool {
    let FrameHead { length, kind, flags, reserved, stream } = *head;
    let settings = kind == kind::SETTINGS && flags & !flag::ACK == 0 && !reserved && stream == 0;
    settings && length <= FRAME_BYTES_DEFAULT && length.is_multiple_of(SETTING_BYTES)
}

#[derive(Debug, Default)]
struct Http2 {
    streams: Transactions<Stream>,
    client: Side,
    server: Side,
    /// The highest stream that the client has opened, and the server.
    highest: [u32; 2],
    /// Since the call began: transactions of single frames, and the last of them.
    singles: usize,
    last_single: u64,
    /// Bytes of bodies that are kept.
    body_bytes: usize,
    /// Some stream has carried DNS.
    speaks_dns: bool,
}

/// How far one side's bytes are.
#[derive(Debug, Default)]
struct Side {
    greeted: bool,
    table: Table,
    block: Option<Block>,
    data: Option<Data>,
    /// Bytes that belong to a frame and say nothing.
    skip: usize,
}

/// Headers that are being put together.
#[derive(Debug)]
struct Block {
    stream: u32,
    bytes: Vec<u8>,
    /// Too long: what came so far is read, the rest is not.
    given_up: bool,
    ends_stream: bool,
}

/// A DATA frame that is being read.
#[derive(Clone, Copy, Debug)]
struct Data {
    stream: u32,
    left: usize,
    /// Bytes behind the data that say nothing.
    padding: usize,
    ends_stream: bool,
}

/// What a step came to.
enum Progress {
    Taken(usize),
    /// So many bytes have to be there.
    Wanted(usize),
}

impl Http2 {
    fn side(&mut self, toward: Toward) -> &mut Side {
        match toward {
            Toward::Server => &mut self.client,
            Toward::Client => &mut self.server,
        }
    }

    fn step(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Progress {
        if toward == Toward::Server && !self.client.greeted {
            return self.greet(bytes, context);
        }
        let side = self.side(toward);
        if side.skip > 0 {
            let taken = side.skip.min(bytes.len());
            side.skip -= taken;
            return Progress::Taken(taken);
        }
        if let Some(data) = side.data {
            return Progress::Taken(self.take_data(toward, data, bytes, context));
        }
        let Some(head) = FrameHead::read(bytes) else { return Progress::Wanted(HEADER_BYTES) };
        if head.kind == kind::DATA {
            return self.begin_data(toward, &head, bytes, context);
        }
        // A frame that nobody has agreed on is not waited for.
        let handled = if head.length > FRAME_BYTES_MAX { FRAME_BYTES_DEFAULT } else { head.length };
        let end = HEADER_BYTES.saturating_add(handled);
        let Some(payload) = bytes.get(HEADER_BYTES..end) else { return Progress::Wanted(end) };
        let skip = head.length.saturating_sub(handled);
        self.side(toward).skip = skip;
        mark(toward, bytes.get(..HEADER_BYTES).unwrap_or_default(), payload, context);
        self.take_frame(toward, &head, payload, context);
        if skip > 0 {
            self.note_on(toward, head.stream, events::LONG_FRAME_DATA);
        }
        Progress::Taken(end)
    }

    fn greet(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Progress {
        if bytes.len() < PREFACE.len() && PREFACE.starts_with(bytes) {
            return Progress::Wanted(PREFACE.len());
        }
        self.client.greeted = true;
        if bytes.starts_with(PREFACE) {
            return Progress::Taken(PREFACE.len());
        }
        let slot = self.single(0, context);
        slot.data.note(events::INVALID_CLIENT_MAGIC);
        slot.touch(Toward::Server);
        Progress::Taken(0)
    }

    fn begin_data(&mut self, toward: Toward, head: &FrameHead, bytes: &[u8], context: &ParseContext<'_>) -> Progress {
        let padded = head.has(flag::PADDED) && head.length > 0;
        let begin = HEADER_BYTES + usize::from(padded);
        let said = match bytes.get(HEADER_BYTES) {
            Some(padding) if padded => usize::from(*padding),
            None if padded => return Progress::Wanted(begin),
            _ => 0,
        };
        let length = head.length - usize::from(padded);
        // Padding that does not fit is none.
        let padding = if said > length { 0 } else { said };
        let left = length - padding;
        if head.stream == 0 {
            let slot = self.single(0, context);
            slot.data.note(events::DATA_STREAM_ZERO);
            slot.touch(toward);
            self.side(toward).skip = length;
            return Progress::Taken(begin);
        }
        let slot = self.stream(toward, head.stream, kind::DATA, context);
        if padding < said {
            slot.data.note(events::INVALID_FRAME_DATA);
        }
        slot.touch(toward);
        let data = Data { stream: head.stream, left, padding, ends_stream: head.has(flag::END_STREAM) };
        self.go_on(toward, data);
        Progress::Taken(begin)
    }

    /// The next bytes of a body; returns how many they are.
    fn take_data(&mut self, toward: Toward, data: Data, bytes: &[u8], context: &ParseContext<'_>) -> usize {
        let piece = bytes.get(..data.left).unwrap_or(bytes);
        let room = BODY_BYTES_MAX.saturating_sub(self.body_bytes);
        if let Some(slot) = find(&mut self.streams, data.stream) {
            let kept = slot.data.append(toward, piece, room, context);
            slot.touch(toward);
            self.body_bytes = self.body_bytes.saturating_add(kept);
        }
        self.go_on(toward, Data { left: data.left - piece.len(), ..data });
        piece.len()
    }

    /// With more of the same frame, or behind it.
    fn go_on(&mut self, toward: Toward, data: Data) {
        let side = self.side(toward);
        side.data = Some(data).filter(|data| data.left > 0);
        if data.left > 0 {
            return;
        }
        side.skip = data.padding;
        if data.ends_stream
            && let Some(slot) = find(&mut self.streams, data.stream)
        {
            slot.data.end(toward);
            slot.touch(toward);
            self.speaks_dns |= slot.data.speaks_dns();
        }
    }

    /// A frame other than DATA, or as much of it as is looked at.
    fn take_frame(&mut self, toward: Toward, head: &FrameHead, payload: &[u8], context: &ParseContext<'_>) {
        if head.kind != kind::CONTINUATION
            && let Some(stream) = self.side(toward).block.as_ref().map(|block| block.stream)
        {
            self.end_block(toward, context);
            self.note_on(toward, stream, events::INVALID_FRAME_DATA);
        }
        match head.kind {
            kind::HEADERS | kind::PUSH_PROMISE => self.begin_block(toward, head, payload, context),
            kind::CONTINUATION => self.continue_block(toward, head, payload, context),
            kind::SETTINGS if payload.is_empty() => {}
            _ => self.take_numbers(toward, head, payload, context),
        }
    }

    /// Frames that hold nothing but numbers.
    fn take_numbers(&mut self, toward: Toward, head: &FrameHead, payload: &[u8], context: &ParseContext<'_>) {
        let slot = self.stream(toward, head.stream, head.kind, context);
        slot.touch(toward);
        let (stream, mut reader) = (&mut slot.data, Reader::big_endian(payload));
        let frames = &mut stream.half(toward).frames;
        let (fits, room) = match head.kind {
            kind::PRIORITY => match frame::priority(&mut reader).filter(|_| reader.is_empty()) {
                Some(weight) => (true, keep(&mut frames.priorities, weight)),
                None => (false, true),
            },
            kind::RST_STREAM => match reader.u32().filter(|_| reader.is_empty()) {
                Some(code) => {
                    let room = keep(&mut frames.errors, code);
                    stream.close();
                    (true, room)
                }
                None => (false, true),
            },
            kind::WINDOW_UPDATE => match reader.u32().filter(|_| reader.is_empty()) {
                Some(size) => (true, keep(&mut frames.windows, size & 0x7fff_ffff)),
                None => (false, true),
            },
            kind::GOAWAY => match reader.skip(4).and_then(|()| reader.u32()) {
                Some(code) => (true, keep(&mut frames.errors, code)),
                None => (false, true),
            },
            kind::SETTINGS => {
                let mut room = true;
                while let Some(setting) = reader.u16().zip(reader.u32()) {
                    room &= keep(&mut frames.settings, setting);
                }
                (payload.len().is_multiple_of(SETTING_BYTES), room)
            }
            _ => (true, true),
        };
        if !fits {
            stream.note(events::INVALID_FRAME_LENGTH);
        }
        if !room {
            stream.note(events::TOO_MANY_FRAMES);
        }
    }

    fn begin_block(&mut self, toward: Toward, head: &FrameHead, payload: &[u8], context: &ParseContext<'_>) {
        let mut reader = Reader::big_endian(unpadded(head, payload));
        let weight = match head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
            true => frame::priority(&mut reader),
            false => None,
        };
        // A promised request stands on the stream that is to answer it.
        let promised = if head.kind == kind::PUSH_PROMISE { reader.u32().map(|stream| stream & 0x7fff_ffff) } else { None };
        let stream = promised.unwrap_or(head.stream);
        let slot = self.stream(toward, stream, head.kind, context);
        if let Some(weight) = weight {
            keep(&mut slot.data.half(toward).frames.priorities, weight);
        }
        slot.touch(toward);
        let ends_stream = head.kind == kind::HEADERS && head.has(flag::END_STREAM);
        self.side(toward).block = Some(Block { stream, bytes: reader.rest().to_vec(), given_up: false, ends_stream });
        if head.has(flag::END_HEADERS) {
            self.end_block(toward, context);
        }
    }

    fn continue_block(&mut self, toward: Toward, head: &FrameHead, payload: &[u8], context: &ParseContext<'_>) {
        let stream = self.side(toward).block.as_ref().map_or(head.stream, |block| block.stream);
        let slot = self.stream(toward, stream, kind::CONTINUATION, context);
        slot.touch(toward);
        let block = self.side(toward).block.get_or_insert_with(|| Block {
            stream,
            bytes: Vec::new(),
            given_up: false,
            ends_stream: false,
        });
        if block.bytes.len().saturating_add(payload.len()) <= BLOCK_BYTES_MAX && !block.given_up {
            block.bytes.extend_from_slice(payload);
        } else if !std::mem::replace(&mut block.given_up, true) {
            let bytes = std::mem::take(&mut block.bytes);
            self.read_block(toward, stream, &bytes, context);
            self.note_on(toward, stream, events::REASSEMBLY_LIMIT_REACHED);
        }
        if head.has(flag::END_HEADERS) {
            self.end_block(toward, context);
        }
    }

    fn end_block(&mut self, toward: Toward, context: &ParseContext<'_>) {
        let Some(block) = self.side(toward).block.take() else { return };
        if !block.given_up {
            self.read_block(toward, block.stream, &block.bytes, context);
        }
        if block.ends_stream
            && let Some(slot) = find(&mut self.streams, block.stream)
        {
            slot.data.end(toward);
            slot.touch(toward);
            self.speaks_dns |= slot.data.speaks_dns();
        }
    }

    fn read_block(&mut self, toward: Toward, stream: u32, bytes: &[u8], context: &ParseContext<'_>) {
        let mut table = std::mem::take(&mut self.side(toward).table);
        let slot = self.stream(toward, stream, kind::HEADERS, context);
        let mut odd = Vec::new();
        let half = slot.data.half(toward);
        let mut note = |event| {
            if !odd.contains(&event) {
                odd.push(event);
            }
        };
        let read = table.decode(bytes, &mut |item| match item {
            Item::Field(field) => {
                if half.headers.push(field).is_err() {
                    note(events::REASSEMBLY_LIMIT_REACHED);
                }
            }
            Item::SizeUpdate(size) => _ = keep(&mut half.frames.size_updates, size),
            Item::Invalid => note(events::INVALID_HEADER),
        });
        odd.extend(match read {
            Ok(()) => None,
            Err(Broken::Overflow) => Some(events::HEADER_INTEGER_OVERFLOW),
            Err(Broken::CutOff) => Some(events::INVALID_FRAME_DATA),
        });
        odd.into_iter().for_each(|event| slot.data.note(event));
        slot.data.renew(toward);
        slot.touch(toward);
        self.speaks_dns |= slot.data.speaks_dns();
        self.side(toward).table = table;
    }

    /// The transaction that a frame of this kind belongs to; there is one, from now on.
    fn stream(&mut self, toward: Toward, number: u32, kind: u8, context: &ParseContext<'_>) -> &mut Slot<Stream> {
        let is_known = find(&mut self.streams, number).is_some();
        if number == 0 || !is_known && may_come_late(kind) {
            let slot = self.single(number, context);
            slot.data.saw(toward, kind);
            return slot;
        }
        let [even, odd] = &mut self.highest;
        let highest = if number.is_multiple_of(2) { even } else { odd };
        let is_reused = !is_known && number <= *highest;
        *highest = number.max(*highest);
        let is_it = |slot: &Slot<Stream>| slot.data.is_open(number);
        let count_max = context.limits.transaction_count_max(AppProto::Http2);
        let gave_way = !is_known && self.streams.len() >= count_max;
        let slot = self.streams.find_or_open(is_it, || Stream::new(number, context), count_max);
        if is_reused {
            slot.data.note(events::STREAM_ID_REUSE);
        }
        if gave_way {
            slot.data.note(events::TOO_MANY_STREAMS);
        }
        slot.data.saw(toward, kind);
        slot
    }

    /// A transaction for a frame that stands alone. Many of them in one call share the last, so that streams do not have to
    /// give way to them.
    fn single(&mut self, number: u32, context: &ParseContext<'_>) -> &mut Slot<Stream> {
        let (full, last) = (self.singles >= SINGLE_COUNT_MAX, self.last_single);
        self.singles = self.singles.saturating_add(1);
        let is_it = |slot: &Slot<Stream>| full && slot.id == last;
        let begin = || Stream::alone(number, context);
        let slot = self.streams.find_or_open(is_it, begin, context.limits.transaction_count_max(AppProto::Http2));
        self.last_single = slot.id;
        slot
    }

    /// Notes an oddity of the frame that was just taken, on its stream or else on the last.
    fn note_on(&mut self, toward: Toward, number: u32, event: &'static str) {
        let of_stream = self.streams.iter().filter(|slot| slot.data.number == number).last().map(|slot| slot.id);
        let slot = match of_stream {
            Some(id) => self.streams.by_id(id),
            None => self.streams.last_mut(),
        };
        if let Some(slot) = slot {
            slot.data.note(event);
            slot.touch(toward);
        }
    }
}

/// An open stream.
/// A frame other than DATA, as rules may look into it.
fn mark(toward: Toward, head: &[u8], payload: &[u8], context: &ParseContext<'_>) {
    if context.marks.is_some() {
        context.mark(Buffer::FRAME_HTTP2_HDR, toward, head);
        context.mark(Buffer::FRAME_HTTP2_DATA, toward, payload);
        context.mark(Buffer::FRAME_HTTP2_PDU, toward, &[head, payload].concat());
    }
}

fn find(streams: &mut Transactions<Stream>, number: u32) -> Option<&mut Slot<Stream>> {
    streams.iter_mut().find(|slot| slot.data.is_open(number))
}

impl Parser for Http2 {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        self.singles = 0;
        self.body_bytes = self.streams.iter().map(|slot| slot.data.body_bytes()).sum();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.streams.is_crowded(toward, context.limits.transaction_count_max(AppProto::Http2)) {
                return Step::Taken { consumed: bytes.len() - rest.len(), wanted: 0 };
            }
            match self.step(toward, rest, context) {
                Progress::Taken(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Progress::Wanted(wanted) => return Step::Taken { consumed: bytes.len() - rest.len(), wanted },
            }
        }
        Step::all(bytes)
    }

    /// A hole within a body or in what is passed over does no harm; behind any other nobody knows where frames begin.
    fn gap(&mut self, toward: Toward, missing: u64, _context: &ParseContext<'_>) -> Step {
        let Ok(length) = usize::try_from(missing) else { return Step::Failed };
        let side = self.side(toward);
        if let Some(data) = side.data.filter(|data| data.left >= length) {
            if let Some(slot) = find(&mut self.streams, data.stream) {
                slot.data.skip(toward, missing);
                slot.touch(toward);
            }
            self.go_on(toward, Data { left: data.left - length, ..data });
        } else if side.data.is_none() && side.skip >= length {
            side.skip -= length;
        } else {
            return Step::Failed;
        }
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.streams
    }

    fn refined(&self) -> Option<AppProto> {
        self.speaks_dns.then_some(AppProto::Doh2)
    }

    fn is_between_messages(&self) -> bool {
        let idle = |side: &Side| side.block.is_none() && side.data.is_none() && side.skip == 0;
        self.streams.is_empty() && idle(&self.client) && idle(&self.server)
    }

    fn heap_bytes(&self) -> usize {
        let of_side = |side: &Side| side.table.heap_bytes() + side.block.as_ref().map_or(0, |block| block.bytes.capacity());
        let streams: usize = self.streams.iter().map(|slot| size_of_val(slot) + slot.data.heap_bytes()).sum();
        size_of::<Http2>() + of_side(&self.client) + of_side(&self.server) + streams
    }
}
