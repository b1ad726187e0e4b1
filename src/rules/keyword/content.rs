//! `content` and what modifies it, and the other questions about a buffer's size.

use super::buffers::Buffer;
use super::number::{comparison, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::plan::{Absence, Amount, BufferTest, Content, FastPattern, IsDataAt, NumberTest, Pattern};

const FAMILY: &str = "payload";

/// No packet holds much more in one piece.
const PATTERN_BYTES_MAX: usize = 4_096;
const OFFSET_MAX: i64 = 65_535;
/// Suricata's limit for distance and within, either way.
const DISTANCE_MAX: i64 = 1_048_576;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("content", FAMILY, "[!]\"bytes|0d 0a|\"", "These bytes are in the buffer.", content),
    option("uricontent", "http", "[!]\"bytes|0d 0a|\"", "Old form of content in http.uri.", uricontent),
    option("urilen", "http", "[op]number | low<>high[,norm|raw]", "The length of the request URI.", urilen),
    option("nocase", FAMILY, "", "ASCII letters match in either case.", nocase),
    option("depth", FAMILY, "bytes | variable", "The content lies within so many bytes from its offset.", depth),
    option("offset", FAMILY, "bytes | variable", "The content begins at or after this byte.", offset),
    option("distance", FAMILY, "bytes | variable", "It begins so many bytes after the match before it.", distance),
    option("within", FAMILY, "bytes | variable", "It ends within so many bytes after the match before it.", within),
    option("startswith", FAMILY, "", "The content is the beginning of the buffer.", startswith),
    option("endswith", FAMILY, "", "The content is the end of the buffer.", endswith),
    option("rawbytes", FAMILY, "", "Accepted for old rules; payloads are never changed anyway.", rawbytes),
    option("fast_pattern", FAMILY, "[only | offset,length]", "Look for this content first.", fast_pattern)
        .value_optional(),
    option("isdataat", FAMILY, "[!]bytes[,relative][,rawbytes]", "The buffer has data at this byte.", isdataat),
    option(
        "absent",
        FAMILY,
        "[or_else]",
        "There is no such buffer; `or_else`: or there is, and the contents are in it.",
        absent,
    )
    .value_optional(),
    option("bsize", FAMILY, "[op]number | low<>high", "The length of the buffer.", bsize),
];

fn content(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let content = read_content(arg)?;
    draft.push(content, arg.option());
    Ok(())
}

pub(super) fn read_content(arg: &Arg<'_>) -> Result<BufferTest, Mistake> {
    let (negated, value) = match arg.text().strip_prefix('!') {
        Some(rest) => (true, super::super::lex::trim(arg.rule, Span::new(arg.span.end - rest.len(), arg.span.end))),
        None => (false, arg.span),
    };
    let inner = Arg { span: value, ..*arg }.quoted()?;
    let bytes = pattern_bytes(arg.at(inner), inner)?;
    if bytes.is_empty() {
        return Err(Mistake::new(Code::Pattern, value, "the pattern is empty"));
    }
    if bytes.len() > PATTERN_BYTES_MAX {
        let label = format!("{} bytes, and {PATTERN_BYTES_MAX} are allowed", bytes.len());
        return Err(
            Mistake::new(Code::Pattern, value, label).help("split it: the second half with `distance:0; within:N;`")
        );
    }
    let content = Content {
        pattern: Pattern::new(&bytes, false),
        negated,
        offset: None,
        depth: None,
        distance: None,
        within: None,
        startswith: false,
        endswith: false,
        fast_pattern: FastPattern::Unsaid,
    };
    Ok(BufferTest::Content(content))
}

/// The old way to say `http.uri; content:...`.
fn uricontent(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let content = read_content(arg)?;
    match Buffer::named("http.uri") {
        Some(buffer) => draft.push_into(buffer, content, arg),
        None => draft.push(content, arg.option()),
    }
    Ok(())
}

/// An old keyword that is a content in `buffer`.
pub(super) fn within_buffer(draft: &mut Draft<'_>, arg: &Arg<'_>, buffer: Buffer) -> Result<(), Mistake> {
    let content = read_content(arg)?;
    draft.push_into(buffer, content, arg);
    Ok(())
}

/// An old keyword whose content must be all that is in `buffer`.
pub(super) fn whole_buffer(draft: &mut Draft<'_>, arg: &Arg<'_>, buffer: Buffer) -> Result<(), Mistake> {
    let mut test = read_content(arg)?;
    if let BufferTest::Content(content) = &mut test {
        content.startswith = true;
        content.endswith = true;
    }
    draft.push_into(buffer, test, arg);
    Ok(())
}

