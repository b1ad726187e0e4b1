//! The fast path held to a naive one: each rule on each payload, straight from the options in the order of the rule,
//! trying every place of every content. No prefilter, no groups, no chains, no order of cost.

use proptest::prelude::*;

use super::tests::{Bench, tcp};
use crate::rules::compile::buffer_tests;
use crate::rules::keyword::BufferDraft;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{
    Amount, Base64, BufferTest, ByteExtract, ByteJump, ByteMath, ByteOperator, ByteTest, Content, JumpFrom,
    MathOperator, Number, NumberForm, Pcre, Transform, VARIABLE_COUNT_MAX, XorKey,
};

type Variables = [u64; VARIABLE_COUNT_MAX];

/// Whether a rule with these buffers matches a payload.
fn rule_matches(buffers: &[BufferDraft], payload: &[u8]) -> bool {
    let tests = |draft: &BufferDraft| draft.tests.iter().map(|(test, _)| test.clone()).collect::<Vec<_>>();
    let decoded = buffers.iter().find(|draft| draft.buffer == Buffer::BASE64_DATA).map(tests).unwrap_or_default();
    buffers.iter().filter(|draft| draft.buffer != Buffer::BASE64_DATA).all(|draft| {
        let seen = draft.transforms.iter().fold(payload.to_vec(), |bytes, transform| transformed(transform, &bytes));
        Naive { decoded: &decoded }.holds(&tests(draft), &seen, 0, Variables::default())
    })
}

fn transformed(transform: &Transform, bytes: &[u8]) -> Vec<u8> {
    let is_space = |byte: u8| matches!(byte, 9..=13 | b' ');
    match transform {
        Transform::DotPrefix => [b".", bytes].concat(),
        Transform::StripWhitespace => bytes.iter().copied().filter(|byte| !is_space(*byte)).collect(),
        Transform::CompressWhitespace => (0..bytes.len())
            .filter(|at| !(is_space(bytes[*at]) && *at > 0 && is_space(bytes[at - 1])))
            .map(|at| bytes[at])
            .collect(),
        Transform::ToLowercase => bytes.to_ascii_lowercase(),
        Transform::ToUppercase => bytes.to_ascii_uppercase(),
        Transform::Xor { key: XorKey::Fixed(key), from: 0 } => {
            (0..bytes.len()).map(|at| bytes[at] ^ key[at % key.len()]).collect()
        }
        Transform::UrlDecode => {
            let mut decoded = Vec::new();
            let mut at = 0;
            while at < bytes.len() {
                let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
                let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
                match (bytes[at], digits) {
                    (b'%', Some(two)) => {
                        decoded.push(u8::from_str_radix(two, 16).unwrap());
                        at += 2;
                    }
                    (b'+', _) => decoded.push(b' '),
                    (byte, _) => decoded.push(byte),
                }
                at += 1;
            }
            decoded
        }
        other => unreachable!("not generated: {other:?}"),
    }
}

/// Six bits at a time.
fn decoded(text: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let length = text.iter().position(|byte| *byte != b'=' && !ALPHABET.contains(byte)).unwrap_or(text.len());
    let mut bytes = Vec::new();
    for group in text[..length].chunks(4) {
        let mut bits = 0u32;
        for at in 0..4 {
            let value = group.get(at).and_then(|byte| ALPHABET.iter().position(|known| known == byte)).unwrap_or(0);
            bits = bits << 6 | value as u32;
        }
        let padding = group.iter().filter(|byte| **byte == b'=').count();
        // What is left of a last group counts, its padding or not.
        let size = if group.len() == 4 { 3usize.saturating_sub(padding) } else { 1.max(group.len() - 1) };
        bytes.extend(&bits.to_be_bytes()[1..1 + size]);
    }
    bytes
}

struct Naive<'n> {
    decoded: &'n [BufferTest],
}

