use crate::packet::app::testing::Conversation;
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

const ID: &[u8] = b"abcdefghij0123456789";

#[test]
fn queries_answers_and_errors_are_told() {
    let query = [b"d1:ad2:id20:", ID, b"9:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe"].concat();
    let answer = [
        b"d1:rd2:id20:",
        ID,
        b"5:nodes26:",
        ID,
        b"\x0a\0\0\x01\x1a\xe15:token8:aoeusnth6:valuesl6:\x01\x02\x03\x04\x1a\xe1ee1:t2:aa1:v4:LT011:y1:re",
    ]
    .concat();
    let mut talk = Conversation::with(6881);
    talk.datagram(Toward::Server, &query).datagram(Toward::Client, &answer);
    talk.datagram(Toward::Client, b"d1:eli201e12:Server Errore1:t2:bb1:y1:ee");
    assert_eq!(talk.app.protocol(), Some(AppProto::BittorrentDht));
    let records = talk.records(true);
    assert_eq!(records.len(), 3);
    for (record, part) in records.iter().zip(["get_peers", "10.0.0.1", "Server Error"]) {
        assert!(record.contains(part), "{record}");
    }
    assert_eq!(talk.events(), [""; 0]);
}

#[test]
fn what_is_cut_off_is_malformed() {
    let mut talk = Conversation::with(6881);
    talk.datagram(Toward::Server, b"d1:ad2:id20:abc");
    assert_eq!(talk.events(), ["bittorrent_dht.malformed_packet"]);
}
