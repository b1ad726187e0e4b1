//! `snmp.version` and `snmp.pdu_type`: numbers of an SNMP message.

use super::number::push_number;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::Field;
use crate::rules::error::Mistake;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("snmp.version", "snmp", "[op]number", "The version: 1, 2 or 3.", version),
    option("snmp.pdu_type", "snmp", "number", "The kind of message.", pdu_type),
];

fn version(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push_number(draft, arg, Field::SnmpVersion, &[], u32::MAX)
}

fn pdu_type(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push_number(draft, arg, Field::SnmpPduType, &[], u32::MAX)
}
