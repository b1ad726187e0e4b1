use proptest::prelude::*;

use crate::packet::app::protocols::dcerpc::tests::{bind, bind_ack, request, response};
use crate::packet::app::testing::{Chunk, Conversation, cut_up, whole};
use crate::rules::app::{AppTest, DceInterface, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

const HANDLE: [u8; 16] = [7; 16];
const CHAINED: [u8; 16] = [0xff; 16];

fn frame(record: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(record.len()).unwrap().to_be_bytes();
    [&[0, high, middle, low], record].concat()
}

/// An SMB2 command without its frame.
fn smb2(command: u8, flags: u8, message: u8, tree: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\xfeSMB\x40\0\0\0\0\0\0\0".to_vec();
    header.extend([command, 0, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0, message, 0, 0, 0, 0, 0, 0, 0]);
    header.extend([0, 0, 0, 0, tree, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    header.extend([0; 16]);
    [header, body.to_vec()].concat()
}

fn chain(first: Vec<u8>, second: Vec<u8>) -> Vec<u8> {
    let mut first = first;
    first.resize(first.len().next_multiple_of(8), 0);
    let next = u32::try_from(first.len()).unwrap().to_le_bytes();
    first[20..24].copy_from_slice(&next);
    [first, second].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn tree_connect(message: u8, share: &str) -> Vec<u8> {
    let name = wide(share);
    frame(&smb2(3, 0, message, 0, &[&[9, 0, 0, 0, 72, 0, name.len() as u8, 0][..], &name].concat()))
}

fn tree_connected(message: u8, tree: u8, share_type: u8) -> Vec<u8> {
    frame(&smb2(3, 1, message, tree, &[16, 0, share_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
}

fn create_body(name: &str) -> Vec<u8> {
    let name = wide(name);
    let mut body = vec![0; 56];
    body[36] = 1;
    body[44..48].copy_from_slice(&[120, 0, name.len() as u8, 0]);
    [body, name].concat()
}

fn created(message: u8, tree: u8) -> Vec<u8> {
    let mut body = vec![0; 88];
    body[64..80].copy_from_slice(&HANDLE);
    frame(&smb2(5, 1, message, tree, &body))
}

fn write_body(handle: [u8; 16], offset: u8, data: &[u8]) -> Vec<u8> {
    let mut body = vec![49, 0, 112, 0];
    body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    body.extend([offset, 0, 0, 0, 0, 0, 0, 0]);
    body.extend(handle);
    body.resize(48, 0);
    [body, data.to_vec()].concat()
}

fn write(message: u8, tree: u8, offset: u8, data: &[u8]) -> Vec<u8> {
    frame(&smb2(9, 0, message, tree, &write_body(HANDLE, offset, data)))
}

fn read(message: u8, tree: u8) -> Vec<u8> {
    let mut body = vec![49, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend(HANDLE);
    body.resize(48, 0);
    frame(&smb2(8, 0, message, tree, &body))
}

fn read_answer(message: u8, tree: u8, data: &[u8]) -> Vec<u8> {
    let mut body = vec![17, 0, 80, 0];
    body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    body.resize(16, 0);
    frame(&smb2(8, 1, message, tree, &[body, data.to_vec()].concat()))
}

fn close(message: u8, tree: u8) -> Vec<u8> {
    frame(&smb2(6, 0, message, tree, &[&[24, 0, 0, 0, 0, 0, 0, 0][..], &HANDLE].concat()))
}

/// A share, a file on it that is written in pieces, and one that is read.
fn file_talk() -> Vec<Chunk> {
    vec![
        (Toward::Server, tree_connect(1, r"\\srv\data")),
        (Toward::Client, tree_connected(1, 5, 1)),
        (Toward::Server, frame(&smb2(5, 0, 2, 5, &create_body("a.txt")))),
        (Toward::Client, created(2, 5)),
        (Toward::Server, write(3, 5, 0, b"hello ")),
        (Toward::Server, write(4, 5, 6, b"world")),
        (Toward::Server, read(5, 5)),
        (Toward::Client, read_answer(5, 5, &[b'r'; 700])),
        (Toward::Server, close(6, 5)),
        (Toward::Client, frame(&smb2(6, 1, 6, 5, &[0; 60]))),
    ]
}

fn hear(turns: &[Chunk]) -> Conversation {
    let mut talk = Conversation::with(445);
    for (toward, bytes) in turns {
        talk.stream(*toward, bytes);
    }
    talk
}

fn found(talk: &mut Conversation, buffer: Buffer, toward: Toward) -> Vec<String> {
    let count = talk.app.view().map_or(0, |view| view.count());
    (0..count).flat_map(|at| talk.buffers(at, buffer, toward)).collect()
}

#[test]
fn files_carry_their_name_and_their_bytes_each_way() {
    let mut talk = hear(&file_talk());
    assert_eq!(found(&mut talk, Buffer::SMB_SHARE, Toward::Server), [r"\\srv\\data"]);
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Server), ["hello world"]);
    assert_eq!(found(&mut talk, Buffer::FILE_NAME, Toward::Server), ["a.txt"]);
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Client), ["r".repeat(700)]);
    assert_eq!(talk.records(false).len(), 5 + 2, "all are done, and two files are told");
    assert!(talk.events().is_empty());
}

#[test]
fn pieces_in_any_order_make_the_file_and_overlaps_are_odd() {
    let mut turns = file_talk();
    turns.swap(4, 5);
    let mut talk = hear(&turns);
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Server), ["hello world"]);
    let mut talk = hear(&file_talk()[..6]);
    talk.stream(Toward::Server, &write(7, 5, 3, b"XXXXXXXXX"));
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Server), ["hello worldX"]);
    assert_eq!(talk.events(), ["smb.file_overlap"]);
}

