//! `snmp.version` and `snmp.pdu_type`: numbers of an SNMP message.

use super::number::comparison;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::Mistake;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("snmp.version", "snmp", "[op]number", "The version: 1, 2 or 3.", version),
    option("snmp.pdu_type", "snmp", "number", "The kind of message.", pdu_type),
];

fn version(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, arg, Field::SnmpVersion)
}

fn pdu_type(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, arg, Field::SnmpPduType)
}

fn push(draft: &mut Draft<'_>, arg: &Arg<'_>, field: Field) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.span, u32::MAX)?;
    draft.app.push((AppTest::Number { field, test }, arg.option()));
    Ok(())
}
