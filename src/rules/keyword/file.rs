//! Questions about files: `filename`, `fileext`, `filesize`.
//!
//! All that a rule asks of files it asks of one and the same file (`AppTest::File`); names are looked for in `file.name`.

use super::buffers::Buffer;
use super::content::read_content;
use super::number::comparison;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, FileTest};
use crate::rules::error::{Mistake, Span};
use crate::rules::plan::{BufferTest, Pattern};

pub(super) static KEYWORDS: &[Keyword] = &[
    option("filename", "file", "[!]\"name\"", "Part of a file's name, in any case.", filename),
    option("fileext", "file", "[!]\"ext\"", "The extension of a file, in any case.", fileext),
    option("filesize", "file", "[op]number[KB|MB|GB] | low<>high", "The size of a file.", filesize),
];

fn filename(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut test = read_content(arg)?;
    if let BufferTest::Content(content) = &mut test {
        content.pattern = Pattern::new(content.pattern.bytes(), true);
    }
    draft.push_into(Buffer::FILE_NAME, test, arg);
    Ok(())
}

fn fileext(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut test = read_content(arg)?;
    if let BufferTest::Content(content) = &mut test {
        content.pattern = Pattern::new(&[b".", content.pattern.bytes()].concat(), true);
        content.endswith = true;
    }
    draft.push_into(Buffer::FILE_NAME, test, arg);
    Ok(())
}

fn filesize(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let text = arg.at(arg.unquoted());
    let plain = without_units(text).ok_or_else(|| arg.wrong("no size in bytes, KB, MB or GB"))?;
    let test = comparison(&plain, Span::new(0, plain.len()), u32::MAX);
    let test = test.map_err(|mistake| Mistake { span: arg.span, ..mistake })?;
    push(draft, arg, FileTest::Size(test));
    Ok(())
}

/// Joins the rule's other questions about files.
fn push(draft: &mut Draft<'_>, arg: &Arg<'_>, test: FileTest) {
    let known = draft.app.iter_mut().find_map(|(known, _)| match known {
        AppTest::File(tests) => Some(tests),
        _ => None,
    });
    match known {
        Some(tests) => tests.push(test),
        None => draft.app.push((AppTest::File(vec![test]), arg.option())),
    }
}

/// The comparison with its numbers in bytes.
fn without_units(text: &str) -> Option<String> {
    const UNITS: [(&str, u64); 4] = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("", 1)];
    let lower = text.to_ascii_lowercase();
    let mut plain = String::new();
    let mut rest = lower.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        plain.push_str(rest.get(..start)?);
        let number = rest.get(start..)?;
        let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
        let after = number.get(end..)?.trim_start();
        let (unit, factor) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        let bytes = number.get(..end)?.parse::<u64>().ok()?.checked_mul(*factor)?;
        plain.push_str(&bytes.to_string());
        rest = after.get(unit.len()..)?;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::plan::NumberTest;

    #[test]
    fn sizes_have_units() {
        let cases = [("> 10KB", "> 10240"), ("1 mb <> 2GB", "1048576 <> 2147483648"), ("100", "100"), ("<5", "<5")];
        for (text, plain) in cases {
            assert_eq!(without_units(text).as_deref(), Some(plain), "{text}");
        }
        assert_eq!(without_units("99999999999999999999kb"), None);
        assert_eq!(
            comparison("1048576 <> 2147483648", Span::new(0, 21), u32::MAX),
            Ok(NumberTest::Between(1 << 20, 2 << 30))
        );
    }
}