impl Naive<'_> {
    /// Whether some choice of places satisfies all tests.
    fn holds(&self, tests: &[BufferTest], buffer: &[u8], position: i64, variables: Variables) -> bool {
        let naive =
            |rest: &[BufferTest], buffer: &[u8], position, variables| self.holds(rest, buffer, position, variables);
        let Some((test, rest)) = tests.split_first() else { return true };
        let length = buffer.len() as i64;
        match test {
            BufferTest::Content(content) => {
                let places: Vec<i64> =
                    (0..=length).filter(|start| stands(content, buffer, *start, position, &variables)).collect();
                if content.negated {
                    return places.is_empty() && naive(rest, buffer, position, variables);
                }
                let size = content.pattern.len() as i64;
                places.into_iter().any(|start| naive(rest, buffer, start + size, variables))
            }
            BufferTest::IsDataAt(test) => {
                let amount = value(test.amount, &variables);
                let there = if test.relative { position.saturating_add(amount) <= length } else { amount < length };
                there != test.negated && naive(rest, buffer, position, variables)
            }
            BufferTest::Size(test) => test.accepts(buffer.len() as u64) && naive(rest, buffer, position, variables),
            BufferTest::ByteTest(test) => {
                byte_test(test, buffer, position, &variables) && naive(rest, buffer, position, variables)
            }
            BufferTest::ByteExtract(extract) => match byte_extract(extract, buffer, position) {
                Some((number, end)) => {
                    let mut variables = variables;
                    variables[usize::from(extract.into)] = number;
                    naive(rest, buffer, end, variables)
                }
                None => false,
            },
            BufferTest::ByteJump(jump) => match byte_jump(jump, buffer, position, &variables) {
                Some(moved) => naive(rest, buffer, moved, variables),
                None => false,
            },
            BufferTest::ByteMath(math) => match byte_math(math, buffer, position, &variables) {
                Some((number, end)) => {
                    let mut variables = variables;
                    variables[usize::from(math.into)] = number;
                    naive(rest, buffer, end, variables)
                }
                None => false,
            },
            BufferTest::Pcre(pcre) => {
                let ends = ends_of(pcre, buffer, position);
                match pcre.negated {
                    true => ends.is_empty() && naive(rest, buffer, position, variables),
                    false => ends.into_iter().any(|end| naive(rest, buffer, end, variables)),
                }
            }
            BufferTest::Base64(decode) => {
                self.base64(decode, buffer, position) && naive(rest, buffer, position, variables)
            }
            BufferTest::Asn1(_) | BufferTest::DataSet { .. } | BufferTest::DataReputation { .. } => {
                unreachable!("not generated")
            }
        }
    }

    fn base64(&self, decode: &Base64, buffer: &[u8], position: i64) -> bool {
        let at = i64::from(decode.offset) + if decode.relative { position } else { 0 };
        let rest = buffer.get(at as usize..).unwrap_or_default();
        let bytes = decoded(&rest[..rest.len().min(usize::from(decode.bytes))]);
        !bytes.is_empty() && self.holds(self.decoded, &bytes, 0, Variables::default())
    }
}

/// Where the expression can end, whatever place it is looked for from.
fn ends_of(pcre: &Pcre, buffer: &[u8], position: i64) -> Vec<i64> {
    let base = if pcre.relative { position } else { 0 };
    let Some(subject) = usize::try_from(base).ok().and_then(|base| buffer.get(base..)) else { return Vec::new() };
    let mut ends: Vec<i64> = (0..=subject.len())
        .filter_map(|from| pcre.regex.find_at(subject, from).unwrap())
        .map(|found| base + found.end() as i64)
        .collect();
    ends.dedup();
    ends
}

