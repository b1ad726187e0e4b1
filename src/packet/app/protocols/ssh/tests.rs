use crate::packet::app::testing::Conversation;
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use proptest::prelude::*;

const CLIENT: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
const SERVER: &[u8] = b"welcome to this machine\r\nSSH-2.0-dropbear\r\n";

/// A KEXINIT whose lists are `kex`, `key`, `enc1`, ... with `-c` or `-s` behind those of a direction.
fn kexinit() -> Vec<u8> {
    let mut payload = vec![20];
    payload.extend([0x55; 16]);
    for name in ["kex", "key", "enc-c", "enc-s", "mac-c", "mac-s", "zip-c", "zip-s", "", ""] {
        payload.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
        payload.extend(name.bytes());
    }
    payload.extend([0; 5]);
    packet(&payload)
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4;
    let mut bytes = u32::try_from(payload.len() + padding + 1).unwrap().to_be_bytes().to_vec();
    bytes.push(4);
    bytes.extend(payload);
    bytes.extend([0; 4]);
    bytes
}

fn whole(toward: Toward) -> Vec<u8> {
    let banner = if toward == Toward::Server { CLIENT } else { SERVER };
    [banner, &kexinit(), &packet(b"\x1eecdh"), &packet(b"\x15"), b"\xff\xff\xff\xffencrypted"].concat()
}

fn seen(talk: &mut Conversation) -> Vec<Vec<String>> {
    let buffers = [
        (Buffer::SSH_PROTO, Toward::Server),
        (Buffer::SSH_SOFTWARE, Toward::Server),
        (Buffer::SSH_SOFTWARE, Toward::Client),
        (Buffer::SSH_HASSH_STRING, Toward::Server),
        (Buffer::SSH_HASSH_SERVER_STRING, Toward::Client),
    ];
    buffers.into_iter().map(|(buffer, toward)| talk.buffers(0, buffer, toward)).collect()
}

#[test]
fn banners_and_algorithms_of_both_sides_are_seen() {
    let mut talk = Conversation::with(2222);
    talk.stream(Toward::Server, &whole(Toward::Server)).stream(Toward::Client, &whole(Toward::Client));
    assert_eq!(talk.app.protocol(), Some(AppProto::Ssh));
    let strings = ["2.0", "OpenSSH_9.2p1", "dropbear", "kex;enc-c;mac-c;zip-c", "kex;enc-s;mac-s;zip-s"];
    assert_eq!(seen(&mut talk), strings.map(|text| vec![text.to_owned()]));
    // md5 of `kex;enc-c;mac-c;zip-c`, by md5sum.
    assert_eq!(talk.buffers(0, Buffer::SSH_HASSH, Toward::Server), [HASSH]);
    assert!(talk.app.is_opaque(), "both sides have changed their keys");
    assert_eq!(talk.records(false).len(), 1);
    assert!(talk.events().is_empty());
}

const HASSH: &str = "27a19d9b32c3766d851e1150e4ae9867";

#[test]
fn what_is_no_ssh_is_told() {
    let cases: [(&[u8], &str); 3] = [
        (b"SSH-2.0\r\n", "ssh.invalid_banner"),
        (b"SSH-2.0-x\r\n\x00\x00\x00\x00\x00\x14", "ssh.invalid_record"),
        (b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00\x14", "ssh.invalid_record"),
    ];
    for (bytes, event) in cases {
        let mut talk = Conversation::with(22);
        talk.stream(Toward::Server, bytes);
        assert_eq!(talk.events(), [event], "{}", bytes.escape_ascii());
    }
    let mut talk = Conversation::with(22);
    talk.stream(Toward::Server, &[b"SSH-2.0-".as_slice(), &[b'a'; 300]].concat());
    assert_eq!(talk.events(), ["ssh.long_banner"]);
}

proptest! {
    #[test]
    fn any_segmentation_shows_the_same(cuts in proptest::collection::vec(1..40usize, 1..60)) {
        let mut at_once = Conversation::with(22);
        at_once.stream(Toward::Server, &whole(Toward::Server)).stream(Toward::Client, &whole(Toward::Client));
        let mut in_pieces = Conversation::with(22);
        for toward in [Toward::Server, Toward::Client] {
            let bytes = whole(toward);
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                in_pieces.stream(toward, piece);
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
        }
        prop_assert_eq!(seen(&mut at_once), seen(&mut in_pieces));
    }

    #[test]
    fn hostile_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut talk = Conversation::with(22);
        talk.stream(Toward::Server, &[CLIENT, &bytes].concat());
        talk.stream(Toward::Client, &[b"SSH-".as_slice(), &bytes].concat());
        prop_assert!(talk.app.heap_bytes() < 200_000);
    }
}
