//! `rfb.sectype` and `rfb.secresult`: how a remote desktop was entered.

use super::number::push_number;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::Mistake;
use crate::rules::plan::NumberTest;

const RESULTS: &[(&str, u16)] = &[("ok", 0), ("fail", 1), ("toomany", 2)];

pub(super) static KEYWORDS: &[Keyword] = &[
    option("rfb.sectype", "rfb", "[op]number", "The security type that was chosen.", |draft, arg| {
        push_number(draft, arg, Field::RfbSecurityType, &[], u32::MAX)
    }),
    option("rfb.secresult", "rfb", "ok, fail, toomany, unknown or [op]number", "What came of it.", result),
];

fn result(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    if arg.text().eq_ignore_ascii_case("unknown") {
        let test = NumberTest::Greater(2);
        draft.app.push((AppTest::Number { field: Field::RfbSecurityResult, test }, arg.option()));
        return Ok(());
    }
    push_number(draft, arg, Field::RfbSecurityResult, RESULTS, u32::MAX)
}
