//! `modbus`, `enip_command` and `cip_service`.

use super::number::{push_number, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::industrial::{CipTest, ModbusAsk, ModbusCategory, ModbusRange, ModbusTable, ModbusTest};

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "modbus",
        "modbus",
        "[unit n,] function n[, subfunction n] | access read|write [table][, address n[, value n]]",
        "A Modbus request.",
        modbus,
    ),
    option("enip_command", "enip", "[op]number or name", "The command of an ENIP message.", |draft, arg| {
        push_number(draft, arg, Field::EnipCommand, COMMANDS, 65_535)
    })
    .aliased(&["enip.command"]),
    option("cip_service", "enip", "service[,class[,[!]attribute]]", "What an ENIP message asks by CIP.", cip)
        .aliased(&["enip.cip_service"]),
];

const COMMANDS: &[(&str, u16)] = &[
    ("nop", 0),
    ("list_services", 4),
    ("list_identity", 0x63),
    ("list_interfaces", 0x64),
    ("register_session", 0x65),
    ("unregister_session", 0x66),
    ("send_rr_data", 0x6f),
    ("send_unit_data", 0x70),
    ("indicate_status", 0x72),
    ("cancel", 0x73),
];

fn wrong(span: Span, why: &'static str) -> Mistake {
    Mistake::new(Code::Value, span, why)
}

/// The words of one part, with their place.
fn words<'t>(arg: &Arg<'t>, span: Span) -> Vec<(&'t str, Span)> {
    let text = arg.at(span);
    text.split_ascii_whitespace()
        .map(|word| {
            let at = span.start + (word.as_ptr() as usize - text.as_ptr() as usize);
            (word, Span::new(at, at + word.len()))
        })
        .collect()
}

fn modbus(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut test = ModbusTest::default();
    let quoted = arg.unquoted();
    for part in crate::rules::lex::split(arg.rule, quoted, b',') {
        let words = words(arg, part);
        match words.as_slice() {
            [("unit", _), rest @ ..] => test.unit = Some(range(rest, part)?),
            [("function", _), (word, span)] => test.ask = function(word, *span)?,
            [("subfunction", _), (word, span)] => {
                let ModbusAsk::Function { subfunction, .. } = &mut test.ask else {
                    return Err(wrong(part, "a subfunction needs a function before it"));
                };
                *subfunction = Some(unsigned(word, *span, 65_535)?);
            }
            [("access", _), (way, span), rest @ ..] => test.ask = access(way, *span, rest)?,
            [(kind @ ("address" | "value"), _), rest @ ..] => {
                let ModbusAsk::Access { write, address, value, .. } = &mut test.ask else {
                    return Err(wrong(part, "this needs `access` before it"));
                };
                let range = range(rest, part)?;
                match (*kind, &address) {
                    ("address", None) => *address = Some(range),
                    ("value", Some(ModbusRange::Exactly(_))) if *write => *value = Some(range),
                    _ => return Err(wrong(part, "a value is asked of a write to one address")),
                }
            }
            _ => return Err(wrong(part, "unit, function, subfunction, access, address or value with what they ask")),
        }
    }
    draft.app.push((AppTest::Modbus(test), arg.option()));
    Ok(())
}

fn function(word: &str, span: Span) -> Result<ModbusAsk, Mistake> {
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        let code = unsigned::<u8>(word, span, 255)?;
        return match code {
            0 => Err(wrong(span, "there is no function 0")),
            _ => Ok(ModbusAsk::Function { code, subfunction: None }),
        };
    }
    let (negated, name) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let bits = match name {
        "assigned" => ModbusCategory::ASSIGNED,
        "unassigned" => ModbusCategory::UNASSIGNED,
        "public" => ModbusCategory::ASSIGNED | ModbusCategory::UNASSIGNED,
        "user" => ModbusCategory::USER,
        "reserved" => ModbusCategory::RESERVED,
        "all" => ModbusCategory::ALL,
        _ => return Err(wrong(span, "functions are a number, assigned, unassigned, public, user, reserved or all")),
    };
    Ok(ModbusAsk::Category(ModbusCategory(if negated { ModbusCategory::ALL & !bits } else { bits })))
}

fn access(way: &str, span: Span, rest: &[(&str, Span)]) -> Result<ModbusAsk, Mistake> {
    let write = match way {
        "read" => false,
        "write" => true,
        _ => return Err(wrong(span, "access is read or write")),
    };
    let table = match rest {
        [] => None,
        [("discretes", _)] if !write => Some(ModbusTable::Discretes),
        [("input", _)] if !write => Some(ModbusTable::Input),
        [("coils", _)] => Some(ModbusTable::Coils),
        [("holding", _)] => Some(ModbusTable::Holding),
        _ => return Err(wrong(span, "coils and holding can be read and written, discretes and input only read")),
    };
    Ok(ModbusAsk::Access { write, table, address: None, value: None })
}

/// `5`, `<5`, `>5` or `5<>9`.
fn range(words: &[(&str, Span)], part: Span) -> Result<ModbusRange, Mistake> {
    let [(word, span)] = words else { return Err(wrong(part, "one number or range is needed")) };
    let number = |text: &str| unsigned::<u16>(text, *span, 65_535);
    if let Some((low, high)) = word.split_once("<>") {
        return Ok(ModbusRange::Between(number(low)?, number(high)?));
    }
    Ok(match (word.strip_prefix('<'), word.strip_prefix('>')) {
        (Some(limit), _) => ModbusRange::Below(number(limit)?),
        (_, Some(limit)) => ModbusRange::Above(number(limit)?),
        _ => ModbusRange::Exactly(number(word)?),
    })
}

fn cip(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let (service, class, attribute) = match parts.as_slice() {
        [service] => (*service, None, None),
        [service, class] => (*service, Some(*class), None),
        [service, class, attribute] => (*service, Some(*class), Some(*attribute)),
        _ => return Err(arg.wrong("the form is service,class,attribute")),
    };
    let number = |span: Span| unsigned::<u16>(arg.at(span), span, 65_535);
    let attribute = match attribute {
        None => None,
        Some(span) => match arg.at(span).strip_prefix('!') {
            Some(rest) => Some((unsigned(rest.trim(), span, 65_535)?, false)),
            None => Some((number(span)?, true)),
        },
    };
    let test =
        CipTest { service: unsigned(arg.at(service), service, 127)?, class: class.map(number).transpose()?, attribute };
    draft.app.push((AppTest::Cip(test), arg.option()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rules::{Context, Options, Source, compile};

    fn loads(options: &str) -> bool {
        let rule = format!("alert tcp any any -> any any ({options} sid:1;)");
        compile(&[Source::new("a.rules", rule)], &Context::default(), &Options::default()).loaded() == 1
    }

    #[test]
    fn forms_of_suricatas_documentation_are_read() {
        for value in [
            "function 1",
            "function 21",
            "function 4, subfunction 4",
            "function assigned",
            "function !reserved",
            "access read",
            "access write coils",
            "access read discretes, address <100",
            "access write holding, address 500, value >200",
            "access read input, address 100<>200",
            "unit 10",
            "unit >10, function 8, subfunction 4",
            "unit 10<>20, access write coils, address 3",
        ] {
            assert!(loads(&format!("modbus: {value};")), "{value}");
        }
        for value in ["", "function 0", "access write input", "address 1", "access read, address 1, value 2", "unit"] {
            assert!(!loads(&format!("modbus: {value};")), "{value}");
        }
        assert!(loads("cip_service:16,246,!3;") && !loads("cip_service:200;"));
    }
}
