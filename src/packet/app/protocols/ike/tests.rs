use crate::packet::app::testing::Conversation;
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

fn message(version: u8, exchange: u8, flags: u8, next: u8, payloads: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xe4; 8];
    bytes.extend([0; 8]);
    bytes.extend([next, version, exchange, flags, 0, 0, 0, 0]);
    bytes.extend(u32::try_from(28 + payloads.len()).unwrap().to_be_bytes());
    bytes.extend(payloads);
    bytes
}

fn payload(next: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend(u16::try_from(data.len() + 4).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

/// One proposal with one transform of 3DES, SHA, a shared key, group 2 and 24 hours.
fn association(next: u8) -> Vec<u8> {
    let transform =
        b"\x01\x01\0\0\x80\x01\0\x05\x80\x02\0\x02\x80\x03\0\x01\x80\x04\0\x02\x80\x0b\0\x01\0\x0c\0\x04\0\x01\x51\x80";
    let proposal = [&b"\x01\x01\0\x01"[..], &payload(0, transform)].concat();
    payload(next, &[&b"\0\0\0\x01\0\0\0\x01"[..], &payload(0, &proposal)].concat())
}

#[test]
fn version_1_shows_what_was_chosen_and_what_was_sent() {
    let mut talk = Conversation::with(500);
    let first = [association(13), payload(0, b"\xaf\xca\xd7\x13")].concat();
    talk.datagram(Toward::Server, &message(0x10, 2, 0, 1, &first));
    talk.datagram(Toward::Client, &message(0x10, 2, 0, 1, &association(0)));
    let keys = [payload(10, b"key"), payload(0, b"nonce")].concat();
    talk.datagram(Toward::Server, &message(0x10, 2, 0, 4, &keys));
    talk.datagram(Toward::Server, &message(0x10, 2, 1, 5, b"secret"));
    assert_eq!(talk.app.protocol(), Some(AppProto::Ike));
    assert!(talk.events().is_empty());
    assert_eq!(talk.buffers(0, Buffer::IKE_INIT_SPI, Toward::Server), ["e4e4e4e4e4e4e4e4"]);
    assert_eq!(talk.buffers(0, Buffer::IKE_VENDOR, Toward::Server), ["afcad713"]);
    assert_eq!(talk.buffers(2, Buffer::IKE_NONCE_PAYLOAD, Toward::Server), ["nonce"]);
    assert_eq!(talk.buffers(2, Buffer::IKE_KEY_EXCHANGE_PAYLOAD, Toward::Server), ["key"]);
    let mut view = talk.app.view().unwrap();
    let chosen = |name, value| AppTest::IkeChosen { name, value };
    let (_, tx) = view.transaction(1, Toward::Client).unwrap();
    assert!(tx.data.accepts(&chosen("alg_hash", 2), Toward::Client));
    assert!(tx.data.accepts(&chosen("sa_life_duration", 86_400), Toward::Client));
    assert!(!tx.data.accepts(&chosen("alg_hash", 1), Toward::Client));
    let (_, tx) = view.transaction(0, Toward::Server).unwrap();
    assert!(!tx.data.accepts(&chosen("alg_hash", 2), Toward::Server), "only offered");
    let (_, tx) = view.transaction(2, Toward::Server).unwrap();
    let length = AppTest::Number { field: Field::IkeNonceLength, test: NumberTest::Equal(5) };
    assert!(tx.data.accepts(&length, Toward::Server));
    let records = talk.records(false);
    assert!(records[1].contains("EncTripleDesCbc") && records[3].contains("encrypted_payloads: true"), "{records:?}");
}

#[test]
fn version_2_judges_what_is_proposed() {
    let strong = b"\0\0\0\x24\x01\x01\0\x03\x03\0\0\x0c\x01\0\0\x14\x80\x0e\x01\0\x03\0\0\x08\x02\0\0\x05\0\0\0\x08\x04\0\0\x13";
    let weak = b"\0\0\0\x28\x01\x01\0\x04\x03\0\0\x08\x01\0\0\x03\x03\0\0\x08\x02\0\0\x02\x03\0\0\x08\x03\0\0\x02\0\0\0\x08\x04\0\0\x02";
    let alone = b"\0\0\0\x10\x01\x02\0\x01\0\0\0\x08\x01\0\0\x0c";
    let cases: [(&[u8], &[&str]); 4] = [
        (strong, &[]),
        (weak, &["ike.weak_crypto_auth", "ike.weak_crypto_dh", "ike.weak_crypto_enc", "ike.weak_crypto_prf"]),
        (alone, &["ike.no_encryption", "ike.weak_crypto_no_auth", "ike.weak_crypto_no_dh"]),
        (b"\0\0\0\x0f", &["ike.malformed_data"]),
    ];
    for (proposals, events) in cases {
        let mut talk = Conversation::with(500);
        talk.datagram(Toward::Client, &message(0x20, 34, 0x20, 33, &payload(0, proposals)));
        assert_eq!(talk.events(), events, "{proposals:x?}");
    }
    let mut talk = Conversation::with(500);
    let notify = payload(0, b"\0\0\0\x0e");
    talk.datagram(Toward::Client, &message(0x20, 34, 0x20, 33, &[payload(41, strong), notify].concat()));
    let records = talk.records(false).concat();
    for part in ["ENCR_AES_GCM_16", "PRF_HMAC_SHA2_256", "Ecp256", "NO_PROPOSAL_CHOSEN", "errors: 1"] {
        assert!(records.contains(part), "{part}: {records}");
    }
}

#[test]
fn other_ports_and_lengths_are_not_ike() {
    let bytes = message(0x20, 34, 8, 33, &[]);
    assert_eq!(Conversation::with(501).datagram(Toward::Server, &bytes).app.protocol(), None);
    let longer = [bytes, vec![0]].concat();
    assert_eq!(Conversation::with(500).datagram(Toward::Server, &longer).app.protocol(), None);
}
