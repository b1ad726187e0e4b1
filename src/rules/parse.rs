//! A rule's text becomes its [`RuleAst`]: the header's fields and the options, each with its span.
//!
//! Only the shape is judged here. What a keyword's value means is known where the keyword is declared.

use super::error::{Code, Mistake, Span, nearest};
use super::lex::trim;
use super::meta::RuleAction;

/// The shape of one rule. All spans count from the start of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAst {
    pub action: RuleAction,
    pub protocol: Span,
    pub src: Span,
    pub src_ports: Span,
    pub arrow: Arrow,
    pub dst: Span,
    pub dst_ports: Span,
    pub options: Vec<OptionAst>,
}

/// What stands between the two sides of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrow {
    /// `->`
    OneWay,
    /// `<>`: either side may be the packet's source.
    BothWays,
    /// `=>`: what is asked is about both sides of a transaction.
    Transaction,
}

/// `name;` or `name:value;`, both trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionAst {
    pub name: Span,
    pub value: Option<Span>,
}

const ACTIONS: [(&str, RuleAction); 7] = [
    ("alert", RuleAction::Alert),
    ("pass", RuleAction::Pass),
    ("drop", RuleAction::Drop),
    ("reject", RuleAction::Reject),
    ("rejectsrc", RuleAction::Reject),
    ("rejectdst", RuleAction::RejectDst),
    ("rejectboth", RuleAction::RejectBoth),
];

/// Reads the shape of a rule. Mistakes in options leave the other options standing; without a header there is no rule.
pub fn parse(text: &str, mistakes: &mut Vec<Mistake>) -> Option<RuleAst> {
    let body = body_start(text);
    let fields = header_fields(text, body.unwrap_or(text.len()));
    let options = match body {
        Some(start) => options(text, start, mistakes),
        None => {
            mistakes.push(
                Mistake::new(Code::Options, Span::new(text.len(), text.len()), "expected `(` and the options here")
                    .help("a rule is: action protocol source ports -> destination ports (options)"),
            );
            Vec::new()
        }
    };
    let [action, protocol, src, src_ports, arrow, dst, dst_ports] = expect_seven(&fields, text, body, mistakes)?;
    Some(RuleAst {
        action: parse_action(text, action, mistakes)?,
        protocol,
        src,
        src_ports,
        arrow: parse_arrow(text, arrow, mistakes)?,
        dst,
        dst_ports,
        options,
    })
}

fn expect_seven(fields: &[Span], text: &str, body: Option<usize>, mistakes: &mut Vec<Mistake>) -> Option<[Span; 7]> {
    const NAMES: [&str; 7] =
        ["action", "protocol", "source", "source ports", "direction", "destination", "destination ports"];
    if let Ok(seven) = <[Span; 7]>::try_from(fields) {
        return Some(seven);
    }
    let mistake = match (NAMES.get(fields.len()), fields.get(7)) {
        (Some(missing), _) => {
            let at = body.unwrap_or(text.len());
            Mistake::new(Code::Header, Span::new(at, at + 1), format!("the {missing} is missing"))
        }
        (None, surplus) => {
            let span = surplus.copied().unwrap_or_default();
            Mistake::new(Code::Header, span, "one field too many").help("write lists without spaces: [a,b]")
        }
    };
    let help = mistake.help.clone().unwrap_or_else(|| {
        "a header is: action protocol source ports -> destination ports, for example `alert tcp any any -> any 80`"
            .into()
    });
    mistakes.push(mistake.help(help));
    None
}

fn parse_action(text: &str, span: Span, mistakes: &mut Vec<Mistake>) -> Option<RuleAction> {
    let word = span.of(text);
    if let Some((_, action)) = ACTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        return Some(*action);
    }
    let help = match nearest(word, ACTIONS.iter().map(|(name, _)| *name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "actions are alert, pass, drop, reject, rejectsrc, rejectdst and rejectboth".into(),
    };
    mistakes.push(Mistake::new(Code::Action, span, format!("`{word}` is no action")).help(help));
    None
}

fn parse_arrow(text: &str, span: Span, mistakes: &mut Vec<Mistake>) -> Option<Arrow> {
    match span.of(text) {
        "->" => Some(Arrow::OneWay),
        "<>" => Some(Arrow::BothWays),
        "=>" => Some(Arrow::Transaction),
        other => {
            let help = match other {
                "<-" => "exchange both sides and write `->`",
                _ => "write `->` for one direction, `<>` for both, `=>` for both sides of a transaction",
            };
            mistakes.push(Mistake::new(Code::Arrow, span, format!("`{other}` is no direction")).help(help));
            None
        }
    }
}

/// Where the options' `(` is: the first one outside of brackets.
fn body_start(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'(' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    // An unclosed bracket must not hide the options: fall back to any parenthesis.
    text.find('(')
}

