//! DNP3 (IEEE 1815): frames of the link layer carry segments, these a message; each message is a transaction.

mod link;
mod objects;
pub mod record;
#[cfg(test)]
mod tests;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::message::{Message, Messages};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::industrial::INDICATIONS;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};
use link::{HEADER_BYTES, Link, START};
use record::{Application, ApplicationControl, Dnp3Record, Indications, LinkControl};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Dnp3,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Dnp3::default()),
};

const PORTS: [u16; 1] = [20_000];
/// Bytes of a message over all its segments: the largest that the standard knows.
const MESSAGE_BYTES_MAX: usize = 2048;
const FIRST: u8 = 0x40;
const LAST: u8 = 0x80;
const READ: u8 = 1;
const RESPONSE: u8 = 129;
const UNSOLICITED: u8 = 130;

/// On its port by how a frame starts; elsewhere the header's checksum has to be right, too.
fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let seen = bytes.len().min(START.len());
    if bytes.get(..seen) != START.get(..seen) {
        return Guess::No;
    }
    match Link::read(bytes) {
        Ok(None) => Guess::More,
        Ok(Some(link)) if link.sound || on_port(context, AppProto::Dnp3, &PORTS) => Guess::Yes,
        Ok(Some(_)) | Err(_) => Guess::No,
    }
}

#[derive(Debug)]
struct Dnp3Message {
    /// Without it the message could not be read.
    record: Option<Dnp3Record>,
    data: Vec<u8>,
    /// IIN1 above IIN2.
    indications: u16,
}

impl Message for Dnp3Message {
    fn buffer(&self, buffer: Buffer, nth: usize) -> Option<&[u8]> {
        (buffer == Buffer::DNP3_DATA && nth == 0 && !self.data.is_empty()).then_some(&self.data)
    }

    fn number(&self, field: Field, test: NumberTest) -> bool {
        let function = self.record.as_ref().map(|record| record.application.function_code);
        field == Field::Dnp3Function && function.is_some_and(|function| test.accepts(function.into()))
    }

    fn accepts(&self, test: &AppTest) -> bool {
        match test {
            AppTest::Dnp3Indications(bits) => self.indications & bits != 0,
            AppTest::Dnp3Object { group, variation } => self.record.iter().any(|record| {
                record.application.objects.iter().any(|it| (it.group, it.variation) == (*group, *variation))
            }),
            _ => false,
        }
    }

    fn record(&self) -> Option<AppRecord> {
        self.record.clone().map(AppRecord::from)
    }

    fn heap_bytes(&self) -> usize {
        let objects = self.record.as_ref().map_or(0, |record| record.application.objects.len());
        self.data.len() + objects * size_of::<record::Object>()
    }
}

#[derive(Debug, Default)]
struct Dnp3 {
    messages: Messages<Dnp3Message>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Dnp3 {
    /// One frame with its body.
    fn frame(&mut self, toward: Toward, link: Link, body: &[u8], context: &ParseContext<'_>) {
        let mut events = Vec::new();
        if !link.sound {
            events.push("dnp3.bad_link_crc");
        }
        let mut data = Vec::with_capacity(link.data_bytes);
        if !link.unblock(body, &mut data) {
            events.push("dnp3.bad_transport_crc");
        }
        let Some((transport, segment)) = data.split_first() else { return self.note(toward, events, context) };
        let message = match toward {
            Toward::Server => &mut self.to_server,
            Toward::Client => &mut self.to_client,
        };
        if transport & FIRST != 0 {
            message.clear();
        }
        if message.len() + segment.len() > MESSAGE_BYTES_MAX {
            message.clear();
            events.push("dnp3.malformed");
        } else {
            message.extend_from_slice(segment);
            if transport & LAST != 0 {
                let whole = std::mem::take(message);
                return self.message(toward, link, whole, events, context);
            }
        }
        self.note(toward, events, context);
    }

    /// Oddities that belong to no message.
    fn note(&mut self, toward: Toward, events: Vec<&'static str>, context: &ParseContext<'_>) {
        if !events.is_empty() {
            let nothing = Dnp3Message { record: None, data: Vec::new(), indications: 0 };
            self.messages.say(toward, nothing, events, context.limits.transaction_count_max(AppProto::Dnp3));
        }
    }

    fn message(
        &mut self,
        toward: Toward,
        link: Link,
        data: Vec<u8>,
        mut events: Vec<&'static str>,
        context: &ParseContext<'_>,
    ) {
        let (function, control, indications, points) = match data.as_slice() {
            [control, function @ (RESPONSE | UNSOLICITED), first, second, points @ ..] => {
                (*function, *control, Some(u16::from_be_bytes([*first, *second])), points)
            }
            [control, function, points @ ..] if ![RESPONSE, UNSOLICITED].contains(function) => {
                (*function, *control, None, points)
            }
            _ => {
                events.push("dnp3.malformed");
                return self.note(toward, events, context);
            }
        };
        let (objects, complete) = objects::read(points, function != READ);
        let record = Dnp3Record {
            kind: match function {
                RESPONSE => "response",
                UNSOLICITED => "unsolicited_response",
                _ => "request",
            },
            control: link_control(link.control),
            src: link.src,
            dst: link.dst,
            application: Application {
                control: application_control(control),
                function_code: function,
                objects,
                complete,
            },
            iin: indications.map(|bits| Indications {
                indicators: INDICATIONS.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect(),
            }),
        };
        let message = Dnp3Message { record: Some(record), data, indications: indications.unwrap_or(0) };
        self.messages.say(toward, message, events, context.limits.transaction_count_max(AppProto::Dnp3));
    }
}

fn link_control(bits: u8) -> LinkControl {
    LinkControl {
        dir: bits & 0x80 != 0,
        pri: bits & 0x40 != 0,
        fcb: bits & 0x20 != 0,
        fcv: bits & 0x10 != 0,
        function_code: bits & 0x0f,
    }
}

fn application_control(bits: u8) -> ApplicationControl {
    ApplicationControl {
        fir: bits & 0x80 != 0,
        fin: bits & 0x40 != 0,
        con: bits & 0x20 != 0,
        uns: bits & 0x10 != 0,
        sequence: bits & 0x0f,
    }
}

impl Parser for Dnp3 {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.messages.is_crowded(toward, context.limits.transaction_count_max(AppProto::Dnp3)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let link = match Link::read(rest) {
                Ok(Some(link)) => link,
                Ok(None) => return Step::Taken { consumed, wanted: HEADER_BYTES },
                Err(event) => {
                    self.note(toward, vec![event], context);
                    return Step::Failed;
                }
            };
            let length = link.frame_bytes();
            let Some(body) = rest.get(HEADER_BYTES..length) else { return Step::Taken { consumed, wanted: length } };
            self.frame(toward, link, body, context);
            consumed += length;
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.messages
    }

    fn heap_bytes(&self) -> usize {
        self.messages.heap_bytes() + self.to_server.capacity() + self.to_client.capacity()
    }
}
