//! The disguises: each makes a connection's frames out of the text to send.

use etherparse::{IpNumber, Ipv4Header};

use super::packets::{
    ACK, Ends, FIN, FIRST, PSH, RST, SYN, Tcp, at, fragment, fragments, fragments6, from, open, steps, tunnel,
    with_extensions, with_options,
};

pub struct Disguise {
    pub name: &'static str,
    /// For the page.
    pub what: &'static str,
    pub frames: fn(&[u8]) -> Vec<Vec<u8>>,
    /// It says nothing but the text: a harmless one must arrive whole.
    pub honest: bool,
    /// The gate never sees the server's packets.
    pub one_sided: bool,
    /// It does get through, and why.
    pub open: Option<&'static str>,
    /// A rule about the request's URI does not stop it, and why.
    pub open_to_uri: Option<&'static str>,
}

impl Disguise {
    /// Why it is not sent through a real kernel to a real server (`tests/e2e`).
    pub fn not_in_kernel(&self) -> Option<&'static str> {
        match self.name {
            _ if self.one_sided => Some("both directions cross the gate there"),
            "middle" => Some("a server knows no connection without its beginning"),
            name if name.starts_with("tunnel") => Some("the server ends no tunnels"),
            _ => None,
        }
    }
}

const fn honest(name: &'static str, what: &'static str, frames: fn(&[u8]) -> Vec<Vec<u8>>) -> Disguise {
    Disguise { name, what, frames, honest: true, one_sided: false, open: None, open_to_uri: None }
}

const NOT_HTTP: &str = "what begins with other bytes is no HTTP";

/// One that a rule about the URI does not stop.
const fn but_not_uri(disguise: Disguise, why: &'static str) -> Disguise {
    Disguise { open_to_uri: Some(why), ..disguise }
}

const fn lying(name: &'static str, what: &'static str, frames: fn(&[u8]) -> Vec<Vec<u8>>) -> Disguise {
    Disguise { name, what, frames, honest: false, one_sided: false, open: None, open_to_uri: None }
}

fn v4(segments: Vec<Tcp>) -> Vec<Vec<u8>> {
    segments.iter().map(Tcp::v4).collect()
}

/// A handshake, then these segments.
fn after_open(segments: Vec<Tcp>) -> Vec<Vec<u8>> {
    v4([open(), segments].concat())
}

fn cut(text: &[u8], size: usize) -> Vec<Tcp> {
    text.chunks(size).enumerate().map(|(nth, part)| at(nth * size, part)).collect()
}

fn in_sizes(text: &[u8], size: usize) -> Vec<Vec<u8>> {
    after_open(cut(text, size))
}

fn reversed(text: &[u8], size: usize) -> Vec<Vec<u8>> {
    after_open(cut(text, size).into_iter().rev().collect())
}

/// Where the word stands that gives the attack away.
const WORD: usize = 36;

fn chaff(len: usize) -> Vec<u8> {
    vec![b'#'; len]
}

/// The chaff of each segment, then the segment.
fn behind_chaff(text: &[u8], size: usize, spoil: fn(Tcp) -> Tcp) -> Vec<Vec<u8>> {
    let segments = cut(text, size).into_iter();
    after_open(
        segments.flat_map(|real| [spoil(Tcp { payload: chaff(real.payload.len()), ..real.clone() }), real]).collect(),
    )
}

fn in_front_of_chaff(text: &[u8], size: usize, spoil: fn(Tcp) -> Tcp) -> Vec<Vec<u8>> {
    let segments = cut(text, size).into_iter();
    after_open(
        segments.flat_map(|real| [real.clone(), spoil(Tcp { payload: chaff(real.payload.len()), ..real })]).collect(),
    )
}

/// The text in two parts, and a segment between them.
fn with_between(text: &[u8], between: Tcp) -> Vec<Vec<u8>> {
    let middle = WORD + 4;
    after_open(vec![at(0, &text[..middle]), between, at(middle, &text[middle..])])
}

/// An order that is always the same and follows no rule.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    let mut state = 0x2545_f491u32;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        items.swap(last, (state >> 8) as usize % (last + 1));
    }
    items
}

fn whole_v4(text: &[u8]) -> Vec<u8> {
    at(0, text).v4()
}