/// Words outside of brackets before `end`.
fn header_fields(text: &str, end: usize) -> Vec<Span> {
    let mut fields = Vec::with_capacity(7);
    let mut depth = 0usize;
    let mut start = None;
    for (at, byte) in text.bytes().enumerate().take(end) {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if byte.is_ascii_whitespace() && depth == 0 {
            fields.extend(start.take().map(|start| Span::new(start, at)));
        } else if start.is_none() {
            start = Some(at);
        }
    }
    fields.extend(start.map(|start| Span::new(start, end)));
    fields
}

fn options(text: &str, open: usize, mistakes: &mut Vec<Mistake>) -> Vec<OptionAst> {
    let Some(close) = text.rfind(')').filter(|close| *close > open) else {
        mistakes
            .push(Mistake::new(Code::Options, Span::new(open, open + 1), "this `(` is never closed").help(
                "end the rule with `;)`; a rule that goes on in the next line needs `\\` at the end of the line",
            ));
        return Vec::new();
    };
    let rest = trim(text, Span::new(close + 1, text.len()));
    if rest.start < rest.end {
        mistakes.push(Mistake::new(Code::Options, rest, "nothing may follow the options"));
    }
    split_options(text, Span::new(open + 1, close), mistakes)
}

fn split_options(text: &str, body: Span, mistakes: &mut Vec<Mistake>) -> Vec<OptionAst> {
    let mut options = Vec::new();
    let mut start = body.start;
    let mut escaped = false;
    for (at, byte) in body.of(text).bytes().enumerate() {
        // As Suricata does: only the byte before decides, so `\\;` goes on.
        if byte == b';' && !escaped {
            let at = body.start + at;
            options.extend(option(text, Span::new(start, at), mistakes));
            start = at + 1;
        }
        escaped = byte == b'\\';
    }
    let left = trim(text, Span::new(start, body.end));
    if left.start < left.end {
        mistakes.push(
            Mistake::new(Code::Options, left, "this option is not ended")
                .help("end each option with `;`, the last one too"),
        );
    }
    options
}

fn option(text: &str, span: Span, mistakes: &mut Vec<Mistake>) -> Option<OptionAst> {
    let span = trim(text, span);
    let whole = span.of(text);
    if whole.is_empty() {
        return None;
    }
    let name_len = whole.find(':').unwrap_or(whole.len());
    let name = trim(text, Span::new(span.start, span.start + name_len));
    if name.of(text).is_empty() {
        mistakes.push(Mistake::new(Code::Options, span, "an option needs a name before `:`"));
        return None;
    }
    if name.of(text).bytes().any(|byte| matches!(byte, b'"' | b' ' | b'|')) {
        mistakes.push(
            Mistake::new(Code::Options, name, "this is no option").help("a `;` inside of quotes must be written `\\;`"),
        );
        return None;
    }
    let value = (name_len < whole.len()).then(|| trim(text, Span::new(span.start + name_len + 1, span.end)));
    Some(OptionAst { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> (Option<RuleAst>, Vec<Code>) {
        let mut mistakes = Vec::new();
        let ast = parse(text, &mut mistakes);
        (ast, mistakes.into_iter().map(|mistake| mistake.code).collect())
    }

    #[test]
    fn header_and_options_are_found() {
        let text = r#"drop tcp [1.2.3.4, !5.6.7.8] any <> $X [80,443] (msg:"a\;b"; nocase ; sid : 1;)"#;
        let (ast, codes) = shape(text);
        let ast = ast.unwrap();
        assert!(codes.is_empty());
        assert_eq!(ast.action, RuleAction::Drop);
        assert_eq!(ast.arrow, Arrow::BothWays);
        assert_eq!(ast.src.of(text), "[1.2.3.4, !5.6.7.8]");
        let options: Vec<(&str, Option<&str>)> =
            ast.options.iter().map(|option| (option.name.of(text), option.value.map(|value| value.of(text)))).collect();
        assert_eq!(options, [("msg", Some(r#""a\;b""#)), ("nocase", None), ("sid", Some("1"))]);
    }

    #[test]
    fn each_wrong_shape_has_its_code() {
        let cases = [
            ("alert tcp any any -> any (sid:1;)", Code::Header),
            ("alert tcp any any -> any any any (sid:1;)", Code::Header),
            ("allert tcp any any -> any any (sid:1;)", Code::Action),
            ("alert tcp any any <- any any (sid:1;)", Code::Arrow),
            ("alert tcp any any -> any any sid:1;", Code::Options),
            ("alert tcp any any -> any any (sid:1;", Code::Options),
            ("alert tcp any any -> any any (sid:1)", Code::Options),
            ("alert tcp any any -> any any (sid:1;) x", Code::Options),
            ("alert tcp any any -> any any (:1;)", Code::Options),
        ];
        for (text, code) in cases {
            assert!(shape(text).1.contains(&code), "{text}");
        }
    }
}