/// A size of http.uri, or of http.uri.raw.
fn urilen(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = super::super::lex::split(arg.rule, arg.unquoted(), b',');
    let (number, buffer) = match parts.as_slice() {
        [number] => (*number, Buffer::HTTP_URI),
        [number, form] => match arg.at(*form) {
            "norm" => (*number, Buffer::HTTP_URI),
            "raw" => (*number, Buffer::HTTP_URI_RAW),
            _ => return Err(Mistake::new(Code::Value, *form, "neither `norm` nor `raw`")),
        },
        _ => return Err(arg.wrong("a length, and `norm` or `raw` at most")),
    };
    let test = match comparison(arg.rule, number, 65_535) {
        // Suricata loads such rules, which can never match.
        Err(Mistake { code: Code::EmptyRange, span, label, help }) => {
            draft.warnings.push(Mistake { code: Code::NeverMatches, span, label, help });
            BufferTest::Size(NumberTest::Less(0))
        }
        test => BufferTest::Size(test?),
    };
    draft.push_into(buffer, test, arg);
    Ok(())
}

/// Reads `text|0d 0A|text` with `\` escapes. `at` is where the text stands in the rule.
fn pattern_bytes(text: &str, at: Span) -> Result<Vec<u8>, Mistake> {
    let place = |from: usize, to: usize| Span::new(at.start + from, at.start + to);
    let mut bytes = Vec::with_capacity(text.len());
    let mut hex_since = None;
    let mut digit = None;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        let here = place(index, index + 1);
        if hex_since.is_some() {
            match (byte, char::from(byte).to_digit(16), digit) {
                (b'|', _, None) => hex_since = None,
                (b'|', _, Some(_)) => {
                    return Err(Mistake::new(Code::Pattern, here, "half a byte before this `|`")
                        .help("each byte is two hexadecimal digits"));
                }
                // Spaces may stand anywhere, as in Suricata.
                (b' ' | b'\t', _, _) => {}
                (_, None, _) => {
                    return Err(Mistake::new(Code::Pattern, here, "no hexadecimal digit")
                        .help("between `|` and `|` stand bytes such as `0d 0a`; write a plain `|` as `|7c|`"));
                }
                (_, Some(low), Some(high)) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or(0));
                    digit = None;
                }
                (_, Some(high), None) => digit = Some(high),
            }
        } else if escaped {
            if !matches!(byte, b'"' | b';' | b':' | b'\\') {
                return Err(Mistake::new(Code::Pattern, place(index - 1, index + 1), "unknown escape")
                    .help("only `\\\"`, `\\;`, `\\:` and `\\\\` exist; write other bytes in hex: `|0a|`"));
            }
            bytes.push(byte);
            escaped = false;
        } else {
            match byte {
                b'|' => hex_since = Some(here),
                b'\\' => escaped = true,
                b'"' => {
                    return Err(Mistake::new(Code::Pattern, here, "a quote inside of the pattern")
                        .help("write `\\\"` or `|22|`"));
                }
                _ => bytes.push(byte),
            }
        }
    }
    match hex_since {
        Some(open) => Err(Mistake::new(Code::Pattern, open, "this `|` is never closed")
            .help("bytes stand between two `|`; write a plain `|` as `|7c|`")),
        None if escaped => Err(Mistake::new(Code::Pattern, at, "the pattern ends in a `\\`").help("write `\\\\`")),
        None => Ok(bytes),
    }
}

fn nocase(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let content = draft.content(arg)?;
    content.pattern = Pattern::new(content.pattern.bytes(), true);
    Ok(())
}

fn conflict(arg: &Arg<'_>, with: &str) -> Mistake {
    let name = arg.at(arg.name);
    Mistake::new(Code::Conflict, arg.option(), format!("`{name}` and `{with}` on one content"))
        .help("offset, depth and startswith count from the buffer's start; distance and within from the match before")
}

fn place(draft: &Draft<'_>, arg: &Arg<'_>, low: i64, high: i64) -> Result<Amount, Mistake> {
    draft.amount(arg, arg.unquoted(), low, high)
}

fn set_once(slot: &mut Option<Amount>, amount: Amount, arg: &Arg<'_>) -> Result<(), Mistake> {
    super::once(slot, amount, arg)
}

fn depth(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let amount = place(draft, arg, 1, OFFSET_MAX)?;
    let content = draft.content(arg)?;
    if content.is_relative() {
        return Err(conflict(arg, "distance/within"));
    }
    if content.startswith {
        return Err(conflict(arg, "startswith"));
    }
    set_once(&mut content.depth, amount, arg)
}

fn offset(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let amount = place(draft, arg, 0, OFFSET_MAX)?;
    let content = draft.content(arg)?;
    if content.is_relative() {
        return Err(conflict(arg, "distance/within"));
    }
    if content.startswith {
        return Err(conflict(arg, "startswith"));
    }
    set_once(&mut content.offset, amount, arg)
}

fn distance(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let amount = place(draft, arg, -DISTANCE_MAX, DISTANCE_MAX)?;
    let content = draft.content(arg)?;
    if content.startswith || content.offset.is_some() || content.depth.is_some() {
        return Err(conflict(arg, "offset/depth/startswith"));
    }
    set_once(&mut content.distance, amount, arg)
}

