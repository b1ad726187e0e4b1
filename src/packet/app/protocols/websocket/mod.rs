//! WebSocket (RFC 6455): what both sides of a connection speak once HTTP has answered 101. Each frame is a transaction;
//! the last of a message in several frames has the payload of all of them.

pub mod record;
#[cfg(test)]
mod tests;

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Message, Messages};
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};
use record::{Opcode, WebsocketRecord};

/// Nothing in its frames tells it from other bytes: HTTP leads to it.
pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Websocket,
    transports: &[Transport::Tcp],
    recognise: |_, _, _| Guess::No,
    parser: || Box::new(Websocket::default()),
};

/// Bytes of one payload that rules may look into; Suricata's `max-payload-size`, here smaller.
const PAYLOAD_BYTES_MAX: usize = 32 << 10;
/// What a compressed message may grow to.
const INFLATED_BYTES_MAX: u64 = 128 << 10;
const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
/// What RFC 7692, 7.2.2 takes off the end of a compressed message.
const DEFLATE_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Head {
    first: u8,
    mask: Option<[u8; 4]>,
    payload_bytes: u64,
    head_bytes: usize,
}

impl Head {
    /// `None`: it is not whole.
    fn read(bytes: &[u8]) -> Option<Head> {
        let mut reader = Reader::big_endian(bytes);
        let (first, second) = (reader.u8()?, reader.u8()?);
        let payload_bytes = match second & !MASKED {
            126 => reader.u16()?.into(),
            127 => reader.u64()?,
            short => short.into(),
        };
        let mask = if second & MASKED == 0 { None } else { Some(reader.array()?) };
        Some(Head { first, mask, payload_bytes, head_bytes: bytes.len() - reader.remaining() })
    }

    fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// Close, ping and pong may stand between the frames of a message.
    fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }

    fn unmasked(&self, payload: &[u8]) -> Vec<u8> {
        let Some(mask) = self.mask else { return payload.to_vec() };
        payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }
}

#[derive(Debug)]
struct Frame {
    head: Head,
    payload: Vec<u8>,
}

impl Message for Frame {
    fn buffer(&self, buffer: Buffer, nth: usize) -> Option<&[u8]> {
        (buffer == Buffer::WEBSOCKET_PAYLOAD && nth == 0).then_some(&self.payload)
    }

    fn number(&self, field: Field, test: NumberTest) -> bool {
        match field {
            Field::WebsocketOpcode => test.accepts(u64::from(self.head.first & 0x0f)),
            Field::WebsocketFlags => test.accepts(u64::from(self.head.first & 0xf0)),
            Field::WebsocketMask => self.head.mask.is_some_and(|mask| test.accepts(u32::from_be_bytes(mask).into())),
            _ => false,
        }
    }

    fn accepts(&self, test: &AppTest) -> bool {
        match test {
            AppTest::WebsocketFlags { set, clear } => self.head.first & set == *set && self.head.first & clear == 0,
            _ => false,
        }
    }

    fn record(&self) -> Option<AppRecord> {
        let mask = self.head.mask.map(u32::from_be_bytes);
        Some(WebsocketRecord { fin: self.head.is_final(), mask, opcode: Opcode(self.head.first & 0x0f) }.into())
    }

    fn heap_bytes(&self) -> usize {
        self.payload.capacity()
    }
}

/// One side's message in several frames, and the end of a long frame.
#[derive(Debug, Default)]
struct Side {
    gathered: Vec<u8>,
    is_gathering: bool,
    compressed: bool,
    skip: u64,
}

impl Side {
    /// The payload that rules see with this frame.
    fn join(&mut self, head: Head, payload: Vec<u8>, events: &mut Vec<&'static str>) -> Vec<u8> {
        if head.is_control() {
            return payload;
        }
        if !self.is_gathering {
            self.compressed = head.first & COMPRESSED != 0;
        }
        if !self.is_gathering && head.is_final() {
            return self.inflated(payload);
        }
        self.is_gathering = true;
        let room = PAYLOAD_BYTES_MAX.saturating_sub(self.gathered.len());
        if payload.len() > room {
            events.push("websocket.reassembly_limit_reached");
        }
        self.gathered.extend_from_slice(payload.get(..room).unwrap_or(&payload));
        if !head.is_final() {
            return payload;
        }
        self.is_gathering = false;
        let whole = std::mem::take(&mut self.gathered);
        self.inflated(whole)
    }

    /// What stays compressed because it is broken is shown as it is.
    fn inflated(&self, payload: Vec<u8>) -> Vec<u8> {
        if !self.compressed {
            return payload;
        }
        let mut inflated = Vec::new();
        let ended = payload.chain(&DEFLATE_TAIL[..]);
        // An error comes after what could be read.
        let _ = DeflateDecoder::new(ended).take(INFLATED_BYTES_MAX).read_to_end(&mut inflated);
        if inflated.is_empty() { payload } else { inflated }
    }
}

#[derive(Debug, Default)]
struct Websocket {
    frames: Messages<Frame>,
    to_server: Side,
    to_client: Side,
}

impl Websocket {
    fn side(&mut self, toward: Toward) -> &mut Side {
        match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        }
    }
}

impl Parser for Websocket {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let skip = &mut self.side(toward).skip;
        let mut consumed = usize::try_from(*skip).unwrap_or(usize::MAX).min(bytes.len());
        *skip -= consumed as u64;
        let count_max = context.limits.transaction_count_max(AppProto::Websocket);
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.frames.is_crowded(toward, count_max) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let Some(head) = Head::read(rest) else { return Step::Taken { consumed, wanted: 0 } };
            let length = usize::try_from(head.payload_bytes).unwrap_or(usize::MAX);
            let kept = head.head_bytes + length.min(PAYLOAD_BYTES_MAX);
            let Some((frame, payload)) = rest.get(..kept).and_then(|frame| Some((frame, frame.get(head.head_bytes..)?)))
            else {
                return Step::Taken { consumed, wanted: kept };
            };
            context.mark(Buffer::FRAME_WEBSOCKET_HEADER, toward, frame.get(..head.head_bytes).unwrap_or_default());
            context.mark(Buffer::FRAME_WEBSOCKET_PDU, toward, frame);
            context.mark(Buffer::FRAME_WEBSOCKET_DATA, toward, payload);
            let mut events = Vec::new();
            if length > PAYLOAD_BYTES_MAX {
                events.push("websocket.skip_end_of_payload");
            }
            let payload = self.side(toward).join(head, head.unmasked(payload), &mut events);
            self.frames.say(toward, Frame { head, payload }, events, count_max);
            consumed += kept;
            let unseen = head.payload_bytes.saturating_sub(PAYLOAD_BYTES_MAX as u64);
            let here = usize::try_from(unseen).unwrap_or(usize::MAX).min(bytes.len() - consumed);
            consumed += here;
            self.side(toward).skip = unseen - here as u64;
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.frames
    }

    fn heap_bytes(&self) -> usize {
        self.frames.heap_bytes() + self.to_server.gathered.capacity() + self.to_client.gathered.capacity()
    }
}
