//! Transforms: what is done to a sticky buffer before its contents are looked for.

use std::sync::Arc;

use pcre2::bytes::RegexBuilder;

use super::encoded::word_and_value;
use super::lists::size;
use super::number::unsigned;
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::trim;
use crate::rules::plan::{Base64Mode, FromBase64, Transform, XorKey};

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
    option(
        "xor",
        FAMILY,
        "[offset n,]\"key in hex\" | [offset n,]extract count at",
        "XOR with the key, repeated.",
        xor,
    ),
    option("to_md5", FAMILY, "", "The MD5 of the buffer, as 16 bytes.", to_md5),
    option("to_sha1", FAMILY, "", "The SHA-1 of the buffer, as 20 bytes.", to_sha1),
    option("to_sha256", FAMILY, "", "The SHA-256 of the buffer, as 32 bytes.", to_sha256),
    option("header_lowercase", FAMILY, "", "Names of headers become lower case, values stay.", header_lowercase),
    option("strip_pseudo_headers", FAMILY, "", "Takes out lines that begin with `:`.", strip_pseudo_headers),
    option(
        "from_base64",
        FAMILY,
        "[bytes n][, offset n][, mode rfc4648|rfc2045|strict]",
        "Decodes base64; without any there is no buffer.",
        from_base64,
    )
    .value_optional(),
    option("gunzip", FAMILY, "[max-size n]", "Undoes gzip, up to 1024 bytes or `max-size`.", gunzip).value_optional(),
    option("zlib_deflate", FAMILY, "[max-size n]", "Undoes zlib, up to 1024 bytes or `max-size`.", zlib_deflate)
        .value_optional(),
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

/// `"key"`, `offset n,"key"`, and with `extract count at` instead of the key one that stands in the buffer.
fn xor(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let (from, key) = match parts.as_slice() {
        [key] => (0, *key),
        [offset, key] if arg.at(*offset).starts_with("offset ") => {
            let number = trim(arg.rule, Span::new(offset.start + "offset".len(), offset.end));
            (unsigned(arg.at(number), number, u32::MAX)?, *key)
        }
        _ => return Err(arg.wrong("a key, and `offset n` before it at most")),
    };
    let key = match arg.at(key).split_once(' ') {
        Some(("extract" | "var", place)) => key_in_buffer(arg, key, place)?,
        _ => XorKey::Fixed(fixed_key(arg, key)?),
    };
    draft.transform(Transform::Xor { key, from }, arg)
}

fn key_in_buffer(arg: &Arg<'_>, span: Span, place: &str) -> Result<XorKey, Mistake> {
    let whole = Span::new(span.end - place.len(), span.end);
    let words = super::super::lex::split(arg.rule, whole, b' ');
    let [count, at] = words.as_slice() else {
        return Err(Mistake::new(Code::Value, span, "how many bytes, and where they begin").help("`extract 4 0`"));
    };
    match unsigned(arg.at(*count), *count, 255)? {
        0 => Err(Mistake::new(Code::Value, *count, "a key has at least one byte")),
        count => Ok(XorKey::InBuffer { count, at: unsigned(arg.at(*at), *at, 65_535)? }),
    }
}

fn fixed_key(arg: &Arg<'_>, span: Span) -> Result<Box<[u8]>, Mistake> {
    let span = Arg { span, ..*arg }.unquoted();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let digits = arg.at(span).as_bytes();
    let key: Option<Box<[u8]>> = digits.chunks(2).map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect();
    key.filter(|key| !key.is_empty()).ok_or_else(|| {
        Mistake::new(Code::Value, span, "the key is hexadecimal, two digits a byte")
            .help("for example `xor:\"0d0ac8ff\";`")
    })
}

fn from_base64(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut decode = FromBase64 { offset: 0, bytes_max: u32::MAX, mode: Base64Mode::Rfc4648 };
    for part in words(arg) {
        let (word, value, span) = part;
        match word {
            "bytes" => decode.bytes_max = unsigned(value, span, u32::MAX)?,
            "offset" => decode.offset = unsigned(value, span, 65_535)?,
            "mode" => {
                decode.mode = match value {
                    "rfc4648" => Base64Mode::Rfc4648,
                    "rfc2045" => Base64Mode::Rfc2045,
                    "strict" => Base64Mode::Strict,
                    _ => return Err(Mistake::new(Code::Value, span, "modes are rfc4648, rfc2045 and strict")),
                }
            }
            _ => return Err(not_understood(word, span).help("`from_base64: offset 13, mode rfc2045;`")),
        }
    }
    draft.transform(Transform::FromBase64(decode), arg)
}

fn gunzip(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let bytes_max = max_size(arg)?;
    draft.transform(Transform::Inflate { gzip: true, bytes_max }, arg)
}

fn zlib_deflate(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let bytes_max = max_size(arg)?;
    draft.transform(Transform::Inflate { gzip: false, bytes_max }, arg)
}

/// Suricata's default and limit for what comes of compressed bytes.
const INFLATED_BYTES_DEFAULT: u32 = 1024;
const INFLATED_BYTES_MAX: usize = 16 << 20;

fn max_size(arg: &Arg<'_>) -> Result<u32, Mistake> {
    let mut most = INFLATED_BYTES_DEFAULT;
    for (word, value, span) in words(arg) {
        if word != "max-size" {
            return Err(not_understood(word, span).help("for example `gunzip: max-size 4096;`"));
        }
        let bytes = size(value, span)?;
        if bytes == 0 || bytes > INFLATED_BYTES_MAX {
            return Err(Mistake::new(Code::Value, span, "from 1 byte to 16 MiB"));
        }
        most = u32::try_from(bytes).unwrap_or(u32::MAX);
    }
    Ok(most)
}

/// The value's parts as word, value and the value's place.
fn words<'t>(arg: &Arg<'t>) -> Vec<(&'t str, &'t str, Span)> {
    let parts = if arg.is_empty() { Vec::new() } else { arg.parts() };
    parts.into_iter().map(|part| word_and_value(arg, part)).collect()
}

fn not_understood(word: &str, span: Span) -> Mistake {
    Mistake::new(Code::Value, span, format!("`{word}` is not understood here"))
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