fn within(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let amount = place(draft, arg, 1, DISTANCE_MAX)?;
    let content = draft.content(arg)?;
    if content.startswith || content.offset.is_some() || content.depth.is_some() {
        return Err(conflict(arg, "offset/depth/startswith"));
    }
    set_once(&mut content.within, amount, arg)
}

fn startswith(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let content = draft.content(arg)?;
    if content.is_relative() {
        return Err(conflict(arg, "distance/within"));
    }
    if content.depth.is_some() || content.offset.is_some() {
        return Err(conflict(arg, "offset/depth"));
    }
    content.startswith = true;
    Ok(())
}

fn endswith(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.content(arg)?.endswith = true;
    Ok(())
}

fn rawbytes(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.content(arg).map(|_| ())
}

fn fast_pattern(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let chosen = match arg.at(arg.unquoted()) {
        "" => FastPattern::Chosen,
        "only" => FastPattern::Only,
        _ => chop(arg)?,
    };
    let content = draft.content(arg)?;
    if content.fast_pattern != FastPattern::Unsaid {
        return Err(Mistake::new(Code::Repeated, arg.option(), "`fast_pattern` stands here a second time"));
    }
    if let FastPattern::Chop { offset, length } = chosen
        && usize::from(offset) + usize::from(length) > content.pattern.len()
    {
        let label = format!("the pattern has {} bytes", content.pattern.len());
        return Err(Mistake::new(Code::Value, arg.span, label));
    }
    content.fast_pattern = chosen;
    Ok(())
}

fn chop(arg: &Arg<'_>) -> Result<FastPattern, Mistake> {
    let parts = arg.parts();
    let [offset, length] = parts.as_slice() else {
        return Err(arg.wrong("neither `only` nor `offset,length`"));
    };
    let offset: u16 = unsigned(arg.at(*offset), *offset, u32::from(u16::MAX))?;
    let length_value: u16 = unsigned(arg.at(*length), *length, u32::from(u16::MAX))?;
    if length_value == 0 {
        return Err(Mistake::new(Code::Value, *length, "no byte would be left"));
    }
    Ok(FastPattern::Chop { offset, length: length_value })
}

fn isdataat(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let whole = arg.unquoted();
    let parts = super::super::lex::split(arg.rule, whole, b',');
    let (first, flags) = parts.split_first().ok_or_else(|| arg.wrong("a number of bytes is missing"))?;
    let (negated, number) = match arg.at(*first).strip_prefix('!') {
        Some(rest) => (true, super::super::lex::trim(arg.rule, Span::new(first.end - rest.len(), first.end))),
        None => (false, *first),
    };
    let amount = draft.amount(arg, number, 0, OFFSET_MAX)?;
    let mut relative = false;
    for flag in flags {
        match arg.at(*flag) {
            "relative" => relative = true,
            "rawbytes" => {}
            other => {
                return Err(Mistake::new(
                    Code::Value,
                    *flag,
                    format!("`{other}` is neither `relative` nor `rawbytes`"),
                ));
            }
        }
    }
    draft.push(BufferTest::IsDataAt(IsDataAt { amount, relative, negated }), arg.option());
    Ok(())
}

fn absent(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let absence = match arg.text() {
        "" => Absence::Required,
        "or_else" => Absence::Counts,
        other => {
            return Err(arg.wrong(format!("`{other}` is not understood here")).help("`absent;` or `absent:or_else;`"));
        }
    };
    let current = draft.current.and_then(|at| draft.buffers.get_mut(at));
    let Some(current) = current.filter(|current| current.buffer.is_app()) else {
        return Err(Mistake::new(Code::Conflict, arg.option(), "no buffer is selected that could be absent")
            .help("it stands behind a sticky buffer of a protocol: `http.referer; absent;`"));
    };
    if !current.tests.is_empty() || current.absence != Absence::Fails {
        return Err(Mistake::new(Code::Conflict, arg.option(), "`absent` stands first behind its buffer"));
    }
    current.absence = absence;
    Ok(())
}

fn bsize(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.unquoted(), u32::MAX)?;
    draft.push(BufferTest::Size(test), arg.option());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bytes() {
        let cases: [(&str, &[u8]); 6] = [
            ("abc", b"abc"),
            ("a|0d 0A|b", b"a\r\nb"),
            ("|41424344|", b"ABCD"),
            ("|3 a4  1 |", b":A"),
            (r#"\"\;\:\\"#, b"\";:\\"),
            ("é|00|", b"\xc3\xa9\0"),
        ];
        for (text, bytes) in cases {
            assert_eq!(pattern_bytes(text, Span::new(0, text.len())).unwrap(), bytes, "{text}");
        }
        for text in ["|0|", "|0 |", "|zz|", "a|00", r"\n", "a\\", "a\"b"] {
            assert_eq!(pattern_bytes(text, Span::new(0, text.len())).map_err(|m| m.code), Err(Code::Pattern), "{text}");
        }
    }
}
