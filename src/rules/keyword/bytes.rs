//! `byte_test`, `byte_jump`, `byte_extract` and `byte_math`: numbers read from a buffer.

use super::number::{integer, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::{split, trim};
use crate::rules::plan::{
    Amount, BufferTest, ByteExtract, ByteJump, ByteMath, ByteOperator, ByteTest, JumpFrom, MathOperator, Number,
    NumberForm,
};

const FAMILY: &str = "payload";

/// Bytes of a binary number, and digits of a text one: the longest octal 64-bit number with its zero.
const BINARY_BYTES_MAX: i64 = 8;
const TEXT_BYTES_MAX: i64 = 23;
const OFFSET_MAX: i64 = 65_535;

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "byte_test",
        FAMILY,
        "bytes,[!]op,value,offset[,relative][,big|little|dce][,string,hex|dec|oct][,bitmask value]",
        "A number in the buffer compares so; op is one of < > = <= >= & ^.",
        byte_test,
    ),
    option(
        "byte_jump",
        FAMILY,
        "bytes,offset[,relative][,multiplier n][,big|little|dce][,string,hex|dec|oct][,align][,from_beginning|from_end][,post_offset n][,bitmask value]",
        "Moves the position by a number in the buffer.",
        byte_jump,
    ),
    option(
        "byte_extract",
        FAMILY,
        "bytes,offset,variable[,relative][,multiplier n][,big|little|dce][,string,hex|dec|oct][,align 2|4][,bitmask value]",
        "Puts a number of the buffer into a variable for later options.",
        byte_extract,
    ),
    option(
        "byte_math",
        FAMILY,
        "bytes n, offset n, oper op, rvalue n, result name[, relative][, endian big|little][, string hex|dec|oct][, dce][, bitmask n]",
        "Computes with a number of the buffer; op is one of + - * / << >>.",
        byte_math,
    ),
];

/// The flags that all four share.
#[derive(Default)]
struct Flags {
    relative: bool,
    little: bool,
    text: bool,
    base: Option<u32>,
    dce: bool,
    align: u8,
    multiplier: Option<u32>,
    bitmask: Option<u32>,
    from: Option<JumpFrom>,
    post_offset: i32,
}

