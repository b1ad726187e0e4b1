//! Keywords about Kerberos messages: their type, error and encryption.

use super::number::{comparison, integer};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field, KRB_ENCRYPTIONS};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::plan::NumberTest;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("krb5_msg_type", "krb5", "[op]number or name", "The kind of message.", message_type)
        .aliased(&["krb5.msg_type"]),
    option("krb5_err_code", "krb5", "[op]number", "The code of an error.", error_code).aliased(&["krb5.err_code"]),
    option("krb5.weak_encryption", "krb5", "", "An answer is encrypted by a weak method.", weak),
    option(
        "krb5.ticket_encryption",
        "krb5",
        "weak or numbers and names, ...",
        "How the ticket of an answer is encrypted.",
        ticket_encryption,
    ),
];

const MESSAGE_TYPES: &[(&str, u64)] =
    &[("AS_REQ", 10), ("AS_REP", 11), ("TGS_REQ", 12), ("TGS_REP", 13), ("AP_REQ", 14), ("AP_REP", 15), ("ERROR", 30)];

fn message_type(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (negated, word) = match arg.text().strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, arg.text()),
    };
    let named = MESSAGE_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    let test = match named {
        Some((_, number)) if negated => NumberTest::NotEqual(*number),
        Some((_, number)) => NumberTest::Equal(*number),
        None => comparison(arg.rule, arg.span, u32::MAX)?,
    };
    draft.app.push((AppTest::Number { field: Field::KrbMessageType, test }, arg.option()));
    Ok(())
}

fn error_code(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.span, u32::MAX)?;
    draft.app.push((AppTest::Number { field: Field::KrbErrorCode, test }, arg.option()));
    Ok(())
}

fn weak(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.app.push((AppTest::KrbWeakEncryption, arg.option()));
    Ok(())
}

fn ticket_encryption(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let listed = match arg.text() {
        "weak" => None,
        _ => {
            let listed: Result<Vec<i32>, Mistake> =
                arg.parts().into_iter().map(|part| encryption(arg.at(part), part)).collect();
            Some(listed?)
        }
    };
    draft.app.push((AppTest::KrbTicketEncryption(listed), arg.option()));
    Ok(())
}

fn encryption(word: &str, span: Span) -> Result<i32, Mistake> {
    if let Some((number, _)) = KRB_ENCRYPTIONS.iter().find(|(_, name)| *name == word) {
        return Ok(*number);
    }
    if word.starts_with(|first: char| first.is_ascii_alphabetic()) {
        let mistake = Mistake::new(Code::Value, span, "no encryption has this name");
        return Err(match nearest(word, KRB_ENCRYPTIONS.iter().map(|(_, name)| *name)) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake.help("numbers are understood, too"),
        });
    }
    let number = integer(word, span, i64::from(i32::MIN), i64::from(i32::MAX))?;
    Ok(i32::try_from(number).unwrap_or(0))
}
