//! Buffers changed as a rule asks, before its contents are looked for.

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};
use md5::Digest;

use super::encoded::{decode_base64, is_base64};
use crate::rules::plan::{Base64Mode, FromBase64, Transform, XorKey};

/// Where transformed buffers stand; both grow to their working size and stay.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    current: Vec<u8>,
    next: Vec<u8>,
}

impl Scratch {
    /// `buffer` after all of `transforms`, in their order; `None` if one of them found nothing to make a buffer of.
    pub(super) fn apply(&mut self, transforms: &[Transform], buffer: &[u8]) -> Option<&[u8]> {
        self.current.clear();
        self.current.extend_from_slice(buffer);
        for transform in transforms {
            self.next.clear();
            one(transform, &self.current, &mut self.next)?;
            std::mem::swap(&mut self.current, &mut self.next);
        }
        Some(&self.current)
    }
}

fn one(transform: &Transform, from: &[u8], into: &mut Vec<u8>) -> Option<()> {
    match transform {
        Transform::DotPrefix => {
            into.push(b'.');
            into.extend_from_slice(from);
        }
        Transform::StripWhitespace => into.extend(from.iter().filter(|byte| !is_space(**byte))),
        Transform::CompressWhitespace => {
            let mut after_space = false;
            for byte in from {
                if !(after_space && is_space(*byte)) {
                    into.push(*byte);
                }
                after_space = is_space(*byte);
            }
        }
        Transform::ToLowercase => into.extend(from.iter().map(u8::to_ascii_lowercase)),
        Transform::ToUppercase => into.extend(from.iter().map(u8::to_ascii_uppercase)),
        Transform::UrlDecode => url_decode(from, into),
        Transform::Xor { key, from: start } => xor(key, usize::try_from(*start).unwrap_or(usize::MAX), from, into)?,
        Transform::Capture(regex) => {
            let found = regex.captures(from).ok().flatten()?;
            into.extend_from_slice(found.get(1)?.as_bytes());
        }
        Transform::Md5 => into.extend_from_slice(&md5::Md5::digest(from)),
        Transform::Sha1 => into.extend_from_slice(&sha1::Sha1::digest(from)),
        Transform::Sha256 => into.extend_from_slice(&sha2::Sha256::digest(from)),
        Transform::HeaderLowercase => {
            for line in from.split_inclusive(|byte| *byte == b'\n') {
                let name = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
                let (name, value) = line.split_at_checked(name).unwrap_or((line, &[]));
                into.extend(name.iter().map(u8::to_ascii_lowercase));
                into.extend_from_slice(value);
            }
        }
        Transform::StripPseudoHeaders => {
            let lines = from.split_inclusive(|byte| *byte == b'\n');
            into.extend(lines.filter(|line| !line.starts_with(b":")).flatten());
        }
        Transform::FromBase64(decode) => from_base64(*decode, from, into)?,
        Transform::Inflate { gzip, bytes_max } => {
            let bytes_max = u64::from(*bytes_max);
            // What was read before an error stays in `into`.
            let _ = match gzip {
                true => GzDecoder::new(from).take(bytes_max).read_to_end(into),
                false => ZlibDecoder::new(from).take(bytes_max).read_to_end(into),
            };
            (!into.is_empty()).then_some(())?;
        }
    }
    Some(())
}

fn from_base64(decode: FromBase64, from: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let text = from.get(usize::try_from(decode.offset).ok()?..)?;
    let text = usize::try_from(decode.bytes_max).ok().and_then(|most| text.get(..most)).unwrap_or(text);
    match decode.mode {
        Base64Mode::Rfc4648 => decode_base64(text, into),
        Base64Mode::Strict if text.iter().any(|byte| !is_base64(*byte)) => return None,
        Base64Mode::Strict => decode_base64(text, into),
        Base64Mode::Rfc2045 => {
            let plain: Vec<u8> = text.iter().copied().filter(|byte| is_base64(*byte)).collect();
            decode_base64(&plain, into);
        }
    }
    (!into.is_empty()).then_some(())
}

/// Where the buffer is too short for the key or for the start, there is nothing to decode.
fn xor(key: &XorKey, start: usize, from: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let key = match key {
        XorKey::Fixed(key) => key,
        XorKey::InBuffer { count, at } => from.get(usize::from(*at)..)?.get(..usize::from(*count))?,
    };
    let (plain, coded) = from.split_at_checked(start)?;
    into.extend_from_slice(plain);
    into.extend(coded.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Some(())
}

/// `isspace` of the C locale: vertical tab too.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn url_decode(from: &[u8], into: &mut Vec<u8>) {
    let mut rest = from;
    while let Some((first, after)) = rest.split_first() {
        let (byte, left) = match (first, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, left @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                _ => (b'%', after),
            },
            _ => (*first, after),
        };
        into.push(byte);
        rest = left;
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
