//! What no single keyword can see: rules whose parts contradict each other.

use crate::rules::error::{Code, Mistake, Severity, Span};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::keyword::{Draft, Need};
use crate::rules::magic;
use crate::rules::meta::RuleAction;
use crate::rules::parse::RuleAst;
use crate::rules::plan::{
    Absence, Amount, BufferTest, FastPattern, Header, HeaderProtocol, NumberTest, PacketTest, Toward,
};

/// What can only be judged when all options are read.
pub(super) fn check(draft: &mut Draft<'_>, ast: &RuleAst, header: Option<&Header>, mistakes: &mut Vec<Mistake>) {
    draft.buffers.retain(|buffer| buffer.selected.is_some() || !buffer.tests.is_empty());
    for buffer in &draft.buffers {
        // Where something else is wrong, that may be why the buffer stays empty.
        let explained = mistakes.iter().any(|mistake| mistake.code.severity() == Severity::Error);
        let asked = !buffer.tests.is_empty() || buffer.absence == Absence::Required;
        if let (Absence::Required, Some((_, span))) = (buffer.absence, buffer.tests.first()) {
            mistakes.push(
                Mistake::new(Code::Impossible, *span, "nothing is in a buffer that is absent")
                    .help("write `absent:or_else;` if it may be there with this in it"),
            );
        }
        if let (Some(selected), false, false) = (buffer.selected, asked, explained) {
            mistakes.push(
                Mistake::new(Code::EmptyBuffer, selected, "no content follows before another buffer is selected")
                    .help("put what is to be in it behind it, or take it out: a buffer is for the contents after it"),
            );
        }
    }
    if let Some(kinds) = draft.buffers.iter().find(|buffer| buffer.buffer == Buffer::FILE_MAGIC)
        && let Err(why) = magic::prepare()
    {
        mistakes.push(Mistake::new(Code::NotHonoured, kinds.selected.unwrap_or_default(), why));
    }
    check_contents(draft, mistakes);
    check_sizes(draft, mistakes);
    check_base64(draft, mistakes);
    check_fast_patterns(draft, mistakes);
    if let Some(header) = header {
        check_protocol(draft, header, mistakes);
    }
    if ast.action == RuleAction::Pass && draft.noalert {
        mistakes.push(Mistake::new(Code::Conflict, ast.protocol, "`pass` with `noalert`: pass never alerts"));
    }
    let asks_sides = draft.buffers.iter().any(|buffer| buffer.buffer.is_app());
    if draft.spans_sides && !asks_sides {
        mistakes.push(
            Mistake::new(Code::Conflict, ast.protocol, "`=>` needs buffers of a transaction, of both sides")
                .help("write `->` or `<>` for packets and streams"),
        );
    }
    if let Some((need, span)) = draft.needs.first() {
        let code = match need {
            Need::Parser(_) => Code::NeedsParser,
            Need::Never(_) => Code::NotHonoured,
        };
        mistakes.push(Mistake::new(code, *span, need.to_string()));
    }
}

/// Buffers that only one side fills, in a rule for the other side or beside buffers of the other side.
pub(super) fn check_direction(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    let side = |toward| match toward {
        Toward::Server => "to_server",
        Toward::Client => "to_client",
    };
    if draft.spans_sides {
        return;
    }
    let mut wanted = draft.flow.and_then(|flow| flow.toward);
    for buffer in &draft.buffers {
        let info = buffer.buffer.info();
        let Some(toward) = info.toward else { continue };
        if *wanted.get_or_insert(toward) != toward {
            let span = buffer.selected.or(buffer.tests.first().map(|(_, span)| *span)).unwrap_or_default();
            let label =
                format!("`{}` is filled by {} data, and the rule asks for the other side", info.name, side(toward));
            mistakes.push(Mistake::new(Code::Impossible, span, label).help("make two rules of it, tied by a flowbit"));
        }
    }
}

fn check_contents(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    for (test, span) in draft.buffers.iter().flat_map(|buffer| &buffer.tests) {
        let BufferTest::Content(content) = test else { continue };
        let length = i64::try_from(content.pattern.len()).unwrap_or(i64::MAX);
        for (word, limit) in [("depth", content.depth), ("within", content.within)] {
            if let Some(Amount::Number(limit)) = limit
                && limit < length
            {
                let label = format!("{length} bytes do not fit into `{word}:{limit}`");
                mistakes.push(
                    Mistake::new(Code::TooShort, *span, label).help(format!("make it at least `{word}:{length};`")),
                );
            }
        }
    }
    let Some(size_max) = payload_size_max(draft) else { return };
    for (test, span) in draft.buffers.iter().filter(|buffer| buffer.is_payload()).flat_map(|buffer| &buffer.tests) {
        let BufferTest::Content(content) = test else { continue };
        let offset = match content.offset {
            Some(Amount::Number(offset)) => u64::try_from(offset).unwrap_or(0),
            _ => 0,
        };
        let needed = offset.saturating_add(content.pattern.len() as u64);
        if !content.negated && needed > size_max {
            let label = format!("needs {needed} bytes, and `dsize` allows {size_max}");
            mistakes.push(Mistake::new(Code::Impossible, *span, label));
        }
    }
}