#[test]
fn a_chain_opens_and_writes_at_once() {
    let mut turns = file_talk()[..2].to_vec();
    let related = smb2(9, 4, 3, 0xff, &write_body(CHAINED, 0, b"chained"));
    turns.push((Toward::Server, frame(&chain(smb2(5, 0, 2, 5, &create_body("b.exe")), related))));
    turns.push((Toward::Client, created(2, 5)));
    turns.push((Toward::Server, write(4, 5, 7, b" later")));
    let mut talk = hear(&turns);
    assert_eq!(found(&mut talk, Buffer::FILE_NAME, Toward::Server), ["b.exe"]);
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Server), ["chained later"]);
}

#[test]
fn rules_see_all_commands_of_a_chain_and_of_one_piece() {
    let echo = |message| smb2(13, 0, message, 5, &[4, 0, 0, 0]);
    let chained = (1..60).fold(echo(0), |rest, message| chain(echo(message), rest));
    let mut talk = hear(&file_talk()[..2]);
    assert_eq!(talk.judged_of_burst(Toward::Server, &frame(&chained).repeat(3), false), 180);
}

#[test]
fn a_large_write_is_read_as_it_comes() {
    let mut talk = hear(&file_talk()[..4]);
    let data: Vec<u8> = (0..200_000u32).map(|at| at as u8).collect();
    let bytes = write(3, 5, 0, &data);
    for piece in bytes[..100_000].chunks(1400) {
        talk.stream(Toward::Server, piece);
    }
    let seen = found(&mut talk, Buffer::FILE_DATA, Toward::Server);
    assert_eq!(seen, [data[..100_000 - 116].escape_ascii().to_string()]);
    talk.stream(Toward::Server, &bytes[100_000..]);
    talk.stream(Toward::Server, &close(4, 5));
    assert!(talk.app.protocol().is_some() && talk.counters.parser_errors == 0);
    assert!(talk.app.heap_bytes() < 300_000, "{}", talk.app.heap_bytes());
}

#[test]
fn calls_in_pipes_are_seen_however_the_pipe_is_cut() {
    let mut talk = Conversation::with(445);
    talk.stream(Toward::Server, &tree_connect(1, r"\\srv\IPC$")).stream(Toward::Client, &tree_connected(1, 9, 2));
    assert_eq!(found(&mut talk, Buffer::SMB_NAMED_PIPE, Toward::Server), [r"\\srv\\IPC$"]);
    let bound = bind(3, 1, 0, 1);
    talk.stream(Toward::Server, &write(2, 9, 0, &bound[..20])).stream(Toward::Server, &write(3, 9, 0, &bound[20..]));
    talk.stream(Toward::Server, &read(4, 9)).stream(Toward::Client, &read_answer(4, 9, &bind_ack(1, 0)));
    talk.stream(Toward::Server, &write(5, 9, 0, &request(3, 2, 0, 4, b"payload")));
    talk.stream(Toward::Server, &read(6, 9)).stream(Toward::Client, &read_answer(6, 9, &response(3, 2, b"back")));
    assert_eq!(found(&mut talk, Buffer::DCE_STUB_DATA, Toward::Server), ["payload"]);
    assert_eq!(found(&mut talk, Buffer::DCE_STUB_DATA, Toward::Client), ["back"]);
    let uuid = [0x12, 0x34, 0x57, 0x78, 0x12, 0x34, 0xab, 0xcd, 0xef, 0, 1, 0x23, 0x45, 0x67, 0x89, 0xac];
    let interface = AppTest::DceInterface(DceInterface { uuid, version: None, any_frag: false });
    let mut view = talk.app.view().unwrap();
    let called: Vec<bool> = (0..view.count())
        .map(|at| view.transaction(at, Toward::Server).unwrap().1.data.accepts(&interface, Toward::Server))
        .collect();
    assert_eq!(called, [false, false, true]);
}

/// An SMB1 command without its frame.
fn smb1(command: u8, flags: u8, multiplex: u8, words: &[u8], data: &[u8]) -> Vec<u8> {
    let mut record = b"\xffSMB".to_vec();
    record.extend([command, 0, 0, 0, 0, flags, 0, 0x40]);
    record.extend([0; 12]);
    record.extend([5, 0, 1, 0, 6, 0, multiplex, 0]);
    record.push((words.len() / 2) as u8);
    record.extend(words);
    record.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
    [record, data.to_vec()].concat()
}

