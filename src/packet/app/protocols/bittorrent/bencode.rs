//! Bencode (BEP 3): numbers, byte strings, lists and dictionaries.

/// Lists and dictionaries within one another.
const DEPTH_MAX: usize = 6;
/// Values of one message.
const VALUE_COUNT_MAX: usize = 512;

#[derive(Clone, Debug, PartialEq)]
pub enum Value<'b> {
    Number(i64),
    Bytes(&'b [u8]),
    List(Vec<Value<'b>>),
    Dictionary(Vec<(&'b [u8], Value<'b>)>),
}

impl<'b> Value<'b> {
    /// What `bytes` begin with; `None` if that is no bencode, is cut off, or is more than is read.
    pub fn read(bytes: &'b [u8]) -> Option<Value<'b>> {
        Cursor { rest: bytes, values: 0 }.value(DEPTH_MAX)
    }

    /// The value of a key of a dictionary.
    pub fn of(&self, key: &[u8]) -> Option<&Value<'b>> {
        let Value::Dictionary(entries) = self else { return None };
        entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub fn bytes(&self) -> Option<&'b [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

struct Cursor<'b> {
    rest: &'b [u8],
    values: usize,
}

impl<'b> Cursor<'b> {
    fn value(&mut self, depth: usize) -> Option<Value<'b>> {
        self.values += 1;
        if self.values > VALUE_COUNT_MAX {
            return None;
        }
        match self.rest.first()? {
            b'i' => {
                self.rest = self.rest.get(1..)?;
                self.number(b'e').map(Value::Number)
            }
            b'l' => {
                let mut items = Vec::new();
                self.open(depth)?;
                while !self.closes() {
                    items.push(self.value(depth - 1)?);
                }
                Some(Value::List(items))
            }
            b'd' => {
                let mut entries = Vec::new();
                self.open(depth)?;
                while !self.closes() {
                    let key = self.string()?;
                    entries.push((key, self.value(depth - 1)?));
                }
                Some(Value::Dictionary(entries))
            }
            _ => self.string().map(Value::Bytes),
        }
    }

    fn open(&mut self, depth: usize) -> Option<()> {
        self.rest = self.rest.get(1..).filter(|_| depth > 0)?;
        Some(())
    }

    fn closes(&mut self) -> bool {
        let closed = self.rest.strip_prefix(b"e");
        self.rest = closed.unwrap_or(self.rest);
        closed.is_some()
    }

    fn string(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number(b':')?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    /// A decimal number, up to its end.
    fn number(&mut self, end: u8) -> Option<i64> {
        const DIGITS_MAX: usize = 20;
        let window = self.rest.get(..DIGITS_MAX + 1).unwrap_or(self.rest);
        let at = window.iter().position(|byte| *byte == end)?;
        let (digits, rest) = self.rest.split_at_checked(at)?;
        self.rest = rest.get(1..)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_written() {
        let read = Value::read(b"d1:ad2:id3:abce1:lli-7ei0ee1:t2:aae").unwrap();
        assert_eq!(read.of(b"a").and_then(|a| a.of(b"id")).and_then(Value::bytes), Some(&b"abc"[..]));
        assert_eq!(read.of(b"l"), Some(&Value::List(vec![Value::Number(-7), Value::Number(0)])));
        for bad in [&b"d1:a"[..], b"5:abc", b"i12", b"ixe", b"l", b"di1ei2ee", b"99999999999999999999999:", b"", b"-1:"] {
            assert_eq!(Value::read(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn depth_and_number_of_values_are_capped() {
        let nested = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
        assert!(Value::read(&nested(DEPTH_MAX)).is_some());
        assert_eq!(Value::read(&nested(DEPTH_MAX + 1)), None);
        assert_eq!(Value::read(&[&b"l"[..], &b"0:".repeat(VALUE_COUNT_MAX), b"e"].concat()), None);
    }
}
