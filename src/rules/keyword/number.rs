//! Numbers, and comparisons with numbers, as all integer keywords write them.

use super::{Arg, Draft};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::plan::NumberTest;

/// A decimal or `0x` number within `low..=high`.
pub(super) fn integer(text: &str, span: Span, low: i64, high: i64) -> Result<i64, Mistake> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse::<i64>(),
    };
    let value = parsed
        .ok()
        .filter(|_| digits.starts_with(|first: char| first.is_ascii_digit()))
        .and_then(|value| value.checked_mul(sign))
        .ok_or_else(|| Mistake::new(Code::Value, span, format!("`{text}` is no number")))?;
    if value < low || value > high {
        return Err(Mistake::new(Code::Value, span, format!("{value} is not within {low} to {high}")));
    }
    Ok(value)
}

/// Like [`integer`], for fields of `T`'s width.
pub(super) fn unsigned<T: TryFrom<i64>>(text: &str, span: Span, high: u32) -> Result<T, Mistake> {
    let value = integer(text, span, 0, i64::from(high))?;
    T::try_from(value).map_err(|_| Mistake::new(Code::Value, span, format!("{value} is too large")))
}

/// Like [`comparison`], for numbers of 63 bits.
pub(super) fn comparison64(rule: &str, span: Span) -> Result<NumberTest, Mistake> {
    compared(rule, span, i64::MAX)
}

/// `5`, `!5`, `<5`, `<=5`, `>5`, `>=5`, `5<>9` or `5-9` (both ends excluded), `!5-9`.
pub(super) fn comparison(rule: &str, span: Span, high: u32) -> Result<NumberTest, Mistake> {
    compared(rule, span, i64::from(high))
}

fn compared(rule: &str, span: Span, high: i64) -> Result<NumberTest, Mistake> {
    let text = span.of(rule);
    let number = |text: &str| integer(text.trim(), span, 0, high).map(i64::unsigned_abs);
    for (prefix, make) in OPERATORS {
        if let Some(rest) = text.strip_prefix(prefix)
            && !(*prefix == "!" && rest.contains('-'))
            && !(*prefix == "<" && rest.starts_with('>'))
        {
            return number(rest).map(make);
        }
    }
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some((low, top)) = text.split_once("<>").or_else(|| text.split_once('-')) else {
        return number(text).map(NumberTest::Equal);
    };
    let (low, top) = (number(low)?, number(top)?);
    if low >= top {
        return Err(Mistake::new(Code::Value, span, "the range is empty or runs backwards"));
    }
    if !negated && top - low < 2 {
        return Err(Mistake::new(Code::EmptyRange, span, "no number lies between these: both ends are excluded"));
    }
    Ok(if negated { NumberTest::Outside(low, top) } else { NumberTest::Between(low, top) })
}

/// Asks a number of the transaction; it may be written by one of `names`, too.
pub(super) fn push_number(
    draft: &mut Draft<'_>,
    arg: &Arg<'_>,
    field: Field,
    names: &[(&'static str, u16)],
    high: u32,
) -> Result<(), Mistake> {
    let (negated, word) = match arg.text().strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, arg.text()),
    };
    let test = match names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        Some((_, number)) if negated => NumberTest::NotEqual((*number).into()),
        Some((_, number)) => NumberTest::Equal((*number).into()),
        None => comparison(arg.rule, arg.span, high)?,
    };
    draft.app.push((AppTest::Number { field, test }, arg.option()));
    Ok(())
}

type Make = fn(u64) -> NumberTest;

const OPERATORS: &[(&str, Make)] = &[
    ("<=", NumberTest::LessOrEqual),
    (">=", NumberTest::GreaterOrEqual),
    ("!=", NumberTest::NotEqual),
    ("<", NumberTest::Less),
    (">", NumberTest::Greater),
    ("=", NumberTest::Equal),
    ("!", NumberTest::NotEqual),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_read_as_written() {
        let cases = [
            ("5", NumberTest::Equal(5)),
            ("!5", NumberTest::NotEqual(5)),
            ("< 5", NumberTest::Less(5)),
            (">=5", NumberTest::GreaterOrEqual(5)),
            ("5<>9", NumberTest::Between(5, 9)),
            ("5 - 9", NumberTest::Between(5, 9)),
            ("!5-9", NumberTest::Outside(5, 9)),
            ("0x10", NumberTest::Equal(16)),
        ];
        for (text, test) in cases {
            assert_eq!(comparison(text, Span::new(0, text.len()), 255), Ok(test), "{text}");
        }
        for text in ["", "x", "9<>5", "5<>6", "256", "<", "1<>2<>3", "--1", "+-1"] {
            assert!(comparison(text, Span::new(0, text.len()), 255).is_err(), "{text}");
        }
    }
}
