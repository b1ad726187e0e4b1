//! `pcre`: regular expressions, through PCRE2 with its compiler to machine code and with match limits.
//!
//! Rules are written for PCRE (look-around, back-references, possessive groups), which no engine of linear time
//! accepts. The limits make a hostile payload cost little; beyond them there is no match, and that is counted.

use std::fmt;
use std::sync::Arc;

use pcre2::bytes::{Regex, RegexBuilder};

use super::buffers::Buffer;
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::{split, trim};
use crate::rules::needle::{Hint, Mode};
use crate::rules::plan::{BufferTest, Capture, Pcre, VariableScope};

/// Groups of one expression that become variables, as in Suricata.
const CAPTURE_COUNT_MAX: usize = 8;

/// How much work one match may be: `pcre.match-limit` and `pcre.match-limit-recursion`. 0 is no limit of ours; PCRE2's
/// own stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcreLimits {
    pub match_limit: u32,
    pub recursion_limit: u32,
}

/// Suricata's defaults.
impl Default for PcreLimits {
    fn default() -> Self {
        PcreLimits { match_limit: 3_500, recursion_limit: 1_500 }
    }
}

/// As PCRE2 wants them at the beginning of an expression.
impl fmt::Display for PcreLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, limit) in [("MATCH", self.match_limit), ("DEPTH", self.recursion_limit)] {
            if limit > 0 {
                write!(f, "(*LIMIT_{name}={limit})")?;
            }
        }
        Ok(())
    }
}

pub(super) static KEYWORDS: &[Keyword] = &[option(
    "pcre",
    "payload",
    "[!]\"/expression/[ismxAEGROB][UIPQHDMCSYVWZ]\"[, flow:name, pkt:name]",
    "A regular expression matches in the buffer; R: after the match before it. Groups named flow_x and pkt_x are kept.",
    pcre,
)];

#[derive(Default)]
struct Flags {
    caseless: bool,
    relative: bool,
    unlimited: bool,
    anchored: bool,
    ungreedy: bool,
    extended: bool,
    dollar_endonly: bool,
    multi_line: bool,
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
    let (quoted, outside) = cut_names(arg.rule, value);
    // Suricata takes it without quotes, too.
    let bare = arg.at(quoted).starts_with('/');
    let whole = Arg { span: quoted, ..*arg };
    let inner = if bare { whole.span } else { whole.quoted()? };
    let (expression, letters, inside) = parts(arg, inner)?;
    let mut builder = RegexBuilder::new();
    let flags = read_flags(arg, letters, &mut builder)?;
    let text = arg.at(expression);
    let prefix = prefix(draft.pcre_limits, &flags);
    let bounded = bounded(&prefix, text, &flags);
    let regex = builder.jit_if_available(true).build(&bounded).map_err(|error| {
        let at = error.offset().map_or(expression, |offset| place(text, prefix.len(), expression, offset));
        // The offset that PCRE2 names counts from the limits that stand before the expression.
        let message = error.to_string();
        let said =
            message.split_once(": ").and_then(|(_, rest)| rest.split_once(": ")).map_or(&*message, |(_, why)| why);
        let mistake = Mistake::new(Code::Regex, at, said.to_owned());
        match remedy(said) {
            Some(remedy) => mistake.help(remedy),
            None => mistake,
        }
    })?;
    let captures = captures(arg, expression, &regex, &[inside, outside])?;
    if let (true, Some(capture)) = (negated, captures.first()) {
        let label = format!("`{}` can capture nothing: the expression is negated", capture.name);
        return Err(Mistake::new(Code::Conflict, arg.option(), label));
    }
    let regex = Arc::new(regex);
    // A content serves the prefilter better than what can be read out of an expression.
    let useless = negated || flags.extended || flags.anchored || draft.has_content();
    let mode = Mode { caseless: flags.caseless, multi_line: flags.multi_line };
    let hint = match useless {
        false => Hint::of(text, mode),
        // Where a body grows, it counts how far such a one looks.
        true if flags.relative && !(negated || flags.extended || flags.multi_line) && text.starts_with('^') => {
            Hint::of_shape(text, mode)
        }
        true => Hint::default(),
    };
    let test = BufferTest::Pcre(Pcre { regex, relative: flags.relative, negated, captures: captures.into(), hint });
    match flags.buffer.and_then(Buffer::named) {
        Some(buffer) => draft.push_into(buffer, test, arg),
        None => draft.push(test, arg.option()),
    }
    Ok(())
}

