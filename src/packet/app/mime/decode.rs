//! Content-Transfer-Encoding, undone line by line.

/// How a part is encoded, with what is left over between lines.
#[derive(Debug, Default)]
pub(super) enum Decoder {
    /// 7bit, 8bit, binary, and what nobody knows.
    #[default]
    Plain,
    Base64 {
        bits: u32,
        digits: u8,
        ended: bool,
    },
    QuotedPrintable {
        /// The last line ended in `=`.
        soft: bool,
        /// `=` or `=X` at the end of a piece.
        held: Vec<u8>,
    },
}

impl Decoder {
    /// `name` in lower case.
    pub fn of(name: &[u8]) -> Decoder {
        match name {
            b"base64" => Decoder::Base64 { bits: 0, digits: 0, ended: false },
            b"quoted-printable" => Decoder::QuotedPrintable { soft: false, held: Vec::new() },
            _ => Decoder::Plain,
        }
    }

    pub fn is_encoded(&self) -> bool {
        !matches!(self, Decoder::Plain)
    }

    /// One piece of a line. `before` is the end of the line before, `ends` says that this line ends here.
    pub fn line(&mut self, before: &[u8], text: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Decoder::Plain => {
                out.extend_from_slice(before);
                out.extend_from_slice(text);
                Ok(())
            }
            Decoder::Base64 { bits, digits, ended } => base64(text, bits, digits, ended, out),
            Decoder::QuotedPrintable { soft, held } => {
                if !std::mem::take(soft) {
                    out.extend_from_slice(before);
                }
                let joined;
                let text = match held.is_empty() {
                    true => text,
                    false => {
                        held.extend_from_slice(text);
                        joined = std::mem::take(held);
                        &joined
                    }
                };
                quoted_printable(text, ends, soft, held, out)
            }
        }
    }

    /// The part is over: digits that make no whole byte are lost, others are not.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Decoder::Base64 { bits, digits, .. } = self {
            flush(*bits, *digits, out);
            (*bits, *digits) = (0, 0);
        }
    }
}

/// What is no digit is skipped, as mail programs do, and told.
fn base64(
    text: &[u8],
    bits: &mut u32,
    digits: &mut u8,
    ended: &mut bool,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut clean = true;
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                flush(*bits, *digits, out);
                (*bits, *digits, *ended) = (0, 0, true);
                continue;
            }
            b' ' | b'\t' => continue,
            _ => {
                clean = false;
                continue;
            }
        };
        // Digits behind the padding: several encoded texts in a row. Decoders go on, and so do we.
        *ended = false;
        *bits = *bits << 6 | u32::from(digit);
        *digits += 1;
        if *digits == 4 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            out.extend(bytes);
            (*bits, *digits) = (0, 0);
        }
    }
    if clean { Ok(()) } else { Err("smtp.mime_invalid_base64") }
}

fn flush(bits: u32, digits: u8, out: &mut Vec<u8>) {
    let [_, first, second, _] = (bits << (6 * u32::from(4 - digits.min(4)))).to_be_bytes();
    match digits {
        2 => out.push(first),
        3 => out.extend([first, second]),
        _ => {}
    }
}

fn quoted_printable(
    text: &[u8],
    ends: bool,
    soft: &mut bool,
    held: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut rest = text;
    let mut clean = true;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'=' {
            out.push(*byte);
            continue;
        }
        match after {
            [high, low, tail @ ..] if let (Some(high), Some(low)) = (hex(*high), hex(*low)) => {
                out.push(high << 4 | low);
                rest = tail;
            }
            // White space behind it is lost on the way, often enough.
            blank if ends && blank.iter().all(|byte| matches!(byte, b' ' | b'\t')) => {
                *soft = true;
                break;
            }
            [] | [_] if !ends => {
                held.push(b'=');
                held.extend_from_slice(after);
                break;
            }
            _ => {
                clean = false;
                out.push(b'=');
            }
        }
    }
    if clean { Ok(()) } else { Err("smtp.mime_invalid_qp") }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
