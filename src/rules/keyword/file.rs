//! Questions about files: `filename`, `fileext`, `filesize`, and lists of digests.
//!
//! All that a rule asks of files it asks of one and the same file (`AppTest::File`); names are looked for in `file.name`.

use super::buffers::Buffer;
use super::content::read_content;
use super::number::comparison;
use super::{Arg, Draft, Keyword, once, option};
use std::sync::Arc;

use crate::rules::app::{AppTest, DigestSet, FileTest};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::plan::{BufferTest, FileStoring, Pattern, SideSet, StoreScope, Toward};

pub(super) static KEYWORDS: &[Keyword] = &[
    option("filename", "file", "[!]\"name\"", "Part of a file's name, in any case.", filename),
    option("fileext", "file", "[!]\"ext\"", "The extension of a file, in any case.", fileext),
    option(
        "filestore",
        "file",
        "[request|response|both[,file|tx|flow]]",
        "Puts files into the file store, where `outputs` has one.",
        filestore,
    )
    .value_optional(),
    option("filemd5", "file", "[!]list", "The MD5 of a file stands in a list: a digest a line.", filemd5),
    option("filesha1", "file", "[!]list", "The SHA-1 of a file stands in a list.", filesha1),
    option("filesha256", "file", "[!]list", "The SHA-256 of a file stands in a list.", filesha256),
    option("filemagic", "file", "[!]\"text\"", "Part of a file's kind in libmagic's words, in any case.", filemagic),
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

fn filemagic(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut test = read_content(arg)?;
    if let BufferTest::Content(content) = &mut test {
        content.pattern = Pattern::new(content.pattern.bytes(), true);
    }
    draft.push_into(Buffer::FILE_MAGIC, test, arg);
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
    let mut text = arg.at(arg.unquoted());
    let side = text.split_once(',').filter(|_| draft.spans_sides);
    if let Some((side, rest)) = side.and_then(|(side, rest)| Some((super::side_named(side.trim())?, rest))) {
        push(draft, arg, FileTest::From(side));
        text = rest.trim();
    }
    let plain = without_units(text).ok_or_else(|| arg.wrong("no size in bytes, KB, MB or GB"))?;
    let test = comparison(&plain, Span::new(0, plain.len()), u32::MAX);
    let test = test.map_err(|mistake| Mistake { span: arg.span, ..mistake })?;
    push(draft, arg, FileTest::Size(test));
    Ok(())
}

fn filestore(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = if arg.is_empty() { Vec::new() } else { arg.parts() };
    let (side, scope) = match parts.as_slice() {
        [] => (None, None),
        [side] => (Some(*side), None),
        [side, scope] => (Some(*side), Some(*scope)),
        _ => return Err(arg.wrong("a direction and a scope at most")),
    };
    let sides = match side.map(|span| (arg.at(span), span)) {
        None => draft.flow.and_then(|flow| flow.toward).map_or(SideSet::BOTH, SideSet::of),
        Some(("request" | "to_server", _)) => SideSet::of(Toward::Server),
        Some(("response" | "to_client", _)) => SideSet::of(Toward::Client),
        Some(("both", _)) => SideSet::BOTH,
        Some((_, span)) => return Err(Mistake::new(Code::Value, span, "directions are request, response and both")),
    };
    let scope = match scope.map(|span| (arg.at(span), span)) {
        None | Some(("file", _)) => StoreScope::File,
        Some(("tx", _)) => StoreScope::Transaction,
        Some(("ssn" | "flow", _)) => StoreScope::Flow,
        Some((_, span)) => return Err(Mistake::new(Code::Value, span, "scopes are file, tx and flow")),
    };
    once(&mut draft.filestore, FileStoring { sides, scope }, arg)?;
    // It is about files even where it asks nothing else of them.
    if !draft.app.iter().any(|(test, _)| matches!(test, AppTest::File(_))) {
        draft.app.push((AppTest::File(Vec::new()), arg.option()));
    }
    Ok(())
}

fn filemd5(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    listed(draft, arg, 16)
}

fn filesha1(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    listed(draft, arg, 20)
}

fn filesha256(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    listed(draft, arg, 32)
}

/// A list of digests of so many bytes each.
fn listed(draft: &mut Draft<'_>, arg: &Arg<'_>, sum_bytes: usize) -> Result<(), Mistake> {
    let text = arg.at(arg.unquoted());
    let (negated, name) = match text.strip_prefix('!') {
        Some(name) => (true, name.trim_start()),
        None => (false, text),
    };
    if name.is_empty() {
        return Err(arg.wrong("the name of a file is needed"));
    }
    let Some(around) = draft.around else { return Ok(()) };
    let list = around.datasets.read_file(name, around.file);
    let list = list.map_err(|why| Mistake::new(Code::List, arg.span, why))?;
    let sums = read_sums(&list, sum_bytes).map_err(|line| {
        let digits = sum_bytes * 2;
        Mistake::new(Code::List, arg.span, format!("line {line} of the file does not begin with {digits} hex digits"))
            .help("a digest a line; what follows it is not read, and lines with `#` are comments")
    })?;
    let digests = Arc::new(DigestSet::new(sum_bytes, sums));
    push(draft, arg, FileTest::Listed { digests, negated });
    Ok(())
}

/// A digest a line, as `md5sum` writes them or bare; else the number of the first line that has none.
fn read_sums(list: &str, sum_bytes: usize) -> Result<Vec<Vec<u8>>, usize> {
    let lines = list.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| line.get(..sum_bytes * 2).and_then(unhex).ok_or(number)).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
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
    fn lists_of_digests_are_read_as_md5sum_writes_them() {
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let list = format!("# bad files\n\n{md5}  a.exe\n  {}\r\n", md5.to_uppercase());
        let sums = read_sums(&list, 16).unwrap();
        assert_eq!((sums.len(), sums[0] == sums[1], sums[0][..2].to_vec()), (2, true, vec![0x90, 0x01]));
        assert_eq!(read_sums(&format!("{md5}\n{}", &md5[1..]), 16), Err(2));
        assert_eq!(read_sums(md5, 20), Err(1));
    }

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
