//! The fast path held to a naive one: each rule on each payload, straight from the options in the order of the rule,
//! trying every place of every content. No prefilter, no groups, no chains, no order of cost.

use proptest::prelude::*;

use super::tests::{Bench, tcp};
use crate::rules::compile::payload_tests;
use crate::rules::plan::{
    Amount, BufferTest, ByteExtract, ByteJump, ByteOperator, ByteTest, Content, JumpFrom, Number, NumberForm,
    VARIABLE_COUNT_MAX,
};

type Variables = [u64; VARIABLE_COUNT_MAX];

/// Whether some choice of places satisfies all tests.
fn naive(tests: &[BufferTest], buffer: &[u8], position: i64, variables: Variables) -> bool {
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
            let there = if test.relative { position + amount <= length } else { amount < length };
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
        BufferTest::ByteMath(_) | BufferTest::Pcre(_) | BufferTest::Base64(_) | BufferTest::Asn1(_) => {
            unreachable!("not generated")
        }
    }
}

fn value(amount: Amount, variables: &Variables) -> i64 {
    match amount {
        Amount::Number(number) => number,
        Amount::Variable(at) => variables[usize::from(at)] as i64,
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
        let from = position + limit(content.distance).unwrap_or(0);
        start >= from && limit(content.within).is_none_or(|within| end <= from + within)
    } else {
        let from = limit(content.offset).unwrap_or(0);
        start >= from && limit(content.depth).is_none_or(|depth| end <= from + depth)
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
    Some(value)
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

fn option() -> impl Strategy<Value = String> {
    let negation = prop_oneof![4 => Just(""), 1 => Just("!")];
    let relative = prop_oneof![Just(""), Just(",relative")];
    prop_oneof![
        12 => (negation.clone(), pattern(), modifier()).prop_map(|(n, p, m)| format!("content:{n}\"{p}\";{m}")),
        1 => (negation.clone(), 0..12u8, relative.clone()).prop_map(|(n, a, r)| format!("isdataat:{n}{a}{r};")),
        1 => (2..20u8).prop_map(|n| format!("bsize:>{n};")),
        1 => (prop::sample::select(vec!["<", ">", "=", "!=", "&", "<=", ">="]), 0..120u8, -2..4i8, relative.clone())
            .prop_map(|(o, v, a, r)| format!("byte_test:1,{o},{v},{a}{r};")),
        1 => (1..3u8, -2..4i8, relative.clone(), prop::sample::select(vec!["", ",little"]))
            .prop_map(|(c, a, r, e)| format!("byte_extract:{c},{a},v{r}{e};")),
        1 => (-2..4i8, relative, prop::sample::select(vec!["", ",from_beginning", ",post_offset -1", ",from_end,post_offset -4"]))
            .prop_map(|(a, r, e)| format!("byte_jump:1,{a}{r}{e};")),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![6 => prop::sample::select(b"abAB".to_vec()), 2 => 0..5u8, 1 => any::<u8>()],
        1..24,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_global_rejects: 10_000_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_agrees_with_the_naive_one(
        rules in prop::collection::vec(prop::collection::vec(option(), 1..6), 1..7),
        payloads in prop::collection::vec(payload(), 1..4),
    ) {
        let texts: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(at, options)| format!("alert tcp any any -> any any ({} sid:{};)", options.join(" "), at + 1))
            .collect();
        let mut bench = Bench::of(&texts.join("\n"));
        for payload in &payloads {
            let mut expected = Vec::new();
            for rule in bench.set.rules() {
                let sid = rule.meta.sid;
                let tests = payload_tests(&rule.meta.text).unwrap();
                if naive(&tests, payload, 0, Variables::default()) {
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
