//! `dcerpc.iface` and `dcerpc.opnum`: which operation of which interface is called.

use std::ops::RangeInclusive;

use super::number::{comparison, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, DceInterface};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::trim;

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "dcerpc.iface",
        "dcerpc",
        "uuid[,[op]version][,any_frag]",
        "The interface of a DCERPC call, bound and accepted before it.",
        interface,
    )
    .aliased(&["dce_iface"]),
    option("dcerpc.opnum", "dcerpc", "number, low-high, >number or <number, ...", "The operation of a DCERPC call.", opnum)
        .aliased(&["dce_opnum"]),
];

fn interface(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let [uuid_span, options @ ..] = parts.as_slice() else { return Err(arg.wrong("an interface is needed")) };
    let uuid = uuid(arg.at(*uuid_span)).ok_or_else(|| {
        Mistake::new(Code::Value, *uuid_span, "this is no UUID")
            .help("the form is 367abb81-9844-35f1-ad32-98f038001003")
    })?;
    let mut interface = DceInterface { uuid, version: None, any_frag: false };
    for option in options {
        match arg.at(*option) {
            "any_frag" if !interface.any_frag => interface.any_frag = true,
            _ if interface.version.is_none() => interface.version = Some(comparison(arg.rule, *option, 65_535)?),
            _ => return Err(Mistake::new(Code::Repeated, *option, "this stands here a second time")),
        }
    }
    draft.app.push((AppTest::DceInterface(interface), arg.option()));
    Ok(())
}

/// The bytes of `8-4-4-4-12` hexadecimal digits.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if lengths != [8, 4, 4, 4, 12] || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

fn opnum(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let ranges: Result<Vec<_>, Mistake> = arg.parts().into_iter().map(|part| range(arg, part)).collect();
    draft.app.push((AppTest::DceOpnum(ranges?), arg.option()));
    Ok(())
}

fn range(arg: &Arg<'_>, span: Span) -> Result<RangeInclusive<u16>, Mistake> {
    let number = |span: Span| unsigned::<u16>(arg.at(span), span, 65_535);
    let above = |low: u16| Ok(low..=u16::MAX);
    match arg.at(span).split_at_checked(1) {
        Some((">", rest)) if !rest.starts_with('=') => {
            let low = number(trim(arg.rule, Span::new(span.start + 1, span.end)))?;
            return low.checked_add(1).map_or_else(|| Err(arg.wrong("no operation is above that")), above);
        }
        Some(("<", rest)) if !rest.starts_with('=') => {
            let high = number(trim(arg.rule, Span::new(span.start + 1, span.end)))?;
            return high.checked_sub(1).map(|high| 0..=high).ok_or_else(|| arg.wrong("no operation is below that"));
        }
        _ => {}
    }
    let Some(dash) = arg.at(span).find('-') else {
        let only = number(span)?;
        return Ok(only..=only);
    };
    let low = number(trim(arg.rule, Span::new(span.start, span.start + dash)))?;
    let high = number(trim(arg.rule, Span::new(span.start + dash + 1, span.end)))?;
    if low > high {
        return Err(Mistake::new(Code::Value, span, "the range runs backwards"));
    }
    Ok(low..=high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_read_as_written() {
        let read = uuid("367abb81-9844-35F1-ad32-98f038001003");
        assert_eq!(read.map(|uuid| (uuid[0], uuid[4], uuid[6], uuid[15])), Some((0x36, 0x98, 0x35, 0x03)));
        for text in ["", "367abb81", "367abb81-9844-35f1-ad32-98f03800100", "367abb81-9844-35f1-ad32-98f03800100g"] {
            assert_eq!(uuid(text), None, "{text}");
        }
    }
}
