//! Keywords about MQTT: kinds, flags and codes of messages.

use super::number::push_number;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field, MqttFlag};
use crate::rules::error::{Code, Mistake};

pub(super) static KEYWORDS: &[Keyword] = &[
    option("mqtt.type", "mqtt", "[!]name", "The kind of a message, such as CONNECT.", |draft, arg| {
        push_number(draft, arg, Field::MqttType, TYPES, 15)
    }),
    option("mqtt.qos", "mqtt", "[op]number", "The quality of service: 0, 1 or 2.", |draft, arg| {
        push_number(draft, arg, Field::MqttQos, &[], 3)
    }),
    option("mqtt.reason_code", "mqtt", "[op]number", "The reason or return code of an answer.", |draft, arg| {
        push_number(draft, arg, Field::MqttReasonCode, &[], 255)
    })
    .aliased(&["mqtt.connack.return_code"]),
    option("mqtt.protocol_version", "mqtt", "[op]number", "The version: 3, 4 or 5.", |draft, arg| {
        push_number(draft, arg, Field::MqttProtocolVersion, &[], 255)
    }),
    option("mqtt.connack.session_present", "mqtt", "yes|no", "Whether a session was present.", session_present),
    option("mqtt.flags", "mqtt", "[!]flag, ...", "Flags of a message: dup, retain.", |draft, arg| {
        flags(draft, arg, false, &[("dup", MqttFlag::DUP), ("retain", MqttFlag::RETAIN)])
    }),
    option("mqtt.connect.flags", "mqtt", "[!]flag, ...", "Flags of a CONNECT message.", |draft, arg| {
        flags(draft, arg, true, CONNECT_FLAGS)
    }),
];

const TYPES: &[(&str, u16)] = &[
    ("CONNECT", 1),
    ("CONNACK", 2),
    ("PUBLISH", 3),
    ("PUBACK", 4),
    ("PUBREC", 5),
    ("PUBREL", 6),
    ("PUBCOMP", 7),
    ("SUBSCRIBE", 8),
    ("SUBACK", 9),
    ("UNSUBSCRIBE", 10),
    ("UNSUBACK", 11),
    ("PINGREQ", 12),
    ("PINGRESP", 13),
    ("DISCONNECT", 14),
    ("AUTH", 15),
    ("UNASSIGNED", 0),
];

const CONNECT_FLAGS: &[(&str, u8)] = &[
    ("username", MqttFlag::USERNAME),
    ("password", MqttFlag::PASSWORD),
    ("will_retain", MqttFlag::WILL_RETAIN),
    ("will", MqttFlag::WILL),
    ("clean_session", MqttFlag::CLEAN_SESSION),
];

fn session_present(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let present = match arg.text() {
        "yes" | "true" | "1" => 1,
        "no" | "false" | "0" => 0,
        _ => return Err(arg.wrong("this is yes or no")),
    };
    let test = crate::rules::plan::NumberTest::Equal(present);
    draft.app.push((AppTest::Number { field: Field::MqttSessionPresent, test }, arg.option()));
    Ok(())
}

fn flags(
    draft: &mut Draft<'_>,
    arg: &Arg<'_>,
    of_connect: bool,
    names: &[(&'static str, u8)],
) -> Result<(), Mistake> {
    let (mut set, mut clear) = (0, 0);
    for part in arg.parts() {
        let (bits, word) = match arg.at(part).strip_prefix('!') {
            Some(rest) => (&mut clear, rest.trim_start()),
            None => (&mut set, arg.at(part)),
        };
        let Some((_, bit)) = names.iter().find(|(name, _)| *name == word) else {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            return Err(Mistake::new(Code::Value, part, "no such flag").help(format!("flags are {}", known.join(", "))));
        };
        *bits |= bit;
    }
    draft.app.push((AppTest::MqttFlags { of_connect, set, clear }, arg.option()));
    Ok(())
}