/// A handshake, then one packet in these fragments.
fn fragmented(text: &[u8], parts: impl Fn(&[u8]) -> Vec<(usize, usize)>) -> Vec<Vec<u8>> {
    let packet = whole_v4(text);
    let parts = parts(&packet);
    [v4(open()), fragments(&packet, 77, &parts)].concat()
}

fn open_v6() -> Vec<Vec<u8>> {
    open().iter().map(Tcp::v6).collect()
}

fn extended(text: &[u8], extensions: &[(u8, &[u8])]) -> Vec<Vec<u8>> {
    [open_v6(), vec![with_extensions(&at(0, text).v6(), extensions)]].concat()
}

const PADDING: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];

pub static DISGUISES: &[Disguise] = &[
    honest("none", "the text in one segment", |text| in_sizes(text, 1460)),
    honest("bytes", "segments of one byte", |text| in_sizes(text, 1)),
    honest("twos", "segments of two bytes", |text| in_sizes(text, 2)),
    honest("threes", "segments of three bytes", |text| in_sizes(text, 3)),
    honest("fives", "segments of five bytes", |text| in_sizes(text, 5)),
    honest("eights", "segments of eight bytes (fragroute `tcp_seg 8`)", |text| in_sizes(text, 8)),
    honest("split-word", "two segments, cut in the middle of the word", |text| in_sizes(text, WORD + 4)),
    honest("bytes-and-acks", "segments of one byte, a bare ACK between each two", |text| {
        let acked = |real: Tcp| [real.clone(), Tcp { payload: Vec::new(), ..real }.flags(ACK)];
        after_open(cut(text, 1).into_iter().flat_map(acked).collect())
    }),
    honest("no-push", "no segment has PSH", |text| {
        after_open(cut(text, 3).into_iter().map(|real| real.flags(ACK)).collect())
    }),
    honest("ecn", "each segment has ECE and CWR", |text| {
        after_open(cut(text, 3).into_iter().map(|real| real.flags(ACK | 64 | 128)).collect())
    }),
    but_not_uri(
        honest("behind-much", "30,000 other bytes in front", |text| {
            in_sizes(&[chaff(30_000), text.to_vec()].concat(), 1460)
        }),
        NOT_HTTP,
    ),
    but_not_uri(
        honest("behind-much-in-sevens", "3,500 other bytes in front, all in segments of seven", |text| {
            in_sizes(&[chaff(3_500), text.to_vec()].concat(), 7)
        }),
        NOT_HTTP,
    ),
    but_not_uri(
        honest("super-packet", "at the end of a super-packet of 60,000 bytes, and on in the next", |text| {
            in_sizes(&[chaff(60_000 - WORD - 3), text.to_vec()].concat(), 60_000)
        }),
        NOT_HTTP,
    ),
    honest("pipelined", "the second of two requests in one segment", |text| {
        in_sizes(&[b"GET /index.html HTTP/1.1\r\nHost: victim.example\r\n\r\n", text].concat(), 1460)
    }),
    honest("reversed-bytes", "segments of one byte, the last one first", |text| reversed(text, 1)),
    honest("reversed-eights", "segments of eight bytes, the last one first", |text| reversed(text, 8)),
    honest("reversed-halves", "two segments, the second one first", |text| reversed(text, WORD + 4)),
    honest("odd-then-even", "every second segment of four bytes, then the others", |text| {
        let (even, odd): (Vec<_>, Vec<_>) = cut(text, 4).into_iter().enumerate().partition(|(nth, _)| nth % 2 == 0);
        after_open(odd.into_iter().chain(even).map(|(_, real)| real).collect())
    }),
    honest("shuffled-bytes", "segments of one byte in no order (`order random`)", |text| {
        after_open(shuffled(cut(text, 1)))
    }),
    honest("shuffled-eights", "segments of eight bytes in no order", |text| after_open(shuffled(cut(text, 8)))),
    honest("first-byte-last", "all but the first byte, then that", |text| {
        after_open(vec![at(1, &text[1..]), at(0, &text[..1])])
    }),
    honest("last-byte-first", "the last byte, then all others", |text| {
        let last = text.len() - 1;
        after_open(vec![at(last, &text[last..]), at(0, &text[..last])])
    }),
    honest("hole-in-the-word", "a byte of the word comes last of all", |text| {
        after_open(vec![
            at(0, &text[..WORD + 3]),
            at(WORD + 4, &text[WORD + 4..]),
            at(WORD + 3, &text[WORD + 3..WORD + 4]),
        ])
    }),
    honest("every-segment-twice", "each segment of four bytes twice", |text| {
        after_open(cut(text, 4).into_iter().flat_map(|real| [real.clone(), real]).collect())
    }),
    honest("everything-twice", "all segments of four bytes but the last, and then all of them", |text| {
        let mut segments = cut(text, 4);
        let again = segments.clone();
        segments.truncate(WORD / 4);
        after_open([segments, again].concat())
    }),
    honest("twice-in-no-order", "each segment of four bytes twice, in no order", |text| {
        after_open(shuffled([cut(text, 4), cut(text, 4)].concat()))
    }),
    honest("growing", "each segment begins at the first byte and ends one later", |text| {
        after_open((1..=text.len()).map(|end| at(0, &text[..end])).collect())
    }),
    honest("overlapping-same", "segments of eight bytes in steps of four", |text| {
        after_open(
            (0..text.len()).step_by(4).map(|begin| at(begin, &text[begin..(begin + 8).min(text.len())])).collect(),
        )
    }),
    honest("overlapping-backward", "the same, the last one first", |text| {
        let segments = (0..text.len()).step_by(4).map(|begin| at(begin, &text[begin..(begin + 8).min(text.len())]));
        after_open(segments.rev().collect())
    }),
    honest("keep-alives", "a keep-alive with another byte after each segment that was acknowledged", |text| {
        let alive = |real: Tcp| {
            let end = real.seq.wrapping_add(real.payload.len() as u32);
            [real.clone(), Tcp { seq: end.wrapping_sub(1), payload: vec![0], ..real }.flags(ACK)]
        };
        after_open(cut(text, 5).into_iter().flat_map(alive).collect())
    }),
    lying(
        "chaff-first-short",
        "in front of each segment one with other bytes that dies on the way (`tcp_chaff ttl`)",
        |text| behind_chaff(text, 8, Tcp::short),
    ),
    lying("chaff-first-short-whole", "a harmless text that dies on the way, then the attack in its place", |text| {
        after_open(vec![at(0, &chaff(text.len())).short(), at(0, text)])
    }),
    lying("chaff-first-short-bytes", "the same byte by byte", |text| behind_chaff(text, 1, Tcp::short)),
    lying(
        "chaff-first-broken",
        "in front of each segment one with other bytes and a bad checksum (`tcp_chaff cksum`)",
        |text| behind_chaff(text, 8, Tcp::broken),
    ),
    lying("chaff-first-no-ack", "in front of each segment one without ACK (`tcp_chaff null`)", |text| {
        behind_chaff(text, 8, |chaff| chaff.flags(PSH))
    }),
    lying("chaff-first-old", "in front of each segment one with an old timestamp (`tcp_chaff paws`)", |text| {
        let segments = cut(text, 8).into_iter();
        after_open(
            segments
                .flat_map(|real| {
                    let chaff = Tcp { payload: chaff(real.payload.len()), ..real.clone() };
                    [chaff.timestamp(5), real.timestamp(1000)]
                })
                .collect::<Vec<_>>()
                .split_off(1),
        )
    }),
    lying("chaff-first-signed", "in front of each segment one with an MD5 signature that nobody asked for", |text| {
        behind_chaff(text, 8, |chaff| chaff.raw_options(&[&[19, 18][..], &[7; 16], &[1, 1]].concat()))
    }),
    lying("chaff-behind-short", "behind each segment one with other bytes that dies on the way", |text| {
        in_front_of_chaff(text, 8, Tcp::short)
    }),
    lying("chaff-behind", "behind each segment one with other bytes", |text| in_front_of_chaff(text, 8, |chaff| chaff)),
    lying("chaff-ahead-short", "other bytes ahead of their turn that die on the way, then the attack", |text| {
        after_open(vec![at(4, &chaff(text.len() - 4)).short(), at(0, text)])
    }),
    lying(
        "chaff-ahead",
        "other bytes ahead of their turn, then the real ones, then the first (later bytes win)",
        |text| after_open(vec![at(1, &chaff(text.len() - 1)), at(1, &text[1..]), at(0, &text[..1])]),
    ),
    lying(
        "chaff-ahead-late",
        "the real bytes ahead of their turn, then others, then the first (earlier bytes win)",
        |text| after_open(vec![at(1, &text[1..]), at(1, &chaff(text.len() - 1)), at(0, &text[..1])]),
    ),
    lying(
        "chaff-in-the-word",
        "a few other bytes ahead of their turn in the middle of the word (later bytes win)",
        |text| after_open(vec![at(WORD + 3, &chaff(3)), at(1, &text[1..]), at(0, &text[..1])]),
    ),
    lying("overlap-forward", "each segment overlaps the next one with other bytes (later bytes win)", |text| {
        let segments = cut(text, 8).into_iter().skip(1).rev();
        let longer = |mut real: Tcp| {
            real.payload.extend(chaff(4));
            real
        };
        let mut all: Vec<Tcp> = segments.map(longer).collect();
        all.extend(cut(text, 8).into_iter().skip(1));
        all.push(at(0, &text[..8]));
        after_open(all)
    }),
    lying(
        "overlap-behind",
        "each segment begins with other bytes for the end of the last one (earlier bytes win)",
        |text| {
            let segments = cut(text, 8).into_iter().enumerate();
            let longer = |(nth, real): (usize, Tcp)| match nth {
                0 => real,
                _ => at(nth * 8 - 4, &[chaff(4), real.payload].concat()),
            };
            after_open(segments.map(longer).collect())
        },
    ),
    lying("far-ahead", "a segment far beyond the window between the parts", |text| {
        with_between(text, at(2_000_000, &chaff(100)))
    }),
    lying("far-behind", "a segment far in front of the window between the parts", |text| {
        with_between(text, from(FIRST.wrapping_sub(1_000_000), 0, &chaff(100)))
    }),
    honest("reset-short", "an RST between the parts that dies on the way", |text| {
        with_between(text, at(WORD + 4, b"").flags(RST | ACK).short())
    }),
    honest("reset-broken", "an RST with a bad checksum between the parts", |text| {
        with_between(text, at(WORD + 4, b"").flags(RST).broken())
    }),
    honest("reset-elsewhere", "an RST with another sequence number between the parts", |text| {
        with_between(text, at(WORD + 9_000, b"").flags(RST))
    }),
    lying("fin-short", "a FIN between the parts that dies on the way", |text| {
        with_between(text, at(WORD + 4, b"").flags(FIN | ACK).short())
    }),
    honest("fin-old", "a FIN between the parts whose number the byte in front of it has", |text| {
        with_between(text, at(WORD + 3, b"").flags(FIN | ACK))
    }),
    honest("fin-broken", "a FIN with a bad checksum between the parts", |text| {
        with_between(text, at(WORD + 4, b"").flags(FIN | ACK).broken())
    }),
    honest("fin-elsewhere", "a FIN far ahead of its turn between the parts that dies on the way", |text| {
        with_between(text, at(WORD + 9_000, b"").flags(FIN | ACK).short())
    }),
    honest("fin-with-the-end", "the last byte has a FIN", |text| {
        let last = text.len() - 1;
        after_open(vec![at(0, &text[..last]), at(last, &text[last..]).flags(ACK | FIN)])
    }),
    honest("syn-between", "a SYN with another sequence number between the parts", |text| {
        with_between(text, at(700_000, b"").flags(SYN))
    }),
    honest("syn-twice", "two SYNs with different sequence numbers; the first one dies on the way", |text| {
        let mut segments = vec![from(77_000, 0, b"").flags(SYN).short()];
        segments.extend(open());
        segments.extend(cut(text, 6));
        v4(segments)
    }),
    honest("syn-twice-late", "two SYNs with different sequence numbers; the second one dies on the way", |text| {
        let mut segments = vec![at(0, b"").flags(SYN).before(), from(77_000, 0, b"").flags(SYN).short()];
        segments.push(at(0, b"").flags(ACK));
        segments.extend(cut(text, 6));
        v4(segments)
    }),
    honest("syn-data", "the first part stands in the SYN, and is sent again where it was not taken", |text| {
        v4(vec![at(0, &text[..WORD + 3]).flags(SYN).before(), at(0, text)])
    }),
    lying("syn-data-other", "other bytes in the SYN, which most servers ignore", |text| {
        let mut segments = vec![at(0, &chaff(WORD + 3)).flags(SYN).before()];
        segments.push(at(0, b"").flags(ACK));
        segments.extend(cut(text, 6));
        v4(segments)
    }),
    honest("data-in-the-handshake", "the handshake's last segment has the first part", |text| {
        v4(vec![at(0, b"").flags(SYN).before(), at(0, &text[..WORD + 3]), at(WORD + 3, &text[WORD + 3..])])
    }),
    honest("wrap-around", "the sequence numbers wrap in the middle of the word", |text| {
        let first = 0u32.wrapping_sub(WORD as u32 + 4);
        let mut segments = vec![from(first, 0, b"").flags(SYN).before(), from(first, 0, b"").flags(ACK)];
        segments.extend(text.chunks(3).enumerate().map(|(nth, part)| from(first, nth * 3, part)));
        v4(segments)
    }),
    honest("middle", "a connection whose beginning nobody saw, in segments of three", |text| v4(cut(text, 3))),
    Disguise {
        name: "one-sided",
        what: "the gate sees only the client's packets; segments of three, in no order",
        frames: |text| after_open(shuffled(cut(text, 3))),
        honest: true,
        one_sided: true,
        open: None,
        open_to_uri: None,
    },
    Disguise {
        name: "one-sided-middle",
        what: "the same without the beginning, in order",
        frames: |text| v4(cut(text, 3)),
        honest: true,
        one_sided: true,
        open: None,
        open_to_uri: None,
    },
    lying("urgent-byte", "an urgent byte that most servers do not read in the middle of the word", |text| {
        let split = WORD + 4;
        let word = [&text[..split], b"X", &text[split..]].concat();
        after_open(vec![at(0, &word).urgent(split as u16 + 1)])
    }),
    lying("urgent-byte-alone", "the same, the urgent byte in a segment of its own", |text| {
        let split = WORD + 4;
        after_open(vec![at(0, &text[..split]), at(split, b"X").urgent(1), at(split + 1, &text[split..])])
    }),
    but_not_uri(
        lying("urgent-letter", "a letter of the word is urgent, for servers that read it in line", |text| {
            after_open(vec![at(0, text).urgent(WORD as u16 + 5)])
        }),
        "a parser reads like most servers; `stream.reassembly.urgent.policy: inline` for the others",
    ),
    lying(
        "urgent-word",
        "each letter of the word is urgent and ahead of its turn; only the last pointer of all counts",
        |text| {
            let end = WORD + 11;
            let letters = (WORD..end).map(|nth| at(nth, &text[nth..=nth]).urgent(1));
            let rest = at(end, &text[end..]).urgent((text.len() - end) as u16);
            after_open(letters.chain([rest, at(0, &text[..WORD])]).collect())
        },
    ),
    honest(
        "sack-unsent",
        "each segment acknowledges bytes, selectively, that were never sent, and conntrack disowns it",
        |text| {
            let edges = [100_000, 200_000u32].map(|ahead| Ends::current().server_first.wrapping_add(ahead));
            let option = [&[1, 1, 5, 10][..], &edges[0].to_be_bytes(), &edges[1].to_be_bytes()].concat();
            let mut segments = open();
            segments[0].raw_options = vec![4, 2, 1, 1];
            segments.extend(cut(text, 6).into_iter().map(|real| real.raw_options(&option)));
            v4(segments)
        },
    ),
    honest("options", "each segment with timestamps", |text| {
        after_open(cut(text, 3).into_iter().enumerate().map(|(nth, real)| real.timestamp(1 + nth as u32)).collect())
    }),
    honest("unknown-option", "each segment with an option that nobody knows", |text| {
        after_open(cut(text, 3).into_iter().map(|real| real.raw_options(&[253, 4, 0, 0])).collect())
    }),
    honest("fragments", "IPv4 fragments of 8 bytes (fragroute `ip_frag 8`)", |text| {
        fragmented(text, |packet| steps(packet, 8))
    }),
    honest("fragments-24", "IPv4 fragments of 24 bytes", |text| fragmented(text, |packet| steps(packet, 24))),
    honest("fragments-reversed", "IPv4 fragments of 8 bytes, the last one first", |text| {
        fragmented(text, |packet| steps(packet, 8).into_iter().rev().collect())
    }),
    honest("fragments-last-first", "the last IPv4 fragment first, the others in order", |text| {
        fragmented(text, |packet| {
            let mut parts = steps(packet, 8);
            parts.rotate_right(1);
            parts
        })
    }),
    honest("fragments-shuffled", "IPv4 fragments of 8 bytes in no order", |text| {
        fragmented(text, |packet| shuffled(steps(packet, 8)))
    }),
    honest("fragments-of-segments", "segments of 24 bytes in IPv4 fragments of 16", |text| {
        let pieces = cut(text, 24).into_iter().enumerate();
        let cut = pieces.flat_map(|(nth, real)| {
            let packet = real.v4();
            fragments(&packet, 100 + nth as u16, &steps(&packet, 16))
        });
        v4(open()).into_iter().chain(cut).collect()
    }),
    honest("fragments6", "IPv6 fragments of 24 bytes", |text| {
        [open_v6(), fragments6(&at(0, text).v6(), 7, 24)].concat()
    }),
    lying("fragments6-tiny", "IPv6 fragments of 16 bytes, which cut the TCP header (RFC 8200 forbids it)", |text| {
        [open_v6(), fragments6(&at(0, text).v6(), 7, 16)].concat()
    }),
    honest("fragments6-reversed", "IPv6 fragments of 24 bytes, the last one first", |text| {
        let parts = fragments6(&at(0, text).v6(), 7, 24).into_iter().rev().collect();
        [open_v6(), parts].concat()
    }),
    honest("fragment6-atomic", "an IPv6 packet with a fragment header that is not fragmented", |text| {
        extended(text, &[(44, &[0, 0, 0, 0, 0, 0, 0, 9])])
    }),
    honest("extensions6", "IPv6 with hop-by-hop and destination options", |text| {
        extended(text, &[(0, PADDING), (60, PADDING)])
    }),
    honest("extensions6-many", "IPv6 with six destination options headers", |text| extended(text, &[(60, PADDING); 6])),
    honest("extensions6-and-bytes", "IPv6 with destination options, in segments of one byte", |text| {
        let segments = cut(text, 1).into_iter().map(|real| with_extensions(&real.v6(), &[(60, PADDING)]));
        open_v6().into_iter().chain(segments).collect()
    }),
    honest("ip-options", "IPv4 with no-operation options, in segments of three", |text| {
        let segments = cut(text, 3).into_iter().map(|real| with_options(&real.v4(), &[1, 1, 1, 1, 1, 1, 1, 0]));
        v4(open()).into_iter().chain(segments).collect()
    }),
    honest("tunnel", "inside of an IP in IP tunnel", |text| {
        [open(), vec![at(0, text)]].concat().iter().map(|real| tunnel(IpNumber::IPV4, &[], &real.v4())).collect()
    }),
    honest("tunnel-gre", "inside of a GRE tunnel", |text| {
        let inner = [open(), vec![at(0, text)]].concat();
        inner.iter().map(|real| tunnel(IpNumber::GRE, &[0, 0, 8, 0], &real.v4())).collect()
    }),
    honest("tunnel-bytes", "inside of an IP in IP tunnel, in segments of one byte in no order", |text| {
        let inner = [open(), shuffled(cut(text, 1))].concat();
        inner.iter().map(|real| tunnel(IpNumber::IPV4, &[], &real.v4())).collect()
    }),
    honest("tunnel-gre-threes", "inside of a GRE tunnel, in segments of three", |text| {
        let inner = [open(), cut(text, 3)].concat();
        inner.iter().map(|real| tunnel(IpNumber::GRE, &[0, 0, 8, 0], &real.v4())).collect()
    }),
    lying(
        "fragment-overlap",
        "an IPv4 fragment that overlaps another with other bytes: Linux gives up such packets",
        |text| {
            let packet = whole_v4(text);
            let (header, _) = Ipv4Header::from_slice(&packet).unwrap();
            let mut frames = fragments(&packet, 77, &steps(&packet, 8));
            frames.insert(5, fragment(&header, 77, 40, &chaff(16), true));
            // The sender tries again without the trick.
            [v4(open()), frames, vec![packet]].concat()
        },
    ),
];