impl Flags {
    /// Takes `word value`; false if the word is none of the shared flags.
    fn take(&mut self, arg: &Arg<'_>, span: Span) -> Result<bool, Mistake> {
        let text = arg.at(span);
        let (word, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let value_span = trim(arg.rule, Span::new(span.end - value.len(), span.end));
        let value = arg.at(value_span);
        match (word, value) {
            ("relative", "") => self.relative = true,
            ("big", "") => self.little = false,
            ("little", "") => self.little = true,
            ("endian", "big") => self.little = false,
            ("endian", "little") => self.little = true,
            ("string", "") => self.text = true,
            ("string", base) => {
                self.text = true;
                self.base = Some(number_base(base).ok_or_else(|| wrong_flag(value_span, base))?);
            }
            ("hex" | "dec" | "oct", "") => self.base = number_base(word),
            ("dce", "") => self.dce = true,
            ("align", "") => self.align = 4,
            ("align", _) => self.align = alignment(value, value_span)?,
            ("multiplier", _) => self.multiplier = Some(unsigned(value, value_span, 65_535)?),
            ("bitmask", _) => self.bitmask = Some(mask(value, value_span)?),
            ("from_beginning", "") => self.from = Some(JumpFrom::Beginning),
            ("from_end", "") => self.from = Some(JumpFrom::End),
            ("post_offset", _) => {
                let offset = integer(value, value_span, -OFFSET_MAX, OFFSET_MAX)?;
                self.post_offset = i32::try_from(offset).unwrap_or(0);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_all(arg: &Arg<'_>, spans: &[Span]) -> Result<Flags, Mistake> {
        let mut flags = Flags::default();
        for span in spans {
            if !flags.take(arg, *span)? {
                return Err(wrong_flag(*span, arg.at(*span)));
            }
        }
        Ok(flags)
    }

    fn number(&self, count: Amount, span: Span) -> Result<Number, Mistake> {
        let form = match (self.text, self.little) {
            (true, _) => NumberForm::Text(self.base.unwrap_or(10)),
            _ if self.dce => NumberForm::Dce,
            (false, true) => NumberForm::LittleEndian,
            (false, false) => NumberForm::BigEndian,
        };
        let most = if self.text { TEXT_BYTES_MAX } else { BINARY_BYTES_MAX };
        // As text, 0 bytes are as many as are digits.
        let least = i64::from(!self.text);
        if let Amount::Number(bytes) = count
            && !(least..=most).contains(&bytes)
        {
            return Err(Mistake::new(Code::Value, span, format!("{least} to {most} bytes can be read, not {bytes}"))
                .help("digits as text need `string`"));
        }
        if !self.text && self.base.is_some() {
            return Err(Mistake::new(Code::Conflict, span, "a number base without `string`")
                .help("add `string` to read digits"));
        }
        Ok(Number { count, form, bitmask: self.bitmask })
    }
}

fn wrong_flag(span: Span, text: &str) -> Mistake {
    Mistake::new(Code::Value, span, format!("`{text}` is not understood here"))
}

fn number_base(name: &str) -> Option<u32> {
    match name {
        "hex" => Some(16),
        "dec" => Some(10),
        "oct" => Some(8),
        _ => None,
    }
}

fn alignment(text: &str, span: Span) -> Result<u8, Mistake> {
    match text {
        "2" => Ok(2),
        "4" => Ok(4),
        _ => Err(Mistake::new(Code::Value, span, "numbers are aligned to 2 or 4")),
    }
}

/// A mask is hexadecimal, with or without `0x`.
fn mask(text: &str, span: Span) -> Result<u32, Mistake> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|mask| *mask != 0)
        .ok_or_else(|| Mistake::new(Code::Value, span, "a mask is a hexadecimal number of at most 32 bits, not 0"))
}

fn byte_test(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let [count, operator, value, offset, flags @ ..] = parts.as_slice() else {
        return Err(arg.wrong("bytes, operator, value and offset are needed"));
    };
    let flags = Flags::read_all(arg, flags)?;
    let (negated, operator) = byte_operator(arg.at(*operator), *operator)?;
    let test = ByteTest {
        number: flags.number(draft.amount(arg, *count, 0, TEXT_BYTES_MAX)?, *count)?,
        negated,
        operator,
        value: value_amount(draft, arg, *value)?,
        offset: draft.amount(arg, *offset, -OFFSET_MAX, OFFSET_MAX)?,
        relative: flags.relative,
    };
    draft.push(BufferTest::ByteTest(test), arg.option());
    Ok(())
}

fn byte_operator(text: &str, span: Span) -> Result<(bool, ByteOperator), Mistake> {
    let (negated, operator) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let operator = match operator {
        "<" => ByteOperator::Less,
        ">" => ByteOperator::Greater,
        "=" | "==" => ByteOperator::Equal,
        "" if negated => ByteOperator::Equal,
        "<=" => ByteOperator::LessOrEqual,
        ">=" => ByteOperator::GreaterOrEqual,
        "&" => ByteOperator::And,
        "^" => ByteOperator::Or,
        _ => {
            return Err(Mistake::new(Code::Value, span, format!("`{text}` is no operator"))
                .help("operators are < > = <= >= & ^, each also with ! before it"));
        }
    };
    Ok((negated, operator))
}

/// A value may be as large as 64 bits allow.
fn value_amount(draft: &Draft<'_>, arg: &Arg<'_>, span: Span) -> Result<Amount, Mistake> {
    let text = arg.at(span);
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let wide = match digits {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse::<u64>().ok(),
    };
    match wide {
        Some(value) => Ok(Amount::Number(i64::from_ne_bytes(value.to_ne_bytes()))),
        None => draft.amount(arg, span, 0, i64::MAX),
    }
}

fn byte_jump(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let [count, offset, flags @ ..] = parts.as_slice() else {
        return Err(arg.wrong("bytes and offset are needed"));
    };
    let flags = Flags::read_all(arg, flags)?;
    // Zero bytes: jump by post_offset alone.
    let count_amount = draft.amount(arg, *count, 0, TEXT_BYTES_MAX)?;
    let number = match count_amount {
        Amount::Number(0) => Number { count: count_amount, form: NumberForm::BigEndian, bitmask: None },
        _ => flags.number(count_amount, *count)?,
    };
    let jump = ByteJump {
        number,
        offset: draft.amount(arg, *offset, -OFFSET_MAX, OFFSET_MAX)?,
        relative: flags.relative,
        multiplier: flags.multiplier.unwrap_or(1),
        align: flags.align != 0,
        from: flags.from.unwrap_or(JumpFrom::Here),
        post_offset: flags.post_offset,
    };
    draft.push(BufferTest::ByteJump(jump), arg.option());
    Ok(())
}

fn byte_extract(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let [count, offset, name, flags @ ..] = parts.as_slice() else {
        return Err(arg.wrong("bytes, offset and the name of a variable are needed"));
    };
    let flags = Flags::read_all(arg, flags)?;
    let count_amount = Amount::Number(integer(arg.at(*count), *count, 0, TEXT_BYTES_MAX)?);
    let extract = ByteExtract {
        number: flags.number(count_amount, *count)?,
        offset: integer(arg.at(*offset), *offset, -OFFSET_MAX, OFFSET_MAX)?,
        relative: flags.relative,
        multiplier: flags.multiplier.unwrap_or(1),
        align: flags.align,
        into: variable_name(draft, arg, *name)?,
    };
    draft.push(BufferTest::ByteExtract(extract), arg.option());
    Ok(())
}

fn variable_name(draft: &mut Draft<'_>, arg: &Arg<'_>, span: Span) -> Result<u8, Mistake> {
    let name = arg.at(span);
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return Err(Mistake::new(Code::Value, span, "the name of a variable begins with a letter"));
    }
    draft.define(name, span)
}

fn byte_math(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut named: [Option<Span>; 5] = [None; 5];
    let mut flags = Flags::default();
    const NAMES: [&str; 5] = ["bytes", "offset", "oper", "rvalue", "result"];
    for span in split(arg.rule, arg.unquoted(), b',') {
        let text = arg.at(span);
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let slot = NAMES.iter().position(|name| *name == word).and_then(|at| named.get_mut(at));
        match slot {
            Some(slot) => *slot = Some(trim(arg.rule, Span::new(span.end - rest.len(), span.end))),
            None if flags.take(arg, span)? => {}
            None => return Err(wrong_flag(span, text)),
        }
    }
    let [Some(count), Some(offset), Some(operator), Some(value), Some(result)] = named else {
        return Err(arg.wrong("bytes, offset, oper, rvalue and result are all needed"));
    };
    let math = ByteMath {
        number: flags.number(draft.amount(arg, count, 0, TEXT_BYTES_MAX)?, count)?,
        offset: integer(arg.at(offset), offset, -OFFSET_MAX, OFFSET_MAX)?,
        relative: flags.relative,
        operator: math_operator(arg.at(operator), operator)?,
        value: value_amount(draft, arg, value)?,
        into: variable_name(draft, arg, result)?,
    };
    if math.operator == MathOperator::Divide && math.value == Amount::Number(0) {
        return Err(Mistake::new(Code::Value, value, "division by zero"));
    }
    draft.push(BufferTest::ByteMath(math), arg.option());
    Ok(())
}

fn math_operator(text: &str, span: Span) -> Result<MathOperator, Mistake> {
    Ok(match text {
        "+" => MathOperator::Add,
        "-" => MathOperator::Subtract,
        "*" => MathOperator::Multiply,
        "/" => MathOperator::Divide,
        "<<" => MathOperator::ShiftLeft,
        ">>" => MathOperator::ShiftRight,
        _ => return Err(Mistake::new(Code::Value, span, format!("`{text}` is none of + - * / << >>"))),
    })
}