/// The way out of what is met most.
fn remedy(said: &str) -> Option<&'static str> {
    let remedies = [
        ("digits missing after \\x", "write a byte as `\\x41`, and a backslash as `\\\\`"),
        ("missing closing parenthesis", "close the group, or write `\\(` for the character"),
        ("unmatched closing parenthesis", "write `\\)` for the character"),
        ("missing terminating ]", "close the class, or write `\\[` for the character"),
        ("quantifier does not follow", "write `\\*`, `\\+` or `\\?` for the character"),
        ("lookbehind assertion is not fixed length", "PCRE2 looks behind by a known number of characters only"),
    ];
    remedies.into_iter().find(|(start, _)| said.starts_with(start)).map(|(_, remedy)| remedy)
}

/// What follows the closing quote: `, flow:name, pkt:name`.
fn cut_names(rule: &str, value: Span) -> (Span, Span) {
    let text = value.of(rule);
    let end = match text.rfind('"') {
        Some(quote) if text.get(quote + 1..).is_some_and(|rest| rest.trim_start().starts_with(',')) => quote + 1,
        _ => text.len(),
    };
    (Span::new(value.start, value.start + end), Span::new(value.start + end, value.end))
}

/// The groups that are named `flow_x` or `pkt_x`, and those that `flow:x, pkt:x` names in their order.
fn captures(arg: &Arg<'_>, expression: Span, regex: &Regex, lists: &[Span]) -> Result<Vec<Capture>, Mistake> {
    let mut captures = Vec::new();
    for (group, name) in regex.capture_names().iter().enumerate() {
        let Some(name) = name else { continue };
        let scoped = [("flow_", VariableScope::Flow), ("pkt_", VariableScope::Packet)];
        let found = scoped.iter().find_map(|(prefix, scope)| name.strip_prefix(prefix).map(|rest| (rest, *scope)));
        if let Some((name, scope)) = found {
            captures.push(Capture { group, scope, name: name.into() });
        }
    }
    let mut group = 0;
    for list in lists {
        for span in split(arg.rule, *list, b',').into_iter().filter(|span| span.start < span.end) {
            group += 1;
            let (scope, name) = match arg.at(span).split_once(':') {
                Some(("flow", name)) => (VariableScope::Flow, name.trim()),
                Some(("pkt", name)) => (VariableScope::Packet, name.trim()),
                _ => {
                    return Err(Mistake::new(Code::Value, span, "neither `flow:name` nor `pkt:name`")
                        .help("these name the groups of the expression in their order"));
                }
            };
            if group >= regex.captures_len() {
                let label = format!("there is no group {group} for this name");
                return Err(Mistake::new(Code::Value, span, label));
            }
            captures.push(Capture { group, scope, name: name.into() });
        }
    }
    if captures.len() > CAPTURE_COUNT_MAX {
        let label = format!("{} groups are kept, and {CAPTURE_COUNT_MAX} may be", captures.len());
        return Err(Mistake::new(Code::Limit, expression, label));
    }
    Ok(captures)
}

/// Cuts `/expression/flags`, and the names of variables after them.
fn parts(arg: &Arg<'_>, inner: Span) -> Result<(Span, Span, Span), Mistake> {
    let text = arg.at(inner);
    let form = || {
        Mistake::new(Code::Value, inner, "the expression must stand between slashes")
            .help("for example `pcre:\"/^user=[a-z]+/i\";`")
    };
    let body = text.strip_prefix('/').ok_or_else(form)?;
    let end = body.rfind('/').ok_or_else(form)?;
    let start = inner.start + 1;
    let after = Span::new(start + end + 1, inner.end);
    let comma = arg.at(after).find(',').map_or(after.end, |at| after.start + at);
    Ok((Span::new(start, start + end), Span::new(after.start, comma), Span::new(comma, inner.end)))
}

