//! Keywords about LDAP's operations and results.

use super::number::{comparison, push_number};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field, LDAP_OPERATIONS, LDAP_RESULTS, LdapResponses, LdapTest, WhichOf};
use crate::rules::error::{Code, Mistake};
use crate::rules::plan::NumberTest;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("ldap.request.operation", "ldap", "[op]number|name", "The operation of a request.", |draft, arg| {
        push_number(draft, arg, Field::LdapRequestOperation, LDAP_OPERATIONS, 255)
    }),
    option("ldap.responses.operation", "ldap", "[op]number|name[,any|all|index]", "The operation of responses.", |draft, arg| {
        responses(draft, arg, LdapResponses::Operation, LDAP_OPERATIONS)
    }),
    option("ldap.responses.count", "ldap", "[op]number", "How many responses there are so far.", |draft, arg| {
        push_number(draft, arg, Field::LdapResponseCount, &[], u32::MAX)
    }),
    option("ldap.responses.result_code", "ldap", "[op]number|name[,any|all|index]", "The result in responses.", |draft, arg| {
        responses(draft, arg, LdapResponses::ResultCode, LDAP_RESULTS)
    }),
];

fn responses(
    draft: &mut Draft<'_>,
    arg: &Arg<'_>,
    asks: LdapResponses,
    names: &[(&'static str, u16)],
) -> Result<(), Mistake> {
    let mut parts = arg.parts().into_iter();
    let (Some(number), index, None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(arg.wrong("this is a number or name, and perhaps which response"));
    };
    let (negated, word) = match arg.at(number).strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, arg.at(number)),
    };
    let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    let test = match named {
        Some((_, value)) if negated => NumberTest::NotEqual((*value).into()),
        Some((_, value)) => NumberTest::Equal((*value).into()),
        None => comparison(arg.rule, number, u32::MAX)?,
    };
    let of = match index.map(|index| (index, arg.at(index))) {
        None | Some((_, "any")) => WhichOf::Any,
        Some((_, "all")) => WhichOf::All,
        Some((span, index)) => match index.parse() {
            Ok(index) => WhichOf::At(index),
            Err(_) => return Err(Mistake::new(Code::Value, span, "this is `any`, `all` or an index")),
        },
    };
    draft.app.push((AppTest::Ldap(LdapTest { asks, test, of }), arg.option()));
    Ok(())
}
