//! MQTT, versions 3.1 to 5: a message with those that answer it is a transaction.

pub mod record;
#[cfg(test)]
mod tests;
mod wire;

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::ports::on_port;
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field, MqttFlag};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{MqttMessage, MqttRecord, Text, Topic};
use wire::Head;

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Mqtt,
    transports: &[Transport::Tcp],
    recognise,
    parser: || Box::new(Mqtt::default()),
};

const PORTS: [u16; 1] = [1883];
/// A longer message is told, but not looked into.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Messages of one exchange that are kept.
const EXCHANGE_COUNT_MAX: usize = 8;
const CONNECT: u8 = 1;

/// A CONNECT is known anywhere, any other message on the port of MQTT.
fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let Ok(head) = Head::read(bytes) else { return Guess::No };
    let connects = bytes.first() == Some(&(CONNECT << 4));
    let Some(head) = head else { return if connects { Guess::More } else { Guess::No } };
    if connects {
        let name = bytes.get(head.head_bytes..).unwrap_or_default();
        for known in [&b"\x00\x04MQTT"[..], b"\x00\x06MQIsdp"] {
            let seen = name.len().min(known.len());
            if name.get(..seen) == known.get(..seen) {
                return if seen == known.len() { Guess::Yes } else { Guess::More };
            }
        }
        return Guess::No;
    }
    if on_port(context, AppProto::Mqtt, &PORTS) && (2..=15).contains(&head.kind) { Guess::Yes } else { Guess::No }
}

/// What an answer has to name to belong to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    ForConnack,
    For(u16),
    /// An event says why there is nothing that could be waited for.
    ForNothing,
}

#[derive(Debug)]
struct Exchange {
    messages: Vec<MqttMessage>,
    waits: Option<Waits>,
    events: Vec<&'static str>,
    told: bool,
}

fn text(text: Option<&Text>) -> Option<&[u8]> {
    text.map(|text| text.0.as_slice())
}

impl Exchange {
    fn topics(&self, subscribed: bool) -> impl Iterator<Item = &Text> {
        let topics = self.messages.iter().filter_map(|message| message.topics.as_ref()).flatten();
        topics.filter_map(move |topic| match topic {
            Topic::Subscribed { topic, .. } if subscribed => Some(topic),
            Topic::Unsubscribed(topic) if !subscribed => Some(topic),
            _ => None,
        })
    }

    fn first<'m, T: ?Sized>(&'m self, of: impl Fn(&'m MqttMessage) -> Option<&'m T>) -> Option<&'m T> {
        self.messages.iter().find_map(of)
    }
}

