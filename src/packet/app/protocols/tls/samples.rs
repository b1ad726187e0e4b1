//! Handshakes for tests, made by hand.

use crate::rules::plan::Toward;

/// `C=US, O=Example, Inc., CN=www.example.com`, with three alternative names.
const CERTIFICATE: &str = "308201f53082019ba003020102020500c0ffee01300a06082a8648ce3d040302303f310b30090603550406130255533116301406035504\
     0a0c0d4578616d706c652c20496e632e3118301606035504030c0f7777772e6578616d706c652e636f6d301e170d323631313231313331\
     3932335a170d3336313131383133313932335a303f310b300906035504061302555331163014060355040a0c0d4578616d706c652c2049\
     6e632e3118301606035504030c0f7777772e6578616d706c652e636f6d3059301306072a8648ce3d020106082a8648ce3d030107034200\
     04e563bff9bc244efb3a8efb632b6a098cc0de7de7886b503701a8467ff3a288a8d23908a2826517d6eb2dbc3b44d05f798ab9b457109f\
     fde1e4350adbc8a5a7d3a38183308180301d0603551d0e041604144821683881e91041672c809b9b6e4fe28708a9fe301f0603551d2304\
     18301680144821683881e91041672c809b9b6e4fe28708a9fe300f0603551d130101ff040530030101ff302d0603551d1104263024820f\
     7777772e6578616d706c652e636f6d820b6578616d706c652e636f6d8704c0000201300a06082a8648ce3d0403020348003045022100af\
     8b0bb352e8f255983450b604c4cc2f6b92c66e466dcc7ab1690f000c12a48102205401f605ff573a2ba88b6f8c5d1c9e90509ddae8719e\
     d54da8f051f2abcfed64";

pub fn certificate() -> Vec<u8> {
    let digits = CERTIFICATE.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
}

fn behind16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

pub fn behind24(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat()
}

pub fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [number.to_be_bytes().to_vec(), behind16(body)].concat()
}

pub fn record(content: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![content, 3, 3], behind16(bytes)].concat()
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], behind24(body)].concat()
}

/// Version, 32 random bytes, no session.
fn beginning(version: u16) -> Vec<u8> {
    [&version.to_be_bytes()[..], &(0..32).collect::<Vec<u8>>(), &[0]].concat()
}

pub fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &behind16(&[vec![0], behind16(name)].concat()))
}

/// A ClientHello of TLS 1.2 with these extensions.
pub fn client_hello(extensions: &[u8]) -> Vec<u8> {
    let ciphers = [0, 6, 0x1a, 0x1a, 0x13, 0x01, 0xc0, 0x2b];
    message(1, &[&beginning(0x0303)[..], &ciphers, &[1, 0], &behind16(extensions)].concat())
}

pub fn usual_extensions() -> Vec<u8> {
    [
        extension(0x0a0a, &[]),
        server_name(b"www.example.com"),
        extension(10, &[0, 4, 0, 29, 0, 23]),
        extension(11, &[1, 0]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
        extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
    ]
    .concat()
}

pub fn server_hello(version: u16, extensions: &[u8]) -> Vec<u8> {
    message(2, &[&beginning(version)[..], &[0xc0, 0x2b, 0], &behind16(extensions)].concat())
}

pub fn certificates(chain: &[&[u8]]) -> Vec<u8> {
    let list = chain.iter().map(|der| behind24(der)).collect::<Vec<_>>().concat();
    message(11, &behind24(&list))
}

/// A whole handshake of TLS 1.2; the certificate lies over two records.
pub fn handshake() -> Vec<(Toward, Vec<u8>)> {
    let der = certificate();
    let answer = [server_hello(0x0303, &extension(16, b"\x00\x03\x02h2")), certificates(&[&der, &der])].concat();
    let (first, second) = answer.split_at(100);
    vec![
        (Toward::Server, record(22, &client_hello(&usual_extensions()))),
        (Toward::Client, [record(22, first), record(22, second), record(22, &message(14, &[]))].concat()),
        (Toward::Server, [record(22, &message(16, &[7; 40])), record(20, &[1]), record(22, &[0xee; 40])].concat()),
        (Toward::Client, [record(20, &[1]), record(22, &[0xdd; 40])].concat()),
        (Toward::Server, record(23, &[0x16; 300])),
    ]
}
