//! SMB 1, 2 and 3 over TCP: behind NetBIOS (port 139) or alone (445), in the same frames.
//!
//! ```text
//!  NBSS frame: type, 24 bits of length │ "\xffSMB" (1), "\xfeSMB" (2, 3) or "\xfdSMB" (encrypted) │ command(s)
//! ```
//!
//! A frame is read when it is whole, but for those that carry file data: of these the beginning is read, and the data
//! goes into the file as it comes. Encrypted frames are passed over. No maintained crate reads SMB for inspection, so
//! this is a plain checked reader; the calls in named pipes are read by the parser of DCERPC.

mod flow;
mod names;
pub mod ntlmssp;
pub mod record;
mod smb1;
mod smb2;
#[cfg(test)]
mod tests;
mod transaction;
mod transfer;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{ParseContext, Parser, Step, TxList};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use flow::{Place, SmbFlow};
use smb2::Announced;

pub static SMB: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Smb,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Smb::default()),
};

/// NetBIOS header: type and length.
const FRAME_HEADER_BYTES: usize = 4;
/// Frame type that carries SMB.
const SESSION_MESSAGE: u8 = 0;
/// Frames of this length and less are read whole; a longer one that carries no file data is read by its beginning.
const FRAME_BYTES_MAX: usize = 60 << 10;
/// So much of a frame is enough to know where its file data begins.
const BEGINNING_BYTES: usize = 256;

fn is_smb(magic: &[u8]) -> bool {
    matches!(magic.first_chunk::<4>(), Some([0xfd..=0xff, b'S', b'M', b'B']))
}

/// Frame type and length of what follows.
fn frame_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, high, middle, low] = *bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    Some((kind, usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX)))
}

fn recognise(_: Toward, bytes: &[u8], _: &ParseContext<'_>) -> Guess {
    let Some((kind, length)) = frame_header(bytes) else { return Guess::More };
    let body = bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
    match kind {
        SESSION_MESSAGE if body.len() < 4 => {
            let begins = body.first().is_none_or(|first| *first >= 0xfd);
            if begins { Guess::More } else { Guess::No }
        }
        SESSION_MESSAGE if is_smb(body) => Guess::Yes,
        // A NetBIOS request or its answer stands before the first SMB.
        0x81..=0x85 if length < BEGINNING_BYTES => match body.get(length..) {
            Some(next) if next.len() < FRAME_HEADER_BYTES + 4 => Guess::More,
            Some(next) if is_smb(next.get(FRAME_HEADER_BYTES..).unwrap_or_default()) => Guess::Yes,
            Some(_) => Guess::No,
            None => Guess::More,
        },
        _ => Guess::No,
    }
}

/// Where one direction stands.
#[derive(Debug, Default)]
enum Position {
    /// Before a frame.
    #[default]
    Frame,
    /// In file data: this many bytes of it, then this many others to the end of the frame.
    File { place: Place, remaining: usize, after: usize },
    /// In bytes of a frame that nobody reads.
    Skip(usize),
    /// Bytes are missing, and with them where the next frame begins.
    Lost,
}

#[derive(Debug, Default)]
struct Smb {
    flow: SmbFlow,
    to_server: Position,
    to_client: Position,
}

