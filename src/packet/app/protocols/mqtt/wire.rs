//! Bytes of one MQTT message (versions 3.1, 3.1.1 and 5) to what it says.

use super::record::{ConnectFlags, MqttMessage, Properties, Property, Text, Topic, Will};
use crate::packet::app::reader::Reader;
use crate::rules::app::MqttFlag;

/// Topics, codes and properties of one message, each.
const LIST_COUNT_MAX: usize = 128;

/// The fixed header of a message.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub kind: u8,
    flags: u8,
    /// Bytes before the rest, and of the rest.
    pub head_bytes: usize,
    pub body_bytes: usize,
}

impl Head {
    /// `Ok(None)`: more bytes are needed. `Err`: the length is written in more than four bytes.
    pub fn read(bytes: &[u8]) -> Result<Option<Head>, ()> {
        let mut reader = Reader::big_endian(bytes);
        let Some(first) = reader.u8() else { return Ok(None) };
        let Some(body_bytes) = variable(&mut reader)? else { return Ok(None) };
        let head_bytes = bytes.len() - reader.remaining();
        let body_bytes = usize::try_from(body_bytes).map_err(|_| ())?;
        Ok(Some(Head { kind: first >> 4, flags: first & 0x0f, head_bytes, body_bytes }))
    }

    /// A message of which only this is known.
    pub fn message(self) -> MqttMessage {
        MqttMessage {
            kind: self.kind,
            qos: self.flags >> 1 & 3,
            retain: self.flags & MqttFlag::RETAIN != 0,
            dup: self.flags & MqttFlag::DUP != 0,
            ..MqttMessage::default()
        }
    }
}

/// A number of one to four bytes with seven bits each, lowest first.
fn variable(reader: &mut Reader<'_>) -> Result<Option<u32>, ()> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let Some(byte) = reader.u8() else { return Ok(None) };
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    Err(())
}

fn text(reader: &mut Reader<'_>) -> Option<Text> {
    let length = reader.length16()?;
    reader.take(length).map(|bytes| Text(bytes.to_vec()))
}

/// The whole message; `None` if it is not what its head says. `version` is that of the last CONNECT.
pub fn message(head: Head, body: &[u8], version: u8) -> Option<MqttMessage> {
    let mut reader = Reader::big_endian(body);
    let mut message = head.message();
    match head.kind {
        1 => connect(&mut reader, &mut message)?,
        2 => {
            message.session_present = Some(reader.u8()? & 1 != 0);
            message.return_code = Some(reader.u8()?);
            message.properties = properties(&mut reader, version)?;
        }
        3 => {
            message.topic = Some(text(&mut reader)?);
            if message.qos > 0 {
                message.message_id = Some(reader.u16()?);
            }
            message.properties = properties(&mut reader, version)?;
            message.message = Some(Text(reader.rest().to_vec()));
        }
        4..=7 => {
            message.message_id = Some(reader.u16()?);
            reason(&mut reader, &mut message, version)?;
        }
        8 | 10 => {
            message.message_id = Some(reader.u16()?);
            message.properties = properties(&mut reader, version)?;
            message.topics = Some(topics(&mut reader, head.kind == 8)?);
        }
        9 => {
            message.message_id = Some(reader.u16()?);
            message.properties = properties(&mut reader, version)?;
            message.qos_granted = Some(codes(&reader));
        }
        11 => {
            message.message_id = Some(reader.u16()?);
            message.properties = properties(&mut reader, version)?;
            message.reason_codes = (!reader.is_empty()).then(|| codes(&reader));
        }
        14 | 15 => reason(&mut reader, &mut message, version)?,
        _ => {}
    }
    Some(message)
}

fn codes(reader: &Reader<'_>) -> Vec<u8> {
    reader.rest().iter().copied().take(LIST_COUNT_MAX).collect()
}

/// Since version 5 a code and properties may follow; without them all is well.
fn reason(reader: &mut Reader<'_>, message: &mut MqttMessage, version: u8) -> Option<()> {
    if version < 5 || reader.is_empty() {
        return Some(());
    }
    message.reason_code = Some(reader.u8()?);
    if !reader.is_empty() {
        message.properties = properties(reader, version)?;
    }
    Some(())
}

