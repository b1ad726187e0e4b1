//! The values of keywords that are not honoured yet, read by the form that their documentation gives, so that a
//! mistake in one is told although the rule cannot load anyway.

use super::Arg;
use super::number::{comparison64, integer};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::lex::{split, trim};

/// Holds a value to the form that `arguments` documents. Forms that say too little are not checked.
pub(super) fn check(arguments: &str, arg: &Arg<'_>) -> Result<(), Mistake> {
    if arg.is_empty() {
        return Ok(());
    }
    let span = arg.unquoted();
    match arguments {
        "[op]number" => comparison64(arg.rule, span).map(|_| ()),
        "number" => integer(arg.at(span), span, 0, i64::MAX).map(|_| ()),
        "[!]number" => {
            let span = without_negation(arg, span);
            integer(arg.at(span), span, 0, i64::MAX).map(|_| ())
        }
        "numbers" => split(arg.rule, span, b',').into_iter().try_for_each(|part| numbers(arg, part)),
        form if form.starts_with("[!]\"") => {
            let value = without_negation(arg, arg.span);
            Arg { span: value, ..*arg }.quoted().map(|_| ())
        }
        form if is_choice(form) => one_of(form, arg, span),
        _ => Ok(()),
    }
}

fn without_negation(arg: &Arg<'_>, span: Span) -> Span {
    match arg.at(span).strip_prefix('!') {
        Some(rest) => trim(arg.rule, Span::new(span.end - rest.len(), span.end)),
        None => span,
    }
}

/// A number, a range or a comparison.
fn numbers(arg: &Arg<'_>, part: Span) -> Result<(), Mistake> {
    let plain =
        arg.at(part).starts_with(|first: char| first.is_ascii_digit() || matches!(first, '<' | '>' | '!' | '='));
    if !plain {
        return Err(Mistake::new(Code::Value, part, format!("`{}` is no number", arg.at(part))));
    }
    comparison64(arg.rule, part).map(|_| ())
}

/// `yes|no` and the like: words and nothing else.
fn is_choice(form: &str) -> bool {
    form.contains('|') && form.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'|' | b'_'))
}

fn one_of(form: &str, arg: &Arg<'_>, span: Span) -> Result<(), Mistake> {
    let word = arg.at(span);
    if form.split('|').any(|known| known.eq_ignore_ascii_case(word)) {
        return Ok(());
    }
    let help = match nearest(word, form.split('|')) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it is one of {}", form.replace('|', ", ")),
    };
    Err(Mistake::new(Code::Value, span, format!("`{word}` is not understood here")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_held_to_their_form() {
        let cases = [
            ("[op]number", ">5", true),
            ("[op]number", "five", false),
            ("number", "7", true),
            ("number", "x", false),
            ("[!]number", "! 4", true),
            ("[!]number", "!!4", false),
            ("numbers", "1,2,<5", true),
            ("numbers", "1,,2", false),
            ("[!]\"name\"", "!\"a\"", true),
            ("[!]\"name\"", "a", false),
            ("yes|no", "YES", true),
            ("yes|no", "maybe", false),
            ("uuid[,op version]", "anything", true),
        ];
        for (form, value, fits) in cases {
            let arg = Arg { rule: value, name: Span::default(), span: Span::new(0, value.len()) };
            assert_eq!(check(form, &arg).is_ok(), fits, "{form} {value}");
        }
    }
}