fn read_flags(arg: &Arg<'_>, letters: Span, builder: &mut RegexBuilder) -> Result<Flags, Mistake> {
    let mut flags = Flags::default();
    for (at, letter) in arg.at(letters).char_indices() {
        let here = Span::new(letters.start + at, letters.start + at + letter.len_utf8());
        match letter {
            'i' => {
                builder.caseless(true);
                flags.caseless = true;
            }
            's' => drop(builder.dotall(true)),
            'm' => {
                builder.multi_line(true);
                flags.multi_line = true;
            }
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

fn prefix(limits: PcreLimits, flags: &Flags) -> String {
    let limits = if flags.unlimited { String::new() } else { limits.to_string() };
    let ungreedy = if flags.ungreedy { "(?U)" } else { "" };
    let anchor = if flags.anchored { "\\A(?:" } else { "" };
    format!("{limits}{ungreedy}{anchor}")
}

/// The expression with its limits, and with those flags that PCRE2 takes as text.
fn bounded(prefix: &str, text: &str, flags: &Flags) -> String {
    let end = match (flags.anchored, flags.extended) {
        (true, true) => "\n)",
        (true, false) => ")",
        _ => "",
    };
    // As in PCRE2, `m` goes before `E`.
    if flags.dollar_endonly && !flags.multi_line {
        return format!("{prefix}{}{end}", dollar_is_the_end(text, flags.extended));
    }
    format!("{prefix}{text}{end}")
}

/// `$` outside of classes, quotations and comments becomes `\z`.
fn dollar_is_the_end(text: &str, extended: bool) -> String {
    let mut changed = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut in_class = false;
    while let Some(next) = rest.chars().next() {
        let verbatim = match next {
            '\\' if rest.starts_with("\\Q") => rest.find("\\E").map_or(rest.len(), |at| at + 2),
            '\\' => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            '(' if !in_class && rest.starts_with("(?#") => rest.find(')').map_or(rest.len(), |at| at + 1),
            '#' if extended && !in_class => rest.find('\n').map_or(rest.len(), |at| at + 1),
            _ => next.len_utf8(),
        };
        match next {
            '[' if !in_class => {
                in_class = true;
                // A bracket that comes first is one of the class.
                let first = rest.trim_start_matches('[').trim_start_matches('^').starts_with(']');
                let skipped = if first { rest.find(']').map_or(1, |at| at + 1) } else { 1 };
                changed.push_str(rest.get(..skipped).unwrap_or(rest));
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            ']' => in_class = false,
            '$' if !in_class => {
                changed.push_str("\\z");
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            _ => {}
        }
        changed.push_str(rest.get(..verbatim).unwrap_or(rest));
        rest = rest.get(verbatim..).unwrap_or_default();
    }
    changed
}

/// One character of the rule for an offset into the bounded expression.
fn place(text: &str, prefix_len: usize, expression: Span, offset: usize) -> Span {
    let at = offset.saturating_sub(prefix_len).min(text.len().saturating_sub(1));
    if text.is_char_boundary(at) { Span::new(expression.start + at, expression.start + at + 1) } else { expression }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_is_the_end_only_where_it_is_no_letter() {
        let cases = [
            ("a$", "a\\z"),
            (r"a\$", r"a\$"),
            ("[$]$", r"[$]\z"),
            ("[]$]$", r"[]$]\z"),
            ("[^]$]$", r"[^]$]\z"),
            (r"\Q$\E$", r"\Q$\E\z"),
            ("(?#$)$|b", r"(?#$)\z|b"),
        ];
        for (text, expected) in cases {
            assert_eq!(dollar_is_the_end(text, false), expected, "{text}");
        }
        assert_eq!(dollar_is_the_end("a #$\n$", true), "a #$\n\\z");
    }
}