impl Smb {
    fn position(&mut self, toward: Toward) -> &mut Position {
        match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        }
    }

    /// Takes what can be taken from the beginning of `bytes`: how many, or how many in all must be there first.
    fn advance(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Result<usize, Step> {
        match std::mem::take(self.position(toward)) {
            Position::Frame => self.frame(toward, bytes, context),
            Position::File { place, remaining, after } => {
                let (data, _) = bytes.split_at_checked(remaining).unwrap_or((bytes, &[]));
                let place = self.flow.more_file_data(place, data, context);
                *self.position(toward) = match remaining - data.len() {
                    0 => Position::Skip(after),
                    remaining => Position::File { place, remaining, after },
                };
                Ok(data.len())
            }
            Position::Skip(remaining) => {
                let skipped = remaining.min(bytes.len());
                if remaining > skipped {
                    *self.position(toward) = Position::Skip(remaining - skipped);
                }
                Ok(skipped)
            }
            Position::Lost => {
                if let Some(at) = next_frame(bytes) {
                    return Ok(at);
                }
                *self.position(toward) = Position::Lost;
                // A frame's beginning may be cut in two.
                let kept = bytes.len().min(FRAME_HEADER_BYTES + 3);
                match bytes.len() - kept {
                    0 => Err(Step::Taken { consumed: 0, wanted: bytes.len() + 1 }),
                    taken => Ok(taken),
                }
            }
        }
    }

    fn frame(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Result<usize, Step> {
        let wait = |wanted: usize| Err(Step::Taken { consumed: 0, wanted });
        let Some((kind, length)) = frame_header(bytes) else { return wait(FRAME_HEADER_BYTES) };
        let body = bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        if kind != SESSION_MESSAGE {
            if !(0x81..=0x85).contains(&kind) {
                return Err(Step::Failed);
            }
            *self.position(toward) = Position::Skip(length);
            return Ok(FRAME_HEADER_BYTES);
        }
        if let Some(whole) = body.get(..length) {
            self.record(toward, whole, context);
            return Ok(FRAME_HEADER_BYTES + length);
        }
        if body.len() < length.min(BEGINNING_BYTES) {
            return wait(FRAME_HEADER_BYTES + length.min(BEGINNING_BYTES));
        }
        let file = match body.first() {
            Some(0xff) => smb1::carries_file_data(body),
            Some(0xfe) => smb2::carries_file_data(body),
            _ => false,
        };
        if !file && length <= FRAME_BYTES_MAX && is_smb(body) {
            return wait(FRAME_HEADER_BYTES + length);
        }
        let announced = self.record(toward, body, context);
        let rest = length - body.len();
        *self.position(toward) = match announced {
            Some(Announced { place, bytes, start }) => {
                let remaining = start.saturating_add(bytes).saturating_sub(body.len()).min(rest);
                Position::File { place, remaining, after: rest - remaining }
            }
            None => Position::Skip(rest),
        };
        Ok(FRAME_HEADER_BYTES + body.len())
    }

    fn record(&mut self, toward: Toward, record: &[u8], context: &ParseContext<'_>) -> Option<Announced> {
        match record.first_chunk::<4>() {
            Some([0xff, b'S', b'M', b'B']) => smb1::record(&mut self.flow, toward, record, context),
            Some([0xfe, b'S', b'M', b'B']) => smb2::record(&mut self.flow, toward, record, context),
            _ => None,
        }
    }
}

/// Where a frame begins that holds SMB.
fn next_frame(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(bytes, b"SMB").find_map(|at| {
        let start = at.checked_sub(FRAME_HEADER_BYTES + 1)?;
        let frame = bytes.get(start..)?;
        (frame.first() == Some(&SESSION_MESSAGE) && is_smb(frame.get(FRAME_HEADER_BYTES..)?)).then_some(start)
    })
}

impl Parser for Smb {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let ends = rest.is_empty()
                && !matches!(self.position(toward), Position::Skip(0) | Position::File { remaining: 0, .. });
            if ends {
                return Step::Taken { consumed, wanted: 0 };
            }
            if !rest.is_empty() && self.flow.transactions.is_crowded(toward, context.limits.transaction_count_max(AppProto::Smb)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            match self.advance(toward, rest, context) {
                Ok(taken) => consumed += taken,
                Err(Step::Taken { wanted, .. }) => return Step::Taken { consumed, wanted },
                Err(step) => return step,
            }
        }
    }

    fn gap(&mut self, toward: Toward, missing: u64, _context: &ParseContext<'_>) -> Step {
        let position = self.position(toward);
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        *position = match std::mem::take(position) {
            Position::Skip(remaining) if missing <= remaining => Position::Skip(remaining - missing),
            // The file goes on behind the hole, which shows when it is closed.
            Position::File { place, remaining, after } if missing <= remaining => {
                let offset = place.offset.saturating_add(u64::try_from(missing).unwrap_or(u64::MAX));
                Position::File { place: Place { offset, ..place }, remaining: remaining - missing, after }
            }
            _ => Position::Lost,
        };
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.flow.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.flow.heap_bytes()
    }
}
