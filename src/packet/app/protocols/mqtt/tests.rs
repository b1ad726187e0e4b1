use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest, Field, MqttFlag};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

const CONNECT: &[u8] = b"\x10\x2c\x00\x04MQTT\x04\xc6\x00\x3c\x00\x04mqid\x00\x04will\x00\x03bye\x00\x04user\x00\x07pass\xffwd\
    ";
const CONNACK: &[u8] = b"\x20\x02\x01\x00";
const SUBSCRIBE: &[u8] = b"\x82\x0b\x00\x01\x00\x01a\x00\x00\x02b/\x01";
const SUBACK: &[u8] = b"\x90\x04\x00\x01\x00\x01";
const PUBLISH: &[u8] = b"\x3d\x08\x00\x02tp\x00\x07hi";

fn connect() -> Vec<u8> {
    let mut bytes = CONNECT.to_vec();
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    bytes
}

fn turns() -> Vec<Chunk> {
    use Toward::{Client, Server};
    vec![
        (Server, connect()),
        (Client, CONNACK.to_vec()),
        (Server, [SUBSCRIBE, PUBLISH].concat()),
        (Client, [SUBACK, b"\x50\x02\x00\x07"].concat()),
        (Server, b"\x62\x02\x00\x07".to_vec()),
        (Client, b"\x70\x02\x00\x07".to_vec()),
        (Server, b"\xc0\x00\xe0\x00".to_vec()),
    ]
}

#[test]
fn a_connection_shows_what_is_said_and_how_it_is_answered() {
    let mut talk = Conversation::with(1883);
    for (toward, bytes) in turns() {
        talk.stream(toward, &bytes);
    }
    assert_eq!(talk.app.protocol(), Some(AppProto::Mqtt));
    assert!(talk.events().is_empty(), "{:?}", talk.events());
    let connect = |buffer| (0, buffer);
    for ((at, buffer), expected) in [
        (connect(Buffer::MQTT_CONNECT_CLIENTID), &["mqid"][..]),
        (connect(Buffer::MQTT_CONNECT_USERNAME), &["user"]),
        (connect(Buffer::MQTT_CONNECT_PASSWORD), &["pass\\xffwd"]),
        (connect(Buffer::MQTT_CONNECT_WILLTOPIC), &["will"]),
        (connect(Buffer::MQTT_CONNECT_WILLMESSAGE), &["bye"]),
        (connect(Buffer::MQTT_CONNECT_PROTOCOL_STRING), &["MQTT"]),
        ((1, Buffer::MQTT_SUBSCRIBE_TOPIC), &["a", "b/"]),
        ((2, Buffer::MQTT_PUBLISH_TOPIC), &["tp"]),
        ((2, Buffer::MQTT_PUBLISH_MESSAGE), &["hi"]),
    ] {
        assert_eq!(talk.buffers(at, buffer, Toward::Server), expected, "{buffer:?}");
    }
    let mut view = talk.app.view().unwrap();
    assert_eq!(view.count(), 5);
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    let number =
        |field, number| tx.data.accepts(&AppTest::Number { field, test: NumberTest::Equal(number) }, Toward::Server);
    assert!(number(Field::MqttType, 1) && number(Field::MqttType, 2) && !number(Field::MqttType, 3));
    assert!(number(Field::MqttSessionPresent, 1) && number(Field::MqttReasonCode, 0));
    let flags = |set, clear| AppTest::MqttFlags { of_connect: true, set, clear };
    assert!(tx.data.accepts(&flags(MqttFlag::WILL | MqttFlag::USERNAME, MqttFlag::WILL_RETAIN), Toward::Server));
    assert!(!tx.data.accepts(&flags(0, MqttFlag::WILL), Toward::Server));
    let (_, tx) = view.transaction(2, Toward::Server).unwrap();
    let of_all = AppTest::MqttFlags { of_connect: false, set: MqttFlag::DUP | MqttFlag::RETAIN, clear: 0 };
    assert!(tx.data.accepts(&of_all, Toward::Server));
    assert_eq!(talk.records(false).len(), 5);
    assert!(talk.records(true).is_empty(), "each is told once");
}

#[test]
fn oddities_have_names() {
    let cases: [(&[u8], &[&str]); 7] = [
        (CONNACK, &["mqtt.missing_connect"]),
        (SUBACK, &["mqtt.missing_subscribe", "mqtt.unintroduced_message"]),
        (b"\xb0\x02\x00\x01", &["mqtt.missing_unsubscribe", "mqtt.unintroduced_message"]),
        (b"\x40\x02\x00\x01", &["mqtt.missing_publish", "mqtt.unintroduced_message"]),
        (b"\x36\x06\x00\x01t\x00\x01x", &["mqtt.invalid_qos_level", "mqtt.unintroduced_message"]),
        (b"\x82\x06\x00\x01\x00\x09ab", &["mqtt.malformed_traffic"]),
        (b"\xd0\x00\x00\x00", &["mqtt.unintroduced_message", "mqtt.unassigned_msg_type"]),
    ];
    for (bytes, events) in cases {
        let mut talk = Conversation::with(1883);
        talk.stream(Toward::Client, bytes);
        assert_eq!(talk.events(), events, "{bytes:x?}");
    }
}

#[test]
fn a_message_that_is_too_long_is_told_and_skipped() {
    let mut talk = Conversation::with(1883);
    talk.stream(Toward::Server, &connect());
    talk.stream(Toward::Server, b"\x30\xc0\x9a\x0c");
    talk.stream(Toward::Server, &vec![7; 200_000]);
    talk.stream(Toward::Server, b"\xc0\x00");
    let records = talk.records(true);
    assert!(records[1].contains("truncated: Some(true)") && records[1].contains("skipped_length: Some(200000)"));
    assert!(records[2].contains("kind: 12"), "{records:?}");
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..40)) {
        prop_assert_eq!(cut_up(1883, &turns(), &cuts), whole(1883, &turns()));
    }
}
