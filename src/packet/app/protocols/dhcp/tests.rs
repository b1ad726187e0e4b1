use crate::packet::app::testing::Conversation;
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::plan::{NumberTest, Toward};

fn message(opcode: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..8].copy_from_slice(&[opcode, 1, 6, 0, 0, 0, 0x3d, 0x1d]);
    bytes[16..20].copy_from_slice(&[192, 168, 0, 10]);
    bytes[28..34].copy_from_slice(&[0, 0x0b, 0x82, 1, 0xfc, 0x42]);
    bytes.extend([99, 130, 83, 99]);
    bytes.extend(options);
    bytes
}

#[test]
fn an_acknowledgement_shows_what_was_leased() {
    let options = b"\x35\x01\x05\x33\x04\x00\x00\x0e\x10\x3a\x04\x00\x00\x07\x08\x01\x04\xff\xff\xff\x00\x0c\x02pc\
        \x3d\x07\x01\x00\x0b\x82\x01\xfc\x42\x37\x03\x01\x03\x06\xff";
    let mut talk = Conversation::with(67);
    talk.datagram(Toward::Client, &message(2, options));
    let mut view = talk.app.view().unwrap();
    let (_, tx) = view.transaction(0, Toward::Client).unwrap();
    let holds =
        |field, number| tx.data.accepts(&AppTest::Number { field, test: NumberTest::Equal(number) }, Toward::Client);
    assert!(holds(Field::DhcpLeaseTime, 3600) && holds(Field::DhcpRenewalTime, 1800));
    assert!(!holds(Field::DhcpRebindingTime, 0));
    assert!(talk.events().is_empty());
    let record = talk.records(false).concat();
    for part in ["ack", "192.168.0.10", "00:0b:82:01:fc:42", "subnet_mask", "\"pc\""] {
        assert!(record.contains(part), "{part}: {record}");
    }
}

#[test]
fn odd_options_have_names() {
    let cases: [(&[u8], &[&str]); 5] = [
        (b"\xff", &[]),
        (b"", &["dhcp.truncated_options"]),
        (b"\x35\x05\x01", &["dhcp.truncated_options"]),
        (b"\x33\x02\x00\x01\xff", &["dhcp.malformed_options"]),
        (b"\x00\x35\x00\x32\x01\x01\xff", &["dhcp.malformed_options"]),
    ];
    for (options, events) in cases {
        let mut talk = Conversation::with(67);
        talk.datagram(Toward::Server, &message(1, options));
        assert_eq!(talk.app.protocol(), Some(AppProto::Dhcp));
        assert_eq!(talk.events(), events, "{options:?}");
    }
    assert_eq!(Conversation::with(67).datagram(Toward::Server, &[1; 300]).app.protocol(), None);
}
