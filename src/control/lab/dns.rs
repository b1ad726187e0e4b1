//! As much DNS as both ends of the lab need: a question, and an answer to any question.

use std::net::{Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 12;
const NAME_BYTES_MAX: usize = 255;
/// A compression pointer to the question's name.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, 0x0c];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A = 1,
    Txt = 16,
    Aaaa = 28,
}

/// A query with recursion desired (RFC 1035 section 4.1). Labels longer than 63 bytes are cut.
#[must_use]
pub fn query(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = label.as_bytes();
        let label = label.get(..63).unwrap_or(label);
        message.push(label.len() as u8);
        message.extend_from_slice(label);
    }
    message.push(0);
    message.extend((kind as u16).to_be_bytes());
    message.extend([0, 1]);
    message
}

/// The id of any DNS message.
#[must_use]
pub fn id(message: &[u8]) -> Option<u16> {
    message.first_chunk().copied().map(u16::from_be_bytes)
}

/// The name that a query asks for, and an answer to it. `None` for what is no query.
#[must_use]
pub fn answer(query: &[u8]) -> Option<(String, Vec<u8>)> {
    let (name, name_end) = question_name(query)?;
    let question_end = name_end.checked_add(4)?;
    let kind = u16::from_be_bytes(query.get(name_end..)?.first_chunk().copied()?);
    let data = match kind {
        1 => Ipv4Addr::new(192, 0, 2, 80).octets().to_vec(),
        28 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80).octets().to_vec(),
        _ => b"\x07lab=yes".to_vec(),
    };
    let mut message = query.get(..2)?.to_vec();
    message.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend_from_slice(query.get(HEADER_BYTES..question_end)?);
    message.extend(NAME_OF_QUESTION);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1, 0, 0, 0, 60]);
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
    Some((name, message))
}

fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*query.get(at)?);
        at = at.checked_add(1)?;
        if length == 0 {
            return Some((name, at));
        }
        let end = at.checked_add(length)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(query.get(at..end)?));
        if length > 63 || name.len() > NAME_BYTES_MAX {
            return None;
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_understood_and_answered() {
        for kind in [Kind::A, Kind::Aaaa, Kind::Txt] {
            let (name, answer) = answer(&query(0x1234, "www.lab.test", kind)).unwrap();
            assert_eq!(name, "www.lab.test");
            assert_eq!(id(&answer), Some(0x1234));
            assert_eq!(answer[2] & 0x80, 0x80, "a response");
        }
    }

    #[test]
    fn what_is_cut_short_has_no_answer() {
        let whole = query(7, "a.bc.test", Kind::A);
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length]), None, "{length} bytes");
        }
    }
}