impl Transaction for Exchange {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::MQTT_SUBSCRIBE_TOPIC => return text(self.topics(true).nth(nth)),
            Buffer::MQTT_UNSUBSCRIBE_TOPIC => return text(self.topics(false).nth(nth)),
            _ if nth > 0 => return None,
            _ => {}
        }
        self.first(|message| {
            let will = message.will.as_ref();
            text(match buffer {
                Buffer::MQTT_CONNECT_CLIENTID => message.client_id.as_ref(),
                Buffer::MQTT_CONNECT_USERNAME => message.username.as_ref(),
                Buffer::MQTT_CONNECT_PASSWORD => message.password.as_ref(),
                Buffer::MQTT_CONNECT_PROTOCOL_STRING => message.protocol_string.as_ref(),
                Buffer::MQTT_CONNECT_WILLTOPIC => will.map(|will| &will.topic),
                Buffer::MQTT_CONNECT_WILLMESSAGE => will.map(|will| &will.message),
                Buffer::MQTT_PUBLISH_TOPIC => message.topic.as_ref(),
                Buffer::MQTT_PUBLISH_MESSAGE => message.message.as_ref(),
                _ => None,
            })
        })
    }

    fn accepts(&self, test: &AppTest, _toward: Toward) -> bool {
        self.messages.iter().any(|message| match test {
            AppTest::Number { field, test } => {
                let number = match field {
                    Field::MqttType => Some(message.kind),
                    Field::MqttQos => Some(message.qos),
                    Field::MqttReasonCode => message.reason_code.or(message.return_code),
                    Field::MqttSessionPresent => message.session_present.map(u8::from),
                    Field::MqttProtocolVersion => message.protocol_version,
                    _ => None,
                };
                let several = message.reason_codes.iter().flatten().copied();
                let several = several.filter(|_| *field == Field::MqttReasonCode);
                number.into_iter().chain(several).any(|number| test.accepts(number.into()))
            }
            AppTest::MqttFlags { of_connect, set, clear } => {
                let bits = match of_connect {
                    true => message.flags.as_ref().map(|flags| flags.bits),
                    false => Some(
                        if message.dup { MqttFlag::DUP } else { 0 } | if message.retain { MqttFlag::RETAIN } else { 0 },
                    ),
                };
                bits.is_some_and(|bits| bits & set == *set && bits & clear == 0)
            }
            _ => false,
        })
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.waits.is_none()
    }

    fn record(&self) -> Option<AppRecord> {
        Some(MqttRecord { messages: self.messages.clone() }.into())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if !(self.waits.is_none() || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

#[derive(Debug, Default)]
struct Mqtt {
    exchanges: Transactions<Exchange>,
    version: u8,
    connected: bool,
    /// Bytes of a message that is too long, by side.
    skip_to_server: usize,
    skip_to_client: usize,
}

impl Mqtt {
    fn open(
        &mut self,
        toward: Toward,
        message: MqttMessage,
        waits: Option<Waits>,
        events: Vec<&'static str>,
        context: &ParseContext<'_>,
    ) {
        let exchange = Exchange { messages: vec![message], waits, events, told: false };
        self.exchanges.open(exchange, context.limits.transaction_count_max(AppProto::Mqtt)).touch(toward);
    }

    fn begin(&mut self, toward: Toward, message: MqttMessage, context: &ParseContext<'_>) {
        let mut events = Vec::new();
        let waits = match (message.kind, message.qos, message.message_id) {
            (CONNECT, ..) => {
                self.version = message.protocol_version.unwrap_or(0);
                if self.connected {
                    events.push("mqtt.double_connect");
                }
                Some(Waits::ForConnack)
            }
            (3 | 8 | 10, 0, _) => None,
            (3 | 8 | 10, 1 | 2, Some(id)) => Some(Waits::For(id)),
            (3 | 8 | 10, 1 | 2, None) => {
                events.push("mqtt.missing_msg_id");
                Some(Waits::ForNothing)
            }
            (3 | 8 | 10, ..) => {
                events.push("mqtt.invalid_qos_level");
                Some(Waits::ForNothing)
            }
            (0, ..) => {
                events.push("mqtt.unassigned_msg_type");
                None
            }
            _ => None,
        };
        if !self.connected && ![CONNECT, 0].contains(&message.kind) {
            events.push("mqtt.unintroduced_message");
        }
        self.open(toward, message, waits, events, context);
    }

    fn answer(&mut self, toward: Toward, message: MqttMessage, context: &ParseContext<'_>) {
        let (wanted, ends, missing) = match message.kind {
            2 => (Waits::ForConnack, true, "mqtt.missing_connect"),
            9 => (Waits::For(message.message_id.unwrap_or(0)), true, "mqtt.missing_subscribe"),
            11 => (Waits::For(message.message_id.unwrap_or(0)), true, "mqtt.missing_unsubscribe"),
            kind => (Waits::For(message.message_id.unwrap_or(0)), [4, 7].contains(&kind), "mqtt.missing_publish"),
        };
        let connack = message.kind == 2;
        if let Some(slot) = self.exchanges.iter_mut().find(|slot| slot.data.waits == Some(wanted)) {
            if slot.data.messages.len() < EXCHANGE_COUNT_MAX {
                slot.data.messages.push(message);
            }
            if ends {
                slot.data.waits = None;
            }
            slot.touch(toward);
            self.connected |= connack;
            return;
        }
        let mut events = vec![missing];
        if !self.connected && !connack {
            events.push("mqtt.unintroduced_message");
        }
        self.open(toward, message, None, events, context);
    }

    fn skip(&mut self, toward: Toward) -> &mut usize {
        match toward {
            Toward::Server => &mut self.skip_to_server,
            Toward::Client => &mut self.skip_to_client,
        }
    }

    /// One message at the beginning of `bytes`: how long it is, `None` if it is not whole.
    fn read(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Result<Result<usize, usize>, ()> {
        let Some(head) = Head::read(bytes)? else { return Ok(Err(0)) };
        let length = head.head_bytes + head.body_bytes;
        if head.body_bytes > MESSAGE_BYTES_MAX {
            let mut message = head.message();
            message.truncated = Some(true);
            message.skipped_length = Some(head.body_bytes);
            self.open(toward, message, None, Vec::new(), context);
            let seen = length.min(bytes.len());
            *self.skip(toward) = length - seen;
            return Ok(Ok(seen));
        }
        let Some(body) = bytes.get(head.head_bytes..length) else { return Ok(Err(length)) };
        let message = wire::message(head, body, self.version).ok_or(())?;
        match message.kind {
            2 | 4..=7 | 9 | 11 => self.answer(toward, message, context),
            _ => self.begin(toward, message, context),
        }
        Ok(Ok(length))
    }
}

impl Parser for Mqtt {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        let skip = self.skip(toward);
        let mut consumed = (*skip).min(bytes.len());
        *skip -= consumed;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            if self.exchanges.is_crowded(toward, context.limits.transaction_count_max(AppProto::Mqtt)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            match self.read(toward, rest, context) {
                Ok(Ok(length)) => consumed += length,
                Ok(Err(wanted)) => return Step::Taken { consumed, wanted },
                Err(()) => {
                    let message = MqttMessage::default();
                    self.open(toward, message, None, vec!["mqtt.malformed_traffic"], context);
                    return Step::Failed;
                }
            }
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.exchanges
    }

    fn heap_bytes(&self) -> usize {
        let message = |message: &MqttMessage| {
            let texts = [&message.topic, &message.message, &message.client_id, &message.username, &message.password];
            let topics = message.topics.as_ref().map_or(0, |topics| topics.len() * size_of::<Topic>());
            size_of_val(message) + topics + texts.into_iter().flatten().map(|text| text.0.len()).sum::<usize>()
        };
        let exchange = |exchange: &Exchange| exchange.messages.iter().map(message).sum::<usize>();
        self.exchanges.iter().map(|slot| size_of_val(slot) + exchange(&slot.data)).sum()
    }
}