#[test]
fn smb1_chains_of_commands_are_all_read() {
    let mut words = [0; 48];
    words[0] = 0x2f; // WRITE_ANDX follows
    words[5] = 5;
    let name = b"x.dll\0";
    let first = smb1(0xa2, 0, 1, &words, name);
    let mut chained = first.clone();
    let second = chained.len() as u16;
    chained[35..37].copy_from_slice(&second.to_le_bytes());
    let mut words = [0; 24];
    words[0] = 0xff;
    words[4] = 0x11;
    words[20] = 4;
    words[22] = second as u8 + 27;
    chained.push(12);
    chained.extend(words);
    chained.extend([4, 0]);
    chained.extend(b"EVIL");
    let mut talk = Conversation::with(139);
    // A NetBIOS session is asked for first.
    talk.stream(Toward::Server, &[0x81, 0, 0, 2, b'a', b'b']).stream(Toward::Server, &frame(&chained));
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Server), ["EVIL"]);
    let version = AppTest::Number { field: Field::SmbVersion, test: NumberTest::Equal(1) };
    let mut view = talk.app.view().unwrap();
    assert!(view.transaction(0, Toward::Server).unwrap().1.data.accepts(&version, Toward::Server));
}

#[test]
fn who_logs_on_is_seen() {
    let mut ntlm = b"NTLMSSP\0\x03\0\0\0".to_vec();
    ntlm.extend([0; 16]);
    for (length, offset) in [(4, 64), (6, 68), (2, 74)] {
        ntlm.extend([length, 0, length, 0, offset, 0, 0, 0]);
    }
    ntlm.extend([0; 12]);
    ntlm.extend(wide("AD"));
    ntlm.extend(wide("bob"));
    ntlm.extend(wide("X"));
    let mut body = vec![0; 24];
    body[12..16].copy_from_slice(&[88, 0, ntlm.len() as u8, 0]);
    let mut talk = hear(&[(Toward::Server, frame(&smb2(1, 0, 1, 0, &[body, ntlm].concat())))]);
    assert_eq!(found(&mut talk, Buffer::SMB_NTLMSSP_USER, Toward::Server), ["bob"]);
    assert_eq!(found(&mut talk, Buffer::SMB_NTLMSSP_DOMAIN, Toward::Server), ["AD"]);
}

#[test]
fn the_parser_finds_the_next_frame_behind_a_hole_and_behind_an_encrypted_one() {
    let mut talk = hear(&file_talk()[..4]);
    let limits = talk.limits;
    let context = crate::packet::app::ParseContext {
        heard: &[],
        position: 0, now: crate::packet::ingress::Timestamp::from_micros(0),
        client: std::net::IpAddr::from([10, 0, 0, 1]),
        client_port: 1,
        server_port: 445,
        limits: &limits,
        wants_frames: false,
        wants_sides: false,
        marks: None,
        hashes: Default::default(),
    };
    talk.app.gap(Toward::Server, 50, &context, &mut talk.counters);
    talk.stream(Toward::Server, b"the rest of something");
    talk.stream(Toward::Server, &frame(b"\xfdSMB and what nobody can read"));
    talk.stream(Toward::Server, &write(3, 5, 0, b"found"));
    assert_eq!(found(&mut talk, Buffer::FILE_DATA, Toward::Server), ["found"]);
}

proptest! {
    #[test]
    fn segmentation_changes_nothing(cuts in proptest::collection::vec(any::<u8>(), 1..30)) {
        prop_assert_eq!(cut_up(445, &file_talk(), &cuts), whole(445, &file_talk()));
    }
}

/// Writes to handles that were never opened are read, and push nothing out.
#[test]
fn invented_handles_make_no_open_pipe_forget() {
    use super::flow::SmbFlow;
    let settings = crate::packet::app::AppConfig::default();
    let tuple = crate::packet::conntrack::Tuple {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        protocol: 6,
        src_port: 4000,
        dst_port: 445,
    };
    let now = crate::packet::ingress::Timestamp::from_micros(0);
    let context = settings.context(&tuple, now, crate::packet::app::Hashes::default());
    let mut flow = SmbFlow::default();
    flow.names.insert(HANDLE, b"srvsvc".to_vec());
    let label = super::transaction::Label::default();
    let half = &bind(3, 1, 0, 1)[..10];
    assert!(flow.pipe_data(label, Toward::Server, HANDLE, half, None, &context));
    for number in 0..3000_u32 {
        let mut invented = [0; 16];
        invented[..4].copy_from_slice(&number.to_le_bytes());
        flow.pipe_data(label, Toward::Server, invented, &[5; 9], None, &context);
    }
    assert!(flow.waits_in(HANDLE), "what was begun there is kept");
    let held = flow.heap_bytes();
    assert!((1000..64 << 10).contains(&held), "{held}");
}