/// A content longer than `bsize` or `urilen` allows can never be found; Suricata loads such rules. Transforms change lengths, so what is
/// transformed is left alone.
fn check_sizes(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    for buffer in draft.buffers.iter().filter(|buffer| buffer.transforms.is_empty()) {
        let most = buffer.tests.iter().filter_map(|(test, _)| match test {
            BufferTest::Size(NumberTest::Equal(size) | NumberTest::LessOrEqual(size)) => Some(*size),
            BufferTest::Size(NumberTest::Less(size @ 1..) | NumberTest::Between(_, size)) => Some(size - 1),
            _ => None,
        });
        let Some(most) = most.min() else { continue };
        for (test, span) in &buffer.tests {
            let BufferTest::Content(content) = test else { continue };
            let offset = match content.offset {
                Some(Amount::Number(offset)) => u64::try_from(offset).unwrap_or(0),
                _ => 0,
            };
            let needed = offset.saturating_add(content.pattern.len() as u64);
            if !content.negated && needed > most {
                let label = format!("needs {needed} bytes, and the buffer's size is at most {most}");
                mistakes.push(Mistake::new(Code::NeverMatches, *span, label));
            }
        }
    }
}

/// `base64_data` needs something to decode, and is looked at as it is.
fn check_base64(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    let decodes = |(test, _): &(BufferTest, Span)| matches!(test, BufferTest::Base64(_));
    let decoded = draft.buffers.iter().any(|buffer| buffer.tests.iter().any(decodes));
    for data in draft.buffers.iter().filter(|buffer| buffer.buffer == Buffer::BASE64_DATA) {
        let span = data.selected.or(data.tests.first().map(|(_, span)| *span)).unwrap_or_default();
        if !decoded {
            mistakes.push(
                Mistake::new(Code::Conflict, span, "nothing is decoded")
                    .help("a `base64_decode` must stand before `base64_data`"),
            );
        } else if !data.transforms.is_empty() {
            mistakes.push(Mistake::new(Code::Conflict, span, "`base64_data` takes no transforms"));
        } else if let Some((_, span)) = data.tests.iter().find(|test| decodes(test)) {
            mistakes.push(Mistake::new(Code::Conflict, *span, "base64 inside of base64 is not decoded"));
        }
    }
}

/// The largest payload that `dsize` lets through.
fn payload_size_max(draft: &Draft<'_>) -> Option<u64> {
    draft.packet.iter().find_map(|(test, _)| match test {
        PacketTest::PayloadSize(NumberTest::Equal(size) | NumberTest::LessOrEqual(size)) => Some(*size),
        PacketTest::PayloadSize(NumberTest::Less(size) | NumberTest::Between(_, size)) => Some(size.saturating_sub(1)),
        _ => None,
    })
}

fn check_fast_patterns(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    let mut chosen = 0;
    for (test, span) in draft.buffers.iter().flat_map(|buffer| &buffer.tests) {
        let BufferTest::Content(content) = test else { continue };
        if content.fast_pattern == FastPattern::Unsaid {
            continue;
        }
        chosen += 1;
        if chosen > 1 {
            mistakes.push(Mistake::new(Code::Conflict, *span, "a second `fast_pattern` in one rule"));
        }
        let placed = content.is_relative() || content.offset.is_some() || content.depth.is_some();
        if content.fast_pattern == FastPattern::Only && (placed || content.negated) {
            mistakes.push(
                Mistake::new(Code::Conflict, *span, "`fast_pattern:only` on a content with a place or a negation")
                    .help("write `fast_pattern;`"),
            );
        } else if content.negated && placed {
            mistakes.push(Mistake::new(Code::Conflict, *span, "`fast_pattern` on a negated content with a place"));
        }
    }
}

fn check_protocol(draft: &Draft<'_>, header: &Header, mistakes: &mut Vec<Mistake>) {
    let of = |kinds: &[HeaderProtocol]| kinds.contains(&header.protocol);
    let open = of(&[HeaderProtocol::Ip, HeaderProtocol::Ipv4, HeaderProtocol::Ipv6, HeaderProtocol::PktHdr]);
    let tcp = open || of(&[HeaderProtocol::Tcp, HeaderProtocol::TcpPkt, HeaderProtocol::TcpStream]);
    let icmp = open || of(&[HeaderProtocol::Icmp, HeaderProtocol::Icmpv4, HeaderProtocol::Icmpv6]);
    for (test, span) in &draft.packet {
        let (fits, wanted) = match test {
            PacketTest::TcpFlags(_)
            | PacketTest::TcpSeq(_)
            | PacketTest::TcpAck(_)
            | PacketTest::TcpWindow { .. }
            | PacketTest::TcpMss(_) => (tcp, "tcp"),
            PacketTest::IcmpType(_) | PacketTest::IcmpCode(_) | PacketTest::IcmpId(_) | PacketTest::IcmpSeq(_) => {
                (icmp, "icmp")
            }
            _ => (true, ""),
        };
        if !fits {
            let label = format!("the rule's protocol has no such field; it is one of {wanted}");
            mistakes.push(Mistake::new(Code::Impossible, *span, label).help(format!("make it an `{wanted}` rule")));
        }
    }
    if header.protocol == HeaderProtocol::PktHdr
        && let Some((_, span)) = draft.buffers.iter().flat_map(|buffer| &buffer.tests).next()
    {
        let mistake = Mistake::new(Code::Impossible, *span, "a `pkthdr` rule looks at headers only");
        mistakes.push(mistake.help("use `ip` to look at payloads"));
    }
}