fn byte_math(math: &ByteMath, buffer: &[u8], position: i64, variables: &Variables) -> Option<(u64, i64)> {
    let Amount::Number(count) = math.number.count else { unreachable!("not generated") };
    let at = math.offset + if math.relative { position } else { 0 };
    let found = number(&Number { bitmask: None, ..math.number }, buffer, at)?;
    let operand = value(math.value, variables) as u64;
    let result = match math.operator {
        MathOperator::Add => found.wrapping_add(operand),
        MathOperator::Subtract => found.wrapping_sub(operand),
        MathOperator::Multiply => found.wrapping_mul(operand),
        MathOperator::Divide if operand == 0 => return None,
        MathOperator::Divide => found / operand,
        MathOperator::ShiftLeft => {
            if operand < 64 {
                found << operand
            } else {
                0
            }
        }
        MathOperator::ShiftRight => {
            if operand < 64 {
                found >> operand
            } else {
                0
            }
        }
    };
    Some((under(math.number.bitmask, result), at + count))
}

fn under(mask: Option<u32>, value: u64) -> u64 {
    mask.map_or(value, |mask| (value & u64::from(mask)) >> mask.trailing_zeros())
}

fn value(amount: Amount, variables: &Variables) -> i64 {
    match amount {
        Amount::Number(number) => number,
        // Places beyond what 63 bits count are nowhere.
        Amount::Variable(at) => i64::try_from(variables[usize::from(at)]).unwrap_or(i64::MAX),
    }
}

fn stands(content: &Content, buffer: &[u8], start: i64, position: i64, variables: &Variables) -> bool {
    let size = content.pattern.len() as i64;
    let end = start + size;
    if end > buffer.len() as i64 {
        return false;
    }
    let found = &buffer[start as usize..end as usize];
    let same = if content.pattern.nocase() {
        found.to_ascii_lowercase() == content.pattern.bytes()
    } else {
        found == content.pattern.bytes()
    };
    let limit = |amount: Option<Amount>| amount.map(|amount| value(amount, variables));
    let placed = if content.distance.is_some() || content.within.is_some() {
        let from = position.saturating_add(limit(content.distance).unwrap_or(0));
        start >= from && limit(content.within).is_none_or(|within| end <= from.saturating_add(within))
    } else {
        let from = limit(content.offset).unwrap_or(0);
        start >= from && limit(content.depth).is_none_or(|depth| end <= from.saturating_add(depth))
    };
    same && placed && (!content.startswith || start == 0) && (!content.endswith || end == buffer.len() as i64)
}

fn number(number: &Number, buffer: &[u8], at: i64) -> Option<u64> {
    let Amount::Number(count) = number.count else { unreachable!("not generated") };
    if at < 0 || at + count > buffer.len() as i64 {
        return None;
    }
    let mut bytes = buffer[at as usize..(at + count) as usize].to_vec();
    if number.form == NumberForm::LittleEndian {
        bytes.reverse();
    }
    let mut value = 0u64;
    for byte in bytes {
        value = value * 256 + u64::from(byte);
    }
    Some(under(number.bitmask, value))
}

fn byte_test(test: &ByteTest, buffer: &[u8], position: i64, variables: &Variables) -> bool {
    let base = if test.relative { position } else { 0 };
    let Some(found) = number(&test.number, buffer, base + value(test.offset, variables)) else { return false };
    let wanted = value(test.value, variables) as u64;
    let holds = match test.operator {
        ByteOperator::Less => found < wanted,
        ByteOperator::Greater => found > wanted,
        ByteOperator::Equal => found == wanted,
        ByteOperator::LessOrEqual => found <= wanted,
        ByteOperator::GreaterOrEqual => found >= wanted,
        ByteOperator::And => found & wanted != 0,
        ByteOperator::Or => found ^ wanted != 0,
    };
    holds != test.negated
}

fn byte_extract(extract: &ByteExtract, buffer: &[u8], position: i64) -> Option<(u64, i64)> {
    let Amount::Number(count) = extract.number.count else { unreachable!("not generated") };
    let at = extract.offset + if extract.relative { position } else { 0 };
    Some((number(&extract.number, buffer, at)?, at + count))
}

