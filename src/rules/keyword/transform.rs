//! Transforms: what is done to a sticky buffer before its contents are looked for.

use std::sync::Arc;

use pcre2::bytes::RegexBuilder;

use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake};
use crate::rules::plan::Transform;

const FAMILY: &str = "transform";

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "dotprefix",
        FAMILY,
        "",
        "Puts a dot before the buffer, so that `.a.b` matches `a.b` and `x.a.b`.",
        dotprefix,
    ),
    option("strip_whitespace", FAMILY, "", "Takes out all whitespace.", strip_whitespace),
    option(
        "compress_whitespace",
        FAMILY,
        "",
        "Of each run of whitespace only the first byte stays.",
        compress_whitespace,
    ),
    option("to_lowercase", FAMILY, "", "ASCII letters become lower case.", to_lowercase),
    option("to_uppercase", FAMILY, "", "ASCII letters become upper case.", to_uppercase),
    option("url_decode", FAMILY, "", "Decodes `%41` and `+`; what is no escape stays.", url_decode),
    option("xor", FAMILY, "\"key in hex\"", "XOR with the key, repeated.", xor),
    option("to_md5", FAMILY, "", "The MD5 of the buffer, as 16 bytes.", to_md5),
    option("to_sha1", FAMILY, "", "The SHA-1 of the buffer, as 20 bytes.", to_sha1),
    option("to_sha256", FAMILY, "", "The SHA-256 of the buffer, as 32 bytes.", to_sha256),
    option("header_lowercase", FAMILY, "", "Names of headers become lower case, values stay.", header_lowercase),
    option("strip_pseudo_headers", FAMILY, "", "Takes out lines that begin with `:`.", strip_pseudo_headers),
    option("pcrexform", FAMILY, "\"expression\"", "What the first group of the first match captures.", pcrexform),
];

fn dotprefix(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::DotPrefix, arg)
}

fn strip_whitespace(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::StripWhitespace, arg)
}

fn compress_whitespace(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::CompressWhitespace, arg)
}

fn to_lowercase(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::ToLowercase, arg)
}

fn to_uppercase(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::ToUppercase, arg)
}

fn url_decode(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::UrlDecode, arg)
}

fn to_md5(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::Md5, arg)
}

fn to_sha1(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::Sha1, arg)
}

fn to_sha256(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::Sha256, arg)
}

fn header_lowercase(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::HeaderLowercase, arg)
}

fn strip_pseudo_headers(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.transform(Transform::StripPseudoHeaders, arg)
}

fn xor(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let digits = arg.at(span).as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let key: Option<Box<[u8]>> = digits.chunks(2).map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect();
    match key.filter(|key| !key.is_empty()) {
        Some(key) => draft.transform(Transform::Xor(key), arg),
        None => Err(Mistake::new(Code::Value, span, "the key is hexadecimal, two digits a byte")
            .help("for example `xor:\"0d0ac8ff\";`")),
    }
}

fn pcrexform(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.quoted()?;
    let limited = format!("{}{}", draft.pcre_limits, arg.at(span));
    let regex = RegexBuilder::new()
        .jit_if_available(true)
        .build(&limited)
        .map_err(|error| Mistake::new(Code::Value, span, error.to_string()))?;
    if regex.captures_len() != 2 {
        let label = format!("the expression has {} groups, and one is needed", regex.captures_len().saturating_sub(1));
        return Err(Mistake::new(Code::Value, span, label)
            .help("what `(...)` captures becomes the buffer; `(?:...)` groups without capturing"));
    }
    draft.transform(Transform::Capture(Arc::new(regex)), arg)
}
