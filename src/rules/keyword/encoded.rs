//! `base64_decode` and `asn1`: what stands in a buffer in another encoding.

use super::number::unsigned;
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::lex::{split, trim};
use crate::rules::plan::{Asn1, Base64, BufferTest};

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "base64_decode",
        "payload",
        "[bytes n][, offset n][, relative]",
        "Decodes base64 in the buffer, up to the first byte that is none; base64_data asks about the result.",
        base64_decode,
    )
    .value_optional(),
    option(
        "asn1",
        "payload",
        "[bitstring_overflow][, double_overflow][, oversize_length n][, absolute_offset n | relative_offset n]",
        "One of these oddities is in the BER objects of the payload.",
        asn1,
    ),
];

/// `word number` as word, number and the number's place.
pub(super) fn word_and_value<'t>(arg: &Arg<'t>, span: Span) -> (&'t str, &'t str, Span) {
    let text = arg.at(span);
    let (word, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let value_span = trim(arg.rule, Span::new(span.end - value.len(), span.end));
    (word, arg.at(value_span), value_span)
}

fn base64_decode(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut decode = Base64 { bytes: u16::MAX, offset: 0, relative: false, data: Box::default() };
    let parts = if arg.is_empty() { Vec::new() } else { split(arg.rule, arg.unquoted(), b',') };
    for part in parts {
        match word_and_value(arg, part) {
            ("relative", "", _) => decode.relative = true,
            ("bytes", number, span) => {
                decode.bytes = match unsigned(number, span, 65_535)? {
                    0 => u16::MAX,
                    bytes => bytes,
                }
            }
            ("offset", number, span) => decode.offset = unsigned(number, span, u32::MAX)?,
            (word, ..) => {
                return Err(Mistake::new(Code::Value, part, format!("`{word}` is not understood here"))
                    .help("the form is `base64_decode:bytes 12, offset 4, relative;`"));
            }
        }
    }
    draft.push(BufferTest::Base64(decode), arg.option());
    Ok(())
}

fn asn1(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut test = Asn1::default();
    let mut words = words(arg).into_iter();
    while let Some(span) = words.next() {
        let mut number = || words.next().ok_or_else(|| Mistake::new(Code::Value, span, "a number must follow"));
        match arg.at(span) {
            "bitstring_overflow" => test.bitstring_overflow = true,
            "double_overflow" => test.double_overflow = true,
            "oversize_length" => {
                let span = number()?;
                test.oversize_length = Some(unsigned(arg.at(span), span, u32::MAX)?);
            }
            "absolute_offset" => {
                let span = number()?;
                test.offset = unsigned(arg.at(span), span, 65_535)?;
                test.relative = false;
            }
            "relative_offset" => {
                let span = number()?;
                test.offset = super::number::integer(arg.at(span), span, -65_535, 65_535)?;
                test.relative = true;
            }
            other => {
                return Err(Mistake::new(Code::Value, span, format!("`{other}` is not understood here")).help(
                    "words are bitstring_overflow, double_overflow, oversize_length, absolute_offset, relative_offset",
                ));
            }
        }
    }
    if !test.bitstring_overflow && !test.double_overflow && test.oversize_length.is_none() {
        return Err(arg.wrong("no oddity is asked for").help("add `oversize_length 1024`, for example"));
    }
    draft.push_into(Buffer::PAYLOAD, BufferTest::Asn1(test), arg);
    Ok(())
}

/// Words between commas or spaces.
fn words(arg: &Arg<'_>) -> Vec<Span> {
    let whole = arg.unquoted();
    let mut words = Vec::new();
    let mut start = whole.start;
    for piece in arg.at(whole).split([',', ' ', '\t']) {
        let span = Span::new(start, start + piece.len());
        start = span.end + 1;
        if !piece.is_empty() {
            words.push(span);
        }
    }
    words
}