fn byte_jump(jump: &ByteJump, buffer: &[u8], position: i64, variables: &Variables) -> Option<i64> {
    let Amount::Number(count) = jump.number.count else { unreachable!("not generated") };
    let at = value(jump.offset, variables) + if jump.relative { position } else { 0 };
    let distance = number(&jump.number, buffer, at)? as i64;
    let from = match jump.from {
        JumpFrom::Here => at + count,
        JumpFrom::Beginning => 0,
        JumpFrom::End => buffer.len() as i64,
    };
    let target = (from + distance + i64::from(jump.post_offset)).max(0);
    (target < buffer.len() as i64).then_some(target)
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abAB]{1,3}", 1 => "[ab]{1,2}\\|0[0-4]\\|", 1 => "\\|0[0-3]\\|"]
}

fn modifier() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        2 => Just(" nocase;".to_owned()),
        2 => (0..6u8).prop_map(|n| format!(" offset:{n};")),
        2 => (3..9u8).prop_map(|n| format!(" depth:{n};")),
        1 => (0..5u8, 3..9u8).prop_map(|(n, m)| format!(" offset:{n}; depth:{m};")),
        5 => (-3..5i8).prop_map(|n| format!(" distance:{n};")),
        3 => (3..9u8).prop_map(|n| format!(" within:{n};")),
        4 => (-3..5i8, 3..9u8).prop_map(|(n, m)| format!(" distance:{n}; within:{m};")),
        1 => Just(" startswith;".to_owned()),
        1 => Just(" endswith;".to_owned()),
        1 => (-2..3i8).prop_map(|n| format!(" distance:{n}; endswith;")),
        1 => Just(" fast_pattern;".to_owned()),
        1 => Just(" distance:v;".to_owned()),
        1 => Just(" offset:v;".to_owned()),
        1 => Just(" within:v;".to_owned()),
    ]
}

/// Places that need no byte variable.
fn plain_modifier() -> impl Strategy<Value = String> {
    modifier().prop_filter("a variable", |text| !text.contains(":v;"))
}

/// What may stand in a buffer of its own behind the payload's options.
fn tail() -> impl Strategy<Value = String> {
    let transform = prop::sample::select(vec![
        "dotprefix;",
        "strip_whitespace;",
        "compress_whitespace;",
        "to_lowercase;",
        "to_uppercase;",
        "url_decode;",
        "xor:\"01\";",
        "xor:\"6102\";",
    ]);
    let negation = prop_oneof![4 => Just(""), 1 => Just("!")];
    let contents = prop::collection::vec(
        (negation.clone(), pattern(), plain_modifier()).prop_map(|(n, p, m)| format!("content:{n}\"{p}\";{m}")),
        1..3,
    );
    let bytes = prop::sample::select(vec!["|69|", "|b0|", "|b0 01|", "|00|", "|1a|", "|06|", "i"]);
    let decoded = prop::collection::vec(
        (negation, bytes, plain_modifier()).prop_map(|(n, p, m)| format!("content:{n}\"{p}\";{m}")),
        1..3,
    );
    let decode = prop::sample::select(vec![
        "base64_decode:relative;",
        "base64_decode;",
        "base64_decode:offset 2;",
        "base64_decode:bytes 4, offset 1, relative;",
        "base64_decode:bytes 5;",
    ]);
    prop_oneof![
        4 => Just(String::new()),
        2 => (prop::collection::vec(transform, 1..4), contents)
            .prop_map(|(transforms, contents)| format!("pkt_data; {} {}", transforms.join(" "), contents.join(" "))),
        2 => (decode, decoded).prop_map(|(decode, contents)| format!("{decode} base64_data; {}", contents.join(" "))),
    ]
}