fn connect(reader: &mut Reader<'_>, message: &mut MqttMessage) -> Option<()> {
    message.protocol_string = Some(text(reader)?);
    let version = reader.u8()?;
    message.protocol_version = Some(version);
    let bits = reader.u8()?;
    let has = |flag: u8| bits & flag != 0;
    message.flags = Some(ConnectFlags {
        bits,
        username: has(MqttFlag::USERNAME),
        password: has(MqttFlag::PASSWORD),
        will_retain: has(MqttFlag::WILL_RETAIN),
        will: has(MqttFlag::WILL),
        clean_session: has(MqttFlag::CLEAN_SESSION),
    });
    let _keep_alive = reader.u16()?;
    message.properties = properties(reader, version)?;
    message.client_id = Some(text(reader)?);
    if has(MqttFlag::WILL) {
        let properties = properties(reader, version)?;
        message.will = Some(Will { properties, topic: text(reader)?, message: text(reader)? });
    }
    if has(MqttFlag::USERNAME) {
        message.username = Some(text(reader)?);
    }
    if has(MqttFlag::PASSWORD) {
        message.password = Some(text(reader)?);
    }
    Some(())
}

fn topics(reader: &mut Reader<'_>, subscribed: bool) -> Option<Vec<Topic>> {
    let mut topics = Vec::new();
    while !reader.is_empty() && topics.len() < LIST_COUNT_MAX {
        let topic = text(reader)?;
        topics.push(match subscribed {
            true => Topic::Subscribed { topic, qos: reader.u8()? & 3 },
            false => Topic::Unsubscribed(topic),
        });
    }
    Some(topics)
}

#[derive(Clone, Copy)]
enum Form {
    Byte,
    Short,
    Long,
    Variable,
    /// Text or binary data.
    Text,
    /// A name of its own with its value.
    Pair,
}

const PROPERTIES: &[(u8, &str, Form)] = &[
    (1, "payload_format_indicator", Form::Byte),
    (2, "message_expiry_interval", Form::Long),
    (3, "content_type", Form::Text),
    (8, "response_topic", Form::Text),
    (9, "correlation_data", Form::Text),
    (11, "subscription_identifier", Form::Variable),
    (17, "session_expiry_interval", Form::Long),
    (18, "assigned_client_identifier", Form::Text),
    (19, "server_keep_alive", Form::Short),
    (21, "authentication_method", Form::Text),
    (22, "authentication_data", Form::Text),
    (23, "request_problem_information", Form::Byte),
    (24, "will_delay_interval", Form::Long),
    (25, "request_response_information", Form::Byte),
    (26, "response_information", Form::Text),
    (28, "server_reference", Form::Text),
    (31, "reason_string", Form::Text),
    (33, "receive_maximum", Form::Short),
    (34, "topic_alias_maximum", Form::Short),
    (35, "topic_alias", Form::Short),
    (36, "maximum_qos", Form::Byte),
    (37, "retain_available", Form::Byte),
    (38, "", Form::Pair),
    (39, "maximum_packet_size", Form::Long),
    (40, "wildcard_subscription_available", Form::Byte),
    (41, "subscription_identifiers_available", Form::Byte),
    (42, "shared_subscription_available", Form::Byte),
];

/// Outer `None`: they are broken. Inner: there are none.
#[allow(clippy::option_option)]
fn properties(reader: &mut Reader<'_>, version: u8) -> Option<Option<Properties>> {
    if version < 5 {
        return Some(None);
    }
    let length = variable(reader).ok()??;
    let mut rest = Reader::big_endian(reader.take(usize::try_from(length).ok()?)?);
    let mut found: Vec<(String, Property)> = Vec::new();
    while !rest.is_empty() && found.len() < LIST_COUNT_MAX {
        let (name, value) = property(&mut rest)?;
        if found.iter().all(|(known, _)| *known != name) {
            found.push((name, value));
        }
    }
    Some((!found.is_empty()).then_some(Properties(found)))
}

fn property(reader: &mut Reader<'_>) -> Option<(String, Property)> {
    let code = reader.u8()?;
    let (_, name, form) = PROPERTIES.iter().find(|(known, _, _)| *known == code)?;
    let value = match form {
        Form::Byte => Property::Number(reader.u8()?.into()),
        Form::Short => Property::Number(reader.u16()?.into()),
        Form::Long => Property::Number(reader.u32()?),
        Form::Variable => Property::Number(variable(reader).ok()??),
        Form::Text => Property::Text(text(reader)?),
        Form::Pair => {
            let name = String::from_utf8_lossy(&text(reader)?.0).into_owned();
            return Some((name, Property::Text(text(reader)?)));
        }
    };
    Some(((*name).to_owned(), value))
}
