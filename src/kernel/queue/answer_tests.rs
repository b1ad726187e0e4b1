use super::*;
use proptest::prelude::*;

use crate::kernel::conntrack::cta;
use crate::kernel::netlink::wire::Messages;
use crate::packet::conntrack::Labels;

const QUEUE: u16 = 7400;

type Given = (u32, Answer);
/// Kind (1 single, 3 batch), verdict and id of a message.
type Sent = (u16, u32, u32);

fn messages(outbox: &Outbox) -> Vec<Sent> {
    Messages::new(outbox.builder.as_bytes())
        .map(|message| {
            let (nfgen, mut attrs) = message.netfilter().unwrap();
            assert_eq!((nfgen.res_id, message.flags), (QUEUE, 1));
            let header = attrs.next().unwrap();
            assert_eq!(header.kind, nfqa::VERDICT_HDR);
            let id = u32::from_be_bytes(*header.payload[4..].first_chunk().unwrap());
            (message.kind & 0xff, header.be32().unwrap(), id)
        })
        .collect()
}

fn put(answers: &[Given]) -> (Outbox, QueueCounters) {
    let mut outbox = Outbox::new(QUEUE, 64);
    let mut counters = QueueCounters::default();
    outbox.put_batch(answers.iter().copied(), &mut counters);
    (outbox, counters)
}

#[test]
fn accepts_are_merged_and_all_else_is_single_in_order() {
    let marked = Answer::ACCEPT.with_packet_mark(7);
    let into = Answer { disposition: Disposition::Requeue { queue: 5 }, ..Answer::ACCEPT };
    let accept = |id| (id, Answer::ACCEPT);
    #[rustfmt::skip]
    let cases: &[(&[Given], &[Sent])] = &[
        (&[], &[]),
        (&[accept(1)], &[(1, 1, 1)]),
        (&[accept(1), accept(2), accept(5)], &[(3, 1, 5)]),
        (&[accept(1), (2, Answer::DROP), accept(3), accept(4)], &[(1, 1, 1), (1, 0, 2), (3, 1, 4)]),
        (&[(1, Answer::REPEAT), accept(2)], &[(1, 4, 1), (1, 1, 2)]),
        (&[accept(1), accept(2), (3, marked)], &[(3, 1, 2), (1, 1, 3)]),
        (&[(9, into)], &[(1, 5 << 16 | 0x8000 | 3, 9)]),
        (&[accept(u32::MAX), accept(0)], &[(3, 1, 0)]),
    ];
    for (answers, expected) in cases {
        let (outbox, counters) = put(answers);
        assert_eq!(messages(&outbox), *expected, "{answers:?}");
        assert_eq!(counters.verdict_messages as usize, expected.len());
    }
}

#[test]
fn a_plain_accept_is_32_bytes() {
    let (outbox, _) = put(&[(0x0102, Answer::ACCEPT)]);
    #[rustfmt::skip]
    let expected: &[&[u8]] = &[
        &32u32.to_ne_bytes(), &0x0301u16.to_ne_bytes(), &1u16.to_ne_bytes(), &0x0102u32.to_ne_bytes(), &[0; 4],
        &[0, 0, 0x1c, 0xe8],
        &12u16.to_ne_bytes(), &2u16.to_ne_bytes(), &[0, 0, 0, 1], &[0, 0, 1, 2],
    ];
    assert_eq!(outbox.builder.as_bytes(), expected.concat());
}

