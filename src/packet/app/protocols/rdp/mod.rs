//! RDP: the messages that open a remote desktop, in TPKT and X.224; each is a transaction. What comes after them is
//! mostly TLS, and not read.

mod messages;
pub mod record;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Message, Messages};
use crate::packet::app::ports::on_port;
use crate::packet::app::reader::Reader;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, TxList};
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;
use record::RdpRecord;

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Rdp,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Rdp::default()),
};

const PORTS: [u16; 1] = [3389];
const TPKT_VERSION: u8 = 3;
const TPKT_BYTES: usize = 4;

/// The length of a TPKT; `Some(None)`: more bytes are needed.
#[allow(clippy::option_option)]
fn tpkt(bytes: &[u8]) -> Option<Option<usize>> {
    let mut reader = Reader::big_endian(bytes);
    let (Some(version), reserved) = (reader.u8(), reader.u8()) else { return Some(None) };
    if version != TPKT_VERSION || reserved.is_some_and(|byte| byte != 0) {
        return None;
    }
    match reader.length16() {
        None => Some(None),
        Some(length) => (length > TPKT_BYTES).then_some(Some(length)),
    }
}

/// On the port of RDP any TPKT, elsewhere one that asks for a desktop by a cookie or for its protocols.
fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    match tpkt(bytes) {
        None => Guess::No,
        Some(None) => Guess::More,
        Some(Some(_)) if on_port(context, AppProto::Rdp, &PORTS) => Guess::Yes,
        Some(Some(length)) => match bytes.get(TPKT_BYTES..length) {
            None => Guess::More,
            Some(body) if messages::asks_for_a_desktop(body) => Guess::Yes,
            Some(_) => Guess::No,
        },
    }
}

impl Message for RdpRecord {
    fn record(&self) -> Option<AppRecord> {
        Some(self.clone().into())
    }

    fn heap_bytes(&self) -> usize {
        let client = self.client.as_ref().map_or(0, |client| client.client_name.len());
        client + self.cookie.as_ref().map_or(0, String::len) + self.channels.iter().map(String::len).sum::<usize>() + 256
    }
}

#[derive(Debug, Default)]
struct Rdp {
    messages: Messages<RdpRecord>,
    /// What follows is encrypted, or a desktop's contents.
    begun: bool,
}

impl Parser for Rdp {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            let length = match tpkt(rest) {
                _ if self.begun => return Step::all(bytes),
                Some(Some(length)) => length,
                Some(None) => return Step::Taken { consumed, wanted: TPKT_BYTES },
                None => {
                    self.begun = true;
                    continue;
                }
            };
            let Some(body) = rest.get(TPKT_BYTES..length) else { return Step::Taken { consumed, wanted: length } };
            consumed += length;
            if let Some(mut record) = messages::read(body, toward) {
                record.tx_id = self.messages.opened();
                self.begun |= record.event_type == "connect_response";
                self.messages.say(toward, record, Vec::new(), context.limits.transaction_count_max(AppProto::Rdp));
            }
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.messages
    }

    fn heap_bytes(&self) -> usize {
        self.messages.heap_bytes()
    }
}
