use proptest::prelude::*;

use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppProto, AppTest};
use crate::rules::industrial::{ModbusAsk, ModbusCategory, ModbusRange, ModbusTable, ModbusTest};
use crate::rules::plan::Toward;

const WRITE: &[u8] = b"\x00\x01\x00\x00\x00\x0b\x11\x10\x00\x01\x00\x02\x04\x00\x0a\x01\x02";

fn turns() -> Vec<Chunk> {
    use Toward::{Client, Server};
    vec![
        (Server, WRITE.to_vec()),
        (Client, b"\x00\x01\x00\x00\x00\x06\x11\x10\x00\x01\x00\x02".to_vec()),
        (Server, b"\x00\x02\x00\x00\x00\x06\x11\x03\x00\x00\x00\x02\x00\x03\x00\x00\x00\x06\x11\x08\x00\x04\x00\x00".to_vec()),
        (Client, b"\x00\x02\x00\x00\x00\x07\x11\x03\x04\x00\x01\x00\x02\x00\x03\x00\x00\x00\x03\x11\x88\x01".to_vec()),
    ]
}

#[test]
fn rules_see_unit_function_and_what_is_written_where() {
    use ModbusRange::{Above, Below, Between, Exactly};
    let mut talk = Conversation::with(502);
    talk.stream(Toward::Server, WRITE);
    assert_eq!(talk.app.protocol(), Some(AppProto::Modbus));
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    let ask = |ask| ModbusTest { unit: None, ask };
    let writes = |table, address, value| ask(ModbusAsk::Access { write: true, table, address, value });
    let cases = [
        (ModbusTest { unit: Some(Exactly(17)), ask: ModbusAsk::Nothing }, true),
        (ModbusTest { unit: Some(Above(17)), ask: ModbusAsk::Nothing }, false),
        (ask(ModbusAsk::Function { code: 16, subfunction: None }), true),
        (ask(ModbusAsk::Function { code: 16, subfunction: Some(1) }), false),
        (ask(ModbusAsk::Category(ModbusCategory(ModbusCategory::ASSIGNED))), true),
        (ask(ModbusAsk::Category(ModbusCategory(ModbusCategory::USER))), false),
        (ask(ModbusAsk::Access { write: false, table: None, address: None, value: None }), false),
        (writes(None, None, None), true),
        (writes(Some(ModbusTable::Holding), Some(Exactly(2)), None), true),
        (writes(Some(ModbusTable::Coils), None, None), false),
        (writes(None, Some(Exactly(3)), None), false),
        (writes(None, Some(Exactly(2)), Some(Exactly(258))), true),
        (writes(None, Some(Exactly(1)), Some(Below(10))), false),
        (writes(None, Some(Between(0, 2)), None), true),
    ];
    for (test, expected) in cases {
        assert_eq!(tx.data.accepts(&AppTest::Modbus(test.clone()), Toward::Server), expected, "{test:?}");
        assert!(!tx.data.accepts(&AppTest::Modbus(test.clone()), Toward::Client), "matched twice: {test:?}");
    }
}

#[test]
fn oddities_have_names() {
    let cases: [(&[u8], &[&str]); 6] = [
        (b"\0\x01\0\0\0\x06\x01\x03\0\0\0\0", &["modbus.invalid_value"]),
        (b"\0\x01\0\0\0\x04\x01\x03\0\0", &["modbus.invalid_length"]),
        (b"\0\x01\0\0\0\x02\x01\0", &["modbus.invalid_function_code"]),
        (b"\0\x01\0\0\0\x02\x01\x41\0\x01\0\0\x01\x00", &["modbus.invalid_length"]),
        (b"\0\x01\0\0\0\x02\x01\x41\0\x01\0\x07\0\x02\x01\x41", &["modbus.invalid_protocol_id"]),
        (b"\0\x01\0\0\0\x06\x01\x05\0\x01\x12\x34", &["modbus.invalid_value"]),
    ];
    for (bytes, events) in cases {
        let mut talk = Conversation::with(502);
        talk.stream(Toward::Server, bytes);
        assert_eq!(talk.events(), events, "{bytes:x?}");
    }
    let mut talk = Conversation::with(502);
    talk.stream(Toward::Client, b"\0\x01\0\0\0\x03\x01\x81\x09");
    assert_eq!(talk.events(), ["modbus.invalid_exception_code", "modbus.unsolicited_response"]);
    let mut talk = Conversation::with(502);
    talk.stream(Toward::Server, WRITE).stream(Toward::Client, b"\x00\x01\x00\x00\x00\x06\x11\x10\x00\x01\x00\x03");
    assert_eq!(talk.events(), ["modbus.value_mismatch"]);
}

proptest! {
    #[test]
    fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 1..20)) {
        prop_assert_eq!(cut_up(502, &turns(), &cuts), whole(502, &turns()));
    }
}
