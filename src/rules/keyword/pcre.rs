//! `pcre`: regular expressions, through PCRE2 with its compiler to machine code and with match limits.
//!
//! Rules are written for PCRE (look-around, back-references, possessive groups), which no engine of linear time
//! accepts. The limits make a hostile payload cost little; beyond them there is no match, and that is counted.

use std::sync::Arc;

use pcre2::bytes::RegexBuilder;

use super::buffers::Buffer;
use super::{Arg, Draft, Keyword, Need, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::trim;
use crate::rules::plan::{BufferTest, Pcre};

/// Suricata's defaults for `pcre.match-limit` and `pcre.match-limit-recursion`.
pub(super) const LIMITS: &str = "(*LIMIT_MATCH=3500)(*LIMIT_DEPTH=1500)";

pub(super) static KEYWORDS: &[Keyword] = &[option(
    "pcre",
    "payload",
    "[!]\"/expression/[ismxAGRO][UIPQHDMCSYVWZB]\"",
    "A regular expression matches in the buffer; R: after the match before it.",
    pcre,
)];

#[derive(Default)]
struct Flags {
    relative: bool,
    unlimited: bool,
    anchored: bool,
    ungreedy: bool,
    extended: bool,
    dollar_endonly: bool,
    buffer: Option<&'static str>,
}

/// The buffer that a modifier letter stands for.
fn buffer_of(letter: char) -> Option<&'static str> {
    Some(match letter {
        'U' => "http.uri",
        'I' => "http.uri.raw",
        'P' => "http.request_body",
        'Q' => "http.response_body",
        'H' => "http.header",
        'D' => "http.header.raw",
        'M' => "http.method",
        'C' => "http.cookie",
        'S' => "http.stat_code",
        'Y' => "http.stat_msg",
        'V' => "http.user_agent",
        'W' => "http.host",
        'Z' => "http.host.raw",
        _ => return None,
    })
}

fn pcre(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (negated, value) = match arg.text().strip_prefix('!') {
        Some(rest) => (true, trim(arg.rule, Span::new(arg.span.end - rest.len(), arg.span.end))),
        None => (false, arg.span),
    };
    let inner = Arg { span: value, ..*arg }.quoted()?;
    let (expression, letters) = parts(arg, inner)?;
    let mut builder = RegexBuilder::new();
    let flags = read_flags(arg, letters, &mut builder)?;
    let text = arg.at(expression);
    if flags.dollar_endonly && text.contains('$') {
        draft.needs.push((Need::Never("the flag E changes `$`, and that is not supported; write `\\z`"), letters));
    }
    if text.contains("(?P<flow_") || text.contains("(?P<pkt_") {
        draft.needs.push((Need::Never("captures into variables are not there yet"), expression));
    }
    let regex = builder.jit_if_available(true).build(&bounded(text, &flags)).map_err(|error| {
        let at = error.offset().map_or(expression, |offset| place(text, &flags, expression, offset));
        Mistake::new(Code::Value, at, error.to_string())
    })?;
    let test = BufferTest::Pcre(Pcre { regex: Arc::new(regex), relative: flags.relative, negated });
    match flags.buffer.and_then(Buffer::named) {
        Some(buffer) => draft.push_into(buffer, test, arg),
        None => draft.push(test, arg.option()),
    }
    Ok(())
}

/// Cuts `/expression/flags`.
fn parts(arg: &Arg<'_>, inner: Span) -> Result<(Span, Span), Mistake> {
    let text = arg.at(inner);
    let form = || {
        Mistake::new(Code::Value, inner, "the expression must stand between slashes")
            .help("for example `pcre:\"/^user=[a-z]+/i\";`")
    };
    let body = text.strip_prefix('/').ok_or_else(form)?;
    let end = body.rfind('/').ok_or_else(form)?;
    let start = inner.start + 1;
    Ok((Span::new(start, start + end), Span::new(start + end + 1, inner.end)))
}

fn read_flags(arg: &Arg<'_>, letters: Span, builder: &mut RegexBuilder) -> Result<Flags, Mistake> {
    let mut flags = Flags::default();
    for (at, letter) in arg.at(letters).char_indices() {
        let here = Span::new(letters.start + at, letters.start + at + letter.len_utf8());
        match letter {
            'i' => drop(builder.caseless(true)),
            's' => drop(builder.dotall(true)),
            'm' => drop(builder.multi_line(true)),
            'x' => {
                builder.extended(true);
                flags.extended = true;
            }
            'A' => flags.anchored = true,
            'G' => flags.ungreedy = true,
            'E' => flags.dollar_endonly = true,
            'R' => flags.relative = true,
            'O' => flags.unlimited = true,
            'B' => {}
            ' ' => {}
            _ => match buffer_of(letter) {
                Some(name) if flags.buffer.is_none_or(|before| before == name) => flags.buffer = Some(name),
                Some(_) => {
                    return Err(Mistake::new(Code::Conflict, here, "a second buffer for one expression"));
                }
                None => return Err(Mistake::new(Code::Value, here, format!("`{letter}` is no flag of pcre"))),
            },
        }
    }
    Ok(flags)
}

fn prefix(flags: &Flags) -> String {
    let limits = if flags.unlimited { "" } else { LIMITS };
    let ungreedy = if flags.ungreedy { "(?U)" } else { "" };
    let anchor = if flags.anchored { "\\A(?:" } else { "" };
    format!("{limits}{ungreedy}{anchor}")
}

/// The expression with its limits, and with those flags that PCRE2 takes as text.
fn bounded(text: &str, flags: &Flags) -> String {
    let end = match (flags.anchored, flags.extended) {
        (true, true) => "\n)",
        (true, false) => ")",
        _ => "",
    };
    format!("{}{text}{end}", prefix(flags))
}

/// One character of the rule for an offset into the bounded expression.
fn place(text: &str, flags: &Flags, expression: Span, offset: usize) -> Span {
    let at = offset.saturating_sub(prefix(flags).len()).min(text.len().saturating_sub(1));
    if text.is_char_boundary(at) { Span::new(expression.start + at, expression.start + at + 1) } else { expression }
}
