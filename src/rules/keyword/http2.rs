//! Keywords about frames of HTTP/2.

use super::number::comparison;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field, HTTP2_ERRORS, HTTP2_FRAMES, HTTP2_SETTINGS, Http2Test};
use crate::rules::error::{Code, Mistake, Span, nearest};

const FAMILY: &str = "http2";

pub(super) static KEYWORDS: &[Keyword] = &[
    option("http2.frametype", FAMILY, "name", "There is a frame of this kind.", frame_type),
    option("http2.errorcode", FAMILY, "[!]name", "A GOAWAY or RST_STREAM has this code.", error_code),
    option("http2.priority", FAMILY, "[op]number", "The weight in a PRIORITY or HEADERS frame.", priority),
    option("http2.window", FAMILY, "[op]number", "The increment of a WINDOW_UPDATE frame.", window),
    option("http2.size_update", FAMILY, "[op]number", "The new size of the table of headers.", size_update),
    option("http2.settings", FAMILY, "name[=number] or name op number", "A setting, with such a value.", settings),
];

fn frame_type(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let kind = place(arg.text(), arg.span, HTTP2_FRAMES)?;
    push(draft, arg, Http2Test::FrameType(u8::try_from(kind).unwrap_or(u8::MAX)));
    Ok(())
}

fn error_code(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (negated, name) = match arg.text().strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, arg.text()),
    };
    let code = place(name, arg.span, HTTP2_ERRORS)?;
    push(draft, arg, Http2Test::ErrorCode { code: u32::try_from(code).unwrap_or(u32::MAX), negated });
    Ok(())
}

fn priority(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    number(draft, arg, Field::Http2Priority, u8::MAX.into())
}

fn window(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    number(draft, arg, Field::Http2Window, u32::MAX)
}

fn size_update(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    number(draft, arg, Field::Http2SizeUpdate, u32::MAX)
}

fn number(draft: &mut Draft<'_>, arg: &Arg<'_>, field: Field, high: u32) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.span, high)?;
    draft.app.push((AppTest::Number { field, test }, arg.option()));
    Ok(())
}

fn settings(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let text = arg.text();
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(text.len());
    let (name, test) = text.split_at_checked(end).unwrap_or((text, ""));
    let place = place(name, arg.span, HTTP2_SETTINGS)?;
    let test = test.trim_start();
    let test = match test.strip_prefix('=').unwrap_or(test) {
        "" => None,
        written => {
            let begin = arg.span.end.saturating_sub(written.len());
            Some(comparison(arg.rule, Span::new(begin, arg.span.end), u32::MAX)?)
        }
    };
    // Numbers of settings begin with 1.
    let number = u16::try_from(place).unwrap_or(u16::MAX).saturating_add(1);
    push(draft, arg, Http2Test::Setting { number, test });
    Ok(())
}

fn push(draft: &mut Draft<'_>, arg: &Arg<'_>, test: Http2Test) {
    draft.app.push((AppTest::Http2(test), arg.option()));
}

/// Where a name stands in its list. Underscores do not matter: Suricata writes some names with them, and some without.
fn place(name: &str, span: Span, names: &[&str]) -> Result<usize, Mistake> {
    let plain = |name: &str| name.trim().replace('_', "").to_ascii_uppercase();
    let wanted = plain(name);
    names.iter().position(|known| plain(known) == wanted).ok_or_else(|| {
        let mistake = Mistake::new(Code::Value, span, format!("`{}` is not known", name.trim()));
        match nearest(&name.to_ascii_uppercase(), names.iter().copied()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake.help(format!("known are {}", names.join(", "))),
        }
    })
}