#[test]
fn the_longest_verdict_carries_marks_and_labels_with_masks() {
    let mut labels = Labels([0xff; 16]);
    labels.0[0] = 0x0f;
    let mut mask = Labels([0; 16]);
    mask.0[0] = 0x3c;
    let write = ConntrackWrite { mark: Some((0xffff_ffff, 0x0700_0000)), labels: Some((labels, mask)) };
    let (outbox, _) = put(&[(1, Answer::DROP.with_packet_mark(0x55).with_conntrack(write))]);
    assert_eq!(outbox.builder.len(), VERDICT_BYTES_MAX);

    let message = Messages::new(outbox.builder.as_bytes()).next().unwrap();
    let attrs: Vec<_> = message.netfilter().unwrap().1.collect();
    assert_eq!((attrs[1].kind, attrs[1].be32()), (nfqa::MARK, Some(0x55)));
    assert_eq!(attrs[2].kind, nfqa::CT);
    let written: Vec<_> = attrs[2].nested().map(|attr| (attr.kind, attr.payload.to_vec())).collect();
    let mut expected_labels = vec![0; 16];
    expected_labels[0] = 0x0c;
    assert_eq!(
        written,
        [
            (cta::LABELS, expected_labels),
            (cta::LABELS_MASK, mask.0.to_vec()),
            (cta::MARK, vec![7, 0, 0, 0]),
            (cta::MARK_MASK, vec![7, 0, 0, 0]),
        ],
        "bits outside of the masks would flip those of others"
    );
}

#[test]
fn what_the_kernel_does_not_take_is_kept() {
    let (mut outbox, mut counters) = put(&[(1, Answer::DROP), (2, Answer::ACCEPT), (3, Answer::DROP)]);
    let first = first_message(outbox.builder.as_bytes(), 0).unwrap().len();
    outbox.sent = first;
    assert_eq!(first_message(outbox.builder.as_bytes(), outbox.sent).unwrap()[8], 2, "goes on behind the first");
    assert!(!outbox.is_empty());
    let socket = Socket::open().unwrap();
    outbox.send(&socket, &mut counters).unwrap();
    assert!(outbox.is_empty());
    assert_eq!(counters.send_retries, 0);
}

#[test]
fn what_is_too_much_for_one_send_goes_one_by_one() {
    const PACKETS: u32 = 200;
    let socket = Socket::open().unwrap();
    let send_buffer_bytes = socket.force_send_buffer(0).unwrap();
    let (mut outbox, mut counters) = put(&(1..=PACKETS).map(|id| (id, Answer::DROP)).collect::<Vec<_>>());
    assert!(outbox.builder.len() > send_buffer_bytes);
    outbox.send(&socket, &mut counters).unwrap();
    assert_eq!((outbox.is_empty(), counters.send_retries), (true, 1));

    // No such queue is bound, so the kernel answers each verdict with an error, in order.
    let mut buffer = [0; 256];
    let mut answered = 0;
    while let Some(len) = socket.try_receive(&mut buffer).unwrap() {
        answered += 1;
        assert_eq!(Messages::new(&buffer[..len]).next().unwrap().seq, answered);
    }
    assert_eq!(answered, PACKETS);
}

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::ACCEPT),
        1 => Just(Answer::DROP),
        1 => Just(Answer::REPEAT),
        1 => any::<u32>().prop_map(|mark| Answer::ACCEPT.with_packet_mark(mark)),
        1 => any::<(u32, u32)>().prop_map(|mark| {
            Answer::ACCEPT.with_conntrack(ConntrackWrite { mark: Some(mark), labels: None })
        }),
    ]
}

proptest! {
    /// What the kernel makes of the messages: each single takes its packet, each batch all that wait up to its id.
    #[test]
    fn each_packet_gets_its_own_answer_and_only_one(answers in proptest::collection::vec(any_answer(), 0..200)) {
        let answers: Vec<_> = answers.into_iter().enumerate().map(|(at, answer)| (at as u32 + 1, answer)).collect();
        let (outbox, counters) = put(&answers);
        let mut waiting: std::collections::VecDeque<_> = answers.iter().copied().collect();
        for (kind, verdict, id) in messages(&outbox) {
            let taken = if kind == 1 { 1 } else { waiting.iter().take_while(|(waits, _)| *waits <= id).count() };
            prop_assert!(taken >= 1);
            for (at, answer) in waiting.drain(..taken) {
                prop_assert_eq!(verdict_code(answer.disposition), verdict);
                prop_assert!(kind == 3 || at == id);
                prop_assert!(kind == 1 || answer == Answer::ACCEPT);
            }
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(counters.accepted + counters.dropped + counters.repeated, answers.len() as u64);
    }
}