pub(super) fn option() -> impl Strategy<Value = String> {
    let negation = prop_oneof![4 => Just(""), 1 => Just("!")];
    let relative = prop_oneof![Just(""), Just(",relative")];
    prop_oneof![
        12 => (negation.clone(), pattern(), modifier()).prop_map(|(n, p, m)| format!("content:{n}\"{p}\";{m}")),
        1 => (negation.clone(), 0..12u8, relative.clone()).prop_map(|(n, a, r)| format!("isdataat:{n}{a}{r};")),
        1 => (2..20u8).prop_map(|n| format!("bsize:>{n};")),
        1 => (2..8u8, 6..20u8).prop_map(|(low, more)| format!("bsize:{low}<>{};", low + more)),
        1 => (prop::sample::select(vec!["<=", "!", "<", ">="]), 4..24u8).prop_map(|(o, n)| format!("bsize:{o}{n};")),
        3 => (
            negation.clone(),
            prop::sample::select(vec!["a+b", "[ab]{2}", "^a", "b$", "a.b", "b|A", "(a|ab)b?", "^.{1,3}b", "^a+b", "\\x00+", "(?=a).."]),
            prop::sample::select(vec!["", "R", "i", "s", "Ri", "Rs", "RG", "A", "RE"]),
        )
            .prop_map(|(n, e, f)| format!("pcre:{n}\"/{e}/{f}\";")),
        1 => (
            -2..4i8,
            prop::sample::select(vec!["+", "-", "*", "/", "<<", ">>"]),
            1..6u8,
            prop::sample::select(vec!["", ", relative", ", bitmask 0x0f", ", relative, bitmask 0x1c"]),
        )
            .prop_map(|(a, o, v, r)| format!("byte_math:bytes 1, offset {a}, oper {o}, rvalue {v}, result v{r};")),
        1 => (0..120u8, -2..4i8, relative.clone(), prop::sample::select(vec!["0x0f", "0xf0", "0x18"]))
            .prop_map(|(v, a, r, m)| format!("byte_test:1,>,{v},{a}{r},bitmask {m};")),
        1 => (prop::sample::select(vec!["<", ">", "=", "!=", "&", "<=", ">="]), 0..120u8, -2..4i8, relative.clone())
            .prop_map(|(o, v, a, r)| format!("byte_test:1,{o},{v},{a}{r};")),
        1 => (1..3u8, -2..4i8, relative.clone(), prop::sample::select(vec!["", ",little"]))
            .prop_map(|(c, a, r, e)| format!("byte_extract:{c},{a},v{r}{e};")),
        1 => (-2..4i8, relative, prop::sample::select(vec!["", ",from_beginning", ",post_offset -1", ",from_end,post_offset -4"]))
            .prop_map(|(a, r, e)| format!("byte_jump:1,{a}{r}{e};")),
    ]
}

pub(super) fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![
            12 => prop::sample::select(b"abAB".to_vec()),
            4 => 0..5u8,
            2 => any::<u8>(),
            2 => prop::sample::select(b" %+46=\n".to_vec()),
        ],
        1..24,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_global_rejects: 10_000_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_agrees_with_the_naive_one(
        rules in prop::collection::vec((prop::collection::vec(option(), 1..6), tail()), 1..7),
        payloads in prop::collection::vec(payload(), 1..4),
    ) {
        let texts: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(at, (options, tail))| {
                format!("alert tcp any any -> any any ({} {tail} sid:{};)", options.join(" "), at + 1)
            })
            .collect();
        let mut bench = Bench::of(&texts.join("\n"));
        for payload in &payloads {
            let mut expected = Vec::new();
            for rule in bench.set.rules() {
                let sid = rule.meta.sid;
                let buffers = buffer_tests(&rule.meta.text).unwrap();
                if rule_matches(&buffers, payload) {
                    expected.push(sid);
                }
            }
            expected.sort_unstable();
            let mut found = bench.sids(&tcp(payload));
            found.sort_unstable();
            prop_assert_eq!(found, expected, "payload {:?}, rules\n{}", payload.escape_ascii().to_string(), texts.join("\n"));
        }
    }
}

/// Each case is several rules on several payloads. `TIDEGATE_ORACLE_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("TIDEGATE_ORACLE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}
